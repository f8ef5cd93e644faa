//! Takes out of a model's text what is not for ears: thoughts, calls of tools, tokens of a chat format, markup,
//! addresses, citations, formulas, stage directions, emoji. What remains is spoken and is what the call log has. Knows nothing of
//! sentences.
//!
//! The text is taken character by character, so that it does not matter in which pieces it comes. A character that
//! may begin one of these things waits until it is known what it is; each wait is bounded.
//!
//! ```text
//! char → hidden (tags, tokens) → line (what only a line begins with) → inline (the rest) → emoji, invisible → out
//! ```

mod bracket;
mod hidden;
mod inline;
mod json;
mod line;
mod math;
pub(super) mod stage;

pub(super) use self::inline::decoded;

/// Text that may wait for its meaning, bytes: the longest call of a tool that is read as a whole.
const PENDING_MAX: usize = 8 * 1024;

/// Bytes kept of the last word. Those that are looked for are shorter.
const WORD_MAX: usize = 24;

/// Cleans one text.
#[derive(Debug)]
pub struct Cleaner {
    mode: Mode,
    /// Came, and is not decided.
    pending: String,
    place: Place,
    /// The last character that was given out.
    last: Option<char>,
    /// The last one that is no whitespace.
    solid: Option<char>,
    /// The last word, as far as it is no longer than [`WORD_MAX`].
    word: String,
    /// The last character was an emoji: what joins or colours it goes too.
    is_after_emoji: bool,
}

/// What becomes of the characters that come.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Mode {
    Text,
    /// Not spoken, until one of these.
    Hidden(hidden::Ends),
    /// The name of who speaks, after a token that begins a message.
    Role,
    /// The rest of the text is not spoken.
    Rest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nothing was given out yet.
    TextStart,
    LineStart,
    Inside,
}

/// Whether what was given out before counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    On,
    /// All of it was a thought whose beginning was not marked: it is not to be spoken.
    Retract,
}

/// What the characters that wait begin with. Lengths are bytes.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// It is not known before more came.
    More,
    /// The first character is text.
    No,
    /// So much is given out as this.
    Text(usize, String),
    /// So much is replaced by this, which is looked at again.
    Again(usize, String),
    /// So much is not spoken, and the rest is taken like this.
    Skip(usize, Mode),
    /// So much ends a thought that was given out as text.
    Retract(usize),
}

/// What a rule sees.
#[derive(Clone, Copy, Debug)]
struct View<'a> {
    text: &'a str,
    /// No more comes.
    is_over: bool,
    place: Place,
    last: Option<char>,
    solid: Option<char>,
    word: &'a str,
}

impl Default for Cleaner {
    fn default() -> Self {
        Self::new()
    }
}

impl Cleaner {
    pub const fn new() -> Self {
        Self {
            mode: Mode::Text,
            pending: String::new(),
            place: Place::TextStart,
            last: None,
            solid: None,
            word: String::new(),
            is_after_emoji: false,
        }
    }

    /// Takes the next character; what is to be spoken is appended to `out`. A line ends with `\n`.
    pub fn push(&mut self, c: char, out: &mut String) -> Flow {
        self.pending.push(c);
        self.run(false, out)
    }

    /// The text is over: what waited for more is decided.
    pub fn finish(&mut self, out: &mut String) -> Flow {
        self.run(true, out)
    }

    fn run(&mut self, is_over: bool, out: &mut String) -> Flow {
        let mut flow = Flow::On;
        while let Some(first) = self.pending.chars().next() {
            match self.find(is_over) {
                Found::More if !is_over && self.pending.len() < PENDING_MAX => break,
                Found::More | Found::No => {
                    self.pending.drain(..first.len_utf8());
                    self.give(first, out);
                }
                Found::Text(len, text) => {
                    self.pending.drain(..len);
                    text.chars().for_each(|c| self.give(c, out));
                }
                Found::Again(len, text) => self.pending.replace_range(..len, &text),
                Found::Skip(len, mode) => {
                    self.pending.drain(..len);
                    self.mode = mode;
                }
                Found::Retract(len) => {
                    self.pending.drain(..len);
                    out.clear();
                    (self.place, self.last, self.solid) = (Place::TextStart, None, None);
                    flow = Flow::Retract;
                }
            }
        }
        flow
    }

    fn find(&self, is_over: bool) -> Found {
        let view = View {
            text: &self.pending,
            is_over,
            place: self.place,
            last: self.last,
            solid: self.solid,
            word: &self.word,
        };
        match &self.mode {
            Mode::Hidden(ends) => ends.find(view),
            Mode::Role => hidden::role(view),
            Mode::Rest => Found::Skip(self.pending.len(), Mode::Rest),
            Mode::Text => {
                let rules = [hidden::find, line::find, inline::find];
                rules.iter().map(|rule| rule(view)).find(|found| *found != Found::No).unwrap_or(Found::No)
            }
        }
    }

    fn give(&mut self, c: char, out: &mut String) {
        let is_emoji = is_emoji(c) || (self.is_after_emoji && is_joiner(c));
        self.is_after_emoji = is_emoji;
        if is_emoji || is_invisible(c) {
            return;
        }
        let c = match c {
            '\u{2028}' | '\u{2029}' | '\u{85}' => '\n',
            c if c != '\n' && c.is_control() => ' ',
            c => c,
        };
        self.place = match (c, self.place) {
            ('\n', Place::TextStart) => Place::TextStart,
            ('\n', _) => Place::LineStart,
            (c, place) if c.is_whitespace() => place,
            _ => Place::Inside,
        };
        if c.is_alphanumeric() {
            if !self.last.is_some_and(char::is_alphanumeric) {
                self.word.clear();
            }
            if self.word.len() < WORD_MAX {
                self.word.push(c);
            }
        }
        self.last = Some(c);
        self.solid = Some(c).filter(|c| !c.is_whitespace()).or(self.solid);
        out.push(c);
    }
}

impl View<'_> {
    /// `found` if the text goes on after its first `len` bytes, or is over.
    fn once_known(self, len: usize, found: impl FnOnce() -> Found) -> Found {
        if self.text.len() > len || self.is_over { found() } else { Found::More }
    }

    /// The length of the run of `c` at the beginning.
    fn run(self, c: char) -> usize {
        self.text.len() - self.text.trim_start_matches(c).len()
    }

    /// Whether the text begins a word.
    fn is_at_word(self) -> bool {
        !self.last.is_some_and(char::is_alphanumeric)
    }
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

/// Without width and without a sound: hyphens that may be, marks of direction, byte order marks, private use, and what
/// stands for bytes that were no character.
pub(super) const fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{AD}' | '\u{61C}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2069}'
        | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFD}' | '\u{E000}'..='\u{F8FF}')
}

#[cfg(test)]
mod tests;
