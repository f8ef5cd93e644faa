//! How text is cut into words for searching: the same for both databases, whatever their own parsers think.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Characters of a word that count; longer runs are not words that anybody looks for.
const WORD_CHARS_MAX: usize = 64;

/// Distinct words of one text that are indexed: far more than a turn has, and bounded for a hostile one.
const WORDS_MAX: usize = 4096;

/// Begins a word that SQLite's tokenizer might cut: a private-use character, which it takes for a letter.
const ENCODED: char = '\u{e000}';

/// The distinct words of a text, lower-cased and sorted: runs of letters and digits, and the characters of
/// scripts that are written without spaces one by one.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = BTreeSet::new();
    let mut word = String::new();
    let mut chars = 0;
    for c in text.chars().flat_map(char::to_lowercase) {
        if is_ideograph(c) {
            insert(&mut words, &mut word);
            words.insert(c.to_string());
        } else if c.is_alphanumeric() {
            chars = if word.is_empty() { 1 } else { chars + 1 };
            if chars <= WORD_CHARS_MAX {
                word.push(c);
            }
        } else {
            insert(&mut words, &mut word);
        }
        if words.len() >= WORDS_MAX {
            word.clear();
            break;
        }
    }
    insert(&mut words, &mut word);
    words.into_iter().collect()
}

/// A word as the index of SQLite holds it: as it is, or encoded if its letters are not plain ones.
pub(super) fn fts(word: &str) -> String {
    if word.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return word.to_owned();
    }
    word.bytes().fold(ENCODED.to_string(), |mut encoded, byte| {
        let _ = write!(encoded, "{byte:02x}");
        encoded
    })
}

fn insert(words: &mut BTreeSet<String>, word: &mut String) {
    if !word.is_empty() {
        words.insert(std::mem::take(word));
    }
}

/// Han, Hiragana, Katakana: written without spaces (Unicode blocks of these scripts).
const fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}')
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::a_sentence("Hello, my name is Marcelo. Hello!", &["hello", "is", "marcelo", "my", "name"])]
    #[case::digits("Room 7, +1 (415) 555-0123", &["0123", "1", "415", "555", "7", "room"])]
    #[case::apostrophes("don't", &["don", "t"])]
    #[case::folded("ÜBERALL Größe", &["größe", "überall"])]
    #[case::without_spaces("日本 go", &["go", "日", "本"])]
    #[case::nothing(" .,\0!", &[])]
    #[case::an_endless_run(&"a".repeat(100_000), &["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"])]
    fn text_is_cut_into_words(#[case] text: &str, #[case] expected: &[&str]) {
        assert_eq!(words(text), expected);
    }

    #[test]
    fn the_words_of_a_text_are_bounded() {
        let text: String = (0..100_000).fold(String::new(), |text, n| text + &format!("w{n} "));
        assert_eq!(words(&text).len(), WORDS_MAX);
    }

    #[rstest]
    #[case("hello7", "hello7")]
    #[case("größe", "\u{e000}6772c3b6c39f65")]
    fn a_word_of_other_letters_is_encoded_for_sqlite(#[case] word: &str, #[case] expected: &str) {
        assert_eq!(fts(word), expected);
    }
}
