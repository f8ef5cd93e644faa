//! How many messages a carrier may send.

use std::time::{Duration, Instant};

/// A carrier sends 50 frames a second, and a few marks and keys.
const PER_SECOND: u32 = 100;

/// After a stall of the network everything comes at once: five seconds of it.
const BURST: u32 = 500;

/// A token bucket.
#[derive(Debug)]
pub(super) struct Flood {
    tokens: u32,
    refilled: Instant,
}

impl Flood {
    pub(super) const fn new(now: Instant) -> Self {
        Self { tokens: BURST, refilled: now }
    }

    /// Whether one more message may be taken.
    pub(super) fn admit(&mut self, now: Instant) -> bool {
        const EACH: Duration = Duration::from_millis(1000 / PER_SECOND as u64);
        let earned = now.saturating_duration_since(self.refilled).as_nanos() / EACH.as_nanos();
        if let Ok(earned) = u32::try_from(earned)
            && earned < BURST
        {
            self.tokens = (self.tokens + earned).min(BURST);
            self.refilled += EACH * earned;
        } else {
            (self.tokens, self.refilled) = (BURST, now);
        }
        let is_admitted = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        is_admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_passes_a_stall_is_caught_up_and_a_flood_is_cut() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut flood = Flood::new(start);
        assert!((0..1000).all(|n| flood.admit(at(n * 20))), "50 a second");
        assert!((0..250).all(|_| flood.admit(at(25_000))), "five seconds at once");
        let passed = (0..10_000).filter(|n| flood.admit(at(30_000 + n))).count();
        assert_eq!(passed, 1499, "ten seconds of 1000 a second: the burst and 100 a second");
    }
}
