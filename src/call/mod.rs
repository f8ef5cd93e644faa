//! The call machine: the only place where carrier and model meet.
//!
//! [`Call`] takes what the carrier says, what the model says and the time, and gives one ordered queue of
//! [`Output`]s. It never waits, reads no clock and opens no socket: same input, same output. It routes and
//! orders; each part (uplink, downlink, transcript, session …) is a small machine with tests of its own.

pub mod agent;
pub mod context;
mod downlink;
mod faults;
mod keys;
mod output;
mod phase;
pub mod record;
mod responder;
mod transcript;
mod uplink;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use self::agent::Agent;
use self::context::{Context, UNKNOWN};
use self::downlink::Downlink;
use self::faults::Faults;
use self::keys::Keys;
use self::output::Outbox;
pub use self::output::Output;
use self::phase::Phase;
pub use self::phase::Timer;
use self::record::{AudioTotals, Ending, Event, Ledger, Peer, Record};
use self::responder::Responder;
use self::transcript::Transcript;
use self::uplink::Uplink;
use crate::carrier::{self, MediaFormat, Start};
use crate::id::{CallId, LinkId};
use crate::live::failure::Failure;
use crate::live::session::{Change, Session};
use crate::live::{self, Setup};
use crate::time::{millis, soonest};

/// The carrier says `start` right after the upgrade; one that does not is not a carrier.
const START_DEADLINE: Duration = Duration::from_secs(5);

/// A carrier sends a frame every 20 ms, in silence too. Without any for this long the call is gone.
const MEDIA_DEADLINE: Duration = Duration::from_secs(30);

/// How long speech that is already here may take to be heard out when the call must end.
const FINISH_MAX: Duration = Duration::from_secs(10);

/// A call that the webhook let in: everything the machine needs to answer it.
#[derive(Debug)]
pub struct Admission {
    pub context: Context,
    pub agent: Arc<Agent>,
    /// Has given out the entry [`record::Record::Opened`].
    pub ledger: Ledger,
}

/// What an operator, or another stream, wants of a running call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// The process shuts down: the call ends at `deadline` at the latest.
    Drain { deadline: Instant },
    /// A newer stream of the same call took over.
    Supersede,
}

/// One telephone call.
#[derive(Debug)]
pub struct Call {
    context: Context,
    agent: Arc<Agent>,
    phase: Phase,
    responder: Responder,
    uplink: Uplink,
    downlink: Downlink,
    transcript: Transcript,
    keys: Keys,
    faults: Faults,
    outbox: Outbox,
}

impl Call {
    /// A call whose media socket was just opened.
    pub fn answer(admission: Admission, now: Instant) -> Self {
        let Admission { context, agent, ledger } = admission;
        Self {
            context,
            agent,
            phase: Phase::AwaitingStart { until: now + START_DEADLINE },
            responder: Responder::Silent,
            uplink: Uplink::new(),
            downlink: Downlink::new(),
            transcript: Transcript::default(),
            keys: Keys::default(),
            faults: Faults::default(),
            outbox: Outbox::new(ledger),
        }
    }

    pub fn id(&self) -> CallId {
        self.outbox.ledger().call()
    }

    /// The pipeline as it is set up, for people.
    pub fn pipeline(&self) -> String {
        format!(
            "{}(mulaw/8000) -> resample(8000->16000) -> live({}) -> resample(24000->8000) -> playout -> {}",
            self.context.carrier, self.agent.model, self.context.carrier
        )
    }

    pub fn handle_carrier(&mut self, event: carrier::Event<'_>, now: Instant) {
        match event {
            carrier::Event::Connected | carrier::Event::Unknown => {}
            carrier::Event::Start(start) => self.handle_start(*start, now),
            carrier::Event::Media(media) => self.handle_media(media, now),
            carrier::Event::Mark(Some(mark)) => self.downlink.handle_mark(mark, now),
            carrier::Event::Mark(None) => self.faults.count(Peer::Carrier, "foreign_mark", 1),
            carrier::Event::Dtmf(digit) => self.handle_dtmf(digit, now),
            carrier::Event::Stop => self.end(Ending::CallerHungUp, now),
            carrier::Event::Closed(code) => self.end(Ending::CarrierClosed { code }, now),
            carrier::Event::Stalled => self.end(Ending::CarrierStalled, now),
            carrier::Event::Malformed(fault) => self.faults.count(Peer::Carrier, fault.code(), 1),
        }
        self.advance(now);
    }

    /// Events of a link that is not the current one are late: they are dropped here.
    pub fn handle_live(&mut self, link: LinkId, event: live::Event<'_>, now: Instant) {
        let Some(session) = self.responder.live(link) else { return };
        let change = session.handle_event(&event, now);
        if let Some(change) = change {
            self.handle_change(link, change, now);
        } else if self.responder.ready_link().is_some() {
            self.handle_content(link, event, now);
        }
        self.advance(now);
    }

    pub fn handle_control(&mut self, control: Control, now: Instant) {
        match (control, &mut self.phase) {
            (Control::Supersede, _) => self.end(Ending::Superseded, now),
            (Control::Drain { deadline }, Phase::Talking { drain_at, .. }) => *drain_at = Some(deadline),
            (Control::Drain { .. }, Phase::AwaitingStart { .. }) => self.end(Ending::Drained, now),
            (Control::Drain { .. }, Phase::Finishing { .. } | Phase::Ended(_)) => {}
        }
        self.advance(now);
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        match &self.phase {
            Phase::AwaitingStart { until } if now >= *until => self.end(Ending::StartTimeout, now),
            Phase::Talking { media_until, .. } if now >= *media_until => self.end(Ending::CarrierSilent, now),
            Phase::Talking { drain_at: Some(drain_at), .. } if now >= *drain_at => {
                self.end(Ending::Drained, now);
            }
            Phase::AwaitingStart { .. }
            | Phase::Talking { .. }
            | Phase::Finishing { .. }
            | Phase::Ended(_) => {}
        }
        if let Responder::Live(session) = &mut self.responder {
            let link = session.link();
            if let Some(change) = session.handle_timeout(now) {
                self.handle_change(link, change, now);
            }
        }
        self.downlink.handle_timeout(now);
        self.advance(now);
    }

    /// What is to be done next, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outbox.pop()
    }

    /// When [`Call::handle_timeout`] is to be called, and what for.
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        if self.ending().is_some() {
            return None;
        }
        let turn_heard = self.transcript.next_end().and_then(|end| self.downlink.heard_at(end));
        let setup = match &self.responder {
            Responder::Live(session) => session.poll_timeout(),
            Responder::Silent => None,
        };
        let named = |at: Option<Instant>, timer| at.map(|at| (at, timer));
        soonest([
            self.phase.poll_timeout(),
            named(self.downlink.poll_timeout(), Timer::Playout),
            named(turn_heard, Timer::TurnHeard),
            named(setup, Timer::LiveSetup),
            named(self.downlink.stale_until(), Timer::Stale),
            named(self.keys.poll_timeout().filter(|_| self.responder.ready_link().is_some()), Timer::Keys),
            named(self.faults.poll_timeout(), Timer::Faults),
        ])
    }

    /// Whether more from the live connection can be taken; `false` lets TCP push back.
    pub fn wants_live(&self) -> bool {
        !self.downlink.is_full()
    }

    /// How the call ended, once it has. All outputs up to the terminal record are in the queue then.
    pub fn ending(&self) -> Option<&Ending> {
        match &self.phase {
            Phase::Ended(ending) => Some(ending),
            Phase::AwaitingStart { .. } | Phase::Talking { .. } | Phase::Finishing { .. } => None,
        }
    }

    /// A frame for `peer` was dropped because it does not read fast enough.
    pub fn handle_overflow(&mut self, peer: Peer) {
        match peer {
            Peer::Carrier => self.downlink.handle_overflow(),
            Peer::Live => self.uplink.handle_overflow(),
        }
        self.faults.count(peer, "frame_dropped", 1);
    }

    /// Ends the call at once because of a defect found outside the machine.
    pub fn abort(&mut self, ending: Ending, now: Instant) {
        self.end(ending, now);
    }

    fn handle_start(&mut self, start: Start, now: Instant) {
        let Phase::AwaitingStart { .. } = self.phase else {
            return self.faults.count(Peer::Carrier, "second_start", 1);
        };
        let Start { stream_sid, call_sid, account_sid, format, parameters } = start;
        let parameters = parameters.into_iter().collect();
        self.outbox.record(Record::Answered { stream_sid, parameters }, now);
        let is_known = |known: &str, said: &str| known == UNKNOWN || known == said;
        if call_sid != self.context.call_sid || !is_known(&self.context.account_sid, &account_sid) {
            return self.end(Ending::StreamMismatch, now);
        }
        if !is_supported(&format) {
            return self.end(Ending::FormatUnsupported { format }, now);
        }
        self.phase = Phase::Talking { media_until: now + MEDIA_DEADLINE, drain_at: None };
        self.dial(LinkId(1), now);
    }

    fn dial(&mut self, link: LinkId, now: Instant) {
        let agent = &self.agent;
        let setup = Setup {
            model: agent.model.clone(),
            voice: agent.voice.clone(),
            language: agent.language.clone(),
            prompt: self.context.prompt.clone(),
            temperature: agent.temperature,
            vad: agent.vad,
            handle: None,
        };
        self.responder = Responder::Live(Session::dial(link, Box::new(setup), now));
        self.outbox.event(Event::LiveDialled { link }, now);
        self.outbox.push(Output::Dial(link));
    }

    fn handle_media(&mut self, media: carrier::Media<'_>, now: Instant) {
        match &mut self.phase {
            Phase::Talking { media_until, .. } => *media_until = now + MEDIA_DEADLINE,
            Phase::Finishing { .. } | Phase::Ended(_) => return,
            Phase::AwaitingStart { .. } => {
                return self.faults.count(Peer::Carrier, "media_before_start", 1);
            }
        }
        let link = self.responder.ready_link();
        let outbox = &mut self.outbox;
        let irregularity = self.uplink.handle_media(media, now, link.is_some(), |frame| {
            if let Some(link) = link {
                outbox.live(link, live::Command::Audio(frame));
            }
        });
        if let Some(irregularity) = irregularity {
            self.faults.count(Peer::Carrier, irregularity.code(), irregularity.count());
        }
    }

    fn handle_dtmf(&mut self, digit: char, now: Instant) {
        if !matches!(self.phase, Phase::Talking { .. }) {
            return;
        }
        if self.keys.press(digit, now) {
            self.outbox.event(Event::Dtmf { digit }, now);
        } else {
            self.faults.count(Peer::Carrier, "dtmf_flood", 1);
        }
    }

    fn handle_change(&mut self, link: LinkId, change: Change, now: Instant) {
        match change {
            Change::Opened(setup) => self.outbox.live(link, live::Command::Setup(setup)),
            Change::Ready { setup, session_id } => {
                self.outbox.event(Event::LiveReady { link, setup_ms: millis(setup), session_id }, now);
                let held = self.uplink.held();
                if !held.is_zero() {
                    self.outbox.event(Event::AudioHeld { held_ms: millis(held) }, now);
                }
                if let Some(greeting) = &self.agent.greeting {
                    self.outbox.live(link, live::Command::Text(greeting.clone()));
                }
            }
            Change::Failed(cause) => {
                self.handle_loss(link, cause, |cause| Ending::LiveUnavailable { cause }, now)
            }
            Change::Lost(cause) => self.handle_loss(link, cause, |cause| Ending::LiveLost { cause }, now),
        }
    }

    /// The live session is gone: what the agent already said is heard out, then the call ends.
    fn handle_loss(&mut self, link: LinkId, cause: Failure, ending: fn(Failure) -> Ending, now: Instant) {
        self.outbox.event(Event::LiveLost { link, cause: cause.clone() }, now);
        if let Some(link) = self.responder.silence() {
            self.outbox.live(link, live::Command::Close);
        }
        self.finish_reply();
        if matches!(self.phase, Phase::Talking { .. }) {
            self.phase = Phase::Finishing { ending: ending(cause), until: now + FINISH_MAX };
        }
    }

    fn handle_content(&mut self, link: LinkId, event: live::Event<'_>, now: Instant) {
        match event {
            live::Event::Audio(samples) => self.handle_speech(samples, now),
            live::Event::OutputTranscription(text) if !self.downlink.is_stale() => {
                self.transcript.agent_said(text, self.downlink.position());
            }
            live::Event::InputTranscription(text) => {
                self.transcript.caller_said(text, self.uplink.speech(), now);
            }
            live::Event::Interrupted => self.handle_interrupted(now),
            live::Event::GenerationComplete => self.finish_reply(),
            live::Event::TurnComplete => {
                self.finish_reply();
                self.downlink.handle_turn_complete();
            }
            live::Event::ToolCall(call) => {
                let name = call.name.to_owned();
                let message = format!("There is no tool {name:?}. Go on without it.");
                let id = call.id.map(str::to_owned);
                self.outbox.event(Event::ToolRefused { name: name.clone() }, now);
                self.outbox.live(link, live::Command::ToolError { id, name, message });
            }
            live::Event::Usage(usage) => self.outbox.event(Event::Usage(usage), now),
            live::Event::GoAway { time_left } => {
                self.outbox.event(Event::GoAway { link, time_left_ms: time_left.map(millis) }, now);
            }
            live::Event::Malformed(fault) => self.faults.count(Peer::Live, fault.code(), 1),
            // The life of the session is the session's; a cancelled call was answered at once; voice activity
            // is measured on the line; handles are for resuming, which is not done yet.
            live::Event::OutputTranscription(_)
            | live::Event::Opened
            | live::Event::SetupComplete { .. }
            | live::Event::ToolCallCancelled { .. }
            | live::Event::VoiceActivity(_)
            | live::Event::Resumption { .. }
            | live::Event::Closed(_) => {}
        }
    }

    fn handle_speech(&mut self, samples: &[i16], now: Instant) {
        let position = self.downlink.position();
        if samples.is_empty() || !self.downlink.handle_audio(samples) {
            return;
        }
        let mut answered = None;
        if self.transcript.is_agent_about_to_speak() {
            answered = self.uplink.take_speech().map(|speech| speech.ended);
            self.close_caller(now);
        }
        self.transcript.agent_spoke(position, answered, now);
    }

    fn handle_interrupted(&mut self, now: Instant) {
        let start = self.transcript.cut_start();
        let Some(cleared) = self.downlink.handle_interrupted(now) else { return };
        self.outbox.carrier(carrier::Command::Clear);
        while let Some(turn) = self.transcript.pop_cut(cleared.heard, self.outbox.ledger(), now) {
            self.outbox.record(Record::Turn(turn), now);
        }
        if cleared.samples > 0 {
            let ms = |samples| crate::audio::Rate::LINE.millis(samples);
            let heard_ms = ms(cleared.heard.saturating_sub(start.unwrap_or(cleared.heard)));
            self.outbox.event(Event::Interrupted { heard_ms, cleared_ms: ms(cleared.samples) }, now);
        }
    }

    /// The model has said everything of this reply.
    fn finish_reply(&mut self) {
        if self.downlink.is_open() {
            self.downlink.handle_generation_complete();
        }
        self.transcript.agent_finished(self.downlink.position());
    }

    fn close_caller(&mut self, now: Instant) {
        if let Some(turn) = self.transcript.close_caller(self.outbox.ledger()) {
            self.outbox.record(Record::Turn(turn), now);
        }
    }

    /// Does what time alone brings: frames that are due, turns that were heard, reports.
    fn advance(&mut self, now: Instant) {
        if self.ending().is_some() {
            return;
        }
        while let Some(command) = self.downlink.poll(now) {
            self.outbox.carrier(command);
        }
        let heard = self.downlink.heard(now);
        while let Some(turn) = self.transcript.pop_heard(heard, self.outbox.ledger(), now) {
            self.outbox.record(Record::Turn(turn), now);
        }
        if let Some(link) = self.responder.ready_link()
            && let Some(digits) = self.keys.poll(now)
        {
            self.outbox
                .live(link, live::Command::Text(format!("The caller pressed {digits} on the keypad.")));
        }
        for fault in self.faults.poll(now) {
            self.outbox.event(fault, now);
        }
        if let Phase::Finishing { ending, until } = &self.phase
            && (now >= *until || heard >= self.downlink.position())
        {
            let ending = ending.clone();
            self.end(ending, now);
        }
    }

    /// The one way out: closes both sides, completes the log, exactly once.
    fn end(&mut self, ending: Ending, now: Instant) {
        if self.ending().is_some() {
            return;
        }
        // What was lost first is why the call ended, whoever closes the stream meanwhile.
        let ending = match std::mem::replace(&mut self.phase, Phase::Ended(ending.clone())) {
            Phase::Finishing { ending, .. } => ending,
            Phase::AwaitingStart { .. } | Phase::Talking { .. } | Phase::Ended(_) => ending,
        };
        if let Some(link) = self.responder.silence() {
            self.outbox.live(link, live::Command::Close);
        }
        self.outbox.carrier(carrier::Command::Close(phase::close_of(&ending)));
        self.close_caller(now);
        let heard = self.downlink.heard(now);
        while let Some(turn) = self.transcript.pop_cut(heard, self.outbox.ledger(), now) {
            self.outbox.record(Record::Turn(turn), now);
        }
        for fault in self.faults.drain() {
            self.outbox.event(fault, now);
        }
        let mut totals = AudioTotals::default();
        self.uplink.totals(&mut totals);
        self.downlink.totals(&mut totals, now);
        self.outbox.event(Event::AudioTotals(totals), now);
        self.outbox.record(Record::Ended(ending.clone()), now);
        self.phase = Phase::Ended(ending);
    }
}

/// The only line there is for now: mu-law, 8 kHz, mono.
fn is_supported(format: &MediaFormat) -> bool {
    format.encoding == "audio/x-mulaw" && format.sample_rate == 8000 && format.channels == 1
}
