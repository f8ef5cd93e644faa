//! What the caller hears, whoever says it: replies, interruptions, covers, the greeting and the apology.

use super::agent::Greeting;
use std::time::{Duration, Instant};

use super::clip::{self, Clip};
use super::phase::Phase;
use super::record::{Cause, Ending, Event, Record, Rung};
use super::silence::{Debt, Step};
use super::transcript::{Answered, Floor, LATE_MAX};
use super::{Call, carrier};
use crate::audio::Rate;
use crate::live::failure::Failure;
use crate::time::millis;

/// How long speech that is already here may take to be heard out when the call must end.
const FINISH_MAX: Duration = Duration::from_secs(10);

/// The caller speaks over what is heard while nobody listens who could notice: longer than a click, and than the
/// pauses that energy alone takes for speech.
const BARGE_IN: Duration = Duration::from_millis(300);

/// Shorter sounds of the caller want no answer.
const SPEECH_MIN: Duration = Duration::from_millis(200);

impl Call {
    /// The first words, if they are the agent's.
    pub(super) fn greet(&mut self, now: Instant) {
        let agent = std::sync::Arc::clone(&self.agent);
        if let Some(clip) =
            agent.keep.recording.as_ref().and_then(|recording| recording.announcement.as_ref())
        {
            self.downlink.insist(&clip.samples);
            self.say(clip, now);
        }
        match &agent.greeting {
            Greeting::None => {}
            Greeting::Clip(clip) => self.say(clip, now),
            Greeting::Instruction(_) => self.silence.owe(Debt::Greeting, now),
        }
    }

    /// The agent says something recorded.
    pub(super) fn say(&mut self, clip: &Clip, now: Instant) {
        let position = self.downlink.position();
        self.transcript.agent_reads(&clip.text, position, now);
        self.transcript.agent_spoke(position, Answered::default(), now);
        self.downlink.push_cover(&clip.samples, now);
        self.downlink.finish_cover();
        self.transcript.agent_finished(self.downlink.position(), now, now);
    }

    /// Plays speech of the agent that answers what the caller said up to `answered`; `false` if it is stale.
    pub(super) fn play(&mut self, samples: &[i16], answered: Option<Instant>, now: Instant) -> bool {
        let is_first = self.transcript.is_agent_about_to_speak();
        if !samples.is_empty() && self.downlink.is_toning() && !self.downlink.is_stale() {
            self.hush_tone(now);
        }
        let position = self.downlink.position();
        if samples.is_empty() || !self.downlink.handle_audio(samples) {
            return false;
        }
        let mut answers = Answered::default();
        if is_first {
            answers = Answered { since: answered, speech: self.uplink.take_speech() };
            self.transcript.close_caller(now + LATE_MAX);
        }
        self.transcript.agent_spoke(position, answers, now);
        true
    }

    /// The agent owes nothing any more.
    pub(super) fn settle(&mut self, now: Instant) {
        self.silence.settle(now);
        self.hush_tone(now);
    }

    /// The caller interrupts: what was not heard never will be.
    pub(super) fn handle_interrupted(&mut self, now: Instant) {
        self.downlink.stop_tone();
        let start = self.transcript.cut_start();
        let Some(cleared) = self.downlink.handle_interrupted(now) else { return };
        if self.downlink.note_clear() {
            self.outbox.carrier(carrier::Command::Clear);
        }
        self.cut_tape(cleared.heard);
        self.transcript.cut(cleared.heard, cleared.heard + cleared.samples, now);
        if cleared.samples > 0 {
            let ms = |samples| Rate::LINE.millis(samples);
            let heard_ms = ms(cleared.heard.saturating_sub(start.unwrap_or(cleared.heard)));
            self.outbox.event(Event::Interrupted { heard_ms, cleared_ms: ms(cleared.samples) }, now);
        }
    }

    /// Everything of this reply is here, but for words that may come until then.
    pub(super) fn finish_reply(&mut self, until: Instant, now: Instant) {
        if self.downlink.is_open() {
            self.downlink.handle_generation_complete();
        }
        self.transcript.agent_finished(self.downlink.position(), until, now);
    }

    /// Takes note of what the caller does: who speaks is not spoken over, who has spoken is owed an answer.
    pub(super) fn note_caller(&mut self, was_speaking: bool, now: Instant) {
        let Some(speech) = self.uplink.speech() else { return };
        if self.uplink.is_speaking() {
            let is_heard = now.saturating_duration_since(speech.started) >= BARGE_IN;
            if is_heard && !self.is_answered() && self.downlink.is_audible(now) && !self.downlink.is_toning()
            {
                self.handle_interrupted(now);
                self.downlink.handle_turn_complete();
            }
            if !was_speaking {
                self.yield_floor(now);
            }
        } else if was_speaking && !self.is_standing_in() {
            let is_long = speech.ended.saturating_duration_since(speech.started) >= SPEECH_MIN;
            if is_long && !self.downlink.is_speech_audible(now) {
                self.silence.owe(Debt::Answer, speech.ended);
            }
        }
    }

    pub(super) fn yield_floor(&mut self, now: Instant) {
        self.silence.yield_floor(now);
        self.hush_tone(now);
    }

    /// Does what is due while the caller waits.
    pub(super) fn fill_silence(&mut self, now: Instant) {
        if !self.is_talking() {
            return;
        }
        if self.downlink.is_open() && !self.downlink.is_audible(now) && !self.uplink.is_speaking() {
            self.silence.owe(Debt::Rest, now);
        }
        self.silence.note_audible(self.downlink.is_audible(now), now);
        while let Some(step) = self.silence.poll(self.is_asked(), now) {
            match step {
                Step::Tone => self.cover(None, now),
                Step::Words => self.cover(Some(clip::wait(!self.downlink.is_toning())), now),
                Step::Nudge => self.nudge(now),
                Step::GiveUp => self.fail_session(Failure::Mute, now),
            }
        }
        self.follow_session(now);
    }

    /// A connected live model has the word.
    pub(super) fn is_asked(&self) -> bool {
        self.responder.ready_link().is_some()
    }

    /// When the caller will have heard everything of a reply that has not ended.
    pub(super) fn dry_at(&self) -> Option<Instant> {
        let is_due = self.is_talking() && self.silence.debt().is_none() && !self.uplink.is_speaking();
        self.downlink.dry_at().filter(|_| is_due)
    }

    /// The turns that were heard by now go into the log, once they can get no more words.
    pub(super) fn note_heard(&mut self, now: Instant) {
        self.transcript.note_heard(self.downlink.heard(now), now);
        self.log_turns(now);
    }

    pub(super) fn log_turns(&mut self, now: Instant) {
        while let Some(turn) = self.transcript.pop(self.outbox.ledger(), now) {
            self.outbox.record(Record::Turn(turn), now);
        }
    }

    /// What the caller does, for who needs to know to which turn words belong.
    pub(super) fn floor(&self) -> Floor {
        Floor { speech: self.uplink.speech(), is_speaking: self.uplink.is_speaking() }
    }

    /// Nobody can answer any more: the caller is told so, and what happens next.
    pub(super) fn give_up(&mut self, cause: Cause, now: Instant) {
        let follow_up = self.agent.otherwise.last_resort.clone();
        self.hush(now);
        self.silence.settle(now);
        self.downlink.stop_tone();
        self.finish_reply(now, now);
        self.outbox.event(Event::Rung { rung: Rung::LastResort, cause: Some(cause.clone()) }, now);
        if !self.is_talking() {
            return;
        }
        if self.downlink.unheard(now) > FINISH_MAX {
            self.handle_interrupted(now);
        }
        self.transcript.close_caller(now);
        self.say(clip::apology(&follow_up), now);
        let until = now + self.downlink.unheard(now) + Duration::from_secs(1);
        self.phase = Phase::Finishing { ending: Ending::AllFailed { cause, follow_up }, until };
    }

    /// Whether there is somebody who hears the caller and notices an interruption.
    fn is_answered(&self) -> bool {
        self.is_standing_in() || self.responder.ready_link().is_some()
    }

    /// Lets the caller hear that the line is alive: a tone, and words before it.
    fn cover(&mut self, words: Option<&Clip>, now: Instant) {
        let waited_ms = self.silence.since().map_or(0, |since| millis(now.saturating_duration_since(since)));
        if let Some(clip) = words {
            self.downlink.push_cover(&clip.samples, now);
            self.downlink.finish_cover();
        }
        self.downlink.start_tone();
        self.outbox.event(Event::Cover { waited_ms, words: words.map(|clip| clip.text.clone()) }, now);
    }

    /// Ends the tone, and what of it is on its way.
    fn hush_tone(&mut self, now: Instant) {
        if self.downlink.is_toning() {
            self.downlink.stop_tone();
            if !self.downlink.is_speech_audible(now) && !self.downlink.is_saying(now) {
                let cleared = self.downlink.clear(now);
                self.cut_tape(cleared.heard);
                self.outbox.carrier(carrier::Command::Clear);
            }
        }
    }
}
