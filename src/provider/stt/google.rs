//! Google Cloud Speech-to-Text v1, `speech:recognize`: the call that answers at once, for a minute of speech at
//! most. An API key is enough for v1; v2 wants a project and OAuth.

use reqwest::Url;
use serde_json::{Value, json};

use super::Task;
use crate::audio::Rate;
use crate::base64;
use crate::job::Failure;
use crate::provider::http::{self, Error};
use crate::provider::json;

/// The model for what was said on a telephone (Speech-to-Text, "Transcription models").
pub(super) const MODEL: &str = "phone_call";

pub(super) fn url(endpoint: Option<&str>) -> Result<Url, Error> {
    http::url(endpoint.unwrap_or("https://speech.googleapis.com/v1"), "speech:recognize")
}

/// `LINEAR16`, because it loses nothing whatever the line was: mu-law would be half as long and as exact for a
/// mu-law line, and quantise any other a second time. Models without an enhanced version use the standard one.
pub(super) fn body(task: &Task<'_>) -> Value {
    let pcm: Vec<u8> = task.samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    json!({
        "config": {
            "encoding": "LINEAR16",
            "sampleRateHertz": Rate::LINE.0,
            "audioChannelCount": 1,
            "languageCode": task.language,
            "model": task.model,
            "useEnhanced": true,
            "enableAutomaticPunctuation": true,
            "maxAlternatives": 1,
        },
        "audio": { "content": base64::encode(&pcm) },
    })
}

/// Silence gives a reply without results; a result is what was said between two pauses.
pub(super) fn transcript(reply: &[u8]) -> Result<String, Failure> {
    let reply = json::object(reply)?;
    let results = match reply.get("results") {
        None | Some(Value::Null) => return Ok(String::new()),
        Some(Value::Array(results)) => results,
        Some(_) => return Err(Failure::Unreadable { message: "results are no list".to_owned() }),
    };
    let best = results.iter().map(|result| json::words(result.pointer("/alternatives/0/transcript")));
    let stretches: Vec<_> = best.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).collect();
    Ok(stretches.join(" "))
}
