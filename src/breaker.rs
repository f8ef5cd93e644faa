//! A circuit breaker: when a service fails, only a few attempts tell, and everybody else is spared the wait.
//!
//! Pure: it is told the time. One breaker stands for one endpoint and is shared by every call of the process.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// This many failures within [`WINDOW`] open the breaker. While the service is under suspicion, failures and
/// attempts under way are together no more than this, so that an outage sees no more of them before it is known.
pub const FAILURES_MAX: usize = 5;

/// Failures further apart than this are accidents.
const WINDOW: Duration = Duration::from_secs(10);

/// Half of this many outcomes being failures opens the breaker too, however slowly they come.
const OUTCOMES: usize = 20;

/// While open, one attempt in this time probes the service.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// What an attempt is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Go on, and report the outcome.
    Granted,
    /// The service is under suspicion and enough attempts are under way: ask again in a moment.
    Busy,
    /// The service is known to fail: go elsewhere.
    Open,
}

/// The state of one endpoint.
#[derive(Debug, Default)]
pub struct Breaker {
    outcomes: VecDeque<Outcome>,
    /// Granted and not yet reported or withdrawn.
    under_way: usize,
    state: State,
}

#[derive(Clone, Copy, Debug)]
struct Outcome {
    at: Instant,
    is_failure: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// The last that was heard of the service was good, or nothing was.
    #[default]
    Trusted,
    /// Something failed since the last success.
    Suspected,
    Open {
        probe_at: Instant,
    },
}

impl Breaker {
    /// Asks for leave to try the service.
    pub fn admit(&mut self, now: Instant) -> Admission {
        let spent = self.under_way + self.recent_failures(now);
        match &mut self.state {
            State::Trusted => {}
            State::Suspected if spent >= FAILURES_MAX => return Admission::Busy,
            State::Suspected => {}
            State::Open { probe_at } if now < *probe_at => return Admission::Open,
            State::Open { probe_at } => *probe_at = now + PROBE_INTERVAL,
        }
        self.under_way += 1;
        Admission::Granted
    }

    /// An attempt succeeded: the service is healthy.
    pub fn succeed(&mut self, now: Instant) {
        self.note(now, false);
        if self.is_open() {
            self.outcomes.clear();
        }
        self.state = State::Trusted;
    }

    /// An attempt failed.
    pub fn fail(&mut self, now: Instant) {
        self.note(now, true);
        let failures = self.outcomes.iter().filter(|outcome| outcome.is_failure);
        let is_mostly_failing = self.outcomes.len() == OUTCOMES && failures.count() * 2 >= OUTCOMES;
        if self.recent_failures(now) >= FAILURES_MAX || is_mostly_failing {
            if !self.is_open() {
                self.state = State::Open { probe_at: now + PROBE_INTERVAL };
            }
        } else if self.state == State::Trusted {
            self.state = State::Suspected;
        }
    }

    /// An attempt was given up before it had an outcome.
    pub fn withdraw(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// An established connection broke: no attempt, but a reason to be careful with the next ones.
    pub fn suspect(&mut self) {
        if self.state == State::Trusted {
            self.state = State::Suspected;
        }
    }

    /// Whether the service is known to fail.
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    fn recent_failures(&self, now: Instant) -> usize {
        let is_recent = |outcome: &&Outcome| now.saturating_duration_since(outcome.at) < WINDOW;
        self.outcomes.iter().filter(|outcome| outcome.is_failure).filter(is_recent).count()
    }

    fn note(&mut self, now: Instant, is_failure: bool) {
        self.withdraw();
        if self.outcomes.len() == OUTCOMES {
            self.outcomes.pop_front();
        }
        self.outcomes.push_back(Outcome { at: now, is_failure });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    /// An attempt that fails at once.
    fn fails(breaker: &mut Breaker, now: Instant) -> Admission {
        let admission = breaker.admit(now);
        if admission == Admission::Granted {
            breaker.fail(now);
        }
        admission
    }

    #[test]
    fn five_failures_in_ten_seconds_open_it_and_slower_ones_do_not() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        for n in 0..4 {
            fails(&mut breaker, at(start, n * 2500));
        }
        assert_eq!(
            fails(&mut breaker, at(start, 10_000)),
            Admission::Granted,
            "four in the last ten seconds"
        );
        assert!(!breaker.is_open());
        fails(&mut breaker, at(start, 12_499));
        assert!(breaker.is_open());
        assert_eq!(breaker.admit(at(start, 12_500)), Admission::Open);
    }

    #[test]
    fn half_of_the_last_twenty_open_it_however_slowly_they_come() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        for n in 0..20 {
            assert_eq!(breaker.admit(at(start, n * 60_000)), Admission::Granted, "attempt {n}");
            if n % 2 == 0 {
                breaker.succeed(at(start, n * 60_000));
            } else {
                breaker.fail(at(start, n * 60_000));
            }
        }
        assert!(breaker.is_open());
    }

    #[test]
    fn while_open_one_attempt_in_five_seconds_probes_and_a_success_closes_it() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        let granted =
            (0..20_000).filter(|ms| fails(&mut breaker, at(start, *ms)) == Admission::Granted).count();
        assert_eq!(granted, FAILURES_MAX + 3, "five at once, then one each at 5, 10 and 15 s");
        assert_eq!(breaker.admit(at(start, 20_004)), Admission::Granted);
        breaker.succeed(at(start, 20_005));
        assert_eq!(breaker.admit(at(start, 20_005)), Admission::Granted);
        fails(&mut breaker, at(start, 20_006));
        assert!(!breaker.is_open(), "what was before the recovery does not count");
    }

    #[test]
    fn an_outage_that_hits_two_hundred_calls_at_once_sees_five_attempts() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        breaker.suspect();
        let admissions: Vec<_> = (0..200).map(|_| breaker.admit(start)).collect();
        let granted = admissions.iter().filter(|admission| **admission == Admission::Granted).count();
        assert_eq!((granted, admissions[199]), (FAILURES_MAX, Admission::Busy));
        for _ in 0..FAILURES_MAX {
            breaker.fail(at(start, 100));
        }
        assert_eq!(breaker.admit(at(start, 101)), Admission::Open);
    }

    #[test]
    fn failures_one_after_the_other_make_no_room_for_more_attempts() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        breaker.suspect();
        let mut granted = 0;
        for ms in 0..3000 {
            granted += usize::from(breaker.admit(at(start, ms)) == Admission::Granted);
            if ms % 500 == 499 {
                breaker.fail(at(start, ms));
            }
        }
        assert!(breaker.is_open());
        assert_eq!(granted, FAILURES_MAX);
    }

    #[test]
    fn a_blip_lets_everybody_back_in_after_the_first_success() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        breaker.suspect();
        assert!((0..FAILURES_MAX).all(|_| breaker.admit(start) == Admission::Granted));
        assert_eq!(breaker.admit(start), Admission::Busy);
        breaker.succeed(at(start, 800));
        assert!((0..195).all(|_| breaker.admit(at(start, 801)) == Admission::Granted));
    }

    #[test]
    fn an_attempt_that_was_given_up_makes_room() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        breaker.suspect();
        assert!((0..FAILURES_MAX).all(|_| breaker.admit(now) == Admission::Granted));
        breaker.withdraw();
        assert_eq!(breaker.admit(now), Admission::Granted);
    }
}
