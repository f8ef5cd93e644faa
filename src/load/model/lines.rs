//! Everything the load model says, made once: messages of the Gemini Live API, as bytes that all connections share.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::load::sound::{REPLY_PEAK, REPLY_UNIT, tone};

/// How much sound one message has, and how much faster than it plays it comes (Gemini Live API, audio: recorded
/// answers came as messages of 180 to 200 ms, at about four times real time). The first two come together: whoever
/// plays them ahead of time has enough, and its frames are late only by its own doing.
const MESSAGE: Duration = Duration::from_millis(200);
const SPEED: u32 = 4;

/// `turnComplete` comes about when the answer has been played.
const TURN_COMPLETE_LEAD: Duration = Duration::from_millis(200);

/// The level of the answer to a probe, and its length: heard from its first sample on, whatever the framing.
const BURST_PEAK: i16 = 28_000;
const BURST: Duration = Duration::from_millis(40);

/// How long replies are, in [`REPLY_UNIT`]s.
const GREETING_UNITS: u32 = 2;
const ANSWER_UNITS: u32 = 6;

/// A message of an answer, `at` after its first.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) at: Duration,
    pub(super) message: Bytes,
}

#[derive(Debug)]
pub(super) struct Lines {
    pub(super) setup_complete: Bytes,
    pub(super) resumption: Bytes,
    pub(super) activity_start: Bytes,
    pub(super) activity_end: Bytes,
    pub(super) heard: Bytes,
    pub(super) interrupted: Bytes,
    pub(super) turn_complete: Bytes,
    /// What answers a probe, at once.
    pub(super) burst: Vec<Bytes>,
    /// To a text: a greeting.
    pub(super) greeting: Vec<Step>,
    /// To a turn of the caller.
    pub(super) answer: Vec<Step>,
}

impl Lines {
    pub(super) fn new() -> Self {
        let handle = json!({"newHandle": "53ebe315-1e7e-40b4-964f-68bfea12726c", "resumable": true});
        let words = json!({"text": "Something that the caller said."});
        let burst = [audio(&tone(BURST_PEAK, BURST), None), generation_complete(), turn_complete(1)];
        Self {
            setup_complete: bytes(&json!({"setupComplete": {}})),
            resumption: bytes(&json!({ "sessionResumptionUpdate": handle })),
            activity_start: bytes(&json!({"voiceActivity": {"type": "ACTIVITY_START"}})),
            activity_end: bytes(&json!({"voiceActivity": {"type": "ACTIVITY_END"}})),
            heard: bytes(&json!({"serverContent": {"inputTranscription": words}})),
            interrupted: bytes(&json!({"serverContent": {"interrupted": true}})),
            turn_complete: bytes(&turn_complete(25)),
            burst: burst.iter().map(bytes).collect(),
            greeting: reply(GREETING_UNITS),
            answer: reply(ANSWER_UNITS),
        }
    }
}

/// A whole number of units of sound, in messages as they come from the real service.
fn reply(units: u32) -> Vec<Step> {
    const WORDS: [&str; 4] = ["This ", "is ", "an ", "answer. "];
    let length = REPLY_UNIT * units;
    let samples = tone(REPLY_PEAK, length);
    let per_message = MESSAGE.as_millis() as usize * 24;
    let mut steps: Vec<_> = (0_u32..)
        .zip(samples.chunks(per_message))
        .map(|(index, samples)| {
            let words = WORDS[index as usize % WORDS.len()];
            let message = bytes(&audio(samples, Some(words)));
            Step { at: MESSAGE * index.saturating_sub(1) / SPEED, message }
        })
        .collect();
    let generated = steps.last().map_or(Duration::ZERO, |step| step.at);
    steps.push(Step { at: generated, message: bytes(&generation_complete()) });
    let tokens = length.as_millis() as u64 * 25 / 1000;
    let at = length.saturating_sub(TURN_COMPLETE_LEAD);
    steps.push(Step { at, message: bytes(&turn_complete(tokens)) });
    steps
}

fn audio(samples: &[i16], words: Option<&str>) -> Value {
    let pcm: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let data = json!({"mimeType": "audio/pcm;rate=24000", "data": STANDARD.encode(pcm)});
    let mut content = json!({"modelTurn": {"role": "model", "parts": [{ "inlineData": data }]}});
    if let Some(words) = words {
        content["outputTranscription"] = json!({ "text": words });
    }
    json!({ "serverContent": content })
}

fn generation_complete() -> Value {
    json!({"serverContent": {"generationComplete": true}})
}

fn turn_complete(tokens: u64) -> Value {
    let usage =
        json!({"promptTokenCount": 626, "responseTokenCount": tokens, "totalTokenCount": 626 + tokens});
    json!({"serverContent": {"turnComplete": true}, "usageMetadata": usage})
}

fn bytes(message: &Value) -> Bytes {
    Bytes::from(message.to_string())
}
