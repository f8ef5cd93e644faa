//! A circuit breaker: when most attempts at a service fail, only probes tell how it is, and other callers are
//! spared the wait.
//!
//! Pure: it is told the time. One breaker stands for one endpoint and is shared by every call of the process. It
//! advises: a caller for whom there is no other service tries all the same ([`Breaker::insist`]), because a refused
//! attempt costs less than a lost caller.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The newest outcomes that count.
const OUTCOMES_MAX: usize = 20;

/// This many failures among the newest [`OUTCOMES_MAX`] outcomes, all within [`WINDOW`], open the breaker: half of
/// them, and never fewer. While the service is under suspicion, failures in a row and attempts under way are together
/// no more than this, so that an outage sees no more of them before it is known.
pub const FAILURES_MAX: usize = OUTCOMES_MAX / 2;

/// Older outcomes say nothing about the service of now.
const WINDOW: Duration = Duration::from_secs(30);

/// How long the breaker stays open before probes are let through, and again after the probes have failed.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// Probes that may fail before the breaker opens again: one alone may meet the bad instance of several.
pub const PROBES_MAX: usize = 3;

/// Probes that must succeed before every attempt is let through again.
const SUCCESSES_MIN: usize = 2;

/// The longest wait that a service may ask for with `Retry-After`: quotas are counted by the minute, and a service that
/// asks for a day is tried before that.
const HOLD_MAX: Duration = Duration::from_secs(300);

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
    /// No attempt until then, and probes from then on.
    Open { until: Instant },
    /// Probes tell. So many of them have failed and succeeded.
    HalfOpen { failed: usize, succeeded: usize },
}

impl Breaker {
    /// Asks for leave to try the service.
    pub fn admit(&mut self, now: Instant) -> Admission {
        if let State::Open { until } = self.state
            && now >= until
        {
            self.state = State::HalfOpen { failed: 0, succeeded: 0 };
        }
        match self.state {
            State::Suspected if self.under_way + self.failures_in_a_row(now) >= FAILURES_MAX => {
                return Admission::Busy;
            }
            State::Open { .. } => return Admission::Open,
            State::HalfOpen { failed, .. } if self.under_way + failed >= PROBES_MAX => {
                return Admission::Open;
            }
            State::Trusted | State::Suspected | State::HalfOpen { .. } => {}
        }
        self.under_way += 1;
        Admission::Granted
    }

    /// An attempt is made whatever is known of the service, because its caller has nowhere else to go. Its outcome
    /// counts like any other.
    pub fn insist(&mut self) {
        self.under_way += 1;
    }

    /// An attempt succeeded.
    pub fn succeed(&mut self, now: Instant) {
        self.note(now, false);
        self.state = match self.state {
            State::Trusted | State::Suspected => State::Trusted,
            State::Open { .. } => State::HalfOpen { failed: 0, succeeded: 1 },
            State::HalfOpen { failed, succeeded } if succeeded + 1 < SUCCESSES_MIN => {
                State::HalfOpen { failed, succeeded: succeeded + 1 }
            }
            State::HalfOpen { .. } => {
                // What was before the recovery does not count.
                self.outcomes.clear();
                State::Trusted
            }
        };
    }

    /// An attempt failed.
    pub fn fail(&mut self, now: Instant) {
        self.note(now, true);
        let open = State::Open { until: now + PROBE_INTERVAL };
        self.state = match self.state {
            State::Trusted | State::Suspected if self.recent_failures(now) >= FAILURES_MAX => open,
            State::Trusted | State::Suspected => State::Suspected,
            State::Open { until } => State::Open { until },
            State::HalfOpen { failed, .. } if failed + 1 >= PROBES_MAX => open,
            State::HalfOpen { failed, succeeded } => State::HalfOpen { failed: failed + 1, succeeded },
        };
    }

    /// The service asks not to be tried for this long (`Retry-After`).
    pub fn hold(&mut self, wait: Duration, now: Instant) {
        let until = now + wait.min(HOLD_MAX);
        self.state = match self.state {
            State::Open { until: later } if later > until => State::Open { until: later },
            State::Trusted | State::Suspected | State::Open { .. } | State::HalfOpen { .. } => {
                State::Open { until }
            }
        };
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
        matches!(self.state, State::Open { .. } | State::HalfOpen { .. })
    }

    fn recent_failures(&self, now: Instant) -> usize {
        self.recent(now).filter(|outcome| outcome.is_failure).count()
    }

    /// Since the last success.
    fn failures_in_a_row(&self, now: Instant) -> usize {
        self.recent(now).take_while(|outcome| outcome.is_failure).count()
    }

    /// The newest first.
    fn recent(&self, now: Instant) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().rev().take_while(move |it| now.saturating_duration_since(it.at) < WINDOW)
    }

    fn note(&mut self, now: Instant, is_failure: bool) {
        self.withdraw();
        if self.outcomes.len() == OUTCOMES_MAX {
            self.outcomes.pop_front();
        }
        self.outcomes.push_back(Outcome { at: now, is_failure });
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// A breaker and its clock. Attempts have their outcome at once, unless a story says otherwise.
    struct World {
        breaker: Breaker,
        now: Instant,
    }

    impl World {
        fn new() -> Self {
            Self { breaker: Breaker::default(), now: Instant::now() }
        }

        fn pass(&mut self, ms: u64) {
            self.now += Duration::from_millis(ms);
        }

        fn admit(&mut self) -> Admission {
            self.breaker.admit(self.now)
        }

        /// How many of so many that ask at this moment are let through.
        fn admitted(&mut self, count: usize) -> usize {
            (0..count).filter(|_| self.admit() == Admission::Granted).count()
        }

        fn attempt(&mut self, succeeds: bool) -> Admission {
            let admission = self.admit();
            match (admission, succeeds) {
                (Admission::Granted, true) => self.breaker.succeed(self.now),
                (Admission::Granted, false) => self.breaker.fail(self.now),
                (Admission::Busy | Admission::Open, _) => {}
            }
            admission
        }

        /// Outcomes `ms` apart; how many attempts were made when it opened.
        fn opens_after(&mut self, outcomes: impl Iterator<Item = bool>, ms: u64) -> Option<usize> {
            for (index, succeeds) in outcomes.enumerate() {
                self.attempt(succeeds);
                if self.breaker.is_open() {
                    return Some(index + 1);
                }
                self.pass(ms);
            }
            None
        }

        fn open() -> Self {
            let mut world = Self::new();
            assert_eq!(world.opens_after(std::iter::repeat_n(false, FAILURES_MAX), 10), Some(FAILURES_MAX));
            world
        }
    }

    /// Failures evenly spread among 200 attempts, four a second.
    #[rstest]
    #[case(0, None)]
    #[case(10, None)]
    #[case(15, None)]
    #[case(20, None)]
    #[case(30, None)]
    #[case(40, None)]
    #[case(50, Some(20))]
    #[case(60, Some(17))]
    #[case(70, Some(15))]
    #[case(80, Some(13))]
    #[case(90, Some(12))]
    #[case(100, Some(10))]
    fn half_of_the_newest_twenty_open_it_and_a_smaller_share_never(
        #[case] percent: usize,
        #[case] opened: Option<usize>,
    ) {
        let succeeds = |n: usize| (n + 1) * percent / 100 == n * percent / 100;
        assert_eq!(World::new().opens_after((0..200).map(succeeds), 250), opened);
    }

    #[rstest]
    #[case::a_burst_of_nine("xxxxxxxxx", None)]
    #[case::a_burst_of_ten("xxxxxxxxxx", Some(10))]
    #[case::a_burst_after_many_successes("....................xxxxxxxxxx", Some(30))]
    #[case::nine_between_successes("....xxxx.....xxx....xx...", None)]
    #[case::bursts_of_six_with_as_many_successes_between("xxxxxx......xxxxxx", Some(16))]
    #[case::the_first_of_two_instances_is_dead("x.x.x.x.x.x.x.x.x.x.", Some(19))]
    fn bursts_count_by_their_share(#[case] outcomes: &str, #[case] opened: Option<usize>) {
        assert_eq!(World::new().opens_after(outcomes.chars().map(|c| c == '.'), 0), opened);
    }

    #[rstest]
    #[case::one_a_minute(60_000)]
    #[case::one_in_five_seconds(5_000)]
    #[case::a_suspended_machine(24 * 3_600_000)]
    fn failures_further_apart_than_the_window_never_open_it(#[case] apart_ms: u64) {
        let mut world = World::new();
        for n in 0..100 {
            assert_eq!(world.attempt(false), Admission::Granted, "attempt {n}");
            world.pass(apart_ms);
        }
    }

    #[test]
    fn what_was_before_a_gap_in_time_does_not_count() {
        let mut world = World::new();
        assert_eq!(world.opens_after(std::iter::repeat_n(false, FAILURES_MAX - 1), 0), None);
        world.pass(30_000);
        assert_eq!(world.admitted(FAILURES_MAX), FAILURES_MAX, "nothing is known of the service of now");
    }

    #[test]
    fn while_open_three_probes_in_five_seconds_tell() {
        let mut world = World::open();
        let mut granted = 0;
        for _ in 0..20_100 {
            world.pass(1);
            granted += usize::from(world.attempt(false) == Admission::Granted);
        }
        assert_eq!(granted, 4 * PROBES_MAX, "from 5, 10, 15 and 20 s on");
    }

    #[test]
    fn the_first_successes_of_the_probes_close_it() {
        let mut world = World::open();
        world.pass(5_000);
        assert_eq!(world.admitted(200), PROBES_MAX);
        world.breaker.fail(world.now);
        world.breaker.succeed(world.now);
        assert!(world.breaker.is_open(), "one success may be the one good instance of several");
        world.breaker.succeed(world.now);
        assert!(!world.breaker.is_open());
        assert_eq!(world.admitted(200), 200);
        world.attempt(false);
        assert!(!world.breaker.is_open(), "what was before the recovery does not count");
    }

    #[test]
    fn a_service_with_one_call_a_minute_recovers_in_two() {
        let mut world = World::open();
        world.pass(60_000);
        assert_eq!(world.attempt(true), Admission::Granted);
        world.pass(60_000);
        assert_eq!(world.attempt(true), Admission::Granted);
        assert!(!world.breaker.is_open());
    }

    #[test]
    fn a_service_that_flaps_is_tried_by_a_few_while_it_is_down() {
        let mut world = World::new();
        let mut attempts_while_down = Vec::new();
        for second in 0..120 {
            let is_up = second / 20 % 2 == 1;
            for _ in 0..10 {
                let granted = world.attempt(is_up) == Admission::Granted;
                if !is_up && granted {
                    attempts_while_down.push(second);
                }
                world.pass(100);
            }
        }
        // Three outages of 20 s: ten failures of the newest twenty outcomes, then three probes in 5 s.
        assert!(attempts_while_down.len() <= 3 * (FAILURES_MAX + 4 * PROBES_MAX), "{attempts_while_down:?}");
    }

    #[test]
    fn an_outage_that_hits_two_hundred_calls_at_once_sees_ten_attempts() {
        let mut world = World::new();
        world.breaker.suspect();
        assert_eq!((world.admitted(200), world.admit()), (FAILURES_MAX, Admission::Busy));
        world.pass(100);
        for _ in 0..FAILURES_MAX {
            world.breaker.fail(world.now);
        }
        assert_eq!(world.admit(), Admission::Open);
    }

    #[test]
    fn failures_one_after_the_other_make_no_room_for_more_attempts() {
        let mut world = World::new();
        world.breaker.suspect();
        let mut granted = 0;
        for ms in 0..10_000 {
            granted += world.admitted(1);
            if ms % 500 == 499 {
                world.breaker.fail(world.now);
            }
            if world.breaker.is_open() {
                break;
            }
            world.pass(1);
        }
        assert!(world.breaker.is_open());
        assert_eq!(granted, FAILURES_MAX);
    }

    #[test]
    fn a_blip_lets_everybody_back_in_after_the_first_success() {
        let mut world = World::new();
        world.breaker.suspect();
        assert_eq!(world.admitted(200), FAILURES_MAX);
        world.pass(800);
        world.breaker.succeed(world.now);
        assert_eq!(world.admitted(195), 195);
    }

    #[test]
    fn an_attempt_that_was_given_up_makes_room() {
        let mut world = World::new();
        world.breaker.suspect();
        assert_eq!(world.admitted(FAILURES_MAX + 1), FAILURES_MAX);
        world.breaker.withdraw();
        assert_eq!(world.admit(), Admission::Granted);
    }

    #[test]
    fn who_insists_is_let_through_and_their_successes_close_it() {
        let mut world = World::open();
        assert_eq!(world.admit(), Admission::Open);
        for _ in 0..2 {
            world.breaker.insist();
            world.breaker.succeed(world.now);
        }
        assert!(!world.breaker.is_open());
    }

    #[rstest]
    #[case::seconds(30, 29_999, 30_000)]
    #[case::longer_than_is_honoured(86_400, 299_999, 300_000)]
    fn a_service_that_names_a_time_is_not_tried_before(
        #[case] wait_s: u64,
        #[case] closed_ms: u64,
        #[case] tried_ms: u64,
    ) {
        let mut world = World::new();
        world.attempt(false);
        world.breaker.hold(Duration::from_secs(wait_s), world.now);
        world.pass(closed_ms);
        assert_eq!(world.admit(), Admission::Open);
        world.pass(tried_ms - closed_ms);
        assert_eq!(world.admitted(200), PROBES_MAX);
    }

    #[test]
    fn a_shorter_time_does_not_undo_a_longer_one() {
        let mut world = World::new();
        world.breaker.hold(Duration::from_secs(60), world.now);
        world.breaker.hold(Duration::from_secs(1), world.now);
        world.pass(59_000);
        assert_eq!(world.admit(), Admission::Open);
    }
}
