//! Takes out of a model's text what is not spoken: Markdown and emoji. Knows nothing of sentences.
//!
//! Character by character, so that it does not matter in which pieces the text comes.

/// Marks at the beginning of a line that are looked at before it is known what they are. `######` is the longest.
const MARKS_MAX: usize = 8;

/// Cleans one text.
#[derive(Debug)]
pub(super) struct Cleaner {
    place: Place,
    /// The last character was an emoji: what joins or colours it goes too.
    is_after_emoji: bool,
}

#[derive(Debug)]
enum Place {
    /// At the beginning of a line, after these marks: a bullet if a space follows, else text.
    LineStart(String),
    Inside,
}

impl Cleaner {
    pub(super) const fn new() -> Self {
        Self { place: Place::LineStart(String::new()), is_after_emoji: false }
    }

    /// Takes the next character; what is to be spoken is appended to `out`. A line ends with `\n`.
    pub(super) fn push(&mut self, c: char, out: &mut String) {
        let is_emoji = is_emoji(c) || (self.is_after_emoji && is_joiner(c));
        self.is_after_emoji = is_emoji;
        match &mut self.place {
            _ if is_emoji || is_never_spoken(c) => {}
            _ if c == '\n' => {
                self.place = Place::LineStart(String::new());
                out.push('\n');
            }
            Place::LineStart(marks) if is_mark(c) => {
                if marks.len() < MARKS_MAX {
                    marks.push(c);
                }
            }
            Place::LineStart(marks) if c.is_whitespace() => marks.clear(),
            Place::LineStart(marks) => {
                out.push_str(marks);
                self.place = Place::Inside;
                push_plain(c, out);
            }
            Place::Inside => push_plain(c, out),
        }
    }
}

fn push_plain(c: char, out: &mut String) {
    out.push(if c.is_control() { ' ' } else { c });
}

/// Emphasis and code.
const fn is_never_spoken(c: char) -> bool {
    matches!(c, '*' | '`')
}

/// What begins a heading, a list item or a quotation. All ASCII but the bullets.
const fn is_mark(c: char) -> bool {
    matches!(c, '#' | '-' | '+' | '>' | '•' | '‣' | '◦' | '▪' | '●')
}

/// Pictographs, dingbats, flags and what makes a character a picture (Unicode 16.0 blocks; emoji-data.txt).
const fn is_emoji(c: char) -> bool {
    matches!(c,
        '\u{2600}'..='\u{27BF}'
        | '\u{2B00}'..='\u{2BFF}'
        | '\u{1F000}'..='\u{1FAFF}'
        | '\u{FE0E}' | '\u{FE0F}' | '\u{20E3}'
        | '\u{E0020}'..='\u{E007F}')
}

/// Joins two emoji to one; elsewhere it belongs to the script of some languages.
const fn is_joiner(c: char) -> bool {
    c == '\u{200D}'
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::emphasis("This is **very** *important*.", "This is very important.")]
    #[case::code("Say `yes`.", "Say yes.")]
    #[case::headings("# Title\n### Sub", "Title\nSub")]
    #[case::bullets("- one\n* two\n• three\n  - four", "one\ntwo\nthree\nfour")]
    #[case::nested("> - quoted", "quoted")]
    #[case::a_rule("a\n---\nb", "a\n\nb")]
    #[case::a_bold_item("- **Name**: text", "Name: text")]
    #[case::no_bullet("-5 degrees\n#1\n+49 30", "-5 degrees\n#1\n+49 30")]
    #[case::inside_a_line("well - yes, 3 # 4 and 1+1", "well - yes, 3 # 4 and 1+1")]
    #[case::emoji("Hi 👋🏽! ✅ 👨‍👩‍👧 1️⃣ 🇩🇪 ❤️", "Hi !   1  ")]
    #[case::a_joiner_of_a_script("ක්‍ෂ", "ක්‍ෂ")]
    #[case::controls("a\tb\rc", "a b c")]
    #[case::snake_case("a_b@c.de", "a_b@c.de")]
    fn only_what_is_spoken_remains(#[case] text: &str, #[case] expected: &str) {
        let (mut cleaner, mut out) = (Cleaner::new(), String::new());
        text.chars().for_each(|c| cleaner.push(c, &mut out));
        assert_eq!(out, expected);
    }
}
