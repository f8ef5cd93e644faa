//! What the live model says and what it is told.
//!
//! Knows nothing of telephones. [`wire`] is the Gemini Live JSON, [`session`] the life of one connection,
//! [`failure`] the ways in which it ends.

use std::time::Duration;

use crate::audio::Frame;
use crate::dialogue::Dialogue;

/// What came from the live connection. Borrows from the decoder's scratch buffers.
///
/// One message of the service can yield several events; their order here is the order in which they must be
/// handled (`interrupted` before audio, text before the audio it belongs to, `turnComplete` last).
#[derive(Debug, PartialEq)]
pub enum Event<'a> {
    /// The transport is up; setup may be sent.
    Opened,
    /// The service accepted the setup.
    SetupComplete { session_id: Option<&'a str> },
    /// The caller (or a text, or a tool result) cut the reply: everything buffered is stale.
    Interrupted,
    /// What the caller said, a fragment with its own spaces.
    InputTranscription(&'a str),
    /// What the model says, a fragment with its own spaces.
    OutputTranscription(&'a str),
    /// Model speech, 24 kHz PCM, any number of samples.
    Audio(&'a [i16]),
    /// The model has produced everything of this turn.
    GenerationComplete,
    /// The turn is over, about when it would have been played in real time.
    TurnComplete,
    /// Token counts of one turn (not running totals).
    Usage(Usage),
    /// The model wants a function called.
    ToolCall(ToolCall<'a>),
    /// A tool call must not be answered any more.
    ToolCallCancelled { id: &'a str },
    /// The service heard the caller begin or stop to speak.
    VoiceActivity(VoiceActivity),
    /// A handle for resuming this session, or the news that there is none at this moment. `consumed` is the index
    /// of the last client message that the handle's state contains, if the session is transparent.
    Resumption { handle: Option<&'a str>, resumable: bool, consumed: Option<u64> },
    /// The service will close this connection; `None`: it did not say when.
    GoAway { time_left: Option<Duration> },
    /// A message that could not be read; counted, never fatal.
    Malformed(Malformed),
    /// An error object in place of a close: the connection is still there, and of no use.
    Failed(failure::Failure),
    /// The connection could not be made, or ended; everything of it is released.
    Closed(failure::Failure),
    /// A connection that was to be closed is closed; everything of it is released.
    Released,
}

impl Event<'_> {
    /// The bytes of an event of which a service may send only so many, more for one that is answered or kept; `None` of
    /// speech, and of what only a connection's life brings.
    pub const fn bytes(&self) -> Option<usize> {
        /// A line of the log, and an answer.
        const KEPT: usize = 8 * 1024;
        match self {
            Self::InputTranscription(text) | Self::OutputTranscription(text) => Some(text.len()),
            Self::ToolCall(call) => Some(KEPT + call.name.len() + call.args.len()),
            Self::Resumption { handle: Some(handle), .. } => Some(KEPT + handle.len()),
            Self::GoAway { .. } => Some(KEPT),
            Self::Interrupted
            | Self::GenerationComplete
            | Self::TurnComplete
            | Self::Usage(_)
            | Self::ToolCallCancelled { .. }
            | Self::VoiceActivity(_)
            | Self::Resumption { handle: None, .. }
            | Self::Malformed(_) => Some(0),
            Self::Opened
            | Self::SetupComplete { .. }
            | Self::Audio(_)
            | Self::Failed(_)
            | Self::Closed(_)
            | Self::Released => None,
        }
    }
}

/// A function call of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToolCall<'a> {
    /// Opaque; missing on some models.
    pub id: Option<&'a str>,
    pub name: &'a str,
    /// The arguments, a JSON object as it came.
    pub args: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoiceActivity {
    Start,
    End,
}

/// What the live model is told.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a frame is owned by value: no allocation per frame")]
pub enum Command {
    /// The first message, and only the first.
    Setup(Box<Setup>),
    /// What was said before this session began; the first thing after `setupComplete`.
    Seed(Box<Dialogue>),
    /// Caller audio, PCM at the frame's rate.
    Audio(Frame),
    /// Text that counts as user activity.
    Text(String),
    /// A tool call answered with an error.
    ToolError { id: Option<String>, name: String, message: String },
    /// Close the socket with a handshake (1000): the service is healthy.
    Close,
    /// Drop the socket at once: the service has failed.
    Abort,
}

/// The configuration of a session.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    /// The name of a model, or its resource path where the endpoint wants another than `models/NAME`.
    pub model: String,
    /// One of the prebuilt voices; `None`: the service's choice.
    pub voice: Option<String>,
    /// BCP-47; `None`: the model chooses from context.
    pub language: Option<String>,
    pub prompt: String,
    pub temperature: Option<f32>,
    pub vad: Vad,
    /// Handle of the session to resume; `None` asks for a new session that wants handles.
    pub handle: Option<String>,
    /// Asks the service to tell which client messages a handle contains (Vertex AI alone can).
    pub is_transparent: bool,
    /// What was said before, for a new session in the middle of a call.
    pub history: Option<Box<Dialogue>>,
}

impl Setup {
    /// Whether the history is to follow as [`Command::Seed`]. Models of the 2.5 family take none that ends with
    /// the agent (Gemini Live API, seeding): theirs is part of the instruction.
    pub fn wants_seed(&self) -> bool {
        self.history.is_some() && !self.model.contains("2.5")
    }
}

/// Voice activity detection at the service. `None` leaves the service's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Vad {
    /// How readily speech is taken to begin.
    pub start_sensitivity: Option<Sensitivity>,
    /// How readily speech is taken to end.
    pub end_sensitivity: Option<Sensitivity>,
    /// Length of speech needed before it counts as begun, milliseconds.
    pub prefix_padding_ms: Option<u32>,
    /// Length of silence needed before speech counts as ended, milliseconds.
    pub silence_duration_ms: Option<u32>,
    /// `true`: the caller cannot interrupt the model.
    pub no_interruption: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sensitivity {
    Low,
    High,
}

/// A message from the service, or a part of one, that could not be read. What stands beside it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("not JSON of the protocol")]
    Json,
    #[error("JSON that is cut off or broken in places")]
    Syntax,
    #[error("audio is not base64")]
    Base64,
    #[error("audio in an unsupported format")]
    MimeType,
    #[error("`{0}` is not what it should be")]
    Field(&'static str),
    #[error("`{0}` is longer than any service needs")]
    TooLong(&'static str),
}

impl Malformed {
    /// Stable name for the call log.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Syntax => "syntax",
            Self::Base64 => "base64",
            Self::MimeType => "mime_type",
            Self::Field(_) => "field",
            Self::TooLong(_) => "too_long",
        }
    }

    /// The field concerned, as the protocol names it.
    pub const fn field(self) -> Option<&'static str> {
        match self {
            Self::Json | Self::Syntax => None,
            Self::Base64 => Some("serverContent.modelTurn.parts.inlineData.data"),
            Self::MimeType => Some("serverContent.modelTurn.parts.inlineData.mimeType"),
            Self::Field(field) | Self::TooLong(field) => Some(field),
        }
    }

    /// Whether nothing of the message, or none of its sound, could be used.
    pub const fn is_garbage(self) -> bool {
        matches!(self, Self::Json | Self::Base64)
    }
}

pub use self::usage::{Details, Modalities, Usage};

mod budget;
pub mod failure;
mod plan;
mod replay;
pub mod session;
mod setup_message;
mod usage;
pub mod wire;
