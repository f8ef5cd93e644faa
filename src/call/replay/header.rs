//! All that the machine knew when the call was answered.

use std::sync::Arc;
use std::time::Instant;

use ::time::OffsetDateTime;
use serde::{Deserialize, Serialize};

use crate::call::Admission;
use crate::call::agent::{Agent, Greeting};
use crate::call::clip::Clip;
use crate::call::context::Context;
use crate::call::record::Ledger;
use crate::call::services::Services;
use crate::id::CallId;
use crate::time::WallClock;

/// The first line of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Of the file.
    pub format: u32,
    /// Version of the program whose outputs are in the file.
    pub program: String,
    #[serde(with = "call_id")]
    pub call_id: CallId,
    /// The wall clock at the answer.
    #[serde(with = "::time::serde::rfc3339")]
    pub answered_at: OffsetDateTime,
    /// The number of the first record of the machine.
    pub next_sequence: u32,
    pub context: Context,
    pub agent: Agent,
    /// The agent's greeting, if it is a recording.
    pub greeting_clip: Option<Clip>,
    /// The announcement that calls are recorded, if there is one.
    #[serde(default)]
    pub announcement_clip: Option<Clip>,
    pub services: Services,
}

impl Header {
    /// The format that is written and read.
    pub const FORMAT: u32 = 1;

    /// The head of a call that is answered now.
    pub fn new(admission: &Admission, services: &Services, now: Instant) -> Self {
        let Admission { context, agent, ledger } = admission;
        let greeting_clip = match &agent.greeting {
            Greeting::Clip(clip) => Some(clip.clone()),
            Greeting::None | Greeting::Instruction(_) => None,
        };
        Self {
            format: Self::FORMAT,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            call_id: ledger.call(),
            answered_at: ledger.wall(now),
            next_sequence: ledger.next_sequence(),
            context: context.clone(),
            agent: (**agent).clone(),
            greeting_clip,
            announcement_clip: agent.keep.recording.as_ref().and_then(|kept| kept.announcement.clone()),
            services: services.clone(),
        }
    }

    /// The call as it was let in, to be answered at `now`.
    pub(super) fn admission(&self, now: Instant) -> (Admission, Arc<Services>) {
        let mut agent = self.agent.clone();
        if let Some(clip) = &self.greeting_clip {
            agent.greeting = Greeting::Clip(clip.clone());
        }
        if let Some(recording) = &mut agent.keep.recording {
            recording.announcement.clone_from(&self.announcement_clip);
        }
        let clock = WallClock::new(now, self.answered_at);
        let ledger = Ledger::resumed(self.call_id, clock, self.next_sequence);
        let admission = Admission { context: self.context.clone(), agent: Arc::new(agent), ledger };
        (admission, Arc::new(self.services.clone()))
    }
}

/// A call id as its text.
mod call_id {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};
    use uuid::Uuid;

    use crate::id::CallId;

    pub(super) fn serialize<S: Serializer>(id: &CallId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CallId, D::Error> {
        let text = String::deserialize(deserializer)?;
        Uuid::parse_str(&text).map(|id| CallId::new(id.as_u128())).map_err(D::Error::custom)
    }
}
