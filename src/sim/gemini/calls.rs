//! Function calls: which were made, and which still want their results.
//!
//! Pure. Knows nothing of who speaks meanwhile.

use std::collections::{HashMap, HashSet};

use super::personality::Personality;
use super::refusal::Refusal;
use super::request::{Behavior, FunctionResponse, Scheduling, Setup};
use super::scenario::Call;
use super::script::Reply;

/// Calls that were made together, and the answer that waits for their results.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) waiting: Vec<String>,
    pub(super) reply: Reply,
    pub(super) scheduling: Scheduling,
}

impl Group {
    /// Takes a result; whether it was the last one missing.
    pub(super) fn take(&mut self, response: &FunctionResponse) -> bool {
        let was_waiting = !self.waiting.is_empty();
        if !response.will_continue && self.waiting.contains(&response.id) {
            self.waiting.retain(|id| *id != response.id);
            self.scheduling = response.scheduling;
        }
        was_waiting && self.waiting.is_empty()
    }
}

/// The calls of one connection.
#[derive(Debug)]
pub(super) struct Calls {
    personality: Personality,
    declared: HashMap<String, Behavior>,
    issued: HashSet<String>,
    /// Calls that run while the conversation goes on.
    background: Vec<Group>,
    /// Calls of before a resume: 3.8 stays stuck on them until each is answered with an error.
    stuck: Vec<String>,
    /// Ids of before a resume are answered without harm.
    origin: Origin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Fresh,
    Resumed,
}

impl Calls {
    pub(super) fn new(personality: Personality, setup: &Setup, pending: Option<Vec<String>>) -> Self {
        let functions = setup.tools.iter().flat_map(|tool| &tool.function_declarations);
        Self {
            personality,
            declared: functions.map(|function| (function.name.clone(), function.behavior)).collect(),
            issued: HashSet::new(),
            background: Vec::new(),
            origin: if pending.is_some() { Origin::Resumed } else { Origin::Fresh },
            stuck: pending.filter(|_| personality == Personality::Live38).unwrap_or_default(),
        }
    }

    /// Whether the model waits for the results of these.
    pub(super) fn wants_wait(&self, calls: &[Call]) -> bool {
        let behavior = |call: &Call| self.declared.get(&call.name).copied().unwrap_or_default();
        calls.iter().any(|call| self.personality.waits_for(behavior(call)))
    }

    pub(super) fn issue(&mut self, ids: Vec<String>, reply: Reply) -> Group {
        self.issued.extend(ids.iter().cloned());
        Group { waiting: ids, reply, scheduling: Scheduling::default() }
    }

    pub(super) fn run_in_background(&mut self, group: Group) {
        self.background.push(group);
    }

    /// Takes a result; the groups that are complete with it. An id that was never issued is an error; what
    /// was cancelled is ignored, and so is what was asked for before a resume.
    pub(super) fn take(&mut self, response: &FunctionResponse) -> Result<Vec<Group>, Refusal> {
        if response.response.contains_key("error") {
            self.stuck.retain(|id| *id != response.id);
        }
        if self.origin == Origin::Fresh && !self.issued.contains(&response.id) {
            return Err(Refusal::InvalidArgument);
        }
        Ok(self.background.extract_if(.., |group| group.take(response)).collect())
    }

    /// Whether the next turn only ends what was left open before a resume.
    pub(super) fn take_stuck(&mut self) -> bool {
        !std::mem::take(&mut self.stuck).is_empty()
    }

    /// The calls that wait for results while the conversation goes on.
    pub(super) fn pending(&self) -> Vec<String> {
        let waiting = self.background.iter().flat_map(|group| &group.waiting);
        self.stuck.iter().chain(waiting).cloned().collect()
    }
}
