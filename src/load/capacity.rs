//! The search for the most calls with which everything is well: doubles until something is not, then halves what lies
//! between. Pure; what a number of calls comes to it is told.

use super::outcome::{Capacity, Outcome, Step, StoppedBy, Verdict, names};

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
    /// The least that were not, or of which nothing could be said.
    not_well: Option<u32>,
    /// Nothing could be said of `not_well`.
    is_doubtful: bool,
    /// `next` was tried once, and was not well: it may have been an accident.
    is_second_try: bool,
}

impl Search {
    /// Begins with `first` calls and never tries more than `calls_max`.
    pub fn new(first: u32, calls_max: u32) -> Self {
        let next = first.clamp(1, calls_max.max(1));
        Self { calls_max, next, well: None, not_well: None, is_doubtful: false, is_second_try: false }
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
            Verdict::Failed { .. } | Verdict::Refused { .. } => {
                self.not_well = Some(calls);
                self.is_doubtful = matches!(verdict, Verdict::Refused { .. });
            }
        }
        self.next = match (self.well, self.not_well) {
            (Some(well), None) => (well * 2).min(self.calls_max),
            (well, Some(not_well)) => u32::midpoint(well.unwrap_or(0), not_well),
            (None, None) => calls,
        };
    }

    fn is_found(&self) -> bool {
        let well = self.well.unwrap_or(0);
        let gap = f64::from(well) * PRECISION;
        well >= self.calls_max
            || self.not_well.is_some_and(|not_well| f64::from(not_well - well) <= gap.max(1.0))
    }

    const fn stopped_by(&self) -> StoppedBy {
        match self.not_well {
            Some(_) if self.is_doubtful => StoppedBy::Generator,
            Some(_) => StoppedBy::Found,
            None => StoppedBy::CallsMax,
        }
    }

    /// What was found, from the outcome of the most calls that were well and the steps.
    pub fn capacity(&self, best: Option<&Outcome>, steps: Vec<Step>, is_interrupted: bool) -> Capacity {
        let server = best.and_then(|outcome| outcome.server.as_ref());
        let share = |calls: u32| server.map(|cost| f64::from(calls) / f64::from(cost.cores.max(1)));
        Capacity {
            calls: self.well,
            too_many: self.not_well.filter(|_| !self.is_doubtful),
            stopped_by: if is_interrupted { StoppedBy::Interrupted } else { self.stopped_by() },
            calls_per_core: self.well.and_then(share),
            cpu_ms_per_call_second: server.map(|cost| cost.cpu_ms_per_call_second),
            rss_per_call_bytes: server.map(|cost| cost.rss_per_call_bytes),
            admission_limit: self.well.map(|calls| (f64::from(calls) * ADMITTED) as u32),
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
        Verdict::Refused { reasons: vec!["the generator was late".to_owned()] }
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
