//! One reply on its way from the language model's text to speech. Starts no job itself: it tells what to say next.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::sentence::Splitter;
use super::spoken::Flow;
use crate::audio::Rate;

/// Text taken of one reply, characters: four minutes of speech. A model that writes more does not talk to a caller.
const TEXT_MAX: usize = 4_000;

/// Speech given of one reply, samples: six minutes, for the longest text by a slow voice.
const AUDIO_MAX: usize = 360 * Rate::MODEL_OUT.0 as usize;

/// Speech given of one sentence, samples: a minute, four times what the longest one takes.
const SENTENCE_MAX: usize = 60 * Rate::MODEL_OUT.0 as usize;

/// Speech given before it can be heard. With the sentence that is asked for then it is no more than the two minutes
/// that the call keeps waiting to be played.
const AHEAD_MAX: Duration = Duration::from_secs(60);

/// A sentence that could not be spoken is tried once more.
const ATTEMPTS_MAX: u32 = 2;

/// A reply.
#[derive(Debug)]
pub(super) struct Reply {
    splitter: Splitter,
    /// Not spoken yet.
    sentences: VecDeque<String>,
    text_len: usize,
    /// Samples given.
    audio_len: usize,
    /// When the first of them was given.
    begun_at: Option<Instant>,
    text: Text,
    /// What was spoken or began to be: told to the model that is to go on after a failure.
    said: String,
    mouth: Mouth,
}

/// What becomes of a piece of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// More is wanted.
    More,
    /// No more is wanted.
    Enough,
    /// All before it is not to be spoken, nor to be heard any more; more is wanted.
    Retracted { was_audible: bool },
}

/// How far the text has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text {
    Coming,
    Whole,
    /// The model failed, or stopped, after these words.
    Short(Short),
}

/// Why a reply is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Short {
    /// The model failed.
    BrokenOff,
    /// The model may not write more in one answer.
    AtLimit,
}

#[derive(Debug)]
enum Mouth {
    Silent,
    /// The sentence that is being spoken.
    Speaking(Spoken),
    /// It failed and is to be spoken again.
    Again(Spoken),
}

#[derive(Debug)]
struct Spoken {
    text: String,
    attempt: u32,
    /// Samples given in this attempt.
    audio_len: usize,
    is_announced: bool,
}

/// What is to be given out before the audio that came.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Spoke {
    /// It is the first audio of the reply.
    pub(super) begins: bool,
    /// It is the first audio of this sentence.
    pub(super) sentence: Option<String>,
}

impl Reply {
    pub(super) const fn new() -> Self {
        Self {
            splitter: Splitter::new(),
            sentences: VecDeque::new(),
            text_len: 0,
            audio_len: 0,
            begun_at: None,
            text: Text::Coming,
            said: String::new(),
            mouth: Mouth::Silent,
        }
    }

    /// Takes the next piece of text.
    pub(super) fn handle_text(&mut self, text: &str) -> Taken {
        let room = TEXT_MAX - self.text_len;
        let fitting = text.char_indices().nth(room).map_or(text, |(end, _)| &text[..end]);
        self.text_len += fitting.chars().count();
        match self.splitter.push(fitting, &mut self.sentences) {
            Flow::Retract => self.retract(),
            Flow::On if self.text_len < TEXT_MAX => Taken::More,
            Flow::On => Taken::Enough,
        }
    }

    /// What was spoken, or is being spoken, was a thought.
    fn retract(&mut self) -> Taken {
        let was_audible = self.is_audible();
        (self.mouth, self.audio_len, self.begun_at) = (Mouth::Silent, 0, None);
        self.said.clear();
        Taken::Retracted { was_audible }
    }

    /// No more text comes.
    pub(super) fn finish_text(&mut self) {
        self.text = Text::Whole;
        let _ = self.splitter.finish(&mut self.sentences);
    }

    /// The model failed or stopped: its whole sentences are spoken, the one that has no end is not. Of a model at its
    /// limit that one is spoken if there is no other: asked again, it would come no further.
    pub(super) fn break_off(&mut self, short: Short) {
        self.text = Text::Short(short);
        if short == Short::AtLimit && !self.has_words() {
            let _ = self.splitter.finish(&mut self.sentences);
        }
        self.splitter = Splitter::new();
    }

    /// Why a reply is not whole, and the words of it, for the model that is to go on.
    pub(super) fn short(&self) -> Option<(Short, &str)> {
        match self.text {
            Text::Short(short) => Some((short, self.said.trim_end())),
            Text::Coming | Text::Whole => None,
        }
    }

    /// Whether there is, or was, anything to say.
    pub(super) fn has_words(&self) -> bool {
        !self.sentences.is_empty() || self.audio_len > 0 || !matches!(self.mouth, Mouth::Silent)
    }

    /// The sentence to speak next; to be asked when nothing is being spoken.
    pub(super) fn next_sentence(&mut self) -> Option<String> {
        let spoken = match std::mem::replace(&mut self.mouth, Mouth::Silent) {
            Mouth::Again(spoken) | Mouth::Speaking(spoken) => Spoken { audio_len: 0, ..spoken },
            Mouth::Silent => {
                let text = self.sentences.pop_front()?;
                self.said.push_str(&text);
                self.said.push(' ');
                Spoken { text, attempt: 1, audio_len: 0, is_announced: false }
            }
        };
        let text = spoken.text.clone();
        self.mouth = Mouth::Speaking(spoken);
        Some(text)
    }

    /// Audio of the sentence came; what of it is beyond the bounds is cut off.
    pub(super) fn handle_audio(&mut self, samples: &mut Vec<i16>, now: Instant) -> Option<Spoke> {
        let Mouth::Speaking(spoken) = &mut self.mouth else { return None };
        let room = SENTENCE_MAX.saturating_sub(spoken.audio_len);
        samples.truncate(room.min(AUDIO_MAX - self.audio_len));
        if samples.is_empty() {
            return None;
        }
        let begins = self.audio_len == 0;
        self.begun_at.get_or_insert(now);
        self.audio_len += samples.len();
        spoken.audio_len += samples.len();
        let is_announced = std::mem::replace(&mut spoken.is_announced, true);
        Some(Spoke { begins, sentence: (!is_announced).then(|| spoken.text.clone()) })
    }

    /// All audio of the sentence came; `false` if there was none.
    pub(super) fn handle_spoken(&mut self) -> bool {
        let is_silent = matches!(&self.mouth, Mouth::Speaking(spoken) if spoken.audio_len == 0);
        if !is_silent {
            self.mouth = Mouth::Silent;
        }
        !is_silent
    }

    /// The sentence could not be spoken; `false` if it was tried often enough.
    pub(super) fn handle_failure(&mut self) -> bool {
        if let Mouth::Speaking(spoken) = std::mem::replace(&mut self.mouth, Mouth::Silent)
            && spoken.attempt < ATTEMPTS_MAX
        {
            self.mouth = Mouth::Again(Spoken { attempt: spoken.attempt + 1, ..spoken });
            return true;
        }
        false
    }

    /// Whether any audio was given.
    pub(super) const fn is_audible(&self) -> bool {
        self.audio_len > 0
    }

    /// Whether as much audio was given as one reply may have.
    pub(super) const fn is_full(&self) -> bool {
        self.audio_len >= AUDIO_MAX
    }

    /// Whether as much audio was given as one sentence may have.
    pub(super) const fn is_sentence_full(&self) -> bool {
        matches!(&self.mouth, Mouth::Speaking(spoken) if spoken.audio_len >= SENTENCE_MAX)
    }

    /// When the next sentence is to be spoken: not long before it can be heard.
    pub(super) fn next_at(&self) -> Option<Instant> {
        let given = Duration::from_millis(Rate::MODEL_OUT.millis(self.audio_len as u64));
        Some(self.begun_at? + given.checked_sub(AHEAD_MAX)?)
    }

    /// Whether a sentence waits for [`Reply::next_at`].
    pub(super) fn has_next(&self) -> bool {
        !self.sentences.is_empty() || matches!(self.mouth, Mouth::Again(_))
    }

    /// Whether all audio was given.
    pub(super) fn is_over(&self) -> bool {
        self.text != Text::Coming && self.sentences.is_empty() && matches!(self.mouth, Mouth::Silent)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_reply_without_end_is_cut() {
        let mut reply = Reply::new();
        let mut count = 0;
        while reply.handle_text("All work and no play makes a dull boy. ") == Taken::More {
            count += 1;
        }
        assert_eq!(count, 4000 / 39);
        assert_eq!(reply.handle_text("More."), Taken::Enough);
        reply.finish_text();
        assert!(reply.sentences.iter().map(String::len).sum::<usize>() <= TEXT_MAX);
    }

    #[test]
    fn speech_without_end_is_cut() {
        let mut reply = Reply::new();
        reply.handle_text("A short line\n");
        assert_eq!(reply.next_sentence().as_deref(), Some("A short line"));
        let mut given = 0;
        while !reply.is_sentence_full() {
            let mut samples = vec![1; 100_000];
            reply.handle_audio(&mut samples, Instant::now());
            given += samples.len();
        }
        assert_eq!(given, SENTENCE_MAX);
        assert_eq!(reply.handle_audio(&mut vec![1; 100], Instant::now()), None);
    }

    #[rstest]
    #[case::a_failure(Short::BrokenOff)]
    #[case::a_limit(Short::AtLimit)]
    fn a_reply_that_breaks_off_keeps_its_whole_sentences(#[case] short: Short) {
        let mut reply = Reply::new();
        reply.handle_text("We have a room. It costs ninety eu");
        reply.break_off(short);
        assert_eq!(reply.next_sentence().as_deref(), Some("We have a room."));
        assert!(reply.handle_audio(&mut vec![1], Instant::now()).is_some() && reply.handle_spoken());
        assert_eq!((reply.next_sentence(), reply.is_over()), (None, true));
        assert_eq!(reply.short(), Some((short, "We have a room.")));
    }

    #[rstest]
    #[case::a_failure(Short::BrokenOff, None)]
    #[case::a_limit(Short::AtLimit, Some("We have a room for"))]
    fn a_reply_without_a_whole_sentence_is_spoken_if_the_model_may_not_write_more(
        #[case] short: Short,
        #[case] expected: Option<&str>,
    ) {
        let mut reply = Reply::new();
        reply.handle_text("We have a room for");
        reply.break_off(short);
        assert_eq!(reply.has_words(), expected.is_some());
        assert_eq!(reply.next_sentence().as_deref(), expected);
    }

    #[test]
    fn a_sentence_is_announced_once_and_tried_twice() {
        let mut reply = Reply::new();
        reply.handle_text("One thing.");
        reply.finish_text();
        assert!(reply.next_sentence().is_some());
        let first = Spoke { begins: true, sentence: Some("One thing.".into()) };
        assert_eq!(reply.handle_audio(&mut vec![1], Instant::now()), Some(first));
        assert!(reply.handle_failure());
        assert!(!reply.is_over());
        assert_eq!(reply.next_sentence().as_deref(), Some("One thing."));
        let second = Spoke { begins: false, sentence: None };
        assert_eq!(reply.handle_audio(&mut vec![1], Instant::now()), Some(second));
        assert!(!reply.handle_failure());
        assert!(reply.is_over());
    }
}
