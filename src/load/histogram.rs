//! Delays with their quantiles: an HDR histogram of microseconds. Pure.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::outcome::{Bin, Measure};

/// Longer delays count as this long.
const MICROS_MAX: u64 = 600_000_000;

/// Quantiles are right to three digits.
const DIGITS: u8 = 3;

/// Delays that were measured. Recording does not allocate once the longest has been seen.
#[derive(Clone, Debug)]
pub struct Delays(Histogram<u64>);

impl Default for Delays {
    fn default() -> Self {
        let mut histogram = Histogram::new(DIGITS).expect("3 digits are allowed");
        histogram.auto(true);
        Self(histogram)
    }
}

impl Delays {
    pub fn record(&mut self, delay: Duration) {
        self.record_micros(u64::try_from(delay.as_micros()).unwrap_or(MICROS_MAX), 1);
    }

    fn record_micros(&mut self, micros: u64, count: u64) {
        // A histogram that grows by itself takes every value below this maximum.
        let _ = self.0.record_n(micros.min(MICROS_MAX), count);
    }

    pub fn add(&mut self, other: &Self) {
        // As before: it grows by itself.
        let _ = self.0.add(&other.0);
    }

    /// Adds what [`Delays::counts`] of another process gave.
    pub fn add_counts(&mut self, counts: &[(u64, u64)]) {
        counts.iter().for_each(|&(micros, count)| self.record_micros(micros, count));
    }

    /// Microseconds, and how often.
    pub fn counts(&self) -> Vec<(u64, u64)> {
        self.0.iter_recorded().map(|bin| (bin.value_iterated_to(), bin.count_at_value())).collect()
    }

    pub fn len(&self) -> u64 {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The delay that this share of all does not exceed, in milliseconds; 0 if there is none.
    pub fn quantile_ms(&self, quantile: f64) -> f64 {
        if self.is_empty() { 0.0 } else { milliseconds(self.0.value_at_quantile(quantile)) }
    }

    pub fn max_ms(&self) -> f64 {
        if self.is_empty() { 0.0 } else { milliseconds(self.0.max()) }
    }

    pub fn mean_ms(&self) -> f64 {
        self.0.mean() / 1e3
    }

    /// A row of the outcome.
    pub fn measure(&self, name: &str, title: &str, bar_p99: Option<f64>) -> Measure {
        Measure {
            name: name.to_owned(),
            title: title.to_owned(),
            unit: "ms".to_owned(),
            count: self.len(),
            p50: self.quantile_ms(0.5),
            p95: self.quantile_ms(0.95),
            p99: self.quantile_ms(0.99),
            max: self.max_ms(),
            bar_p99,
        }
    }

    /// Bins of a millisecond.
    pub fn bins(&self) -> Vec<Bin> {
        const WIDTH: u64 = 1000;
        let bins = self.0.iter_linear(WIDTH).filter(|bin| bin.count_since_last_iteration() > 0);
        bins.map(|bin| {
            let end = bin.value_iterated_to() + 1;
            let count = bin.count_since_last_iteration();
            Bin { from_ms: milliseconds(end - WIDTH), to_ms: milliseconds(end), count }
        })
        .collect()
    }
}

fn milliseconds(micros: u64) -> f64 {
    micros as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn quantiles_are_right_to_three_digits_and_survive_the_way_between_processes() {
        let mut delays = Delays::default();
        (1..=1000).for_each(|ms| delays.record(MS(ms)));
        let mut other = Delays::default();
        other.add_counts(&delays.counts());
        for delays in [&delays, &other] {
            let near = |value: f64, expected: f64| (value - expected).abs() / expected < 2e-3;
            assert!(near(delays.quantile_ms(0.5), 500.0) && near(delays.quantile_ms(0.99), 990.0));
            assert!(near(delays.max_ms(), 1000.0) && delays.len() == 1000);
        }
    }

    #[test]
    fn bins_leave_out_what_was_never_measured() {
        let mut delays = Delays::default();
        for delay in [MS(1), MS(1), Duration::from_micros(12_345), Duration::from_secs(100_000)] {
            delays.record(delay);
        }
        let bins: Vec<_> = delays.bins().iter().map(|bin| (bin.from_ms, bin.count)).collect();
        assert_eq!(bins[..2], [(1.0, 2), (12.0, 1)]);
        assert_eq!(bins.len(), 3);
    }

    #[test]
    fn nothing_measured_is_zero() {
        assert_eq!(Delays::default().measure("a", "b", None).p99, 0.0);
        assert!(Delays::default().bins().is_empty());
    }
}
