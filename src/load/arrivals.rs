//! When calls are placed, and of which kind. Pure.

use std::time::Duration;

use super::outcome::{Arrivals, Kind, Share};
use super::sound::Dice;

/// How many steps the ramp of [`Arrivals::Step`] has.
const STEPS: u32 = 4;

/// How long a call is taken to be before one has come to its end.
const LENGTH: Duration = Duration::from_secs(15);

/// Places calls.
#[derive(Debug)]
pub struct Schedule {
    arrivals: Arrivals,
    calls: u32,
    ramp: Duration,
    dice: Dice,
    /// When the next call arrives, of a Poisson process.
    next: Option<Duration>,
    /// Until when calls were asked for, and what part of one was left over.
    seen: Duration,
    allowance: f64,
}

impl Schedule {
    pub const fn new(arrivals: Arrivals, calls: u32, ramp: Duration, seed: u64) -> Self {
        let (seen, dice) = (Duration::ZERO, Dice::new(seed));
        Self { arrivals, calls, ramp, dice, next: None, seen, allowance: 0.0 }
    }

    /// How many calls are to be placed at `elapsed` since the begin, with `up` being placed or up, that are so long on
    /// average.
    pub fn poll(&mut self, elapsed: Duration, up: u32, length: Option<Duration>) -> u32 {
        match self.arrivals {
            Arrivals::Poisson => self.arrived(elapsed, length.unwrap_or(LENGTH)),
            Arrivals::Steady | Arrivals::Step => self.missing(elapsed, up),
        }
    }

    /// Calls that are not up and should be; no more than all of them in a second, lest a server that refuses is
    /// asked without end. A step comes at once.
    fn missing(&mut self, elapsed: Duration, up: u32) -> u32 {
        let (calls, share) = (f64::from(self.calls), self.ramped(elapsed));
        let wanted = match self.arrivals {
            Arrivals::Step => (share * f64::from(STEPS)).floor() / f64::from(STEPS) * calls,
            Arrivals::Steady | Arrivals::Poisson => share * calls,
        };
        let since = elapsed.saturating_sub(self.seen).as_secs_f64();
        self.seen = elapsed;
        self.allowance = (self.allowance + calls * since).min(calls / f64::from(STEPS) + 1.0);
        let missing = (wanted.ceil() as u32).min(self.calls).saturating_sub(up);
        let placed = missing.min(self.allowance as u32);
        self.allowance -= f64::from(placed);
        placed
    }

    /// How much of the calls are to be up.
    fn ramped(&self, elapsed: Duration) -> f64 {
        let step = if self.arrivals == Arrivals::Step { 1.0 / f64::from(STEPS) } else { 0.0 };
        let share = elapsed.as_secs_f64() / self.ramp.as_secs_f64().max(f64::MIN_POSITIVE);
        (share + step).min(1.0)
    }

    fn arrived(&mut self, elapsed: Duration, length: Duration) -> u32 {
        let mut arrived = 0;
        while let next = self.next.unwrap_or_default()
            && next <= elapsed
        {
            let period = if next < self.ramp { self.ramp } else { length };
            let rate = f64::from(self.calls) / period.as_secs_f64();
            let gap = -(1.0 - self.dice.share()).ln() / rate.max(f64::MIN_POSITIVE);
            self.next = Some(next + Duration::from_secs_f64(gap.min(LENGTH.as_secs_f64())));
            arrived += u32::from(!next.is_zero());
        }
        arrived
    }
}

/// Deals kinds of calls by their weights: every hand has each of them as often as it should, in an order of its own.
#[derive(Debug)]
pub struct Deck {
    mix: Vec<Share>,
    hand: Vec<Kind>,
    dice: Dice,
}

impl Deck {
    /// `mix` has one kind with a weight at least.
    pub const fn new(mix: Vec<Share>, seed: u64) -> Self {
        Self { mix, hand: Vec::new(), dice: Dice::new(seed) }
    }

    pub fn deal(&mut self) -> Kind {
        if self.hand.is_empty() {
            let kinds = |share: &Share| std::iter::repeat_n(share.kind, share.weight as usize);
            self.hand = self.mix.iter().flat_map(kinds).collect();
        }
        if self.hand.is_empty() {
            return Kind::Short;
        }
        let index = self.dice.below(self.hand.len() as u64) as usize;
        self.hand.swap_remove(index)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// How many calls are up after each second, none of which ends.
    fn up(arrivals: Arrivals, calls: u32, ramp: u64, seconds: u64) -> Vec<u32> {
        let mut schedule = Schedule::new(arrivals, calls, SECOND * ramp as u32, 1);
        let mut up = 0;
        (0..seconds * 100)
            .map(|tick| {
                up += schedule.poll(Duration::from_millis(tick * 10), up, None);
                (tick, up)
            })
            .filter(|(tick, _)| tick % 100 == 99)
            .map(|(_, up)| up)
            .collect()
    }

    #[rstest]
    #[case::steady(Arrivals::Steady, &[25, 50, 75, 100, 100])]
    #[case::steps(Arrivals::Step, &[25, 50, 75, 100, 100])]
    fn calls_come_over_the_ramp(#[case] arrivals: Arrivals, #[case] expected: &[u32]) {
        assert_eq!(up(arrivals, 100, 4, 5), expected);
    }

    #[test]
    fn a_step_comes_at_once() {
        let mut schedule = Schedule::new(Arrivals::Step, 100, SECOND * 4, 1);
        let placed: u32 = (0..30).map(|tick| schedule.poll(Duration::from_millis(tick * 10), 0, None)).sum();
        assert!(placed >= 25, "{placed}");
        assert_eq!(Schedule::new(Arrivals::Steady, 7, Duration::ZERO, 1).poll(SECOND, 0, None), 2);
    }

    #[test]
    fn calls_that_are_refused_are_placed_again_no_faster_than_all_in_a_second() {
        let mut schedule = Schedule::new(Arrivals::Steady, 100, SECOND, 1);
        let placed: u32 = (0..500).map(|tick| schedule.poll(Duration::from_millis(tick * 10), 0, None)).sum();
        assert!((300..=520).contains(&placed), "{placed}");
    }

    #[test]
    fn a_poisson_process_has_the_rate_that_keeps_calls_up() {
        let mut schedule = Schedule::new(Arrivals::Poisson, 200, SECOND * 10, 3);
        let mut placed = |seconds: std::ops::Range<u64>| -> u32 {
            let ticks = seconds.start * 100..seconds.end * 100;
            ticks.map(|tick| schedule.poll(Duration::from_millis(tick * 10), 0, Some(SECOND * 20))).sum()
        };
        assert!((160..240).contains(&placed(0..10)));
        assert!((850..1150).contains(&placed(10..110)));
    }

    #[test]
    fn kinds_are_dealt_by_their_weights() {
        let mix = vec![Share { kind: Kind::Short, weight: 3 }, Share { kind: Kind::Dtmf, weight: 1 }];
        let mut deck = Deck::new(mix, 1);
        for _ in 0..10 {
            let hand: Vec<_> = (0..4).map(|_| deck.deal()).collect();
            assert_eq!(hand.iter().filter(|kind| **kind == Kind::Dtmf).count(), 1);
        }
    }
}
