//! Google Cloud Text-to-Speech v1, `text:synthesize`: the whole sentence in one reply.

use reqwest::Url;
use serde_json::{Value, json};

use super::Task;
use crate::audio::Rate;
use crate::base64;
use crate::job::Failure;
use crate::provider::http::{self, Body, Error};
use crate::provider::{json, pcm, service};

/// Twelve mebibytes of audio in base64: four minutes, more than the longest sentence.
const REPLY_BYTES_MAX: usize = 16 << 20;

pub(super) fn url(endpoint: Option<&str>) -> Result<Url, Error> {
    http::url(endpoint.unwrap_or("https://texttospeech.googleapis.com/v1"), "text:synthesize")
}

/// The voice of an entry that names none. A voice speaks one language: for others the service picks one.
pub(super) fn voice(language: &str) -> Option<&'static str> {
    (language == super::LANGUAGE).then_some("en-US-Neural2-F")
}

/// `LINEAR16` comes as a WAV file, which states its rate; `PCM` would not.
pub(super) fn body(task: &Task<'_>) -> Value {
    let mut voice = json!({ "languageCode": task.language });
    if let Some(name) = task.voice.filter(|_| task.has_own_language) {
        voice["name"] = name.into();
    }
    if let Some(model) = task.model {
        voice["modelName"] = model.into();
    }
    let mut audio = json!({ "audioEncoding": "LINEAR16", "sampleRateHertz": Rate::MODEL_OUT.0 });
    if let Some(speed) = task.speed {
        audio["speakingRate"] = speed.into();
    }
    json!({ "input": { "text": task.text }, "voice": voice, "audioConfig": audio })
}

pub(super) fn samples(reply: &[u8]) -> Result<Vec<i16>, Failure> {
    let reply = json::object(reply)?;
    match reply.get("audioContent") {
        None | Some(Value::Null) => Err(Failure::Empty),
        Some(Value::String(audio)) => pcm::whole(&base64::decode(audio)?),
        Some(_) => Err(Failure::Unreadable { message: "audioContent is no text".to_owned() }),
    }
}

/// A reply that is being received.
#[derive(Debug)]
pub struct Answer {
    /// `None`: it was read.
    body: Option<Body>,
}

impl Answer {
    pub(super) const fn new(body: Body) -> Self {
        Self { body: Some(body) }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Vec<i16>>, Failure> {
        let Some(mut body) = self.body.take() else { return Ok(None) };
        let reply = body.read_all(REPLY_BYTES_MAX).await?;
        samples(&reply).map(Some).map_err(|failure| service::clean(&body, failure))
    }
}
