//! NUL in text. Neither PostgreSQL nor the functions of SQLite take it, and a line of the log must not be lost for it.
//!
//! It is written as a noncharacter, which Unicode keeps free "for internal use" (The Unicode Standard, section
//! 23.7), and so are the noncharacters used here: what was written is what is read.

use serde_json::Value;

/// Stands for NUL.
const NUL: char = '\u{fdd0}';
/// Before one of these three in the original text; followed by its stand-in.
const ESCAPE: char = '\u{fdd1}';

/// The first byte of both in UTF-8: almost no text has it.
const LEAD: u8 = 0xef;

/// Text as it is stored.
pub(super) fn escape(text: &str) -> String {
    if !text.as_bytes().contains(&0) && !text.as_bytes().contains(&LEAD) {
        return text.to_owned();
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\0' => escaped.push(NUL),
            NUL => escaped.extend([ESCAPE, '0']),
            ESCAPE => escaped.extend([ESCAPE, '1']),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Text as it was.
pub(super) fn unescape(text: &str) -> String {
    if !text.as_bytes().contains(&LEAD) {
        return text.to_owned();
    }
    let mut original = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            NUL => original.push('\0'),
            ESCAPE => match chars.next() {
                Some('0') => original.push(NUL),
                Some('1') => original.push(ESCAPE),
                Some(other) => original.extend([ESCAPE, other]),
                None => original.push(ESCAPE),
            },
            c => original.push(c),
        }
    }
    original
}

/// [`escape`] for every text in a JSON value, names among them.
pub(super) fn escape_json(value: Value) -> Value {
    map(value, escape)
}

/// [`unescape`] for every text in a JSON value, names among them.
pub(super) fn unescape_json(value: Value) -> Value {
    map(value, unescape)
}

fn map(value: Value, text: fn(&str) -> String) -> Value {
    match value {
        Value::String(string) => Value::String(text(&string)),
        Value::Array(values) => values.into_iter().map(|value| map(value, text)).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (text(&name), map(value, text))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    proptest! {
        #[test]
        fn what_was_written_is_what_is_read(text in "[a\0\u{fdd0}\u{fdd1}01é]{0,40}") {
            let escaped = escape(&text);
            prop_assert!(!escaped.contains('\0'));
            prop_assert_eq!(unescape(&escaped), text);
        }
    }

    #[test]
    fn text_without_nul_is_stored_as_it_is() {
        assert_eq!(escape("Grüße 👋"), "Grüße 👋");
        assert_eq!(escape("a\0b"), "a\u{fdd0}b");
    }

    #[test]
    fn json_is_escaped_in_depth() {
        let value = json!({"a\0": ["b\0", {"c": 1}], "d": null});
        let escaped = escape_json(value.clone());
        assert!(!escaped.to_string().contains("\\u0000"));
        assert_eq!(unescape_json(escaped), value);
    }
}
