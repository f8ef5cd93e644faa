//! `POST /v1/audio/transcriptions`. Only WAV is listened to; other files are taken as speech of unknown length.

use std::time::Duration;

use serde_json::{Value, json};

use super::{authorize, bad, missing, refusal, unsupported};
use crate::sim::providers::call::{Call, Field};
use crate::sim::providers::ears;
use crate::sim::providers::observation::{Asked, Delivery, Recording, Subject};
use crate::sim::providers::reply::{Refusal, Reply};
use crate::sim::providers::turn::Turn;

const FIELDS: [&str; 12] = [
    "chunking_strategy",
    "file",
    "include[]",
    "keywords[]",
    "language",
    "languages[]",
    "model",
    "prompt",
    "response_format",
    "stream",
    "temperature",
    "timestamp_granularities[]",
];

/// OpenAI API reference, "Create transcription": `file`.
const EXTENSIONS: [&str; 9] = ["flac", "m4a", "mp3", "mp4", "mpeg", "mpga", "ogg", "wav", "webm"];

pub(in crate::sim::providers) fn answer(call: &Call, turn: &mut Turn) -> Result<Reply, Refusal> {
    authorize(call, turn)?;
    let Some(form) = &call.form else {
        let message = "Invalid request: the body is not multipart/form-data.";
        return Err(refusal(400, message, ("invalid_request_error", Value::Null, Value::Null)));
    };
    if let Some(field) = form.iter().find(|field| !FIELDS.contains(&field.name.as_str())) {
        let message = format!("Unrecognized request argument supplied: {}", field.name);
        return Err(bad(&field.name, "unknown_parameter", &message));
    }
    let (asked, form) = read(form)?;
    let recording = asked.1.clone();
    let text = turn.transcribe(asked.0);
    Ok(form.write(&text, recording.length))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Text,
    Verbose,
}

fn read(form: &[Field]) -> Result<((Asked, Recording), Form), Refusal> {
    let field = |name: &str| form.iter().find(|field| field.name == name);
    let value = |name: &str| field(name).map(|field| String::from_utf8_lossy(&field.content).into_owned());
    let file = field("file").ok_or_else(|| missing("file"))?;
    let model = value("model").filter(|model| !model.is_empty()).ok_or_else(|| missing("model"))?;
    if value("stream").is_some_and(|stream| stream != "false") {
        return Err(unsupported("stream", "true", "'false'"));
    }
    let format = match value("response_format").as_deref() {
        None | Some("json") => Form::Json,
        Some("text") => Form::Text,
        Some("verbose_json") => Form::Verbose,
        Some(other) => {
            return Err(unsupported("response_format", other, "'json', 'text', and 'verbose_json'"));
        }
    };
    let mut recording = listen(file)?;
    recording.language = value("language");
    let subject = Subject::Recording(recording.clone());
    Ok(((Asked { model, delivery: Delivery::Whole, subject }, recording), format))
}

fn listen(file: &Field) -> Result<Recording, Refusal> {
    let name = file.file_name.as_deref().unwrap_or_default();
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_lowercase()).unwrap_or_default();
    if !EXTENSIONS.contains(&extension.as_str()) {
        let message = format!("Unrecognized file format. Supported formats: {EXTENSIONS:?}");
        return Err(bad("file", "invalid_value", &message));
    }
    if extension != "wav" {
        return Ok(ears::opaque(&file.content));
    }
    let recording = ears::wav(&file.content)
        .map_err(|_| bad("file", "invalid_value", "Audio file might be corrupted or unsupported"))?;
    // OpenAI API, "Audio file is too short. Minimum audio length is 0.1 seconds."
    const LENGTH_MIN: Duration = Duration::from_millis(100);
    if recording.length.is_some_and(|length| length < LENGTH_MIN) {
        let message = "Audio file is too short. Minimum audio length is 0.1 seconds.";
        return Err(bad("file", "audio_too_short", message));
    }
    Ok(recording)
}

impl Form {
    fn write(self, text: &str, length: Option<Duration>) -> Reply {
        let seconds = length.unwrap_or_default().as_secs_f64();
        let usage = json!({"type": "duration", "seconds": seconds.ceil()});
        match self {
            Self::Json => Reply::json(&json!({"text": text, "usage": usage})),
            Self::Text => Reply::whole("text/plain; charset=utf-8", format!("{text}\n")),
            Self::Verbose => Reply::json(&json!({
                "task": "transcribe",
                "language": "english",
                "duration": seconds,
                "text": text,
                "segments": segments(text, seconds),
                "usage": usage,
            })),
        }
    }
}

fn segments(text: &str, seconds: f64) -> Vec<Value> {
    if text.is_empty() {
        return Vec::new();
    }
    vec![json!({
        "id": 0, "seek": 0, "start": 0.0, "end": seconds, "text": text, "tokens": [], "temperature": 0.0,
        "avg_logprob": -0.25, "compression_ratio": 1.0, "no_speech_prob": 0.01,
    })]
}
