//! A place in the list of calls, as text that says nothing to anybody else.

use std::fmt;
use std::str::FromStr;

use ::time::OffsetDateTime;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::filter::Invalid;
use crate::store::Stamp;

/// The last call that was seen: the list goes on with those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    pub(super) started_at: Stamp,
    pub(super) call_id: Uuid,
}

/// What follows: Unix milliseconds, big-endian, and the call id.
const VERSION: u8 = 1;
const BYTES: usize = 1 + 8 + 16;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [VERSION; BYTES];
        bytes[1..9].copy_from_slice(&self.started_at.unix_ms().to_be_bytes());
        bytes[9..].copy_from_slice(self.call_id.as_bytes());
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Cursor {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Invalid::Cursor)?;
        let bytes: [u8; BYTES] = bytes.try_into().map_err(|_| Invalid::Cursor)?;
        let [VERSION, rest @ ..] = bytes else { return Err(Invalid::Cursor) };
        let (ms, id) = rest.split_at(8);
        let ms = i64::from_be_bytes(ms.try_into().map_err(|_| Invalid::Cursor)?);
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000);
        let at = at.ok().filter(|at| at.unix_timestamp() >= 0).ok_or(Invalid::Cursor)?;
        let call_id = Uuid::from_slice(id).map_err(|_| Invalid::Cursor)?;
        Ok(Self { started_at: Stamp(at), call_id })
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use ::time::macros::datetime;
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let started_at = Stamp(datetime!(2026-11-21 09:00:00.123 UTC));
        let cursor = Cursor { started_at, call_id: Uuid::from_u128(7) };
        let text = cursor.to_string();
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{text}");
        assert_eq!(text.parse(), Ok(cursor));
    }

    fn encoded(version: u8, ms: i64, rest: usize) -> String {
        let bytes = [&[version][..], &ms.to_be_bytes(), &vec![0; rest]].concat();
        URL_SAFE_NO_PAD.encode(bytes)
    }

    #[rstest]
    #[case::empty(String::new())]
    #[case::not_base64("%%%".to_owned())]
    #[case::short(encoded(1, 0, 15))]
    #[case::long(encoded(1, 0, 17))]
    #[case::another_version(encoded(2, 0, 16))]
    #[case::before_all_calls(encoded(1, -1, 16))]
    #[case::beyond_time(encoded(1, i64::MAX, 16))]
    #[case::padded(encoded(1, 0, 16) + "==")]
    fn anything_else_is_refused(#[case] text: String) {
        assert_eq!(text.parse::<Cursor>(), Err(Invalid::Cursor));
    }
}
