//! How often, and how soon after each other, a call may try to have a live session.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::failure::Failure;

/// Attempts to connect per endpoint in [`WINDOW`]; only a completed turn sets the count back, because a session
/// that cannot work may pass its setup every time (Gemini Live API, retry budgets).
pub(super) const ATTEMPTS_MAX: usize = 3;

/// The same for a call that has one endpoint and no other tier: one more, because a refused attempt costs less than the caller.
pub(super) const LAST_TIER_ATTEMPTS_MAX: usize = ATTEMPTS_MAX + 1;

const WINDOW: Duration = Duration::from_secs(30);

/// The longest wait that a service may ask for ([`Failure::retry_after`]) and that the caller is kept waiting for.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(5);

/// The wait if the service asks for none, or for one that no caller endures.
const WAIT_DEFAULT: Duration = Duration::from_secs(1);

/// The longest pause before the first, second, third and every later attempt; the pause itself is anything up to it ("full
/// jitter"), so that many calls that lost their sessions at once do not come back at once.
const PAUSES: [Duration; ATTEMPTS_MAX] = [Duration::ZERO, Duration::from_millis(250), Duration::from_secs(1)];

/// The attempts of one call, however many sessions it has one after the other.
#[derive(Debug)]
pub struct Budget {
    attempts_max: usize,
    /// The endpoint, and when.
    attempts: VecDeque<(usize, Instant)>,
    /// The last cause, and how many failures of it came in a row.
    streak: Option<(Failure, usize)>,
    /// The first endpoint that was not tried because it is known to fail.
    passed_over: Option<usize>,
    /// The call has waited for a quota since the last completed turn.
    has_waited: bool,
    random: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(0, ATTEMPTS_MAX)
    }
}

impl Budget {
    /// `seed` spreads the pauses of many calls.
    pub(super) const fn new(seed: u64, attempts_max: usize) -> Self {
        Self {
            attempts_max,
            attempts: VecDeque::new(),
            streak: None,
            passed_over: None,
            has_waited: false,
            random: seed,
        }
    }

    /// An attempt is made; tells which one of this endpoint it is since the count was set back, from 1.
    pub(super) fn note_attempt(&mut self, endpoint: usize, now: Instant) -> usize {
        self.attempts.retain(|(_, at)| now.saturating_duration_since(*at) < WINDOW);
        self.attempts.push_back((endpoint, now));
        self.count(endpoint, now)
    }

    /// The newest attempt was not made: the endpoint is known to fail.
    pub(super) fn pass_over(&mut self, endpoint: usize) {
        self.attempts.pop_back();
        self.passed_over.get_or_insert(endpoint);
    }

    /// The first endpoint that was passed over, once.
    pub(super) const fn take_passed_over(&mut self) -> Option<usize> {
        self.passed_over.take()
    }

    /// How long to wait for a quota before the one attempt that is made after it; `None`: it was made.
    pub(super) fn wait(&mut self, asked: Option<Duration>) -> Option<Duration> {
        if std::mem::replace(&mut self.has_waited, true) {
            return None;
        }
        let spread = PAUSES[1].mul_f64(self.random());
        Some(asked.filter(|asked| *asked <= WAIT_MAX).unwrap_or(WAIT_DEFAULT) + spread)
    }

    /// Whether there have been as many attempts as there may be.
    pub(super) fn is_spent(&self, endpoint: usize, now: Instant) -> bool {
        self.count(endpoint, now) >= self.attempts_max
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
        self.passed_over = None;
        self.has_waited = false;
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
    use rstest::rstest;

    use super::*;

    #[test]
    fn three_attempts_in_thirty_seconds() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut budget = Budget::new(1, ATTEMPTS_MAX);
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
                let mut budget = Budget::new(seed, ATTEMPTS_MAX);
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

    /// What the service asks for, milliseconds, and the shortest and longest wait.
    #[rstest]
    #[case::nothing(None, (1000, 1250))]
    #[case::at_once(Some(0), (0, 250))]
    #[case::a_second(Some(1000), (1000, 1250))]
    #[case::five_seconds(Some(5000), (5000, 5250))]
    #[case::longer_than_a_caller_endures(Some(5001), (1000, 1250))]
    #[case::a_day(Some(86_400_000), (1000, 1250))]
    fn one_attempt_waits_as_long_as_the_service_asks(
        #[case] asked_ms: Option<u64>,
        #[case] (least, most): (u64, u64),
    ) {
        let mut budget = Budget::new(7, LAST_TIER_ATTEMPTS_MAX);
        let asked = asked_ms.map(Duration::from_millis);
        let wait = budget.wait(asked).unwrap();
        assert!((Duration::from_millis(least)..=Duration::from_millis(most)).contains(&wait), "{wait:?}");
        assert_eq!(budget.wait(asked), None);
        budget.reset(0);
        assert!(budget.wait(asked).is_some(), "a completed turn sets it back");
    }
}
