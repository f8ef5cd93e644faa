//! How late the frames of an answer come.

use std::time::{Duration, Instant};

use patchcord::audio::playout::{BURST, LEAD};
use patchcord::sim::carrier::playout::{Arrival, UNDERRUN_MAX};
use patchcord::sim::carrier::timeline::span;

/// How much later than at the pace of its answer each message came. An answer begins at once, up to the lead, and
/// goes on in bursts as fast as it is heard.
pub(crate) fn lateness(arrivals: &[Arrival]) -> Vec<Duration> {
    let mut answer = None::<Answer>;
    let late = arrivals.iter().map(|arrival| {
        let current = answer.take().filter(|answer| arrival.at < answer.end() + UNDERRUN_MAX);
        let mut current = current.unwrap_or(Answer { began: arrival.at, sent: 0, due: arrival.at });
        let late = arrival.at.saturating_duration_since(current.due);
        current.sent += arrival.len;
        // The next one of the burst, or the first of the next burst.
        let is_full = current.end() + span(arrival.len) > arrival.at + LEAD;
        current.due = if is_full { current.end() - (LEAD - BURST) } else { arrival.at };
        answer = Some(current);
        late
    });
    late.collect()
}

#[derive(Clone, Copy, Debug)]
struct Answer {
    began: Instant,
    sent: usize,
    /// When the next message of it is to come.
    due: Instant,
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
    let begin = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3];
    let bursts = [80, 80, 80, 80, 167, 167, 167, 170, 240, 240, 240, 240];
    let next_answer = [2000, 2000];
    let arrivals: Vec<_> = [&begin[..], &bursts, &next_answer].concat().into_iter().map(at).collect();
    let late = [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 3], [0, 0, 0, 0], [7, 0, 0, 3], [0, 0, 0, 0]];
    let expected: Vec<_> = late.into_iter().flatten().chain([0, 0]).map(ms).collect();
    assert_eq!(lateness(&arrivals), expected);
}
