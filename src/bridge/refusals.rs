//! Calls that were not admitted: told to people once a second, and kept in the call log as far as that costs the
//! running calls nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::call::record::Ending;
use crate::time::{Rate, Throttle};

/// Refused calls in the call log: what a flood of them costs the writer is about what fifty calls do.
const LOGGED: Rate = Rate::new(Duration::from_millis(20), 500);

/// Floods come by the thousand: one line a second tells as much.
const TOLD_PERIOD: Duration = Duration::from_secs(1);

/// The refused calls of a process, by why they were refused.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusals(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    /// When [`LOGGED`] has its whole burst again.
    full_at: Option<Instant>,
    kinds: BTreeMap<&'static str, Kind>,
}

/// Calls that were refused for one cause.
#[derive(Debug)]
struct Kind {
    told: Throttle,
    /// Since the last line.
    refused: u64,
    unlogged: u64,
}

impl Refusals {
    /// Counts a refused call; whether it may be in the call log, whose queue `has_slack` or has not. The first of a
    /// cause is told at once, what follows at the end of its second. Needs a runtime.
    pub(super) fn note(&self, ending: &Ending, has_slack: bool, now: Instant) -> bool {
        let mut counts = self.counts();
        let is_logged = has_slack && LOGGED.allows(counts.full_at, now);
        if is_logged {
            counts.full_at = Some(LOGGED.spend(counts.full_at, now));
        }
        let fresh = || Kind { told: Throttle::new(TOLD_PERIOD), refused: 0, unlogged: 0 };
        let kind = counts.kinds.entry(ending.code()).or_insert_with(fresh);
        kind.refused += 1;
        kind.unlogged += u64::from(!is_logged);
        if kind.told.admit(now) {
            kind.tell(ending);
        } else if kind.refused == 1 {
            let (refusals, ending) = (self.clone(), ending.clone());
            tokio::spawn(async move {
                tokio::time::sleep(TOLD_PERIOD).await;
                refusals.tell_rest(&ending);
            });
        }
        is_logged
    }

    /// Tells what no line has told yet.
    fn tell_rest(&self, ending: &Ending) {
        let mut counts = self.counts();
        if let Some(kind) = counts.kinds.get_mut(ending.code()).filter(|kind| kind.refused > 0) {
            kind.tell(ending);
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kind {
    fn tell(&mut self, ending: &Ending) {
        let calls = std::mem::take(&mut self.refused);
        let unlogged = std::mem::take(&mut self.unlogged);
        tracing::warn!(ending = ending.code(), calls, unlogged, "calls were refused: {ending}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_refusal_stays_untold_for_longer_than_a_second() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        let untold = || refusals.counts().kinds.values().map(|kind| kind.refused).sum::<u64>();
        refusals.note(&Ending::AgentUnknown, true, start);
        refusals.note(&Ending::Drained, true, start);
        assert_eq!(untold(), 0, "the first of each cause is told at once");
        for _ in 0..3 {
            refusals.note(&Ending::Drained, true, start);
        }
        assert_eq!(untold(), 3);
        tokio::task::yield_now().await;
        tokio::time::advance(TOLD_PERIOD * 2).await;
        tokio::task::yield_now().await;
        assert_eq!(untold(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_flood_some_are_kept_and_of_a_full_log_none() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        let kept = |calls: u64, each_us: u64, has_slack| {
            let at = |call| start + Duration::from_micros(call * each_us);
            (0..calls).filter(|call| refusals.note(&Ending::AgentUnknown, has_slack, at(*call))).count()
        };
        assert_eq!(kept(1000, 0, false), 0);
        assert_eq!(kept(10_000, 100, true), 500 + 49, "a second of flood");
    }
}
