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
                if wants_space(&line.text, text) {
                    line.text.push(' ');
                    self.text_len += 1;
                }
                line.text.push_str(text);
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

/// Whether two stretches of speech are to be written with a space between them: not where one is, not before
/// punctuation or behind an opening bracket, and not in scripts that have none.
pub fn wants_space(before: &str, after: &str) -> bool {
    let (Some(end), Some(begin)) = (before.chars().next_back(), after.chars().next()) else { return false };
    let is_there = end.is_whitespace() || begin.is_whitespace();
    let is_open = matches!(
        end,
        '(' | '[' | '{' | '¿' | '¡' | '“' | '‘' | '«' | '-' | '–' | '/' | '\'' | '’' | '@' | '#'
    );
    let is_close = matches!(
        begin,
        '.' | ',' | '!' | '?' | ';' | ':' | ')' | ']' | '}' | '%' | '…' | '\'' | '’' | '”' | '»' | '-' | '/'
    );
    !is_there && !is_open && !is_close && !is_unspaced(end) && !is_unspaced(begin)
}

/// Scripts whose words stand without spaces, and their punctuation: Thai, Lao, Myanmar, Khmer, Han, kana, and the forms
/// that are as wide as these.
const fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{0E00}'..='\u{0EFF}'
        | '\u{1000}'..='\u{109F}'
        | '\u{1780}'..='\u{17FF}'
        | '\u{2E80}'..='\u{312F}'
        | '\u{31A0}'..='\u{9FFF}'
        | '\u{F900}'..='\u{FAFF}'
        | '\u{FF00}'..='\u{FFEF}'
        | '\u{20000}'..='\u{3FFFF}')
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("Hi,", "where?", true)]
    #[case("Hi ", "there", false)]
    #[case("Hi", " there", false)]
    #[case("Hi", "!", false)]
    #[case("(", "so", false)]
    #[case("你好", "我是", false)]
    #[case("สวัสดี", "ครับ", false)]
    #[case("こんにちは。", "はい", false)]
    #[case("안녕하세요", "네", true)]
    #[case("", "x", false)]
    fn stretches_are_parted_where_the_script_parts_them(
        #[case] a: &str,
        #[case] b: &str,
        #[case] expected: bool,
    ) {
        assert_eq!(wants_space(a, b), expected);
    }

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
