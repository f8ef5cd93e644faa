//! The carrier: its messages, each with an oddity.

use serde_json::{Value, json};

use crate::json::{BASE64_WAYS, add_unknown, base64, object, wrap};
use crate::random::Random;

const STREAM: &str = "MZ0123456789abcdef0123456789abcdef";

/// How the chunks of a stream are numbered.
#[derive(Clone, Copy, Debug)]
enum Numbering {
    Counting,
    Constant(u64),
    Steps(u64),
    Restarting(u64),
    Down,
    Missing,
    Null,
    Words,
    Huge,
    Floats,
}

const NUMBERINGS: [Numbering; 14] = [
    Numbering::Counting,
    Numbering::Counting,
    Numbering::Constant(0),
    Numbering::Constant(1),
    Numbering::Steps(2),
    Numbering::Steps(20),
    Numbering::Steps(160),
    Numbering::Restarting(40),
    Numbering::Down,
    Numbering::Missing,
    Numbering::Null,
    Numbering::Words,
    Numbering::Huge,
    Numbering::Floats,
];

#[derive(Debug)]
pub(crate) struct Carrier {
    random: Random,
    numbering: Numbering,
    chunk: u64,
    sequence: u64,
    at_ms: u64,
}

impl Carrier {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0xCA11);
        let numbering = *random.pick(&NUMBERINGS);
        Self { random, numbering, chunk: 0, sequence: 0, at_ms: 0 }
    }

    /// How the chunks are numbered, for the story of a failure.
    pub(crate) fn numbering(&self) -> String {
        format!("{:?}", self.numbering)
    }

    pub(crate) fn connected(&mut self) -> Vec<u8> {
        let messages = [
            json!({"event": "connected", "protocol": "Call", "version": "1.0.0"}),
            json!({"event": "connected"}),
            json!({"event": "connected", "protocol": null, "version": 1}),
            json!({"event": "connected", "streamSid": null, "start": null, "media": []}),
        ];
        let message = self.random.pick(&messages).clone();
        wrap(&message, &mut self.random)
    }

    pub(crate) fn start(&mut self) -> Vec<u8> {
        let mut message = json!({
            "event": "start", "sequenceNumber": "1", "streamSid": STREAM,
            "start": {
                "accountSid": "AC1", "streamSid": STREAM, "callSid": "CA1", "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": {"agent": "default"},
            },
        });
        let start = object(&mut message, &["start"]);
        match self.random.below(8) {
            0 => start["tracks"] = json!(null),
            1 => start["customParameters"] = json!(null),
            2 => start["customParameters"] = json!([]),
            3 => start["customParameters"] = json!({"agent": "default", "n": 1, "deep": {"er": []}}),
            4 => {
                start["mediaFormat"] =
                    json!({"encoding": "audio/x-mulaw", "sampleRate": "8000", "channels": "1"})
            }
            5 => {
                start["mediaFormat"] =
                    json!({"encoding": "AUDIO/X-MULAW", "sampleRate": 8000.0, "channels": 1})
            }
            6 => drop(message.as_object_mut().unwrap().remove("streamSid")),
            _ => add_unknown(start, &mut self.random),
        }
        wrap(&message, &mut self.random)
    }

    /// The caller's mu-law of the next moment.
    pub(crate) fn media(&mut self, payload: &[u8]) -> Vec<u8> {
        self.chunk += 1;
        self.sequence += 1;
        self.at_ms += payload.len() as u64 / 8;
        let way = self.random.below(BASE64_WAYS + 2);
        let mut message = json!({
            "event": "media", "sequenceNumber": self.sequence.to_string(), "streamSid": STREAM,
            "media": {"track": "inbound", "timestamp": self.at_ms.to_string(), "payload": base64(payload, way)},
        });
        if let Some(number) = self.number() {
            message["media"]["chunk"] = number;
        }
        self.spoil(&mut message);
        wrap(&message, &mut self.random)
    }

    /// The mark `name` was reached.
    pub(crate) fn mark(&mut self, name: &str) -> Vec<u8> {
        self.sequence += 1;
        let mut message = json!({
            "event": "mark", "sequenceNumber": self.sequence.to_string(), "streamSid": STREAM,
            "mark": {"name": name},
        });
        self.spoil(&mut message);
        wrap(&message, &mut self.random)
    }

    pub(crate) fn stop(&mut self) -> Vec<u8> {
        let messages = [
            json!({"event": "stop", "streamSid": STREAM, "stop": {"accountSid": "AC1", "callSid": "CA1"}}),
            json!({"event": "stop", "streamSid": STREAM, "stop": null}),
            json!({"event": "stop"}),
            json!({"event": "stop", "stop": "now", "sequenceNumber": []}),
        ];
        let message = self.random.pick(&messages).clone();
        wrap(&message, &mut self.random)
    }

    /// A message of a kind that nobody knows.
    pub(crate) fn unknown(&mut self) -> Vec<u8> {
        let message =
            json!({"event": "weather", "streamSid": STREAM, "weather": {"media": {"payload": "////"}}});
        wrap(&message, &mut self.random)
    }

    fn number(&mut self) -> Option<Value> {
        let chunk = self.chunk;
        Some(match self.numbering {
            Numbering::Counting => json!(chunk.to_string()),
            Numbering::Constant(number) => json!(number.to_string()),
            Numbering::Steps(step) => json!((chunk * step).to_string()),
            Numbering::Restarting(after) => json!((chunk % after + 1).to_string()),
            Numbering::Down => json!((1_000_000 - chunk).to_string()),
            Numbering::Missing => return None,
            Numbering::Null => json!(null),
            Numbering::Words => json!("next"),
            Numbering::Huge => json!(u64::MAX),
            Numbering::Floats => json!(chunk as f64 + 0.5),
        })
    }

    /// Changes what decides nothing.
    fn spoil(&mut self, message: &mut Value) {
        let sequence = json!(self.sequence);
        let has_media = message.get("media").is_some();
        let root = message.as_object_mut().unwrap();
        match self.random.below(9) {
            0 => root["sequenceNumber"] = sequence,
            1 => root["sequenceNumber"] = json!(null),
            2 => root["sequenceNumber"] = json!({"odd": true}),
            3 => drop(root.remove("sequenceNumber")),
            4 => drop(root.remove("streamSid")),
            5 => {
                root.insert("dtmf".to_owned(), json!(null));
                root.insert("stop".to_owned(), json!([]));
            }
            6 if has_media => self.spoil_media(object(message, &["media"])),
            7 => root["streamSid"] = json!(null),
            _ => add_unknown(root, &mut self.random),
        }
    }

    fn spoil_media(&mut self, media: &mut serde_json::Map<String, Value>) {
        match self.random.below(6) {
            0 => drop(media.remove("track")),
            1 => media["track"] = json!(null),
            2 => media["timestamp"] = json!(null),
            3 => media["timestamp"] = json!("soon"),
            4 => drop(media.remove("timestamp")),
            _ => media["timestamp"] = json!(-7.25),
        }
    }
}
