//! `POST /v1/speech:recognize` of Cloud Speech-to-Text v1.

use std::time::Duration;

use serde_json::{Value, json};

use super::{authorize, body, invalid, number, schema, text};
use crate::sim::gemini::schema::decode_bytes;
use crate::sim::providers::call::Call;
use crate::sim::providers::ears;
use crate::sim::providers::observation::{Asked, Delivery, Recording, Subject};
use crate::sim::providers::reply::{Refusal, Reply};
use crate::sim::providers::turn::Turn;

/// Cloud Speech-to-Text, "Quotas and limits": synchronous requests.
const LENGTH_MAX: Duration = Duration::from_secs(60);

pub(in crate::sim::providers) fn answer(call: &Call, turn: &mut Turn) -> Result<Reply, Refusal> {
    authorize(call, turn)?;
    let body = body(call, &schema::RECOGNIZE)?;
    let recording = recording(&body)?;
    let length = recording.length.unwrap_or_default();
    let language = recording.language.clone().unwrap_or_default();
    let model = text(&body, "/config/model").to_owned();
    let asked = Asked { model, delivery: Delivery::Whole, subject: Subject::Recording(recording) };
    let transcript = turn.transcribe(asked);
    let mut reply = json!({
        "totalBilledTime": format!("{}s", length.as_secs_f64().ceil()),
        "requestId": (7_000_000_000 + turn.number()).to_string(),
    });
    if !transcript.is_empty() {
        reply["results"] = json!([{
            "alternatives": [{"transcript": transcript, "confidence": 0.93}],
            "resultEndTime": format!("{:.3}s", length.as_secs_f64()),
            "languageCode": language.to_lowercase(),
        }]);
    }
    Ok(Reply::json(&reply))
}

fn recording(body: &Value) -> Result<Recording, Refusal> {
    let language = text(body, "/config/languageCode");
    if language.is_empty() {
        return Err(invalid("Invalid recognition 'config': bad language code."));
    }
    if !text(body, "/audio/uri").is_empty() {
        return Err(invalid("Request contains an invalid argument."));
    }
    let content = decode_bytes(text(body, "/audio/content")).filter(|content| !content.is_empty());
    let content = content.ok_or_else(|| invalid("RecognitionAudio not set."))?;
    let rate = number(body, "/config/sampleRateHertz").filter(|&rate| rate > 0);
    let needed = || rate.filter(|rate| (8_000..=48_000).contains(rate)).ok_or_else(bad_rate);
    let wav = ears::wav(&content).ok();
    let mut recording = match (text(body, "/config/encoding"), wav) {
        ("" | "ENCODING_UNSPECIFIED" | "LINEAR16" | "MULAW", Some(wav)) => match (rate, wav.rate) {
            (Some(said), Some(is)) if said != is => {
                return Err(invalid(&format!(
                    "sample_rate_hertz ({said}) in RecognitionConfig must either be unspecified or match the value \
                     in the WAV header ({is})."
                )));
            }
            (Some(_) | None, Some(_) | None) => wav,
        },
        ("LINEAR16", None) => ears::linear16(&content, needed()?),
        ("MULAW", None) => ears::mulaw(&content, needed()?),
        ("" | "ENCODING_UNSPECIFIED", None) => {
            return Err(invalid("Invalid recognition 'config': bad encoding.."));
        }
        _ => ears::opaque(&content),
    };
    if recording.length.is_some_and(|length| length > LENGTH_MAX) {
        return Err(invalid(
            "Sync input too long. For audio longer than 1 min use LongRunningRecognize with a 'uri' parameter.",
        ));
    }
    recording.language = Some(language.to_owned());
    Ok(recording)
}

fn bad_rate() -> Refusal {
    invalid("Invalid recognition 'config': bad sample rate hertz.")
}
