//! The call machine: the only place where carrier and model meet.
//!
//! [`Call`] takes what the carrier says, what the model says and the time, and gives one ordered queue of
//! [`Output`]s. It never waits, reads no clock and opens no socket: same input, same output. It routes and
//! orders; each part (uplink, downlink, transcript, session …) is a small machine with tests of its own.

pub mod agent;
mod allowance;
pub mod clip;
pub mod context;
mod downlink;
mod fallback_leg;
mod faults;
pub mod intake;
mod keys;
mod live_leg;
mod output;
mod phase;
mod privacy;
pub mod record;
mod recording;
pub mod replay;
mod responder;
pub mod services;
mod silence;
mod speech;
mod transcript;
mod uplink;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use self::agent::Agent;
use self::allowance::Allowance;
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
use self::services::Services;
use self::silence::Silence;
use self::transcript::Transcript;
use self::uplink::{Piece, Route, Uplink};
use crate::audio::tape::Tape;
use crate::carrier::{self, MediaFormat, Start};
use crate::id::CallId;
use crate::live;
use crate::time::{millis, soonest};

/// The carrier says `start` right after the upgrade; one that does not is not a carrier.
const START_DEADLINE: Duration = Duration::from_secs(5);

/// A carrier sends a frame every 20 ms, in silence too. Without any for this long the call is gone.
const MEDIA_DEADLINE: Duration = Duration::from_secs(30);

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
    Drain {
        deadline: Instant,
    },
    /// A newer stream of the same call took over.
    Supersede,
    /// The caller is about to say what nobody may keep: the recording goes on in silence, the log without words.
    PauseRecording,
    ResumeRecording,
}

/// One telephone call.
#[derive(Debug)]
pub struct Call {
    setting: Setting,
    agent: Arc<Agent>,
    phase: Phase,
    responder: Responder,
    uplink: Uplink,
    downlink: Downlink,
    transcript: Transcript,
    silence: Silence,
    keys: Keys,
    faults: Faults,
    allowance: Allowance,
    outbox: Outbox,
    /// While the call is recorded.
    tape: Option<Box<Tape>>,
}

/// What a call was given for its whole length.
#[derive(Debug)]
struct Setting {
    context: Context,
    services: Arc<Services>,
}

impl Call {
    /// A call whose media socket was just opened.
    pub fn answer(admission: Admission, services: Arc<Services>, now: Instant) -> Self {
        let Admission { context, agent, ledger } = admission;
        Self {
            setting: Setting { context, services },
            agent,
            phase: Phase::AwaitingStart { until: now + START_DEADLINE },
            responder: Responder::new(),
            uplink: Uplink::new(),
            downlink: Downlink::new(),
            transcript: Transcript::default(),
            silence: Silence::default(),
            keys: Keys::default(),
            faults: Faults::default(),
            allowance: Allowance::new(now),
            outbox: Outbox::new(ledger),
            tape: None,
        }
    }

    pub fn id(&self) -> CallId {
        self.outbox.ledger().call()
    }

    /// The pipeline as it is set up, for people.
    pub fn pipeline(&self) -> String {
        format!(
            "{}(mulaw/8000) -> resample(8000->16000) -> live({}) -> resample(24000->8000) -> playout -> {}",
            self.setting.context.carrier, self.agent.model, self.setting.context.carrier
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
            carrier::Event::Flooded => self.end(Ending::CarrierFlooded, now),
            carrier::Event::Stalled => self.end(Ending::CarrierStalled, now),
            carrier::Event::Malformed(fault) => self.faults.count(Peer::Carrier, fault.code(), 1),
        }
        self.advance(now);
    }

    pub fn handle_control(&mut self, control: Control, now: Instant) {
        match (control, &mut self.phase) {
            (Control::Supersede, _) => self.end(Ending::Superseded, now),
            (_, Phase::Ended(_)) => {}
            (Control::PauseRecording, _) => self.pause_recording(now),
            (Control::ResumeRecording, _) => self.resume_recording(now),
            (Control::Drain { deadline }, Phase::Talking { drain_at, .. }) => *drain_at = Some(deadline),
            (Control::Drain { .. }, Phase::AwaitingStart { .. }) => self.end(Ending::Drained, now),
            (Control::Drain { .. }, Phase::Finishing { .. }) => {}
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
        if let Some(session) = self.responder.session() {
            session.handle_timeout(now);
        }
        if let Some(standin) = self.responder.standin() {
            standin.session.handle_timeout(now);
        }
        self.downlink.handle_timeout(now);
        if self.uplink.poll_timeout().is_some_and(|at| now >= at) {
            self.flush_uplink();
        }
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
        let named = |at: Option<Instant>, timer| at.map(|at| (at, timer));
        soonest([
            self.phase.poll_timeout(),
            named(self.uplink.poll_timeout(), Timer::Coalesce),
            named(self.downlink.poll_timeout(), Timer::Playout),
            named(turn_heard, Timer::TurnHeard),
            named(self.transcript.poll_timeout(), Timer::LateWords),
            named(self.dry_at(), Timer::Silence),
            named(self.silence.poll_timeout(self.is_asked()).filter(|_| self.is_talking()), Timer::Silence),
            self.responder.poll_timeout(),
            named(self.downlink.stale_until(), Timer::Stale),
            named(self.keys.poll_timeout().filter(|_| self.takes_keys()), Timer::Keys),
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

    /// A message of the carrier was odd, and was read all the same.
    pub fn note_oddity(&mut self, oddity: &'static str) {
        self.faults.count(Peer::Carrier, oddity, 1);
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
        // The token in the path names the call; a carrier that leaves an id out says nothing against it.
        let is_same = |known: &str, said: &str| said.is_empty() || known == said;
        let Context { call_sid: own_call, account_sid: own_account, .. } = &self.setting.context;
        if !is_same(own_call, &call_sid) || own_account != UNKNOWN && !is_same(own_account, &account_sid) {
            return self.end(Ending::StreamMismatch, now);
        }
        if !is_supported(&format) {
            return self.end(Ending::FormatUnsupported { format }, now);
        }
        self.phase = Phase::Talking { media_until: now + MEDIA_DEADLINE, drain_at: None };
        self.start_recording(now);
        self.greet(now);
        self.go_live(now);
    }

    fn handle_media(&mut self, media: carrier::Media<'_>, now: Instant) {
        match &mut self.phase {
            Phase::Talking { media_until, .. } => *media_until = now + MEDIA_DEADLINE,
            Phase::Finishing { .. } => return self.tape_caller(media.samples, None, now),
            Phase::Ended(_) => return,
            Phase::AwaitingStart { .. } => {
                return self.faults.count(Peer::Carrier, "media_before_start", 1);
            }
        }
        let was_speaking = self.uplink.is_speaking();
        let irregularity = self.route_media(media, now);
        self.tape_caller(media.samples, irregularity, now);
        if let Some(irregularity) = irregularity {
            self.faults.count(Peer::Carrier, irregularity.code(), irregularity.count());
        }
        self.note_caller(was_speaking, now);
    }

    /// To whoever answers, or nowhere yet.
    fn route_media(&mut self, media: carrier::Media<'_>, now: Instant) -> Option<uplink::Irregularity> {
        let link = self.responder.ready_link();
        if let Some(link) = link {
            let (responder, outbox) = (&mut self.responder, &mut self.outbox);
            return self.uplink.handle_media(media, now, Route::Model, |piece| {
                if let Piece::Model(frame) = piece {
                    let command = live::Command::Audio(frame);
                    if let Some(session) = responder.session() {
                        session.note_sent(&command);
                    }
                    outbox.live(link, command);
                }
            });
        }
        if !self.is_standing_in() {
            return self.uplink.handle_media(media, now, Route::Hold, |_| {});
        }
        let mut heard = Vec::new();
        let irregularity = self.uplink.handle_media(media, now, Route::Line, |piece| {
            if let Piece::Line(samples) = piece {
                heard.extend_from_slice(samples);
            }
        });
        self.listen(&heard, now);
        irregularity
    }

    fn handle_dtmf(&mut self, digit: char, now: Instant) {
        if !matches!(self.phase, Phase::Talking { .. }) {
            return;
        }
        if self.keys.press(digit, now) {
            let digit = if self.transcript.is_paused() { '*' } else { digit };
            self.outbox.event(Event::Dtmf { digit }, now);
        } else {
            self.faults.count(Peer::Carrier, "dtmf_flood", 1);
        }
    }

    /// Does what time alone brings: frames that are due, turns that were heard, reports.
    fn advance(&mut self, now: Instant) {
        if self.ending().is_some() {
            return;
        }
        self.follow_session(now);
        self.follow_standin(now);
        self.fill_silence(now);
        while let Some(command) = self.downlink.poll(now) {
            self.tape_agent(&command);
            self.outbox.carrier(command);
        }
        self.roll_tape(now);
        self.note_heard(now);
        self.leave_quietly(now);
        self.tell_keys(now);
        for fault in self.faults.poll(now) {
            self.outbox.event(fault, now);
        }
        if let Phase::Finishing { ending, until } = &self.phase
            && (now >= *until || !self.downlink.is_audible(now))
        {
            let ending = ending.clone();
            self.end(ending, now);
        }
    }

    /// A session that has to move does so at a turn boundary, and a call in the fallback goes back to live there.
    fn leave_quietly(&mut self, now: Instant) {
        if !self.is_talking() {
            return;
        }
        if self.is_standing_in() {
            return self.come_back(now);
        }
        if self.is_quiet(now)
            && let Some(session) = self.responder.session()
        {
            session.handle_quiet(now);
            self.follow_session(now);
        }
    }

    fn tell_keys(&mut self, now: Instant) {
        if !self.takes_keys() {
            return;
        }
        let Some(digits) = self.keys.poll(now) else { return };
        let text = format!("The caller pressed {digits} on the keypad.");
        match self.responder.standin() {
            Some(standin) => standin.session.handle_text(&text, now),
            None => self.tell_live(live::Command::Text(text)),
        }
        self.follow_standin(now);
    }

    /// Whether somebody is there to be told about keys.
    fn takes_keys(&self) -> bool {
        self.is_standing_in() || self.responder.ready_link().is_some()
    }

    const fn is_talking(&self) -> bool {
        matches!(self.phase, Phase::Talking { .. })
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
        self.hush(now);
        if let Ending::AllFailed { follow_up, .. } = &ending {
            self.outbox.push(Output::FollowUp(follow_up.clone()));
        }
        self.outbox.carrier(carrier::Command::Close(phase::close_of(&ending)));
        let heard = self.downlink.heard(now);
        self.transcript.close(heard, self.downlink.position(), now);
        self.log_turns(now);
        self.end_recording(heard, now);
        for fault in self.faults.drain() {
            self.outbox.event(fault, now);
        }
        let mut totals = AudioTotals::default();
        self.uplink.totals(&mut totals);
        self.downlink.totals(&mut totals, now);
        totals.dead_air_max_ms = millis(self.silence.longest(now));
        self.outbox.event(Event::AudioTotals(totals), now);
        self.outbox.record(Record::Ended(ending.clone()), now);
        self.phase = Phase::Ended(ending);
    }

    /// Nobody answers any more: what runs is cancelled, what is connected is closed.
    fn hush(&mut self, now: Instant) {
        self.close_standin(now);
        if let Some(link) = self.responder.silence() {
            self.outbox.live(link, live::Command::Close);
        }
    }
}

/// The only line there is for now: mu-law, 8 kHz, mono.
fn is_supported(format: &MediaFormat) -> bool {
    format.encoding == "audio/x-mulaw" && format.sample_rate == 8000 && format.channels == 1
}
