//! What only the beginning of a line has: bullets and headings, tables, JSON, the name of who speaks.

use super::{Found, Mode, Place, View, json};

/// A longer row is text with bars in it.
const ROW_MAX: usize = 1000;

/// Names under which models put their own words.
const OWN: [&str; 6] = ["assistant:", "ai assistant:", "ai:", "agent:", "bot:", "final answer:"];

/// Names under which models go on for the other side.
const OTHERS: [&str; 5] = ["user:", "human:", "caller:", "customer:", "system:"];

/// Where a model begins that was taught to think, act and answer in lines of text.
const THOUGHT: &str = "thought:";

/// Channels of the harmony format whose tokens a server took out: `analysisThe caller … assistantfinalWe have …`.
const CHANNELS: [&str; 2] = ["analysis", "commentary"];

pub(super) fn find(view: View<'_>) -> Found {
    if view.place == Place::Inside {
        return Found::No;
    }
    match view.text.chars().next() {
        Some(c) if c != '\n' && c.is_whitespace() => Found::Text(c.len_utf8(), String::new()),
        Some('|') => row(view),
        Some('{' | '[') => json::find(view),
        Some('=' | '_') => rule(view),
        Some(c) if is_mark(c) => marks(view),
        Some(c) if c.is_ascii_alphabetic() => name(view),
        _ => Found::No,
    }
}

/// What begins a heading, a list item or a quotation.
const fn is_mark(c: char) -> bool {
    matches!(c, '#' | '-' | '+' | '>' | '•' | '‣' | '◦' | '▪' | '●' | '■' | '–' | '—' | '→')
}

/// Marks with whitespace behind them; anything else is text: `-5`, `+49`, `#1`.
fn marks(view: View<'_>) -> Found {
    let len = view.text.len() - view.text.trim_start_matches(is_mark).len();
    view.once_known(len, || {
        let marks = &view.text[..len];
        let is_dash = matches!(marks, "–" | "—");
        let is_mark = view.text[len..].chars().next().is_none_or(char::is_whitespace) && !is_dash;
        Found::Text(len, if is_mark || marks.chars().count() >= 3 { String::new() } else { marks.to_owned() })
    })
}

/// A line under a heading, or between two parts.
fn rule(view: View<'_>) -> Found {
    let len = view.run('=').max(view.run('_'));
    view.once_known(len, || if len >= 3 { Found::Text(len, String::new()) } else { Found::No })
}

/// A row of a table is its cells, one after the other; the row under its head is nothing.
fn row(view: View<'_>) -> Found {
    let end = view.text.find('\n');
    if end.is_none() && !view.is_over {
        return if view.text.len() > ROW_MAX { Found::Text(1, String::new()) } else { Found::More };
    }
    let end = end.unwrap_or(view.text.len());
    let row = &view.text[..end];
    if row.chars().all(|c| matches!(c, '|' | '-' | ':' | '+' | '=' | ' ' | '\t' | '\r')) {
        return Found::Text(end, String::new());
    }
    let cells = row.split('|').map(str::trim).filter(|cell| !cell.is_empty());
    let cells = cells.collect::<Vec<_>>().join(", ");
    Found::Again(end, if cells.ends_with(['.', '!', '?']) { cells } else { format!("{cells}.") })
}

/// A name before the words: the model's own goes, and what follows the other side's is not said by the agent.
fn name(view: View<'_>) -> Found {
    let begin: String = view.text.chars().take(20).flat_map(char::to_lowercase).collect();
    if let Some(name) = OWN.iter().find(|name| begin.starts_with(**name)) {
        return Found::Text(name.len(), String::new());
    }
    if begin.starts_with(THOUGHT) {
        return Found::Skip(THOUGHT.len(), super::hidden::react());
    }
    let is_later = view.place == Place::LineStart;
    if is_later && OTHERS.iter().any(|name| begin.starts_with(name)) {
        return Found::Skip(view.text.len(), Mode::Rest);
    }
    let may_be = |name: &&str| name.starts_with(&*begin);
    let may_be_name = OWN.iter().any(may_be) || may_be(&THOUGHT) || (is_later && OTHERS.iter().any(may_be));
    if may_be_name && !view.is_over {
        return Found::More;
    }
    if is_later { Found::No } else { stripped(view) }
}

fn stripped(view: View<'_>) -> Found {
    for channel in CHANNELS {
        match view.text.strip_prefix(channel) {
            Some("") if !view.is_over => return Found::More,
            Some(rest) if rest.starts_with(|c: char| c.is_uppercase()) => {
                return Found::Skip(channel.len(), super::hidden::stripped());
            }
            None if channel.starts_with(view.text) && !view.is_over => return Found::More,
            Some(_) | None => {}
        }
    }
    Found::No
}
