//! The messages of the carrier as JSON: borrowed, flat, lenient in what nobody needs.
//!
//! Knows the shapes, and nothing of what they mean.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::carrier::{Malformed, MediaFormat};

pub(super) fn parse(text: &[u8]) -> Result<Message<'_>, Malformed> {
    // An array would be read as a struct whose fields have no names.
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Err(Malformed::Json);
    }
    serde_json::from_slice(text)
        .or_else(|error| if error.is_data() { parse_kind(text) } else { Err(Malformed::Json) })
}

/// What does not fit the messages we know may be a message that we do not know.
fn parse_kind(text: &[u8]) -> Result<Message<'_>, Malformed> {
    let Kind { event } = serde_json::from_slice(text).map_err(|_| Malformed::Json)?;
    match event.as_ref() {
        "connected" | "stop" => Ok(Message { event, ..Message::default() }),
        "start" | "media" | "mark" | "dtmf" => Err(Malformed::Field),
        _ => Ok(Message { event, ..Message::default() }),
    }
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow)]
    event: Text<'a>,
}

/// All messages in one flat struct: telling them apart by serde's tag would cost almost twice the time.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Message<'a> {
    #[serde(borrow)]
    pub(super) event: Text<'a>,
    pub(super) stream_sid: Option<Text<'a>>,
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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Format<'a> {
    #[serde(borrow)]
    encoding: Option<Text<'a>>,
    sample_rate: Option<Counter>,
    channels: Option<Counter>,
}

impl Format<'_> {
    pub(super) fn known(self) -> Option<MediaFormat> {
        let number = |counter: Option<Counter>| u32::try_from(counter?.0?).ok();
        Some(MediaFormat {
            encoding: self.encoding?.into_string(),
            sample_rate: number(self.sample_rate)?,
            channels: number(self.channels)?,
        })
    }
}

#[derive(Deserialize)]
pub(super) struct MediaBody<'a> {
    #[serde(borrow)]
    pub(super) track: Option<Text<'a>>,
    pub(super) chunk: Option<Counter>,
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
pub(super) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

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
            Scalar::Text(text) => Self(text.parse().ok()),
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
