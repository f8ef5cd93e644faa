//! Speech to text: the caller's words, one utterance at a time.
//!
//! An utterance is sent whole and its transcript comes whole. One without a word of the caller (`[BLANK_AUDIO]`,
//! `...`) is an empty answer; what a model makes up where nothing was said is not known here.

mod events;
mod gemini;
mod google;
mod openai;
mod places;

use std::sync::Arc;
use std::time::Duration;

use reqwest::RequestBuilder;
use serde::Deserialize;

use super::http::{Body, Deadlines, Timeouts, Transport};
use super::pool::{self, Item};
use super::service::{self, Entry, Service};
pub use super::service::{Error, Kind};
use crate::audio::Rate;
use crate::audio::wav::{self, Wav};
use crate::fallback;
use crate::job::{Failure, Utterance};
use crate::secret::Secret;

/// Thirty seconds of speech are recognised in a few; the caller waits for the answer meanwhile.
const DEADLINES: Deadlines = Deadlines {
    connect: Duration::from_secs(2),
    first_byte: Duration::from_secs(8),
    between_bytes: Duration::from_secs(5),
    total: Duration::from_secs(15),
};

/// The language of an entry that names none.
const LANGUAGE: &str = "en-US";

/// A transcript with times and alternatives for every word of a minute is some tens of kilobytes.
const REPLY_BYTES_MAX: usize = 1 << 20;

/// One entry of `[[fallback.stt]]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub kind: Kind,
    /// For the call log; by default the kind.
    pub name: Option<String>,
    /// URL that the service's paths are put to, version included: `http://127.0.0.1:8000/v1`. By default the
    /// public one.
    pub endpoint: Option<String>,
    pub model: Option<String>,
    /// BCP-47, by default `en-US`; an utterance of a known language goes before.
    pub language: Option<String>,
    /// The environment variable of the key; empty: the service has none.
    pub key_env: Option<String>,
    #[serde(default)]
    pub timeouts: Timeouts,
}

impl Config {
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_else(|| self.kind.as_str())
    }

    pub fn model(&self) -> &str {
        self.model.as_deref().unwrap_or(match self.kind {
            Kind::Google => google::MODEL,
            Kind::Gemini => gemini::MODEL,
            Kind::OpenAi => openai::MODEL,
        })
    }
}

/// A service that transcribes.
#[derive(Debug)]
pub struct Provider {
    service: Service,
    language: String,
    model: String,
    kind: Kind,
}

impl Provider {
    /// `keys` gives the value of an environment variable.
    pub fn new(
        config: &Config,
        keys: impl Fn(&str) -> Option<Secret>,
        transport: &Transport,
    ) -> Result<Self, Error> {
        let kind = config.kind;
        let endpoint = config.endpoint.as_deref();
        let model = config.model.as_deref();
        let (url, model) = match kind {
            Kind::Google => (google::url(endpoint)?, model.unwrap_or(google::MODEL)),
            Kind::Gemini => (gemini::url(endpoint, model)?, model.unwrap_or(gemini::MODEL)),
            Kind::OpenAi => (openai::url(endpoint)?, model.unwrap_or(openai::MODEL)),
        };
        let entry = Entry {
            kind,
            name: config.name.as_deref(),
            key_env: config.key_env.as_deref(),
            timeouts: &config.timeouts,
            deadlines: DEADLINES,
        };
        Ok(Self {
            service: entry.service(url, keys, transport)?,
            language: config.language.clone().unwrap_or_else(|| LANGUAGE.to_owned()),
            model: model.to_owned(),
            kind,
        })
    }

    fn request(&self, utterance: &Utterance) -> RequestBuilder {
        let task = Task {
            samples: &utterance.samples,
            language: utterance.language.as_deref().unwrap_or(&self.language),
            model: &self.model,
        };
        let request = self.service.client.post(&self.service.url);
        match self.kind {
            Kind::Google => request.json(&google::body(&task)),
            Kind::Gemini => request.json(&gemini::body(&task)),
            Kind::OpenAi => request.multipart(openai::form(&task)),
        }
    }
}

impl pool::Provider for Provider {
    type Request = Utterance;
    type Answer = Answer;

    /// Silence is transcribed well when there are no words.
    const MAY_BE_EMPTY: bool = true;

    fn name(&self) -> &Arc<str> {
        &self.service.name
    }

    async fn start(&self, utterance: &Utterance) -> Result<Answer, Failure> {
        let body = self.service.client.send(self.request(utterance)).await?;
        Ok(Answer { kind: self.kind, body: Some(body) })
    }
}

/// A transcript that is being received.
#[derive(Debug)]
pub struct Answer {
    kind: Kind,
    /// `None`: it was read.
    body: Option<Body>,
}

impl pool::Answer for Answer {
    async fn next(&mut self) -> Result<Option<Item>, Failure> {
        let Some(mut body) = self.body.take() else { return Ok(None) };
        let reply = body.read_all(REPLY_BYTES_MAX).await?;
        let transcript = match self.kind {
            Kind::Google => google::transcript(&reply),
            Kind::Gemini => gemini::transcript(&reply),
            Kind::OpenAi => openai::transcript(&reply),
        };
        let transcript = transcript.map_err(|failure| service::clean(&body, failure))?;
        Ok(fallback::has_words(&transcript).then(|| Item::Text(transcript.trim().to_owned())))
    }
}

/// What is to be transcribed, in which language and by which model.
struct Task<'a> {
    /// At [`Rate::LINE`].
    samples: &'a [i16],
    /// BCP-47.
    language: &'a str,
    model: &'a str,
}

impl Task<'_> {
    /// A file, for services that take nothing else.
    fn wav(&self) -> Vec<u8> {
        wav::write(&Wav { rate: Rate::LINE, channels: 1, samples: self.samples.to_vec() })
    }
}

#[cfg(test)]
mod tests;
