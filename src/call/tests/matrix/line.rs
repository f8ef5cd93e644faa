//! The caller and the carrier: who speaks when, what the caller's buffer plays, and how long it is silent.

use std::collections::BTreeMap;

use super::*;
use crate::audio::g711;
use crate::id::MarkId;

/// What the caller hears, as a far buffer plays it.
#[derive(Default)]
pub(super) struct Playback {
    /// Stretches of sound, in order, milliseconds.
    sounds: Vec<(f64, f64)>,
    end: f64,
    marks: BTreeMap<u32, f64>,
}

impl Playback {
    pub(super) fn media(&mut self, frame: &Frame, now: f64) {
        let start = self.end.max(now);
        self.end = start + frame.samples().len() as f64 / 8.0;
        if frame.samples().iter().any(|sample| sample.unsigned_abs() > 16) {
            match self.sounds.last_mut().filter(|sound| sound.1 >= start - 0.01) {
                Some(sound) => sound.1 = self.end,
                None => self.sounds.push((start, self.end)),
            }
        }
    }

    /// When the mark will be reached.
    pub(super) fn mark(&mut self, mark: MarkId, now: f64) -> f64 {
        let at = self.end.max(now);
        self.marks.insert(mark.0, at);
        at
    }

    /// Empties the buffer; the marks in it come back at once.
    pub(super) fn clear(&mut self, now: f64) -> Vec<MarkId> {
        while self.sounds.pop_if(|sound| sound.0 >= now).is_some() {}
        if let Some(sound) = self.sounds.last_mut() {
            sound.1 = sound.1.min(now);
        }
        self.end = self.end.min(now);
        let cleared: Vec<_> = self.marks.iter().filter(|mark| *mark.1 > now).map(|mark| *mark.0).collect();
        self.marks.retain(|_, at| *at <= now);
        cleared.into_iter().map(MarkId).collect()
    }

    /// Whether a mark that was to be reached by now was: it was not cleared before.
    pub(super) fn reach(&mut self, mark: MarkId) -> bool {
        self.marks.remove(&mark.0).is_some()
    }

    pub(super) fn is_playing(&self, now: f64) -> bool {
        self.end > now
    }

    /// The longest stretch without a sound in `owed`, and where it begins.
    pub(super) fn longest_silence(&self, owed: (f64, f64)) -> (f64, f64) {
        let (mut silent_from, mut longest) = (owed.0, (0.0, owed.0));
        let inside = self.sounds.iter().filter(|sound| sound.1 > owed.0 && sound.0 < owed.1);
        for (start, end) in inside.copied().chain([(owed.1, owed.1)]) {
            if start - silent_from > longest.0 {
                longest = (start - silent_from, silent_from);
            }
            silent_from = silent_from.max(end);
        }
        longest
    }
}

/// The caller: speaks when nobody owes them anything, and answers when they were answered.
pub(super) struct Caller {
    /// Frames of the open utterance yet to come.
    left: u64,
    /// Utterances so far; the newest is number `count - 1`.
    pub(super) count: usize,
    /// Loud frames said of each.
    pub(super) said: Vec<u64>,
    /// The agent owes a word since then.
    owed_since: Option<f64>,
    /// The agent has said all it had to say.
    pub(super) is_answered: bool,
    quiet_since: f64,
    pub(super) owed: Vec<(f64, f64)>,
    pub(super) has_barged_in: bool,
}

impl Caller {
    /// `is_greeted`: the agent has the first word.
    pub(super) fn new(is_greeted: bool) -> Self {
        Self {
            left: 0,
            count: 0,
            said: Vec::new(),
            owed_since: is_greeted.then_some(0.0),
            is_answered: false,
            quiet_since: 0.0,
            owed: Vec::new(),
            has_barged_in: false,
        }
    }

    pub(super) fn is_speaking(&self) -> bool {
        self.left > 0
    }

    pub(super) fn is_owed(&self) -> bool {
        self.owed_since.is_some()
    }

    pub(super) fn speak(&mut self, ms: u64, now: f64) {
        self.settle(now);
        self.left = ms / 20;
        self.count += 1;
        self.said.push(0);
        self.is_answered = false;
    }

    /// The agent owes nothing from now on.
    pub(super) fn settle(&mut self, now: f64) {
        self.owed.extend(self.owed_since.take().map(|since| (since, now)));
        self.quiet_since = now;
    }

    /// The sample of the next 20 ms; `true` if they begin an utterance, or end one.
    pub(super) fn next(&mut self, playback: &Playback, now: f64) -> (i16, Edge) {
        if self.left > 0 {
            self.left -= 1;
            self.said[self.count - 1] += 1;
            let edge = if self.left == 0 { Edge::End } else { Edge::None };
            if self.left == 0 {
                self.owed_since = Some(now);
            }
            return (voice(self.count - 1), edge);
        }
        if self.is_answered && self.is_owed() && !playback.is_playing(now) {
            self.settle(now);
        }
        if self.is_owed() || playback.is_playing(now) {
            self.quiet_since = now;
        }
        let is_tired = self.owed_since.is_some_and(|since| now - since > 15_000.0);
        if is_tired || now - self.quiet_since >= 1000.0 {
            self.speak(if self.count == 0 { 2400 } else { 1200 }, now);
            return (0, Edge::Start);
        }
        (0, Edge::None)
    }

    /// The call is over.
    pub(super) fn hang_up(&mut self, now: f64) {
        self.settle(now);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Edge {
    None,
    Start,
    End,
}

/// Loud, and the same after mu-law.
pub(super) fn voice(utterance: usize) -> i16 {
    g711::decode(0x90 + (utterance % 32) as u8)
}

/// Which utterance a frame belongs to, by its middle.
pub(super) fn utterance(samples: &[i16]) -> Option<usize> {
    let middle = samples.get(samples.len() / 2).copied().unwrap_or_default();
    let near = |index: &usize| {
        (voice(*index).unsigned_abs().abs_diff(middle.unsigned_abs())) < voice(*index).unsigned_abs() / 90
    };
    (middle.unsigned_abs() > 2000).then(|| (0..32).find(near)).flatten()
}

/// The constant sample of a reply.
pub(super) fn tint(reply: usize) -> i16 {
    600 + 40 * (reply % 60) as i16
}

/// Whether a frame is of a reply alone, and of which.
pub(super) fn reply_of(samples: &[i16]) -> Option<usize> {
    let (first, last) = (*samples.first()?, *samples.last()?);
    let middle = samples[samples.len() / 2];
    let is_flat = samples.iter().all(|sample| sample.abs_diff(middle) < 12);
    let reply = (i32::from(middle) - 600 + 20).div_euclid(40);
    (is_flat && first.abs_diff(last) < 12 && (0..60).contains(&reply)).then_some(reply as usize)
}
