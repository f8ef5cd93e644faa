//! The recording of a call: what goes on the tape, and when nobody may keep anything.

use std::time::Instant;

use super::agent;
use super::record::Event;
use super::uplink::Irregularity;
use super::{Call, Output, carrier};
use crate::audio::Rate;
use crate::audio::tape::Tape;

impl Call {
    /// How this call is recorded, if it is.
    pub fn recording(&self) -> Option<&agent::Recording> {
        self.agent.keep.recording.as_ref()
    }

    /// Whoever keeps the recording cannot go on. The call can.
    pub fn handle_recording_failed(&mut self, reason: &str, now: Instant) {
        if self.tape.take().is_some() {
            self.outbox.event(Event::RecordingFailed { reason: reason.to_owned() }, now);
        }
    }

    /// The stream begins.
    pub(super) fn start_recording(&mut self, now: Instant) {
        if self.recording().is_none() {
            return;
        }
        let mut tape = Tape::new(now);
        if self.transcript.is_paused() {
            tape.pause(now);
        }
        self.tape = Some(Box::new(tape));
        self.outbox.event(Event::RecordingStarted, now);
    }

    /// Nothing that is said or pressed from now on is kept.
    pub(super) fn pause_recording(&mut self, now: Instant) {
        if self.transcript.is_paused() {
            return;
        }
        self.transcript.pause(now);
        if let Some(tape) = &mut self.tape {
            tape.pause(now);
        }
        self.outbox.event(Event::RecordingPaused, now);
    }

    pub(super) fn resume_recording(&mut self, now: Instant) {
        if !self.transcript.is_paused() {
            return;
        }
        self.transcript.resume(now);
        if let Some(tape) = &mut self.tape {
            tape.resume(now);
        }
        self.outbox.event(Event::RecordingResumed, now);
    }

    /// Puts the caller on the tape, where the carrier's numbering says.
    pub(super) fn tape_caller(&mut self, samples: &[i16], irregularity: Option<Irregularity>, now: Instant) {
        let Some(tape) = &mut self.tape else { return };
        match irregularity {
            Some(Irregularity::Duplicate | Irregularity::Rate) => {}
            Some(Irregularity::Missing(count)) => {
                tape.handle_caller(samples, count * samples.len() as u64, now);
            }
            Some(Irregularity::Jump | Irregularity::Numbering) | None => tape.handle_caller(samples, 0, now),
        }
    }

    /// Puts on the tape what the carrier is about to be told, where the caller hears it.
    pub(super) fn tape_agent(&mut self, command: &carrier::Command) {
        if let (carrier::Command::Media(frame), Some(tape)) = (command, &mut self.tape)
            && let Some(heard) = self.downlink.placed(frame.samples())
        {
            tape.handle_agent(heard);
        }
    }

    /// The caller has heard the agent up to this position, and nothing more of what was sent.
    pub(super) fn cut_tape(&mut self, heard: u64) {
        if let Some(tape) = &mut self.tape {
            tape.cut(heard);
        }
    }

    /// Gives out what is finished of the recording.
    pub(super) fn roll_tape(&mut self, now: Instant) {
        while let Some(block) = self.tape.as_mut().and_then(|tape| tape.poll(now)) {
            self.outbox.push(Output::Tape(Box::new(block)));
        }
    }

    /// The call is over.
    pub(super) fn end_recording(&mut self, heard: u64, now: Instant) {
        self.cut_tape(heard);
        let Some(tape) = self.tape.take() else { return };
        let begun = tape.end();
        let mut end = begun;
        for block in tape.finish(now) {
            end = block.position + block.caller.len() as u64;
            self.outbox.push(Output::Tape(Box::new(block)));
        }
        let duration_ms = Rate::LINE.millis(end.max(begun));
        self.outbox.event(Event::RecordingEnded { duration_ms }, now);
    }
}
