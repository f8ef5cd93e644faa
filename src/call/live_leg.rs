//! The call with its live model: a session's changes, what the model says, and what it is told.

use super::agent::Greeting;
use super::allowance::Admission;
use std::time::{Duration, Instant};

use super::record::{Event, Peer, Rung};
use super::responder::Role;
use super::silence::Debt;
use super::transcript::LATE_MAX;
use super::{Call, Output};
use crate::dialogue::Dialogue;
use crate::id::LinkId;
use crate::live::failure::{Failure, Verdict};
use crate::live::session::{self, Change, Plan};
use crate::live::{self, Command, Setup};
use crate::time::millis;

/// Samples below this are no speech: a model that sends them alone is as good as silent (about −66 dBFS, the idle
/// noise of a line).
const MUTE_MAX: u16 = 16;

/// What a model is told that has not answered the caller, or whose session was lost before it did.
const ANSWER: &str =
    "The line was interrupted. Answer what the caller said last; if you did not hear it, ask.";

impl Call {
    /// Events of a connection that is not the session's newest are late: they are dropped here.
    pub fn handle_live(&mut self, link: LinkId, event: live::Event<'_>, now: Instant) {
        let is_known = self.responder.session().is_some_and(|session| session.link() == link);
        if !is_known || !self.admit(&event, now) {
            return;
        }
        if let Some(session) = self.responder.session() {
            session.handle_event(link, &event, now);
        }
        if self.responder.ready_link() == Some(link) {
            self.handle_content(event, now);
        }
        self.advance(now);
    }

    /// A message of this connection comes, whatever is in it.
    pub fn handle_live_message(&mut self, link: LinkId, now: Instant) {
        if self.responder.session().is_some_and(|session| session.link() == link) {
            self.spend(0, now);
        }
    }

    /// Whether the model may say this yet: what it says too much of is dropped, and in the end its session.
    fn admit(&mut self, event: &live::Event<'_>, now: Instant) -> bool {
        event.bytes().is_none_or(|bytes| self.spend(bytes, now))
    }

    fn spend(&mut self, bytes: usize, now: Instant) -> bool {
        match self.allowance.admit(bytes, now) {
            Admission::Taken => true,
            Admission::Dropped => {
                self.faults.count(Peer::Live, "flood", 1);
                false
            }
            Admission::Flooded => {
                self.fail_session(Failure::Flooded, now);
                self.follow_session(now);
                false
            }
        }
    }

    pub(super) fn go_live(&mut self, now: Instant) {
        let services = &self.setting.services;
        let config = session::Config { has_other_tier: services.has_fallback, ..services.live };
        self.responder.go_live(config, self.seed(), now);
        self.follow_session(now);
    }

    /// Carries out what the session wants.
    pub(super) fn follow_session(&mut self, now: Instant) {
        while let Some(change) = self.responder.poll_change() {
            self.handle_change(change, now);
        }
    }

    /// Sends the caller's frames that wait for others.
    pub(super) fn flush_uplink(&mut self) {
        let Some(link) = self.responder.ready_link() else { return self.uplink.flush(drop) };
        let Some(session) = self.responder.session() else { return };
        self.uplink.flush(|frame| {
            let command = Command::Audio(frame);
            session.note_sent(&command);
            self.outbox.live(link, command);
        });
    }

    /// Tells the model something on the connection that is set up, if one is; what the caller said before comes first.
    pub(super) fn tell_live(&mut self, command: Command) {
        self.flush_uplink();
        let Some(link) = self.responder.ready_link() else { return };
        if let Some(session) = self.responder.session() {
            session.note_sent(&command);
        }
        if matches!(command, Command::Text(_) | Command::ToolError { .. }) {
            self.transcript.note_prompt();
        }
        self.outbox.live(link, command);
    }

    fn handle_change(&mut self, change: Change, now: Instant) {
        match change {
            Change::Dial { link, endpoint, plan, attempt, is_last_tier } => {
                let name = self.endpoint_name(endpoint);
                let event = Event::LiveDialled { link, endpoint: name, plan: plan.code(), attempt };
                self.outbox.event(event, now);
                self.outbox.push(Output::Dial { link, endpoint, is_last_tier });
            }
            Change::Opened { link, endpoint, plan } => self.handle_opened(link, endpoint, &plan),
            Change::Ready { link, plan, setup, session_id, unconsumed } => {
                let gap = self.responder.lost_at.map(|lost_at| millis(now - lost_at));
                let (plan, setup_ms) = (plan.code(), millis(setup));
                self.outbox.event(Event::LiveReady { link, plan, setup_ms, gap_ms: gap, session_id }, now);
                if matches!(self.responder.role, Role::Live(_)) {
                    self.begin_session(unconsumed, now);
                }
            }
            Change::Handle(handle) => {
                self.responder.handle_at = Some(now);
                self.outbox.event(Event::SessionHandle { handle }, now);
            }
            Change::Close(link) => self.outbox.live(link, Command::Close),
            Change::Abort(link) => self.outbox.live(link, Command::Abort),
            Change::Moved { link, plan } => {
                self.outbox.event(Event::LiveMoved { link, plan: plan.code() }, now);
                if matches!(self.responder.role, Role::Live(_)) {
                    self.handle_loss(now);
                }
            }
            Change::Lost { link, endpoint, cause, verdict, next } => {
                let (endpoint, next) = (self.endpoint_name(endpoint), next.map(|(_, plan)| plan.code()));
                self.outbox.event(Event::LiveLost { link, endpoint, cause, verdict, next }, now);
                if matches!(self.responder.role, Role::Live(_)) {
                    self.handle_loss(now);
                }
            }
            Change::Over { cause, verdict } => self.handle_over(cause, verdict, now),
        }
    }

    fn handle_opened(&mut self, link: LinkId, endpoint: usize, plan: &Plan) {
        let is_transparent =
            self.setting.services.endpoints.get(endpoint).is_some_and(|place| place.is_transparent);
        if let Some(session) = self.responder.session().filter(|_| is_transparent) {
            session.keep_unconsumed();
        }
        let setup = self.setup(endpoint, plan);
        self.outbox.live(link, Command::Setup(Box::new(setup)));
    }

    fn setup(&self, endpoint: usize, plan: &Plan) -> Setup {
        let agent = &self.agent;
        let place = self.setting.services.endpoints.get(endpoint);
        // What is still to be heard of the old session will have been by the time the new one speaks.
        let dialogue = self.transcript.dialogue(self.downlink.position());
        let (handle, history) = match plan {
            Plan::Resume(handle) => (Some(handle.clone()), Dialogue::default()),
            Plan::Fresh => (None, dialogue),
            Plan::Reduced => (None, dialogue.without_last()),
        };
        Setup {
            model: place.and_then(|place| place.model.clone()).unwrap_or_else(|| agent.model.clone()),
            voice: agent.voice.clone(),
            language: agent.language.clone(),
            prompt: self.instruction(),
            temperature: agent.temperature,
            vad: agent.vad,
            handle,
            is_transparent: place.is_some_and(|place| place.is_transparent),
            history: Some(history).filter(|history| !history.is_empty()).map(Box::new),
        }
    }

    /// The system instruction, with the greeting that was played from a recording.
    pub(super) fn instruction(&self) -> String {
        match &self.agent.greeting {
            Greeting::Clip(clip) => format!(
                "{}\n\nYou have already greeted the caller with: {:?}. Do not greet again.",
                self.setting.context.prompt, clip.text
            ),
            Greeting::None | Greeting::Instruction(_) => self.setting.context.prompt.clone(),
        }
    }

    /// The session is set up and the model has the word: it is told what it must know, and then hears the caller.
    pub(super) fn begin_session(&mut self, unconsumed: Vec<Command>, now: Instant) {
        self.responder.lost_at = None;
        if let Some(seed) = self.seed_of_session() {
            self.tell_live(Command::Seed(seed));
        }
        for command in unconsumed {
            self.tell_live(command);
        }
        let held = self.uplink.held();
        if !held.is_zero() {
            self.outbox.event(Event::AudioHeld { held_ms: millis(held) }, now);
        }
        self.silence.restart_patience(now);
        if let Some(cue) = self.cue(held) {
            self.tell_live(Command::Text(cue));
        }
    }

    /// What was said so far, if the session that is ready knows nothing of it.
    fn seed_of_session(&self) -> Option<Box<Dialogue>> {
        let Role::Live(session) = &self.responder.role else { return None };
        let (endpoint, plan) = (session.endpoint(), session.plan().clone());
        let setup = self.setup(endpoint, &plan);
        setup.history.clone().filter(|_| setup.wants_seed())
    }

    /// What the model is told so that it speaks, if it owes the caller something. Audio that is held speaks for
    /// itself.
    fn cue(&self, held: Duration) -> Option<String> {
        match self.silence.debt()? {
            Debt::Greeting => self.agent.greeting.instruction().map(str::to_owned),
            Debt::Answer if held.is_zero() => Some(ANSWER.to_owned()),
            Debt::Answer => None,
            Debt::Rest => Some(self.rest_cue()),
        }
    }

    /// How the agent goes on in the middle of what it was saying.
    pub(super) fn rest_cue(&self) -> String {
        let heard = self.transcript.last_words(self.downlink.position());
        format!(
            "The line was interrupted while you spoke. The last words the caller heard of you were: {heard:?}. \
             Go on from there, without greeting and without repeating them."
        )
    }

    /// The session is lost: what the agent has said is heard out, and what the caller says is held, together with
    /// what was not answered.
    fn handle_loss(&mut self, now: Instant) {
        if self.responder.lost_at.is_some() {
            return;
        }
        self.responder.lost_at = Some(now);
        let was_speaking = self.downlink.is_open();
        self.downlink.handle_loss();
        self.transcript.agent_finished(self.downlink.position(), now, now);
        if was_speaking {
            let heard_at = self.downlink.heard_at(self.downlink.position());
            self.silence.owe(Debt::Rest, heard_at.map_or(now, |at| at.max(now)));
        }
        self.silence.explain();
        let is_known = |ended| self.responder.handle_at.is_some_and(|at| at > ended);
        if self.uplink.speech().is_some_and(|speech| !is_known(speech.ended)) && !self.will_replay() {
            self.uplink.rewind();
            self.transcript.forget_caller();
        }
    }

    /// Whether the next connection sends what the old one did not take in.
    fn will_replay(&mut self) -> bool {
        self.responder.session().is_some_and(|session| session.will_replay())
    }

    /// The live service cannot be had: the next rung.
    fn handle_over(&mut self, cause: Failure, verdict: Verdict, now: Instant) {
        match self.responder.role {
            Role::Live(_) => self.stand_in(cause, verdict, now),
            Role::Fallback(_) => self.postpone_comeback(now),
            Role::Silent => {}
        }
    }

    fn postpone_comeback(&mut self, now: Instant) {
        if let Some(link) = self.responder.postpone_comeback(now) {
            self.outbox.live(link, Command::Abort);
        }
    }

    fn handle_content(&mut self, event: live::Event<'_>, now: Instant) {
        match event {
            live::Event::Audio(samples) => {
                self.handle_speech(samples, now);
            }
            live::Event::OutputTranscription(text) => {
                if self.transcript.agent_said(text, self.downlink.position(), self.floor(), now) {
                    self.note_too_long("serverContent.outputTranscription");
                }
            }
            live::Event::InputTranscription(text) => {
                if self.transcript.caller_said(text, self.floor(), now) {
                    self.note_too_long("serverContent.inputTranscription");
                }
            }
            live::Event::Interrupted => self.handle_interrupted(now),
            live::Event::GenerationComplete => self.finish_reply(now + LATE_MAX, now),
            live::Event::TurnComplete => self.handle_turn_complete(now),
            live::Event::ToolCall(call) => {
                let name = call.name.to_owned();
                let message = format!("There is no tool {name:?}. Go on without it.");
                let id = call.id.map(str::to_owned);
                self.responder.has_called_tool = true;
                self.outbox.event(Event::ToolRefused { name: name.clone() }, now);
                self.tell_live(Command::ToolError { id, name, message });
            }
            live::Event::Usage(usage) => self.outbox.event(Event::Usage(usage), now),
            live::Event::GoAway { time_left } => {
                if let Some(link) = self.responder.ready_link() {
                    self.outbox.event(Event::GoAway { link, time_left_ms: time_left.map(millis) }, now);
                }
            }
            live::Event::Malformed(fault) => {
                self.faults.count_field(Peer::Live, fault.code(), fault.field());
                if fault.is_garbage() && self.faults.note_garbage(now) {
                    self.fail_session(Failure::Garbled, now);
                }
            }
            // The life of the session is the session's; a cancelled call was answered at once; voice activity is
            // measured on the line.
            live::Event::Opened
            | live::Event::SetupComplete { .. }
            | live::Event::ToolCallCancelled { .. }
            | live::Event::VoiceActivity(_)
            | live::Event::Resumption { .. }
            | live::Event::Failed(_)
            | live::Event::Closed(_)
            | live::Event::Released => {}
        }
    }

    /// Speech of the model; near-zero samples pay no debt, and are no answer to wait for.
    fn handle_speech(&mut self, samples: &[i16], now: Instant) {
        let is_audible = samples.iter().any(|sample| sample.unsigned_abs() > MUTE_MAX);
        if !is_audible && self.silence.debt().is_some() {
            return self.downlink.drop_silence(samples);
        }
        let answered = self.uplink.speech().map(|speech| speech.ended);
        if self.play(samples, answered, now) && is_audible {
            self.settle(now);
        }
    }

    fn handle_turn_complete(&mut self, now: Instant) {
        let has_spoken = self.downlink.has_spoken();
        let is_stale = self.downlink.is_stale();
        self.finish_reply(now + LATE_MAX, now);
        self.transcript.agent_over(now);
        self.downlink.handle_turn_complete();
        let is_of_tool = std::mem::take(&mut self.responder.has_called_tool);
        if has_spoken {
            if let Some(session) = self.responder.session() {
                session.complete_turn();
            }
        } else if !is_stale && !is_of_tool && self.silence.debt().is_some() {
            self.outbox.event(Event::EmptyTurn, now);
            self.silence.hurry(now);
        }
    }

    /// Words were cut off: the log says so.
    fn note_too_long(&mut self, field: &'static str) {
        self.faults.count_field(Peer::Live, live::Malformed::TooLong(field).code(), Some(field));
    }

    /// The model says nothing: it is asked again.
    pub(super) fn nudge(&mut self, now: Instant) {
        let waited = self.silence.since().map_or(0, |since| millis(now.saturating_duration_since(since)));
        self.outbox.event(Event::Nudged { waited_ms: waited }, now);
        let cue = match self.silence.debt() {
            Some(Debt::Greeting) => self.agent.greeting.instruction().unwrap_or(ANSWER).to_owned(),
            Some(Debt::Rest) => self.rest_cue(),
            Some(Debt::Answer) | None => ANSWER.to_owned(),
        };
        self.tell_live(Command::Text(cue));
    }

    pub(super) fn fail_session(&mut self, cause: Failure, now: Instant) {
        if let Some(session) = self.responder.session() {
            session.fail(cause, now);
        }
    }

    /// A turn boundary: nobody speaks, nothing is owed, nothing is to be heard.
    pub(super) fn is_quiet(&self, now: Instant) -> bool {
        let is_agent_done = !self.downlink.is_open() && !self.downlink.is_audible(now);
        is_agent_done && self.silence.debt().is_none() && !self.uplink.is_speaking()
    }

    fn endpoint_name(&self, endpoint: usize) -> String {
        self.setting
            .services
            .endpoints
            .get(endpoint)
            .map_or_else(|| "live".to_owned(), |place| place.name.clone())
    }

    /// Spreads the pauses of many calls.
    pub(super) fn seed(&self) -> u64 {
        self.id().as_u128() as u64
    }

    /// The live model answers again.
    pub(super) fn note_rung(&mut self, rung: Rung, now: Instant) {
        self.outbox.event(Event::Rung { rung, cause: None }, now);
    }
}
