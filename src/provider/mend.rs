//! Mends what services write in place of JSON: characters cut in two, and numbers that are none. Pure: text in, text
//! out.

use std::borrow::Cow;

/// Joins the halves of surrogate pairs across the frames of one stream: services that cut their words by tokens write
/// `"\ud83d"` in one frame and `"\ude00"` in the next (RFC 8259, section 8.2). A half that stays alone is left out.
#[derive(Debug, Default)]
pub(super) struct Halves {
    /// The first half that came last.
    first: Option<u16>,
}

/// Half of a surrogate pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    First(u16),
    Second(u16),
}

/// The length of an escape of a character.
const ESCAPE_LEN: usize = "\\ud83d".len();

impl Halves {
    /// The next frame, with nothing in it but whole characters.
    pub(super) fn join<'a>(&mut self, frame: &'a str) -> Cow<'a, str> {
        if !["\\ud", "\\uD"].iter().any(|escape| frame.contains(escape)) {
            return frame.into();
        }
        // A frame may repeat its words, as beside their probabilities: every second half has the same first one.
        let mut first = self.first.take();
        let mut out = String::with_capacity(frame.len() + ESCAPE_LEN);
        let mut rest = frame;
        while let Some(at) = rest.find('\\') {
            out.push_str(&rest[..at]);
            let escape = &rest[at..];
            let next = escape.get(ESCAPE_LEN..).and_then(half);
            let len = match (half(escape), next) {
                (Some(Half::First(_)), Some(Half::Second(_))) => {
                    out.push_str(&escape[..2 * ESCAPE_LEN]);
                    2 * ESCAPE_LEN
                }
                (Some(Half::First(code)), _) => {
                    first = Some(code);
                    self.first = first;
                    ESCAPE_LEN
                }
                (Some(Half::Second(code)), _) => {
                    out.extend(first.map(|first| format!("\\u{first:04x}\\u{code:04x}")));
                    ESCAPE_LEN
                }
                (None, _) => {
                    let len = escape.chars().take(2).map(char::len_utf8).sum();
                    out.push_str(&escape[..len]);
                    len
                }
            };
            rest = &escape[len..];
        }
        out.push_str(rest);
        out.into()
    }
}

/// The half that `text` begins with.
fn half(text: &str) -> Option<Half> {
    let digits = text.get(..ESCAPE_LEN)?.strip_prefix("\\u")?;
    let is_hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let code = u16::from_str_radix(digits, 16).ok().filter(|_| is_hexadecimal)?;
    match code {
        0xD800..0xDC00 => Some(Half::First(code)),
        0xDC00..0xE000 => Some(Half::Second(code)),
        _ => None,
    }
}

/// The text with `null` in place of numbers that JSON has not: `NaN`, `-Infinity` (Python), `nan`, `inf`, `1.#INF` (C),
/// `1e999`.
pub(super) fn without_odd_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let is_mark = c.is_whitespace() || matches!(c, '{' | '}' | '[' | ']' | ':' | ',');
        let len = match c {
            '"' => string_len(rest),
            _ if is_mark => c.len_utf8(),
            _ => rest.find(|c: char| c.is_whitespace() || "{}[]:,\"".contains(c)).unwrap_or(rest.len()),
        };
        let (token, later) = rest.split_at(len);
        out.push_str(if is_odd_number(token) { "null" } else { token });
        rest = later;
    }
    out
}

/// The length of the string that `text` begins with, quotes included.
fn string_len(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text.char_indices().skip(1).find(|(_, c)| {
        let is_end = *c == '"' && !is_escaped;
        is_escaped = *c == '\\' && !is_escaped;
        is_end
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

fn is_odd_number(token: &str) -> bool {
    let unsigned = token.trim_start_matches(['-', '+']).to_ascii_lowercase();
    let is_of_windows = unsigned.starts_with("1.#") || unsigned.starts_with("nan(");
    // Rust reads all the others, and what is too large for a number as infinite.
    is_of_windows || unsigned.parse::<f64>().is_ok_and(|number| !number.is_finite())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    #[rstest]
    #[case::two_frames(&[r#"{"a":"x\ud83d"}"#, r#"{"a":"\ude42y"}"#], "x🙂y")]
    #[case::capitals(&[r#"{"a":"\uD83D"}"#, r#"{"a":"\uDE42"}"#], "🙂")]
    #[case::a_frame_between(&[r#"{"a":"\ud83d"}"#, r#"{"ping":1}"#, r#"{"a":"\ude42"}"#], "🙂")]
    #[case::a_letter_of_a_name(&[r#"{"a":"\ud842"}"#, r#"{"a":"\udfb7\u91ce"}"#], "𠮷野")]
    #[case::two_in_a_row(&[r#"{"a":"\ud83d"}"#, r#"{"a":"\ude42\ud83d"}"#, r#"{"a":"\ude00"}"#], "🙂😀")]
    #[case::whole_ones(&[r#"{"a":"\ud83d\ude42\ud83d"}"#, r#"{"a":"\ude00"}"#], "🙂😀")]
    #[case::words_said_twice(&[r#"{"b":"\ud83d","a":"\ud83d"}"#, r#"{"b":"\ude42","a":"\ude42"}"#], "🙂")]
    #[case::two_documents_in_a_frame(&["{\"a\":\"\\ud83d\"}\n{\"a\":\"\\ude42\"}"], "🙂")]
    #[case::only_the_first(&[r#"{"a":"x\ud83d"}"#, r#"{"a":"y"}"#], "xy")]
    #[case::only_the_second(&[r#"{"a":"x\ude42y"}"#], "xy")]
    #[case::an_escaped_backslash(&[r#"{"a":"\\ud83d\ud83d"}"#, r#"{"a":"\\\ude42"}"#], "\\ud83d\\🙂")]
    #[case::no_code(&[r#"{"a":"\\u+d83"}"#], "\\u+d83")]
    fn a_character_that_was_cut_in_two_is_whole(#[case] frames: &[&str], #[case] expected: &str) {
        let mut halves = Halves::default();
        let mut words = String::new();
        for frame in frames {
            let frame = halves.join(frame);
            for document in serde_json::Deserializer::from_str(&frame).into_iter::<Value>() {
                words.push_str(document.unwrap()["a"].as_str().unwrap_or_default());
            }
        }
        assert_eq!(words, expected);
    }

    #[rstest]
    #[case::python(r#"{"a":NaN,"b":[Infinity,-Infinity],"c":"NaN"}"#, json!({"a": null, "b": [null, null], "c": "NaN"}))]
    #[case::c(r#"{"a":nan,"b": -nan ,"c":-inf,"d":1.5}"#, json!({"a": null, "b": null, "c": null, "d": 1.5}))]
    #[case::windows(r#"{"a":-1.#IND,"b":1.#INF,"c":-nan(ind)}"#, json!({"a": null, "b": null, "c": null}))]
    #[case::too_large(r#"{"a":1e999,"b":-1e5}"#, json!({"a": null, "b": -1e5}))]
    #[case::in_a_text(r#"{"a":"inf, NaN: \"-Infinity\"","b":true}"#, json!({"a": "inf, NaN: \"-Infinity\"", "b": true}))]
    #[case::a_list("[NaN]", json!([null]))]
    fn numbers_that_are_none_are_null(#[case] text: &str, #[case] expected: Value) {
        assert_eq!(serde_json::from_str::<Value>(&without_odd_numbers(text)).unwrap(), expected);
    }

    #[rstest]
    #[case("{\"a\":NaN")]
    #[case("\"\\")]
    #[case("{\"a")]
    #[case("ä∞NaN")]
    #[case("")]
    fn what_is_cut_or_strange_is_left(#[case] text: &str) {
        assert_eq!(without_odd_numbers(text).replace("null", "NaN"), text);
    }
}
