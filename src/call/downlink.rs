//! The model's audio on its way to the caller: resampled, paced, thrown away when interrupted.

use std::time::{Duration, Instant};

use super::record::AudioTotals;
use crate::audio::Rate;
use crate::audio::playout::{Cleared, Item, Playout};
use crate::audio::resample::Resampler;
use crate::carrier;
use crate::id::MarkId;

/// Speech that may wait to be played. Beyond it the live socket is not read and TCP pushes back.
const WAITING_MAX: Duration = Duration::from_secs(120);

/// After `interrupted` the old turn's `turnComplete` should come; some sessions never send it
/// (Gemini Live API, order of events: 2–3 s).
const STALE_MAX: Duration = Duration::from_millis(2500);

/// One call's downlink.
#[derive(Debug)]
pub(super) struct Downlink {
    resampler: Resampler,
    playout: Playout,
    reply: Reply,
    totals: Totals,
    scratch: Vec<i16>,
}

/// Where the model's current turn stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reply {
    /// No turn is open.
    Idle,
    /// Audio comes.
    Open,
    /// All audio came; the turn is not over yet.
    Complete,
    /// Interrupted: what still comes belongs to the old turn and is never heard.
    Stale { until: Instant },
}

/// `received` and `dropped` in samples of the model, `cleared` and `overflowed` in samples of the line.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    received: u64,
    dropped: u64,
    cleared: u64,
    overflowed: u64,
}

impl Downlink {
    pub(super) fn new() -> Self {
        Self {
            resampler: Resampler::new(Rate::MODEL_OUT, Rate::LINE),
            playout: Playout::new(Rate::LINE),
            reply: Reply::Idle,
            totals: Totals::default(),
            scratch: Vec::new(),
        }
    }

    /// Takes model speech; `false` if it is stale and was dropped.
    pub(super) fn handle_audio(&mut self, samples: &[i16]) -> bool {
        self.totals.received += samples.len() as u64;
        if self.is_stale() {
            self.totals.dropped += samples.len() as u64;
            return false;
        }
        self.reply = Reply::Open;
        self.resampler.push(samples, &mut self.scratch);
        self.playout.push(&self.scratch);
        self.scratch.clear();
        true
    }

    /// The model has produced everything: the rest of the utterance may go out.
    pub(super) fn handle_generation_complete(&mut self) {
        if self.reply == Reply::Open {
            self.finish();
            self.reply = Reply::Complete;
        }
    }

    /// The turn is over.
    pub(super) fn handle_turn_complete(&mut self) {
        self.handle_generation_complete();
        self.reply = Reply::Idle;
    }

    /// The caller interrupted: throws away what was not heard, and what still comes of an open turn. `None` if
    /// this turn was interrupted before.
    pub(super) fn handle_interrupted(&mut self, now: Instant) -> Option<Cleared> {
        if self.is_stale() {
            return None;
        }
        self.reply = match self.reply {
            // A late or spurious `interrupted`: no old turn will be completed, the next audio is a new answer.
            Reply::Idle => Reply::Idle,
            Reply::Open | Reply::Complete | Reply::Stale { .. } => Reply::Stale { until: now + STALE_MAX },
        };
        self.resampler.reset();
        let cleared = self.playout.clear(now);
        self.totals.cleared += cleared.samples;
        Some(cleared)
    }

    /// No more audio will come: lets everything out that is there.
    pub(super) fn finish(&mut self) {
        self.resampler.flush(&mut self.scratch);
        self.playout.push(&self.scratch);
        self.scratch.clear();
        self.playout.finish();
    }

    /// A frame that was sent was dropped on its way: the carrier does not read fast enough.
    pub(super) fn handle_overflow(&mut self) {
        self.totals.overflowed += Rate::LINE.frame_len() as u64;
    }

    pub(super) fn handle_mark(&mut self, mark: MarkId, now: Instant) {
        self.playout.handle_mark(mark, now);
    }

    /// When old audio may no longer be expected.
    pub(super) const fn stale_until(&self) -> Option<Instant> {
        match self.reply {
            Reply::Stale { until } => Some(until),
            Reply::Idle | Reply::Open | Reply::Complete => None,
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.stale_until().is_some_and(|until| now >= until) {
            self.reply = Reply::Idle;
        }
    }

    /// What the carrier is to be told at `now`.
    pub(super) fn poll(&mut self, now: Instant) -> Option<carrier::Command> {
        self.playout.poll(now).map(|item| match item {
            Item::Audio(frame) => carrier::Command::Media(frame),
            Item::Mark(mark) => carrier::Command::Mark(mark),
        })
    }

    /// When [`Downlink::poll`] has something next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.playout.poll_timeout()
    }

    /// Position in the agent's speech, line samples, of what comes next.
    pub(super) fn position(&self) -> u64 {
        self.playout.position()
    }

    /// Position up to which the caller has heard.
    pub(super) fn heard(&self, now: Instant) -> u64 {
        self.playout.heard(now)
    }

    /// When everything up to `position` will have been heard, if it was all sent.
    pub(super) fn heard_at(&self, position: u64) -> Option<Instant> {
        self.playout.heard_at(position)
    }

    pub(super) const fn is_stale(&self) -> bool {
        matches!(self.reply, Reply::Stale { .. })
    }

    /// Whether a model turn is open whose audio is still coming.
    pub(super) fn is_open(&self) -> bool {
        self.reply == Reply::Open
    }

    /// Whether no more speech can be taken for now.
    pub(super) fn is_full(&self) -> bool {
        self.playout.waiting() >= WAITING_MAX
    }

    /// The account at the end of the call: what was not heard by now never will be.
    pub(super) fn totals(&self, totals: &mut AudioTotals, now: Instant) {
        let unheard = self.position() - self.heard(now);
        let cleared = self.totals.cleared + unheard;
        totals.downlink_received_ms = Rate::MODEL_OUT.millis(self.totals.received);
        totals.downlink_dropped_ms =
            Rate::MODEL_OUT.millis(self.totals.dropped) + Rate::LINE.millis(self.totals.overflowed);
        totals.downlink_cleared_ms = Rate::LINE.millis(cleared);
        totals.downlink_played_ms =
            Rate::LINE.millis((self.position() - cleared).saturating_sub(self.totals.overflowed));
    }
}
