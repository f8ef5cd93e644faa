//! `POST /v1/audio/speech`. Gives `pcm` and `wav`; the compressed formats are not there, though `mp3` is the default.

use bytes::Bytes;
use serde_json::Value;

use super::{authorize, bad, mistyped, parameters, text, unsupported};
use crate::sim::providers::call::Call;
use crate::sim::providers::observation::{Asked, Delivery, Subject};
use crate::sim::providers::reply::{Refusal, Reply, Stream};
use crate::sim::providers::turn::{Manner, Turn};
use crate::sim::providers::voice;

const PARAMETERS: [&str; 7] =
    ["input", "instructions", "model", "response_format", "speed", "stream_format", "voice"];

/// OpenAI API reference, "Create speech": `input`.
const CHARACTERS_MAX: usize = 4096;

/// `pcm` is 24 kHz, 16 bits, little-endian, without header (OpenAI, "Text to speech").
const RATE: u32 = 24_000;

/// A tenth of a second would be many pieces, a second a late start: 200 ms.
const PIECE_LEN: usize = RATE as usize / 5 * 2;

/// 20 ms.
const SILENCE: [u8; 960] = [0; 960];

pub(in crate::sim::providers) fn answer(call: &Call, turn: &mut Turn) -> Result<Reply, Refusal> {
    authorize(call, turn)?;
    let body = parameters(call, &PARAMETERS)?;
    let model = text(&body, "model")?.to_owned();
    let input = text(&body, "input")?.to_owned();
    if input.is_empty() || input.chars().count() > CHARACTERS_MAX {
        let message = format!("Invalid 'input': expected between 1 and {CHARACTERS_MAX} characters.");
        return Err(bad("input", "invalid_value", &message));
    }
    let voice = match body.get("voice").and_then(|voice| voice.get("id")) {
        Some(id) => id.as_str().ok_or_else(|| mistyped("voice", "a string"))?.to_owned(),
        None => text(&body, "voice")?.to_owned(),
    };
    let (content_type, opening) = match body.get("response_format").map_or(Some("mp3"), Value::as_str) {
        Some("pcm") => ("audio/pcm", Vec::new()),
        Some("wav") => ("audio/wav", vec![endless_header()]),
        other => return Err(unsupported("response_format", other.unwrap_or_default(), "'wav' and 'pcm'")),
    };
    if body.get("stream_format").is_some_and(|format| format != "audio") {
        return Err(unsupported("stream_format", "sse", "'audio'"));
    }
    let speed = body.get("speed").map_or(Some(1.0), Value::as_f64);
    let speed = speed.filter(|speed| (0.25..=4.0).contains(speed));
    let speed = speed.ok_or_else(|| bad("speed", "invalid_value", "Invalid 'speed': expected 0.25 to 4."))?;
    let subject = Subject::Text { text: input, voice };
    let asked = Asked { model, delivery: Delivery::Stream, subject };
    let speech = voice::bytes(&turn.speak(asked, Manner { rate: RATE, speed }));
    let tokens = speech.chunks(PIECE_LEN).map(Bytes::copy_from_slice).collect();
    let stream = Stream { opening, tokens, closing: Vec::new(), filler: &SILENCE, error: None };
    Ok(Reply::stream(content_type, stream))
}

/// A header written before the length is known: both lengths are as large as they can be, as the service has it.
fn endless_header() -> Bytes {
    let mut header = voice::wav_header(voice::Encoding::Linear16, RATE, 0).to_vec();
    header[4..8].fill(0xFF);
    header[40..44].fill(0xFF);
    header.into()
}
