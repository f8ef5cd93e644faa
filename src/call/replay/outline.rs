//! A line in short, for people: long texts, which are mostly audio, are cut.

use serde_json::Value;

/// What a person reads of one text.
const TEXT_MAX: usize = 100;

/// The content of an input or output line, in one line.
pub(super) fn outline(line: &str) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(line) else { return line.to_owned() };
    let content = ["in", "out"].into_iter().find_map(|key| value.get_mut(key).map(Value::take));
    let mut content = content.unwrap_or(value);
    shorten(&mut content);
    content.to_string()
}

/// The content in short, and the points of the audio: for two lines that differ.
pub(super) fn outline_with_wave(line: &str) -> String {
    let wave =
        serde_json::from_str::<Value>(line).ok().and_then(|mut line| Some(line.get_mut("wave")?.take()));
    match wave {
        Some(wave) => format!("{} {wave}", outline(line)),
        None => outline(line),
    }
}

fn shorten(value: &mut Value) {
    match value {
        Value::String(text) => {
            let count = text.chars().count();
            if count > TEXT_MAX {
                let start: String = text.chars().take(TEXT_MAX / 4).collect();
                *text = format!("{start}… ({count} characters)");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(shorten),
        Value::Object(fields) => fields.iter_mut().for_each(|(_, field)| shorten(field)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
