//! What the service did and saw, for tests, measurements and people who watch it.

use std::fmt;

/// Something that happened on one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    Connected,
    /// The first message, as it came.
    SetupReceived(String),
    FirstAudioHeard,
    SpeechStart,
    SpeechEnd,
    /// The first audio of an answer was sent.
    AnswerStarted,
    InterruptedSent,
    GenerationComplete,
    TurnComplete,
    ClientMessageRejected(String),
    /// How many samples of caller audio have come in, told at every second and at the end.
    AudioReceived {
        samples: u64,
    },
    Closed,
}

impl fmt::Display for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected => f.write_str("connected"),
            Self::SetupReceived(json) => write!(f, "setup received: {json}"),
            Self::FirstAudioHeard => f.write_str("first audio heard"),
            Self::SpeechStart => f.write_str("speech start"),
            Self::SpeechEnd => f.write_str("speech end"),
            Self::AnswerStarted => f.write_str("answer started"),
            Self::InterruptedSent => f.write_str("interrupted sent"),
            Self::GenerationComplete => f.write_str("generation complete"),
            Self::TurnComplete => f.write_str("turn complete"),
            Self::ClientMessageRejected(reason) => write!(f, "client message rejected: {reason}"),
            Self::AudioReceived { samples } => write!(f, "audio received: {samples} samples"),
            Self::Closed => f.write_str("closed"),
        }
    }
}
