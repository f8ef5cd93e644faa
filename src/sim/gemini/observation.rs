//! What the service did and saw, for tests, measurements and people who watch it.

use std::fmt;
use std::sync::Arc;

/// Something that happened on one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// The upgrade was refused with this HTTP status.
    UpgradeRefused(u16),
    Connected,
    /// The first message, as it came.
    SetupReceived(String),
    SetupComplete,
    HandleIssued(String),
    /// The session goes on where this handle was issued.
    HandleUsed(String),
    HandleRefused {
        handle: String,
        why: HandleFault,
    },
    FirstAudioHeard,
    SpeechStart,
    SpeechEnd,
    /// A `realtimeInput.text`.
    TextReceived(String),
    /// A `clientContent`: whether as history or to be answered, and its turns.
    ContentReceived {
        usage: ContentUse,
        turns: Vec<SeedTurn>,
    },
    ToolResultReceived {
        id: String,
        /// JSON.
        response: String,
    },
    /// The first audio of an answer was sent.
    AnswerStarted,
    /// `toolCall` was sent, with these ids.
    ToolCalled(Vec<String>),
    InterruptedSent,
    GenerationComplete,
    TurnComplete,
    GoAwaySent {
        time_left: Option<String>,
    },
    /// A planned fault happens, in words.
    FaultFired(String),
    ClientMessageRejected(String),
    /// How many samples of caller audio have come in on this connection, told at every second and at the end.
    AudioReceived {
        samples: u64,
    },
    /// One message of caller audio, told only where [`Hearing`](super::Hearing) asks for it: where it begins,
    /// counted from `setupComplete`, and its samples at the rate at which they were sent.
    AudioChunk {
        at_ms: u64,
        samples: Arc<[i16]>,
    },
    Closed(Closing),
}

/// Why a handle was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandleFault {
    Unknown,
    Expired,
    /// It belongs to a session with another model.
    ForeignModel,
    /// The connection that it was issued on is still open.
    StillOpen,
}

/// What a `clientContent` was taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentUse {
    /// Kept as history; nothing was answered.
    History,
    /// History that ended here.
    EndOfHistory,
    /// Input of the running conversation.
    Input,
}

/// A turn that a client wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedTurn {
    pub role: String,
    pub text: String,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closing {
    /// The client sent its close frame first; 1005 is one without a code.
    ByClient { code: u16, reason: String },
    /// The service sent its close frame first.
    ByServer { code: u16, reason: String },
    /// The service broke it off without a close frame.
    BrokenOff,
    /// The client is gone without a close frame.
    Lost,
}

impl Observation {
    /// Whether it tells of something sent: it did not happen where nothing is sent any more.
    pub(super) const fn is_of_sending(&self) -> bool {
        match self {
            Self::SetupComplete
            | Self::HandleIssued(_)
            | Self::AnswerStarted
            | Self::ToolCalled(_)
            | Self::InterruptedSent
            | Self::GenerationComplete
            | Self::TurnComplete
            | Self::GoAwaySent { .. } => true,
            Self::UpgradeRefused(_)
            | Self::Connected
            | Self::SetupReceived(_)
            | Self::HandleUsed(_)
            | Self::HandleRefused { .. }
            | Self::FirstAudioHeard
            | Self::SpeechStart
            | Self::SpeechEnd
            | Self::TextReceived(_)
            | Self::ContentReceived { .. }
            | Self::ToolResultReceived { .. }
            | Self::FaultFired(_)
            | Self::ClientMessageRejected(_)
            | Self::AudioReceived { .. }
            | Self::AudioChunk { .. }
            | Self::Closed(_) => false,
        }
    }
}

impl fmt::Display for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UpgradeRefused(status) => write!(f, "upgrade refused: {status}"),
            Self::Connected => f.write_str("connected"),
            Self::SetupReceived(json) => write!(f, "setup received: {json}"),
            Self::SetupComplete => f.write_str("setup complete"),
            Self::HandleIssued(handle) => write!(f, "handle issued: {handle}"),
            Self::HandleUsed(handle) => write!(f, "handle used: {handle}"),
            Self::HandleRefused { handle, why } => write!(f, "handle refused: {handle} ({why:?})"),
            Self::FirstAudioHeard => f.write_str("first audio heard"),
            Self::SpeechStart => f.write_str("speech start"),
            Self::SpeechEnd => f.write_str("speech end"),
            Self::TextReceived(text) => write!(f, "text received: {text}"),
            Self::ContentReceived { usage, turns } => {
                write!(f, "content received ({usage:?}):")?;
                turns.iter().try_for_each(|turn| write!(f, " [{}] {}", turn.role, turn.text))
            }
            Self::ToolResultReceived { id, response } => write!(f, "tool result received: {id} {response}"),
            Self::AnswerStarted => f.write_str("answer started"),
            Self::ToolCalled(ids) => write!(f, "tool called: {}", ids.join(" ")),
            Self::InterruptedSent => f.write_str("interrupted sent"),
            Self::GenerationComplete => f.write_str("generation complete"),
            Self::TurnComplete => f.write_str("turn complete"),
            Self::GoAwaySent { time_left } => {
                write!(f, "goAway sent: {}", time_left.as_deref().unwrap_or("no time left"))
            }
            Self::FaultFired(fault) => write!(f, "fault: {fault}"),
            Self::ClientMessageRejected(reason) => write!(f, "client message rejected: {reason}"),
            Self::AudioReceived { samples } => write!(f, "audio received: {samples} samples"),
            Self::AudioChunk { at_ms, samples } => {
                write!(f, "audio at {at_ms} ms: {} samples", samples.len())
            }
            Self::Closed(closing) => write!(f, "closed {closing}"),
        }
    }
}

impl fmt::Display for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByClient { code, reason } => write!(f, "by the client: {code} {reason}"),
            Self::ByServer { code, reason } => write!(f, "by the service: {code} {reason}"),
            Self::BrokenOff => f.write_str("by the service without a close frame"),
            Self::Lost => f.write_str("by the client without a close frame"),
        }
    }
}
