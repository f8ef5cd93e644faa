//! Who speaks: turns of the caller, answers of the model, and how they cut each other off.
//!
//! Sans-IO: requests, audio and the time go in, messages come out. Knows nothing of setup and sockets.

mod input;
mod tools;

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use super::behaviour::Behaviour;
use super::calls::{Calls, Group};
use super::ears::Ears;
use super::fault::{Moment, Spoil};
use super::observation::Observation;
use super::outputs::Outputs;
use super::plan::Part;
use super::refusal::Refusal;
use super::request::{ActivityHandling, Request, Setup};
use super::resumption::{Due, Occasion, Resumption};
use super::scenario::Utterance;
use super::script::{Cue, Reply, Script, Source};
use super::session::Arrival;
use super::speech::{Answer, Mouth};
use super::spoil::Manner;

/// One conversation, from `setupComplete` on.
#[derive(Debug)]
pub(super) struct Conversation {
    behaviour: Arc<Behaviour>,
    handling: ActivityHandling,
    /// Whether the caller's words are told.
    tells_heard: bool,
    ears: Ears,
    /// Samples of caller audio that have come in.
    received: u64,
    history: History,
    script: Script,
    floor: Floor,
    /// What wants an answer as soon as the current one is over.
    queued: Queued,
    calls: Calls,
    resumption: Resumption,
    mouth: Mouth,
}

/// What a handle stands for.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    script: Script,
    history: History,
    /// Calls that wait for their results.
    pending: Vec<String>,
}

/// What waits until the floor is free.
#[derive(Debug, Default)]
struct Queued {
    cue: Option<Cue>,
    /// An answer from the results of functions that the model did not wait for.
    reply: Option<Reply>,
}

/// Whose turn it is.
#[derive(Debug)]
enum Floor {
    Idle,
    Thinking { until: Instant, reply: Reply },
    Calling(Group),
    Answering(Answer),
}

/// What `clientContent` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum History {
    /// It is history, until the first one that is complete.
    Seeding,
    Fresh,
    /// The model has said something.
    Underway,
}

impl Conversation {
    /// A new conversation, or the one that this memory is of.
    pub(super) fn new(arrival: &Arrival, setup: &Setup, memory: Option<Memory>) -> Self {
        let behaviour = Arc::clone(&arrival.behaviour);
        let personality = behaviour.personality;
        let is_seeded = setup.history_config.initial_history_in_client_content;
        let (script, history, pending) = match memory {
            Some(memory) => (memory.script, memory.history, Some(memory.pending)),
            None if is_seeded => (Script::new(Arc::clone(&arrival.scenario)), History::Seeding, None),
            None => (Script::new(Arc::clone(&arrival.scenario)), History::Fresh, None),
        };
        let input = &setup.realtime_input_config;
        let ears = match script.probe() {
            Some(_) => Ears::probe(),
            None => Ears::new(&input.automatic_activity_detection, personality.is_vertex()),
        };
        Self {
            handling: input.activity_handling,
            tells_heard: personality.is_3x() || setup.input_audio_transcription.is_some(),
            ears,
            received: 0,
            history,
            script,
            floor: Floor::Idle,
            queued: Queued::default(),
            calls: Calls::new(personality, setup, pending),
            resumption: Resumption::new(arrival.registry.clone(), arrival.connection, &behaviour, setup),
            mouth: Mouth::new(personality, setup, arrival.seed),
            behaviour,
        }
    }

    pub(super) const fn outputs(&mut self) -> &mut Outputs {
        &mut self.mouth.outputs
    }

    /// What the service says first.
    pub(super) fn open(&mut self) {
        self.mouth.setup_complete();
        self.update_handle(Occasion::SetupComplete);
        self.outputs().reach(Moment::SetupComplete);
    }

    /// The connection has ended.
    pub(super) fn close(&mut self) {
        let samples = self.received;
        self.outputs().observe(Observation::AudioReceived { samples });
    }

    pub(super) fn handle_request(&mut self, request: Request, now: Instant) -> Result<(), Refusal> {
        match request {
            Request::Setup(_) => return Err(Refusal::SetupFirst),
            Request::RealtimeInput(input) => self.handle_realtime(&input, now)?,
            Request::ClientContent(content) => self.handle_content(&content, now)?,
            Request::ToolResponse(response) => self.handle_tool_response(&response, now)?,
            Request::ContextUpdate => {}
        }
        self.resumption.count_message();
        self.handle_timeout(now);
        Ok(())
    }

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while self.poll_timeout().is_some_and(|due| due <= now) {
            match std::mem::replace(&mut self.floor, Floor::Idle) {
                Floor::Idle => {}
                Floor::Thinking { reply, .. } => self.start(reply, now),
                floor @ Floor::Calling(_) => self.floor = floor,
                Floor::Answering(answer) => self.go_on(answer, now),
            }
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match &self.floor {
            Floor::Idle | Floor::Calling(_) => None,
            Floor::Thinking { until, .. } => Some(*until),
            Floor::Answering(answer) => answer.due(),
        }
    }

    /// Spoils the answer being given, if something was planned for it.
    pub(super) fn handle_spoils(&mut self, now: Instant) {
        let Floor::Answering(answer) = &mut self.floor else { return };
        let Some(spoil) = self.mouth.outputs.take_spoil() else { return };
        let lines = std::mem::take(&mut answer.lines);
        let (sent, of) = (answer.sent, answer.of);
        let spoiled = self.answer_from(lines, Some(spoil), now);
        self.floor = Floor::Answering(Answer { sent, of, ..spoiled });
    }

    /// Stops whatever the model is at. An answer that it only thought about was never begun.
    fn interrupt(&mut self) {
        self.queued.cue = None;
        match std::mem::replace(&mut self.floor, Floor::Idle) {
            Floor::Idle | Floor::Thinking { .. } => {}
            Floor::Calling(group) => {
                self.mouth.cancel_calls(&group.waiting);
                self.mouth.interrupted();
                self.end_turn();
            }
            Floor::Answering(mut answer) => {
                self.mouth.interrupted();
                let stale = self.outputs().take_stale().max(self.behaviour.stale);
                for part in answer.take_stale(stale) {
                    self.mouth.say(&part, &answer.lines);
                }
                self.end_turn();
            }
        }
    }

    /// Answers as soon as the floor is free.
    fn answer(&mut self, cue: Cue, now: Instant) {
        match self.floor {
            Floor::Idle if self.calls.take_stuck() => self.end_turn(),
            Floor::Idle => {
                if let Some(reply) = self.script.reply(cue) {
                    self.think(reply, now);
                }
            }
            Floor::Thinking { .. } => {}
            Floor::Calling(_) | Floor::Answering(_) => self.queued.cue = Some(cue),
        }
    }

    fn think(&mut self, reply: Reply, now: Instant) {
        self.floor = Floor::Thinking { until: now + self.behaviour.think, reply };
        self.outputs().reach(Moment::Thinking);
    }

    fn start(&mut self, mut reply: Reply, now: Instant) {
        self.history = History::Underway;
        self.script.commit(reply.source);
        if !reply.calls.is_empty() {
            let calls = std::mem::take(&mut reply.calls);
            reply.source = Source::Result;
            return self.call(&calls, reply, now);
        }
        self.update_handle(Occasion::Generating);
        let spoil = self.outputs().take_spoil();
        self.floor = Floor::Answering(self.answer_from(reply.lines, spoil, now));
    }

    fn answer_from(&self, lines: Vec<Utterance>, spoil: Option<Spoil>, now: Instant) -> Answer {
        let manner = self.manner();
        let plan = match spoil {
            None => manner.plan(lines),
            Some(spoil) => manner.spoiled(spoil, lines),
        };
        Answer::new(plan, now)
    }

    fn manner(&self) -> Manner {
        let Behaviour { personality, delivery, .. } = *self.behaviour;
        Manner { form: self.mouth.form, personality, delivery }
    }

    /// Says the next part of an answer.
    fn go_on(&mut self, mut answer: Answer, now: Instant) {
        match answer.steps.pop_front() {
            None => {}
            Some(step) if step.part == Part::TurnComplete => {
                self.end_turn();
                self.take_queued(now);
            }
            Some(step) if step.part == Part::Again => {
                (answer.lines, answer.steps) = self.manner().endless(answer.lines);
                answer.begun += step.at;
                self.floor = Floor::Answering(answer);
            }
            Some(step) => {
                self.mouth.say(&step.part, &answer.lines);
                if step.part.is_speech() {
                    let moments = answer.note_speech();
                    moments.into_iter().flatten().for_each(|moment| self.outputs().reach(moment));
                }
                self.floor = Floor::Answering(answer);
                self.handle_spoils(now);
            }
        }
    }

    fn take_queued(&mut self, now: Instant) {
        if let Some(reply) = self.queued.reply.take() {
            self.think(reply, now);
        } else if let Some(cue) = self.queued.cue.take() {
            self.answer(cue, now);
        }
    }

    fn end_turn(&mut self) {
        self.mouth.turn_complete();
        self.update_handle(Occasion::TurnComplete);
        let turns = self.outputs().turns();
        self.outputs().reach(Moment::AfterTurn(turns));
    }

    /// Sends the `sessionResumptionUpdate` of this occasion.
    fn update_handle(&mut self, occasion: Occasion) {
        match self.resumption.due(occasion) {
            Due::Nothing => {}
            Due::Withheld => self.mouth.resumption(&json!({})),
            Due::Handle => {
                let handle = self.mouth.uuid();
                let update = self.resumption.issue(&handle, self.memory());
                self.mouth.resumption(&update);
                self.outputs().observe(Observation::HandleIssued(handle));
            }
        }
    }

    /// The conversation as it can be resumed. What is being said is lost.
    fn memory(&self) -> Memory {
        let mut pending = self.calls.pending();
        if let Floor::Calling(group) = &self.floor {
            pending.extend(group.waiting.iter().cloned());
        }
        Memory { script: self.script.clone(), history: self.history, pending }
    }
}
