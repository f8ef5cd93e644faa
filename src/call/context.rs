//! What is known about a call before anything can fail.

use std::collections::BTreeMap;

use ::time::OffsetDateTime;
use serde::{Deserialize, Serialize};

/// The text of every identity that is not known.
pub const UNKNOWN: &str = "unknown";

/// Who calls whom and for which agent. Built first and from whatever is there: every field has a safe default,
/// so that each failure afterwards is recorded with a complete context.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// The carrier's name, `twilio`.
    pub carrier: String,
    /// The carrier's id of the call.
    pub call_sid: String,
    /// The carrier's id of the account.
    pub account_sid: String,
    pub business_id: String,
    /// Name of the agent that answers.
    pub agent: String,
    /// Live model of the agent.
    pub model: String,
    pub direction: Direction,
    /// Caller, as the carrier gave it.
    pub from: String,
    /// Dialled number, as the carrier gave it.
    pub to: String,
    /// The full system instruction this call ran with; empty until an agent is found.
    pub prompt: String,
    /// Parameters of the stream, by name.
    pub parameters: BTreeMap<String, String>,
    #[serde(with = "::time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
}

impl Context {
    /// A context in which nothing but the time is known.
    pub fn unknown(started_at: OffsetDateTime) -> Self {
        let unknown = || UNKNOWN.to_owned();
        Self {
            carrier: unknown(),
            call_sid: unknown(),
            account_sid: unknown(),
            business_id: unknown(),
            agent: unknown(),
            model: unknown(),
            direction: Direction::Unknown,
            from: unknown(),
            to: unknown(),
            prompt: String::new(),
            parameters: BTreeMap::new(),
            started_at,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Inbound,
    Outbound,
    Unknown,
}

impl Direction {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
            Self::Unknown => UNKNOWN,
        }
    }
}
