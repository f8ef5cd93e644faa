//! The media stream on the wire, made for speed: payloads are base64 already, what is read is borrowed (Twilio, "Media
//! Streams: WebSocket messages"). Pure.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::{GeneralPurposeConfig, Simd};
use serde::Deserialize;

use crate::sim::carrier::wire::{self, Ids};

/// Room for a message of 20 ms.
const MESSAGE_LEN: usize = 384;

/// Writes the messages of one stream.
#[derive(Debug)]
pub struct Writer {
    ids: Ids,
    sequence: u64,
    chunk: u64,
}

impl Writer {
    pub const fn new(ids: Ids) -> Self {
        Self { ids, sequence: 0, chunk: 0 }
    }

    pub fn stream_sid(&self) -> &str {
        &self.ids.stream_sid
    }

    pub fn start(&mut self, parameters: &[(String, String)]) -> String {
        self.encode(wire::Message::Start { parameters })
    }

    /// Audio that is base64 already.
    pub fn media(&mut self, timestamp_ms: u64, payload: &str) -> String {
        self.sequence += 1;
        self.chunk += 1;
        let (sequence, chunk, sid) = (self.sequence, self.chunk, &self.ids.stream_sid);
        let mut text = String::with_capacity(MESSAGE_LEN);
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            r#"{{"event":"media","sequenceNumber":"{sequence}","media":{{"track":"inbound","chunk":"{chunk}","timestamp":"{timestamp_ms}","payload":""#
        );
        text.push_str(payload);
        text.push_str(r#""},"streamSid":""#);
        text.push_str(sid);
        text.push_str(r#""}"#);
        text
    }

    pub fn mark(&mut self, name: &str) -> String {
        self.encode(wire::Message::Mark { name })
    }

    pub fn digit(&mut self, digit: char) -> String {
        self.encode(wire::Message::Dtmf { digit: digit.encode_utf8(&mut [0; 4]) })
    }

    pub fn stop(&mut self) -> String {
        self.encode(wire::Message::Stop)
    }

    fn encode(&mut self, message: wire::Message<'_>) -> String {
        self.sequence += 1;
        wire::encode(&self.ids, self.sequence, message)
    }
}

/// What the server tells the carrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    Media(&'a [u8]),
    Mark(String),
    Clear,
}

/// Reads the messages of one stream.
#[derive(Debug)]
pub struct Reader {
    stream_sid: String,
    base64: Simd,
    bytes: Vec<u8>,
}

impl Reader {
    pub fn new(stream_sid: &str) -> Self {
        let base64 = Simd::standard(GeneralPurposeConfig::new());
        Self { stream_sid: stream_sid.to_owned(), base64, bytes: Vec::new() }
    }

    /// `None` is a message that the carrier would have warned of.
    pub fn read(&mut self, text: &[u8]) -> Option<Command<'_>> {
        let message: Message<'_> = serde_json::from_slice(text).ok()?;
        if message.stream_sid != self.stream_sid {
            return None;
        }
        match (message.event, message.media, message.mark) {
            ("media", Some(media), None) => {
                self.bytes.clear();
                self.base64.decode_vec(media.payload, &mut self.bytes).ok()?;
                (!self.bytes.is_empty()).then_some(Command::Media(&self.bytes))
            }
            ("mark", None, Some(mark)) => Some(Command::Mark(mark.name.to_owned())),
            ("clear", None, None) => Some(Command::Clear),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Message<'a> {
    event: &'a str,
    stream_sid: &'a str,
    #[serde(borrow)]
    media: Option<Media<'a>>,
    #[serde(borrow)]
    mark: Option<Mark<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Media<'a> {
    payload: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark<'a> {
    name: &'a str,
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::Value;

    use super::*;

    fn ids() -> Ids {
        let [account_sid, call_sid, stream_sid] = ["AC1", "CA1", "MZ1"].map(str::to_owned);
        Ids { account_sid, call_sid, stream_sid }
    }

    #[test]
    fn audio_is_written_as_the_simulated_carrier_writes_it() {
        let mut writer = Writer::new(ids());
        writer.start(&[]);
        let fast: Value = serde_json::from_str(&writer.media(20, "/////w==")).unwrap();
        let message = wire::Message::Media { chunk: 1, timestamp_ms: 20, audio: &[255; 4] };
        let slow: Value = serde_json::from_str(&wire::encode(&ids(), 2, message)).unwrap();
        assert_eq!(fast, slow);
    }

    #[rstest]
    #[case::media(r#"{"event":"media","streamSid":"MZ1","media":{"payload":"/w=="}}"#, Some(Command::Media(&[255])))]
    #[case::mark(r#"{"event":"mark","streamSid":"MZ1","mark":{"name":"m1"}}"#, Some(Command::Mark("m1".into())))]
    #[case::clear(r#"{"event":"clear","streamSid":"MZ1"}"#, Some(Command::Clear))]
    #[case::another_stream(r#"{"event":"clear","streamSid":"MZ2"}"#, None)]
    #[case::an_extra_key(r#"{"event":"clear","streamSid":"MZ1","why":1}"#, None)]
    #[case::no_base64(r#"{"event":"media","streamSid":"MZ1","media":{"payload":"!"}}"#, None)]
    #[case::no_audio(r#"{"event":"media","streamSid":"MZ1","media":{"payload":""}}"#, None)]
    #[case::not_json("media", None)]
    fn what_the_server_says_is_read_strictly(#[case] text: &str, #[case] expected: Option<Command<'_>>) {
        assert_eq!(Reader::new("MZ1").read(text.as_bytes()), expected);
    }
}
