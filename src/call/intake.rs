//! What comes to a call, as it comes: raw messages of carrier and model, and all that is not a message.
//!
//! [`Intake`] is a [`Call`] with the decoders of its two lines. The bridge feeds it from sockets and a replay from a
//! file; everything that has a say in what the machine does goes through [`Intake::handle`] and nothing else.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::record::{Ending, Peer};
use super::replay::{Message, Offset};
use super::services::Services;
use super::{Admission, Call, Control, Output, Timer};
use crate::carrier::twilio::Codec;
use crate::carrier::{self, Malformed};
use crate::id::{JobId, LinkId};
use crate::job;
use crate::live::failure::Failure;
use crate::live::{self, wire};

/// One thing that happens to a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input<'a> {
    /// A message of the carrier, text or binary.
    #[serde(borrow)]
    Carrier(Message<'a>),
    /// A message beyond what a carrier may send: it was not read.
    CarrierFlood,
    /// The carrier has sent more than it may for too long.
    CarrierFlooded,
    /// The carrier has not read for too long.
    CarrierStalled,
    /// The carrier's socket ended.
    CarrierClosed { code: Option<u16> },
    /// A live connection is up.
    LiveOpened { link: LinkId },
    /// A message of the live service, text or binary.
    Live {
        link: LinkId,
        #[serde(borrow)]
        message: Message<'a>,
    },
    /// A live connection could not be made, or ended.
    LiveEnded { link: LinkId, failure: Failure },
    /// A live connection that was to be closed is closed.
    LiveReleased { link: LinkId },
    /// A job tells something.
    Job { job: JobId, event: job::Event },
    /// The process shuts down.
    Drain { deadline: Offset },
    /// A newer stream of the same call took over.
    Supersede,
    /// Nothing that is said or pressed may be kept from now on.
    PauseRecording,
    /// It may again.
    ResumeRecording,
    /// Whoever keeps the recording cannot go on.
    RecordingFailed { reason: String },
    /// Time that the machine had asked for, and what for.
    Timeout { timer: Option<Timer> },
    /// A frame for this peer was dropped because it does not read fast enough.
    Overflow { peer: Peer },
    /// A defect ended the call.
    Panicked,
}

/// A call that takes its inputs raw.
#[derive(Debug)]
pub struct Intake {
    call: Call,
    answered: Instant,
    codec: Codec,
    decoder: wire::Decoder,
}

impl Intake {
    /// A call whose media socket was just opened.
    pub fn answer(admission: Admission, services: std::sync::Arc<Services>, now: Instant) -> Self {
        let call = Call::answer(admission, services, now);
        Self { call, answered: now, codec: Codec::new(), decoder: wire::Decoder::default() }
    }

    pub const fn call(&self) -> &Call {
        &self.call
    }

    /// From when on the offsets of the inputs count.
    pub const fn answered(&self) -> Instant {
        self.answered
    }

    /// A control as an input.
    pub fn control(&self, control: Control) -> Input<'static> {
        match control {
            Control::Drain { deadline } => {
                Input::Drain { deadline: Offset::between(self.answered, deadline) }
            }
            Control::Supersede => Input::Supersede,
            Control::PauseRecording => Input::PauseRecording,
            Control::ResumeRecording => Input::ResumeRecording,
        }
    }

    /// Takes an input; `true` if it confirmed the setup of a live session.
    pub fn handle(&mut self, input: Input<'_>, now: Instant) -> bool {
        let call = &mut self.call;
        match input {
            Input::Carrier(message) => {
                let decoded = self.codec.decode(message.bytes());
                call.handle_carrier(decoded.unwrap_or_else(carrier::Event::Malformed), now);
                if let Some(oddity) = self.codec.take_oddity() {
                    self.call.note_oddity(oddity);
                }
            }
            Input::CarrierFlood => call.handle_carrier(carrier::Event::Malformed(Malformed::Flood), now),
            Input::CarrierFlooded => call.handle_carrier(carrier::Event::Flooded, now),
            Input::CarrierStalled => call.handle_carrier(carrier::Event::Stalled, now),
            Input::CarrierClosed { code } => call.handle_carrier(carrier::Event::Closed(code), now),
            Input::LiveOpened { link } => call.handle_live(link, live::Event::Opened, now),
            Input::Live { link, message } => return self.handle_live(link, message.bytes(), now),
            Input::LiveEnded { link, failure } => call.handle_live(link, live::Event::Closed(failure), now),
            Input::LiveReleased { link } => call.handle_live(link, live::Event::Released, now),
            Input::Job { job, event } => call.handle_job(job, event, now),
            Input::Drain { deadline } => {
                call.handle_control(Control::Drain { deadline: deadline.after(self.answered) }, now);
            }
            Input::Supersede => call.handle_control(Control::Supersede, now),
            Input::PauseRecording => call.handle_control(Control::PauseRecording, now),
            Input::ResumeRecording => call.handle_control(Control::ResumeRecording, now),
            Input::RecordingFailed { reason } => call.handle_recording_failed(&reason, now),
            Input::Timeout { .. } => call.handle_timeout(now),
            Input::Overflow { peer } => call.handle_overflow(peer),
            Input::Panicked => call.abort(Ending::Panicked, now),
        }
        false
    }

    fn handle_live(&mut self, link: LinkId, message: &[u8], now: Instant) -> bool {
        let mut is_set_up = false;
        self.call.handle_live_message(link, now);
        self.decoder.decode(message, |event| {
            is_set_up |= matches!(event, live::Event::SetupComplete { .. });
            self.call.handle_live(link, event, now);
        });
        is_set_up
    }

    /// What is to be done next, in order. What a new connection says is decoded afresh.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.call.poll_output()?;
        if matches!(output, Output::Dial { .. }) {
            self.decoder = wire::Decoder::default();
        }
        Some(output)
    }

    /// Appends the carrier's message for a command, if there is one.
    pub fn encode(&self, command: &carrier::Command, out: &mut String) {
        self.codec.encode(command, out);
    }
}
