//! Calls that were not admitted: told to people once a second, and kept in the call log as far as that costs the
//! running calls nothing.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::call::record::Ending;
use crate::time::{Rate, Throttle};

/// Refused calls in the call log: what a flood of them costs the writer is about what fifty calls do.
const LOGGED: Rate = Rate::new(Duration::from_millis(20), 500);

/// Floods come by the thousand: one line a second tells as much.
const TOLD_PERIOD: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Refusals(Mutex<Counts>);

#[derive(Debug)]
struct Counts {
    /// When [`LOGGED`] has its whole burst again.
    full_at: Option<Instant>,
    told: Throttle,
    /// Since people were told.
    refused: u64,
    unlogged: u64,
}

impl Default for Refusals {
    fn default() -> Self {
        let told = Throttle::new(TOLD_PERIOD);
        Self(Mutex::new(Counts { full_at: None, told, refused: 0, unlogged: 0 }))
    }
}

impl Refusals {
    /// Counts a refused call; whether it may be in the call log, whose queue `has_slack` or has not.
    pub(super) fn note(&self, ending: &Ending, has_slack: bool, now: Instant) -> bool {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_logged = has_slack && LOGGED.allows(counts.full_at, now);
        if is_logged {
            counts.full_at = Some(LOGGED.spend(counts.full_at, now));
        }
        counts.refused += 1;
        counts.unlogged += u64::from(!is_logged);
        if counts.told.admit(now) {
            let (calls, unlogged) =
                (std::mem::take(&mut counts.refused), std::mem::take(&mut counts.unlogged));
            tracing::warn!(
                ending = ending.code(),
                calls,
                unlogged,
                "calls were refused, the last one because {ending}"
            );
        }
        is_logged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_flood_some_are_kept_and_of_a_full_log_none() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        let kept = |calls: u64, each_us: u64, has_slack| {
            let at = |call| start + Duration::from_micros(call * each_us);
            (0..calls).filter(|call| refusals.note(&Ending::AgentUnknown, has_slack, at(*call))).count()
        };
        assert_eq!(kept(1000, 0, false), 0);
        assert_eq!(kept(10_000, 100, true), 500 + 49, "a second of flood");
    }
}
