//! What a test may know of a request.

use std::fmt;
use std::time::{Duration, Instant};

use super::fault::Fault;
use super::route::{Kind, Route};

/// An observation: when, of which request (counted from 1), and on which route.
#[derive(Clone, Debug)]
pub struct Sighting {
    pub at: Instant,
    pub request: u64,
    pub route: Route,
    pub observation: Observation,
}

/// The life of a request. One of the last four ends it.
#[derive(Clone, Debug, PartialEq)]
pub enum Observation {
    /// It is right, and this is what it asks for.
    Asked(Asked),
    /// Its answer will go wrong.
    Faulted(Fault),
    /// The whole answer was given to the connection.
    Answered,
    /// It was answered with an HTTP error.
    Refused { status: u16 },
    /// The server closed the connection before the end of the answer.
    Broken,
    /// The client went away before the end of the answer; everything is released.
    Abandoned,
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// Empty where the service has no models.
    pub model: String,
    pub delivery: Delivery,
    pub subject: Subject,
}

/// How the answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    Whole,
    Stream,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    Dialogue(Dialogue),
    Recording(Recording),
    Text { text: String, voice: String },
    Catalogue,
}

/// What a language model is told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dialogue {
    pub instruction: String,
    /// Lines of both sides.
    pub lines: usize,
    /// The last line of the caller; empty if there is none.
    pub last: String,
    pub temperature: Option<f64>,
    /// The longest answer wanted.
    pub tokens_max: Option<u64>,
}

/// What there is to transcribe.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// None where it is in an encoding that is not decoded here.
    pub length: Option<Duration>,
    pub rate: Option<u32>,
    pub is_silent: bool,
    pub language: Option<String>,
}

impl Subject {
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Dialogue(_) => Kind::Llm,
            Self::Recording(_) => Kind::Stt,
            Self::Text { .. } => Kind::Tts,
            Self::Catalogue => Kind::Catalogue,
        }
    }
}

impl fmt::Display for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked(asked) => write!(f, "asked {asked}"),
            Self::Faulted(fault) => write!(f, "fault {fault}"),
            Self::Answered => f.write_str("answered"),
            Self::Refused { status } => write!(f, "refused with {status}"),
            Self::Broken => f.write_str("broken off"),
            Self::Abandoned => f.write_str("abandoned by the client"),
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Subject::Dialogue(dialogue) => write!(f, "{:?} after {} lines", dialogue.last, dialogue.lines)?,
            Subject::Recording(Recording { length: Some(length), .. }) => {
                write!(f, "to transcribe {} ms", length.as_millis())?;
            }
            Subject::Recording(_) => f.write_str("to transcribe")?,
            Subject::Text { text, voice } => write!(f, "to speak {text:?} as {voice:?}")?,
            Subject::Catalogue => f.write_str("for the models")?,
        }
        write!(f, " ({:?})", self.model)
    }
}
