//! Watches what a process uses, from second to second.

use std::time::{Duration, Instant};

use super::process::{self, Usage};

/// How many seconds the busiest stretch has.
const STRETCH: usize = 10;

#[derive(Debug)]
pub struct Meter {
    pid: u32,
    base: Usage,
    last: (Instant, Usage),
    shares: Vec<f64>,
    rss_max_bytes: u64,
}

/// What was used since the last look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// Of one core.
    pub share: f64,
    pub cpu: Duration,
    pub rss_bytes: u64,
}

impl Meter {
    /// `None` if nothing is known of this process.
    pub fn start(pid: u32) -> Option<Self> {
        let base = process::usage(pid)?;
        let rss_max_bytes = base.rss_bytes;
        Some(Self { pid, base, last: (Instant::now(), base), shares: Vec::new(), rss_max_bytes })
    }

    pub fn read(&mut self) -> Option<Reading> {
        let (now, usage) = (Instant::now(), process::usage(self.pid)?);
        let (then, before) = std::mem::replace(&mut self.last, (now, usage));
        let cpu = usage.cpu.saturating_sub(before.cpu);
        let share = cpu.as_secs_f64() / now.duration_since(then).as_secs_f64().max(1e-3);
        self.shares.push(share);
        self.rss_max_bytes = self.rss_max_bytes.max(usage.rss_bytes);
        Some(Reading { share, cpu, rss_bytes: usage.rss_bytes })
    }

    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Resident memory at the start, and the most there was.
    pub const fn rss_bytes(&self) -> (u64, u64) {
        (self.base.rss_bytes, self.rss_max_bytes)
    }

    /// The share of a core in the busiest ten seconds, or of all if they were fewer.
    pub fn busiest(&self) -> f64 {
        let stretch = STRETCH.min(self.shares.len()).max(1);
        let means = self.shares.windows(stretch).map(|shares| shares.iter().sum::<f64>() / stretch as f64);
        means.fold(0.0, f64::max)
    }

    pub fn cores(&self) -> u32 {
        process::cores(self.pid).map_or(1, |cores| u32::try_from(cores.len()).unwrap_or(u32::MAX))
    }

    /// Whether the two may run on a core that both may run on, and on no other.
    pub fn shares_cores(&self, other: &Self) -> bool {
        process::cores(self.pid) == process::cores(other.pid)
    }
}
