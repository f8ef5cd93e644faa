//! Twilio Media Streams: JSON text frames with base64 mu-law, both ways (Twilio, "Media Streams - WebSocket
//! messages").
//!
//! Strict in what would be misheard (payload, track, stream, digit), lenient in what nobody needs: counters may
//! be numbers or strings or nonsense, unknown events and fields are ignored, and compatible carriers leave out
//! stream ids and tracks. Knows nothing of sockets, and not what a call makes of the events.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::GeneralPurposeConfig;
use base64::engine::{DecodePaddingMode, Simd};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Command, Event, Malformed, Media, MediaFormat, Start};
use crate::audio::{Frame, Rate, g711};
use crate::id::MarkId;

/// One second. The carrier sends 20 ms; the size is not promised.
const PAYLOAD_BYTES_MAX: usize = 8_000;

/// A stream id is 34 characters; it is repeated in every frame we send.
const STREAM_SID_BYTES_MAX: usize = 64;

/// The two directions of one stream.
#[derive(Debug)]
pub struct Codec {
    base64: Simd,
    /// The stream announced by `start`.
    stream: Option<Stream>,
    bytes: Vec<u8>,
    samples: Vec<i16>,
}

#[derive(Debug)]
struct Stream {
    sid: String,
    /// The sid as a JSON string, quotes included.
    json: String,
}

impl Default for Codec {
    fn default() -> Self {
        Self::new()
    }
}

impl Codec {
    pub fn new() -> Self {
        let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        Self { base64: Simd::standard(lenient), stream: None, bytes: Vec::new(), samples: Vec::new() }
    }

    /// The event of one text frame. Does not allocate for media, once the buffers have grown.
    pub fn decode<'a>(&'a mut self, text: &'a [u8]) -> Result<Event<'a>, Malformed> {
        let message = parse(text)?;
        match message.event.as_ref() {
            "connected" => return Ok(Event::Connected),
            "start" => return self.start(message).map(Event::Start),
            _ => self.check_stream(message.stream_sid.as_deref())?,
        }
        match message.event.as_ref() {
            "media" => self.media(message.media.ok_or(Malformed::Field)?).map(Event::Media),
            "mark" => Ok(Event::Mark(message.mark.and_then(|mark| mark_id(&mark.name?)))),
            "dtmf" => {
                digit(&message.dtmf.and_then(|dtmf| dtmf.digit).ok_or(Malformed::Field)?).map(Event::Dtmf)
            }
            "stop" => Ok(Event::Stop),
            _ => Ok(Event::Unknown),
        }
    }

    /// Appends the frame of a command. Appends nothing for [`Command::Close`] (the socket is closed instead), for
    /// audio that is not at [`Rate::LINE`], and before the stream began: nothing may be sent then.
    pub fn encode(&mut self, command: &Command, out: &mut String) {
        let Some(stream) = &self.stream else { return };
        match command {
            Command::Media(frame) if frame.rate() == Rate::LINE && !frame.samples().is_empty() => {
                open(out, "media", stream);
                out.push_str(",\"media\":{\"payload\":\"");
                push_payload(&self.base64, &mut self.bytes, frame, out);
                out.push_str("\"}}");
            }
            Command::Mark(MarkId(number)) => {
                open(out, "mark", stream);
                // Writing to a String cannot fail.
                let _ = write!(out, ",\"mark\":{{\"name\":\"m{number}\"}}}}");
            }
            Command::Clear => {
                open(out, "clear", stream);
                out.push('}');
            }
            Command::Media(_) | Command::Close(_) => {}
        }
    }

    /// A frame without an id is of this stream: a socket carries only one.
    fn check_stream(&self, sid: Option<&str>) -> Result<(), Malformed> {
        match (&self.stream, sid) {
            (Some(stream), Some(sid)) if stream.sid != sid => Err(Malformed::ForeignStream),
            _ => Ok(()),
        }
    }

    fn start(&mut self, message: Message<'_>) -> Result<Box<Start>, Malformed> {
        let outer = message.stream_sid.as_deref();
        let body = message.start.ok_or(Malformed::Field)?;
        let sid = body.stream_sid.as_deref().or(outer).ok_or(Malformed::Field)?;
        if sid.is_empty() || sid.len() > STREAM_SID_BYTES_MAX {
            return Err(Malformed::Field);
        }
        if outer.is_some_and(|outer| outer != sid) {
            return Err(Malformed::ForeignStream);
        }
        self.check_stream(Some(sid))?;
        let json = serde_json::to_string(sid).map_err(|_| Malformed::Field)?;
        let start = Start {
            stream_sid: sid.to_owned(),
            call_sid: body.call_sid.ok_or(Malformed::Field)?.into_string(),
            account_sid: body.account_sid.map(Text::into_string).unwrap_or_default(),
            format: body.media_format.and_then(Format::known).ok_or(Malformed::Field)?,
            parameters: body.custom_parameters.unwrap_or_default().0,
        };
        self.stream = Some(Stream { sid: start.stream_sid.clone(), json });
        Ok(Box::new(start))
    }

    fn media(&mut self, body: MediaBody<'_>) -> Result<Media<'_>, Malformed> {
        if !matches!(body.track.as_deref(), None | Some("inbound" | "inbound_track")) {
            return Err(Malformed::Track);
        }
        let payload = body.payload.ok_or(Malformed::Field)?;
        if payload.is_empty() || payload.len().div_ceil(4) * 3 > PAYLOAD_BYTES_MAX + 3 {
            return Err(Malformed::Length);
        }
        self.bytes.clear();
        self.base64.decode_vec(payload.as_bytes(), &mut self.bytes).map_err(|_| Malformed::Base64)?;
        if self.bytes.is_empty() || self.bytes.len() > PAYLOAD_BYTES_MAX {
            return Err(Malformed::Length);
        }
        self.samples.clear();
        g711::decode_into(&self.bytes, &mut self.samples);
        Ok(Media {
            chunk: body.chunk.and_then(|counter| counter.0),
            rate: Rate::LINE,
            samples: &self.samples,
        })
    }
}

/// The head that all frames to the carrier share, without the closing brace.
fn open(out: &mut String, event: &str, stream: &Stream) {
    out.push_str("{\"event\":\"");
    out.push_str(event);
    out.push_str("\",\"streamSid\":");
    out.push_str(&stream.json);
}

fn push_payload(base64: &Simd, bytes: &mut Vec<u8>, frame: &Frame, out: &mut String) {
    bytes.clear();
    g711::encode_into(frame.samples(), bytes);
    base64.encode_string(bytes, out);
}

/// Our marks are `m` and the number as we write it; other names are somebody else's.
fn mark_id(name: &str) -> Option<MarkId> {
    let number = name.strip_prefix('m')?;
    let is_canonical =
        number.bytes().all(|byte| byte.is_ascii_digit()) && (number == "0" || !number.starts_with('0'));
    number.parse().ok().filter(|_| is_canonical).map(MarkId)
}

fn digit(text: &str) -> Result<char, Malformed> {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(digit @ ('0'..='9' | '*' | '#' | 'A'..='D')), None) => Ok(digit),
        _ => Err(Malformed::Digit),
    }
}

fn parse(text: &[u8]) -> Result<Message<'_>, Malformed> {
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
struct Message<'a> {
    #[serde(borrow)]
    event: Text<'a>,
    stream_sid: Option<Text<'a>>,
    start: Option<StartBody<'a>>,
    media: Option<MediaBody<'a>>,
    mark: Option<MarkBody<'a>>,
    dtmf: Option<DtmfBody<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StartBody<'a> {
    #[serde(borrow)]
    stream_sid: Option<Text<'a>>,
    call_sid: Option<Text<'a>>,
    account_sid: Option<Text<'a>>,
    media_format: Option<Format<'a>>,
    custom_parameters: Option<Parameters>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Format<'a> {
    #[serde(borrow)]
    encoding: Option<Text<'a>>,
    sample_rate: Option<Counter>,
    channels: Option<Counter>,
}

impl Format<'_> {
    fn known(self) -> Option<MediaFormat> {
        let number = |counter: Option<Counter>| u32::try_from(counter?.0?).ok();
        Some(MediaFormat {
            encoding: self.encoding?.into_string(),
            sample_rate: number(self.sample_rate)?,
            channels: number(self.channels)?,
        })
    }
}

#[derive(Deserialize)]
struct MediaBody<'a> {
    #[serde(borrow)]
    track: Option<Text<'a>>,
    chunk: Option<Counter>,
    payload: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct MarkBody<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct DtmfBody<'a> {
    #[serde(borrow)]
    digit: Option<Text<'a>>,
}

/// A string, borrowed unless it has escapes (some encoders write the slashes of base64 as `\/`).
#[derive(Default)]
struct Text<'a>(Cow<'a, str>);

impl Text<'_> {
    fn into_string(self) -> String {
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

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }
}

/// A number that may be written as a string; `None` for everything that is no `u64`.
struct Counter(Option<u64>);

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
struct Parameters(BTreeMap<String, String>);

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
mod tests;
