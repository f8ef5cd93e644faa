//! Where in its scenario a conversation is.

use std::sync::Arc;

use super::scenario::{Call, Ending, Scenario, Turn, Utterance};

/// What a reply answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cue {
    /// The caller said something.
    Speech,
    /// The client wrote something.
    Text,
}

/// A reply that is being thought about. Nothing is used up before it is [committed](Script::commit).
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) source: Source,
    pub(super) call: Option<Call>,
    pub(super) lines: Vec<Utterance>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Greeting,
    Turn,
    /// The rest of a turn, after its function call.
    Result,
}

#[derive(Debug)]
pub(super) struct Script {
    scenario: Arc<Scenario>,
    stage: Stage,
    /// Turns used up.
    turns: usize,
    /// Turns whose words were told.
    told: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Fresh,
    /// Somebody has spoken, the caller or the model.
    Underway,
}

impl Script {
    pub(super) const fn new(scenario: Arc<Scenario>) -> Self {
        Self { scenario, stage: Stage::Fresh, turns: 0, told: 0 }
    }

    /// The samples of the probe, if this is one.
    pub(super) fn probe(&self) -> Option<&Arc<[i16]>> {
        match &self.scenario.ending {
            Ending::Probe(burst) => Some(burst),
            Ending::Silence | Ending::Repeat => None,
        }
    }

    /// The caller has finished a turn: the words heard. A turn that goes on after a pause has been told.
    pub(super) fn hear(&mut self) -> Option<String> {
        self.stage = Stage::Underway;
        let heard = self.turn().map(|turn| turn.heard.clone()).filter(|_| self.told <= self.turns)?;
        self.told = self.turns + 1;
        Some(heard)
    }

    /// The reply to this cue; none where the scenario keeps silent.
    pub(super) fn reply(&mut self, cue: Cue) -> Option<Reply> {
        if self.stage == Stage::Fresh && cue == Cue::Text {
            let greeting = self.scenario.greeting.clone()?;
            return Some(Reply { source: Source::Greeting, call: None, lines: vec![greeting] });
        }
        let turn = self.turn()?;
        if turn.say.is_empty() && turn.call.is_none() {
            self.turns += 1;
            return None;
        }
        Some(Reply { source: Source::Turn, call: turn.call.clone(), lines: turn.say.clone() })
    }

    /// The reply begins to be given.
    pub(super) const fn commit(&mut self, source: Source) {
        self.stage = Stage::Underway;
        if matches!(source, Source::Turn) {
            self.turns += 1;
        }
    }

    fn turn(&self) -> Option<&Turn> {
        let turns = &self.scenario.turns;
        match self.scenario.ending {
            Ending::Repeat if !turns.is_empty() => turns.get(self.turns % turns.len()),
            Ending::Repeat | Ending::Silence | Ending::Probe(_) => turns.get(self.turns),
        }
    }
}
