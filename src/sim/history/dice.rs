//! Chance that comes out the same for the same seed.

use std::f64::consts::TAU;

#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// Those of one of many things that are made from a seed: they do not depend on how many there are.
    pub(super) fn of(seed: u64, index: u64) -> Self {
        let mut dice = Self(seed);
        Self(dice.roll() ^ Self(index).roll())
    }

    /// `SplitMix64` (<https://prng.di.unimi.it/splitmix64.c>).
    pub(super) const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to below 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.roll() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From 0 to below `count`.
    pub(super) fn below(&mut self, count: usize) -> usize {
        (self.unit() * count as f64) as usize
    }

    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Half of the values are below `median`; two thirds are within a factor of e^`sigma` of it.
    pub(super) fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        // Box and Muller: a normal number from two uniform ones.
        let (radius, angle) = ((-2.0 * (1.0 - self.unit()).ln()).sqrt(), TAU * self.unit());
        median * (sigma * radius * angle.cos()).exp()
    }

    /// Hexadecimal digits.
    pub(super) fn hex(&mut self, digits: usize) -> String {
        let mut text = String::with_capacity(digits + 15);
        while text.len() < digits {
            text.push_str(&format!("{:016x}", self.roll()));
        }
        text.truncate(digits);
        text
    }
}

/// Numbers from 0 with a weight each.
#[derive(Clone, Debug)]
pub(super) struct Weighted {
    /// Sums of the weights up to each number.
    sums: Vec<f64>,
}

impl Weighted {
    pub(super) fn new(weights: impl Iterator<Item = f64>) -> Self {
        let add = |sum: &mut f64, weight: f64| {
            *sum += weight;
            Some(*sum)
        };
        Self { sums: weights.scan(0.0, add).collect() }
    }

    /// The number n, counted from 1, has the weight 1/n^`exponent`.
    pub(super) fn zipf(count: usize, exponent: f64) -> Self {
        Self::new((1..=count).map(|rank| (rank as f64).powf(-exponent)))
    }

    pub(super) fn draw(&self, dice: &mut Dice) -> usize {
        self.at(dice.unit()).0
    }

    /// The number at this part of all the weight, and the part of its own weight below that.
    pub(super) fn at(&self, part: f64) -> (usize, f64) {
        let Some(total) = self.sums.last() else { return (0, part) };
        let sum = part * total;
        let number = self.sums.partition_point(|upper| *upper <= sum).min(self.sums.len() - 1);
        let below = number.checked_sub(1).map_or(0.0, |number| self.sums[number]);
        (number, (sum - below) / (self.sums[number] - below))
    }
}
