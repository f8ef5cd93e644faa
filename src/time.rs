//! Time as the machine sees it: instants given from outside, and a wall clock frozen at one moment.
//!
//! Nothing here reads a clock. Wall-clock jumps in the middle of a call decide nothing.

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
