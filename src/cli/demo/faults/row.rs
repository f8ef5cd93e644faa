//! What was measured of one fault, and whether that is good enough. Pure.

use std::time::Duration;

use super::case::{Bars, Recovery};

/// Figures of one call.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) what: &'static str,
    pub(super) dead_air: Duration,
    pub(super) gap: Option<Duration>,
    pub(super) hand_over: Option<Duration>,
    /// From the fault to the moment when it was known.
    pub(super) detected: Option<Duration>,
    pub(super) recovery: Recovery,
    /// What is wrong, beside figures.
    pub(super) faults: Vec<String>,
}

impl Row {
    /// What is not as it should be.
    pub(super) fn misses(&self, bars: &Bars) -> Vec<String> {
        let over = |name: &str, value: Option<Duration>, bar: Option<Duration>| {
            let (value, bar) = (value?, bar?);
            (value > bar).then(|| format!("{name} {} ms, bar {} ms", value.as_millis(), bar.as_millis()))
        };
        [
            over("dead air", Some(self.dead_air), Some(bars.dead_air)),
            over("hand-over", self.hand_over, bars.hand_over),
        ]
        .into_iter()
        .flatten()
        .chain(self.faults.iter().cloned())
        .collect()
    }

    pub(super) fn print(&self, bars: &Bars) {
        let ms = |value: Option<Duration>| {
            value.map_or_else(|| "-".to_owned(), |value| value.as_millis().to_string())
        };
        let misses = self.misses(bars);
        let verdict =
            if misses.is_empty() { "pass".to_owned() } else { format!("FAIL: {}", misses.join("; ")) };
        let gap = self.hand_over.filter(|_| bars.hand_over.is_some()).or(self.gap);
        outln!(
            "   {:<42} {:>8} {:>6} {:>8}  {:<9} {:>6}  {verdict}",
            self.what,
            self.dead_air.as_millis(),
            ms(gap),
            ms(self.detected),
            self.recovery.name(),
            bars.dead_air.as_millis()
        );
    }
}

/// Above the rows.
pub(super) fn print_heading() {
    outln!(
        "   {:<42} {:>8} {:>6} {:>8}  {:<9} {:>6}",
        "fault",
        "dead air",
        "gap",
        "detected",
        "recovery",
        "bar"
    );
}

/// The nearest-rank 95th percentile.
pub(super) fn p95(values: impl IntoIterator<Item = Duration>) -> Duration {
    let mut sorted: Vec<_> = values.into_iter().collect();
    sorted.sort_unstable();
    let rank = (sorted.len() * 95).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::cli::demo::faults::case::Gap;

    const BARS: Bars = Bars {
        dead_air: Duration::from_secs(3),
        gap: Gap::Counts,
        hand_over: Some(Duration::from_millis(300)),
    };

    #[rstest]
    #[case::good(2900, 200, &[], 0)]
    #[case::a_dead_line(3100, 200, &[], 1)]
    #[case::everything(3100, 400, &["no end"], 3)]
    fn what_is_over_its_bar_is_a_miss(
        #[case] dead_ms: u64,
        #[case] hand_over_ms: u64,
        #[case] faults: &[&str],
        #[case] misses: usize,
    ) {
        let row = Row {
            what: "a fault",
            dead_air: Duration::from_millis(dead_ms),
            gap: Some(Duration::from_secs(9)),
            hand_over: Some(Duration::from_millis(hand_over_ms)),
            detected: None,
            recovery: Recovery::Resumed,
            faults: faults.iter().map(|&fault| fault.to_owned()).collect(),
        };
        assert_eq!(row.misses(&BARS).len(), misses, "{:?}", row.misses(&BARS));
    }

    #[test]
    fn the_percentile_is_one_of_the_values() {
        assert_eq!(p95((1..=100).map(Duration::from_secs)), Duration::from_secs(95));
        assert_eq!(p95([Duration::from_secs(7)]), Duration::from_secs(7));
        assert_eq!(p95([]), Duration::ZERO);
    }
}
