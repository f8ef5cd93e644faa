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

/// Kinds told apart between two reports. Codes and fields are names of this program, so there are some dozens.
const KINDS_MAX: usize = 64;

/// Counts what could not be used.
#[derive(Debug, Default)]
pub(super) struct Faults {
    counts: Vec<(Kind, u64)>,
    reported: Option<Instant>,
    garbage: VecDeque<Instant>,
}

/// What is counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    peer: Peer,
    fault: &'static str,
    field: Option<&'static str>,
}

impl Faults {
    pub(super) fn count(&mut self, peer: Peer, fault: &'static str, count: u64) {
        self.add(Kind { peer, fault, field: None }, count);
    }

    /// Something was odd in a field, which is named as the peer's protocol does.
    pub(super) fn count_field(&mut self, peer: Peer, fault: &'static str, field: Option<&'static str>) {
        self.add(Kind { peer, fault, field }, 1);
    }

    fn add(&mut self, kind: Kind, count: u64) {
        match self.counts.iter().position(|(known, _)| *known == kind) {
            Some(index) => self.counts[index].1 += count,
            None if self.counts.len() < KINDS_MAX => self.counts.push((kind, count)),
            None => {}
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
        let event = |(Kind { peer, fault, field }, count)| Event::Fault { peer, fault, field, count };
        self.counts.drain(..).map(event).collect()
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
        let expected =
            counts.map(|count| Event::Fault { peer: Peer::Carrier, fault: "json", field: None, count });
        assert_eq!(reports, expected);
    }

    #[test]
    fn fields_are_told_apart_and_their_number_is_bounded() {
        let mut faults = Faults::default();
        for field in ["a", "b", "a"] {
            faults.count_field(Peer::Live, "field", Some(field));
        }
        let found =
            |field, count| Event::Fault { peer: Peer::Live, fault: "field", field: Some(field), count };
        assert_eq!(faults.drain(), [found("a", 2), found("b", 1)]);
        for n in 0..1000_usize {
            faults.count_field(Peer::Live, "field", Some(n.to_string().leak()));
        }
        assert_eq!(faults.drain().len(), KINDS_MAX);
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
