//! Work that needs the network and is done beside a call: speech to text, thinking, text to speech.
//!
//! The machine starts a job with a [`Request`] and is told its [`Event`]s. Which provider does the work, and which
//! ones were tried before it, is the shell's business and is only reported.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base64;
use crate::dialogue::Dialogue;

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    Transcribe(Utterance),
    Think(Prompt),
    Speak(Sentence),
}

impl Request {
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Transcribe(_) => Kind::Transcribe,
            Self::Think(_) => Kind::Think,
            Self::Speak(_) => Kind::Speak,
        }
    }
}

/// The kinds of work; each has its own ordered list of providers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Speech to text.
    Transcribe,
    /// The language model.
    Think,
    /// Text to speech.
    Speak,
}

impl Kind {
    /// Stable name for the call log.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Transcribe => "stt",
            Self::Think => "llm",
            Self::Speak => "tts",
        }
    }
}

/// Something the caller said, whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Utterance {
    /// Mono PCM at [`Rate::LINE`](crate::audio::Rate::LINE), 8 kHz.
    pub samples: Arc<[i16]>,
    /// BCP-47; `None`: the provider's configured language.
    pub language: Option<String>,
}

/// What a language model is to continue.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    /// The system instruction.
    pub instruction: String,
    /// Ends with the line that wants an answer; may be empty, then the agent speaks first.
    pub dialogue: Dialogue,
    pub temperature: Option<f32>,
}

/// Something the agent says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    pub text: String,
    /// BCP-47; `None`: the provider's configured language.
    pub language: Option<String>,
}

/// What became of a job. After [`Event::Done`] or [`Event::Failed`] nothing more comes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// This provider is not used: it failed, or is known to. The next one of its list is tried.
    Skipped {
        #[serde(with = "shared_text")]
        provider: Arc<str>,
        failure: Failure,
    },
    /// No other provider is left, and this one asked to be left alone for a while: it is asked once more then.
    Waits {
        #[serde(with = "shared_text")]
        provider: Arc<str>,
        wait_ms: u64,
    },
    /// The first result came, and from this provider.
    Started {
        #[serde(with = "shared_text")]
        provider: Arc<str>,
    },
    /// The whole transcript, once; or a fragment of the reply, with its own spaces.
    Text(String),
    /// Speech, mono PCM at [`Rate::MODEL_OUT`](crate::audio::Rate::MODEL_OUT), 24 kHz; any number of samples.
    Audio(#[serde(with = "crate::audio::pcm")] Vec<i16>),
    /// The provider that had begun could not end it; [`Event::Failed`] follows.
    BrokeOff {
        #[serde(with = "shared_text")]
        provider: Arc<str>,
        failure: Failure,
    },
    /// Tokens that were billed.
    Usage { prompt_tokens: u64, response_tokens: u64 },
    /// What was billed, and by whom: in place of [`Event::Usage`] outside of a provider's pool.
    Billed(Bill),
    /// All of it came. Silence that was transcribed has no text.
    Done,
    /// No provider could do it, or the one that had begun could not end it.
    Failed(Failure),
}

/// What a provider counts for a piece of work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Bill {
    /// As configured.
    pub provider: String,
    /// As the provider calls it; empty: it has but one.
    pub model: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub prompt_tokens: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub response_tokens: u64,
    /// Speech that was transcribed, milliseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub audio_ms: u64,
    /// Characters that were spoken.
    #[serde(skip_serializing_if = "is_zero")]
    pub characters: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Text that has several owners, as any other text.
mod shared_text {
    use std::sync::Arc;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
        String::deserialize(deserializer).map(Arc::from)
    }
}

/// Why a provider did not do its work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "failure", rename_all = "snake_case")]
pub enum Failure {
    /// DNS, TCP or TLS: no connection at all.
    #[error("cannot connect: {message}")]
    Unreachable { message: String },
    #[error("connecting took too long")]
    ConnectTimeout,
    /// Connected, and then nothing.
    #[error("no answer in time")]
    FirstByteTimeout,
    /// The answer began and then nothing more came.
    #[error("the answer stopped in the middle")]
    Stalled,
    /// The answer never ended.
    #[error("the answer took too long")]
    TooLong,
    /// The connection broke before the end of the answer.
    #[error("the answer was cut off: {message}")]
    Cut { message: String },
    /// An HTTP error.
    #[error("refused with HTTP {status}: {message}")]
    Refused { status: u16, message: String },
    /// An error that says when to ask again.
    #[error("refused with HTTP {status}, to be asked again after {retry_after_ms} ms: {message}")]
    Limited { status: u16, message: String, retry_after_ms: u64 },
    /// An error inside an answer that had begun well.
    #[error("the provider reported an error: {message}")]
    Reported { message: String },
    #[error("the answer cannot be read: {message}")]
    Unreadable { message: String },
    /// The model had more to say than it may in one answer. Its own word for it.
    #[error("the answer was longer than it may be: {reason}")]
    Unfinished { reason: String },
    /// A policy of the provider withheld the answer, or the rest of it.
    #[error("the provider withheld the answer: {reason}")]
    Blocked { reason: String },
    /// A good answer with nothing in it.
    #[error("the answer is empty")]
    Empty,
    /// Audio without a sound in it.
    #[error("the audio is silence")]
    Silent,
    /// The provider failed too often of late; it was not asked.
    #[error("not asked: it failed too often of late")]
    BreakerOpen,
    /// No provider of this kind is configured, or every one was skipped.
    #[error("no provider is left")]
    NoProvider,
}

impl From<base64::Malformed> for Failure {
    fn from(error: base64::Malformed) -> Self {
        Self::Unreadable { message: error.to_string() }
    }
}

impl Failure {
    /// A caller waits this long, under a filler, for a service that asks for it when there is no other.
    pub const WAIT_MAX: Duration = Duration::from_secs(5);

    /// Stable name for the call log.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::ConnectTimeout => "connect_timeout",
            Self::FirstByteTimeout => "first_byte_timeout",
            Self::Stalled => "stalled",
            Self::TooLong => "too_long",
            Self::Cut { .. } => "cut",
            Self::Refused { .. } => "refused",
            Self::Limited { .. } => "limited",
            Self::Reported { .. } => "reported",
            Self::Unreadable { .. } => "unreadable",
            Self::Unfinished { .. } => "unfinished",
            Self::Blocked { .. } => "blocked",
            Self::Empty => "empty",
            Self::Silent => "silent",
            Self::BreakerOpen => "breaker_open",
            Self::NoProvider => "no_provider",
        }
    }
}
