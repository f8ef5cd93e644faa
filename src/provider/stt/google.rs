//! Google Cloud Speech-to-Text v1, `speech:recognize`: the call that answers at once, for a minute of speech at
//! most. An API key is enough for v1; v2 wants a project and OAuth.

use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Task;
use crate::audio::Rate;
use crate::base64;
use crate::job::Failure;
use crate::provider::http::{self, Error};
use crate::provider::json::{self, ErrorObject};

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

/// Silence gives a reply without results.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reply {
    results: Vec<Stretch>,
    error: Option<ErrorObject>,
}

/// What was said between two pauses.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Stretch {
    alternatives: Vec<Alternative>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Alternative {
    transcript: String,
}

pub(super) fn transcript(reply: &[u8]) -> Result<String, Failure> {
    let Reply { results, error } = json::object(reply)?;
    if let Some(error) = error {
        return Err(error.into_failure());
    }
    let best = results.iter().filter_map(|stretch| stretch.alternatives.first());
    let stretches = best.map(|alternative| alternative.transcript.trim()).filter(|text| !text.is_empty());
    Ok(stretches.collect::<Vec<_>>().join(" "))
}
