//! What the caller said, from utterances to words: what waits for speech to text, what is under way, what is
//! understood. Knows nothing of replies, and starts no job itself.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ear::{Utterance, duration};
use super::heard;
use crate::audio::Rate;

/// Speech that may wait while an utterance is transcribed. Only reached if that takes a minute.
const WAITING_MAX: usize = 60 * Rate::LINE.0 as usize;

/// What waits is transcribed together up to this length, which speech services take in one request.
const TOGETHER_MAX: usize = 30 * Rate::LINE.0 as usize;

/// Text kept of what the caller said, bytes: ten times what is said in the longest utterance.
const TEXT_MAX: usize = 8 * 1024;

/// An utterance is tried this often, if more is said meanwhile.
const ATTEMPTS_MAX: u32 = 2;

/// Writes down what one caller says.
#[derive(Debug, Default)]
pub(super) struct Scribe {
    /// Oldest first.
    waiting: VecDeque<Utterance>,
    current: Option<Current>,
    /// In a row.
    failures: u32,
    said: Option<Said>,
}

#[derive(Debug)]
struct Current {
    utterance: Utterance,
    text: String,
}

/// Words of the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) text: String,
    pub(super) started: Instant,
    pub(super) ended: Instant,
}

/// What becomes of an utterance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its words came, or it is tried again with what is said next.
    Fine,
    /// It was transcribed, and there is no word in it.
    Wordless,
    /// It could not be transcribed, and is lost.
    Misheard,
}

impl Scribe {
    /// Takes an utterance; tells how much had to be thrown away for it, the oldest first.
    pub(super) fn push(&mut self, utterance: Utterance) -> Duration {
        self.waiting.push_back(utterance);
        let mut lost = 0;
        while self.waiting.len() > 1 && self.waiting_len() > WAITING_MAX {
            lost += self.waiting.pop_front().map_or(0, |utterance| utterance.samples.len() as u64);
        }
        duration(lost)
    }

    /// What is to be transcribed now, if nothing is under way.
    pub(super) fn next(&mut self) -> Option<Arc<[i16]>> {
        if self.current.is_some() {
            return None;
        }
        let mut utterance = self.waiting.pop_front()?;
        let fits = |one: &Utterance, next: &Utterance| one.samples.len() + next.samples.len() <= TOGETHER_MAX;
        while let Some(next) = self.waiting.pop_front_if(|next| fits(&utterance, next)) {
            utterance.samples.extend(next.samples);
            utterance.ended = next.ended;
        }
        let samples = Arc::from(&*utterance.samples);
        self.current = Some(Current { utterance, text: String::new() });
        Some(samples)
    }

    /// Words of the utterance under way.
    pub(super) fn handle_text(&mut self, text: &str) {
        if let Some(current) = &mut self.current {
            append(&mut current.text, text);
        }
    }

    /// All words of the utterance under way came.
    pub(super) fn handle_done(&mut self) -> Verdict {
        self.failures = 0;
        let Some(Current { utterance, text }) = self.current.take() else { return Verdict::Fine };
        let text = heard::words(&text);
        if !has_words(&text) {
            return Verdict::Wordless;
        }
        self.add(Said { text, started: utterance.started, ended: utterance.ended });
        Verdict::Fine
    }

    /// The utterance under way could not be transcribed. If the caller `is_speaking` already, nobody is asked to
    /// repeat: it is tried again together with what comes.
    pub(super) fn handle_failure(&mut self, is_speaking: bool) -> Verdict {
        let Some(current) = self.current.take_if(|current| !has_words(&heard::words(&current.text))) else {
            return self.handle_done();
        };
        self.failures += 1;
        if (is_speaking || !self.waiting.is_empty()) && self.failures < ATTEMPTS_MAX {
            self.waiting.push_front(current.utterance);
            return Verdict::Fine;
        }
        self.failures = 0;
        Verdict::Misheard
    }

    /// Adds words to what was understood; a text without any word changes nothing.
    pub(super) fn add(&mut self, said: Said) {
        if !has_words(&said.text) {
            return;
        }
        let text = said.text.trim();
        match &mut self.said {
            Some(before) => {
                append(&mut before.text, " ");
                append(&mut before.text, text);
                before.ended = said.ended.max(before.ended);
            }
            None => self.said = Some(Said { text: text.to_owned(), ..said }),
        }
    }

    /// What was understood and not told yet.
    pub(super) fn take_said(&mut self) -> Option<Said> {
        self.said.take()
    }

    /// Whether words may still come of what was said.
    pub(super) fn is_busy(&self) -> bool {
        self.current.is_some() || !self.waiting.is_empty()
    }

    /// Whether words were understood that were not told yet.
    pub(super) const fn has_said(&self) -> bool {
        self.said.is_some()
    }

    fn waiting_len(&self) -> usize {
        self.waiting.iter().map(|utterance| utterance.samples.len()).sum()
    }
}

/// Appends as much as fits into [`TEXT_MAX`].
fn append(text: &mut String, more: &str) {
    let room = TEXT_MAX.saturating_sub(text.len());
    text.push_str(&more[..more.floor_char_boundary(room)]);
}

fn has_words(text: &str) -> bool {
    text.contains(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utterance(seconds: usize) -> Utterance {
        let now = Instant::now();
        let samples = vec![seconds as i16; seconds * 8000];
        Utterance { samples, started: now, ended: now, voiced: Duration::ZERO, is_kept: false }
    }

    fn text(scribe: &mut Scribe) -> Option<String> {
        scribe.take_said().map(|said| said.text)
    }

    #[test]
    fn what_waits_is_transcribed_together_in_order_and_not_too_much_of_it() {
        let mut scribe = Scribe::default();
        scribe.push(utterance(1));
        assert_eq!(scribe.next().unwrap().len(), 8000);
        for seconds in [2, 3, 26] {
            assert_eq!(scribe.push(utterance(seconds)), Duration::ZERO);
        }
        assert_eq!(scribe.next(), None, "one at a time");
        let _ = scribe.handle_done();
        let together = scribe.next().unwrap();
        assert_eq!((together.len(), together[0], together[5 * 8000 - 1]), (5 * 8000, 2, 3));
        scribe.handle_done();
        assert_eq!(scribe.next().unwrap().len(), 26 * 8000);
    }

    #[test]
    fn what_cannot_be_kept_is_counted() {
        let mut scribe = Scribe::default();
        assert_eq!(scribe.push(utterance(30)), Duration::ZERO);
        assert_eq!(scribe.push(utterance(30)), Duration::ZERO);
        assert_eq!(scribe.push(utterance(1)), Duration::from_secs(30));
    }

    #[test]
    fn words_are_joined_until_they_are_taken() {
        let (mut scribe, now) = (Scribe::default(), Instant::now());
        for text in ["Hello ", "", " ... ", "there."] {
            scribe.add(Said { text: text.into(), started: now, ended: now });
        }
        assert_eq!(text(&mut scribe).as_deref(), Some("Hello there."));
        assert_eq!(text(&mut scribe), None);
        for _ in 0..3 {
            scribe.add(Said { text: "ä".repeat(5000), started: now, ended: now });
        }
        assert!(text(&mut scribe).unwrap().len() <= 10_000);
    }

    #[test]
    fn a_failure_is_misheard_unless_more_is_said() {
        let mut scribe = Scribe::default();
        scribe.push(utterance(1));
        scribe.next();
        assert_eq!(scribe.handle_failure(false), Verdict::Misheard);
        assert!(!scribe.is_busy());

        let mut scribe = Scribe::default();
        scribe.push(utterance(1));
        scribe.next();
        assert_eq!(scribe.handle_failure(true), Verdict::Fine);
        scribe.push(utterance(30));
        assert_eq!(scribe.next().unwrap().len(), 8000, "again, and alone");
        assert_eq!(scribe.handle_failure(true), Verdict::Misheard, "and not for ever");
        assert_eq!(scribe.next().unwrap().len(), 30 * 8000);
        scribe.handle_done();

        scribe.push(utterance(1));
        scribe.next();
        assert_eq!(scribe.handle_failure(true), Verdict::Fine);
        scribe.push(utterance(2));
        assert_eq!(scribe.next().unwrap().len(), 3 * 8000);
        scribe.handle_done();
        scribe.push(utterance(1));
        scribe.next();
        scribe.handle_text("[BLANK_AUDIO]");
        assert_eq!((scribe.handle_done(), text(&mut scribe)), (Verdict::Wordless, None));
        scribe.push(utterance(1));
        scribe.next();
        scribe.handle_text("Words");
        assert_eq!(scribe.handle_failure(false), Verdict::Fine);
        assert_eq!(text(&mut scribe).as_deref(), Some("Words"));
    }
}
