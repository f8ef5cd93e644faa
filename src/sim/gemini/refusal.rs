//! Why the service closes a socket: each reason with the text and the close code of the real service.

/// A client message or a setup that the service does not take. `Display` is the text of the close frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("Invalid JSON payload received. {0}")]
    Syntax(String),
    #[error("Invalid JSON payload received. Unknown name \"{name}\"{}: Cannot find field.", at(.path))]
    UnknownName { name: String, path: String },
    #[error("Invalid value{} ({kind}), {value}", at(.path))]
    InvalidValue { path: String, kind: &'static str, value: String },
    #[error("Invalid value{} (oneof), oneof field '{oneof}' is already set. Cannot set '{name}'", at(.path))]
    OneofTwice { path: String, oneof: &'static str, name: String },
    #[error("setup must be the first message and only the first")]
    SetupFirst,
    #[error("Request contains an invalid argument.")]
    InvalidArgument,
    #[error("API key not valid. Please pass a valid API key.")]
    KeyNotValid,
    #[error(
        "Method doesn't allow unregistered callers (callers without established identity). Please use API Key"
    )]
    Unregistered,
    #[error("realtime_input.media_chunks is deprecated. Use audio, video, or text instead.")]
    MediaChunks,
    #[error("The requested combination of response modalities ({0}) is not supported by the model. {1}")]
    Modalities(String, String),
    #[error("Requested voice '{0}' is not available.")]
    Voice(String),
    #[error("Thinking level is not supported for this model.")]
    ThinkingLevel,
    #[error("Invalid audio: expected 16khz s16le pcm, mono channel, or audio/pcm with its rate.")]
    AudioFormat,
    #[error("Code Execution tool is not supported for this model.")]
    CodeExecution,
    #[error("Invalid session handle")]
    InvalidHandle,
    #[error("BidiGenerateContent session not found")]
    SessionNotFound,
    #[error("Internal error encountered.")]
    Internal,
    #[error("Explicit activity control is not supported when automatic activity detection is enabled.")]
    ExplicitActivity,
}

impl Refusal {
    /// The WebSocket close code.
    pub const fn code(&self) -> u16 {
        match self {
            Self::Internal => 1011,
            Self::Unregistered | Self::SessionNotFound => 1008,
            Self::Syntax(_)
            | Self::UnknownName { .. }
            | Self::InvalidValue { .. }
            | Self::OneofTwice { .. }
            | Self::SetupFirst
            | Self::InvalidArgument
            | Self::KeyNotValid
            | Self::MediaChunks
            | Self::Modalities(..)
            | Self::Voice(_)
            | Self::ThinkingLevel
            | Self::AudioFormat
            | Self::CodeExecution
            | Self::InvalidHandle
            | Self::ExplicitActivity => 1007,
        }
    }
}

fn at(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!(" at '{path}'") }
}
