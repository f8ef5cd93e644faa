//! The playout buffer of a call at the carrier: what the server sent and the caller is still to hear.
//!
//! One first-in first-out buffer of audio and marks, played in real time from the instant it is no longer empty
//! (Twilio, `<Stream>` and "Media Streams: WebSocket messages"). Times are computed, not ticked: a byte's playing
//! time is known when it is appended, because nothing can delay it any more. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::timeline::{Timeline, samples_in};

/// Ten minutes: more than this waiting is dropped (Twilio warning 31931).
pub const CAPACITY: Duration = Duration::from_secs(600);

/// A gap shorter than this inside an answer is a hole the caller hears; a longer one is a pause between answers.
pub const UNDERRUN_MAX: Duration = Duration::from_millis(250);

/// Marks waiting at most; a server that sets more without sending audio is not one.
const MARKS_MAX: usize = 10_000;

/// Audio that was never played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drop {
    pub at: Instant,
    /// It would have followed this many bytes of the [`Timeline`].
    pub after: usize,
    pub len: usize,
    pub cause: Cause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The server sent `clear`.
    Cleared,
    /// The buffer held [`CAPACITY`] already.
    Overflow,
    /// The stream ended first.
    Lost,
}

/// A message of audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    pub at: Instant,
    pub len: usize,
}

/// How a mark came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Played,
    Cleared,
}

/// A mark to be echoed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Echo {
    pub name: String,
    pub due: Instant,
    pub fate: Fate,
}

/// The buffer is full; the message was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than 10 minutes of audio, or too many marks, are waiting")]
pub struct Overflow;

#[derive(Debug, Default)]
pub struct Playout {
    timeline: Timeline,
    echoes: VecDeque<Echo>,
    drops: Vec<Drop>,
    arrivals: Vec<Arrival>,
    underruns: u64,
    /// The last thing was a `clear`: the gap after it is meant.
    cleared: bool,
}

impl Playout {
    /// Appends audio that arrived at `now`.
    pub fn handle_media(&mut self, now: Instant, bytes: &[u8]) -> Result<(), Overflow> {
        if samples_in(self.waiting(now)) + bytes.len() > samples_in(CAPACITY) {
            self.dropped(now, bytes.len(), Cause::Overflow);
            return Err(Overflow);
        }
        let gap = self.timeline.end().map(|end| now.saturating_duration_since(end));
        let hole = gap.is_some_and(|gap| !gap.is_zero() && gap < UNDERRUN_MAX);
        self.underruns += u64::from(hole && !self.cleared);
        self.cleared = false;
        self.arrivals.push(Arrival { at: now, len: bytes.len() });
        self.timeline.push(now, bytes);
        Ok(())
    }

    /// Puts a mark at the end of the buffer.
    pub fn handle_mark(&mut self, now: Instant, name: String) -> Result<(), Overflow> {
        if self.echoes.len() >= MARKS_MAX {
            return Err(Overflow);
        }
        let due = self.timeline.end().map_or(now, |end| end.max(now));
        self.echoes.push_back(Echo { name, due, fate: Fate::Played });
        Ok(())
    }

    /// Drops the audio; the marks in it are due at once, in order.
    pub fn handle_clear(&mut self, now: Instant) {
        for echo in self.echoes.iter_mut().filter(|echo| echo.due > now) {
            echo.due = now;
            echo.fate = Fate::Cleared;
        }
        self.cleared = true;
        let len = self.timeline.cut(now);
        self.dropped(now, len, Cause::Cleared);
    }

    /// The next mark whose time has come.
    pub fn poll_echo(&mut self, now: Instant) -> Option<Echo> {
        self.echoes.pop_front_if(|echo| echo.due <= now)
    }

    /// When the next mark is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.echoes.front().map(|echo| echo.due)
    }

    /// How long the buffer plays on without more.
    pub fn waiting(&self, now: Instant) -> Duration {
        self.timeline.end().map_or(Duration::ZERO, |end| end.saturating_duration_since(now))
    }

    /// Ends the stream: what has not been played never is.
    pub fn finish(mut self, now: Instant) -> Played {
        let len = self.timeline.cut(now);
        self.dropped(now, len, Cause::Lost);
        let Self { timeline, drops, arrivals, underruns, .. } = self;
        Played { timeline, drops, arrivals, underruns }
    }

    fn dropped(&mut self, at: Instant, len: usize, cause: Cause) {
        let after = self.timeline.bytes().len();
        match self.drops.last_mut() {
            _ if len == 0 => {}
            Some(last) if last.cause == Cause::Overflow && cause == Cause::Overflow => last.len += len,
            _ => self.drops.push(Drop { at, after, len, cause }),
        }
    }
}

/// What became of every byte of a stream.
#[derive(Clone, Debug, Default)]
pub struct Played {
    pub timeline: Timeline,
    pub drops: Vec<Drop>,
    /// When the messages came of what was played or dropped later.
    pub arrivals: Vec<Arrival>,
    pub underruns: u64,
}

impl Played {
    /// Adds a later stream of the same call.
    pub fn append(&mut self, later: &Self) {
        let offset = self.timeline.bytes().len();
        self.drops.extend(later.drops.iter().map(|drop| Drop { after: drop.after + offset, ..*drop }));
        self.timeline.append(&later.timeline);
        self.arrivals.extend(&later.arrivals);
        self.underruns += later.underruns;
    }

    /// Bytes dropped for this cause.
    pub fn dropped(&self, cause: Cause) -> usize {
        self.drops.iter().filter(|drop| drop.cause == cause).map(|drop| drop.len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn echoes(playout: &mut Playout, now: Instant) -> Vec<(String, Fate)> {
        std::iter::from_fn(|| playout.poll_echo(now)).map(|echo| (echo.name, echo.fate)).collect()
    }

    #[test]
    fn a_mark_on_an_empty_buffer_is_due_at_once() {
        let now = Instant::now();
        let mut playout = Playout::default();
        playout.handle_mark(now, "a".into()).unwrap();
        assert_eq!(echoes(&mut playout, now), [("a".into(), Fate::Played)]);
    }

    #[test]
    fn a_mark_is_due_when_everything_before_it_was_played() {
        let now = Instant::now();
        let mut playout = Playout::default();
        playout.handle_media(now, &[1; 160]).unwrap();
        playout.handle_media(now + 5 * MS, &[2; 80]).unwrap();
        playout.handle_mark(now + 5 * MS, "a".into()).unwrap();
        assert_eq!(playout.poll_timeout(), Some(now + 30 * MS));
        assert_eq!(echoes(&mut playout, now + 29 * MS), []);
        assert_eq!(echoes(&mut playout, now + 30 * MS), [("a".into(), Fate::Played)]);
    }

    #[test]
    fn a_clear_drops_the_rest_and_echoes_every_mark_in_order() {
        let now = Instant::now();
        let mut playout = Playout::default();
        for name in ["a", "b"] {
            playout.handle_media(now, &[1; 160]).unwrap();
            playout.handle_mark(now, name.into()).unwrap();
        }
        playout.handle_clear(now + 25 * MS);
        assert_eq!(
            echoes(&mut playout, now + 25 * MS),
            [("a".into(), Fate::Played), ("b".into(), Fate::Cleared)]
        );
        let played = playout.finish(now + 100 * MS);
        assert_eq!(played.timeline.bytes().len(), 200);
        assert_eq!(played.dropped(Cause::Cleared), 120);
    }

    #[test]
    fn only_a_short_gap_without_a_clear_is_an_underrun() {
        let now = Instant::now();
        let mut playout = Playout::default();
        playout.handle_media(now, &[1; 160]).unwrap();
        playout.handle_media(now + 30 * MS, &[1; 160]).unwrap();
        playout.handle_media(now + 400 * MS, &[1; 160]).unwrap();
        playout.handle_clear(now + 410 * MS);
        playout.handle_media(now + 430 * MS, &[1; 160]).unwrap();
        assert_eq!(playout.finish(now + 500 * MS).underruns, 1);
    }

    #[test]
    fn more_than_ten_minutes_are_dropped() {
        let now = Instant::now();
        let mut playout = Playout::default();
        playout.handle_media(now, &vec![1; 4_800_000]).unwrap();
        assert_eq!(playout.handle_media(now, &[1]), Err(Overflow));
        playout.handle_media(now + MS, &[1; 8]).unwrap();
        assert_eq!(playout.finish(now).dropped(Cause::Overflow), 1);
    }

    #[test]
    fn what_is_buffered_at_the_end_is_lost() {
        let now = Instant::now();
        let mut playout = Playout::default();
        playout.handle_media(now, &[1; 160]).unwrap();
        let played = playout.finish(now + 10 * MS);
        assert_eq!((played.timeline.bytes().len(), played.dropped(Cause::Lost)), (80, 80));
    }
}
