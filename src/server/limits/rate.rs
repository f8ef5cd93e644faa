//! How often each caller calls, and each number is called.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

use super::{Config, Parties};
use crate::call::record::Limit;
use crate::time::Rate;

const MINUTE: Duration = Duration::from_secs(60);

/// Callers, or numbers, remembered at once, about 0.5 MB. One is forgotten when its bucket is full again, a minute
/// after its last call at the latest, and fewer calls than this are admitted in a minute.
const REMEMBERED_MAX: usize = 16_384;

/// The rates of all callers and of all numbers.
#[derive(Debug)]
pub(super) struct Rates {
    callers: Buckets,
    numbers: Buckets,
}

impl Rates {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            callers: Buckets::new(config.calls_per_minute_per_caller),
            numbers: Buckets::new(config.calls_per_minute_per_number),
        }
    }

    /// Whether one more call may come; it does not count yet.
    pub(super) fn check(&self, parties: Parties<'_>, now: Instant) -> Result<(), Limit> {
        if !parties.caller.is_none_or(|caller| self.callers.allow(caller, now)) {
            return Err(Limit::CallerRate);
        }
        if !parties.number.is_none_or(|number| self.numbers.allow(number, now)) {
            return Err(Limit::NumberRate);
        }
        Ok(())
    }

    /// A call came.
    pub(super) fn spend(&mut self, parties: Parties<'_>, now: Instant) {
        if let Some(caller) = parties.caller {
            self.callers.spend(caller, now);
        }
        if let Some(number) = parties.number {
            self.numbers.spend(number, now);
        }
    }
}

/// A token bucket for each name.
#[derive(Debug)]
struct Buckets {
    /// `None`: no limit.
    rate: Option<Rate>,
    /// Names by their hash, so that a long one takes no more room, and when the bucket of each is full again.
    full_at: HashMap<u64, Instant>,
    /// With a key of its own: nobody can make two names share a bucket.
    hasher: RandomState,
}

impl Buckets {
    fn new(per_minute: u32) -> Self {
        let rate = (per_minute > 0).then(|| Rate::new(MINUTE / per_minute, per_minute));
        Self { rate, full_at: HashMap::new(), hasher: RandomState::new() }
    }

    fn allow(&self, name: &str, now: Instant) -> bool {
        let full_at = || self.full_at.get(&self.hasher.hash_one(name)).copied();
        self.rate.is_none_or(|rate| rate.allows(full_at(), now))
    }

    /// Where there is no room to remember one more, it is not limited.
    fn spend(&mut self, name: &str, now: Instant) {
        let Some(rate) = self.rate else { return };
        let name = self.hasher.hash_one(name);
        let known = self.full_at.get(&name).copied();
        if known.is_none() && self.full_at.len() >= REMEMBERED_MAX {
            self.full_at.retain(|_, full_at| *full_at > now);
        }
        if known.is_some() || self.full_at.len() < REMEMBERED_MAX {
            self.full_at.insert(name, rate.spend(known, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn rates(per_caller: u32, per_number: u32) -> Rates {
        Rates::new(&Config {
            calls_per_minute_per_caller: per_caller,
            calls_per_minute_per_number: per_number,
            ..Config::default()
        })
    }

    /// Calls at these times, in seconds: which come through.
    fn calls(rates: &mut Rates, calls: &[(u64, &'static str, &'static str)]) -> Vec<Result<(), Limit>> {
        let start = Instant::now();
        let mut call = |&(at, caller, number): &(u64, _, _)| {
            let is_known = |name: &&str| !name.is_empty();
            let parties =
                Parties { caller: Some(caller).filter(is_known), number: Some(number).filter(is_known) };
            let now = start + Duration::from_secs(at);
            rates.check(parties, now).inspect(|()| rates.spend(parties, now))
        };
        calls.iter().map(&mut call).collect()
    }

    const YES: Result<(), Limit> = Ok(());
    const CALLER: Result<(), Limit> = Err(Limit::CallerRate);
    const NUMBER: Result<(), Limit> = Err(Limit::NumberRate);

    #[rstest]
    #[case::a_burst(2, 0, &[(0, "a", "x"), (0, "a", "y"), (0, "a", "x"), (0, "b", "x")], &[YES, YES, CALLER, YES])]
    #[case::refilled(2, 0, &[(0, "a", "x"), (0, "a", "x"), (29, "a", "x"), (30, "a", "x"), (31, "a", "x")], &[YES, YES, CALLER, YES, CALLER])]
    #[case::no_more_is_saved(1, 0, &[(0, "a", "x"), (600, "a", "x"), (600, "a", "x")], &[YES, YES, CALLER])]
    #[case::of_a_number(0, 2, &[(0, "a", "x"), (0, "b", "x"), (0, "c", "x"), (0, "c", "y")], &[YES, YES, NUMBER, YES])]
    #[case::refused_by_one_does_not_count_for_the_other(1, 1, &[(0, "a", "x"), (0, "b", "x"), (0, "b", "y")], &[YES, NUMBER, YES])]
    #[case::the_caller_comes_first(1, 1, &[(0, "a", "x"), (0, "a", "x")], &[YES, CALLER])]
    #[case::withheld(1, 0, &[(0, "", "x"), (0, "", "x"), (0, "", "")], &[YES, YES, YES])]
    #[case::no_limits(0, 0, &[(0, "a", "x"), (0, "a", "x"), (0, "a", "x")], &[YES, YES, YES])]
    fn callers_and_numbers_have_buckets(
        #[case] per_caller: u32,
        #[case] per_number: u32,
        #[case] made: &[(u64, &'static str, &'static str)],
        #[case] expected: &[Result<(), Limit>],
    ) {
        assert_eq!(calls(&mut rates(per_caller, per_number), made), expected);
    }

    #[test]
    fn the_number_of_callers_remembered_is_bounded_and_the_idle_are_forgotten() {
        let (mut buckets, start) = (Buckets::new(2), Instant::now());
        for caller in 0..=REMEMBERED_MAX {
            buckets.spend(&caller.to_string(), start);
        }
        assert_eq!(buckets.full_at.len(), REMEMBERED_MAX);
        buckets.spend("0", start);
        assert!(!buckets.allow("0", start), "who is known stays limited");
        let later = start + Duration::from_secs(30);
        buckets.spend("a new one", later);
        assert_eq!(buckets.full_at.len(), 2, "0 called twice");
    }
}
