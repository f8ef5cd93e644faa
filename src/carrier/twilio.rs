//! Twilio Media Streams: JSON text frames with base64 mu-law, both ways (Twilio, "Media Streams - WebSocket
//! messages").
//!
//! Strict in what would be misheard (payload, track, stream, digit), lenient in the rest: counters may be numbers or
//! strings or nonsense, unknown events and fields are ignored, compatible carriers leave out ids and tracks, and a message
//! that is written otherwise than documented is read for what it says. Knows nothing of sockets, and not what a call
//! makes of the events.

mod wire;

use std::fmt::Write as _;

use self::wire::{MediaBody, Message};
use super::{Command, Event, Malformed, Media, Numbers, Start};
use crate::audio::{Frame, Rate, g711};
use crate::base64;
use crate::id::MarkId;

/// One second. The carrier sends 20 ms; the size is not promised.
const PAYLOAD_BYTES_MAX: usize = 8_000;

/// Up to this length mu-law is decoded in memory that every stream uses; a longer payload takes memory for itself.
const SHORT: usize = 480;

/// A stream id is 34 characters; it is repeated in every frame we send.
const STREAM_SID_BYTES_MAX: usize = 64;

/// Bytes of a media frame besides its payload and the stream id, rounded up.
const MEDIA_ENVELOPE: usize = 64;

/// The two directions of one stream.
#[derive(Debug, Default)]
pub struct Codec {
    /// The stream announced by `start`.
    stream: Option<Stream>,
    samples: Vec<i16>,
    /// What was odd about the last message that was read all the same.
    oddity: Option<&'static str>,
}

#[derive(Debug)]
struct Stream {
    sid: String,
    /// The sid as a JSON string, quotes included.
    json: String,
}

impl Codec {
    pub fn new() -> Self {
        Self::default()
    }

    /// The event of one text frame. Does not allocate for media, once the buffers have grown.
    pub fn decode<'a>(&'a mut self, text: &'a [u8]) -> Result<Event<'a>, Malformed> {
        let message = wire::parse(text)?;
        self.oddity = message.oddity.or(self.oddity);
        if !matches!(message.event, wire::Event::Connected | wire::Event::Start) {
            self.check_stream(message.stream_sid.as_deref())?;
        }
        match message.event {
            wire::Event::Connected => Ok(Event::Connected),
            wire::Event::Start => self.start(message).map(Event::Start),
            wire::Event::Media => {
                self.media(message.media.ok_or(Malformed::Field)?, message.sequence_number).map(Event::Media)
            }
            wire::Event::Mark => Ok(Event::Mark(message.mark.and_then(|name| mark_id(&name)))),
            wire::Event::Dtmf => digit(&message.digit.ok_or(Malformed::Field)?).map(Event::Dtmf),
            wire::Event::Stop => Ok(Event::Stop),
            wire::Event::Unknown => Ok(Event::Unknown),
        }
    }

    /// What was odd about a message that was read all the same, once.
    pub const fn take_oddity(&mut self) -> Option<&'static str> {
        self.oddity.take()
    }

    /// Appends the frame of a command; one of media allocates at most once, where `out` must grow. Appends nothing for
    /// [`Command::Close`] (the socket is closed instead), for audio that is not at [`Rate::LINE`], and before the
    /// stream began: nothing may be sent then.
    pub fn encode(&self, command: &Command, out: &mut String) {
        let Some(stream) = &self.stream else { return };
        match command {
            Command::Media(frame) if frame.rate() == Rate::LINE && !frame.samples().is_empty() => {
                out.reserve(MEDIA_ENVELOPE + stream.json.len() + frame.samples().len().div_ceil(3) * 4);
                open(out, "media", stream);
                out.push_str(",\"media\":{\"payload\":\"");
                push_payload(frame, out);
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
    fn check_stream(&self, sid: Option<&[u8]>) -> Result<(), Malformed> {
        match (&self.stream, sid) {
            (Some(stream), Some(sid)) if !is_same_stream(&stream.sid, sid) => Err(Malformed::ForeignStream),
            _ => Ok(()),
        }
    }

    fn start(&mut self, message: Message<'_>) -> Result<Box<Start>, Malformed> {
        let outer = message.stream_sid.as_deref().map(String::from_utf8_lossy);
        let outer = outer.as_deref();
        let body = message.start.ok_or(Malformed::Field)?;
        // Carriers that leave the id out need none in return: a socket carries one stream.
        let sid = body.stream_sid.as_deref().or(outer).unwrap_or_default();
        if sid.len() > STREAM_SID_BYTES_MAX {
            return Err(Malformed::Field);
        }
        if outer.is_some_and(|outer| outer != sid) {
            return Err(Malformed::ForeignStream);
        }
        self.check_stream(Some(sid.as_bytes()))?;
        let json = serde_json::to_string(sid).map_err(|_| Malformed::Field)?;
        let start = Start {
            stream_sid: sid.to_owned(),
            call_sid: body.call_sid.unwrap_or_default().into_owned(),
            account_sid: body.account_sid.unwrap_or_default().into_owned(),
            format: body.media_format.known(),
            parameters: body.custom_parameters,
        };
        self.stream = Some(Stream { sid: start.stream_sid.clone(), json });
        Ok(Box::new(start))
    }

    fn media(&mut self, body: MediaBody<'_>, sequence: Option<u64>) -> Result<Media<'_>, Malformed> {
        if body.track.as_deref().is_some_and(is_other_track) {
            return Err(Malformed::Track);
        }
        let payload = body.payload.ok_or(Malformed::Field)?;
        if payload.is_empty() || payload.len().div_ceil(4) * 3 > PAYLOAD_BYTES_MAX + 3 {
            return Err(Malformed::Length);
        }
        let (mut short, mut long) = ([0; SHORT], Vec::new());
        let len_max = payload.len().div_ceil(4) * 3;
        let bytes = if len_max <= SHORT {
            &mut short[..]
        } else {
            long.resize(len_max, 0);
            &mut long[..]
        };
        let len = base64::decode_slice(&payload, bytes).map_err(|_| Malformed::Base64)?;
        if len == 0 || len > PAYLOAD_BYTES_MAX {
            return Err(Malformed::Length);
        }
        self.samples.clear();
        g711::decode_into(&bytes[..len], &mut self.samples);
        Ok(Media {
            numbers: Numbers { chunk: body.chunk, timestamp: body.timestamp, sequence },
            rate: Rate::LINE,
            samples: &self.samples,
        })
    }
}

/// Whether `sid` may stand for the stream: an empty id and another case tell no streams apart.
fn is_same_stream(stream: &str, sid: &[u8]) -> bool {
    let sid = sid.trim_ascii();
    stream.is_empty() || sid.is_empty() || stream.as_bytes().eq_ignore_ascii_case(sid)
}

/// The head that all frames to the carrier share, without the closing brace.
fn open(out: &mut String, event: &str, stream: &Stream) {
    out.push_str("{\"event\":\"");
    out.push_str(event);
    out.push('"');
    if !stream.sid.is_empty() {
        out.push_str(",\"streamSid\":");
        out.push_str(&stream.json);
    }
}

fn push_payload(frame: &Frame, out: &mut String) {
    let mut bytes = [0; Frame::CAPACITY];
    for (byte, &sample) in bytes.iter_mut().zip(frame.samples()) {
        *byte = g711::encode(sample);
    }
    base64::encode_into(&bytes[..frame.samples().len()], out);
}

/// Our marks are `m` and the number as we write it; other names are somebody else's.
fn mark_id(name: &str) -> Option<MarkId> {
    let number = name.strip_prefix('m')?;
    let is_canonical =
        number.bytes().all(|byte| byte.is_ascii_digit()) && (number == "0" || !number.starts_with('0'));
    number.parse().ok().filter(|_| is_canonical).map(MarkId)
}

/// Whether a track is not the caller's. What is not known is: a socket that is sent to carries one track.
fn is_other_track(track: &[u8]) -> bool {
    track.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"outbound"))
}

fn digit(text: &str) -> Result<char, Malformed> {
    let mut chars = text.trim().chars().map(|c| c.to_ascii_uppercase());
    match (chars.next(), chars.next()) {
        (Some(digit @ ('0'..='9' | '*' | '#' | 'A'..='D')), None) => Ok(digit),
        _ => Err(Malformed::Digit),
    }
}

#[cfg(test)]
mod tests;
