//! When a connection issues resumption handles, and what the updates say.

use serde_json::{Value, json};

use super::behaviour::Behaviour;
use super::conversation::Memory;
use super::handles::{Issue, Registry};
use super::personality::Personality;
use super::request::Setup;

/// The handles of one connection.
#[derive(Debug)]
pub(super) struct Resumption {
    registry: Registry,
    connection: u32,
    model: String,
    personality: Personality,
    asked: Asked,
    /// The number of the last client message that was consumed.
    consumed: u64,
}

/// Whether, and how, `setup` asks for handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// And none are given.
    Never,
    No,
    Yes,
    Transparently,
}

/// When an update may be due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    SetupComplete,
    /// The model begins to generate.
    Generating,
    ToolCalled,
    ToolAnswered,
    TurnComplete,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// An update without a handle: the session cannot be resumed at this moment.
    Withheld,
    Handle,
}

impl Resumption {
    pub(super) fn new(registry: Registry, connection: u32, behaviour: &Behaviour, setup: &Setup) -> Self {
        let asked = match &setup.session_resumption {
            _ if behaviour.handles.issue == Issue::Never => Asked::Never,
            None => Asked::No,
            Some(resumption) if resumption.transparent => Asked::Transparently,
            Some(_) => Asked::Yes,
        };
        let (model, personality) = (setup.model.clone(), behaviour.personality);
        Self { registry, connection, model, personality, asked, consumed: behaviour.handles.first_index }
    }

    /// Another client message has been consumed.
    pub(super) const fn count_message(&mut self) {
        self.consumed += 1;
    }

    /// What is due on this occasion: 2.5 withholds handles while it generates, 3.8 does not; 3.8 tells one at
    /// the beginning though nobody asked, 3.1 after the result of a function.
    pub(super) const fn due(&self, occasion: Occasion) -> Due {
        let is_unasked = match self.asked {
            Asked::Never => return Due::Nothing,
            Asked::No => true,
            Asked::Yes | Asked::Transparently => false,
        };
        match (occasion, self.personality) {
            (Occasion::SetupComplete, Personality::Live38)
            | (Occasion::ToolAnswered, Personality::Flash31) => Due::Handle,
            _ if is_unasked => Due::Nothing,
            (Occasion::SetupComplete | Occasion::TurnComplete, _)
            | (Occasion::ToolCalled, Personality::Live38) => Due::Handle,
            (Occasion::Generating | Occasion::ToolCalled, Personality::Native25) => Due::Withheld,
            (Occasion::Generating | Occasion::ToolCalled | Occasion::ToolAnswered, _) => Due::Nothing,
        }
    }

    /// The update that issues this handle for this memory.
    pub(super) fn issue(&self, handle: &str, memory: Memory) -> Value {
        self.registry.issue(handle.to_owned(), self.connection, &self.model, memory);
        let mut update = json!({ "newHandle": handle, "resumable": true });
        if self.asked == Asked::Transparently {
            update["lastConsumedClientMessageIndex"] = self.consumed.to_string().into();
        }
        update
    }
}
