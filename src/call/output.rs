//! What the machine gives: one ordered queue.

use std::collections::VecDeque;
use std::time::Instant;

use super::record::{Entry, Event, Ledger, Record};
use crate::audio::tape::Block;
use crate::carrier::FollowUp;
use crate::id::{JobId, LinkId};
use crate::{carrier, job, live};

/// Something the bridge must do. Executed in the order given.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Tell the carrier.
    Carrier(carrier::Command),
    /// Connect to this endpoint of the live service; report as [`live::Event::Opened`] or [`live::Event::Closed`]. On
    /// the last tier it is tried although it is known to fail.
    Dial { link: LinkId, endpoint: usize, is_last_tier: bool },
    /// Tell the live service on this connection.
    Live(LinkId, live::Command),
    /// Begin this work; report with [`super::Call::handle_job`].
    Start(JobId, job::Request),
    /// Stop this work; nothing more of it is wanted.
    Cancel(JobId),
    /// What becomes of the caller once the stream is closed.
    FollowUp(FollowUp),
    /// Append to the recording of the call.
    Tape(Box<Block>),
    /// Append to the call log.
    Record(Entry),
}

/// Outputs that the queue keeps memory for: more than those of any 20 ms of speech.
const QUEUE_KEPT: usize = 4;

/// The queue, and the ledger that numbers what goes into the log.
#[derive(Debug)]
pub(super) struct Outbox {
    ledger: Ledger,
    queue: VecDeque<Output>,
}

impl Outbox {
    pub(super) const fn new(ledger: Ledger) -> Self {
        Self { ledger, queue: VecDeque::new() }
    }

    /// What comes next. The memory of a burst, such as the lead of an answer, is not kept.
    pub(super) fn pop(&mut self) -> Option<Output> {
        let output = self.queue.pop_front();
        if self.queue.is_empty() && self.queue.capacity() > QUEUE_KEPT {
            self.queue = VecDeque::new();
        }
        output
    }

    pub(super) fn push(&mut self, output: Output) {
        self.queue.push_back(output);
    }

    pub(super) fn carrier(&mut self, command: carrier::Command) {
        self.push(Output::Carrier(command));
    }

    pub(super) fn live(&mut self, link: LinkId, command: live::Command) {
        self.push(Output::Live(link, command));
    }

    pub(super) fn record(&mut self, record: Record, now: Instant) {
        let entry = self.ledger.entry(record, now);
        self.push(Output::Record(entry));
    }

    pub(super) fn event(&mut self, event: Event, now: Instant) {
        self.record(Record::Event(event), now);
    }

    pub(super) const fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}
