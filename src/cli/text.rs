//! Untrusted text on a terminal, and numbers as people read them.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};

/// `println!` that does not panic where standard output takes nothing.
macro_rules! outln {
    () => { $crate::cli::text::write(std::io::stdout().lock(), format_args!("\n")) };
    ($($argument:tt)*) => {
        $crate::cli::text::write(std::io::stdout().lock(), format_args!("{}\n", format_args!($($argument)*)))
    };
}

/// `print!` that does not panic where standard output takes nothing.
macro_rules! out {
    ($($argument:tt)*) => { $crate::cli::text::write(std::io::stdout().lock(), format_args!($($argument)*)) };
}

/// `eprintln!` that does not panic where standard error takes nothing.
macro_rules! errln {
    ($($argument:tt)*) => {
        $crate::cli::text::write(std::io::stderr().lock(), format_args!("{}\n", format_args!($($argument)*)))
    };
}

/// One line of harmless text: what would move the cursor, colour the screen or turn the writing direction is
/// spelt out, and line breaks become spaces.
pub(crate) fn line(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' | '\t' => clean.push(' '),
            character if is_hostile(character) => {
                let _ = write!(clean, "{}", character.escape_unicode());
            }
            character => clean.push(character),
        }
    }
    clean
}

/// As [`line`], with at most `width` characters.
pub(crate) fn cell(text: &str, width: usize) -> String {
    let clean = line(text);
    match clean.char_indices().nth(width) {
        Some(_) => clean.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
        None => clean,
    }
}

/// JSON that is harmless on a terminal too: `serde_json` leaves DEL, C1 and bidirectional controls as they are.
pub(crate) fn json(value: &impl serde::Serialize) -> serde_json::Result<String> {
    Ok(harmless(&serde_json::to_string_pretty(value)?))
}

/// As [`json`], on one line.
pub(crate) fn json_line(value: &impl serde::Serialize) -> serde_json::Result<String> {
    Ok(harmless(&serde_json::to_string(value)?))
}

fn harmless(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        if character != '\n' && is_hostile(character) {
            character.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                let _ = write!(clean, "\\u{unit:04x}");
            });
        } else {
            clean.push(character);
        }
    }
    clean
}

/// Controls, and the marks by which text shows other than it is (Unicode 17, "Bidirectional formatting
/// characters"; line and paragraph separators; language tags).
fn is_hostile(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// Minutes and seconds: `1:05`.
pub(crate) fn minutes(ms: i64) -> String {
    let seconds = ms / 1000;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// Seconds with two decimals: `12.34`.
pub(crate) fn seconds(ms: i64) -> String {
    let sign = if ms < 0 { "-" } else { "" };
    let hundredths = ms.unsigned_abs() / 10;
    format!("{sign}{}.{:02}", hundredths / 100, hundredths % 100)
}

/// Writes what can be written: a command goes on when the reader of its output is gone.
pub(crate) fn write(mut output: impl io::Write, text: fmt::Arguments<'_>) {
    let _ = output.write_fmt(text);
}

/// Prints, and is content if nobody reads: `patchcord calls | head`.
pub(crate) fn print(text: &str) -> io::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("plain, ünïcödé 👩‍👩‍👧", "plain, ünïcödé 👩‍👩‍👧")]
    #[case("\u{1b}[2J\u{1b}]0;title\u{7}", "\\u{1b}[2J\\u{1b}]0;title\\u{7}")]
    #[case("a\r\nb\tc", "a  b c")]
    #[case("\u{9b}31m\u{7f}\0", "\\u{9b}31m\\u{7f}\\u{0}")]
    #[case("user\u{202e}gpj.exe", "user\\u{202e}gpj.exe")]
    #[case("a\u{2028}b\u{e0041}", "a\\u{2028}b\\u{e0041}")]
    fn what_a_terminal_would_obey_is_spelt_out(#[case] text: &str, #[case] shown: &str) {
        assert_eq!(line(text), shown);
    }

    #[rstest]
    #[case("abcd", "abcd")]
    #[case("abcde", "abc…")]
    #[case("ééééé", "ééé…")]
    fn a_cell_is_cut_to_its_width(#[case] text: &str, #[case] shown: &str) {
        assert_eq!(cell(text, 4), shown);
    }

    #[test]
    fn json_is_harmless_and_still_says_the_same() {
        let value = ["\u{1b}[31m\u{9b}\u{7f}\u{202e}\u{e0041}", "ü👩"];
        let text = json(&value).unwrap();
        assert!(!text.chars().any(|character| character != '\n' && is_hostile(character)), "{text}");
        assert_eq!(serde_json::from_str::<[String; 2]>(&text).unwrap(), value);
    }

    #[rstest]
    #[case(0, "0:00", "0.00")]
    #[case(12_349, "0:12", "12.34")]
    #[case(65_000, "1:05", "65.00")]
    #[case(3_600_000, "60:00", "3600.00")]
    fn durations_read_well(#[case] ms: i64, #[case] in_minutes: &str, #[case] in_seconds: &str) {
        assert_eq!((minutes(ms), seconds(ms)), (in_minutes.to_owned(), in_seconds.to_owned()));
    }
}
