//! `[limits]` of the configuration: how many calls are let in at once, how often, and whether the process keeps up.
//!
//! A call counts from its admission to the end of its stream: its [`Place`] goes with it, first with its token, then
//! with its socket, and whoever drops it gives it back. Knows nothing of requests and answers.

mod lag;
mod rate;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::lag::Gauge;
use self::rate::Rates;
use crate::call::record::Limit;
use crate::machine::Machine;

/// `[limits]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Calls at once, waiting for their streams or running; `None`: [`Config::CALLS_PER_CORE`] for each core
    /// that the machine or the container grants, parts of one too, and no more than its memory is enough for.
    pub max_calls: Option<u32>,
    /// New calls of one caller in a minute, which may come all at once; 0: no limit. Callers who withhold their
    /// number are no one caller.
    pub calls_per_minute_per_caller: u32,
    /// New calls to one number in a minute, which may come all at once; 0: no limit.
    pub calls_per_minute_per_number: u32,
    /// While the process is later than this, milliseconds, no calls are let in; 0: no limit.
    pub lag_max_ms: u32,
}

impl Default for Config {
    /// A person who is cut off and calls again at once makes ten calls a minute, and the switchboard of a company
    /// shows one number for many people; a machine that calls makes hundreds. All lines of a server may be there for
    /// one number: a limit for it is for servers that several businesses share. Callers do not hear it yet when the
    /// process is late by 30 ms, and above that soon do.
    fn default() -> Self {
        Self {
            max_calls: None,
            calls_per_minute_per_caller: 30,
            calls_per_minute_per_number: 0,
            lag_max_ms: 30,
        }
    }
}

impl Config {
    /// A default until the capacity of the machine itself has been measured: at the 20 µs of a core of 2.1 GHz that
    /// two sockets, resampling and TLS take for each call and 20 ms, this is a third of a core. The rest is for the
    /// beginnings of calls, the log, and what callers say all at once.
    pub const CALLS_PER_CORE: u32 = 350;

    /// Twice what a call was measured to take (91 to 120 KiB), for long answers that wait to be heard.
    const BYTES_PER_CALL: u64 = 256 << 10;

    /// What the process takes without calls, with room for the queues of its log.
    const BASE_BYTES: u64 = 64 << 20;

    /// Everything is let in.
    pub(super) const NONE: Self = Self {
        max_calls: Some(u32::MAX),
        calls_per_minute_per_caller: 0,
        calls_per_minute_per_number: 0,
        lag_max_ms: 0,
    };

    /// The limit on calls at once, on this machine.
    pub fn max_calls(&self) -> u32 {
        self.max_calls_on(Machine::this())
    }

    /// The limit on calls at once.
    pub fn max_calls_on(&self, machine: &Machine) -> u32 {
        self.max_calls.unwrap_or_else(|| {
            let by_cpu = f64::from(Self::CALLS_PER_CORE) * machine.cpu();
            // A conversion of numbers with a fraction is to the nearest that there is.
            Self::calls_by_memory(machine).map_or(by_cpu as u32, |calls| calls.min(by_cpu as u32)).max(1)
        })
    }

    /// How many calls the memory of a container is enough for, if it is limited.
    pub fn calls_by_memory(machine: &Machine) -> Option<u32> {
        let memory = machine.memory.as_ref()?.value;
        let calls = memory.saturating_sub(Self::BASE_BYTES) / Self::BYTES_PER_CALL;
        Some(u32::try_from(calls).unwrap_or(u32::MAX))
    }
}

/// What is left of the limits.
#[derive(Debug)]
pub(super) struct Limits {
    places: Arc<Semaphore>,
    rates: Mutex<Rates>,
    lag: Gauge,
}

/// The place of a call among those that are admitted; dropped, it is free for another one.
#[derive(Debug, Default)]
pub(super) struct Place {
    _permit: Option<OwnedSemaphorePermit>,
}

/// Who calls whom, as far as it counts for a rate.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Parties<'a> {
    /// `None`: withheld, or ourselves.
    pub(super) caller: Option<&'a str>,
    pub(super) number: Option<&'a str>,
}

impl Limits {
    pub(super) fn new(config: &Config) -> Self {
        let places = usize::try_from(config.max_calls()).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(places)),
            rates: Mutex::new(Rates::new(config)),
            lag: Gauge::new(Duration::from_millis(u64::from(config.lag_max_ms))),
        }
    }

    /// A place for a call, or why there is none. Only calls that get one count for the rates: who is refused may try
    /// again.
    pub(super) fn admit(&self, parties: Parties<'_>, now: Instant) -> Result<Place, Limit> {
        if self.lag.is_high() {
            return Err(Limit::Lag);
        }
        // Held until the call has its place, so that no other one is counted in between.
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        rates.check(parties, now)?;
        let permit = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Limit::MaxCalls)?;
        rates.spend(parties, now);
        Ok(Place { _permit: Some(permit) })
    }

    /// Measures for ever whether the process keeps up.
    pub(super) async fn watch(&self) {
        self.lag.watch().await;
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use rstest::rstest;

    use super::*;
    use crate::machine;

    fn limits(config: Config) -> Limits {
        Limits::new(&config)
    }

    fn of(caller: &'static str) -> Parties<'static> {
        Parties { caller: Some(caller), number: Some("+1") }
    }

    #[test]
    fn no_burst_gets_more_places_than_there_are_and_a_place_given_back_is_free() {
        let limits = limits(Config { max_calls: Some(40), ..Config::default() });
        let now = Instant::now();
        let burst =
            || (0..125).filter_map(|_| limits.admit(Parties::default(), now).ok()).collect::<Vec<_>>();
        let mut admitted: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(burst)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(admitted.len(), 40, "of 1000 at once");
        assert_eq!(limits.admit(Parties::default(), now).unwrap_err(), Limit::MaxCalls);
        admitted.pop();
        let place = limits.admit(Parties::default(), now);
        assert!(place.is_ok());
        assert_eq!(limits.admit(Parties::default(), now).unwrap_err(), Limit::MaxCalls);
        drop((place, admitted));
        assert_eq!(limits.places.available_permits(), 40);
    }

    #[test]
    fn a_call_that_finds_no_place_does_not_count_for_its_caller() {
        let config = Config { max_calls: Some(1), calls_per_minute_per_caller: 2, ..Config::default() };
        let (limits, now) = (limits(config), Instant::now());
        let place = limits.admit(of("+2"), now).unwrap();
        for _ in 0..10 {
            assert_eq!(limits.admit(of("+2"), now).unwrap_err(), Limit::MaxCalls);
        }
        drop(place);
        assert!(limits.admit(of("+2"), now).is_ok());
        assert_eq!(limits.admit(of("+2"), now).unwrap_err(), Limit::CallerRate);
        assert!(limits.admit(of("+3"), now).is_ok());
    }

    #[rstest]
    #[case::configured(Some(5), 8, None, None, 5)]
    #[case::more_than_it_has(Some(5000), 1, Some(0.1), Some(100), 5000)]
    #[case::cores(None, 4, None, None, 1400)]
    #[case::a_tenth_of_a_core(None, 4, Some(0.1), None, 35)]
    #[case::a_core_and_a_half(None, 4, Some(1.5), None, 525)]
    #[case::next_to_nothing(None, 4, Some(0.001), None, 1)]
    #[case::memory_for_fewer(None, 1, None, Some(128), 256)]
    #[case::memory_for_more(None, 1, None, Some(1024), 350)]
    #[case::memory_for_none(None, 1, None, Some(32), 1)]
    fn without_a_limit_what_the_machine_grants_counts(
        #[case] max_calls: Option<u32>,
        #[case] cores: u32,
        #[case] quota: Option<f64>,
        #[case] memory: Option<u64>,
        #[case] expected: u32,
    ) {
        let quota = quota.map(|value| machine::Limit { value, file: "cpu.max".into() });
        let memory = memory.map(|mib| machine::Limit { value: mib << 20, file: "memory.max".into() });
        let machine = Machine { cores, quota, memory };
        assert_eq!(Config { max_calls, ..Config::default() }.max_calls_on(&machine), expected);
    }
}
