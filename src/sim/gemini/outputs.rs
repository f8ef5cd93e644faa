//! The ordered queue between the machine and its socket.

use std::collections::VecDeque;

use serde_json::Value;

use super::observation::Observation;
use super::refusal::Refusal;

/// What the machine wants done, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// One message to send, JSON.
    Message(String),
    /// Close the socket; nothing follows.
    Close { code: u16, reason: String },
    /// Tell whoever watches; what it tells of was sent by the outputs before it.
    Observed(Observation),
}

#[derive(Debug, Default)]
pub(super) struct Outputs(VecDeque<Output>);

impl Outputs {
    pub(super) fn send(&mut self, message: &Value) {
        self.0.push_back(Output::Message(message.to_string()));
    }

    pub(super) fn observe(&mut self, observation: Observation) {
        self.0.push_back(Output::Observed(observation));
    }

    pub(super) fn refuse(&mut self, refusal: &Refusal) {
        self.observe(Observation::ClientMessageRejected(refusal.to_string()));
        self.0.push_back(Output::Close { code: refusal.code(), reason: refusal.reason() });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn pop(&mut self) -> Option<Output> {
        self.0.pop_front()
    }
}
