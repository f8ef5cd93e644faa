//! What calls measured since somebody looked last; and all of it together.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::histogram::Delays;
use super::outcome::{Losses, Measure, names};

/// p99 of the added delay that a caller does not notice.
pub const ADDED_DELAY_BAR_MS: f64 = 60.0;

/// p99 of the time in which a caller for whom there is no room is told so.
pub const REFUSAL_BAR_MS: f64 = 50.0;

/// Where all calls write to.
#[derive(Debug, Default)]
pub struct Board {
    tally: Mutex<Tally>,
    /// Calls that are up.
    pub up: AtomicU64,
    /// Callers hang up now.
    pub is_over: AtomicBool,
}

impl Board {
    /// Its lock is held for an instant.
    pub fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything since the last time.
    pub fn take(&self) -> Tally {
        std::mem::take(&mut *self.tally())
    }

    pub fn is_over(&self) -> bool {
        self.is_over.load(Relaxed)
    }
}

#[derive(Debug, Default)]
pub struct Tally {
    pub heard: Heard,
    /// How late callers' frames left.
    pub lateness: Delays,
    pub frames: u64,
    pub losses: Losses,
    pub ends: Ends,
    /// How long calls were that went to their end.
    pub lengths: Delays,
}

/// What callers heard.
#[derive(Debug, Default)]
pub struct Heard {
    pub added_delay: Delays,
    pub barge_in: Delays,
    pub answer: Delays,
    pub dead_air: Delays,
    pub frame_lateness: Delays,
    pub setup: Delays,
    pub first_sound: Delays,
    /// How long refused calls waited for their answer.
    pub refusal: Delays,
}

#[derive(Debug, Default)]
pub struct Ends {
    pub answered: u64,
    pub completed: u64,
    pub cut_short: u64,
    pub refused: BTreeMap<String, u64>,
    pub failed: BTreeMap<String, u64>,
}

impl Tally {
    pub fn add(&mut self, other: &Self) {
        let Self { heard, lateness, frames, losses, ends, lengths } = self;
        for (all, other) in heard.all_mut().into_iter().zip(other.heard.all()) {
            all.add(other);
        }
        lateness.add(&other.lateness);
        *frames += other.frames;
        add_losses(losses, &other.losses);
        ends.answered += other.ends.answered;
        ends.completed += other.ends.completed;
        ends.cut_short += other.ends.cut_short;
        add_counts(&mut ends.refused, &other.ends.refused);
        add_counts(&mut ends.failed, &other.ends.failed);
        lengths.add(&other.lengths);
    }
}

impl Heard {
    const fn all(&self) -> [&Delays; 8] {
        let Self { added_delay, barge_in, answer, dead_air, frame_lateness, setup, first_sound, refusal } =
            self;
        [added_delay, barge_in, answer, dead_air, frame_lateness, setup, first_sound, refusal]
    }

    const fn all_mut(&mut self) -> [&mut Delays; 8] {
        let Self { added_delay, barge_in, answer, dead_air, frame_lateness, setup, first_sound, refusal } =
            self;
        [added_delay, barge_in, answer, dead_air, frame_lateness, setup, first_sound, refusal]
    }

    /// Rows of the outcome; that of refusals only if there were any.
    pub fn measures(&self) -> Vec<Measure> {
        let bar = Some(ADDED_DELAY_BAR_MS);
        let mut measures = vec![
            self.added_delay.measure(names::ADDED_DELAY, "mouth to ear, added", bar),
            self.barge_in.measure(names::BARGE_IN, "barge-in to silence", None),
            self.answer.measure(names::ANSWER, "end of words to answer", None),
            self.dead_air.measure(names::DEAD_AIR, "longest silence of a call", None),
            self.frame_lateness.measure(names::FRAME_LATENESS, "lateness of frames", None),
            self.setup.measure(names::SETUP, "webhook to open stream", None),
            self.first_sound.measure(names::FIRST_SOUND, "stream to first sound", None),
        ];
        if !self.refusal.is_empty() {
            let bar = Some(REFUSAL_BAR_MS);
            measures.push(self.refusal.measure(names::REFUSAL, "webhook to refusal", bar));
        }
        measures
    }
}

fn add_losses(all: &mut Losses, other: &Losses) {
    all.uplink_lost_samples += other.uplink_lost_samples;
    all.uplink_doubled_samples += other.uplink_doubled_samples;
    all.downlink_lost_samples += other.downlink_lost_samples;
    all.downlink_doubled_samples += other.downlink_doubled_samples;
    all.underruns += other.underruns;
    all.probes_lost += other.probes_lost;
    all.probes += other.probes;
    all.replies += other.replies;
    all.uplink_samples += other.uplink_samples;
    all.downlink_samples += other.downlink_samples;
    all.violations += other.violations;
}

fn add_counts(all: &mut BTreeMap<String, u64>, other: &BTreeMap<String, u64>) {
    for (name, count) in other {
        *all.entry(name.clone()).or_default() += count;
    }
}
