//! How much a model may say: events and their bytes, of one call. Speech is not meant; what waits of it is bounded by
//! the playout.

use std::time::{Duration, Instant};

/// A busy session sends some 100 messages a second, half of them with an event.
const PER_SECOND: u32 = 300;

/// After a stall of the network everything comes at once: ten seconds of it.
const BURST: u32 = 3000;

/// An event costs one more for each of these.
const BYTES_EACH: usize = 1024;

/// A service that has sent too much for this long is of no use.
const OVER_MAX: Duration = Duration::from_secs(5);

/// A token bucket.
#[derive(Debug)]
pub(super) struct Allowance {
    tokens: u32,
    refilled: Instant,
    /// Since when more comes than may.
    over_since: Option<Instant>,
}

/// What is to be done with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Taken,
    /// It is too much now.
    Dropped,
    /// It has been too much for too long.
    Flooded,
}

impl Allowance {
    pub(super) const fn new(now: Instant) -> Self {
        Self { tokens: BURST, refilled: now, over_since: None }
    }

    /// An event of so many bytes comes, its speech aside.
    pub(super) fn admit(&mut self, bytes: usize, now: Instant) -> Admission {
        self.refill(now);
        let cost = u32::try_from(1 + bytes / BYTES_EACH).unwrap_or(u32::MAX);
        if let Some(left) = self.tokens.checked_sub(cost) {
            self.tokens = left;
            // Hardly anything is left while a flood goes on.
            if left >= PER_SECOND {
                self.over_since = None;
            }
            return Admission::Taken;
        }
        let since = *self.over_since.get_or_insert(now);
        if now.saturating_duration_since(since) < OVER_MAX {
            return Admission::Dropped;
        }
        *self = Self::new(now);
        Admission::Flooded
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.refilled).as_nanos();
        let earned = elapsed * u128::from(PER_SECOND) / 1_000_000_000;
        match u32::try_from(earned) {
            Ok(0) => {}
            Ok(earned) if earned < BURST => {
                self.tokens = (self.tokens + earned).min(BURST);
                self.refilled +=
                    Duration::from_nanos(u64::from(earned) * 1_000_000_000 / u64::from(PER_SECOND));
            }
            Ok(_) | Err(_) => (self.tokens, self.refilled) = (BURST, now),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// How many of the events of ten seconds are taken, and when the session has failed.
    #[rstest]
    #[case::busy(200, 0, 2000, None)]
    #[case::long_words(100, 1023, 1000, None)]
    #[case::handles(100, 65_536, 65, Some(5))]
    #[case::flood(4000, 0, 4430, Some(5))]
    fn a_flood_is_cut_and_then_ended(
        #[case] per_second: u64,
        #[case] bytes: usize,
        #[case] taken: usize,
        #[case] failed: Option<u64>,
    ) {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        let (mut admitted, mut flooded) = (0_usize, None);
        for n in 0..per_second * 10 {
            let at = Duration::from_micros(n * 1_000_000 / per_second);
            match allowance.admit(bytes, start + at) {
                Admission::Taken => admitted += 1,
                Admission::Dropped => {}
                Admission::Flooded => {
                    flooded = Some(at.as_secs());
                    break;
                }
            }
        }
        assert!(admitted.abs_diff(taken) <= taken / 8, "{admitted}");
        assert_eq!(flooded, failed);
    }

    #[test]
    fn a_burst_that_ends_is_forgiven() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        for round in 0..10_u64 {
            let at = start + Duration::from_secs(round * 12);
            let taken = (0..20_000).filter(|_| allowance.admit(0, at) == Admission::Taken).count();
            assert_eq!(taken, 3000);
        }
    }
}
