//! What the load model counts, and how it tells a load test about it.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::load::histogram::Delays;

/// Counters of all sessions.
#[derive(Debug, Default)]
pub(super) struct Stats {
    pub(super) sessions: AtomicU64,
    pub(super) frames: AtomicU64,
    pub(super) probes: AtomicU64,
    pub(super) replies: AtomicU64,
    pub(super) interrupted: AtomicU64,
    samples: AtomicU64,
    lost: AtomicU64,
    doubled: AtomicU64,
    /// How late the process did what was due, since the last look.
    lateness: Mutex<Delays>,
}

impl Stats {
    /// Samples of the line between two probes: how many were to come, how many came.
    pub(super) fn count(&self, due: u64, came: u64) {
        self.samples.fetch_add(due, Relaxed);
        self.lost.fetch_add(due.saturating_sub(came), Relaxed);
        self.doubled.fetch_add(came.saturating_sub(due), Relaxed);
    }

    pub(super) fn late(&self, by: Duration) {
        self.lateness.lock().unwrap_or_else(PoisonError::into_inner).record(by);
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let lateness = std::mem::take(&mut *self.lateness.lock().unwrap_or_else(PoisonError::into_inner));
        Snapshot {
            pid: std::process::id(),
            sessions: self.sessions.load(Relaxed),
            frames: self.frames.load(Relaxed),
            probes: self.probes.load(Relaxed),
            replies: self.replies.load(Relaxed),
            interrupted: self.interrupted.load(Relaxed),
            uplink_samples: self.samples.load(Relaxed),
            uplink_lost_samples: self.lost.load(Relaxed),
            uplink_doubled_samples: self.doubled.load(Relaxed),
            lateness: lateness.counts(),
        }
    }
}

/// Totals since the model began; lateness since the snapshot before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub pid: u32,
    /// Sessions that were set up.
    pub sessions: u64,
    /// Messages of audio.
    pub frames: u64,
    pub probes: u64,
    /// Replies given to their end.
    pub replies: u64,
    pub interrupted: u64,
    /// Samples of the line between probes: how many were to come, and those that did not or came twice.
    pub uplink_samples: u64,
    pub uplink_lost_samples: u64,
    pub uplink_doubled_samples: u64,
    /// Microseconds, and how often.
    pub lateness: Vec<(u64, u64)>,
}
