//! Splits a streamed text into sentences to be spoken, each as early as it is safe. Knows nothing of speech.
//!
//! A decision depends on the characters alone, never on the pieces they come in. Lengths are counted in letters
//! of an alphabet; a character of a script without one counts as [`WIDE`].

use std::collections::VecDeque;

use super::spoken::{Cleaner, Flow};

/// The first sentence may be this short, so that the agent speaks early, and not shorter: the next one needs the
/// time that it takes to say it.
const FIRST_MIN: usize = 8;

/// Later sentences are put together to this length: short ones sound chopped.
const NEXT_MIN: usize = 24;

/// The first sentence is cut at this length, six seconds: the caller waits for it.
const FIRST_MAX: usize = 100;

/// Later sentences are cut at this length, fifteen seconds: their speech must fit into a job's deadline.
const NEXT_MAX: usize = 240;

/// A character of Chinese, Japanese or Korean says about as much as this many letters.
const WIDE: usize = 3;

/// Words that end with a stop and not the sentence. In lower case, without the stop.
const ABBREVIATIONS: [&str; 37] = [
    "mr", "mrs", "ms", "dr", "prof", "st", "jr", "sr", "rev", "gen", "hon", "capt", "lt", "col", "sgt", "mt",
    "vs", "dept", "approx", "messrs", "sra", "srta", "dra", "hr", "fr", "bzw", "ggf", "inkl", "evtl", "zzgl",
    "mme", "mlle", "mgr", "av", "ave", "blvd", "str",
];

/// Words that are abbreviated before a number, and are words of their own elsewhere.
const BEFORE_NUMBERS: [&str; 14] =
    ["no", "nr", "nos", "fig", "vol", "p", "pp", "ext", "tel", "art", "ca", "núm", "sec", "ch"];

/// Splits one text.
#[derive(Debug)]
pub(super) struct Splitter {
    cleaner: Cleaner,
    /// Cleaned and not split off yet; single spaces.
    current: String,
    length: usize,
    /// Whitespace came after `current`.
    is_gap: bool,
    stop: Stop,
    limits: Limits,
}

/// How `current` ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    None,
    /// A full stop, perhaps of an abbreviation.
    Dot,
    /// A mark that ends a sentence if whitespace follows.
    Mark,
    /// The same and a closing quote, perhaps of quoted speech inside a sentence.
    Quoted,
    /// A mark of a script that needs no whitespace.
    Wide,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    min: usize,
    max: usize,
}

impl Splitter {
    pub(super) const fn new() -> Self {
        Self {
            cleaner: Cleaner::new(),
            current: String::new(),
            length: 0,
            is_gap: false,
            stop: Stop::None,
            limits: Limits { min: FIRST_MIN, max: FIRST_MAX },
        }
    }

    /// Takes the next piece of text; sentences that are complete are appended to `out`. Each has a word in it. On
    /// [`Flow::Retract`] those before this piece, and those in `out`, were none.
    pub(super) fn push(&mut self, text: &str, out: &mut VecDeque<String>) -> Flow {
        let (mut clean, mut all) = (String::new(), Flow::On);
        for c in text.chars() {
            let flow = self.cleaner.push(c, &mut clean);
            self.follow(flow, &mut all, out);
            clean.drain(..).for_each(|c| self.take(c, out));
        }
        all
    }

    /// The text is over: what is left is the last sentence.
    pub(super) fn finish(&mut self, out: &mut VecDeque<String>) -> Flow {
        let (mut clean, mut all) = (String::new(), Flow::On);
        let flow = self.cleaner.finish(&mut clean);
        self.follow(flow, &mut all, out);
        clean.chars().for_each(|c| self.take(c, out));
        self.end(out);
        self.current.clear();
        all
    }

    fn follow(&mut self, flow: Flow, all: &mut Flow, out: &mut VecDeque<String>) {
        if flow == Flow::Retract {
            *all = flow;
            out.clear();
            self.current.clear();
            (self.length, self.is_gap, self.stop) = (0, false, Stop::None);
            self.limits = Limits { min: FIRST_MIN, max: FIRST_MAX };
        }
    }

    fn take(&mut self, c: char, out: &mut VecDeque<String>) {
        if c == '\n' {
            return self.end(out);
        }
        if c.is_whitespace() {
            self.is_gap = true;
            if matches!(self.stop, Stop::Mark | Stop::Wide) {
                self.end_if_long(out);
            }
            return;
        }
        if self.ends_before(c) {
            self.end_if_long(out);
        }
        self.append(c);
        if self.length >= self.limits.max {
            self.break_up(out);
        }
    }

    /// Whether `current` is a sentence, now that `next` follows it.
    fn ends_before(&self, next: char) -> bool {
        match self.stop {
            // A mark was decided at the whitespace after it.
            Stop::None | Stop::Mark => false,
            Stop::Wide => !is_closer(next) && Stop::of(next) == Stop::None,
            Stop::Quoted => self.is_gap && !next.is_lowercase(),
            Stop::Dot => self.is_gap && !next.is_lowercase() && !is_abbreviated(&self.current, next),
        }
    }

    fn append(&mut self, c: char) {
        self.stop = match (Stop::of(c), self.stop) {
            (Stop::None, stop) if is_closer(c) && !self.is_gap => stop.closed(),
            (Stop::Dot, Stop::Mark) if !self.is_gap => Stop::Mark,
            (stop, _) => stop,
        };
        if std::mem::take(&mut self.is_gap) && !self.current.is_empty() {
            self.current.push(' ');
            self.length += 1;
        }
        self.current.push(c);
        self.length += length(c);
    }

    fn end_if_long(&mut self, out: &mut VecDeque<String>) {
        if self.length >= self.limits.min {
            self.end(out);
        }
    }

    /// Ends the sentence here. Without a word it is none, and belongs to the next.
    fn end(&mut self, out: &mut VecDeque<String>) {
        self.is_gap = true;
        if has_word(&self.current) {
            let sentence = std::mem::take(&mut self.current);
            self.emit(sentence, out);
            self.length = 0;
            self.stop = Stop::None;
        }
    }

    /// Cuts what is too long: after a clause, else between words, else anywhere.
    fn break_up(&mut self, out: &mut VecDeque<String>) {
        let at = break_of(&self.current);
        let rest = self.current.split_off(at);
        let head = std::mem::replace(&mut self.current, rest.trim_start().to_owned());
        self.length = self.current.chars().map(length).sum();
        if self.current.is_empty() {
            self.stop = Stop::None;
        }
        if has_word(&head) {
            self.emit(head.trim_end().to_owned(), out);
        }
    }

    fn emit(&mut self, sentence: String, out: &mut VecDeque<String>) {
        out.push_back(sentence);
        self.limits = Limits { min: NEXT_MIN, max: NEXT_MAX };
    }
}

impl Stop {
    const fn of(c: char) -> Self {
        match c {
            '.' | '…' => Self::Dot,
            '!' | '?' | '؟' | '۔' | '।' | '॥' | '‼' | '⁇' | '⁈' | '⁉' | '።' => Self::Mark,
            '。' | '！' | '？' | '．' | '｡' => Self::Wide,
            _ => Self::None,
        }
    }

    /// With a closing quote or bracket after it.
    const fn closed(self) -> Self {
        match self {
            Self::Mark => Self::Quoted,
            Self::None | Self::Dot | Self::Quoted | Self::Wide => self,
        }
    }
}

const fn is_closer(c: char) -> bool {
    matches!(
        c,
        '"' | '\''
            | ')'
            | ']'
            | '}'
            | '”'
            | '’'
            | '»'
            | '“'
            | '」'
            | '』'
            | '）'
            | '】'
            | '〉'
            | '》'
            | '›'
    )
}

/// Whether the stop at the end of `text` belongs to its last word, when `next` begins the next one.
fn is_abbreviated(text: &str, next: char) -> bool {
    let text = text.trim_end_matches(is_closer);
    if text.ends_with("..") || text.ends_with('…') {
        return false;
    }
    let text = text.trim_end_matches('.');
    let word = text.rsplit(|c: char| !(c.is_alphanumeric() || c == '.')).next().unwrap_or(text);
    let word = word.to_lowercase();
    let is_number = !word.is_empty() && word.len() <= 2 && word.chars().all(|c| c.is_ascii_digit());
    let is_time = matches!(&*word, "a.m" | "p.m");
    let is_initials = word != "i" && !is_time && word.split('.').all(|part| part.chars().count() == 1);
    is_number
        || (is_initials && word.contains(char::is_alphabetic))
        || ABBREVIATIONS.contains(&&*word)
        || (next.is_ascii_digit() && BEFORE_NUMBERS.contains(&&*word))
}

/// Where a text that is too long is cut: the last clause in its second half, else the last space, else its end.
fn break_of(text: &str) -> usize {
    let after = |(at, c): (usize, char)| at + c.len_utf8();
    let follows_space = |at: usize| text[at..].starts_with(' ');
    let clause = text.char_indices().rev().find(|&(at, c)| match c {
        '，' | '、' | '；' | '：' => true,
        ',' | ';' | ':' | '–' | '—' | '،' => follows_space(at + c.len_utf8()),
        _ => false,
    });
    clause
        .map(after)
        .filter(|at| *at >= text.len() / 2)
        .or_else(|| text.rfind(' ').filter(|at| *at > 0))
        .unwrap_or(text.len())
}

fn has_word(text: &str) -> bool {
    text.contains(char::is_alphanumeric)
}

const fn length(c: char) -> usize {
    if c >= '\u{2E80}' { WIDE } else { 1 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn split<'a>(pieces: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let (mut splitter, mut out) = (Splitter::new(), VecDeque::new());
        for piece in pieces {
            let _ = splitter.push(piece, &mut out);
        }
        let _ = splitter.finish(&mut out);
        out.into()
    }

    #[rstest]
    #[case::two("Hello there. How can I help you today?", &["Hello there.", "How can I help you today?"])]
    #[case::marks("What a day! Is it really so? I would say so.", &["What a day!", "Is it really so? I would say so."])]
    #[case::a_short_first("Sure! I can do that for you.", &["Sure! I can do that for you."])]
    #[case::short_later(
        "Let me see. Yes. It is here. Do you want it to be sent?",
        &["Let me see.", "Yes. It is here. Do you want it to be sent?"]
    )]
    #[case::titles("Please ask Mr. Smith or Dr. Jones. They know.", &["Please ask Mr. Smith or Dr. Jones.", "They know."])]
    #[case::initials("You reach J. R. Ewing in the U.S. Army. Go on.", &["You reach J. R. Ewing in the U.S. Army.", "Go on."])]
    #[case::eg("Bring something, e.g. Your passport. Thanks.", &["Bring something, e.g. Your passport.", "Thanks."])]
    #[case::lower_case("It is approx. five etc. and more. Good.", &["It is approx. five etc. and more.", "Good."])]
    #[case::times("We open at 9 a.m. We close at eight in the evening.", &["We open at 9 a.m.", "We close at eight in the evening."])]
    #[case::decimals("It costs 3.50 or 1.000.000 euros. See example.com now.", &["It costs 3.50 or 1.000.000 euros.", "See example.com now."])]
    #[case::years("It began in 2024. It goes on and on until today.", &["It began in 2024.", "It goes on and on until today."])]
    #[case::numbers("Take no. 5 please. No. We are closed on that day.", &["Take no. 5 please.", "No. We are closed on that day."])]
    #[case::i("So do I. Then it is all settled between us.", &["So do I.", "Then it is all settled between us."])]
    #[case::ellipsis("Well... let me look. Hmm... There it is, on the table.", &["Well... let me look.", "Hmm... There it is, on the table."])]
    #[case::quotes("He said \"Stop it!\" and left. \"I am not so sure.\" That was it.", &["He said \"Stop it!\" and left.", "\"I am not so sure.\" That was it."])]
    #[case::brackets("It is late (very late.) You know. (Really!) Good night.", &["It is late (very late.)", "You know. (Really!) Good night."])]
    #[case::both("Really?! You did it all alone, I hear?", &["Really?!", "You did it all alone, I hear?"])]
    #[case::chinese("你好，很高兴。今天天气怎么样？我们走吧！", &["你好，很高兴。", "今天天气怎么样？", "我们走吧！"])]
    #[case::japanese("「こんにちは。」と言った。", &["「こんにちは。」", "と言った。"])]
    #[case::hindi("नमस्ते जी। आप कैसे हैं और क्या कर रहे हैं?", &["नमस्ते जी।", "आप कैसे हैं और क्या कर रहे हैं?"])]
    #[case::arabic("مرحبا بك؟ نعم", &["مرحبا بك؟", "نعم"])]
    #[case::a_list("We have:\n1. **Apples**\n2. Pears\n\n- Plums", &["We have:", "1. Apples", "2. Pears", "Plums"])]
    #[case::a_heading("# Hours\nMonday 9 to 5", &["Hours", "Monday 9 to 5"])]
    #[case::no_words("... !\n👋\n---\n", &[])]
    #[case::words_after_none("— \nYes.", &["— Yes."])]
    #[case::spaces("  Hello   my \t friend.  ", &["Hello my friend."])]
    #[case::nothing("", &[])]
    fn sentences_end_where_they_do(#[case] text: &str, #[case] expected: &[&str]) {
        assert_eq!(split([text]), expected);
    }

    #[rstest]
    #[case("Good morning! ", 1)]
    #[case("Good morning!", 0)]
    #[case("Good morning. ", 0)]
    #[case("Good morning. Y", 1)]
    #[case("你好，很高兴。今", 1)]
    #[case("A line\n", 1)]
    fn a_sentence_is_given_as_soon_as_it_is_certain(#[case] text: &str, #[case] count: usize) {
        let (mut splitter, mut out) = (Splitter::new(), VecDeque::new());
        let _ = splitter.push(text, &mut out);
        assert_eq!(out.len(), count);
    }

    #[rstest]
    #[case::in_pieces(&["They want. ", "I look it up.", "</thi", "nk>We have a room."])]
    #[case::at_once(&["They want a room. I look it up.</think>We have a room."])]
    fn a_thought_that_only_ends_is_no_sentence(#[case] pieces: &[&str]) {
        let (mut splitter, mut out, mut flows) = (Splitter::new(), VecDeque::new(), Vec::new());
        flows.extend(pieces.iter().map(|piece| splitter.push(piece, &mut out)));
        assert_eq!((splitter.finish(&mut out), flows.last()), (Flow::On, Some(&Flow::Retract)));
        assert_eq!(out, ["We have a room."]);
    }

    #[test]
    fn what_is_too_long_is_cut_after_a_clause_or_a_word() {
        let clauses = "The first part of it is somewhat long already, so that a comma at about this place, \
                       if there is one, is taken";
        assert_eq!(
            split([clauses])[0],
            "The first part of it is somewhat long already, so that a comma at about this place,"
        );
        let words = "word ".repeat(200);
        assert!(
            split([&*words]).iter().all(|sentence| sentence.len() <= NEXT_MAX && !sentence.contains("wordw"))
        );
        let letters = "x".repeat(1000);
        assert_eq!(split([&*letters]).iter().map(String::len).collect::<Vec<_>>(), [100, 240, 240, 240, 180]);
        assert_eq!(split([&*"!".repeat(1000)]), [""; 0]);
    }

    fn text() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            4 => "[a-zA-Z]{1,12}",
            4 => Just(" ".to_owned()),
            3 => prop::sample::select(vec![". ", "! ", "? ", "... ", ", ", ".\" ", ")"]).prop_map(str::to_owned),
            1 => prop::sample::select(vec![
                "\n", "\n- ", "# ", "**", "`", "👋", "。", "？", "「", "」", "Mr. ", "3.5", "e.g. ", "ä", "“", "—", "…",
            ]).prop_map(str::to_owned),
            1 => any::<char>().prop_map(String::from),
        ];
        prop::collection::vec(piece, 0..120).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_added_and_the_pieces_do_not_matter(
            text in text(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let sentences = split([&*text]);

            let mut cleaner = Cleaner::new();
            let mut clean = String::new();
            for c in text.chars() {
                let _ = cleaner.push(c, &mut clean);
            }
            let _ = cleaner.finish(&mut clean);
            let solid = |text: &str| -> String { text.chars().filter(|c| !c.is_whitespace()).collect() };
            let words = |text: &str| -> String { text.chars().filter(|c| c.is_alphanumeric()).collect() };
            let spoken = sentences.concat();
            if clean.len() < FIRST_MAX && has_word(&clean) {
                prop_assert!(solid(&clean).starts_with(&solid(&spoken)), "{:?}", sentences);
            }
            prop_assert_eq!(words(&clean), words(&spoken));
            for sentence in &sentences {
                prop_assert!(has_word(sentence));
                prop_assert!(sentence.chars().map(length).sum::<usize>() <= NEXT_MAX + WIDE);
                prop_assert!(!sentence.contains(['`', '\n']));
            }

            let mut at: Vec<usize> = cuts.iter().map(|cut| text.floor_char_boundary(cut.index(text.len() + 1))).collect();
            at.extend([0, text.len()]);
            at.sort_unstable();
            let pieces = at.windows(2).map(|pair| &text[pair[0]..pair[1]]);
            prop_assert_eq!(split(pieces), sentences);
        }
    }
}
