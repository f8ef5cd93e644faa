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
    pub(super) calls: Vec<Call>,
    pub(super) filler: Option<Utterance>,
    pub(super) lines: Vec<Utterance>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Greeting,
    Turn,
    /// The rest of a turn, after its function call.
    Result,
}

#[derive(Clone, Debug)]
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

    /// The client writes what was said before: the conversation goes on behind the last turn that is found in
    /// it, or in that turn if its answer is not there.
    pub(super) fn recall(&mut self, text: &str) {
        let said = |line: &Utterance| !line.text.is_empty() && text.contains(line.text.as_str());
        for (index, turn) in self.scenario.turns.iter().enumerate().skip(self.turns) {
            if !turn.say.is_empty() && turn.say.iter().all(said) {
                (self.turns, self.told) = (index + 1, index + 1);
            } else if !turn.heard.is_empty() && text.contains(turn.heard.as_str()) {
                (self.turns, self.told) = (index, index + 1);
            } else {
                continue;
            }
            self.stage = Stage::Underway;
        }
    }

    /// The reply to this cue; none where the scenario keeps silent.
    pub(super) fn reply(&mut self, cue: Cue) -> Option<Reply> {
        if self.stage == Stage::Fresh && cue == Cue::Text {
            let greeting = self.scenario.greeting.clone()?;
            let (calls, filler) = (Vec::new(), None);
            return Some(Reply { source: Source::Greeting, calls, filler, lines: vec![greeting] });
        }
        let turn = self.turn()?;
        if turn.say.is_empty() && turn.calls.is_empty() {
            self.turns += 1;
            return None;
        }
        let Turn { calls, filler, say, .. } = turn.clone();
        Some(Reply { source: Source::Turn, calls, filler, lines: say })
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
