//! What became of the lines of the call log, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Counts of one queue, shared by its handles and its writer.
#[derive(Debug, Default)]
pub(super) struct Tally {
    accepted: AtomicU64,
    kept: AtomicU64,
    lost: AtomicU64,
    failures: AtomicU64,
    logged: Mutex<Option<Instant>>,
}

/// Losses come by the thousand: one line of the process's log a second tells as much.
const LOG_PERIOD: Duration = Duration::from_secs(1);

impl Tally {
    pub(super) fn accepted(&self, count: u64) {
        self.accepted.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn keep(&self, count: u64) {
        self.kept.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn lose(&self, count: u64, reason: &str) {
        let lost = self.lost.fetch_add(count, Ordering::Relaxed) + count;
        if self.may_log(Instant::now()) {
            tracing::error!(lost, reason, "entries of the call log were lost");
        }
    }

    pub(super) fn fail(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Lines neither kept nor lost yet.
    pub(super) fn left(&self) -> u64 {
        let done = self.kept.load(Ordering::Relaxed) + self.lost();
        self.accepted.load(Ordering::Relaxed).saturating_sub(done)
    }

    fn may_log(&self, now: Instant) -> bool {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let due = logged.is_none_or(|last| now.saturating_duration_since(last) >= LOG_PERIOD);
        if due {
            *logged = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_logged_at_most_once_a_second() {
        let tally = Tally::default();
        let start = Instant::now();
        let at = |ms| tally.may_log(start + Duration::from_millis(ms));
        assert_eq!(
            [at(0), at(1), at(999), at(1000), at(1500), at(2000)],
            [true, false, false, true, false, true]
        );
    }
}
