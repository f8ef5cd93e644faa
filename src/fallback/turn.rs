//! Whose turn it is in a conversation, and what the agent owes. Knows no job.

use std::time::Instant;

use super::reply::{Reply, Short};

/// What the model is told when a sound without words cut it short.
pub(super) const GO_ON: &str = "You were cut off in the middle by a noise on the line; the caller said nothing. \
                                 Go on from where you stopped. Do not mention it.";

/// What the model is told when the one before it failed in the middle of an answer; its words follow.
const FINISH: &str = "Your answer was cut off by a technical fault. The caller heard the words below. Go on directly \
                      after them, without repeating them and without mentioning the fault.";

/// What the model is told when its answer was longer than it may be; its words follow.
const CONCLUDE: &str = "Your answer was too long and was cut off. The caller heard the words below. Bring it to an end \
                        directly after them, in one or two short sentences, without repeating them.";

/// The agent's side.
#[derive(Debug)]
pub(super) enum Turn {
    Idle,
    /// The dialogue was asked for.
    Asked {
        attempt: u32,
    },
    Open {
        attempt: u32,
        reply: Box<Reply>,
    },
    /// The agent could not speak first, and tries again then.
    Pausing {
        until: Instant,
    },
    Closed,
}

/// What the agent has to say and did not begin to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owed {
    /// An answer to what the caller said.
    Answer,
    /// What this tells it to.
    Cue(String),
    /// The rest of an answer that is not whole, as this tells it to.
    Rest(String),
}

impl Owed {
    /// The rest of an answer of which the caller heard these words.
    pub(super) fn rest(short: Short, said: &str) -> Self {
        let cue = match short {
            Short::BrokenOff => FINISH,
            Short::AtLimit => CONCLUDE,
        };
        Self::Rest(format!("{cue}\n\n{said}"))
    }
}

/// What is made of sounds without words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wordless {
    /// The caller may have said something, and is asked to say it again.
    Speech,
    /// The caller was asked, and no words came since.
    Noise,
}

/// What a failure costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cost {
    /// It is made good, or nobody waits for it.
    Nothing,
    Turn,
}
