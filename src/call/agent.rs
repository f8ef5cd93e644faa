//! An agent: who answers a number, and how.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::clip::{Clip, ClipFile};
use crate::carrier::{FollowUp, Overflow};
use crate::live::Vad;

/// One `[[agents]]` entry of the configuration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Agent {
    /// Name in the call log.
    pub name: String,
    /// The party it answers for, a number (E.164) or a SIP address; `None` answers for every party no other agent has.
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
    #[serde(flatten)]
    pub otherwise: Otherwise,
    /// What is kept of its calls beside the call log.
    pub keep: Keep,
}

/// What becomes of callers whom the agent does not answer. In the configuration these are keys of the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Otherwise {
    /// Of a caller whom nobody can answer.
    pub last_resort: FollowUp,
    /// Of one for whom the server has no room; `None`: a busy tone. No call that runs needs to know.
    #[serde(skip)]
    pub overflow: Option<Overflow>,
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
            otherwise: Otherwise::default(),
            keep: Keep::default(),
        }
    }
}

/// The keys of an agent.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    Name,
    Number,
    BusinessId,
    Prompt,
    Greeting,
    Model,
    Voice,
    Language,
    Temperature,
    Vad,
    LastResort,
    Overflow,
    Keep,
}

/// Written by hand, because a flattened group would cost errors the line and the names that are known.
impl<'de> Deserialize<'de> for Agent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Expected;

        impl<'de> Visitor<'de> for Expected {
            type Value = Agent;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an agent")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Agent, A::Error> {
                let mut agent = Agent::default();
                while let Some(key) = map.next_key()? {
                    match key {
                        Key::Name => agent.name = map.next_value()?,
                        Key::Number => agent.number = map.next_value()?,
                        Key::BusinessId => agent.business_id = map.next_value()?,
                        Key::Prompt => agent.prompt = map.next_value()?,
                        Key::Greeting => agent.greeting = map.next_value()?,
                        Key::Model => agent.model = map.next_value()?,
                        Key::Voice => agent.voice = map.next_value()?,
                        Key::Language => agent.language = map.next_value()?,
                        Key::Temperature => agent.temperature = map.next_value()?,
                        Key::Vad => agent.vad = map.next_value()?,
                        Key::LastResort => agent.otherwise.last_resort = map.next_value()?,
                        Key::Overflow => agent.otherwise.overflow = map.next_value()?,
                        Key::Keep => agent.keep = map.next_value()?,
                    }
                }
                Ok(agent)
            }
        }

        deserializer.deserialize_map(Expected)
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
