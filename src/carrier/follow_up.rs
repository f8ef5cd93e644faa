//! What becomes of a caller when the stream is over and the call is not.

use serde::{Deserialize, Serialize};

use super::answer::Verb;

/// How long a message on the voicemail may be. Longer ones are nobody speaking.
const MESSAGE_MAX_S: u32 = 180;

/// What the carrier does with the caller after the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum FollowUp {
    #[default]
    HangUp,
    /// Connect the caller with a person.
    Transfer {
        /// E.164.
        to: String,
    },
    /// Let the caller leave a message, which the carrier keeps.
    Voicemail,
}

impl FollowUp {
    /// The instructions for it. `recorded` is the URL that the carrier asks how to go on after a message.
    pub fn verbs(&self, recorded: &str) -> Vec<Verb> {
        match self {
            Self::HangUp => vec![Verb::Hangup],
            Self::Transfer { to } => vec![Verb::Dial { number: to.clone() }, Verb::Hangup],
            Self::Voicemail => {
                vec![Verb::Record { seconds_max: MESSAGE_MAX_S, action: recorded.to_owned() }, Verb::Hangup]
            }
        }
    }

    /// Stable name for the call log.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::HangUp => "hang_up",
            Self::Transfer { .. } => "transfer",
            Self::Voicemail => "voicemail",
        }
    }
}
