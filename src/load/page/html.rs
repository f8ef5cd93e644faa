//! The elements that the page is made of. Text becomes markup here and nowhere else, so that nothing from outside is
//! ever taken for an element.

/// A text as markup: what is special is escaped, and characters that no document may have are replaced.
pub(super) fn text(text: &str) -> String {
    let allowed = |char: char| match char {
        '\u{FFFE}' | '\u{FFFF}' => '\u{FFFD}',
        // Controls, and those that turn the direction of everything after them.
        _ if char.is_control() && char != '\n' => '\u{FFFD}',
        '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => '\u{FFFD}',
        _ => char,
    };
    let allowed: String = text.chars().map(allowed).collect();
    quick_xml::escape::escape(&*allowed).into_owned()
}

/// A heading and what belongs to it, which is markup.
pub(super) fn section(title: &str, body: &str) -> String {
    format!("<section>\n<h2>{}</h2>\n{body}</section>\n", text(title))
}

pub(super) fn paragraph(content: &str) -> String {
    format!("<p>{}</p>\n", text(content))
}

/// A list; nothing if it is empty.
pub(super) fn list(items: &[String]) -> String {
    let items: String = items.iter().map(|item| format!("<li>{}</li>\n", text(item))).collect();
    if items.is_empty() { items } else { format!("<ul>\n{items}</ul>\n") }
}

/// What, and how it is.
pub(super) fn facts(facts: &[(&str, String)]) -> String {
    let rows = facts.iter().map(|(term, fact)| format!("<dt>{}</dt><dd>{}</dd>\n", text(term), text(fact)));
    format!("<dl>\n{}</dl>\n", rows.collect::<String>())
}

/// A table; the first cell of a row says what it is about, the others are numbers.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let row = |cells: String| format!("<tr>{cells}</tr>\n");
    let head: String = head.iter().map(|cell| format!("<th>{}</th>", text(cell))).collect();
    let cells = |cells: &[String; N]| cells.iter().map(|cell| format!("<td>{}</td>", text(cell))).collect();
    let rows: String = rows.iter().map(|cells_of| row(cells(cells_of))).collect();
    format!(
        "<div class=\"wide\"><table>\n<thead>{}</thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n",
        row(head)
    )
}

/// A number with its thousands apart.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            // A narrow space at which no line is broken.
            grouped.push('\u{202F}');
        }
        grouped.push(digit);
    }
    grouped
}

/// A measured value with one decimal.
pub(super) fn tenths(value: f64) -> String {
    format!("{value:.1}")
}

/// A share of one core.
pub(super) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// A share, or a dash where it is not known.
pub(super) fn percent_if(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), percent)
}

pub(super) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// A time for people: `45 s`, `3 min 20 s`, `1 h 0 min`.
pub(super) fn span(ms: u64) -> String {
    let seconds = (ms + 500) / 1000;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, 0) => format!("{minutes} min"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}
