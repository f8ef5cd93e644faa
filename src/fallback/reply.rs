//! One reply on its way from the language model's text to speech. Starts no job itself: it tells what to say next.

use std::collections::VecDeque;

use super::sentence::Splitter;
use crate::audio::Rate;

/// Text taken of one reply, characters: four minutes of speech. A model that writes more does not talk to a caller.
const TEXT_MAX: usize = 4_000;

/// Speech given of one reply, samples: the two minutes that may wait to be played.
const AUDIO_MAX: usize = 120 * Rate::MODEL_OUT.0 as usize;

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
    is_thought_out: bool,
    mouth: Mouth,
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
            is_thought_out: false,
            mouth: Mouth::Silent,
        }
    }

    /// Takes the next piece of text; `false` if no more is wanted.
    pub(super) fn handle_text(&mut self, text: &str) -> bool {
        let room = TEXT_MAX - self.text_len;
        let fitting = text.char_indices().nth(room).map_or(text, |(end, _)| &text[..end]);
        self.text_len += fitting.chars().count();
        self.splitter.push(fitting, &mut self.sentences);
        self.text_len < TEXT_MAX
    }

    /// No more text comes.
    pub(super) fn finish_text(&mut self) {
        self.is_thought_out = true;
        self.splitter.finish(&mut self.sentences);
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
                Spoken { text, attempt: 1, audio_len: 0, is_announced: false }
            }
        };
        let text = spoken.text.clone();
        self.mouth = Mouth::Speaking(spoken);
        Some(text)
    }

    /// Audio of the sentence came; what of it is beyond the bound is cut off.
    pub(super) fn handle_audio(&mut self, samples: &mut Vec<i16>) -> Option<Spoke> {
        samples.truncate(AUDIO_MAX - self.audio_len);
        let Mouth::Speaking(spoken) = &mut self.mouth else { return None };
        if samples.is_empty() {
            return None;
        }
        let begins = self.audio_len == 0;
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

    /// Whether all audio was given.
    pub(super) fn is_over(&self) -> bool {
        self.is_thought_out && self.sentences.is_empty() && matches!(self.mouth, Mouth::Silent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_without_end_is_cut() {
        let mut reply = Reply::new();
        let mut count = 0;
        while reply.handle_text("All work and no play makes a dull boy. ") {
            count += 1;
        }
        assert_eq!(count, 4000 / 39);
        assert!(!reply.handle_text("More."));
        reply.finish_text();
        assert!(reply.sentences.iter().map(String::len).sum::<usize>() <= TEXT_MAX);
    }

    #[test]
    fn speech_without_end_is_cut() {
        let mut reply = Reply::new();
        reply.handle_text("A short line\n");
        assert_eq!(reply.next_sentence().as_deref(), Some("A short line"));
        let mut given = 0;
        while !reply.is_full() {
            let mut samples = vec![1; 100_000];
            reply.handle_audio(&mut samples);
            given += samples.len();
        }
        assert_eq!(given, AUDIO_MAX);
        assert_eq!(reply.handle_audio(&mut vec![1; 100]), None);
    }

    #[test]
    fn a_sentence_is_announced_once_and_tried_twice() {
        let mut reply = Reply::new();
        reply.handle_text("One thing.");
        reply.finish_text();
        assert!(reply.next_sentence().is_some());
        let first = Spoke { begins: true, sentence: Some("One thing.".into()) };
        assert_eq!(reply.handle_audio(&mut vec![1]), Some(first));
        assert!(reply.handle_failure());
        assert!(!reply.is_over());
        assert_eq!(reply.next_sentence().as_deref(), Some("One thing."));
        assert_eq!(reply.handle_audio(&mut vec![1]), Some(Spoke { begins: false, sentence: None }));
        assert!(!reply.handle_failure());
        assert!(reply.is_over());
    }
}
