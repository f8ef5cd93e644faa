//! JSON where a sentence was expected: the call of a tool as text, or an answer in an object.

use serde_json::Value;

use super::{Found, Mode, View};

/// The fields in which an object has the words that are meant for the caller.
const WORDS: [&str; 9] =
    ["response", "answer", "text", "message", "content", "reply", "speech", "say", "output"];

/// An object or a list of objects at the beginning of a line.
pub(super) fn find(view: View<'_>) -> Found {
    let text = view.text;
    let mut begin = text.chars().filter(|c| !c.is_whitespace());
    let is_json = match (begin.next(), begin.next()) {
        (Some('{'), Some('"' | '}')) | (Some('['), Some('{')) => true,
        (Some('{' | '['), None) if !view.is_over => return Found::More,
        _ => false,
    };
    if !is_json {
        return Found::No;
    }
    match end(text) {
        Some(end) => {
            serde_json::from_str(&text[..end]).map_or(Found::No, |value| Found::Text(end, words(&value)))
        }
        // What was cut off is not for ears either.
        None if view.is_over => Found::Skip(text.len(), Mode::Rest),
        None => Found::More,
    }
}

/// The words of an answer in an object; none of the call of a tool.
fn words(value: &Value) -> String {
    let has_arguments = ["arguments", "parameters", "tool_calls", "function", "tool"];
    if has_arguments.iter().any(|name| value.get(name).is_some()) {
        return String::new();
    }
    let words = WORDS.iter().find_map(|name| value.get(name)?.as_str());
    words.unwrap_or_default().to_owned()
}

/// Where the first value ends.
fn end(text: &str) -> Option<usize> {
    let (mut depth, mut is_string, mut is_escaped) = (0_usize, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_string => is_escaped = true,
            '"' => is_string = !is_string,
            '{' | '[' if !is_string => depth += 1,
            '}' | ']' if !is_string => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}
