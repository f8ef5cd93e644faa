//! A caller as a machine: the stream's messages and the time in, messages out, measurements on the side. Knows no
//! socket; allocates for a frame only the message itself.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::playout::{Playout, Replies};
use super::recording::{Recordings, Turn};
use super::script::{Act, TurnId};
use super::sound::{self, FRAME, FRAME_TIME, PROBE_FRAMES};
use super::tally::Tally;
use super::wire::{Command, Reader, Writer};
use crate::sim::carrier::timeline::span;

/// A caller who hears no greeting for this long begins.
const GREETING_MAX: Duration = Duration::from_millis(2500);

/// Quiet that the caller takes for the end of an answer, and that comes before a probe.
const PAUSE: Duration = Duration::from_millis(300);

/// A probe that is not answered within this time is lost.
const PROBE_MAX: Duration = Duration::from_secs(2);

/// An answer that has not begun after this time never comes.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// How much of an answer is heard before the caller interrupts it, or is gone.
const INTERRUPT_AFTER: Duration = Duration::from_millis(700);

/// Probes begin in every tenth frame.
const GRID_FRAMES: u64 = (sound::GRID / FRAME) as u64;

/// How the caller's part ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// As it was meant to; the stream is to be stopped.
    HungUp,
    /// As it was meant to, without a word.
    Vanished,
    /// The test is over; the stream is to be stopped.
    CutShort,
    Failed(&'static str),
}

#[derive(Debug)]
pub struct Caller {
    recordings: Arc<Recordings>,
    acts: VecDeque<Act>,
    stage: Stage,
    began: Instant,
    /// Frames sent.
    frames: u64,
    playout: Playout,
    reader: Reader,
    writer: Writer,
    story: Story,
    end: Option<End>,
}

/// How far the act at the front has come.
#[derive(Clone, Copy, Debug)]
enum Stage {
    Begin,
    /// Since this time.
    Waiting(Instant),
    /// Frames of a turn were sent, so many.
    Saying(usize),
    /// Frames of a probe were sent; it sounds from then on.
    Probing {
        place: usize,
        frame: usize,
        at: Instant,
    },
}

/// What was said last and what silence followed, to be measured.
#[derive(Clone, Copy, Debug, Default)]
struct Story {
    /// When the caller's last words began, if they were to interrupt an answer that still sounded.
    barge_in: Option<Instant>,
    /// When they ended, until they are answered.
    said: Option<Instant>,
    longest_silence: Duration,
    first_sound: Option<Instant>,
    probes_left: Option<u32>,
}

impl Caller {
    /// A caller whose stream begins now; `writer` has said so already.
    pub fn new(
        recordings: Arc<Recordings>,
        acts: Vec<Act>,
        writer: Writer,
        replies: Replies,
        began: Instant,
    ) -> Self {
        Self {
            recordings,
            acts: acts.into(),
            stage: Stage::Begin,
            began,
            frames: 0,
            playout: Playout::new(replies),
            reader: Reader::new(writer.stream_sid()),
            writer,
            story: Story::default(),
            end: None,
        }
    }

    /// When something is to be sent next.
    pub fn poll_timeout(&self) -> Instant {
        let mark = self.playout.poll_timeout();
        let due = self.due();
        mark.map_or(due, |mark| mark.min(due))
    }

    pub const fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// Hangs up: the test is over.
    pub fn cut_short(&mut self) {
        self.end.get_or_insert(End::CutShort);
    }

    /// The last message of a stream.
    pub fn stop(&mut self) -> String {
        self.writer.stop()
    }

    /// The caller is gone: what is known is counted.
    pub fn finish(mut self, now: Instant, tally: &mut Tally) {
        // What is left of a reply that still sounds says nothing of its length.
        if self.playout.is_quiet(now, PAUSE) {
            self.playout.end_reply(&mut tally.losses);
        }
        tally.heard.dead_air.record(self.story.longest_silence);
        if let Some(first) = self.story.first_sound {
            tally.heard.first_sound.record(first.saturating_duration_since(self.began));
        }
    }

    /// A text message of the server.
    pub fn handle_text(&mut self, text: &[u8], now: Instant, tally: &mut Tally) {
        match self.reader.read(text) {
            Some(Command::Media(bytes)) => {
                let arrival = self.playout.handle_media(now, bytes, &mut tally.losses);
                if let Some(late) = arrival.lateness {
                    tally.heard.frame_lateness.record(late);
                }
                tally.losses.underruns += u64::from(arrival.is_underrun);
            }
            Some(Command::Mark(name)) => {
                tally.losses.violations += u64::from(!self.playout.handle_mark(now, name));
            }
            Some(Command::Clear) => self.playout.handle_clear(now),
            None => tally.losses.violations += 1,
        }
    }

    /// Gives `send` what is due now, in order.
    pub fn handle_timeout(&mut self, now: Instant, tally: &mut Tally, send: &mut impl FnMut(String)) {
        while let Some(name) = self.playout.poll_mark(now) {
            send(self.writer.mark(&name));
        }
        while self.end.is_none() && self.due() <= now {
            let due = self.due();
            tally.lateness.record(now.saturating_duration_since(due));
            tally.frames += 1;
            self.listen(now, tally);
            let message = self.next_frame(now, tally, send);
            self.frames += 1;
            if let Some(message) = message {
                send(message);
            }
        }
    }

    /// A frame is sent when its last sample was said.
    fn due(&self) -> Instant {
        self.at(self.frames + 1, 0)
    }

    /// When a sample of the caller sounds at the mouth.
    fn at(&self, frame: u64, sample: usize) -> Instant {
        self.began + span(frame as usize * FRAME + sample)
    }

    /// Notes what was heard in the meantime.
    fn listen(&mut self, now: Instant, tally: &mut Tally) {
        let Some((from, until)) = self.playout.spoken(now) else { return };
        self.story.first_sound.get_or_insert(from);
        if let Some(said) = self.story.said
            && from >= said
        {
            let silence = from.duration_since(said);
            tally.heard.answer.record(silence);
            self.story.longest_silence = self.story.longest_silence.max(silence);
            self.story.said = None;
        }
        if let Some(spoke) = self.story.barge_in
            && from < spoke
            && until <= now
            && self.playout.is_quiet(now, Duration::ZERO)
        {
            tally.heard.barge_in.record(until.saturating_duration_since(spoke));
            self.story.barge_in = None;
        }
    }

    /// The message of this frame; `None` when the caller is gone.
    fn next_frame(
        &mut self,
        now: Instant,
        tally: &mut Tally,
        send: &mut impl FnMut(String),
    ) -> Option<String> {
        // Acts that are done at once are followed by the next one in the same frame.
        for _ in 0..self.acts.len().max(1) {
            let act = *self.acts.front()?;
            if let Some(message) = self.perform(act, now, tally, send) {
                return Some(message);
            }
            if self.end.is_some() {
                return None;
            }
            self.acts.pop_front();
            self.stage = Stage::Begin;
        }
        Some(self.noise())
    }

    /// The frame of this act; `None` when it is done.
    fn perform(
        &mut self,
        act: Act,
        now: Instant,
        tally: &mut Tally,
        send: &mut impl FnMut(String),
    ) -> Option<String> {
        match act {
            Act::Settle => self.settle(now),
            Act::Probe(count) => self.probe(count, now, tally),
            Act::Say(turn) => self.say(turn),
            Act::Interrupt(turn) => self.interrupt(turn, now),
            Act::Hear => self.hear(now),
            Act::Press(digit) => {
                send(self.writer.digit(digit));
                self.story.said = Some(now);
                None
            }
            Act::Vanish => self.vanish(now),
            Act::HangUp => {
                self.end = Some(End::HungUp);
                None
            }
        }
    }

    fn settle(&mut self, now: Instant) -> Option<String> {
        let is_greeted = self.playout.spoken(now).is_some() && self.playout.is_quiet(now, PAUSE);
        let is_silent = self.playout.spoken(now).is_none() && now >= self.began + GREETING_MAX;
        (!is_greeted && !is_silent).then(|| self.noise())
    }

    fn say(&mut self, turn: TurnId) -> Option<String> {
        let said = if let Stage::Saying(said) = self.stage { said } else { 0 };
        let recordings = Arc::clone(&self.recordings);
        let turn = &recordings.calls[turn.call][turn.turn];
        let Some(payload) = turn.frames.get(said) else {
            self.story.said = Some(self.said(turn, turn.end));
            return None;
        };
        self.stage = Stage::Saying(said + 1);
        Some(self.media(payload))
    }

    /// When a sample of the turn that was just said sounded.
    fn said(&self, turn: &Turn, sample: usize) -> Instant {
        self.at(self.frames - turn.frames.len() as u64, sample)
    }

    fn interrupt(&mut self, turn: TurnId, now: Instant) -> Option<String> {
        if let Stage::Saying(_) = self.stage {
            return self.say(turn);
        }
        if let Some(noise) = self.wait_for_middle(now) {
            return Some(noise);
        }
        if self.end.is_some() {
            return None;
        }
        let onset = self.recordings.calls[turn.call][turn.turn].onset;
        self.story.barge_in = Some(self.at(self.frames, onset));
        self.story.said = None;
        self.say(turn)
    }

    fn vanish(&mut self, now: Instant) -> Option<String> {
        let noise = self.wait_for_middle(now);
        if noise.is_none() {
            self.end.get_or_insert(End::Vanished);
        }
        noise
    }

    /// Waits until the answer has been heard for a while; `None` then.
    fn wait_for_middle(&mut self, now: Instant) -> Option<String> {
        let is_answered = self.story.said.is_none();
        let begun = self.playout.spoken(now).filter(|_| is_answered).map(|(from, _)| from);
        if begun.is_some_and(|from| now >= from + INTERRUPT_AFTER) {
            return None;
        }
        self.wait(now)
    }

    fn hear(&mut self, now: Instant) -> Option<String> {
        let is_answered = self.story.said.is_none();
        if is_answered && self.playout.is_quiet(now, PAUSE) {
            return None;
        }
        self.wait(now)
    }

    /// A quiet frame, unless the caller has waited too long.
    fn wait(&mut self, now: Instant) -> Option<String> {
        let since = if let Stage::Waiting(since) = self.stage { since } else { now };
        self.stage = Stage::Waiting(since);
        if now >= since + ANSWER_MAX {
            self.end = Some(End::Failed("no answer"));
            return None;
        }
        Some(self.noise())
    }

    fn probe(&mut self, count: u32, now: Instant, tally: &mut Tally) -> Option<String> {
        let left = *self.story.probes_left.get_or_insert(count);
        if left == 0 {
            self.story.probes_left = None;
            return None;
        }
        match self.stage {
            Stage::Probing { place, frame, at } if frame < PROBE_FRAMES => {
                self.stage = Stage::Probing { place, frame: frame + 1, at };
                let recordings = Arc::clone(&self.recordings);
                return Some(self.media(recordings.probe(place, frame)));
            }
            Stage::Probing { at, .. } => self.await_burst(left, at, now, tally),
            Stage::Begin | Stage::Waiting(_) | Stage::Saying(_) => {
                if self.frames.is_multiple_of(GRID_FRAMES) && self.playout.is_quiet(now, PAUSE) {
                    return Some(self.begin_probe());
                }
                return self.wait(now);
            }
        }
        Some(self.noise())
    }

    fn begin_probe(&mut self) -> String {
        let place = sound::place_in(self.frames);
        let at = self.at(self.frames, sound::offset(place));
        self.stage = Stage::Probing { place, frame: 1, at };
        let recordings = Arc::clone(&self.recordings);
        self.media(recordings.probe(place, 0))
    }

    fn await_burst(&mut self, left: u32, at: Instant, now: Instant, tally: &mut Tally) {
        let heard = self.playout.burst(at, now);
        if heard.is_none() && now < at + PROBE_MAX {
            return;
        }
        tally.losses.probes += 1;
        match heard {
            Some(heard) => tally.heard.added_delay.record(heard.duration_since(at)),
            None => tally.losses.probes_lost += 1,
        }
        self.story.probes_left = Some(left - 1);
        self.stage = Stage::Begin;
    }

    fn noise(&mut self) -> String {
        let recordings = Arc::clone(&self.recordings);
        self.media(recordings.noise(self.frames))
    }

    fn media(&mut self, payload: &str) -> String {
        self.writer.media(self.frames * FRAME_TIME.as_millis() as u64, payload)
    }
}

#[cfg(test)]
mod tests;
