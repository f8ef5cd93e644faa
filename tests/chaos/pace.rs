//! How late the frames of an answer come.

use std::time::{Duration, Instant};

use patchcord::audio::playout::LEAD;
use patchcord::sim::carrier::playout::{Arrival, UNDERRUN_MAX};
use patchcord::sim::carrier::timeline::span;

/// How much later than at the pace of its answer each message came. An answer begins at once, up to the lead, and
/// goes on as fast as it is heard.
pub(crate) fn lateness(arrivals: &[Arrival]) -> Vec<Duration> {
    let mut answer = None::<Answer>;
    let late = arrivals.iter().map(|arrival| {
        let current = answer.take().filter(|answer| arrival.at < answer.end() + UNDERRUN_MAX);
        let mut current = current.unwrap_or(Answer { began: arrival.at, sent: 0 });
        current.sent += arrival.len;
        let due = current.began + span(current.sent).saturating_sub(LEAD);
        answer = Some(current);
        arrival.at.saturating_duration_since(due)
    });
    late.collect()
}

#[derive(Clone, Copy, Debug)]
struct Answer {
    began: Instant,
    sent: usize,
}

impl Answer {
    /// When it has been heard, as far as it came.
    fn end(&self) -> Instant {
        self.began + span(self.sent)
    }
}

#[test]
fn a_frame_is_as_late_as_it_is_behind_the_pace_of_its_answer() {
    let origin = Instant::now();
    let ms = Duration::from_millis;
    let at = |ms_at: u64| Arrival { at: origin + ms(ms_at), len: 160 };
    let burst = [0, 0, 0, 0, 0, 0, 0, 0, 0, 3];
    let paced = [20, 47, 60, 83];
    let next_answer = [2000, 2000];
    let arrivals: Vec<_> = [&burst[..], &paced, &next_answer].concat().into_iter().map(at).collect();
    let expected = [0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 7, 0, 3, 0, 0];
    assert_eq!(lateness(&arrivals), expected.map(ms));
}
