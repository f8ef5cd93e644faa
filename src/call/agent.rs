//! An agent: who answers a number, and how.

use serde::{Deserialize, Deserializer};

use super::clip::{Clip, ClipFile};
use crate::carrier::FollowUp;
use crate::live::Vad;

/// One `[[agents]]` entry of the configuration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Agent {
    /// Name in the call log.
    pub name: String,
    /// The dialled number it answers, E.164; `None` answers every number no other agent has.
    pub number: Option<String>,
    /// The business the call is accounted to.
    pub business_id: String,
    /// The system instruction.
    pub prompt: String,
    /// An instruction by which the model speaks first; `None` waits for the caller.
    pub greeting: Option<String>,
    /// Live model, without the `models/` prefix.
    pub model: String,
    /// Prebuilt voice; `None` is the service's choice.
    pub voice: Option<String>,
    /// BCP-47; `None` lets the model choose from context.
    pub language: Option<String>,
    pub temperature: Option<f32>,
    pub vad: Vad,
    /// A recorded greeting: heard at once, whatever the model does. It takes the place of `greeting`. A
    /// configuration names it as a [`ClipFile`]; whoever reads the configuration reads that file too.
    #[serde(deserialize_with = "unread")]
    pub greeting_clip: Option<Clip>,
    /// What becomes of a caller whom nobody can answer.
    pub last_resort: FollowUp,
}

impl Default for Agent {
    /// A polite receptionist for any number, on the model that is the service's default choice
    /// (Gemini Live models, November 2026).
    fn default() -> Self {
        Self {
            name: "default".to_owned(),
            number: None,
            business_id: "unknown".to_owned(),
            prompt: "You answer the telephone. Be friendly and brief: one or two sentences at a time."
                .to_owned(),
            greeting: Some("The call is connected. Greet the caller.".to_owned()),
            model: "gemini-3.8-live".to_owned(),
            voice: None,
            language: None,
            temperature: None,
            vad: Vad::default(),
            greeting_clip: None,
            last_resort: FollowUp::HangUp,
        }
    }
}

/// The name of a recording is none yet.
fn unread<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Clip>, D::Error> {
    ClipFile::deserialize(deserializer).map(|_| None)
}
