//! The lines of a file.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::{Header, Trace};
use crate::call::intake::Input;

/// The end of a file that has everything up to the end of the call.
pub const WHOLE: &str = "whole";

/// One line.
#[derive(Debug, PartialEq)]
pub enum Line<'a> {
    /// Always the first.
    Header(Box<Header>),
    Input(Offset, Input<'a>),
    Output(Trace),
    /// Always the last, unless the process was killed: [`WHOLE`], or why the rest is missing.
    End(String),
}

impl<'a> Line<'a> {
    /// Reads a line.
    pub fn parse(text: &'a str) -> serde_json::Result<Self> {
        let line: Parsed<'a> = serde_json::from_str(text)?;
        match line {
            Fields { header: Some(header), .. } => Ok(Self::Header(header)),
            Fields { at: Some(at), input: Some(input), .. } => Ok(Self::Input(at, input)),
            Fields { out: Some(out), wave, .. } => Ok(Self::Output(Trace { out, wave })),
            Fields { end: Some(end), .. } => Ok(Self::End(end)),
            Fields { .. } => {
                Err(serde_json::Error::custom("neither a header, an input, an output nor an end"))
            }
        }
    }

    pub fn header(header: &Header) -> String {
        text(&Fields { header: Some(header), ..Fields::default() })
    }

    pub fn input(at: Offset, input: &Input<'_>) -> String {
        text(&Fields { at: Some(at), input: Some(input), ..Fields::default() })
    }

    pub fn output(trace: Trace) -> String {
        let Trace { out, wave } = trace;
        text(&Fields { out: Some(out), wave, ..Fields::default() })
    }

    pub fn end(end: &str) -> String {
        text(&Fields { end: Some(end.to_owned()), ..Fields::default() })
    }
}

fn text(fields: &Fields<&Header, &Input<'_>>) -> String {
    serde_json::to_string(fields).expect("the fields of a line have names that are text")
}

/// A line with its names: one of these, or two.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<H, I> {
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<H>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Offset>,
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    input: Option<I>,
    #[serde(skip_serializing_if = "Option::is_none")]
    out: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    wave: Vec<i16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<String>,
}

type Parsed<'a> = Fields<Box<Header>, Input<'a>>;

impl<H, I> Default for Fields<H, I> {
    fn default() -> Self {
        Self { header: None, at: None, input: None, out: None, wave: Vec::new(), end: None }
    }
}

/// Time since the answer, to the nanosecond; in a file, seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Offset(i64);

impl Offset {
    /// Ten days: beyond any call, and within what seconds as a JSON number hold to the nanosecond.
    const MAX: i64 = 864_000_000_000_000;

    pub fn between(answered: Instant, at: Instant) -> Self {
        let nanos =
            |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(Self::MAX).min(Self::MAX);
        match at.checked_duration_since(answered) {
            Some(after) => Self(nanos(after)),
            None => Self(-nanos(answered.saturating_duration_since(at))),
        }
    }

    /// The instant that is so long after `answered`.
    pub fn after(self, answered: Instant) -> Instant {
        let distance = Duration::from_nanos(self.0.unsigned_abs());
        let at = if self.0 < 0 { answered.checked_sub(distance) } else { answered.checked_add(distance) };
        at.unwrap_or(answered)
    }

    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl Serialize for Offset {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.seconds())
    }
}

impl<'de> Deserialize<'de> for Offset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let nanos = (f64::deserialize(deserializer)? * 1e9).round() as i64;
        if nanos.abs() > Self::MAX {
            return Err(D::Error::custom("a time that no call has"));
        }
        Ok(Self(nanos))
    }
}

/// A message as it came. In a file: the JSON object itself if it is one, in one line; other text as a string; what is
/// not text as base64 in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'a>(Cow<'a, [u8]>);

impl<'a> Message<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(Cow::Borrowed(bytes))
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The message as an object that fits into a line unchanged.
    fn object(&self) -> Option<&RawValue> {
        let text = std::str::from_utf8(&self.0).ok().filter(|text| text.starts_with('{'))?;
        let object: &RawValue = serde_json::from_str(text).ok()?;
        (object.get() == text && !text.contains(['\n', '\r'])).then_some(object)
    }
}

impl Serialize for Message<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(object) = self.object() {
            return object.serialize(serializer);
        }
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => [STANDARD.encode(&self.0)].serialize(serializer),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Message<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?.get();
        let bytes = match raw.as_bytes().first() {
            Some(b'"') => {
                Cow::Owned(serde_json::from_str::<String>(raw).map_err(D::Error::custom)?.into_bytes())
            }
            Some(b'[') => {
                let [text] = serde_json::from_str::<[String; 1]>(raw).map_err(D::Error::custom)?;
                Cow::Owned(STANDARD.decode(text).map_err(D::Error::custom)?)
            }
            Some(b'{') => Cow::Borrowed(raw.as_bytes()),
            Some(_) | None => return Err(D::Error::custom("not a message")),
        };
        Ok(Self(bytes))
    }
}
