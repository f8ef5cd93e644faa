//! Tags and tokens: what is between some of them is not spoken, others only go themselves.

use super::{Found, Mode, Place, View};

/// A longer one is no tag.
const TAG_MAX: usize = 300;

/// A longer one is no token, bytes.
const TOKEN_MAX: usize = 50;

/// A message of the harmony format has a head no longer than this.
const HEAD_MAX: usize = 300;

/// Tags around what the model tells itself.
const THOUGHTS: [&str; 13] = [
    "think",
    "thinking",
    "thought",
    "thoughts",
    "reasoning",
    "reason",
    "reflection",
    "scratchpad",
    "analysis",
    "antthinking",
    "inner_monologue",
    "internal",
    "cot_budget_reflect",
];

/// Tags around calls of tools and what comes of them.
const TOOLS: [&str; 15] = [
    "tool_call",
    "tool_calls",
    "toolcall",
    "function_call",
    "function_calls",
    "function",
    "functions",
    "tool_response",
    "tool_result",
    "tool_results",
    "tool_code",
    "tool_use",
    "tool",
    "invoke",
    "tool_outputs",
];

/// Tags whose content is for machines.
const MACHINES: [&str; 4] = ["script", "style", "head", "svg"];

/// Tags that end a line.
const LINES: [&str; 16] =
    ["br", "p", "li", "ul", "ol", "tr", "div", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "table", "title"];

/// How a thought may end that began with another tag.
const THOUGHT_ENDS: &[&str] =
    &["</think>", "</thinking>", "</thought>", "</reasoning>", "[/THINK]", "◁/think▷"];

const HARMONY_ENDS: &[&str] = &["<|end|>", "<|return|>", "<|call|>", "<|start|>", "<|channel|>"];

/// What ends what is not spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    /// The closing tag of what began it; empty: there is none.
    own: String,
    others: &'static [&'static str],
    /// Whether the end is looked at again.
    is_kept: bool,
}

impl Ends {
    const fn any(others: &'static [&'static str]) -> Mode {
        Mode::Hidden(Self { own: String::new(), others, is_kept: false })
    }

    fn tag(name: &str, others: &'static [&'static str]) -> Mode {
        Mode::Hidden(Self { own: format!("</{name}>"), others, is_kept: false })
    }

    pub(super) fn find(&self, view: View<'_>) -> Found {
        let all =
            || std::iter::once(&*self.own).chain(self.others.iter().copied()).filter(|end| !end.is_empty());
        if let Some(end) = all().find(|end| begins(view.text, end)) {
            return Found::Skip(if self.is_kept { 0 } else { end.len() }, Mode::Text);
        }
        if !view.is_over && all().any(|end| begins(end, view.text)) {
            return Found::More;
        }
        let first = view.text.chars().next().map_or(0, char::len_utf8);
        Found::Skip(first, Mode::Hidden(self.clone()))
    }
}

/// Hidden up to the answer of a harmony message whose tokens were taken out.
pub(super) const fn stripped() -> Mode {
    Ends::any(&["assistantfinal"])
}

/// Hidden up to the answer of a model that thinks in lines.
pub(super) const fn react() -> Mode {
    Ends::any(&["final answer:"])
}

/// Hidden up to the end of an environment of LaTeX.
pub(super) fn environment(name: &str) -> Mode {
    Mode::Hidden(Ends { own: format!("\\end{{{name}}}"), others: &[], is_kept: false })
}

/// Hidden up to the end of a block of code.
pub(super) const fn code() -> Mode {
    Ends::any(&["```"])
}

/// Hidden up to the end of a citation in characters of private use.
pub(super) const fn citation() -> Mode {
    Ends::any(&["\u{E201}"])
}

pub(super) fn find(view: View<'_>) -> Found {
    let mut begin = view.text.chars();
    match (begin.next(), begin.next()) {
        (Some('<'), None) if !view.is_over => Found::More,
        (Some('<'), Some('|' | '｜')) => token(view),
        (Some('<'), Some('<')) => system(view),
        (Some('<'), Some('!')) => comment(view),
        (Some('<'), Some(c)) if c == '/' || c.is_ascii_alphabetic() => tag(view),
        (Some('◁'), _) => kimi(view),
        (Some('['), _) => bracket(view),
        _ => Found::No,
    }
}

/// `<<SYS>>` of Llama 2, around the instruction.
fn system(view: View<'_>) -> Found {
    let (open, end) = ("<<SYS>>", "<</SYS>>");
    if begins(view.text, open) {
        Found::Skip(open.len(), Ends::any(&["<</SYS>>"]))
    } else if begins(view.text, end) {
        Found::Text(end.len(), String::new())
    } else if !view.is_over && (begins(open, view.text) || begins(end, view.text)) {
        Found::More
    } else {
        Found::No
    }
}

/// Mistral's `[TOOL_CALLS]` and its relatives, which are written in capitals.
fn bracket(view: View<'_>) -> Found {
    let Some(end) = view.text.find(']') else {
        let is_name = |c: char| c.is_ascii_uppercase() || matches!(c, '_' | '/' | '[');
        let may_be = view.text.len() < 20 && view.text.chars().all(is_name);
        return if may_be && !view.is_over { Found::More } else { Found::No };
    };
    match &view.text[1..end] {
        "TOOL_CALLS" | "TOOL_CALL" | "TOOL_REQUEST" => Found::Skip(view.text.len(), Mode::Rest),
        "THINK" => Found::Skip(end + 1, Ends::any(THOUGHT_ENDS)),
        "/THINK" => close(end + 1, view),
        "AVAILABLE_TOOLS" => Found::Skip(end + 1, Ends::any(&["[/AVAILABLE_TOOLS]"])),
        "TOOL_RESULTS" => Found::Skip(end + 1, Ends::any(&["[/TOOL_RESULTS]"])),
        "SYSTEM_PROMPT" => Found::Skip(end + 1, Ends::any(&["[/SYSTEM_PROMPT]"])),
        // The next turn of the caller, which the model made up.
        "INST" if view.place != Place::TextStart => Found::Skip(end + 1, Ends::any(&["[/INST]"])),
        "INST" | "/INST" | "ARGS" | "BOS" | "EOS" | "PAD" | "UNK" | "SEP" | "CLS" | "SYS" | "/SYS" => {
            Found::Text(end + 1, String::new())
        }
        _ => Found::No,
    }
}

fn kimi(view: View<'_>) -> Found {
    let (open, end) = ("◁think▷", "◁/think▷");
    if view.text.starts_with(open) {
        Found::Skip(open.len(), Ends::any(THOUGHT_ENDS))
    } else if view.text.starts_with(end) {
        close(end.len(), view)
    } else if !view.is_over && (open.starts_with(view.text) || end.starts_with(view.text)) {
        Found::More
    } else {
        Found::No
    }
}

fn comment(view: View<'_>) -> Found {
    let open = "<!--";
    if view.text.starts_with(open) {
        Found::Skip(open.len(), Ends::any(&["-->"]))
    } else if open.starts_with(view.text) && !view.is_over {
        Found::More
    } else {
        Found::No
    }
}

/// A token of a chat format, `<|im_end|>`. Some write one bar, or wide ones.
fn token(view: View<'_>) -> Found {
    let Some(end) = view.text.find('>') else {
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '|' | '｜' | '▁' | '_' | '-' | ' ');
        let may_be = view.text.len() < TOKEN_MAX && view.text[1..].chars().all(is_name);
        return if may_be && !view.is_over { Found::More } else { unfinished(view) };
    };
    let len = end + 1;
    let inner = &view.text[1..end];
    let name = inner.trim_matches(['|', '｜']).trim().to_lowercase();
    if name.is_empty() || name.len() > 40 || name.contains(char::is_whitespace) {
        return Found::No;
    }
    let is_end = name.contains("end") || name.starts_with('/');
    match &*name {
        "channel" if inner.ends_with('|') => harmony(view, len),
        "channel" => Found::Skip(len, Ends::any(&["<channel|>"])),
        "start" | "im_start" | "start_header_id" | "start_of_role" => Found::Skip(len, Mode::Role),
        "user" | "human" | "system" | "observation" => match view.place {
            Place::TextStart => Found::Skip(len, Ends::any(&["<|assistant|>"])),
            Place::LineStart | Place::Inside => Found::Skip(view.text.len(), Mode::Rest),
        },
        "python_tag" => Found::Skip(view.text.len(), Mode::Rest),
        _ if name.contains("tool") && !is_end => Found::Skip(view.text.len(), Mode::Rest),
        _ if (name.contains("think") || name.contains("thought")) && !is_end => {
            Found::Skip(len, Ends::any(&["<|end_of_thought|>", "<|end_of_think|>", "<|/think|>", "</think>"]))
        }
        _ => Found::Text(len, String::new()),
    }
}

/// A message of the harmony format: only its channel `final` is for the caller.
fn harmony(view: View<'_>, len: usize) -> Found {
    const MESSAGE: &str = "<|message|>";
    let head = &view.text[len..];
    match head.find(MESSAGE) {
        Some(at) if head.trim_start().starts_with("final") => {
            Found::Text(len + at + MESSAGE.len(), String::new())
        }
        Some(at) => {
            let ends = Ends { own: String::new(), others: HARMONY_ENDS, is_kept: true };
            Found::Skip(len + at + MESSAGE.len(), Mode::Hidden(ends))
        }
        None if view.is_over => Found::Skip(view.text.len(), Mode::Rest),
        None if head.len() < HEAD_MAX => Found::More,
        None => Found::Text(len, String::new()),
    }
}

/// The name after a token that begins a message: another's message is not the agent's.
pub(super) fn role(view: View<'_>) -> Found {
    let len =
        view.text.len() - view.text.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len();
    view.once_known(len, || match &view.text[..len] {
        "user" | "human" | "system" | "tool" | "developer" => Found::Skip(view.text.len(), Mode::Rest),
        _ => Found::Skip(len, Mode::Text),
    })
}

/// A tag of XML or HTML.
fn tag(view: View<'_>) -> Found {
    let Some(end) = view.text.find('>') else { return unfinished(view) };
    let (inner, len) = (&view.text[1..end], end + 1);
    if inner.contains('@') && !inner.contains(' ') {
        return Found::Text(len, inner.to_owned());
    }
    if inner.starts_with("http") && inner.contains("://") {
        return Found::Again(len, format!("{inner} "));
    }
    let name_len = inner.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(inner.len());
    let (name, attributes) = inner.split_at(name_len);
    let is_tag = attributes.is_empty() || attributes.contains('=') || attributes.trim() == "/";
    if !is_tag
        || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | ':' | '-' | '.' | '|'))
    {
        return Found::No;
    }
    let is_closing = name.starts_with('/');
    let is_empty = inner.ends_with('/');
    let full = name.trim_matches('/');
    let plain = full.rsplit(':').next().unwrap_or(full).to_lowercase();
    let is_open = !is_closing && !is_empty;
    match &*plain {
        name if THOUGHTS.contains(&name) && is_open => Found::Skip(len, Ends::tag(full, THOUGHT_ENDS)),
        name if THOUGHTS.contains(&name) && is_closing => close(len, view),
        name if TOOLS.contains(&name) && is_open => Found::Skip(len, Ends::tag(full, &["</tool_call>"])),
        name if MACHINES.contains(&name) && is_open => Found::Skip(len, Ends::tag(full, &[])),
        "start_of_turn" => Found::Skip(len, Mode::Role),
        name if LINES.contains(&name) => Found::Text(len, "\n".to_owned()),
        "break" => Found::Text(len, " ".to_owned()),
        _ => Found::Text(len, String::new()),
    }
}

/// A thought ends here. If its beginning was not marked, what was given out before was a part of it.
const fn close(len: usize, view: View<'_>) -> Found {
    match view.place {
        Place::TextStart => Found::Text(len, String::new()),
        Place::LineStart | Place::Inside => Found::Retract(len),
    }
}

/// What may become a tag: a name, and then nothing but attributes.
fn unfinished(view: View<'_>) -> Found {
    let inner = &view.text[1..];
    let mut words = inner.split_whitespace().skip(1);
    let is_prose = inner.contains(['<', '\n'])
        || words.next().is_some_and(|word| !word.contains('=') && inner.ends_with(char::is_whitespace));
    if is_prose || view.text.len() > TAG_MAX {
        Found::No
    } else if view.is_over {
        Found::Skip(view.text.len(), Mode::Rest)
    } else {
        Found::More
    }
}

/// Whether `text` begins with `begin`, in letters of any case.
fn begins(text: &str, begin: &str) -> bool {
    text.get(..begin.len()).is_some_and(|head| head.eq_ignore_ascii_case(begin))
}
