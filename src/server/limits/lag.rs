//! Whether the process keeps up: by how much a short timer is late, and for how long a worker has been stuck.
//!
//! A timer alone sees the workers that are free to wait for timers. One that is stuck in a task leaves those to the
//! others while its own tasks wait, so each worker is looked at: it shows a sign of life whenever it parks, and after
//! every few dozen tasks when it never does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeMetrics};
use tokio::time::{Instant, sleep_until};

/// Half a frame.
const TICK: Duration = Duration::from_millis(10);

/// Of each stretch of this length the worst counts.
const WINDOW: Duration = Duration::from_millis(100);

/// How far the level goes towards the worst of a window: lateness that lasts for half a second is believed, a single
/// hiccup is not, unless it is three times the limit.
const WEIGHT: f64 = 0.3;

/// More than this is no worse: calm is believed a second after the longest standstill.
const LAG_MAX: Duration = Duration::from_secs(1);

/// What the measuring task tells the others.
#[derive(Debug)]
pub(super) struct Gauge {
    /// Zero: no limit.
    max: Duration,
    is_high: AtomicBool,
}

impl Gauge {
    pub(super) const fn new(max: Duration) -> Self {
        Self { max, is_high: AtomicBool::new(false) }
    }

    /// Whether the process is too late for more calls.
    pub(super) fn is_high(&self) -> bool {
        self.is_high.load(Ordering::Relaxed)
    }

    /// Measures for ever, if there is a limit.
    pub(super) async fn watch(&self) {
        if self.max.is_zero() {
            return std::future::pending().await;
        }
        let mut level = Level::new(self.max, Instant::now());
        let mut workers = Workers::new(Handle::current().metrics(), Instant::now());
        loop {
            let due = Instant::now() + TICK;
            sleep_until(due).await;
            let now = Instant::now();
            level.take(now.saturating_duration_since(due).max(workers.stuck_for(now)), now);
            if self.is_high.swap(level.is_high, Ordering::Relaxed) != level.is_high {
                let lag_ms = level.level.as_millis();
                match level.is_high {
                    true => tracing::warn!(lag_ms, "the process is late: new calls are refused"),
                    false => tracing::info!(lag_ms, "the process keeps up again: new calls are welcome"),
                }
            }
        }
    }
}

/// Measurements, smoothed. High above the limit, and until it is below half of it.
#[derive(Debug)]
struct Level {
    max: Duration,
    level: Duration,
    /// Of the window that goes on, and where it ends.
    worst: Duration,
    ends: Instant,
    is_high: bool,
}

impl Level {
    fn new(max: Duration, now: Instant) -> Self {
        Self { max, level: Duration::ZERO, worst: Duration::ZERO, ends: now + WINDOW, is_high: false }
    }

    fn take(&mut self, lag: Duration, now: Instant) {
        self.worst = self.worst.max(lag.min(LAG_MAX));
        if now < self.ends {
            return;
        }
        self.level = self.level.mul_f64(1.0 - WEIGHT) + self.worst.mul_f64(WEIGHT);
        (self.worst, self.ends) = (Duration::ZERO, now + WINDOW);
        self.is_high = self.level > if self.is_high { self.max / 2 } else { self.max };
    }
}

/// The workers of a runtime, and when each last showed a sign of life.
#[derive(Debug)]
struct Workers {
    metrics: RuntimeMetrics,
    seen: Vec<(Sign, Instant)>,
}

/// How often a worker has parked and woken up, and for how long it has worked.
type Sign = (u64, Duration);

impl Workers {
    fn new(metrics: RuntimeMetrics, now: Instant) -> Self {
        let seen = vec![(Sign::default(), now); metrics.num_workers()];
        Self { metrics, seen }
    }

    /// How long the worker has been in one task, or a few, who has been longest.
    fn stuck_for(&mut self, now: Instant) -> Duration {
        let Self { metrics, seen } = self;
        let stuck = seen.iter_mut().enumerate().map(|(worker, (last, since))| {
            let sign = (metrics.worker_park_unpark_count(worker), metrics.worker_total_busy_duration(worker));
            // An odd number: it is parked (tokio, `worker_park_unpark_count`).
            if *last != sign || sign.0 % 2 == 1 {
                (*last, *since) = (sign, now);
            }
            now.saturating_duration_since(*since)
        });
        stuck.max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use rstest::rstest;

    use super::*;

    const MAX: Duration = Duration::from_millis(30);

    /// The windows, counted from 0, in which it is high, if in each the worst is as late as here, in milliseconds.
    fn high(worst_ms: &[u64]) -> Vec<usize> {
        let start = Instant::now();
        let mut level = Level::new(MAX, start);
        let mut high = Vec::new();
        for (window, worst) in worst_ms.iter().enumerate() {
            for tick in 1..=10 {
                let lag = if tick == 5 { *worst } else { 1 };
                let now = start + WINDOW * u32::try_from(window).unwrap() + TICK * tick;
                level.take(Duration::from_millis(lag), now);
            }
            high.extend(level.is_high.then_some(window));
        }
        high
    }

    #[rstest]
    #[case::calm(&[1, 2, 1, 5, 1], &[])]
    #[case::just_below_for_ever(&[30; 100], &[])]
    #[case::one_hiccup(&[1, 95, 1, 1, 1], &[])]
    #[case::hiccups_now_and_then(&[70, 1, 1, 1, 70, 1, 1, 1, 70, 1, 1, 1], &[])]
    #[case::late_all_the_time(&[1, 40, 40, 40, 40, 40, 40], &[4, 5, 6])]
    #[case::late_more_and_more(&[10, 20, 40, 80, 160, 1, 1, 1, 1, 1, 1], &[3, 4, 5, 6, 7, 8])]
    #[case::a_standstill(&[1, 400, 1, 1, 1, 1, 1, 1, 1, 1, 1], &[1, 2, 3, 4, 5, 6, 7])]
    #[case::a_long_standstill_is_forgotten_too(&[60_000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[0, 1, 2, 3, 4, 5, 6, 7, 8])]
    #[case::about_the_limit_it_does_not_flap(&[100, 100, 28, 31, 29, 31, 28, 32], &[1, 2, 3, 4, 5, 6, 7])]
    fn lateness_that_lasts_is_believed(#[case] worst_ms: &[u64], #[case] expected: &[usize]) {
        assert_eq!(high(worst_ms), expected);
    }

    #[test]
    fn without_a_limit_nothing_is_measured() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        // There are no timers in this runtime: one would panic.
        runtime.block_on(async {
            let gauge = Gauge::new(Duration::ZERO);
            tokio::select! {
                biased;
                () = gauge.watch() => panic!("it ends"),
                () = async {} => assert!(!gauge.is_high()),
            }
        });
    }

    #[test]
    fn a_worker_that_is_stuck_is_seen_while_the_others_are_free() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
        let gauge = Arc::new(Gauge::new(MAX));
        let watched = Arc::clone(&gauge);
        runtime.spawn(async move { watched.watch().await });
        let (release, released) = mpsc::channel::<()>();
        runtime.spawn(async move { released.recv() });
        let turns = |is_high: bool| {
            while gauge.is_high() != is_high {
                std::thread::yield_now()
            }
        };
        turns(true);
        drop(release);
        turns(false);
    }
}
