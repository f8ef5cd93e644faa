//! What was said so far, as every model of a call is told it.
//!
//! One dialogue per call, whoever answers: so the agent knows what was said before and greets once.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Lines kept. A model that takes over needs the thread of the conversation, not its minutes.
const LINES_MAX: usize = 64;

/// Text kept, bytes: about four thousand tokens, which every model takes and no set-up is slowed by.
const TEXT_MAX: usize = 16 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    Caller,
    Agent,
}

impl Speaker {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Agent => "agent",
        }
    }
}

/// One stretch of one speaker's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub speaker: Speaker,
    /// Never empty: the caller's words as transcribed, the agent's as heard.
    pub text: String,
}

/// The newest lines of a call, speakers in turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dialogue {
    lines: VecDeque<Line>,
    text_len: usize,
}

impl Dialogue {
    /// Adds words; those of the same speaker as before are one line. The oldest lines give way.
    pub fn push(&mut self, speaker: Speaker, text: &str) {
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        self.text_len += text.len();
        match self.lines.back_mut().filter(|line| line.speaker == speaker) {
            Some(line) => {
                line.text.push(' ');
                line.text.push_str(text);
                self.text_len += 1;
            }
            None => self.lines.push_back(Line { speaker, text: text.to_owned() }),
        }
        while self.lines.len() > 1 && (self.lines.len() > LINES_MAX || self.text_len > TEXT_MAX) {
            self.text_len -= self.lines.pop_front().map_or(0, |line| line.text.len());
        }
    }

    /// The lines, oldest first.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &Line> + ExactSizeIterator {
        self.lines.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub fn last(&self) -> Option<&Line> {
        self.lines.back()
    }

    /// Without what the last speaker said: for a model that fails on it again and again.
    #[must_use]
    pub fn without_last(&self) -> Self {
        let mut shorter = self.clone();
        shorter.text_len -= shorter.lines.pop_back().map_or(0, |line| line.text.len());
        shorter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(dialogue: &Dialogue) -> Vec<&str> {
        dialogue.lines().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn words_of_one_speaker_are_one_line() {
        let mut dialogue = Dialogue::default();
        dialogue.push(Speaker::Agent, " Hello. ");
        dialogue.push(Speaker::Caller, "Hi,");
        dialogue.push(Speaker::Caller, "");
        dialogue.push(Speaker::Caller, "where is my order?");
        assert_eq!(texts(&dialogue), ["Hello.", "Hi, where is my order?"]);
        assert_eq!(texts(&dialogue.without_last()), ["Hello."]);
        assert!(Dialogue::default().without_last().is_empty());
    }

    #[test]
    fn the_oldest_lines_give_way_and_the_newest_is_always_there() {
        let mut dialogue = Dialogue::default();
        for n in 0..200 {
            let speaker = if n % 2 == 0 { Speaker::Agent } else { Speaker::Caller };
            dialogue.push(speaker, &n.to_string());
        }
        assert_eq!((dialogue.lines().len(), texts(&dialogue)[0]), (LINES_MAX, "136"));
        dialogue.push(Speaker::Agent, &"x".repeat(TEXT_MAX + 1));
        assert_eq!(dialogue.lines().len(), 1);
        dialogue.push(Speaker::Caller, "and?");
        assert_eq!(texts(&dialogue), ["and?"]);
    }
}
