//! What people say: words as frequent as Zipf's law wants them, and rare ones.

use super::dice::{Dice, Weighted};

/// Words that are spoken again and again.
pub const WORDS: usize = 5_000;

/// One word of so many is said about once in the whole history: a name, or the number of an order.
const RARE_EVERY: f64 = 60.0;

/// The most frequent words, in order.
const COMMON: &str = "the I you to a is and for that of it your have on in we can do my with be me are this at will \
    would not what please yes no okay thank so number one call there if about was know just like time when today two \
    right get need an or from but help order tomorrow how date room name sorry morning hello booking address table \
    Thursday three price delivery Monday afternoon night account card evening open booked cancel appointment week \
    email change possible customer service people office minute moment speak confirm available refund breakfast \
    parking key café invoice Zürich technician señor doctor insurance naïve prescription garage brakes tyre window";

const CONSONANTS: [&str; 15] = ["b", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w"];
const VOWELS: [&str; 5] = ["a", "e", "i", "o", "u"];
const SYLLABLES: usize = CONSONANTS.len() * VOWELS.len();

/// Syllables of a made-up word of the vocabulary: enough for 5,625 of them.
const SYLLABLES_OF_WORD: u32 = 2;

/// Syllables of a rare word: enough for 31 million.
const SYLLABLES_OF_RARE_WORD: u32 = 4;

#[derive(Clone, Debug)]
pub struct Vocabulary {
    words: Vec<String>,
    frequencies: Weighted,
}

impl Default for Vocabulary {
    fn default() -> Self {
        let common: Vec<_> = COMMON.split_whitespace().collect();
        let made_up = (0..).map(|n| made_up(n, SYLLABLES_OF_WORD)).filter(|word| !common.contains(&&**word));
        let words: Vec<_> = common.iter().map(|word| (*word).to_owned()).chain(made_up).take(WORDS).collect();
        Self { frequencies: Weighted::zipf(words.len(), 1.0), words }
    }
}

impl Vocabulary {
    /// From the most frequent to the rarest; the rare words beyond it are not among them.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// Sentences with so many words in all, at least one.
    pub(super) fn speech(&self, words: usize, dice: &mut Dice) -> String {
        let mut text = String::with_capacity(words * 6);
        let mut left = words.max(1);
        while left > 0 {
            let length = (4 + dice.below(12)).min(left);
            self.sentence(length, dice, &mut text);
            left -= length;
        }
        text
    }

    fn sentence(&self, words: usize, dice: &mut Dice, text: &mut String) {
        for n in 0..words {
            if !text.is_empty() {
                text.push(' ');
            }
            let begin = text.len();
            self.word(dice, text);
            if n == 0 {
                let first = text.remove(begin);
                text.insert_str(begin, &first.to_uppercase().collect::<String>());
            }
        }
        text.push(if dice.chance(0.3) { '?' } else { '.' });
    }

    fn word(&self, dice: &mut Dice, text: &mut String) {
        if !dice.chance(1.0 / RARE_EVERY) {
            text.push_str(&self.words[self.frequencies.draw(dice)]);
        } else if dice.chance(0.5) {
            text.push_str(&made_up(
                dice.below(SYLLABLES.pow(SYLLABLES_OF_RARE_WORD)),
                SYLLABLES_OF_RARE_WORD,
            ));
        } else {
            text.push_str(&format!("PC-{:07}", dice.below(10_000_000)));
        }
    }
}

/// Another word for each number below the count of what the syllables can make.
fn made_up(number: usize, syllables: u32) -> String {
    // Coprime to the count, whose primes are 3 and 5: neighbours do not look alike.
    const APART: usize = 1_777;
    let mut rest = number * APART % SYLLABLES.pow(syllables);
    let mut word = String::new();
    for _ in 0..syllables {
        let syllable = rest % SYLLABLES;
        word.push_str(CONSONANTS[syllable / VOWELS.len()]);
        word.push_str(VOWELS[syllable % VOWELS.len()]);
        rest /= SYLLABLES;
    }
    word
}
