//! Whether the memory of the server grows while its load does not.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::outcome::Second;

/// Shorter tests say nothing: the heap of a server takes minutes to find its size.
const LENGTH_MIN: Duration = Duration::from_mins(10);

/// What does not count: calls come and go, and the means of a few minutes differ by the chance of who was there.
const SHARE: f64 = 0.05;
const BYTES: u64 = 1 << 20;

/// Means of resident memory over the middle third of the time in which all calls were up, and over the last third.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Growth {
    pub from_bytes: u64,
    pub to_bytes: u64,
}

impl Growth {
    /// `None`: the test was too short, or did not see the server's memory.
    pub fn of(timeline: &[Second], full_from: Duration) -> Option<Self> {
        let full_from = crate::time::millis(full_from);
        let full: Vec<_> = timeline.iter().filter(|second| second.at_ms >= full_from).collect();
        let length = full.last()?.at_ms - full.first()?.at_ms;
        if Duration::from_millis(length) < LENGTH_MIN {
            return None;
        }
        let bytes: Vec<_> = full.iter().filter_map(|second| second.server_rss_bytes).collect();
        let third = bytes.len() / 3;
        let (from, to) = (&bytes[third..2 * third], &bytes[bytes.len() - third..]);
        Some(Self { from_bytes: mean(from)?, to_bytes: mean(to)? })
    }

    /// More than chance.
    pub fn is_lasting(self) -> bool {
        let allowed = BYTES.max((self.from_bytes as f64 * SHARE) as u64);
        self.to_bytes > self.from_bytes + allowed
    }
}

fn mean(bytes: &[u64]) -> Option<u64> {
    bytes.iter().sum::<u64>().checked_div(bytes.len() as u64)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const MB: u64 = 1_000_000;

    /// Memory in each second of so many minutes after a ramp of ten seconds.
    fn timeline(minutes: u64, rss: impl Fn(f64) -> Option<u64>) -> Vec<Second> {
        let seconds = minutes * 60 + 10;
        let second = |n: u64| Second {
            at_ms: (n + 1) * 1000,
            server_rss_bytes: rss(n as f64 / seconds as f64),
            ..Second::default()
        };
        (0..seconds).map(second).collect()
    }

    #[rstest]
    #[case::as_it_was(60, |_| 50.0, Some(false))]
    #[case::in_the_beginning(60, |at: f64| 40.0 + 10.0 * (at * 4.0).min(1.0), Some(false))]
    #[case::a_little(60, |at: f64| 50.0 + 3.0 * at, Some(false))]
    #[case::all_the_time(60, |at: f64| 50.0 + 20.0 * at, Some(true))]
    #[case::at_the_end(60, |at: f64| if at > 0.8 { 60.0 } else { 50.0 }, Some(true))]
    #[case::it_shrinks(60, |at: f64| 60.0 - 20.0 * at, Some(false))]
    #[case::too_short(9, |at: f64| 50.0 + 20.0 * at, None)]
    fn memory_that_goes_on_growing_is_found(
        #[case] minutes: u64,
        #[case] megabytes: fn(f64) -> f64,
        #[case] expected: Option<bool>,
    ) {
        let timeline = timeline(minutes, |at| Some((megabytes(at) * 1e6) as u64));
        let growth = Growth::of(&timeline, Duration::from_secs(11));
        assert_eq!(growth.map(Growth::is_lasting), expected, "{growth:?}");
    }

    #[test]
    fn a_server_out_of_sight_is_not_judged_and_a_small_one_has_a_megabyte_to_breathe() {
        assert_eq!(Growth::of(&timeline(60, |_| None), Duration::ZERO), None);
        assert_eq!(Growth::of(&[], Duration::ZERO), None);
        assert!(!Growth { from_bytes: 5 * MB, to_bytes: 6 * MB }.is_lasting());
        assert!(Growth { from_bytes: 5 * MB, to_bytes: 7 * MB }.is_lasting());
    }
}
