//! Faults of the peers, counted: at most one record per second, however many there are.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::record::{Event, Peer};

/// Least time between two reports of a call's faults.
const INTERVAL: Duration = Duration::from_secs(1);

/// Messages of the live service that may be unreadable in [`GARBAGE_WINDOW`]. A service that sends more is of no
/// use.
const GARBAGE_MAX: usize = 20;

const GARBAGE_WINDOW: Duration = Duration::from_secs(10);

/// Counts what could not be used. The set of codes is closed, so the list is short.
#[derive(Debug, Default)]
pub(super) struct Faults {
    counts: Vec<(Peer, &'static str, u64)>,
    reported: Option<Instant>,
    garbage: VecDeque<Instant>,
}

impl Faults {
    pub(super) fn count(&mut self, peer: Peer, fault: &'static str, count: u64) {
        match self.counts.iter_mut().find(|(p, f, _)| (*p, *f) == (peer, fault)) {
            Some((_, _, total)) => *total += count,
            None => self.counts.push((peer, fault, count)),
        }
    }

    /// The live service sent something unreadable; `true` if it does so all the time.
    pub(super) fn note_garbage(&mut self, now: Instant) -> bool {
        self.garbage.retain(|at| now.saturating_duration_since(*at) < GARBAGE_WINDOW);
        self.garbage.push_back(now);
        let is_useless = self.garbage.len() > GARBAGE_MAX;
        if is_useless {
            self.garbage.clear();
        }
        is_useless
    }

    /// When the next report is due; `None` if there is nothing to report, or it is due at once.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.reported.map(|reported| reported + INTERVAL).filter(|_| !self.counts.is_empty())
    }

    /// What is to be reported at `now`.
    pub(super) fn poll(&mut self, now: Instant) -> Vec<Event> {
        if self.counts.is_empty() || self.poll_timeout().is_some_and(|due| due > now) {
            return Vec::new();
        }
        self.reported = Some(now);
        self.drain()
    }

    /// Everything that was not reported yet.
    pub(super) fn drain(&mut self) -> Vec<Event> {
        self.counts.drain(..).map(|(peer, fault, count)| Event::Fault { peer, fault, count }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_report_a_second() {
        let start = Instant::now();
        let mut faults = Faults::default();
        let mut reports = Vec::new();
        for ms in 0..3000 {
            faults.count(Peer::Carrier, "json", 1);
            reports.extend(faults.poll(start + Duration::from_millis(ms)));
        }
        reports.extend(faults.drain());
        let counts = [1, 1000, 1000, 999];
        let expected = counts.map(|count| Event::Fault { peer: Peer::Carrier, fault: "json", count });
        assert_eq!(reports, expected);
    }

    #[test]
    fn twenty_unreadable_messages_in_ten_seconds_are_borne_and_no_more() {
        let start = Instant::now();
        let mut faults = Faults::default();
        assert!(!(0..100).any(|n| faults.note_garbage(start + Duration::from_millis(n * 500))));
        let later = start + Duration::from_secs(100);
        assert_eq!((0..30).position(|_| faults.note_garbage(later)), Some(20));
    }
}
