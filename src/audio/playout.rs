//! Paced playout: what is sent to the caller and when, and what of it was heard.
//!
//! The far side plays a first-in first-out buffer in real time. Audio is sent at once up to a lead ahead of
//! that clock and then paced, in bursts of a few frames, so that an interruption throws away little and what was
//! *heard* is known to one frame. Knows nothing of turns or protocols; positions count the samples ever pushed.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::queue::Queue;
use super::{Frame, Rate};
use crate::id::MarkId;

/// How far ahead of the caller's ear audio is sent, at most: 160 to 240 ms ride out the jitter of a public network;
/// more would only be thrown away at the next interruption.
pub const LEAD: Duration = Duration::from_millis(240);

/// Once the lead is full, audio waits until this much of it may leave at once. Frames that leave together cost the
/// system little more than one of them.
pub const BURST: Duration = Duration::from_millis(80);

/// Audio between two marks. One mark per frame is reported to cause delays at the carrier; two a second give
/// all the accuracy that the clock needs.
const MARK_INTERVAL: Duration = Duration::from_millis(500);

/// Marks that may be on their way. A carrier that never echoes makes the oldest fall out.
const MARKS_MAX: usize = 64;

/// Marks over which the echo delay is smoothed, so that one late packet does not look like late playout.
const LAG_WINDOW: usize = 4;

/// What to send next.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a frame is owned by value: no allocation per frame")]
pub enum Item {
    Audio(Frame),
    Mark(MarkId),
}

/// What an interruption did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleared {
    /// Position up to which the caller has heard.
    pub heard: u64,
    /// Samples thrown away, here and in the far buffer.
    pub samples: u64,
}

/// The playout of one call leg.
#[derive(Debug)]
pub struct Playout {
    rate: Rate,
    /// Pushed and not yet sent.
    queue: Queue,
    /// Position up to which everything was sent or cleared.
    sent: u64,
    /// Positions where an utterance ends, not yet reached by `sent`.
    ends: VecDeque<u64>,
    /// When the far side will have played everything that was sent.
    buffer_end: Option<Instant>,
    /// Whether audio goes out as it comes, until the lead is full; if not, the next burst is waited for.
    is_filling: bool,
    marks: Marks,
}

impl Playout {
    pub fn new(rate: Rate) -> Self {
        let marks = Marks::new(rate);
        Self {
            rate,
            queue: Queue::default(),
            sent: 0,
            ends: VecDeque::new(),
            buffer_end: None,
            is_filling: true,
            marks,
        }
    }

    /// Appends speech.
    pub fn push(&mut self, samples: &[i16]) {
        self.queue.push(samples);
    }

    /// Ends an utterance here: its last, partial frame will not wait for more.
    pub fn finish(&mut self) {
        let end = self.position();
        if end > self.sent && self.ends.back() != Some(&end) {
            self.ends.push_back(end);
        }
    }

    /// Samples ever pushed.
    pub fn position(&self) -> u64 {
        self.sent + self.queue.len() as u64
    }

    /// Position up to which everything is sent or can be: beyond it is part of a frame that waits for the rest.
    pub fn sendable_position(&self) -> u64 {
        let position = self.position();
        let from = self.ends.back().copied().unwrap_or(self.sent);
        position - (position - from) % self.rate.frame_len() as u64
    }

    /// Speech that waits here, not counting what the far side still has to play.
    pub fn waiting(&self) -> Duration {
        self.duration(self.queue.len() as u64)
    }

    /// What is to be sent at `now`, in order; `None` when nothing is due. Does not allocate.
    pub fn poll(&mut self, now: Instant) -> Option<Item> {
        if let Some(due) = self.buffer_end.filter(|_| self.marks.is_due) {
            return Some(Item::Mark(self.marks.take(self.sent, due)));
        }
        let len = self.sendable()?;
        self.is_filling = self.due(len).is_none_or(|due| due <= now);
        if !self.is_filling {
            return None;
        }
        let mut samples = [0; Frame::CAPACITY];
        self.queue.pop(&mut samples[..len]);
        self.sent += len as u64;
        let start = self.buffer_end.map_or(now, |end| end.max(now));
        self.buffer_end = Some(start + self.duration(len as u64));
        let is_end = self.ends.front() == Some(&self.sent);
        if is_end {
            self.ends.pop_front();
        }
        self.marks.sent(self.sent, is_end);
        Some(Item::Audio(Frame::new(self.rate, &samples[..len])))
    }

    /// When [`Playout::poll`] will have something next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let len = self.sendable()?;
        self.due(len)
    }

    /// Position up to which the caller has heard at `now`: by the clock, corrected by echoed marks.
    pub fn heard(&self, now: Instant) -> u64 {
        let Some(end) = self.buffer_end else { return self.sent };
        let pending = self.samples((end + self.marks.late).saturating_duration_since(now));
        self.sent.saturating_sub(pending).max(self.marks.echoed)
    }

    /// When everything up to `position` will have been heard; `None` while it has not all been sent.
    pub fn heard_at(&self, position: u64) -> Option<Instant> {
        let end = self.buffer_end?;
        let behind = self.sent.checked_sub(position)?;
        (end + self.marks.late).checked_sub(self.duration(behind))
    }

    /// When the far side will have played everything that was sent.
    pub const fn plays_until(&self) -> Option<Instant> {
        self.buffer_end
    }

    /// Position up to which everything was sent.
    pub const fn sent(&self) -> u64 {
        self.sent
    }

    /// How long the echo of something played takes at present: the way there and back.
    pub fn echo_delay(&self) -> Duration {
        let micros = self.marks.recent.iter().min().copied().unwrap_or(0);
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }

    /// Throws away everything that was not heard. The far buffer must be cleared by the caller of this.
    pub fn clear(&mut self, now: Instant) -> Cleared {
        let heard = self.heard(now);
        let position = self.position();
        self.queue.clear();
        self.ends.clear();
        self.sent = position;
        self.buffer_end = None;
        self.marks.clear(position);
        Cleared { heard, samples: position - heard }
    }

    /// Takes the echo of a mark. Unknown, cleared and repeated ones change nothing.
    pub fn handle_mark(&mut self, mark: MarkId, now: Instant) {
        self.marks.echo(mark, now);
    }

    /// How much may go out in one frame: a whole frame, or what is left of a finished utterance.
    fn sendable(&self) -> Option<usize> {
        let frame = self.rate.frame_len();
        let len = match self.ends.front() {
            Some(end) => usize::try_from(end - self.sent).map_or(frame, |left| left.min(frame)),
            None => frame,
        };
        (len > 0 && self.queue.len() >= len).then_some(len)
    }

    /// When the next `len` samples may go out: so that the lead is never exceeded, nor a burst begun too early.
    fn due(&self, len: usize) -> Option<Instant> {
        let room = if self.is_filling { self.duration(len as u64) } else { BURST };
        (self.buffer_end? + room).checked_sub(LEAD)
    }

    fn duration(&self, samples: u64) -> Duration {
        Duration::from_nanos(samples * 1_000_000_000 / u64::from(self.rate.0))
    }

    fn samples(&self, duration: Duration) -> u64 {
        (duration.as_nanos() * u128::from(self.rate.0)).div_ceil(1_000_000_000) as u64
    }
}

/// The marks in the far buffer, and what their echoes tell about its clock.
#[derive(Debug)]
struct Marks {
    interval: u64,
    next: MarkId,
    /// Position of the last mark, or of the last clear.
    last: u64,
    /// A mark is to be sent before any more audio.
    is_due: bool,
    pending: VecDeque<Pending>,
    /// Everything up to here was certainly played (or cleared).
    echoed: u64,
    /// Smallest echo delay of the call: the way there and back, microseconds.
    lag_min: Option<i64>,
    recent: VecDeque<i64>,
    /// How much later than our clock the far side plays: the echoes of late have taken this much longer than the
    /// quickest one.
    late: Duration,
}

#[derive(Debug)]
struct Pending {
    id: MarkId,
    position: u64,
    /// When it should be reached by our clock.
    due: Instant,
}

impl Marks {
    fn new(rate: Rate) -> Self {
        Self {
            interval: u64::from(rate.0) * MARK_INTERVAL.as_millis() as u64 / 1000,
            next: MarkId(1),
            last: 0,
            is_due: false,
            pending: VecDeque::new(),
            echoed: 0,
            lag_min: None,
            recent: VecDeque::new(),
            late: Duration::ZERO,
        }
    }

    fn sent(&mut self, position: u64, is_end: bool) {
        self.is_due = is_end || position - self.last >= self.interval;
    }

    fn take(&mut self, position: u64, due: Instant) -> MarkId {
        self.is_due = false;
        let id = self.next;
        self.next = id.next();
        self.last = position;
        if self.pending.len() == MARKS_MAX {
            self.pending.pop_front();
        }
        self.pending.push_back(Pending { id, position, due });
        id
    }

    fn echo(&mut self, id: MarkId, now: Instant) {
        let Some(index) = self.pending.iter().position(|mark| mark.id == id) else { return };
        let Some(mark) = self.pending.drain(..=index).next_back() else { return };
        self.echoed = self.echoed.max(mark.position);
        let lag = signed_micros(now, mark.due);
        self.lag_min = Some(self.lag_min.map_or(lag, |min| min.min(lag)));
        if self.recent.len() == LAG_WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back(lag);
        let recent = self.recent.iter().min().copied();
        let late = recent.zip(self.lag_min).map_or(0, |(recent, min)| recent - min);
        self.late = Duration::from_micros(late.max(0) as u64);
    }

    fn clear(&mut self, position: u64) {
        self.pending.clear();
        self.is_due = false;
        self.last = position;
        self.echoed = position;
    }
}

fn signed_micros(a: Instant, b: Instant) -> i64 {
    let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    if a >= b { micros(a - b) } else { -micros(b - a) }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const FRAME: u64 = 160;

    struct Line {
        playout: Playout,
        start: Instant,
    }

    impl Line {
        fn new() -> Self {
            Self { playout: Playout::new(Rate::LINE), start: Instant::now() }
        }

        fn at(&self, ms: u64) -> Instant {
            self.start + Duration::from_millis(ms)
        }

        /// Everything that is due at `ms`: lengths of audio, and marks.
        fn drain(&mut self, ms: u64) -> (Vec<usize>, Vec<MarkId>) {
            let now = self.at(ms);
            let (mut audio, mut marks) = (Vec::new(), Vec::new());
            while let Some(item) = self.playout.poll(now) {
                match item {
                    Item::Audio(frame) => audio.push(frame.samples().len()),
                    Item::Mark(mark) => marks.push(mark),
                }
            }
            (audio, marks)
        }
    }

    #[test]
    fn a_burst_goes_out_up_to_the_lead_and_is_then_paced() {
        let mut line = Line::new();
        line.playout.push(&[0; 8000]);
        assert_eq!(line.drain(0).0.len(), 12, "240 ms at once");
        assert_eq!(line.playout.poll_timeout(), Some(line.at(80)));
        assert!(line.drain(79).0.is_empty());
        assert_eq!(line.drain(80).0, [160; 4], "then four frames at a time");
        assert_eq!(line.playout.poll_timeout(), Some(line.at(160)));
        assert_eq!(line.drain(185).0.len(), 5, "what a late timer missed goes out at once");
        let mut sent = 21;
        for ms in (200..2000).step_by(20) {
            sent += line.drain(ms).0.len();
        }
        assert_eq!(sent, 50, "all of it, nothing twice");
    }

    /// The far buffer is not full: waiting for a burst would let it run dry.
    #[test]
    fn speech_that_comes_in_real_time_goes_out_as_it_comes() {
        let mut line = Line::new();
        line.playout.push(&[0; 800]);
        assert_eq!(line.drain(0).0.len(), 5);
        for ms in (20..1000).step_by(20) {
            line.playout.push(&[0; 160]);
            assert_eq!(line.drain(ms).0, [160], "at {ms} ms");
        }
    }

    #[test]
    fn after_silence_speech_goes_out_at_once() {
        let mut line = Line::new();
        line.playout.push(&[0; 160]);
        assert_eq!(line.drain(0).0, [160]);
        line.playout.push(&[0; 160]);
        assert_eq!(line.drain(5000).0, [160]);
        assert_eq!(line.playout.heard(line.at(5000)), FRAME);
        assert_eq!(line.playout.heard(line.at(5010)), FRAME + 80);
        assert_eq!(line.playout.heard(line.at(5020)), 2 * FRAME);
    }

    #[test]
    fn a_partial_frame_waits_for_more_until_the_utterance_is_finished() {
        let mut line = Line::new();
        line.playout.push(&[0; 200]);
        assert_eq!(line.drain(0).0, [160]);
        assert_eq!(line.playout.poll_timeout(), None);
        line.playout.finish();
        line.playout.push(&[0; 160]);
        let (audio, marks) = line.drain(0);
        assert_eq!(audio, [40, 160]);
        assert_eq!(marks, [MarkId(1)], "one at the end of the utterance");
    }

    #[rstest]
    #[case::at_the_start(0, 0)]
    #[case::in_the_middle(250, 2000)]
    #[case::to_the_sample(333, 2664)]
    #[case::after_the_end(5000, 8000)]
    fn an_interruption_knows_what_was_heard(#[case] ms: u64, #[case] heard: u64) {
        let mut line = Line::new();
        line.playout.push(&[0; 8000]);
        for tick in (0..=ms).step_by(20) {
            line.drain(tick);
        }
        let cleared = line.playout.clear(line.at(ms));
        assert_eq!(cleared, Cleared { heard, samples: 8000 - heard });
        assert_eq!(line.drain(ms + 20), (vec![], vec![]), "nothing of it is sent any more");
        let again = line.playout.clear(line.at(ms));
        assert_eq!(again, Cleared { heard: 8000, samples: 0 }, "twice changes nothing");
    }

    #[test]
    fn marks_come_twice_a_second_and_at_the_end() {
        let mut line = Line::new();
        line.playout.push(&[0; 8800]);
        line.playout.finish();
        let marks: Vec<_> = (0..1200).step_by(20).map(|ms| (ms, line.drain(ms).1)).collect();
        let sent: Vec<_> = marks.into_iter().filter(|(_, marks)| !marks.is_empty()).collect();
        assert_eq!(sent, [(320, vec![MarkId(1)]), (800, vec![MarkId(2)]), (880, vec![MarkId(3)])]);
    }

    /// The far side plays with a constant delay of 30 ms: the clear is as late as the audio was, so what was
    /// heard is what our own clock says. Then it falls behind by 100 ms for good: the echoes tell.
    #[test]
    fn echoes_reveal_a_far_side_that_falls_behind() {
        let mut line = Line::new();
        line.playout.push(&[0; 80_000]);
        let (mut next_echo, mut id) = (500, 1);
        for ms in (0..=6000).step_by(20) {
            line.drain(ms);
            let behind = if next_echo > 2000 { 100 } else { 0 };
            if ms >= next_echo + 60 + behind {
                line.playout.handle_mark(MarkId(id), line.at(next_echo + 60 + behind));
                (next_echo, id) = (next_echo + 500, id + 1);
            }
            if ms == 2000 {
                assert_eq!(line.playout.heard(line.at(ms)), 16_000);
            }
        }
        assert_eq!(line.playout.heard(line.at(6000)), 48_000 - 800);
    }

    #[test]
    fn echoes_of_cleared_unknown_and_repeated_marks_change_nothing() {
        let mut line = Line::new();
        line.playout.push(&[0; 1600]);
        line.playout.finish();
        assert_eq!(line.drain(0).1, [MarkId(1)]);
        line.playout.clear(line.at(50));
        line.playout.push(&[0; 1600]);
        line.drain(50);
        for mark in [1, 1, 77, u32::MAX] {
            line.playout.handle_mark(MarkId(mark), line.at(60));
        }
        assert_eq!(line.playout.heard(line.at(100)), 1600 + 400);
    }
}
