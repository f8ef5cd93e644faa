//! How words were cut and folded by versions up to 1: what the index of an older log holds, so that it can be replaced.

use std::collections::BTreeSet;

use super::{WORD_CHARS_MAX, WORDS_MAX};

/// The distinct words of a text, lower-cased and sorted: runs of letters and digits, and the characters of
/// scripts that are written without spaces one by one.
pub(in crate::store) fn words(text: &str) -> Vec<String> {
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

fn insert(words: &mut BTreeSet<String>, word: &mut String) {
    if !word.is_empty() {
        words.insert(std::mem::take(word));
    }
}

/// Han, Hiragana, Katakana: written without spaces (Unicode blocks of these scripts).
const fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}')
}
