//! Text to speech: what the agent says, one sentence at a time.
//!
//! Speech is given on as it comes, at [`Rate::MODEL_OUT`](crate::audio::Rate::MODEL_OUT) whatever the service
//! sends. When it is played is not known here.

mod gemini;
mod google;
mod openai;

use std::sync::Arc;
use std::time::Duration;

use reqwest::RequestBuilder;
use serde::Deserialize;

use super::http::{Deadlines, Timeouts, Transport};
use super::pool::{self, Item};
use super::service::{Entry, Service};
pub use super::service::{Error, Kind};
use crate::job::{Failure, Sentence};
use crate::secret::Secret;

/// A caller waits for the first sound; then a piece of it comes several times a second.
const DEADLINES: Deadlines = Deadlines {
    connect: Duration::from_secs(2),
    first_byte: Duration::from_secs(5),
    between_bytes: Duration::from_secs(3),
    total: Duration::from_secs(60),
};

/// The language of an entry that names none.
const LANGUAGE: &str = "en-US";

/// What OpenAI takes at once, the least of the three (`input` of `/v1/audio/speech`); five minutes of speech.
const TEXT_CHARS_MAX: usize = 4096;

/// HTTP's "Content Too Large", which is what a service would say.
const TOO_LARGE: u16 = 413;

/// Slower or faster than this is no speech (OpenAI's 0.25 to 4; Google takes 2 at most).
const SPEEDS: std::ops::RangeInclusive<f32> = 0.25..=4.0;

/// One entry of `[[fallback.tts]]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub kind: Kind,
    /// For the call log; by default the kind.
    pub name: Option<String>,
    /// URL that the service's paths are put to, version included: `http://127.0.0.1:8000/v1`. By default the
    /// public one.
    pub endpoint: Option<String>,
    /// For `google` only voices of Gemini have one.
    pub model: Option<String>,
    /// By default one that is in the service's documentation.
    pub voice: Option<String>,
    /// BCP-47, by default `en-US`; a sentence of a known language goes before.
    pub language: Option<String>,
    /// 1 is the voice's own; not for `gemini`.
    pub speed: Option<f32>,
    /// The environment variable of the key; empty: the service has none.
    pub key_env: Option<String>,
    #[serde(default)]
    pub timeouts: Timeouts,
}

impl Config {
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_else(|| self.kind.as_str())
    }

    /// Google has voices in place of models, as a rule.
    pub fn model(&self) -> &str {
        self.model.as_deref().unwrap_or_else(|| match self.kind {
            Kind::Google => self.voice.as_deref().unwrap_or("standard"),
            Kind::Gemini => gemini::MODEL,
            Kind::OpenAi => openai::MODEL,
        })
    }
}

/// A service that speaks.
#[derive(Debug)]
pub struct Provider {
    service: Service,
    kind: Kind,
    language: String,
    manner: Manner,
}

/// Who speaks and how.
#[derive(Debug)]
struct Manner {
    model: Option<String>,
    /// `None`: the service picks one that speaks the language.
    voice: Option<String>,
    speed: Option<f32>,
}

impl Provider {
    /// `keys` gives the value of an environment variable.
    pub fn new(
        config: &Config,
        keys: impl Fn(&str) -> Option<Secret>,
        transport: &Transport,
    ) -> Result<Self, Error> {
        let kind = config.kind;
        check_speed(config)?;
        let endpoint = config.endpoint.as_deref();
        let language = config.language.as_deref().unwrap_or(LANGUAGE);
        let (url, model, voice) = match kind {
            Kind::Google => (google::url(endpoint)?, None, google::voice(language)),
            Kind::Gemini => {
                let model = config.model.as_deref().unwrap_or(gemini::MODEL);
                (gemini::url(endpoint, model)?, Some(model), Some(gemini::VOICE))
            }
            Kind::OpenAi => (openai::url(endpoint)?, Some(openai::MODEL), Some(openai::VOICE)),
        };
        let entry = Entry {
            kind,
            name: config.name.as_deref(),
            key_env: config.key_env.as_deref(),
            timeouts: &config.timeouts,
            deadlines: DEADLINES,
        };
        let manner = Manner {
            model: config.model.as_deref().or(model).map(str::to_owned),
            voice: config.voice.as_deref().or(voice).map(str::to_owned),
            speed: config.speed,
        };
        let service = entry.service(url, keys, transport)?;
        Ok(Self { service, kind, language: language.to_owned(), manner })
    }

    fn request(&self, sentence: &Sentence) -> RequestBuilder {
        let Manner { model, voice, speed } = &self.manner;
        let other = sentence.language.as_deref().filter(|language| *language != self.language);
        let task = Task {
            text: &sentence.text,
            language: other.unwrap_or(&self.language),
            has_own_language: other.is_none(),
            model: model.as_deref(),
            voice: voice.as_deref(),
            speed: *speed,
        };
        let request = self.service.client.post(&self.service.url);
        match self.kind {
            Kind::Google => request.json(&google::body(&task)),
            Kind::Gemini => request.json(&gemini::body(&task)),
            Kind::OpenAi => request.json(&openai::body(&task)),
        }
    }
}

fn check_speed(config: &Config) -> Result<(), Error> {
    match (config.speed, config.kind) {
        (None, _) => Ok(()),
        (Some(_), Kind::Gemini) => Err(Error::NoSpeed),
        (Some(speed), Kind::Google | Kind::OpenAi) if SPEEDS.contains(&speed) => Ok(()),
        (Some(_), Kind::Google | Kind::OpenAi) => Err(Error::Speed),
    }
}

/// A sentence that no service takes is refused before any is asked: it says nothing about them.
pub(super) fn check(sentence: &Sentence) -> Result<(), Failure> {
    let len = sentence.text.chars().count();
    if len <= TEXT_CHARS_MAX {
        return Ok(());
    }
    let message = format!("a sentence of {len} characters was not sent; {TEXT_CHARS_MAX} at most");
    Err(Failure::Refused { status: TOO_LARGE, message })
}

impl pool::Provider for Provider {
    type Request = Sentence;
    type Answer = Answer;

    const MAY_BE_EMPTY: bool = false;

    fn name(&self) -> &Arc<str> {
        &self.service.name
    }

    async fn start(&self, sentence: &Sentence) -> Result<Answer, Failure> {
        check(sentence)?;
        let body = self.service.client.send(self.request(sentence)).await?;
        Ok(match self.kind {
            Kind::Google => Answer::Google(google::Answer::new(body)),
            Kind::Gemini => Answer::Gemini(gemini::Answer::new(body)),
            Kind::OpenAi => Answer::OpenAi(openai::Answer::new(body)),
        })
    }
}

/// Speech that is being received.
#[derive(Debug)]
pub enum Answer {
    Google(google::Answer),
    Gemini(gemini::Answer),
    OpenAi(openai::Answer),
}

impl pool::Answer for Answer {
    async fn next(&mut self) -> Result<Option<Item>, Failure> {
        let samples = match self {
            Self::Google(answer) => answer.next().await,
            Self::Gemini(answer) => answer.next().await,
            Self::OpenAi(answer) => answer.next().await,
        };
        samples.map(|samples| samples.map(Item::Audio))
    }
}

/// What is to be said, and how.
struct Task<'a> {
    text: &'a str,
    /// BCP-47.
    language: &'a str,
    /// Whether it is the language that the voice was chosen for.
    has_own_language: bool,
    model: Option<&'a str>,
    voice: Option<&'a str>,
    speed: Option<f32>,
}

#[cfg(test)]
mod tests;
