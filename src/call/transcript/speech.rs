//! One turn while it may still get words: the caller's as they are transcribed, the agent's with the places in its audio
//! to which they belong.

use std::borrow::Cow;
use std::time::Instant;

use super::words::{self, Before};
use crate::audio::Rate;
use crate::call::record::{Ledger, Turn};
use crate::call::uplink::Speech;
use crate::dialogue::Speaker;

/// Line samples per character of speech, about 15 characters a second: how long a text takes that runs ahead of
/// its audio. Only used for a turn that is cut before the model had produced all of its audio.
const SAMPLES_PER_CHAR: u64 = Rate::LINE.0 as u64 / 15;

/// Text kept of one turn, bytes. A peer that sends more is not speaking: the rest is cut off.
pub(super) const TEXT_MAX: usize = 64 * 1024;

/// The text of one turn.
#[derive(Debug, Default)]
pub(super) struct Text {
    pub(super) text: String,
    /// The last fragment as it came.
    last: String,
    is_full: bool,
}

impl Text {
    /// Adds a fragment; `true` if it is the first that does not fit.
    pub(super) fn add(&mut self, more: &str, is_later: bool, is_apart: bool) -> bool {
        if self.is_full {
            return false;
        }
        let before = Before { text: &self.text, last: &self.last, is_later, is_apart };
        let added = words::added(before, more).into_owned();
        self.append(&added);
        self.last.clear();
        self.last.push_str(&more[..more.floor_char_boundary(TEXT_MAX)]);
        self.is_full
    }

    /// Adds as much of a text as there is room for.
    fn append(&mut self, more: &str) {
        let room = TEXT_MAX.saturating_sub(self.text.len());
        self.is_full |= more.len() > room;
        self.text.push_str(&more[..more.floor_char_boundary(room)]);
    }
}

/// Words of the caller.
#[derive(Debug)]
pub(super) struct CallerTurn {
    pub(super) words: Text,
    pub(super) speech: Speech,
    /// The words were not said before this.
    pub(super) earliest: Instant,
    /// Words may still come until then; `None` while nobody answers.
    pub(super) until: Option<Instant>,
}

impl CallerTurn {
    pub(super) fn ended(&self) -> Instant {
        self.speech.ended.max(self.speech.started)
    }

    pub(super) fn turn(&self, ledger: &Ledger) -> Turn {
        Turn {
            speaker: Speaker::Caller,
            text: self.words.text.trim().to_owned(),
            started_at: ledger.wall(self.speech.started),
            ended_at: ledger.wall(self.ended()),
            interrupted: false,
            latency_ms: None,
        }
    }
}

/// A turn of the agent. Positions are those of its speech, line samples.
#[derive(Debug)]
pub(super) struct AgentTurn {
    pub(super) words: Text,
    /// Where stretches of the text begin: bytes of the text, and the position at which they came.
    marks: Vec<(usize, u64)>,
    pub(super) start: u64,
    /// `None` while audio is coming.
    pub(super) end: Option<u64>,
    /// When its first audio came; `None` while there is only text.
    pub(super) spoke: Option<Spoke>,
    /// When and how it was over for the caller.
    pub(super) heard: Option<Heard>,
    pub(super) open: Openness,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Spoke {
    pub(super) at: Instant,
    pub(super) latency_ms: Option<u64>,
    /// The caller's speech that it answers.
    pub(super) answers: Option<Speech>,
}

/// What the caller heard of a turn, in the end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    pub(super) at: Instant,
    /// Position up to which.
    pub(super) position: u64,
    pub(super) is_cut: bool,
    /// Position up to which audio had come.
    pub(super) received: u64,
}

/// Whether words may still come to a turn whose audio is complete.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Openness {
    /// When its audio was complete.
    pub(super) finished: Option<Instant>,
    /// The service has said that the turn is over.
    pub(super) is_over: bool,
    /// The model was asked for something new since.
    pub(super) is_followed: bool,
    /// Words may come until then.
    pub(super) until: Option<Instant>,
    /// The last words that came after the audio: from which byte on, since when, until when.
    late: Option<(usize, Instant)>,
}

impl AgentTurn {
    pub(super) fn new(start: u64) -> Self {
        Self {
            words: Text::default(),
            marks: Vec::new(),
            start,
            end: None,
            spoke: None,
            heard: None,
            open: Openness::default(),
        }
    }

    /// Whether audio and words of the running answer are its own.
    pub(super) const fn is_running(&self) -> bool {
        self.end.is_none() && self.heard.is_none()
    }

    /// Adds words that came at this position; `true` if they are the first that do not fit.
    pub(super) fn say(&mut self, more: &str, position: u64, now: Instant) -> bool {
        let at = self.words.text.len();
        let is_late = !self.is_running();
        let is_first_late = is_late && self.open.late.is_none();
        let has_advanced = self.marks.last().is_some_and(|(_, last)| *last < position);
        // The agent says no sentence again without a space: only of its last words the audio can tell.
        let is_later = has_advanced && !self.words.text.trim().eq_ignore_ascii_case(more.trim());
        let is_too_long = self.words.add(more, is_later, is_first_late);
        if self.words.text.len() > at && self.marks.last().is_none_or(|(_, last)| *last != position) {
            self.marks.push((at, position));
        }
        if is_late {
            let since =
                self.open.late.filter(|(_, since)| now.saturating_duration_since(*since) <= super::AHEAD_MAX);
            self.open.late = Some(since.unwrap_or((at, now)));
        }
        is_too_long
    }

    /// Adds words that are spoken from this position on.
    pub(super) fn read(&mut self, text: &str, position: u64) {
        self.marks.push((self.words.text.len(), position));
        self.words.append(text);
    }

    /// The words that came after its audio are its own.
    pub(super) const fn keep_late(&mut self) {
        self.open.late = None;
    }

    /// Takes away the words that came only just, after its audio: they are of the audio that comes now.
    pub(super) fn take_ahead(&mut self, now: Instant) -> Option<String> {
        let (at, since) = self.open.late.take()?;
        if at == 0 || now.saturating_duration_since(since) > super::AHEAD_MAX {
            return None;
        }
        self.marks.retain(|(mark, _)| *mark < at);
        Some(self.words.text.split_off(at))
    }

    /// `None` if nothing of it was heard: words that were only generated are not in the log.
    pub(super) fn turn(&self, ledger: &Ledger) -> Option<Turn> {
        let heard = self.heard?;
        let spoke = self.spoke.filter(|_| heard.position > self.start)?;
        Some(Turn {
            speaker: Speaker::Agent,
            text: self.heard_text(heard.position).trim().to_owned(),
            started_at: ledger.wall(spoke.at),
            ended_at: ledger.wall(heard.at),
            interrupted: heard.is_cut,
            latency_ms: spoke.latency_ms,
        })
    }

    /// The words up to position `heard`: each stretch of text is spread evenly over its audio and cut between
    /// words. Text that came when all its audio had come belongs to the last stretch before.
    pub(super) fn heard_text(&self, heard: u64) -> Cow<'_, str> {
        let heard = self.heard.map_or(heard, |known| known.position.min(heard));
        let received = self.end.or_else(|| self.heard.map(|known| known.received));
        let mut marks: Vec<_> = self.marks.clone();
        marks.retain(|(_, at)| received.is_none_or(|received| *at < received));
        match marks.first_mut() {
            Some(first) if first.0 == 0 => {}
            Some(_) | None => marks.insert(0, (0, self.start)),
        }
        let text = &self.words.text;
        if self.end.is_some_and(|end| heard >= end) {
            return text.as_str().into();
        }
        let mut shown = String::new();
        for (index, &(from, at)) in marks.iter().enumerate() {
            let next = marks.get(index + 1);
            let stretch = &text[from..next.map_or(text.len(), |(to, _)| *to)];
            let end = next.map_or_else(|| self.end_of(at, stretch), |(_, at)| *at);
            shown.push_str(cut(stretch, heard.saturating_sub(at), end.saturating_sub(at)));
        }
        shown.into()
    }

    /// Where the last stretch of text ends: with the audio, or, if not all audio had come, where it should.
    fn end_of(&self, at: u64, words: &str) -> u64 {
        self.end.unwrap_or_else(|| at + words.chars().count() as u64 * SAMPLES_PER_CHAR)
    }
}

/// The part of `words` that was heard when `heard` of `total` samples were, cut after a whole word.
pub(super) fn cut(words: &str, heard: u64, total: u64) -> &str {
    if heard >= total {
        return words;
    }
    let chars = words.chars().count() as u64 * heard / total;
    let end = words.char_indices().nth(chars as usize).map_or(words.len(), |(index, _)| index);
    match words[..end].rfind(char::is_whitespace) {
        Some(space) => &words[..space],
        None => "",
    }
}
