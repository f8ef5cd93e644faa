//! OpenAI's `/audio/speech` and the servers that offer the same: raw PCM, as it is made.

use reqwest::Url;
use serde_json::{Value, json};

use super::Task;
use crate::job::Failure;
use crate::provider::http::{self, Body, Error};
use crate::provider::pcm::{Declared, Decoder};
use crate::provider::service;

/// Announced to end in January 2027 with no successor named (openai-python 3.52.0).
pub(super) const MODEL: &str = "gpt-4o-mini-tts";
pub(super) const VOICE: &str = "alloy";

pub(super) fn url(endpoint: Option<&str>) -> Result<Url, Error> {
    http::url(endpoint.unwrap_or("https://api.openai.com/v1"), "audio/speech")
}

/// `pcm` is 24 kHz, 16-bit, mono and has no header that a streaming server would have to guess.
pub(super) fn body(task: &Task<'_>) -> Value {
    let mut body = json!({
        "model": task.model,
        "input": task.text,
        "voice": task.voice,
        "response_format": "pcm",
    });
    if let Some(speed) = task.speed {
        body["speed"] = speed.into();
    }
    body
}

/// A reply that is being received.
#[derive(Debug)]
pub struct Answer {
    body: Body,
    /// `None`: all was given out.
    decoder: Option<Decoder>,
}

impl Answer {
    pub(super) fn new(body: Body) -> Self {
        let decoder = Decoder::new(Declared::of(body.content_type()));
        Self { body, decoder: Some(decoder) }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Vec<i16>>, Failure> {
        let Some(decoder) = &mut self.decoder else { return Ok(None) };
        let samples = match self.body.next_chunk().await? {
            Some(chunk) => decoder.push(&chunk).map(Some),
            None => self.decoder.take().map(Decoder::finish).transpose(),
        };
        samples.map_err(|failure| service::clean(&self.body, failure))
    }
}
