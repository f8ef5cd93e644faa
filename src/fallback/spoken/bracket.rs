//! What stands in square brackets: links, citations, footnotes, remarks, and numbers that are to be said.

use super::inline::{LINK_MAX, REMARK_MAX, URL_MAX, unless_long};
use super::{Found, Place, View, stage};

/// Longer numbers are no citations.
const CITED_DIGITS_MAX: usize = 3;

/// Names before the number of a citation, in lower case: DeepSeek's `citation:3`, Gemini's `cite: 1`, Azure's `doc1`,
/// Perplexity's `web:1`.
const CITED: [&str; 15] = [
    "citation",
    "citations",
    "cite",
    "cited",
    "source",
    "sources",
    "src",
    "ref",
    "refs",
    "reference",
    "doc",
    "document",
    "web",
    "oaicite",
    "footnote",
];

/// Marks around citations that have no number.
const MARKS: [&str; 4] = ["cite_start", "cite_end", "citation needed", "citation"];

/// Words before a number that is to be said, in lower case: `Press [1]`, `option [2]`, `or [3]`, `your code is [4]`.
const CHOICES: [&str; 60] = [
    "press",
    "pressing",
    "push",
    "hit",
    "dial",
    "key",
    "keys",
    "enter",
    "type",
    "say",
    "choose",
    "select",
    "pick",
    "option",
    "options",
    "number",
    "numbers",
    "digit",
    "digits",
    "button",
    "extension",
    "ext",
    "menu",
    "choice",
    "or",
    "is",
    "are",
    "was",
    "code",
    "pin",
    "drücken",
    "drücke",
    "wählen",
    "taste",
    "tasten",
    "nummer",
    "ziffer",
    "sie",
    "oder",
    "ist",
    "appuyez",
    "tapez",
    "composez",
    "touche",
    "numéro",
    "sur",
    "ou",
    "est",
    "pulse",
    "presione",
    "marque",
    "oprima",
    "tecla",
    "opción",
    "número",
    "es",
    "premi",
    "premere",
    "tasto",
    "toets",
];

/// `[text](address)` is its text; `[1]`, `[^1]`, `[4†source]` and `[laughs]` are nothing; `[sic]` is what it is.
pub(super) fn bracket(view: View<'_>) -> Found {
    if view.text == "[" && !view.is_over {
        return Found::More;
    }
    if view.text.starts_with("[[") {
        return double(view);
    }
    let Some(end) = view.text.find(']') else {
        return unless_long(view, LINK_MAX);
    };
    let (content, after) = (&view.text[1..end], &view.text[end + 1..]);
    if content.contains('\n') {
        return Found::No;
    }
    if after.is_empty() && !view.is_over {
        return Found::More;
    }
    let (is_note, is_cited) = (is_note(content), is_citation(content));
    if view.place != Place::Inside
        && (is_note || is_cited)
        && let Some(defined) = after.strip_prefix(':')
    {
        return definition(view, is_cited, defined.trim_start());
    }
    if is_note && !after.starts_with('(') {
        return note(view);
    }
    let is_nothing = is_note || is_cited;
    let target = match after.chars().next() {
        Some('(') => Some(')'),
        Some('[') if !is_nothing => Some(']'),
        _ => None,
    };
    if let Some(close) = target {
        return match after[1..].find(close) {
            Some(at) if is_nothing => Found::Text(end + 1 + at + 2, String::new()),
            Some(at) => Found::Again(end + 1 + at + 2, content.to_owned()),
            None => unless_long(view, URL_MAX),
        };
    }
    let is_box = matches!(content, " " | "x" | "X");
    if is_cited || is_box || stage::is_direction(content) {
        Found::Text(end + 1, String::new())
    } else {
        Found::No
    }
}

/// `【4†source】`; in other places these brackets are text.
pub(super) fn wide(view: View<'_>) -> Found {
    let Some(end) = view.text.find('】') else { return unless_long(view, REMARK_MAX) };
    let content = &view.text['【'.len_utf8()..end];
    let is_cited =
        is_citation(content) || is_note(content) || content.chars().all(|c| c.is_ascii_digit() || c == ':');
    if is_cited { Found::Text(end + '】'.len_utf8(), String::new()) } else { Found::No }
}

/// `[[1]](address)` is nothing.
fn double(view: View<'_>) -> Found {
    let Some(end) = view.text.find(']') else { return unless_long(view, LINK_MAX) };
    let content = &view.text[2..end];
    if !(is_note(content) || is_citation(content)) {
        return Found::No;
    }
    let after = &view.text[end + 1..];
    match after.strip_prefix(']') {
        None if after.is_empty() && !view.is_over => Found::More,
        None => Found::No,
        Some("") if !view.is_over => Found::More,
        Some(rest) if rest.starts_with('(') => match rest.find(')') {
            Some(close) => Found::Text(end + 2 + close + 1, String::new()),
            None => unless_long(view, URL_MAX),
        },
        Some(_) => Found::Text(end + 2, String::new()),
    }
}

/// Numbers in brackets: a citation where they are attached to a word or several stand together, and where nothing
/// before them asks for a number.
fn note(view: View<'_>) -> Found {
    let Some(notes) = notes(view) else { return Found::More };
    let is_attached = view.last.is_some_and(|c| !c.is_whitespace());
    let is_asked_for = view.solid.is_some_and(|c| c.is_alphanumeric() || c == ':')
        && CHOICES.contains(&&*view.word.to_lowercase());
    let is_label = view.place != Place::Inside;
    let digits = notes.numbers.iter().flat_map(|number| number.chars()).filter(char::is_ascii_digit).count();
    let is_long = notes.numbers.len() == 1 && digits > CITED_DIGITS_MAX;
    let is_said = !is_attached && (is_asked_for || is_label || is_long);
    Found::Text(notes.len, if is_said { notes.numbers.join(" ") } else { String::new() })
}

/// Numbers in brackets, one after the other.
struct Notes<'a> {
    numbers: Vec<&'a str>,
    len: usize,
}

/// `None`: more may come.
fn notes(view: View<'_>) -> Option<Notes<'_>> {
    let mut notes = Notes { numbers: Vec::new(), len: 0 };
    loop {
        let rest = &view.text[notes.len..];
        let next = rest.strip_prefix(' ').filter(|_| notes.len > 0).unwrap_or(rest);
        let gap = rest.len() - next.len();
        let Some(inside) = next.strip_prefix('[') else {
            return (!next.is_empty() || view.is_over).then_some(notes);
        };
        match inside.find(']') {
            Some(end) if is_note(&inside[..end]) => {
                notes.numbers.push(inside[..end].trim());
                notes.len += gap + end + 2;
            }
            None if !view.is_over && (inside.is_empty() || is_note(inside)) => return None,
            Some(_) | None => return Some(notes),
        }
    }
}

/// `[^1]: Source.` and `[1]: https://…` at the beginning of a line are nothing; `[1]: Sales` is a label.
fn definition(view: View<'_>, is_cited: bool, defined: &str) -> Found {
    let addresses = ["http", "<http", "www."];
    let is_address = addresses.iter().any(|begin| defined.starts_with(begin));
    if !is_cited && !is_address {
        let may_be = !view.is_over && addresses.iter().any(|begin| begin.starts_with(defined));
        return if may_be { Found::More } else { note(view) };
    }
    match view.text.find('\n') {
        Some(end) => Found::Text(end, String::new()),
        None if view.is_over || view.text.len() > URL_MAX => Found::Text(view.text.len(), String::new()),
        None => Found::More,
    }
}

fn is_note(content: &str) -> bool {
    content.contains(|c: char| c.is_ascii_digit())
        && content.chars().all(|c| c.is_ascii_digit() || matches!(c, ',' | ' ' | '-' | '–'))
}

/// What can be nothing but a citation.
fn is_citation(content: &str) -> bool {
    let lower = content.trim().to_lowercase();
    let after = |name: &&str| {
        lower.strip_prefix(*name).map(|rest| rest.trim_start_matches([':', ' ', '#', '-', '_', '.']))
    };
    let is_number =
        |rest: &str| rest.split([',', ';']).all(|part| is_note(part.trim()) || is_numbered(part.trim()));
    content.contains('†')
        || content.starts_with('^')
        || MARKS.contains(&&*lower)
        || CITED.iter().filter_map(after).any(is_number)
        || (lower.starts_with("turn") && lower.contains(|c: char| c.is_ascii_digit()) && is_numbered(&lower))
}

/// One word with a number in it: `3:0`, `turn0search1`, `doc2`.
fn is_numbered(part: &str) -> bool {
    part.contains(|c: char| c.is_ascii_digit()) && part.chars().all(|c| c.is_ascii_alphanumeric() || c == ':')
}
