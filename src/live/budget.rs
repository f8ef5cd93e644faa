//! How often, and how soon after each other, a call may try to have a live session.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::failure::Failure;

/// Attempts to connect per endpoint in [`WINDOW`]; only a completed turn sets the count back, because a session
/// that cannot work may pass its setup every time (Gemini Live API, retry budgets).
pub(super) const ATTEMPTS_MAX: usize = 3;

const WINDOW: Duration = Duration::from_secs(30);

/// The longest pause before the first, second and third attempt; the pause itself is anything up to it ("full
/// jitter"), so that many calls that lost their sessions at once do not come back at once.
const PAUSES: [Duration; ATTEMPTS_MAX] = [Duration::ZERO, Duration::from_millis(250), Duration::from_secs(1)];

/// The attempts of one call, however many sessions it has one after the other.
#[derive(Debug, Default)]
pub struct Budget {
    /// The endpoint, and when.
    attempts: VecDeque<(usize, Instant)>,
    /// The last cause, and how many failures of it came in a row.
    streak: Option<(Failure, usize)>,
    random: u64,
}

impl Budget {
    /// `seed` spreads the pauses of many calls.
    pub(super) const fn new(seed: u64) -> Self {
        Self { attempts: VecDeque::new(), streak: None, random: seed }
    }

    /// An attempt is made; tells which one of this endpoint it is since the count was set back, from 1.
    pub(super) fn note_attempt(&mut self, endpoint: usize, now: Instant) -> usize {
        self.attempts.retain(|(_, at)| now.saturating_duration_since(*at) < WINDOW);
        self.attempts.push_back((endpoint, now));
        self.count(endpoint, now)
    }

    /// Whether there have been as many attempts as there may be.
    pub(super) fn is_spent(&self, endpoint: usize, now: Instant) -> bool {
        self.count(endpoint, now) >= ATTEMPTS_MAX
    }

    /// When there may be an attempt at one of so many endpoints, if not at once.
    pub(super) fn free_at(&self, endpoints: usize, now: Instant) -> Option<Instant> {
        if (0..endpoints).any(|endpoint| !self.is_spent(endpoint, now)) {
            return None;
        }
        let oldest =
            |endpoint| self.attempts.iter().find(|(of, _)| *of == endpoint).map(|(_, at)| *at + WINDOW);
        (0..endpoints).filter_map(oldest).min()
    }

    pub(super) fn note_failure(&mut self, cause: &Failure) {
        self.streak = Some((cause.clone(), self.repeats(cause) + 1));
    }

    /// How many failures of this cause came directly before.
    pub(super) fn repeats(&self, cause: &Failure) -> usize {
        self.streak.as_ref().filter(|(last, _)| last.is_like(cause)).map_or(0, |(_, count)| *count)
    }

    /// The session works.
    pub(super) fn reset(&mut self, endpoint: usize) {
        self.attempts.retain(|(of, _)| *of != endpoint);
        self.streak = None;
    }

    /// Another endpoint's turn has come, or another session's.
    pub(super) fn turn(&mut self) {
        self.streak = None;
    }

    /// How long to wait before the next attempt.
    pub(super) fn pause(&mut self, endpoint: usize, now: Instant) -> Duration {
        let longest = PAUSES[self.count(endpoint, now).min(PAUSES.len() - 1)];
        longest.mul_f64(self.random())
    }

    fn count(&self, endpoint: usize, now: Instant) -> usize {
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < WINDOW;
        self.attempts.iter().filter(|(of, at)| *of == endpoint && is_recent(at)).count()
    }

    /// A number from 0 to 1 (Steele, Lea and Flood: "Fast splittable pseudorandom number generators", 2014).
    fn random(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_attempts_in_thirty_seconds() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut budget = Budget::new(1);
        assert_eq!([0, 5, 10].map(|s| budget.note_attempt(0, at(s))), [1, 2, 3]);
        assert!(budget.is_spent(0, at(29)) && !budget.is_spent(1, at(29)));
        assert_eq!((budget.free_at(1, at(29)), budget.free_at(2, at(29))), (Some(at(30)), None));
        assert!(!budget.is_spent(0, at(30)), "the first one is forgotten");
        budget.note_attempt(0, at(30));
        assert!(budget.is_spent(0, at(30)));
        budget.reset(0);
        assert!(!budget.is_spent(0, at(30)));
    }

    #[test]
    fn pauses_are_spread_below_a_longest_one_that_grows() {
        let now = Instant::now();
        let pauses = |attempts: usize| -> Vec<u128> {
            let pause = |seed| {
                let mut budget = Budget::new(seed);
                for _ in 0..attempts {
                    budget.note_attempt(0, now);
                }
                budget.pause(0, now).as_millis()
            };
            (0..1000).map(pause).collect()
        };
        assert!(pauses(0).iter().all(|ms| *ms == 0));
        for (attempts, longest) in [(1, 250), (2, 1000), (3, 1000)] {
            let pauses = pauses(attempts);
            let mean = pauses.iter().sum::<u128>() / 1000;
            assert!(pauses.iter().all(|ms| *ms < longest));
            assert!(mean.abs_diff(longest / 2) < longest / 20, "{mean} of {longest}");
        }
    }
}
