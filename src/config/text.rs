//! From the text of a configuration file to its values, with errors that name the key and the line.

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::error::{Position, Problem};
use super::{Config, GEMINI_API_KEY, TWILIO_AUTH_TOKEN, TWILIO_AUTH_TOKEN_SECONDARY};

pub(super) fn parse(text: &str) -> Result<Config, Problem> {
    let table = DeTable::parse(text).map_err(|error| problem(&error, text, None))?;
    let mut keys = Vec::new();
    collect(table.get_ref(), "", &mut keys);
    // First of all: no other error may print what a secret stands in.
    if let Some(problem) = keys.iter().find_map(|key| misplaced_secret(key, text)) {
        return Err(problem);
    }
    toml::from_str(text).map_err(|error| {
        let key = error.span().and_then(|span| owner(&keys, span.start));
        problem(&error, text, key)
    })
}

/// One key of the file and the bytes it covers, from its name to the end of its value.
#[derive(Debug)]
struct Key {
    path: String,
    start: usize,
    end: usize,
}

/// Lists every key below `table`, each before its children.
fn collect(table: &DeTable<'_>, prefix: &str, keys: &mut Vec<Key>) {
    for (name, value) in table {
        let path = if prefix.is_empty() {
            name.get_ref().to_string()
        } else {
            format!("{prefix}.{}", name.get_ref())
        };
        keys.push(span_of(path.clone(), name, value));
        collect_value(value, &path, keys);
    }
}

fn collect_value(value: &Spanned<DeValue<'_>>, path: &str, keys: &mut Vec<Key>) {
    match value.get_ref() {
        DeValue::Table(table) => collect(table, path, keys),
        DeValue::Array(array) => {
            for (index, item) in array.iter().enumerate() {
                let path = format!("{path}[{index}]");
                keys.push(Key { path: path.clone(), start: item.span().start, end: item.span().end });
                collect_value(item, &path, keys);
            }
        }
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => {}
    }
}

fn span_of(path: String, name: &Spanned<DeString<'_>>, value: &Spanned<DeValue<'_>>) -> Key {
    let (name, value) = (name.span(), value.span());
    Key { path, start: name.start.min(value.start), end: name.end.max(value.end) }
}

/// The innermost key that covers a byte.
fn owner(keys: &[Key], offset: usize) -> Option<String> {
    let covering = keys.iter().filter(|key| (key.start..key.end).contains(&offset));
    covering.min_by_key(|key| key.end - key.start).map(|key| key.path.clone())
}

/// Where a secret belongs whose key is in the file.
fn misplaced_secret(key: &Key, text: &str) -> Option<Problem> {
    let variable = secret_variable(&key.path)?;
    let position = Position::of(key.start, text);
    Some(Problem::Secret { position, key: key.path.clone(), variable })
}

fn secret_variable(path: &str) -> Option<&'static str> {
    let path = path.to_ascii_lowercase().replace(['_', '-'], "");
    let name = path.rsplit('.').next().unwrap_or_default();
    let is_secret = name.contains("apikey")
        || name.contains("authtoken")
        || ["key", "token", "secret", "password", "passwd", "credentials"].contains(&name);
    if !is_secret {
        return None;
    }
    let is_twilio = path.contains("twilio") || name.contains("authtoken");
    Some(match (is_twilio, name.contains("secondary")) {
        (true, true) => TWILIO_AUTH_TOKEN_SECONDARY,
        (true, false) => TWILIO_AUTH_TOKEN,
        (false, _) if path.starts_with("fallback") => "that `key_env` names",
        (false, _) => GEMINI_API_KEY,
    })
}

/// Only the message of the error: its `Display` quotes the line of the file.
fn problem(error: &toml::de::Error, text: &str, key: Option<String>) -> Problem {
    let message = error.message().lines().collect::<Vec<_>>().join(", ");
    let offset = error.span().map_or(0, |span| span.start);
    let remedy = remedy(&message);
    Problem::Invalid { position: Position::of(offset, text), key, message, remedy }
}

fn remedy(message: &str) -> String {
    let Some(rest) = message.strip_prefix("unknown field `") else {
        return "see patchcord.example.toml for every key and the kind of its value".to_owned();
    };
    // serde: unknown field `a`, expected `b` or `c` / expected one of `b`, `c`
    let mut names = rest.split('`').step_by(2);
    let unknown = names.next().unwrap_or_default();
    match nearest(unknown, names) {
        Some(name) => format!("did you mean `{name}`?"),
        None => "delete it, or see patchcord.example.toml for every key".to_owned(),
    }
}

/// The name most like `name`, if one is like it at all.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// Half of the letters in common and in order; `listn` is 0.83 like `listen`, unrelated words are below 0.4.
    const ALIKE: f64 = 0.5;
    let likeness = |known: &str| strsim::normalized_levenshtein(&name.to_lowercase(), &known.to_lowercase());
    known
        .map(|known| (likeness(known), known))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}
