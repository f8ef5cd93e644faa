//! The search for the most calls with which everything is well: doubles until something is not, then halves what lies
//! between. Pure; what a number of calls comes to it is told.

use super::outcome::{Capacity, Doubt, Outcome, Step, StoppedBy, Verdict, names};

/// Closer is not looked: other tests of the same machine differ by more.
const PRECISION: f64 = 0.05;

/// What is admitted of what can be carried: a host is not always alone, and calls come in flocks.
const ADMITTED: f64 = 0.8;

#[derive(Clone, Debug)]
pub struct Search {
    calls_max: u32,
    next: u32,
    /// The most that were well.
    well: Option<u32>,
    /// The most of which the test saw too little: more show more.
    unseen: Option<u32>,
    /// The least that were not well, or that the test could not place.
    not_well: Option<u32>,
    /// `not_well` could not be placed.
    is_too_slow: bool,
    /// `next` was tried once, and was not well: it may have been an accident.
    is_second_try: bool,
}

impl Search {
    /// Begins with `first` calls and never tries more than `calls_max`.
    pub fn new(first: u32, calls_max: u32) -> Self {
        Self {
            calls_max,
            next: first.clamp(1, calls_max.max(1)),
            well: None,
            unseen: None,
            not_well: None,
            is_too_slow: false,
            is_second_try: false,
        }
    }

    /// How many calls to try next; `None` when there is nothing more to learn.
    pub fn poll(&self) -> Option<u32> {
        (self.next > 0 && !self.is_found()).then_some(self.next)
    }

    /// What came of the calls that [`Search::poll`] asked for.
    pub fn handle(&mut self, verdict: &Verdict) {
        let calls = self.next;
        let is_first_failure = matches!(verdict, Verdict::Failed { .. }) && !self.is_second_try;
        self.is_second_try = is_first_failure;
        match verdict {
            Verdict::Failed { .. } if is_first_failure => return,
            Verdict::Passed => self.well = Some(calls),
            Verdict::Refused { doubt: Doubt::TooLittle, .. } => self.unseen = Some(calls),
            Verdict::Failed { .. } | Verdict::Refused { doubt: Doubt::TooSlow, .. } => {
                self.not_well = Some(calls);
                self.is_too_slow = matches!(verdict, Verdict::Refused { .. });
            }
        }
        self.next = match self.not_well {
            Some(not_well) => u32::midpoint(self.floor(), not_well),
            None => (self.floor() * 2).min(self.calls_max),
        };
    }

    /// Fewer are not tried any more.
    fn floor(&self) -> u32 {
        self.well.max(self.unseen).unwrap_or(0)
    }

    fn is_found(&self) -> bool {
        let floor = self.floor();
        let gap = f64::from(floor) * PRECISION;
        floor >= self.calls_max
            || self.not_well.is_some_and(|not_well| f64::from(not_well - floor) <= gap.max(1.0))
    }

    fn stopped_by(&self) -> StoppedBy {
        match self.not_well {
            Some(_) if self.is_too_slow => StoppedBy::Generator,
            _ if self.unseen > self.well => StoppedBy::TooLittle,
            Some(_) => StoppedBy::Found,
            None => StoppedBy::CallsMax,
        }
    }

    /// What was found, from the outcome of the most calls that were well and the steps.
    pub fn capacity(&self, best: Option<&Outcome>, steps: Vec<Step>, is_interrupted: bool) -> Capacity {
        let server = best.and_then(|outcome| outcome.server.as_ref());
        let share = |calls: u32| server.map(|cost| f64::from(calls) / f64::from(cost.cores.max(1)));
        let stopped_by = if is_interrupted { StoppedBy::Interrupted } else { self.stopped_by() };
        // What was carried where the search ended for another reason is no limit.
        let limit = self.well.filter(|_| stopped_by == StoppedBy::Found);
        Capacity {
            calls: self.well,
            too_many: self.not_well.filter(|_| !self.is_too_slow),
            stopped_by,
            calls_per_core: self.well.and_then(share),
            cpu_ms_per_call_second: server.map(|cost| cost.cpu_ms_per_call_second),
            rss_per_call_bytes: server.map(|cost| cost.rss_per_call_bytes),
            admission_limit: limit.map(|calls| (f64::from(calls) * ADMITTED) as u32),
            steps,
        }
    }
}

/// A line of the search.
pub fn step(outcome: &Outcome) -> Step {
    let delay = outcome.measures.iter().find(|measure| measure.name == names::ADDED_DELAY);
    Step {
        calls: outcome.plan.calls,
        verdict: outcome.verdict.clone(),
        delay_p50_ms: delay.map_or(0.0, |delay| delay.p50),
        delay_p99_ms: delay.map_or(0.0, |delay| delay.p99),
        losses: outcome.losses,
        server_cpu_share: outcome.server.as_ref().map(|cost| cost.cpu_share_mean),
        generator_lateness_p99_ms: outcome.generator.lateness_p99_ms,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn failed() -> Verdict {
        Verdict::Failed { reasons: vec!["too late".to_owned()] }
    }

    fn refused() -> Verdict {
        Verdict::Refused { doubt: Doubt::TooSlow, reasons: vec!["the generator was late".to_owned()] }
    }

    fn unseen() -> Verdict {
        Verdict::Refused { doubt: Doubt::TooLittle, reasons: vec!["4 probes measured".to_owned()] }
    }

    /// A server that carries `server` calls, and a generator that can place `generator`; and the numbers tried.
    fn search(server: u32, generator: u32, calls_max: u32) -> (Search, Vec<u32>) {
        let (mut search, mut tried) = (Search::new(50, calls_max), Vec::new());
        while let Some(calls) = search.poll() {
            tried.push(calls);
            assert!(tried.len() < 40, "{tried:?}");
            search.handle(&match calls {
                calls if calls > generator => refused(),
                calls if calls > server => failed(),
                _ => Verdict::Passed,
            });
        }
        (search, tried)
    }

    #[rstest]
    #[case::in_between(437, 9999, StoppedBy::Found)]
    #[case::small(3, 9999, StoppedBy::Found)]
    #[case::none(0, 9999, StoppedBy::Found)]
    #[case::more_than_can_be_placed(5000, 700, StoppedBy::Generator)]
    #[case::more_than_is_allowed(5000, 9999, StoppedBy::CallsMax)]
    fn the_most_calls_are_found(#[case] server: u32, #[case] generator: u32, #[case] by: StoppedBy) {
        let (search, tried) = search(server, generator, 2000);
        let most = server.min(generator).min(2000);
        let capacity = search.capacity(None, Vec::new(), false);
        let found = capacity.calls.unwrap_or(0);
        assert!(found <= most && f64::from(most - found) <= f64::from(most) * 0.05, "{found} {tried:?}");
        assert_eq!(capacity.stopped_by, by);
        assert_eq!(capacity.too_many.is_some(), by == StoppedBy::Found);
        assert_eq!(capacity.admission_limit.is_some(), by == StoppedBy::Found && server > 0);
    }

    /// What a step of these calls comes to: too little is seen of fewer than `seen_from`.
    fn short_of_sight(seen_from: u32, server: u32, generator: u32) -> (Search, Vec<u32>) {
        let (mut search, mut tried) = (Search::new(5, 400), Vec::new());
        while let Some(calls) = search.poll() {
            tried.push(calls);
            assert!(tried.len() < 40, "{tried:?}");
            search.handle(&match calls {
                calls if calls > generator => refused(),
                calls if calls < seen_from => unseen(),
                calls if calls > server => failed(),
                _ => Verdict::Passed,
            });
        }
        (search, tried)
    }

    #[rstest]
    #[case::more_show_more(20, 9999, 9999, Some(400), StoppedBy::CallsMax, &[5, 10, 20, 40, 80, 160, 320, 400])]
    #[case::nothing_is_ever_seen(9999, 9999, 9999, None, StoppedBy::TooLittle, &[5, 10, 20, 40, 80, 160, 320, 400])]
    #[case::too_many_at_once(40, 30, 9999, None, StoppedBy::TooLittle, &[5, 10, 20, 40, 40, 30, 35, 37, 38, 39])]
    #[case::seen_and_found(10, 12, 9999, Some(12), StoppedBy::Found, &[5, 10, 20, 20, 15, 15, 12, 13, 13])]
    #[case::neither(40, 9999, 30, None, StoppedBy::Generator, &[5, 10, 20, 40, 30, 35, 32, 31])]
    fn where_too_little_is_seen_more_calls_are_tried(
        #[case] seen_from: u32,
        #[case] server: u32,
        #[case] generator: u32,
        #[case] calls: Option<u32>,
        #[case] by: StoppedBy,
        #[case] expected: &[u32],
    ) {
        let (search, tried) = short_of_sight(seen_from, server, generator);
        let capacity = search.capacity(None, Vec::new(), false);
        assert_eq!((tried.as_slice(), capacity.calls, capacity.stopped_by), (expected, calls, by));
        assert_eq!(capacity.admission_limit.is_some(), by == StoppedBy::Found);
    }

    #[test]
    fn what_was_carried_is_no_limit_where_the_search_was_interrupted() {
        let mut search = Search::new(30, 100);
        search.handle(&Verdict::Passed);
        let capacity = search.capacity(None, Vec::new(), true);
        assert_eq!((capacity.calls, capacity.admission_limit), (Some(30), None));
    }

    #[test]
    fn what_fails_once_is_tried_again() {
        let mut search = Search::new(50, 100);
        search.handle(&failed());
        assert_eq!(search.poll(), Some(50));
        search.handle(&Verdict::Passed);
        assert_eq!(search.poll(), Some(100));
        search.handle(&failed());
        search.handle(&failed());
        assert_eq!(search.poll(), Some(75));
    }
}
