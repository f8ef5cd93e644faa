//! How fragments of a transcription become a text: which of them repeat what is there, and where a space is missing.
//!
//! Services send pieces of words with their own spaces (` my`, ` na`, `me`), whole sentences, or the text so far again
//! and again. So fragments are joined as they come, and a space is added only where none can be meant to be missing:
//! behind punctuation, and between stretches that did not come as one.

use std::borrow::Cow;

use crate::dialogue::wants_space;

/// From so many words, or so many characters, on a repetition is taken for one of the service. People repeat less.
const REPEATED_WORDS: usize = 3;
const REPEATED_CHARS: usize = 12;

/// What a fragment comes after.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before<'a> {
    /// The text so far.
    pub(super) text: &'a str,
    /// The last fragment of it.
    pub(super) last: &'a str,
    /// More was spoken since the last fragment, so it may have been said again.
    pub(super) is_later: bool,
    /// The fragment did not come with the others: the turn was over, or the caller had paused.
    pub(super) is_apart: bool,
}

/// What `more` adds to the text, with the space that is missing before it; empty if it only repeats.
pub(super) fn added<'m>(before: Before<'_>, more: &'m str) -> Cow<'m, str> {
    let new = unrepeated(before, more);
    if new.len() == more.len() && is_space_missing(before, new) {
        format!(" {new}").into()
    } else {
        new.into()
    }
}

/// `more` without what the text has already.
fn unrepeated<'m>(before: Before<'_>, more: &'m str) -> &'m str {
    let Before { text, last, is_later, .. } = before;
    let said = text.trim();
    let goes_on = more.starts_with(char::is_whitespace) && !text.starts_with(char::is_whitespace);
    if said.is_empty() {
        return more;
    }
    // What is much shorter than the text does not begin with it: the comparison is not even made.
    if !goes_on
        && more.len() * 4 >= said.len() * 3
        && let Some(rest) = behind(said, more)
    {
        let is_whole = !rest.contains(char::is_alphanumeric);
        return match is_whole {
            true if !is_repetition(more, is_later, text) => more,
            true if said.ends_with(char::is_alphanumeric) => rest.trim_end(),
            true => "",
            false if is_growth(text, more, rest) => rest,
            false => more,
        };
    }
    let is_same = more.starts_with(char::is_whitespace) == last.starts_with(char::is_whitespace);
    let is_again = is_same && !is_later && is_long(more) && behind(last, more).is_some_and(is_nothing);
    if is_again { "" } else { more }
}

fn is_nothing(rest: &str) -> bool {
    !rest.contains(char::is_alphanumeric)
}

/// Whether `more`, which says what the text says, is the service's repetition and not the speaker's.
fn is_repetition(more: &str, is_later: bool, text: &str) -> bool {
    let has_own_space = more.starts_with(char::is_whitespace) && text.starts_with(char::is_whitespace);
    let is_sentence = more.trim_end().ends_with(|c: char| !c.is_alphanumeric());
    !is_later && (is_long(more) || (is_sentence && !has_own_space))
}

/// Whether `more`, which begins with the text and goes on with `rest`, is the text so far and not a next fragment of it,
/// as `theory` may be after `the`.
fn is_growth(text: &str, more: &str, rest: &str) -> bool {
    let is_between_words = !rest.starts_with(char::is_alphanumeric);
    let is_next_word = more.starts_with(char::is_whitespace) && !is_long(text);
    is_long(text) || text.trim().contains(char::is_whitespace) || (is_between_words && !is_next_word)
}

fn is_long(text: &str) -> bool {
    text.split_whitespace().nth(REPEATED_WORDS - 1).is_some()
        || text.trim().chars().nth(REPEATED_CHARS - 1).is_some()
}

/// What stands in `more` behind the letters and digits of `said`, if it begins with them: in any case, with any
/// punctuation.
fn behind<'m>(said: &str, more: &'m str) -> Option<&'m str> {
    let mut letters = more.char_indices().filter(|(_, c)| c.is_alphanumeric());
    let mut end = 0;
    for expected in said.chars().filter(|c| c.is_alphanumeric()) {
        let (at, found) = letters.next()?;
        if expected != found && !expected.to_lowercase().eq(found.to_lowercase()) {
            return None;
        }
        end = at + found.len_utf8();
    }
    Some(&more[end..])
}

fn is_space_missing(before: Before<'_>, more: &str) -> bool {
    let Before { text, last, is_apart, .. } = before;
    let (Some(end), Some(begin)) = (text.chars().next_back(), more.chars().next()) else { return false };
    if !wants_space(text, more) {
        return false;
    }
    let is_phrase = |text: &str| text.trim().contains(char::is_whitespace) && text.len() >= 8;
    let is_behind_punctuation = match end {
        ',' | ';' | ':' | '!' | '?' | '…' => begin.is_alphabetic(),
        '.' => begin.is_uppercase() && is_word(text.trim_end_matches('.')),
        _ => false,
    };
    is_apart || is_behind_punctuation || (is_phrase(last) && is_phrase(more))
}

/// Whether the text ends with a word, and not with a single letter or a number.
fn is_word(text: &str) -> bool {
    let mut letters = text.chars().rev().take(2);
    letters.next().is_some_and(char::is_alphabetic) && letters.next().is_some_and(char::is_alphabetic)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn joined(fragments: &[&str]) -> String {
        let (mut text, mut last) = (String::new(), "");
        for more in fragments {
            let before = Before { text: &text, last, is_later: false, is_apart: false };
            let added = added(before, more).into_owned();
            text.push_str(&added);
            last = more;
        }
        text.trim().to_owned()
    }

    #[rstest]
    #[case::words_with_spaces(&[" Hello", ",", " my", " name", " is Marcelo."], "Hello, my name is Marcelo.")]
    #[case::spaces_behind(&["Hello Marcelo, nice ", "to meet", " you."], "Hello Marcelo, nice to meet you.")]
    #[case::pieces_of_words(&["Ca", "n I", " pl", "eas", "e h", "ave", " yo", "ur", " acc", "oun", "t n", "umb", "er"], "Can I please have your account number")]
    #[case::numbers(&["It is", " 1", ",", "000", ".", "50", " at 10", ":", "30"], "It is 1,000.50 at 10:30")]
    #[case::initials(&["the U", ".", "S", ".", " office"], "the U.S. office")]
    #[case::apostrophes(&["I don", "'t know", ", l'", "eau"], "I don't know, l'eau")]
    #[case::behind_a_comma(&["Good day,", "this is Anna."], "Good day, this is Anna.")]
    #[case::behind_a_sentence(&["How are you.", "Fine?", "Yes!"], "How are you. Fine? Yes!")]
    #[case::phrases(&["one of the rooms", "with a view"], "one of the rooms with a view")]
    #[case::chinese(&["你好，", "我是", "安娜。", "你好吗"], "你好，我是安娜。你好吗")]
    #[case::thai(&["สวัสดี", "ครับ"], "สวัสดีครับ")]
    #[case::hyphens(&["twenty-", "five"], "twenty-five")]
    fn fragments_are_joined_as_they_are_meant(#[case] fragments: &[&str], #[case] expected: &str) {
        assert_eq!(joined(fragments), expected);
    }

    #[rstest]
    #[case::the_same_message_twice(&["A room, please.", "A room, please."], "A room, please.")]
    #[case::with_its_space(&[" A room, please.", " A room, please."], "A room, please.")]
    #[case::the_text_so_far(&["I would", "I would like", "I would like a room", "I would like a room."], "I would like a room.")]
    #[case::one_word_first(&["Hello", "Hello my", "Hello my name"], "Hello my name")]
    #[case::pieces_and_then_all(&[" It", " is", " foggy today.", " It is foggy today."], "It is foggy today.")]
    #[case::better_punctuation(&["how are you", "How are you?"], "how are you?")]
    #[case::the_last_piece_twice(&["Yes.", " I take the room.", " I take the room."], "Yes. I take the room.")]
    #[case::grown_by_half_a_word(&["I take the ro", "I take the room"], "I take the room")]
    #[case::one_short_sentence_twice(&["Yes.", "Yes."], "Yes.")]
    fn what_the_service_repeats_is_there_once(#[case] fragments: &[&str], #[case] expected: &str) {
        assert_eq!(joined(fragments), expected);
    }

    #[rstest]
    #[case::yes_yes(&[" yes", " yes"], "yes yes")]
    #[case::yes_yes_yes(&["Yes", " yes", " yes", "."], "Yes yes yes.")]
    #[case::no_no(&[" no", " no no"], "no no no")]
    #[case::in_one(&["yes yes"], "yes yes")]
    #[case::xie_xie(&["谢", "谢"], "谢谢")]
    #[case::digits(&["5", "5", "5", "11"], "55511")]
    #[case::the_theory(&[" the", " theory"], "the theory")]
    #[case::so_some(&["so", " some"], "so some")]
    #[case::a_question_again(&["Are you there?", " Are you there?"], "Are you there? Are you there?")]
    fn what_the_speaker_repeats_stays(#[case] fragments: &[&str], #[case] expected: &str) {
        assert_eq!(joined(fragments), expected);
    }

    #[test]
    fn what_was_said_again_later_stays() {
        let before = |text| Before { text, last: text, is_later: true, is_apart: true };
        assert_eq!(added(before("A room, please."), "A room, please."), " A room, please.");
        assert_eq!(added(before("Yes"), "Yes"), " Yes");
    }
}
