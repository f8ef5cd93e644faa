//! Language models over HTTP, for the agent's words when no live model speaks.
//!
//! Knows who is asked and when an answer is whole; what each vendor writes is known to its own module only.

mod anthropic;
mod gemini;
mod ollama;
mod openai;
mod opening;
mod piece;
mod reply;
mod turns;

use std::sync::Arc;

use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

pub(in crate::provider) use self::openai::is_last;
use self::opening::Habit;
use self::piece::{End, Fault, Piece};
pub use self::reply::Reply;
use self::reply::{Framing, Source};
use super::http::{self, Client, Credential, Deadlines, Error, Timeouts, Transport};
use super::{json, pool, refusal};
use crate::job::{Failure, Prompt};
use crate::secret::Secret;

/// One `[[fallback.llm]]` entry of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub kind: Kind,
    /// For the call log; the kind, if it is not set.
    pub name: Option<String>,
    /// URL that the vendor's paths are put to.
    pub endpoint: Option<String>,
    pub model: Option<String>,
    /// The environment variable that holds the key.
    pub key_env: Option<String>,
    #[serde(default = "max_tokens")]
    pub max_tokens: u32,
    #[serde(default)]
    pub timeouts: Timeouts,
}

/// Two minutes of speech: no answer on the telephone is longer, and a model that goes on is stopped.
const fn max_tokens() -> u32 {
    300
}

impl Config {
    /// All defaults of a kind: its public service and a model that is quick rather than deep.
    pub fn new(kind: Kind) -> Self {
        let (name, endpoint, model, key_env, timeouts) = (None, None, None, None, Timeouts::default());
        Self { kind, name, endpoint, model, key_env, max_tokens: max_tokens(), timeouts }
    }

    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_else(|| self.kind.code())
    }

    pub fn endpoint(&self) -> &str {
        self.endpoint.as_deref().unwrap_or_else(|| self.kind.endpoint())
    }

    pub fn model(&self) -> &str {
        self.model.as_deref().unwrap_or_else(|| self.kind.model())
    }

    /// `None`: the service needs no key.
    pub fn key_env(&self) -> Option<&str> {
        self.key_env.as_deref().or_else(|| self.kind.key_env())
    }
}

/// The protocols that are spoken. Many services speak OpenAI's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Gemini,
    OpenAi,
    Anthropic,
    Ollama,
}

impl Kind {
    pub const fn code(self) -> &'static str {
        match self {
            Self::Gemini => "gemini",
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Ollama => "ollama",
        }
    }

    const fn endpoint(self) -> &'static str {
        match self {
            Self::Gemini => "https://generativelanguage.googleapis.com/v1beta",
            Self::OpenAi => "https://api.openai.com/v1",
            Self::Anthropic => "https://api.anthropic.com/v1",
            Self::Ollama => "http://127.0.0.1:11434/api",
        }
    }

    /// The smaller model of each family: on the telephone a quick answer is worth more than a deep one.
    const fn model(self) -> &'static str {
        match self {
            Self::Gemini => "gemini-3.8-flash",
            Self::OpenAi => "gpt-5.4-mini",
            Self::Anthropic => "claude-haiku-4-5",
            Self::Ollama => "gemma4",
        }
    }

    const fn key_env(self) -> Option<&'static str> {
        match self {
            Self::Gemini => Some("GEMINI_API_KEY"),
            Self::OpenAi => Some("OPENAI_API_KEY"),
            Self::Anthropic => Some("ANTHROPIC_API_KEY"),
            Self::Ollama => None,
        }
    }

    fn path(self, model: &str) -> String {
        match self {
            Self::Gemini => format!("models/{model}:streamGenerateContent?alt=sse"),
            Self::OpenAi => "chat/completions".to_owned(),
            Self::Anthropic => "messages".to_owned(),
            Self::Ollama => "chat".to_owned(),
        }
    }

    fn credential(self, key: &Secret) -> Result<Credential, Error> {
        match self {
            Self::Gemini => Credential::header("x-goog-api-key", key),
            Self::Anthropic => Credential::header("x-api-key", key),
            Self::OpenAi | Self::Ollama => Credential::bearer(key),
        }
    }

    fn body(self, model: &str, max_tokens: u32, prompt: &Prompt) -> Value {
        match self {
            Self::Gemini => gemini::body(model, max_tokens, prompt),
            Self::OpenAi => openai::body(model, max_tokens, prompt),
            Self::Anthropic => anthropic::body(model, max_tokens, prompt),
            Self::Ollama => ollama::body(model, max_tokens, prompt),
        }
    }

    /// What a frame says: usually one document, and several where a server puts them together.
    fn decode(self, frame: &str) -> Result<Piece, Fault> {
        let mut all = Piece::default();
        if is_last(frame) {
            all.end = Some(End::Last);
            return Ok(all);
        }
        let documents = json::documents(frame).map_err(Fault::Unreadable)?;
        if documents.is_empty() || documents.iter().any(|document| !document.is_object()) {
            return Err(Fault::Unreadable("not a JSON object".to_owned()));
        }
        for document in &documents {
            if let Some(error) = refusal::complaint(document) {
                return Err(Fault::Failed(refusal::reported(error, str::to_owned)));
            }
            all.add(match self {
                Self::Gemini => gemini::decode(document)?,
                Self::OpenAi => openai::decode(document),
                Self::Anthropic => anthropic::decode(document),
                Self::Ollama => ollama::decode(document),
            });
        }
        Ok(all)
    }

    fn framing(self) -> Framing {
        match self {
            Self::Gemini | Self::OpenAi | Self::Anthropic => Framing::Begin,
            Self::Ollama => Framing::Lines(Default::default()),
        }
    }
}

/// A language model that can be asked.
#[derive(Debug)]
pub struct Provider {
    name: Arc<str>,
    kind: Kind,
    model: String,
    max_tokens: u32,
    url: Url,
    client: Client,
    habit: Habit,
}

impl Provider {
    pub fn new(config: &Config, key: Option<&Secret>, transport: &Transport) -> Result<Self, Error> {
        let (kind, model) = (config.kind, config.model().to_owned());
        let credential = key.map(|key| kind.credential(key)).transpose()?;
        Ok(Self {
            name: config.name().into(),
            kind,
            max_tokens: config.max_tokens,
            url: http::url(config.endpoint(), &kind.path(&model))?,
            client: Client::new(transport, config.timeouts.over(Deadlines::default()), credential)?,
            model,
            habit: Habit::default(),
        })
    }
}

impl pool::Provider for Provider {
    type Request = Prompt;
    type Answer = Reply;

    /// A caller who asked something is owed an answer.
    const MAY_BE_EMPTY: bool = false;

    fn name(&self) -> &Arc<str> {
        &self.name
    }

    async fn start(&self, prompt: &Prompt) -> Result<Reply, Failure> {
        let began = Instant::now();
        let request = self.client.post(&self.url).json(&self.kind.body(&self.model, self.max_tokens, prompt));
        let request = match self.kind {
            Kind::Anthropic => request.header("anthropic-version", anthropic::VERSION),
            Kind::Gemini | Kind::OpenAi | Kind::Ollama => request,
        };
        let body = self.client.send(request).await?;
        let Deadlines { first_byte, between_bytes, .. } = self.client.deadlines();
        let source = Source::new(self.kind, body, &self.habit);
        Ok(Reply::new(source, first_byte.saturating_sub(began.elapsed()), between_bytes))
    }
}

#[cfg(test)]
mod tests;
