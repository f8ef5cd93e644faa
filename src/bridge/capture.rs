//! The machine of a call, and the copy of what goes in and comes out of it, if its agent keeps one.

use std::sync::Arc;
use std::time::Instant;

use crate::call::intake::{Input, Intake};
use crate::call::replay::{Header, Line, Offset, Trace};
use crate::call::services::Services;
use crate::call::{Admission, Call, Control, Output};
use crate::carrier;
use crate::store::captures::{Capture, Handle};

/// The end of a file whose call had its recording paused.
const WITHHELD: &str = "the recording was paused: nothing is kept from there on";

/// Everything that a call is given and gives passes here.
pub(super) struct Machine {
    /// In its own memory: what holds it is moved, and a future keeps a place for every move.
    intake: Box<Intake>,
    capture: Option<Capture>,
}

impl Machine {
    pub(super) fn answer(
        admission: Admission,
        services: Arc<Services>,
        captures: Option<&Handle>,
        now: Instant,
    ) -> Self {
        let capture = captures.filter(|_| admission.agent.keep.inputs).map(|captures| {
            let head = Line::header(&Header::new(&admission, &services, now));
            captures.begin(admission.ledger.call(), head)
        });
        Self { intake: Box::new(Intake::answer(admission, services, now)), capture }
    }

    pub(super) const fn call(&self) -> &Call {
        self.intake.call()
    }

    /// Takes an input; `true` if it confirmed the setup of a live session.
    pub(super) fn handle(&mut self, input: Input<'_>, now: Instant) -> bool {
        if let Some(capture) = self.capture.as_mut().filter(|capture| capture.is_running()) {
            capture.write(Line::input(Offset::between(self.intake.answered(), now), &input));
        }
        self.intake.handle(input, now)
    }

    pub(super) fn handle_control(&mut self, control: Control, now: Instant) {
        let input = self.intake.control(control);
        self.handle(input, now);
        // What must not be recorded must not be kept in another form either.
        if control == Control::PauseRecording
            && let Some(capture) = self.capture.take()
        {
            capture.cut_off(WITHHELD);
        }
    }

    /// Time that the machine asked for.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let timer = self.call().poll_timeout().map(|(_, timer)| timer);
        self.handle(Input::Timeout { timer }, now);
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        let output = self.intake.poll_output()?;
        if let Some(capture) = self.capture.as_mut().filter(|capture| capture.is_running()) {
            capture.write(Line::output(Trace::of(&output)));
        }
        Some(output)
    }

    /// Appends the carrier's message for a command, if there is one.
    pub(super) fn encode(&self, command: &carrier::Command, out: &mut String) {
        self.intake.encode(command, out);
    }

    /// The call is over, and so is its copy.
    pub(super) fn finish(&mut self) {
        if let Some(capture) = self.capture.take() {
            capture.finish();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ::time::OffsetDateTime;

    use super::*;
    use crate::call::agent::{Agent, Keep};
    use crate::call::context::Context;
    use crate::call::record::{Ending, Ledger};
    use crate::call::replay::Message;
    use crate::id::CallId;
    use crate::time::WallClock;

    #[test]
    fn a_queue_that_is_full_ends_the_capture_and_not_the_call() {
        let (now, wall) = (Instant::now(), OffsetDateTime::UNIX_EPOCH);
        let agent = Agent { keep: Keep { inputs: true, recording: None }, ..Agent::default() };
        let ledger = Ledger::new(CallId::new(1), WallClock::new(now, wall));
        let context = Context { call_sid: "CA1".to_owned(), ..Context::unknown(wall) };
        let admission = Admission { context, agent: Arc::new(agent), ledger };
        let full = Handle::without_writer(4);
        let mut machine = Machine::answer(admission, Arc::default(), Some(&full), now);
        let start = r#"{"event":"start","start":{"streamSid":"MZ1","callSid":"CA1","mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}},"streamSid":"MZ1"}"#;
        let mut outputs = 0;
        for (n, text) in [start, r#"{"event":"connected"}"#, r#"{"event":"stop"}"#].into_iter().enumerate() {
            let input = Input::Carrier(Message::new(text.as_bytes()));
            machine.handle(input, now + Duration::from_millis(n as u64));
            outputs += std::iter::from_fn(|| machine.poll_output()).count();
        }
        assert!(machine.capture.as_ref().is_some_and(|capture| !capture.is_running()));
        assert!(outputs > 5, "{outputs}");
        assert_eq!(machine.call().ending(), Some(&Ending::CallerHungUp));
    }
}
