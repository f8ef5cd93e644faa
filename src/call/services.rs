//! What the process can offer a call: which live endpoints there are, and whether there is a fallback.

use serde::{Deserialize, Serialize};

use crate::fallback::Hearing;
use crate::live::session;

/// The same for all calls of a process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Services {
    pub live: session::Config,
    /// Endpoints of the live service, in the order in which they are tried.
    pub endpoints: Vec<Endpoint>,
    /// Whether there are providers for speech to text, thinking and text to speech.
    pub has_fallback: bool,
    /// How the fallback tells the caller's speech from other sounds.
    pub hearing: Hearing,
}

/// A place where the live service can be had.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Endpoint {
    /// Name in the call log.
    pub name: String,
    /// The model there, if it is not called what the agent calls it.
    pub model: Option<String>,
    /// Sessions there tell which messages they have taken in.
    pub is_transparent: bool,
}
