//! The messages of the carrier as JSON: borrowed and flat.
//!
//! Knows the shapes, and nothing of what they mean.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::carrier::MediaFormat;

/// Reads a message as the carrier documents it; `None` for one that is written otherwise.
pub(super) fn parse(text: &[u8]) -> Option<Message<'_>> {
    // An array would be read as a struct whose fields have no names.
    if text.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    let message: Message<'_> = serde_json::from_slice(text).ok()?;
    (!message.event.bytes().any(|byte| byte.is_ascii_uppercase() || byte == b' ')).then_some(message)
}

/// All messages in one flat struct: telling them apart by serde's tag would cost almost twice the time.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Message<'a> {
    #[serde(borrow)]
    pub(super) event: Text<'a>,
    pub(super) stream_sid: Option<Text<'a>>,
    pub(super) sequence_number: Option<Counter>,
    pub(super) start: Option<StartBody<'a>>,
    pub(super) media: Option<MediaBody<'a>>,
    pub(super) mark: Option<MarkBody<'a>>,
    pub(super) dtmf: Option<DtmfBody<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StartBody<'a> {
    #[serde(borrow)]
    pub(super) stream_sid: Option<Text<'a>>,
    pub(super) call_sid: Option<Text<'a>>,
    pub(super) account_sid: Option<Text<'a>>,
    pub(super) media_format: Option<Format<'a>>,
    pub(super) custom_parameters: Option<Parameters>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Format<'a> {
    #[serde(borrow)]
    pub(super) encoding: Option<Text<'a>>,
    pub(super) sample_rate: Option<Counter>,
    pub(super) channels: Option<Counter>,
}

/// The encoding of every stream that does not say another one, as the carrier writes it.
const MULAW: &str = "audio/x-mulaw";

impl Format<'_> {
    /// What is missing is as on every other stream: mu-law, 8 kHz, one channel. Another encoding has no default rate.
    pub(super) fn known(self) -> MediaFormat {
        let number = |counter: Option<Counter>| u32::try_from(counter?.0?).ok();
        let encoding = self.encoding.map_or_else(|| MULAW.to_owned(), Text::into_string);
        let encoding = if is_mulaw(&encoding) { MULAW.to_owned() } else { encoding };
        let rate = if encoding == MULAW { 8000 } else { 0 };
        MediaFormat {
            sample_rate: number(self.sample_rate).unwrap_or(rate),
            channels: number(self.channels).unwrap_or(1),
            encoding,
        }
    }
}

/// Whether an encoding is G.711 mu-law, in the spellings of carriers and RFC 3551.
fn is_mulaw(encoding: &str) -> bool {
    let name = encoding.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let name = name.strip_prefix("audio/").unwrap_or(&name);
    matches!(
        name,
        "x-mulaw"
            | "mulaw"
            | "mu-law"
            | "ulaw"
            | "x-ulaw"
            | "u-law"
            | "pcmu"
            | "basic"
            | "g711"
            | "g711u"
            | "g711_ulaw"
            | "g711-ulaw"
    )
}

#[derive(Deserialize)]
pub(super) struct MediaBody<'a> {
    #[serde(borrow)]
    pub(super) track: Option<Text<'a>>,
    pub(super) chunk: Option<Counter>,
    pub(super) timestamp: Option<Counter>,
    pub(super) payload: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct MarkBody<'a> {
    #[serde(borrow)]
    pub(super) name: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct DtmfBody<'a> {
    #[serde(borrow)]
    pub(super) digit: Option<Text<'a>>,
}

/// A string, borrowed unless it has escapes (some encoders write the slashes of base64 as `\/`).
#[derive(Default, Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

impl Text<'_> {
    pub(super) fn into_string(self) -> String {
        self.0.into_owned()
    }
}

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// A number that may be written as a string; `None` for everything that is no `u64`.
pub(super) struct Counter(pub(super) Option<u64>);

impl<'de> Deserialize<'de> for Counter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor).map(|scalar| match scalar {
            Scalar::Number(number) => Self(Some(number)),
            Scalar::Text(text) => Self(text.trim().parse().ok()),
            Scalar::Other => Self(None),
        })
    }
}

/// The `<Parameter>`s: strings, by the protocol; anything else is left out.
#[derive(Default)]
pub(super) struct Parameters(pub(super) BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let all = BTreeMap::<String, Scalar<'de>>::deserialize(deserializer)?;
        let texts = all.into_iter().filter_map(|(name, value)| match value {
            Scalar::Text(text) => Some((name, text.into_owned())),
            Scalar::Number(number) => Some((name, number.to_string())),
            Scalar::Other => None,
        });
        Ok(Self(texts.collect()))
    }
}

enum Scalar<'a> {
    Text(Cow<'a, str>),
    Number(u64),
    Other,
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

/// Takes any JSON value, so that what nobody needs can refuse no message.
struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Scalar::Number(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Other)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_borrowed_and_one_with_escapes_is_not() {
        let payload = |json| parse(json).unwrap().media.unwrap().payload.unwrap().0;
        let plain = br#"{"event":"media","media":{"payload":"AAAA"}}"#;
        assert!(matches!(payload(plain), Cow::Borrowed("AAAA")));
        let escaped = br#"{"event":"media","media":{"payload":"AA\/A"}}"#;
        assert_eq!(payload(escaped), Cow::<str>::Owned("AA/A".to_owned()));
    }
}
