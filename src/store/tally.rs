//! What became of the lines of the call log, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::Away;
use crate::time::Throttle;

/// Counts of one queue, shared by its handles and its writer.
#[derive(Debug)]
pub(super) struct Tally {
    accepted: AtomicU64,
    kept: AtomicU64,
    lost: AtomicU64,
    failures: AtomicU64,
    /// Bytes of lines in the queue.
    bytes: AtomicU64,
    /// Why the last attempt to write failed.
    away: Mutex<Option<Away>>,
    log: Mutex<Throttle>,
    /// Somebody waits for lines to be kept.
    change: Notify,
}

/// Losses come by the thousand: one line of the process's log a second tells as much.
const LOG_PERIOD: Duration = Duration::from_secs(1);

impl Default for Tally {
    fn default() -> Self {
        Self {
            accepted: AtomicU64::default(),
            kept: AtomicU64::default(),
            lost: AtomicU64::default(),
            failures: AtomicU64::default(),
            bytes: AtomicU64::default(),
            away: Mutex::default(),
            log: Mutex::new(Throttle::new(LOG_PERIOD)),
            change: Notify::new(),
        }
    }
}

impl Tally {
    pub(super) fn accepted(&self, count: u64) {
        self.accepted.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn keep(&self, count: u64) {
        self.kept.fetch_add(count, Ordering::Relaxed);
        self.change.notify_waiters();
    }

    pub(super) fn lose(&self, count: u64, reason: &str) {
        let lost = self.lost.fetch_add(count, Ordering::Relaxed) + count;
        self.change.notify_waiters();
        if self.log.lock().unwrap_or_else(PoisonError::into_inner).admit(Instant::now()) {
            tracing::error!(lost, reason, "entries of the call log were lost");
        }
    }

    /// A line that was counted as kept by an earlier process or by this one, and cannot be taken in.
    pub(super) fn lose_late(&self, reason: &str) {
        self.accepted(1);
        self.lose(1, reason);
    }

    /// Takes room in the queue for a line, if there is any.
    pub(super) fn hold(&self, bytes: u64, max: u64) -> bool {
        let held = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if held + bytes > max {
            self.release(bytes);
        }
        held + bytes <= max
    }

    pub(super) fn release(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn set_away(&self, away: Option<Away>) {
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = away;
    }

    pub(super) fn away(&self) -> Option<Away> {
        *self.away.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.accepted.load(Ordering::Relaxed).saturating_sub(self.done())
    }

    /// Waits until all lines that are accepted now are kept or lost: lines are kept in their order.
    pub(super) async fn settled(&self) {
        let accepted = self.accepted.load(Ordering::Relaxed);
        loop {
            let change = self.change.notified();
            if self.done() >= accepted {
                return;
            }
            change.await;
        }
    }

    fn done(&self) -> u64 {
        self.kept.load(Ordering::Relaxed) + self.lost()
    }
}
