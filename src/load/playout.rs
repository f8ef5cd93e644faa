//! The carrier's playout buffer of one call and what the caller hears of it: by arithmetic on what arrives, without
//! keeping the sound. Pure.
//!
//! The clock is that of [`crate::sim::carrier::playout`]: one first-in first-out buffer that plays in real time from
//! the instant it is no longer empty, so that the time of every sample is known when it arrives.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::outcome::Losses;
use super::sound::{self, QUIET, REPLY, REPLY_UNIT, Threshold};
use crate::sim::carrier::latency::AUDIBLE;
use crate::sim::carrier::playout::UNDERRUN_MAX;
use crate::sim::carrier::timeline::{samples_in, span};

/// Marks waiting at most; a server that sets more without sending audio is not one.
const MARKS_MAX: usize = 1_000;

/// A reply that is this many samples too short or too long is whole: filters ring.
const SLACK: i64 = 12;

/// Samples before a burst that its filters may make loud.
const RINGING_MAX: i64 = 40;

/// Whose replies are heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replies {
    /// The load model's: each lasts a multiple of [`REPLY_UNIT`], so that what is missing is known.
    OfKnownLength,
    /// Anybody's, as loud as they are: nothing can be said of what is missing, and no probe is answered.
    OfAnyLength,
}

#[derive(Debug)]
pub struct Playout {
    replies: Replies,
    /// When the buffer is empty; `None`: nothing ever came.
    end: Option<Instant>,
    /// The last thing was a `clear`.
    is_cleared: bool,
    run: Run,
    marks: VecDeque<Mark>,
    /// First samples of bursts, in order; forgotten when asked for.
    bursts: VecDeque<Instant>,
    last_burst: Option<Instant>,
    reply: Option<Reply>,
    /// When the last reply began to sound, and when it stops.
    spoken: Option<(Instant, Instant)>,
    loud: Threshold,
    audible: Threshold,
}

/// Sound without a gap, and how far ahead of its own clock it came.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    began: Option<Instant>,
    samples: usize,
    /// The most that a frame was ahead of the clock.
    lead: Duration,
}

#[derive(Debug)]
struct Mark {
    name: String,
    due: Instant,
}

/// A reply that is being heard, by samples of the call.
#[derive(Clone, Copy, Debug)]
struct Reply {
    samples: i64,
    /// Samples since the last loud one.
    quiet: usize,
    last: Instant,
}

/// What arriving audio showed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrival {
    /// How late it was, by the clock of what came before.
    pub lateness: Option<Duration>,
    /// The buffer had run dry in the middle of something.
    pub is_underrun: bool,
}

impl Playout {
    /// Nothing has been heard yet.
    pub fn new(replies: Replies) -> Self {
        Self {
            replies,
            end: None,
            is_cleared: false,
            run: Run::default(),
            marks: VecDeque::new(),
            bursts: VecDeque::new(),
            last_burst: None,
            reply: None,
            spoken: None,
            loud: Threshold::above(REPLY),
            audible: Threshold::above(AUDIBLE),
        }
    }

    /// Appends mu-law that arrived at `now`; a reply that ended is added to `losses`.
    pub fn handle_media(&mut self, now: Instant, bytes: &[u8], losses: &mut Losses) -> Arrival {
        let gap = self.end.map(|end| now.saturating_duration_since(end));
        let is_new = gap.is_none_or(|gap| !gap.is_zero());
        let is_underrun = !self.is_cleared && gap.is_some_and(|gap| !gap.is_zero() && gap < UNDERRUN_MAX);
        if gap.is_some_and(|gap| gap >= UNDERRUN_MAX) {
            self.end_reply(losses);
        }
        self.is_cleared = false;
        let start = self.end.map_or(now, |end| end.max(now));
        if is_new {
            self.run = Run { began: Some(now), ..Run::default() };
        }
        let lateness = self.run.push(now, bytes.len());
        self.end = Some(start + span(bytes.len()));
        self.listen(start, bytes, losses);
        Arrival { lateness: lateness.filter(|_| !is_new), is_underrun }
    }

    /// Puts a mark at the end of the buffer; `false` if there are too many.
    pub fn handle_mark(&mut self, now: Instant, name: String) -> bool {
        let due = self.end.map_or(now, |end| end.max(now));
        let fits = self.marks.len() < MARKS_MAX;
        if fits {
            self.marks.push_back(Mark { name, due });
        }
        fits
    }

    /// Drops what has not been heard; its marks are due at once.
    pub fn handle_clear(&mut self, now: Instant) {
        self.marks.iter_mut().for_each(|mark| mark.due = mark.due.min(now));
        self.end = self.end.map(|end| end.min(now));
        self.is_cleared = true;
        self.bursts.retain(|at| *at <= now);
        self.last_burst = self.last_burst.filter(|at| *at <= now);
        // What is left of a reply says nothing of its length.
        self.reply = None;
        self.spoken =
            self.spoken.filter(|(from, _)| *from <= now).map(|(from, until)| (from, until.min(now)));
    }

    /// The next mark whose time has come.
    pub fn poll_mark(&mut self, now: Instant) -> Option<String> {
        self.marks.pop_front_if(|mark| mark.due <= now).map(|mark| mark.name)
    }

    /// When the next mark is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.marks.front().map(|mark| mark.due)
    }

    /// The first burst heard from `from` until now.
    pub fn burst(&mut self, from: Instant, now: Instant) -> Option<Instant> {
        while self.bursts.pop_front_if(|at| *at < from).is_some() {}
        self.bursts.pop_front_if(|at| *at <= now)
    }

    /// The last reply, if it was heard at `now` or before: from when, and until when as far as is known.
    pub fn spoken(&self, now: Instant) -> Option<(Instant, Instant)> {
        self.spoken.filter(|(from, _)| *from <= now)
    }

    /// Whether nothing has been played for this long.
    pub fn is_quiet(&self, now: Instant, length: Duration) -> bool {
        self.end.is_none_or(|end| end + length <= now)
    }

    /// Ends a reply that is over, so that it is counted.
    pub fn end_reply(&mut self, losses: &mut Losses) {
        let Some(reply) = self.reply.take().filter(|_| self.replies == Replies::OfKnownLength) else {
            return;
        };
        let (unit, samples) = (samples_in(REPLY_UNIT) as i64, reply.samples - reply.quiet as i64);
        let surplus = (samples + unit / 2).rem_euclid(unit) - unit / 2;
        let surplus = if surplus.abs() <= SLACK { 0 } else { surplus };
        losses.replies += 1;
        losses.downlink_samples += samples.unsigned_abs();
        losses.downlink_lost_samples += (-surplus).max(0).unsigned_abs();
        losses.downlink_doubled_samples += surplus.max(0).unsigned_abs();
    }

    /// Looks for the samples that are loud; most frames have none.
    fn listen(&mut self, start: Instant, bytes: &[u8], losses: &mut Losses) {
        let level = bytes.iter().fold(u8::MAX, |level, byte| level.min(byte & 0x7f));
        if self.loud.is_met(level) {
            for (index, &byte) in bytes.iter().enumerate() {
                self.listen_to(start + span(index), byte);
            }
        } else if let Some(reply) = &mut self.reply {
            reply.samples += bytes.len() as i64;
            reply.quiet += bytes.len();
        }
        if self.reply.is_some_and(|reply| reply.quiet >= samples_in(QUIET)) {
            self.end_reply(losses);
        }
    }

    /// Filters ring before a burst: that was no reply.
    fn forget_ringing(&mut self) {
        if self.reply.is_some_and(|reply| reply.samples <= RINGING_MAX) {
            (self.reply, self.spoken) = (None, None);
        }
    }

    fn listen_to(&mut self, at: Instant, byte: u8) {
        if self.replies == Replies::OfKnownLength && self.audible.is_met(byte) {
            if self.last_burst.is_none_or(|last| at.saturating_duration_since(last) >= QUIET) {
                self.bursts.push_back(at);
                self.forget_ringing();
            }
            self.last_burst = Some(at);
        }
        let is_loud = self.loud.is_met(byte);
        let is_burst = self.last_burst.is_some_and(|last| at.saturating_duration_since(last) < QUIET);
        match &mut self.reply {
            Some(reply) => {
                reply.samples += 1;
                reply.quiet = if is_loud { 0 } else { reply.quiet + 1 };
                if is_loud {
                    reply.last = at;
                }
            }
            None if is_loud && !is_burst => {
                self.reply = Some(Reply { samples: 1, quiet: 0, last: at });
                self.spoken = Some((at, at));
            }
            None => {}
        }
        if let (Some(reply), Some((_, until))) = (&self.reply, &mut self.spoken) {
            *until = reply.last + sound::SAMPLE;
        }
    }
}

impl Run {
    /// How much later the next samples came than the earliest of the run, by its own clock.
    fn push(&mut self, now: Instant, samples: usize) -> Option<Duration> {
        let elapsed = now.saturating_duration_since(self.began?);
        let played = span(self.samples);
        self.samples += samples;
        let lead = played.saturating_sub(elapsed);
        let late = elapsed.saturating_sub(played) + self.lead.saturating_sub(lead);
        self.lead = self.lead.max(lead);
        Some(late)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::audio::g711;
    use crate::load::sound::{FRAME, FRAME_TIME, REPLY_PEAK, tone};

    const MS: fn(u64) -> Duration = Duration::from_millis;

    /// A reply of a whole second as it is heard, in frames.
    fn reply() -> Vec<Vec<u8>> {
        let tone: Vec<_> = tone(REPLY_PEAK, Duration::from_secs(1)).into_iter().step_by(3).collect();
        let line = [vec![0; 47], tone, vec![0; 800]].concat();
        line.chunks(FRAME).map(|frame| frame.iter().map(|&sample| g711::encode(sample)).collect()).collect()
    }

    fn playout() -> Playout {
        Playout::new(Replies::OfKnownLength)
    }

    fn hear(frames: &[Vec<u8>]) -> (Losses, Playout) {
        let (start, mut losses, mut playout) = (Instant::now(), Losses::default(), playout());
        for (index, frame) in frames.iter().enumerate() {
            playout.handle_media(start + FRAME_TIME * index as u32, frame, &mut losses);
        }
        (losses, playout)
    }

    #[rstest]
    #[case::whole(None, 0, 0)]
    #[case::a_frame_is_lost(Some(false), 160, 0)]
    #[case::a_frame_is_doubled(Some(true), 0, 160)]
    fn samples_of_a_reply_are_counted(#[case] doubled: Option<bool>, #[case] lost: u64, #[case] twice: u64) {
        let mut frames = reply();
        match doubled {
            Some(true) => frames.insert(20, frames[20].clone()),
            Some(false) => drop(frames.remove(20)),
            None => {}
        }
        let (losses, _) = hear(&frames);
        assert_eq!(losses.replies, 1);
        assert_eq!((losses.downlink_lost_samples, losses.downlink_doubled_samples), (lost, twice));
    }

    #[test]
    fn of_a_reply_of_unknown_length_nothing_is_missing() {
        let (start, mut losses, mut playout) =
            (Instant::now(), Losses::default(), Playout::new(Replies::OfAnyLength));
        for (index, frame) in reply().iter().enumerate().filter(|(index, _)| *index != 20) {
            playout.handle_media(start + FRAME_TIME * index as u32, frame, &mut losses);
        }
        playout.end_reply(&mut losses);
        assert_eq!(Losses { underruns: 0, ..losses }, Losses::default());
        assert!(playout.spoken(start + MS(1000)).is_some());
    }

    #[rstest]
    #[case::of_the_load_model(Replies::OfKnownLength, false)]
    #[case::of_anybody(Replies::OfAnyLength, true)]
    fn a_loud_voice_is_a_reply_where_no_probe_is_answered(#[case] replies: Replies, #[case] expected: bool) {
        let (start, mut losses, mut playout) = (Instant::now(), Losses::default(), Playout::new(replies));
        let voice: Vec<_> =
            tone(12_000, Duration::from_secs(1)).into_iter().step_by(3).map(g711::encode).collect();
        playout.handle_media(start, &voice, &mut losses);
        assert_eq!(playout.spoken(start + MS(10)).is_some(), expected);
    }

    #[test]
    fn a_burst_is_heard_when_what_waits_before_it_has_been_played() {
        let (start, mut losses, mut playout) = (Instant::now(), Losses::default(), playout());
        playout.handle_media(start, &[g711::MULAW_SILENCE; 800], &mut losses);
        let loud = g711::encode(28_000);
        playout.handle_media(
            start + MS(10),
            &[&[g711::MULAW_SILENCE; 8][..], &[loud; 320]].concat(),
            &mut losses,
        );
        let heard = start + MS(101);
        assert_eq!(playout.burst(start, start + MS(100)), None);
        assert_eq!(playout.burst(start, heard), Some(heard));
        assert_eq!((playout.burst(start, heard + MS(500)), losses.replies), (None, 0));
    }

    #[test]
    fn what_is_cleared_is_not_heard_and_its_marks_come_back() {
        let (start, mut losses, mut playout) = (Instant::now(), Losses::default(), playout());
        for frame in reply() {
            playout.handle_media(start, &frame, &mut losses);
        }
        assert!(playout.handle_mark(start, "m1".to_owned()));
        assert_eq!(playout.poll_mark(start + MS(300)), None);
        playout.handle_clear(start + MS(300));
        assert_eq!(playout.poll_mark(start + MS(300)).as_deref(), Some("m1"));
        assert_eq!(playout.spoken(start + MS(400)).unwrap().1, start + MS(300));
        assert!(playout.is_quiet(start + MS(400), MS(100)));
    }

    #[test]
    fn a_late_frame_is_told_by_the_clock_of_those_before() {
        let (start, mut losses, mut playout) = (Instant::now(), Losses::default(), playout());
        let frame = [g711::MULAW_SILENCE; FRAME];
        let mut arrive = |ms| playout.handle_media(start + MS(ms), &frame, &mut losses);
        (0..10).for_each(|_| assert!(arrive(0).lateness.is_none_or(|late| late.is_zero())));
        assert_eq!(arrive(20).lateness, Some(MS(0)));
        assert_eq!(arrive(47).lateness, Some(MS(7)));
        assert_eq!(arrive(60).lateness, Some(MS(0)));
        assert!(!arrive(200).is_underrun);
        assert!(arrive(400).is_underrun);
    }
}
