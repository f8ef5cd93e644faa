//! What callers get for whom there is no room.

use serde::{Deserialize, Serialize};

use super::answer::Verb;
use super::follow_up::FollowUp;

/// `[agents.overflow]` of the configuration: the answer to a call that is not admitted. Other than a busy tone it
/// answers the call, which the carrier bills.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Overflow {
    /// Read to the caller by the carrier's voice, first of all.
    pub say: Option<String>,
    /// BCP-47, of what is read; `None`: the carrier takes it for English.
    pub language: Option<String>,
    /// What becomes of the caller then.
    pub then: Then,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Then {
    #[default]
    HangUp,
    /// Connect the caller with this number, E.164.
    Transfer { to: String },
    /// Let the caller leave a message, which the carrier keeps.
    Voicemail,
    /// Let whoever is at this URL answer the call: another server, like this one or not.
    Redirect { url: String },
}

impl Overflow {
    /// The carrier refuses to read longer texts (Twilio, `<Say>`).
    pub const SAY_CHARACTERS_MAX: usize = 4096;

    /// The instructions for it. `recorded` is the URL that the carrier asks how to go on after a message.
    pub fn verbs(&self, recorded: &str) -> Vec<Verb> {
        let say = |text: &String| Verb::Say { text: text.clone(), language: self.language.clone() };
        self.say.iter().map(say).chain(self.then.verbs(recorded)).collect()
    }
}

impl Then {
    fn verbs(&self, recorded: &str) -> Vec<Verb> {
        match self {
            Self::HangUp => FollowUp::HangUp.verbs(recorded),
            Self::Transfer { to } => FollowUp::Transfer { to: to.clone() }.verbs(recorded),
            Self::Voicemail => FollowUp::Voicemail.verbs(recorded),
            Self::Redirect { url } => vec![Verb::Redirect { url: url.clone() }],
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::carrier::answer::document;

    #[rstest]
    #[case(None, Then::HangUp, "<Hangup/>")]
    #[case(Some("Busy."), Then::HangUp, "<Say language=\"de-DE\">Busy.</Say><Hangup/>")]
    #[case(None, Then::Transfer { to: "+14155550142".into() }, "<Dial>+14155550142</Dial><Hangup/>")]
    #[case(
        None,
        Then::Voicemail,
        "<Record action=\"https://a.example/recorded\" method=\"POST\" maxLength=\"180\" playBeep=\"true\"/><Hangup/>"
    )]
    #[case(
        Some("One moment."),
        Then::Redirect { url: "https://b.example.com/twilio/voice".into() },
        "<Say language=\"de-DE\">One moment.</Say>\
         <Redirect method=\"POST\">https://b.example.com/twilio/voice</Redirect>"
    )]
    fn a_caller_too_many_is_told_and_handed_on(
        #[case] say: Option<&str>,
        #[case] then: Then,
        #[case] verbs: &str,
    ) {
        let overflow = Overflow { say: say.map(str::to_owned), language: Some("de-DE".into()), then };
        assert!(
            document(&overflow.verbs("https://a.example/recorded"))
                .ends_with(&format!("<Response>{verbs}</Response>"))
        );
    }
}
