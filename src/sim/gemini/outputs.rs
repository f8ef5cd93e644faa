//! The ordered queue between the machine and its socket, and the faults that happen to what goes through it.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};

use super::closes::{self, Close};
use super::farewell::Leave;
use super::fault::{Defect, Moment, Spoil};
use super::observation::Observation;
use super::refusal::Refusal;

/// What the machine wants done, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// One message to send, JSON but for planned garbage.
    Message(String),
    /// Close the socket; nothing follows. 1005 is a close frame without a code, 1006 none at all.
    Close { code: u16, reason: String },
    /// Treat the socket badly.
    Break(Break),
    /// Tell whoever watches; what it tells of was sent by the outputs before it.
    Observed(Observation),
}

/// What a socket can suffer apart from a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    Reset,
    StopReading,
    HalfOpen,
    LatePongs(Duration),
}

#[derive(Debug, Default)]
pub(super) struct Outputs {
    queue: VecDeque<Output>,
    gate: Gate,
    /// Turns completed on this connection.
    turns: u32,
    /// What is still to happen.
    faults: Vec<(Moment, Defect)>,
    spoils: VecDeque<Spoil>,
    stale: Duration,
    leave: Option<Leave>,
}

/// What still gets out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Gate {
    #[default]
    Open,
    /// Everything, but nothing gets in.
    Deaf,
    /// Nothing but the close.
    Silent,
    /// Nothing, and nothing gets in.
    Dead,
    /// Nothing after the close.
    Shut,
}

impl Outputs {
    pub(super) fn new(faults: Vec<(Moment, Defect)>) -> Self {
        Self { faults, ..Self::default() }
    }

    pub(super) fn send(&mut self, message: &Value) {
        self.send_text(message.to_string());
    }

    pub(super) fn observe(&mut self, observation: Observation) {
        if self.is_open() || !observation.is_of_sending() {
            self.queue.push_back(Output::Observed(observation));
        }
    }

    pub(super) fn refuse(&mut self, refusal: &Refusal) {
        self.observe(Observation::ClientMessageRejected(refusal.to_string()));
        self.close(&Close::new(refusal.code(), refusal.to_string()));
    }

    pub(super) fn close(&mut self, close: &Close) {
        if !self.is_over() {
            let reason = closes::cut(&close.reason).to_owned();
            self.queue.push_back(Output::Close { code: close.code, reason });
        }
        self.gate = Gate::Shut;
    }

    /// From now on nothing is sent but the close.
    pub(super) fn fall_silent(&mut self) {
        if self.is_open() {
            self.gate = Gate::Silent;
        }
    }

    /// A moment is reached: what was planned for it happens.
    pub(super) fn reach(&mut self, moment: Moment) {
        let mut now: Vec<Defect> = Vec::new();
        self.faults.retain(|(at, what)| {
            let happens = *at == moment && !now.contains(what);
            if happens {
                now.push(what.clone());
            }
            !happens
        });
        for defect in now {
            self.suffer(defect, &format!("{moment:?}"));
        }
    }

    /// A fault happens.
    pub(super) fn suffer(&mut self, defect: Defect, when: &str) {
        if self.is_over() {
            return;
        }
        self.observe(Observation::FaultFired(format!("{when}: {defect:?}")));
        match defect {
            Defect::Close(close) => self.close(&close),
            Defect::Reset => self.break_off(Break::Reset, Gate::Shut),
            Defect::Stall => self.fall_silent(),
            Defect::StopReading => self.break_off(Break::StopReading, Gate::Deaf),
            Defect::HalfOpen => self.break_off(Break::HalfOpen, Gate::Dead),
            Defect::LatePongs(delay) => self.queue.push_back(Output::Break(Break::LatePongs(delay))),
            // There is no upgrade left to refuse.
            Defect::Status(_) => {}
            Defect::Garbage(garbage) => self.send_text(garbage.text()),
            Defect::ErrorMessage => self.send(&json!({ "error": {
                "code": 503, "message": "The service is currently unavailable.", "status": "UNAVAILABLE",
            }})),
            Defect::Stale(length) => self.stale = length,
            Defect::GoAway(leave) => self.leave = Some(leave),
            Defect::Spoil(spoil) => self.spoils.push_back(spoil),
        }
    }

    pub(super) const fn count_turn(&mut self) {
        self.turns += 1;
    }

    pub(super) const fn turns(&self) -> u32 {
        self.turns
    }

    pub(super) fn take_spoil(&mut self) -> Option<Spoil> {
        self.spoils.pop_front()
    }

    pub(super) fn take_stale(&mut self) -> Duration {
        std::mem::take(&mut self.stale)
    }

    pub(super) const fn take_leave(&mut self) -> Option<Leave> {
        self.leave.take()
    }

    /// Whether nothing is said any more, whatever happens.
    pub(super) const fn is_over(&self) -> bool {
        matches!(self.gate, Gate::Shut | Gate::Dead)
    }

    /// Whether nobody would notice that the client is gone.
    pub(super) const fn is_deaf(&self) -> bool {
        matches!(self.gate, Gate::Deaf)
    }

    const fn is_open(&self) -> bool {
        matches!(self.gate, Gate::Open | Gate::Deaf)
    }

    pub(super) fn pop(&mut self) -> Option<Output> {
        self.queue.pop_front()
    }

    fn send_text(&mut self, message: String) {
        if self.is_open() {
            self.queue.push_back(Output::Message(message));
        }
    }

    fn break_off(&mut self, how: Break, gate: Gate) {
        self.queue.push_back(Output::Break(how));
        self.gate = gate;
    }
}
