//! How text is cut into words for searching: the same for both databases, whatever their own parsers think.
//!
//! Letters are folded by Unicode: case (`GRÖSSE`, `größe` and `Größe` are one), composition (NFC and NFD), width and
//! compatibility forms (NFKC); the dotted and the dotless i are one letter. Scripts without spaces have no words that
//! could be cut without a dictionary: of Han and kana each character is indexed, of Thai, Lao, Khmer, Burmese and their
//! relatives each cluster (a letter with its marks) and each pair of neighbours, so that a word is found by its pairs.

pub(super) mod before;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use caseless::Caseless as _;
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// The number of this way to cut and fold. The index of an older log is brought to it, see [`super::refold`].
pub(super) const VERSION: i64 = 2;

/// Characters of a word that count; longer runs are not words that anybody looks for.
const WORD_CHARS_MAX: usize = 64;

/// Distinct words of one text that are indexed: far more than a turn has, and bounded for a hostile one.
const WORDS_MAX: usize = 4096;

/// What of a text is indexed: an hour of speech, and bounded for a hostile one.
const TEXT_BYTES_MAX: usize = 256 << 10;

/// Begins a word that SQLite's tokenizer might cut: a private-use character, which it takes for a letter.
const ENCODED: char = '\u{e000}';

/// A stretch of a text.
#[derive(Debug, PartialEq, Eq)]
enum Run {
    /// Letters and digits, or one character of Han or kana.
    Word(String),
    /// Clusters of a script without spaces.
    Clusters(Vec<String>),
}

/// The distinct words of a text, folded and sorted.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = BTreeSet::new();
    runs(&text[..text.floor_char_boundary(TEXT_BYTES_MAX)], |run| {
        match run {
            Run::Word(word) => {
                words.insert(word);
            }
            Run::Clusters(clusters) => {
                words.extend(clusters.windows(2).map(<[String]>::concat));
                words.extend(clusters);
            }
        }
        words.len() < WORDS_MAX
    });
    words.into_iter().take(WORDS_MAX).collect()
}

/// What a text that is searched for asks of the index.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) words: Vec<String>,
    /// Pairs of clusters: few of them tell as much as all.
    pub(super) pairs: Vec<String>,
}

/// Cuts what is searched for.
pub(super) fn wanted(text: &str) -> Wanted {
    let mut wanted = Wanted::default();
    runs(text, |run| {
        match run {
            Run::Word(word) => wanted.words.push(word),
            Run::Clusters(clusters) if clusters.len() == 1 => wanted.words.extend(clusters),
            Run::Clusters(clusters) => wanted.pairs.extend(clusters.windows(2).map(<[String]>::concat)),
        }
        wanted.words.len() + wanted.pairs.len() < WORDS_MAX
    });
    wanted
}

/// A text with its letters folded.
pub(super) fn folded(text: &str) -> String {
    fold(text).collect()
}

/// Whether a folded character belongs to a word.
pub(super) fn is_part(c: char) -> bool {
    c.is_alphanumeric() || is_combining_mark(c)
}

/// Compatibility caseless matching (The Unicode Standard, section 3.13, D146), and without characters that are not seen.
fn fold(text: &str) -> impl Iterator<Item = char> {
    // ASCII is composed, and has but one case to fold.
    let (ascii, text) = if text.is_ascii() { (text, "") } else { ("", text) };
    ascii.chars().map(|c| c.to_ascii_lowercase()).chain(fold_unicode(text))
}

fn fold_unicode(text: &str) -> impl Iterator<Item = char> {
    let mut before = ' ';
    let folded = text.nfd().default_case_fold().nfkc().default_case_fold().nfkc();
    folded.filter(|c| !is_ignorable(*c)).filter_map(move |c| {
        let c = if c == '\u{131}' { 'i' } else { c };
        let is_dot = c == '\u{307}' && before == 'i';
        before = c;
        (!is_dot).then_some(c)
    })
}

/// Hands over the runs of a text until the taker has enough.
fn runs(text: &str, mut take: impl FnMut(Run) -> bool) {
    let mut word = String::new();
    let mut chars = 0;
    let mut clusters: Vec<String> = Vec::new();
    for c in fold(text) {
        let is_unspaced = is_unspaced(c) && is_part(c);
        let goes_on = is_part(c) && !is_ideograph(c) && !is_unspaced;
        if !word.is_empty() && !goes_on && !take(Run::Word(std::mem::take(&mut word))) {
            return;
        }
        let is_mark = is_combining_mark(c);
        if !clusters.is_empty()
            && !is_unspaced
            && !is_mark
            && !take(Run::Clusters(std::mem::take(&mut clusters)))
        {
            return;
        }
        match clusters.last_mut() {
            Some(cluster) if is_mark && cluster.len() < WORD_CHARS_MAX => cluster.push(c),
            Some(_) if is_mark => {}
            Some(_) | None if is_unspaced => clusters.push(c.to_string()),
            Some(_) | None if is_ideograph(c) => {
                if !take(Run::Word(c.to_string())) {
                    return;
                }
            }
            Some(_) | None if goes_on && !(is_mark && word.is_empty()) => {
                chars = if word.is_empty() { 1 } else { chars + 1 };
                if chars <= WORD_CHARS_MAX {
                    word.push(c);
                }
            }
            Some(_) | None => {}
        }
    }
    let has_room = word.is_empty() || take(Run::Word(word));
    if has_room && !clusters.is_empty() {
        take(Run::Clusters(clusters));
    }
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

/// Han, Hiragana, Katakana, Bopomofo: written without spaces (Unicode blocks of these scripts).
const fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3005}'..='\u{3007}' | '\u{3040}'..='\u{312f}' | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// Thai, Lao, Burmese, Khmer, the Tai scripts, Balinese, Javanese: written without spaces, with marks on their letters
/// (Unicode blocks of these scripts).
const fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{1950}'..='\u{19ff}' | '\u{1a20}'..='\u{1aaf}' | '\u{1b00}'..='\u{1b7f}' | '\u{a980}'..='\u{a9ff}' | '\u{aa60}'..='\u{aadf}')
}

/// Soft hyphen, joiners, directional marks, variation selectors: there for the layout alone
/// (`Default_Ignorable_Code_Point`).
const fn is_ignorable(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0100}'..='\u{e01ef}')
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::a_sentence("Hello, my name is Marcelo. Hello!", &["hello", "is", "marcelo", "my", "name"])]
    #[case::digits("Room 7, +1 (415) 555-0123", &["0123", "1", "415", "555", "7", "room"])]
    #[case::apostrophes("don't", &["don", "t"])]
    #[case::folded("ÜBERALL Größe", &["grösse", "überall"])]
    #[case::without_spaces("日本 go", &["go", "日", "本"])]
    #[case::thai("กาแฟ", &["ก", "กา", "า", "าแ", "แ", "แฟ", "ฟ"])]
    #[case::between("ซื้อ Coffee", &["coffee", "ซื้", "ซื้อ", "อ"])]
    #[case::nothing(" .,\0!", &[])]
    #[case::an_endless_run(&"a".repeat(100_000), &["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"])]
    fn text_is_cut_into_words(#[case] text: &str, #[case] expected: &[&str]) {
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(words(text), expected);
    }

    #[rstest]
    #[case::sharp_s("GRÖSSE", "größe")]
    #[case::capital_sharp_s("GRÖẞE", "größe")]
    #[case::decomposed("gro\u{308}ße", "größe")]
    #[case::dotted_i("İSTANBUL", "istanbul")]
    #[case::dotless_i("ığdır", "IĞDIR")]
    #[case::final_sigma("ΟΔΟΣ", "οδος")]
    #[case::sigma("οδοσ", "οδος")]
    #[case::full_width("ＡＢＣ１２３", "abc123")]
    #[case::half_width_kana("ｶﾞ", "ガ")]
    #[case::ligature("oﬃce", "OFFICE")]
    #[case::hangul_jamo("\u{1112}\u{1161}\u{11ab}", "한")]
    #[case::vietnamese("TIÊ\u{301}NG", "tiếng")]
    #[case::cherokee("ꭰꮃ", "ᎠᎳ")]
    #[case::soft_hyphen("Donau\u{ad}dampf", "donaudampf")]
    #[case::arabic_forms("ﻣﺮﺣﺒﺎ", "مرحبا")]
    #[case::hindi("हिन्\u{200d}दी", "हिन्दी")]
    fn what_reads_the_same_is_the_same(#[case] one: &str, #[case] other: &str) {
        assert_eq!(folded(one), folded(other));
        assert_eq!(words(one), words(other));
    }

    #[rstest]
    #[case::thai("ผมอยากจองโต๊ะสำหรับสองคน", "โต๊ะ", "ร้าน")]
    #[case::lao("ຂ້ອຍຢາກຈອງໂຕະ", "ຈອງ", "ອາຫານ")]
    #[case::khmer("ខ្ញុំចង់កក់តុ", "កក់", "ផ្ទះ")]
    #[case::burmese("စားပွဲတစ်လုံးကြိုတင်မှာချင်ပါတယ်", "ကြိုတင်", "ကော်ဖီ")]
    #[case::letters_in_another_order("กขค", "ขค", "คข")]
    fn a_word_of_a_script_without_spaces_is_in_its_sentence(
        #[case] sentence: &str,
        #[case] word: &str,
        #[case] other: &str,
    ) {
        let said = words(sentence);
        let has = |word: &str| {
            let Wanted { words, pairs } = wanted(word);
            words.iter().chain(&pairs).all(|word| said.contains(word))
        };
        assert!(has(word) && !has(other), "{said:?}");
    }

    #[test]
    fn the_words_of_a_text_are_bounded() {
        let text: String = (0..100_000).fold(String::new(), |text, n| text + &format!("w{n} "));
        assert_eq!(words(&text).len(), WORDS_MAX);
    }

    #[rstest]
    #[case("hello7", "hello7")]
    #[case("grö", "\u{e000}6772c3b6")]
    fn a_word_of_other_letters_is_encoded_for_sqlite(#[case] word: &str, #[case] expected: &str) {
        assert_eq!(fts(word), expected);
    }
}
