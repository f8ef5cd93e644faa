//! A Gemini model that speaks, streamed as server-sent events.

use reqwest::Url;
use serde_json::{Value, json};

use super::Task;
use crate::base64;
use crate::job::Failure;
use crate::provider::generate::{self, Finish, Reply};
use crate::provider::http::{Body, Error};
use crate::provider::lines::Events;
use crate::provider::pcm::{Declared, Decoder};
use crate::provider::service;

/// Of the models for speech the one that streams (Gemini API, "Speech generation").
pub(super) const MODEL: &str = "gemini-3.1-flash-tts-preview";
pub(super) const VOICE: &str = "Kore";

pub(super) fn url(endpoint: Option<&str>, model: &str) -> Result<Url, Error> {
    generate::url(endpoint, model, "streamGenerateContent?alt=sse")
}

/// The text is a prompt: without an order to read it, a question is answered in place of being asked.
pub(super) fn body(task: &Task<'_>) -> Value {
    let prompt = format!("Read the following aloud, word for word and nothing else: {}", task.text);
    let voice = json!({ "prebuiltVoiceConfig": { "voiceName": task.voice } });
    json!({
        "contents": [{ "role": "user", "parts": [{ "text": prompt }] }],
        "generationConfig": {
            "responseModalities": ["AUDIO"],
            "speechConfig": { "voiceConfig": voice },
        },
    })
}

/// What became of the events so far. Pure: text in, samples out.
#[derive(Debug, Default)]
pub(super) struct Speech {
    /// `None`: no sound came yet.
    decoder: Option<Decoder>,
    finish: Option<Finish>,
}

impl Speech {
    /// The sound of one event, if it has any.
    pub(super) fn push(&mut self, event: &str) -> Result<Vec<i16>, Failure> {
        let reply = Reply::read(event.as_bytes())?;
        let mut samples = Vec::new();
        for blob in reply.blobs() {
            let bytes = base64::decode(blob.data)?;
            samples.extend(self.decoder(blob.mime_type)?.push(&bytes)?);
        }
        self.finish = reply.finish().filter(|finish| *finish != Finish::Open).or(self.finish);
        Ok(samples)
    }

    /// The last samples, after the last event.
    pub(super) fn end(&mut self) -> Result<Vec<i16>, Failure> {
        match (self.decoder.take(), self.finish) {
            // A stream that ends well after a sound has ended, whether or not it says so.
            (Some(decoder), Some(Finish::Stop | Finish::MaxTokens) | None) => decoder.finish(),
            (None, Some(_)) => Err(Failure::Empty),
            (Some(_), Some(_)) => Err(Failure::Cut { message: "the model gave up in the middle".to_owned() }),
            (None, None) => {
                Err(Failure::Cut { message: "the stream ended before the answer did".to_owned() })
            }
        }
    }

    /// The stream has one format; a change of it would be noise.
    fn decoder(&mut self, mime_type: &str) -> Result<&mut Decoder, Failure> {
        let declared = Declared::of(mime_type);
        let decoder = match self.decoder.take() {
            None => Decoder::new(declared),
            Some(decoder) if *decoder.declared() == declared => decoder,
            Some(_) => {
                let message = format!("the audio changed to {} Hz", declared.rate().0);
                return Err(Failure::Unreadable { message });
            }
        };
        Ok(self.decoder.insert(decoder))
    }
}

/// A reply that is being received.
#[derive(Debug)]
pub struct Answer {
    /// `None`: it was read to its end.
    body: Option<Body>,
    events: Events,
    speech: Speech,
}

impl Answer {
    pub(super) fn new(body: Body) -> Self {
        Self { body: Some(body), events: Events::default(), speech: Speech::default() }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Vec<i16>>, Failure> {
        let Some(body) = &mut self.body else { return Ok(None) };
        loop {
            while let Some(event) = self.events.next_event().map_err(|error| body.unreadable(error))? {
                let samples = self.speech.push(&event).map_err(|failure| service::clean(body, failure))?;
                if !samples.is_empty() {
                    return Ok(Some(samples));
                }
            }
            match body.next_chunk().await? {
                Some(chunk) => self.events.push(&chunk),
                None => break,
            }
        }
        self.body = None;
        self.speech.end().map(Some)
    }
}
