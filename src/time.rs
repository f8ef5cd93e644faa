//! Time as the machine sees it: instants given from outside, and a wall clock frozen at one moment.
//!
//! Nothing here reads a clock. Wall-clock jumps in the middle of a call decide nothing.

pub mod wait;

use std::time::{Duration, Instant};

use ::time::OffsetDateTime;

/// Turns instants into wall-clock times by one pair taken at the start of a call.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    origin: Instant,
    wall: OffsetDateTime,
}

impl WallClock {
    /// `wall` is the wall-clock time at the instant `origin`.
    pub const fn new(origin: Instant, wall: OffsetDateTime) -> Self {
        Self { origin, wall }
    }

    /// The wall-clock time at `at`; instants before the origin give the origin's time.
    pub fn at(&self, at: Instant) -> OffsetDateTime {
        self.wall + at.saturating_duration_since(self.origin)
    }
}

/// The earliest of several timers, with its name. Of two at the same instant the first in order wins.
pub fn soonest<K>(timers: impl IntoIterator<Item = Option<(Instant, K)>>) -> Option<(Instant, K)> {
    timers.into_iter().flatten().reduce(|best, next| if next.0 < best.0 { next } else { best })
}

/// Whole milliseconds of a duration, as the log counts them.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Lets something happen at most once in a period, whatever how often it is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Throttle {
    period: Duration,
    last: Option<Instant>,
}

impl Throttle {
    pub const fn new(period: Duration) -> Self {
        Self { period, last: None }
    }

    /// Whether it may happen at `now`; if so, it counts as done.
    pub fn admit(&mut self, now: Instant) -> bool {
        let is_due = self.last.is_none_or(|last| now.saturating_duration_since(last) >= self.period);
        if is_due {
            self.last = Some(now);
        }
        is_due
    }
}

/// How often something may happen: so many times at once, and one more after each interval. A token bucket, of
/// which only the instant is kept at which it is full again (GCRA, the virtual scheduling of ITU-T I.371).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    interval: Duration,
    burst: u32,
}

impl Rate {
    pub const fn new(interval: Duration, burst: u32) -> Self {
        Self { interval, burst }
    }

    /// Whether it may happen at `now`. `full_at`: what [`Rate::spend`] gave when it happened last.
    pub fn allows(&self, full_at: Option<Instant>, now: Instant) -> bool {
        let missing = full_at.map_or(Duration::ZERO, |full_at| full_at.saturating_duration_since(now));
        missing + self.interval <= self.interval * self.burst
    }

    /// It happens at `now`: when the bucket is full again.
    pub fn spend(&self, full_at: Option<Instant>, now: Instant) -> Instant {
        full_at.map_or(now, |full_at| full_at.max(now)) + self.interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_happens_once_a_period() {
        let start = Instant::now();
        let mut throttle = Throttle::new(Duration::from_secs(1));
        let at = [0, 1, 999, 1000, 1500, 2000].map(|ms| throttle.admit(start + Duration::from_millis(ms)));
        assert_eq!(at, [true, false, false, true, false, true]);
    }

    #[test]
    fn a_rate_allows_a_burst_and_then_one_each_interval() {
        let start = Instant::now();
        let rate = Rate::new(Duration::from_secs(2), 3);
        let mut full_at = None;
        let mut allowed = |ms| {
            let now = start + Duration::from_millis(ms);
            let is_allowed = rate.allows(full_at, now);
            full_at = if is_allowed { Some(rate.spend(full_at, now)) } else { full_at };
            is_allowed
        };
        assert_eq!([0, 0, 0, 0, 1999].map(&mut allowed), [true, true, true, false, false]);
        assert_eq!(
            [2000, 2001, 4000, 4001].map(&mut allowed),
            [true, false, true, false],
            "one each interval"
        );
        assert_eq!(
            [60_000; 4].map(&mut allowed),
            [true, true, true, false],
            "no more than the burst is saved"
        );
        assert!(!Rate::new(Duration::from_secs(1), 0).allows(None, start));
    }
}
