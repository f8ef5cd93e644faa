//! One connection as a deterministic machine: setup first, then the conversation, then the close.
//!
//! Sans-IO: it reads no clock and opens no socket. The random-looking ids come from its seed.

use std::sync::Arc;
use std::time::Instant;

use super::admission::Admission;
use super::behaviour::{Behaviour, SetupReply};
use super::conversation::Conversation;
use super::observation::Observation;
use super::outputs::{Output, Outputs};
use super::personality::Personality;
use super::policy;
use super::refusal::Refusal;
use super::request::{self, Request, Setup};
use super::scenario::Scenario;

/// One connection of a client.
#[derive(Debug)]
pub struct Session {
    behaviour: Arc<Behaviour>,
    scenario: Arc<Scenario>,
    admission: Admission,
    seed: u64,
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
    /// A connection that was just upgraded.
    pub fn new(behaviour: Arc<Behaviour>, scenario: Arc<Scenario>, admission: Admission, seed: u64) -> Self {
        let mut outputs = Outputs::default();
        outputs.observe(Observation::Connected);
        Self { behaviour, scenario, admission, seed, outputs, phase: Phase::Opening }
    }

    /// Takes one client message, text or binary.
    pub fn handle_message(&mut self, message: &[u8], now: Instant) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        self.handle_timeout(now);
        if matches!(self.phase, Phase::Opening) {
            let json = String::from_utf8_lossy(message).into_owned();
            self.outputs.observe(Observation::SetupReceived(json));
        }
        let result = request::parse(message).and_then(|request| self.handle_request(request, now));
        if let Err(refusal) = result {
            self.outputs_of_phase().refuse(&refusal);
            self.end();
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let is_ready = |ready_at: &Option<Instant>| ready_at.is_some_and(|ready_at| ready_at <= now);
        if matches!(&self.phase, Phase::Preparing { ready_at, .. } if is_ready(ready_at))
            && let Phase::Preparing { setup, .. } = std::mem::replace(&mut self.phase, Phase::Closed)
        {
            self.open(&setup);
        }
        if let Phase::Live(conversation) = &mut self.phase {
            conversation.handle_timeout(now);
        }
    }

    /// The socket has closed, by whichever side.
    pub fn handle_closed(&mut self) {
        if let Phase::Live(conversation) = &mut self.phase {
            conversation.close();
            self.end();
        }
        self.phase = Phase::Closed;
        self.outputs.observe(Observation::Closed);
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs_of_phase().pop()
    }

    /// When [`Session::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Preparing { ready_at, .. } => *ready_at,
            Phase::Live(conversation) => conversation.poll_timeout(),
            Phase::Opening | Phase::Doomed | Phase::Closed => None,
        }
    }

    fn handle_request(&mut self, request: Request, now: Instant) -> Result<(), Refusal> {
        match (&mut self.phase, request) {
            (Phase::Opening, Request::Setup(setup)) => {
                policy::check_setup(&setup, &self.admission, &self.behaviour)?;
                let ready_at = match self.behaviour.setup {
                    SetupReply::After(delay) => Some(now + delay),
                    SetupReply::Never => None,
                };
                self.phase = Phase::Preparing { setup, ready_at };
                self.handle_timeout(now);
                Ok(())
            }
            (Phase::Opening, _) | (Phase::Preparing { .. } | Phase::Doomed, Request::Setup(_)) => {
                Err(Refusal::SetupFirst)
            }
            (Phase::Preparing { .. } | Phase::Doomed, _) => Err(Refusal::InvalidArgument),
            (Phase::Live(conversation), request) => conversation.handle_request(request, now),
            (Phase::Closed, _) => Ok(()),
        }
    }

    fn open(&mut self, setup: &Setup) {
        let (behaviour, scenario) = (Arc::clone(&self.behaviour), Arc::clone(&self.scenario));
        let mut conversation = Conversation::new(behaviour, scenario, setup, self.seed);
        // What is still in the queue of the session goes first.
        let fresh = std::mem::replace(conversation.outputs(), std::mem::take(&mut self.outputs));
        debug_assert!(fresh.is_empty());
        conversation.open();
        let is_doomed = self.behaviour.personality == Personality::Live38
            && setup.generation_config.enable_affective_dialog;
        self.phase = Phase::Live(Box::new(conversation));
        if is_doomed {
            self.end();
            self.phase = Phase::Doomed;
        }
    }

    /// Ends the conversation, if there is one; what it has said stays in the queue.
    fn end(&mut self) {
        if let Phase::Live(mut conversation) = std::mem::replace(&mut self.phase, Phase::Closed) {
            self.outputs = std::mem::take(conversation.outputs());
        }
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
