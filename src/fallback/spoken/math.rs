//! Formulas in LaTeX. Their marks go, and what is simple is spoken: `\(\frac{1}{2} \times 4\)` is `1/2 × 4`, which
//! voices read in their own language. `$5` is a price.

use super::{Found, View, hidden};

/// A longer one in a line is none.
const INLINE_MAX: usize = 120;

/// A longer one is none.
const FORMULA_MAX: usize = 400;

/// A longer one in a formula is a word.
const NAME_MAX: usize = 3;

/// Formulas with these are no speech at all.
const UNSPEAKABLE: [&str; 10] = [
    "\\begin",
    "\\sum",
    "\\int",
    "\\prod",
    "\\partial",
    "\\nabla",
    "\\forall",
    "\\exists",
    "\\matrix",
    "\\cases",
];

/// Commands that are one character.
const SYMBOLS: [(&str, &str); 24] = [
    ("times", "×"),
    ("cdot", "·"),
    ("div", "÷"),
    ("pm", "±"),
    ("leq", "≤"),
    ("le", "≤"),
    ("geq", "≥"),
    ("ge", "≥"),
    ("neq", "≠"),
    ("ne", "≠"),
    ("approx", "≈"),
    ("infty", "∞"),
    ("pi", "π"),
    ("circ", "°"),
    ("degree", "°"),
    ("rightarrow", "→"),
    ("ldots", "…"),
    ("dots", "…"),
    ("cdots", "…"),
    ("quad", " "),
    ("qquad", " "),
    ("alpha", "α"),
    ("beta", "β"),
    ("Delta", "Δ"),
];

/// Commands whose name is the word for it.
const NAMES: [&str; 18] = [
    "gamma", "delta", "epsilon", "theta", "lambda", "mu", "sigma", "phi", "omega", "sin", "cos", "tan",
    "log", "ln", "exp", "lim", "max", "min",
];

/// Commands around a group that is spoken.
const GROUPS: [&str; 12] = [
    "frac",
    "dfrac",
    "tfrac",
    "sqrt",
    "boxed",
    "text",
    "textbf",
    "textit",
    "mathrm",
    "mathbf",
    "operatorname",
    "mathit",
];

/// `$…$` and `$$…$$`.
pub(super) fn dollar(view: View<'_>) -> Found {
    if let Some(content) = view.text.strip_prefix("$$") {
        let content = content.find("$$").map_or_else(|| whole_words(content), |end| &content[..end]);
        return if is_prose(content, NAME_MAX) { Found::No } else { between(view, "$$", "$$") };
    }
    let content = &view.text[1..];
    match content.chars().next() {
        None if !view.is_over => return Found::More,
        None => return Found::No,
        Some(c) if c.is_whitespace() || !view.is_at_word() => return Found::No,
        Some(_) => {}
    }
    match content.find('$') {
        Some(end) => view.once_known(end + 2, || {
            let after = content[end + 1..].chars().next();
            let is_closed = !content[..end].ends_with(char::is_whitespace)
                && !after.is_some_and(|c| c.is_ascii_digit())
                && !content[..end].contains('\n');
            if is_closed && !is_prose(&content[..end], letters_max(&content[..end])) {
                Found::Text(end + 2, speakable(&content[..end]))
            } else {
                Found::No
            }
        }),
        None if view.is_over || content.len() > INLINE_MAX || content.contains('\n') => Found::No,
        None if is_price(content) || is_prose(whole_words(content), letters_max(content)) => Found::No,
        None => Found::More,
    }
}

/// `\(…\)`, `\[…\]`, and commands outside of these; [`Found::No`] for any other backslash.
pub(super) fn backslash(view: View<'_>) -> Found {
    match view.text.chars().nth(1) {
        None if !view.is_over => Found::More,
        Some('(') => between(view, "\\(", "\\)"),
        Some('[') => between(view, "\\[", "\\]"),
        Some(c) if c.is_ascii_alphabetic() => command(view),
        Some(_) | None => Found::No,
    }
}

/// What is between two marks. Where it is no formula, it loses nothing by being read as one.
fn between(view: View<'_>, open: &str, close: &str) -> Found {
    let content = &view.text[open.len()..];
    match content.find(close) {
        Some(end) => Found::Text(open.len() + end + close.len(), speakable(&content[..end])),
        None if view.is_over || content.len() > FORMULA_MAX => Found::No,
        None => Found::More,
    }
}

/// A command in the middle of words.
fn command(view: View<'_>) -> Found {
    let rest = &view.text[1..];
    let len = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let name = &rest[..len];
    let may_be_longer = len == rest.len() && !view.is_over;
    let begins = |known: &&str| known.starts_with(name);
    if may_be_longer {
        let is_any = SYMBOLS.iter().any(|(known, _)| begins(known)) || GROUPS.iter().any(&begins);
        return if is_any || begins(&"begin") { Found::More } else { Found::No };
    }
    if let Some((_, symbol)) = SYMBOLS.iter().find(|(known, _)| *known == name) {
        return Found::Text(1 + len, (*symbol).to_owned());
    }
    let is_group = rest[len..].starts_with('{');
    if name == "begin" && is_group {
        return match rest.find('}') {
            Some(end) => Found::Skip(1 + end + 1, hidden::environment(&rest[len + 1..end])),
            None if view.is_over || rest.len() > INLINE_MAX => Found::No,
            None => Found::More,
        };
    }
    if !is_group || !GROUPS.contains(&name) {
        return Found::No;
    }
    let groups_len = groups_len(&rest[len..], if name.ends_with("frac") { 2 } else { 1 });
    match groups_len {
        Some(groups) => Found::Text(1 + len + groups, speakable(&view.text[..1 + len + groups])),
        None if view.is_over || rest.len() > FORMULA_MAX => Found::No,
        None => Found::More,
    }
}

/// The length of so many groups in braces.
fn groups_len(text: &str, count: usize) -> Option<usize> {
    (0..count)
        .try_fold(0, |len, _| Some(len + group(&text[len..]).filter(|_| text[len..].starts_with('{'))?.1))
}

/// An amount and nothing else of a formula: `5.50,`, `10)`, `5 a`.
fn is_price(content: &str) -> bool {
    let after = content.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | ','));
    let amount = &content[..content.len() - after.len()];
    let is_clause_over = amount.ends_with(['.', ',']) && after.starts_with(char::is_whitespace);
    !amount.is_empty() && (is_clause_over || after.starts_with([')', '!', '?', ';', ':', '"', '”', '%']))
}

/// Without the word that may have more letters.
fn whole_words(content: &str) -> &str {
    content.trim_end_matches(char::is_alphabetic)
}

/// The letters of the longest name in a formula: `E = mgh` has names of several letters, `$x$` has one.
fn letters_max(content: &str) -> usize {
    if content.contains(['=', '\\']) { NAME_MAX } else { 1 }
}

/// Whether there is a word of a language in it, which has more than so many letters.
fn is_prose(content: &str, letters_max: usize) -> bool {
    let (mut depth, mut is_command) = (0_usize, false);
    let mut letters = 0;
    for c in content.chars().chain([' ']) {
        if c.is_alphabetic() || c == '\'' {
            letters += usize::from(!is_command && depth == 0);
            continue;
        }
        let is_word =
            letters > letters_max && (c.is_whitespace() || matches!(c, '.' | ',' | ';' | ':' | '?' | '!'));
        if is_word {
            return true;
        }
        letters = 0;
        is_command = c == '\\';
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// A formula as voices read it; empty if they cannot.
fn speakable(formula: &str) -> String {
    if UNSPEAKABLE.iter().any(|command| formula.contains(command)) {
        return String::new();
    }
    let mut out = String::new();
    let mut rest = formula;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = match c {
            '\\' => symbol(after, &mut out),
            '^' => power(after, &mut out),
            '_' | '{' | '}' | '$' => after,
            '~' | '&' => {
                out.push(' ');
                after
            }
            c => {
                out.push(c);
                after
            }
        };
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What is after a backslash; gives the rest.
fn symbol<'a>(text: &'a str, out: &mut String) -> &'a str {
    let len = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (name, rest) = text.split_at(len);
    if let Some((_, symbol)) = SYMBOLS.iter().find(|(known, _)| *known == name) {
        out.push_str(symbol);
    } else if NAMES.contains(&name) {
        out.push_str(name);
    } else if name.ends_with("frac") {
        let Some((upper, upper_len)) = group(rest) else { return rest };
        let Some((lower, lower_len)) = group(&rest[upper_len..]) else { return rest };
        let parts = [upper, lower].map(|part| bracketed(&speakable(part)));
        out.push_str(&parts.join("/"));
        return &rest[upper_len + lower_len..];
    } else if name == "sqrt" {
        let Some((root, len)) = group(rest) else { return rest };
        out.push('√');
        out.push_str(&bracketed(&speakable(root)));
        return &rest[len..];
    } else if name.is_empty() {
        let Some(c) = rest.chars().next() else { return rest };
        out.push(if matches!(c, '%' | '$' | '#' | '_' | '{' | '}' | '(' | ')' | '[' | ']') {
            c
        } else {
            ' '
        });
        return &rest[c.len_utf8()..];
    }
    rest
}

/// What is after a `^`: raised, if there is a character for it; gives the rest.
fn power<'a>(text: &'a str, out: &mut String) -> &'a str {
    let raised = |c: char| {
        let places = "0123456789+-n".chars().zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ".chars());
        places.into_iter().find(|(plain, _)| *plain == c).map(|(_, raised)| raised)
    };
    if let Some((content, len)) = group(text)
        && let Some(raised) = content.chars().map(raised).collect::<Option<String>>()
    {
        out.push_str(&raised);
        return &text[len..];
    }
    text
}

/// A group in braces, or one character: its content and its length.
fn group(text: &str) -> Option<(&str, usize)> {
    let first = text.chars().next()?;
    if first != '{' {
        return Some((&text[..first.len_utf8()], first.len_utf8()));
    }
    let mut depth = 0_usize;
    let end = text.char_indices().find(|(_, c)| {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    end.map(|(end, _)| (&text[1..end], end + 1))
}

/// A sum in brackets, so that what is under it is known.
fn bracketed(part: &str) -> String {
    if part.contains([' ', '+', '-', '/']) { format!("({part})") } else { part.to_owned() }
}
