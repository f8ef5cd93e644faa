//! One connection as a deterministic machine: setup first, then the conversation, then the close.
//!
//! Sans-IO: it reads no clock and opens no socket. The random-looking ids come from its seed; what it shares with
//! the other connections of a server is the registry of handles.

use std::sync::Arc;
use std::time::Instant;

use super::admission::Admission;
use super::behaviour::{Behaviour, SetupReply};
use super::closes::Close;
use super::conversation::{Conversation, Memory};
use super::farewell::Farewell;
use super::fault::{Defect, Moment};
use super::handles::{Registry, UnknownHandle};
use super::observation::{Closing, HandleFault, Observation};
use super::outputs::{Output, Outputs};
use super::personality::Personality;
use super::policy;
use super::refusal::Refusal;
use super::request::{self, Request, Setup};
use super::scenario::Scenario;

/// A connection that was just upgraded, and where it came to.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub behaviour: Arc<Behaviour>,
    pub scenario: Arc<Scenario>,
    pub admission: Admission,
    /// The handles of the server.
    pub registry: Registry,
    /// Which connection of the server it is, counted from 1.
    pub connection: u32,
    /// Where its ids come from. Two connections with one registry need two seeds.
    pub seed: u64,
}

/// One connection of a client.
#[derive(Debug)]
pub struct Session {
    arrival: Arrival,
    farewell: Farewell,
    outputs: Outputs,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// Waits for `setup`.
    Opening,
    /// Has taken `setup` and will answer it, or never will.
    Preparing {
        setup: Box<Setup>,
        ready_at: Option<Instant>,
    },
    Live(Box<Conversation>),
    /// Has answered `setup`, and closes at whatever comes next (3.8 with affective dialogue).
    Doomed,
    Closed,
}

impl Session {
    pub fn new(arrival: Arrival) -> Self {
        let behaviour = &arrival.behaviour;
        let farewell = Farewell::new(behaviour.go_away.as_ref(), arrival.connection);
        let faults = behaviour.faults.iter().filter(|fault| fault.connections.contains(&arrival.connection));
        let mut outputs = Outputs::new(faults.map(|fault| (fault.at, fault.what.clone())).collect());
        outputs.observe(Observation::Connected);
        Self { arrival, farewell, outputs, phase: Phase::Opening }
    }

    /// Takes one client message, text or binary.
    pub fn handle_message(&mut self, message: &[u8], now: Instant) {
        self.handle_timeout(now);
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        if matches!(self.phase, Phase::Opening) {
            let json = String::from_utf8_lossy(message).into_owned();
            self.outputs.observe(Observation::SetupReceived(json));
        }
        let result = request::parse(message).and_then(|request| self.handle_request(request, now));
        if let Err(refusal) = result {
            self.outputs_of_phase().refuse(&refusal);
        }
        self.settle(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let is_ready = |ready_at: &Option<Instant>| ready_at.is_some_and(|ready_at| ready_at <= now);
        if matches!(&self.phase, Phase::Preparing { ready_at, .. } if is_ready(ready_at))
            && let Phase::Preparing { setup, .. } = std::mem::replace(&mut self.phase, Phase::Closed)
        {
            self.open(&setup, now);
        }
        if let Phase::Live(conversation) = &mut self.phase {
            conversation.handle_timeout(now);
        }
        self.settle(now);
    }

    /// Something goes wrong now, planned or not.
    pub fn handle_defect(&mut self, defect: Defect, now: Instant) {
        self.outputs_of_phase().suffer(defect, "on demand");
        if let Phase::Live(conversation) = &mut self.phase {
            conversation.handle_spoils(now);
        }
        self.settle(now);
    }

    /// The socket has closed, by whichever side.
    pub fn handle_closed(&mut self, closing: Closing, now: Instant) {
        self.end(now);
        self.outputs.observe(Observation::Closed(closing));
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs_of_phase().pop()
    }

    /// When [`Session::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = match &self.phase {
            Phase::Preparing { ready_at, .. } => *ready_at,
            Phase::Live(conversation) => conversation.poll_timeout(),
            Phase::Opening | Phase::Doomed => None,
            Phase::Closed => return None,
        };
        [due, self.farewell.poll_timeout()].into_iter().flatten().min()
    }

    fn handle_request(&mut self, request: Request, now: Instant) -> Result<(), Refusal> {
        match (&mut self.phase, request) {
            (Phase::Opening, Request::Setup(setup)) => self.handle_setup(setup, now),
            (Phase::Opening, _) | (Phase::Preparing { .. } | Phase::Doomed, Request::Setup(_)) => {
                Err(Refusal::SetupFirst)
            }
            (Phase::Preparing { .. } | Phase::Doomed, _) => Err(Refusal::InvalidArgument),
            (Phase::Live(conversation), request) => conversation.handle_request(request, now),
            (Phase::Closed, _) => Ok(()),
        }
    }

    fn handle_setup(&mut self, setup: Box<Setup>, now: Instant) -> Result<(), Refusal> {
        let behaviour = &self.arrival.behaviour;
        policy::check_setup(&setup, &self.arrival.admission, behaviour)?;
        let ready_at = match behaviour.setup {
            SetupReply::After(delay) => Some(now + delay),
            SetupReply::Never => None,
        };
        self.phase = Phase::Preparing { setup, ready_at };
        self.outputs.reach(Moment::SetupReceived);
        self.settle(now);
        self.handle_timeout(now);
        Ok(())
    }

    fn open(&mut self, setup: &Setup, now: Instant) {
        match self.redeem(setup, now) {
            Ok(memory) => self.begin(setup, memory, now),
            Err(HandleFault::Unknown | HandleFault::Expired) => {
                self.outputs.refuse(&match self.arrival.behaviour.handles.unknown {
                    UnknownHandle::Invalid => Refusal::InvalidHandle,
                    UnknownHandle::NotFound => Refusal::SessionNotFound,
                });
            }
            Err(HandleFault::StillOpen) => self.outputs.refuse(&Refusal::Internal),
            // The real service answers `setup` first.
            Err(HandleFault::ForeignModel) => {
                self.begin(setup, None, now);
                self.outputs_of_phase().close(&Close::INTERNAL);
            }
        }
    }

    /// What the handle in `setup` stands for, if there is one.
    fn redeem(&mut self, setup: &Setup, now: Instant) -> Result<Option<Memory>, HandleFault> {
        let handle = setup.session_resumption.as_ref().map(|resumption| resumption.handle.as_str());
        let Some(handle) = handle.filter(|handle| !handle.is_empty()) else { return Ok(None) };
        let Arrival { registry, behaviour, .. } = &self.arrival;
        let result = registry.redeem(handle, &setup.model, &behaviour.handles, now);
        let handle = handle.to_owned();
        self.outputs.observe(match &result {
            Ok(_) => Observation::HandleUsed(handle),
            Err(why) => Observation::HandleRefused { handle, why: *why },
        });
        result.map(Some)
    }

    fn begin(&mut self, setup: &Setup, memory: Option<Memory>, now: Instant) {
        let mut conversation = Conversation::new(&self.arrival, setup, memory);
        // What is still in the queue of the session goes first.
        *conversation.outputs() = std::mem::take(&mut self.outputs);
        conversation.open();
        let is_doomed = self.arrival.behaviour.personality == Personality::Live38
            && setup.generation_config.enable_affective_dialog;
        if is_doomed {
            self.outputs = std::mem::take(conversation.outputs());
            self.phase = Phase::Doomed;
        } else {
            self.phase = Phase::Live(Box::new(conversation));
        }
        self.farewell.start(now);
    }

    /// Says farewell if it is time, and ends when nothing can be said any more.
    fn settle(&mut self, now: Instant) {
        let outputs = match &mut self.phase {
            Phase::Live(conversation) => conversation.outputs(),
            Phase::Opening | Phase::Preparing { .. } | Phase::Doomed | Phase::Closed => &mut self.outputs,
        };
        if let Some(leave) = outputs.take_leave() {
            self.farewell.tell(&leave, now, outputs);
        }
        self.farewell.handle_timeout(now, outputs);
        let (is_over, is_deaf) = (outputs.is_over(), outputs.is_deaf());
        if is_deaf {
            self.arrival.registry.end(self.arrival.connection, now);
        }
        if is_over {
            self.end(now);
        }
    }

    /// Ends the conversation, if there is one; what it has said stays in the queue.
    fn end(&mut self, now: Instant) {
        if let Phase::Live(mut conversation) = std::mem::replace(&mut self.phase, Phase::Closed) {
            conversation.close();
            self.outputs = std::mem::take(conversation.outputs());
        }
        self.arrival.registry.end(self.arrival.connection, now);
    }

    const fn outputs_of_phase(&mut self) -> &mut Outputs {
        match &mut self.phase {
            Phase::Live(conversation) => conversation.outputs(),
            Phase::Opening | Phase::Preparing { .. } | Phase::Doomed | Phase::Closed => &mut self.outputs,
        }
    }
}

#[cfg(test)]
mod tests;
