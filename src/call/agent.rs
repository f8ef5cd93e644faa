//! An agent: who answers a number, and how.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::clip::{Clip, ClipFile};
use crate::carrier::FollowUp;
use crate::live::Vad;

/// One `[[agents]]` entry of the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// How the agent speaks first, if it does.
    pub greeting: Greeting,
    /// Live model, without the `models/` prefix.
    pub model: String,
    /// Prebuilt voice; `None` is the service's choice.
    pub voice: Option<String>,
    /// BCP-47; `None` lets the model choose from context.
    pub language: Option<String>,
    pub temperature: Option<f32>,
    pub vad: Vad,
    /// What becomes of a caller whom nobody can answer.
    pub last_resort: FollowUp,
    /// What is kept of its calls beside the call log.
    pub keep: Keep,
}

/// The first words of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Greeting {
    /// The agent waits for the caller.
    #[default]
    None,
    /// An instruction by which the model speaks first.
    Instruction(String),
    /// A recording: heard at once, whatever the model does.
    Clip(Clip),
}

/// What is kept of a call beside its log, for people: nothing unless the agent says so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keep {
    /// What carrier, model and providers said and when, for `patchcord replay`.
    pub inputs: bool,
    /// The sound of both sides.
    pub recording: Option<Recording>,
}

/// How calls are recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recording {
    /// What the caller hears first, so that they know. Named as a [`ClipFile`], like a recorded greeting.
    #[serde(skip_serializing, deserialize_with = "named")]
    pub announcement: Option<Clip>,
    /// How long a recording is kept; `None`: until somebody deletes it.
    pub retention_days: Option<u32>,
}

/// Whoever reads the configuration reads the file of a recording too, so here it is none yet.
fn named<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Clip>, D::Error> {
    ClipFile::deserialize(deserializer).map(|_| None)
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
            greeting: Greeting::Instruction("The call is connected. Greet the caller.".to_owned()),
            model: "gemini-3.8-live".to_owned(),
            voice: None,
            language: None,
            temperature: None,
            vad: Vad::default(),
            last_resort: FollowUp::HangUp,
            keep: Keep::default(),
        }
    }
}

impl Greeting {
    /// What the model is told, if it is the one who greets.
    pub fn instruction(&self) -> Option<&str> {
        match self {
            Self::Instruction(text) => Some(text),
            Self::None | Self::Clip(_) => None,
        }
    }
}

/// An instruction as its text; a recording is kept elsewhere, here it is none.
impl Serialize for Greeting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.instruction().unwrap_or_default())
    }
}

/// Text is an instruction, and empty text none: TOML has no null. A recording is named as a [`ClipFile`]; whoever
/// reads the configuration reads that file too, so here it is none yet.
impl<'de> Deserialize<'de> for Greeting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Expected;

        impl<'de> Visitor<'de> for Expected {
            type Value = Greeting;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an instruction, or a recording { file, text }")
            }

            fn visit_str<E>(self, text: &str) -> Result<Greeting, E> {
                let instruction = || Greeting::Instruction(text.to_owned());
                Ok(if text.trim().is_empty() { Greeting::None } else { instruction() })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Greeting, A::Error> {
                ClipFile::deserialize(MapAccessDeserializer::new(map)).map(|_| Greeting::None)
            }
        }

        deserializer.deserialize_any(Expected)
    }
}
