//! What is anywhere in a line: links, addresses, citations, emphasis, code, formulas, entities, stage directions.

use super::{Found, View, bracket, hidden, math, stage};

/// A longer one is no link.
pub(super) const LINK_MAX: usize = 500;
pub(super) const URL_MAX: usize = 2048;
/// A longer one is no remark.
pub(super) const REMARK_MAX: usize = 60;

/// Names of what is written in a block of code and may all the same be the answer.
const PROSE: [&str; 6] = ["", "text", "txt", "markdown", "md", "plaintext"];

pub(super) fn find(view: View<'_>) -> Found {
    match view.text.chars().next() {
        Some(' ') if view.last.is_some_and(char::is_alphanumeric) => space(view),
        Some('[') => bracket::bracket(view),
        Some('!') => image(view),
        Some('(') => remark(view),
        Some('*') => star(view),
        Some('_') => underscore(view),
        Some('`') => code(view),
        Some('~') => run(view, '~'),
        Some('|') => bar(view),
        Some('&') => entity(view),
        Some(':' | ';') => emoticon(view),
        Some('\\') => escape(view),
        Some('$') => math::dollar(view),
        Some('【') => bracket::wide(view),
        Some('\u{E200}') => Found::Skip('\u{E200}'.len_utf8(), hidden::citation()),
        Some('h' | 'H' | 'w' | 'W') if view.is_at_word() => url(view),
        _ => Found::No,
    }
}

/// The space before what is not spoken goes too: `a room [1].` is `a room.`
fn space(view: View<'_>) -> Found {
    let rest = View { text: &view.text[1..], last: Some(' '), ..view };
    let found = match rest.text.chars().next() {
        None if !view.is_over => Found::More,
        Some('[') => bracket::bracket(rest),
        Some('【') => bracket::wide(rest),
        Some('(') => remark(rest),
        Some(_) | None => Found::No,
    };
    match found {
        Found::More => Found::More,
        Found::Text(len, text) if text.is_empty() => Found::Text(1 + len, text),
        Found::No | Found::Text(..) | Found::Again(..) | Found::Skip(..) | Found::Retract(_) => Found::No,
    }
}

fn image(view: View<'_>) -> Found {
    match view.text.chars().nth(1) {
        None if !view.is_over => Found::More,
        Some('[') => {
            let end = view.text.find("](").and_then(|at| Some(at + view.text[at..].find(')')?));
            end.map_or_else(|| unless_long(view, LINK_MAX), |end| Found::Text(end + 1, String::new()))
        }
        _ => Found::No,
    }
}

/// `(laughs)` is nothing, `(555)` and other words in brackets are what they are.
fn remark(view: View<'_>) -> Found {
    let content = &view.text[1..];
    let is_letter = |c: char| c.is_alphabetic() || matches!(c, ' ' | '-' | '\'' | '’' | ',');
    match content.find(|c| !is_letter(c)) {
        None => unless_long(view, REMARK_MAX),
        Some(end) if content[end..].starts_with(')') && stage::is_direction(&content[..end]) => {
            Found::Text(end + 2, String::new())
        }
        Some(_) => Found::No,
    }
}

/// Emphasis, or an action; `2 * 3` is what it is.
fn star(view: View<'_>) -> Found {
    let len = view.run('*');
    view.once_known(len, || if len > 1 { Found::Text(len, String::new()) } else { one_star(view) })
}

fn one_star(view: View<'_>) -> Found {
    let rest = &view.text[1..];
    let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    if is_digit(view.solid) && rest.trim_start().is_empty() && !view.is_over && rest.len() < 3 {
        return Found::More;
    }
    if is_digit(view.solid) && is_digit(rest.trim_start().chars().next()) {
        return Found::Text(1, "*".to_owned());
    }
    remark_between(view, '*')
}

/// `_emphasis_` goes, `snake_case` stays.
fn underscore(view: View<'_>) -> Found {
    let len = view.run('_');
    view.once_known(len, || {
        let next = view.text[len..].chars().next();
        let is_inside =
            view.last.is_some_and(char::is_alphanumeric) && next.is_some_and(char::is_alphanumeric);
        match (is_inside, len) {
            (true, _) => Found::Text(len, "_".repeat(len)),
            (false, 1) => remark_between(view, '_'),
            (false, _) => Found::Text(len, String::new()),
        }
    })
}

/// The mark goes; with it, up to the next one, what an actor would be told.
fn remark_between(view: View<'_>, mark: char) -> Found {
    let rest = &view.text[1..];
    let only_mark = || Found::Text(1, String::new());
    if !view.is_at_word() || rest.starts_with(char::is_whitespace) {
        return only_mark();
    }
    if let Some(end) = rest.find([mark, '\n']) {
        let is_action = rest[end..].starts_with(mark) && stage::is_action(&rest[..end]);
        return if is_action { Found::Text(end + 2, String::new()) } else { only_mark() };
    }
    let is_decided = rest.split_once(' ').is_some_and(|(first, _)| !stage::may_be_action(first));
    if is_decided || view.is_over || rest.len() > REMARK_MAX { only_mark() } else { Found::More }
}

/// Code in a line is its text; a block of it is not for ears, unless it is prose.
fn code(view: View<'_>) -> Found {
    let len = view.run('`');
    if len < 3 {
        return view.once_known(len, || Found::Text(len, String::new()));
    }
    let rest = &view.text[len..];
    match rest.find('\n') {
        Some(end) if PROSE.contains(&rest[..end].trim()) => Found::Text(len + end, String::new()),
        Some(end) if !rest[..end].contains(['`', ' ']) => Found::Skip(len + end, hidden::code()),
        Some(_) => Found::Text(len, String::new()),
        None if view.is_over || rest.len() > REMARK_MAX => Found::Text(len, String::new()),
        None => Found::More,
    }
}

/// A run of two marks or more goes; one is text: `~5`.
fn run(view: View<'_>, mark: char) -> Found {
    let len = view.run(mark);
    view.once_known(len, || if len > 1 { Found::Text(len, String::new()) } else { Found::No })
}

/// A bar between two words is a pause.
fn bar(view: View<'_>) -> Found {
    let len = view.run('|');
    view.once_known(len, || Found::Text(len, if len == 1 { ",".to_owned() } else { " ".to_owned() }))
}

fn escape(view: View<'_>) -> Found {
    let found = math::backslash(view);
    if found != Found::No {
        return found;
    }
    view.once_known(1, || match view.text.chars().nth(1) {
        Some('n') if view.text.len() == 2 && !view.is_over => Found::More,
        Some('n') if !view.text[2..].starts_with(|c: char| c.is_lowercase()) => {
            Found::Text(2, "\n".to_owned())
        }
        Some('`') => Found::Text(2, String::new()),
        Some(c) if c.is_ascii_punctuation() => Found::Text(2, c.to_string()),
        _ => Found::No,
    })
}

fn entity(view: View<'_>) -> Found {
    const NAME_MAX: usize = 10;
    let name = &view.text[1..];
    match name.find(|c: char| !(c.is_ascii_alphanumeric() || c == '#')) {
        Some(end) if name[end..].starts_with(';') => {
            decoded(&name[..end]).map_or(Found::No, |c| Found::Text(end + 2, c.to_string()))
        }
        None => unless_long(view, NAME_MAX),
        Some(_) => Found::No,
    }
}

/// The character of an entity of HTML.
pub(in crate::fallback) fn decoded(name: &str) -> Option<char> {
    let number = |text: &str| match text.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    };
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" | "rsquo" | "lsquo" => '\'',
        "ldquo" | "rdquo" => '"',
        "nbsp" | "ensp" | "emsp" | "thinsp" => ' ',
        "ndash" => '–',
        "mdash" => '—',
        "hellip" => '…',
        "euro" => '€',
        "pound" => '£',
        "deg" => '°',
        "auml" => 'ä',
        "ouml" => 'ö',
        "uuml" => 'ü',
        "szlig" => 'ß',
        "eacute" => 'é',
        _ => char::from_u32(number(name.strip_prefix('#')?)?)?,
    })
}

/// `:)` and `:smile:` are pictures; `:contentReference[oaicite:0]{index=0}` is a citation.
fn emoticon(view: View<'_>) -> Found {
    const FACES: [&str; 12] = [":)", ":-)", ";)", ";-)", ":(", ":-(", ":D", ":-D", ":P", ":-P", ":/", ":'("];
    const CITED: &str = ":contentReference[";
    if view.text.starts_with(CITED) {
        let end = view.text.find('}').map(|end| Found::Text(end + 1, String::new()));
        return end.unwrap_or_else(|| unless_long(view, REMARK_MAX));
    }
    let is_spaced = view.last.is_none_or(char::is_whitespace);
    if is_spaced && let Some(face) = FACES.iter().find(|face| view.text.starts_with(**face)) {
        let next = view.text[face.len()..].chars().next();
        return view.once_known(face.len(), || {
            if next.is_some_and(char::is_alphanumeric) {
                Found::No
            } else {
                Found::Text(face.len(), String::new())
            }
        });
    }
    let name = &view.text[1..];
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let name_len = name.find(|c| !is_name(c));
    match name_len {
        _ if !view.is_over && CITED.starts_with(view.text) => Found::More,
        _ if !is_spaced => Found::No,
        None if view.is_over || name.len() > REMARK_MAX => Found::No,
        None => Found::More,
        Some(0)
            if view.text.len() < 3
                && !view.is_over
                && FACES.iter().any(|face| face.starts_with(view.text)) =>
        {
            Found::More
        }
        Some(len) if len > 1 && name[len..].starts_with(':') => Found::Text(len + 2, String::new()),
        Some(_) => Found::No,
    }
}

/// An address is the name of its host: the rest cannot be understood.
fn url(view: View<'_>) -> Found {
    let begin: String = view.text.chars().take(8).flat_map(char::to_lowercase).collect();
    let schemes = ["https://", "http://", "www."];
    let Some(scheme) = schemes.iter().find(|scheme| begin.starts_with(**scheme)) else {
        let may_be = !view.is_over && schemes.iter().any(|scheme| scheme.starts_with(&*begin));
        return if may_be { Found::More } else { Found::No };
    };
    let is_end =
        |c: char| c.is_whitespace() || matches!(c, ')' | ']' | '>' | '<' | '"' | '»' | '|' | '*' | '`');
    let end = view.text.find(is_end);
    if end.is_none() && !view.is_over && view.text.len() < URL_MAX {
        return Found::More;
    }
    let whole = &view.text[..end.unwrap_or(view.text.len())];
    let address = whole.trim_end_matches(['.', ',', ';', ':', '!', '?', '\'', '。', '，']);
    let rest = address.get(scheme.len()..).unwrap_or_default();
    let host = rest.split(['/', '?', '#', ':']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    Found::Text(address.len(), host.strip_prefix("www.").unwrap_or(host).to_owned())
}

/// It may yet become one, unless it is over or too long for it.
pub(super) fn unless_long(view: View<'_>, max: usize) -> Found {
    if view.is_over || view.text.len() > max || view.text.contains('\n') { Found::No } else { Found::More }
}
