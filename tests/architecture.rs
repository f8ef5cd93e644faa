//! The rules of the code base that the compiler does not know: who may import whom, what the pure modules must
//! not touch, how large things may get.
//!
//! A small scanner reads `src/`: it blanks comments and literals, cuts the rest into tokens and marks test code,
//! that is `tests.rs`, `tests/` and every item under `#[cfg(test)]`. It expands no macro and follows no alias
//! or glob. The snippets at the end show that each rule can find what it looks for.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::ops::Range;
use std::path::Path;

use rstest::rstest;

/// Who may import whom: a module sees the rows above its own. `lib.rs` documents the same table.
const ROWS: [(u8, &[&str]); 11] = [
    (0, &["id", "time", "secret", "breaker", "dialogue", "base64", "json", "media_type"]),
    (1, &["audio"]),
    (2, &["carrier", "live", "job"]),
    (3, &["fallback"]),
    (4, &["call"]),
    (5, &["net", "diagnostics", "machine"]),
    (6, &["store", "provider"]),
    (7, &["bridge", "sim"]),
    (8, &["server", "load"]),
    (9, &["config"]),
    (10, &["cli"]),
];
/// The last row that is a function of its inputs.
const PURE_LINE: u8 = 4;
/// What the simulated peers must not share with the program they test, or both could be wrong together.
const HIDDEN_FROM_SIM: [&str; 7] = ["bridge", "net", "carrier", "live", "call", "store", "provider"];

/// Crates that do input and output or roll dice; `tokio` stands for `tokio_util` and its other relatives too.
const IMPURE_CRATES: [&str; 6] = ["tokio", "axum", "sqlx", "reqwest", "hyper", "rand"];
/// The same in paths of crates that are allowed: the operating system, the clock, randomness.
const IMPURE_PATHS: [&[&str]; 9] = [
    &["std", "fs"],
    &["std", "env"],
    &["std", "net"],
    &["std", "thread"],
    &["Instant", "now"],
    &["SystemTime", "now"],
    &["now_utc"],
    &["new_v4"],
    &["now_v7"],
];

const FILE_LINES_MAX: usize = 500;
const FN_LINES_MAX: usize = 70;
const PARAMETERS_MAX: usize = 5;
const FIELDS_MAX: usize = 16;
const ARMS_MAX: usize = 5;

#[test]
fn every_file_of_src_belongs_to_a_module_of_the_table() {
    demand(&sources("src"), unknown_module);
}

#[test]
fn a_module_imports_only_from_rows_above_its_own() {
    demand(&sources("src"), imports);
}

#[test]
fn the_server_never_touches_the_call_machine() {
    demand(&sources("src"), call_in_server);
}

#[test]
fn modules_above_the_pure_line_have_no_io_no_clock_and_no_randomness() {
    demand(&sources("src"), impurities);
}

#[test]
fn files_functions_structs_and_selects_stay_small() {
    demand(&sources("src"), sizes);
}

#[test]
fn every_file_of_src_begins_with_what_it_is() {
    demand(&sources("src"), missing_doc);
}

#[test]
fn no_test_sleeps_and_none_is_ignored() {
    demand(&[sources("src"), sources("tests")].concat(), idle_tests);
}

type Rule = fn(&Source) -> Vec<String>;

/// Fails with every offence in every file.
#[track_caller]
fn demand(sources: &[Source], rule: Rule) {
    let offences: Vec<_> = sources.iter().flat_map(rule).collect();
    assert!(offences.is_empty(), "{} offences:\n{}\n", offences.len(), offences.join("\n"));
}

fn unknown_module(source: &Source) -> Vec<String> {
    let known = source.is_root() || row(source.module()).is_some();
    let text = format!(
        "module `{}` is in no row; give it one in `ROWS` here and in the table of lib.rs",
        source.module()
    );
    if known { Vec::new() } else { vec![source.offence(1, &text)] }
}

fn imports(source: &Source) -> Vec<String> {
    let paths = source.paths().into_iter().filter(|path| !path.in_test);
    let resolved = paths.filter_map(|path| Some((path.line, source.resolve(&path)?.first()?.clone())));
    resolved
        .filter_map(|(line, target)| Some(source.offence(line, &import_error(source, &target)?)))
        .collect()
}

/// What is wrong with an import of the module `target` in `source`.
fn import_error(source: &Source, target: &str) -> Option<String> {
    let own = source.module();
    let Some(below) = row(target) else {
        return Some(format!("`crate::{target}` is no module of the table; import from where it is defined"));
    };
    if own == "main" && target != "cli" {
        return Some(format!("main.rs uses `{target}`; it only hands over to `cli`, move this there"));
    }
    if source.is_root() || own == target {
        return None;
    }
    if own == "sim" && HIDDEN_FROM_SIM.contains(&target) {
        return Some(format!(
            "`sim` sees `{target}`; a peer shares no code with what it tests, write it anew"
        ));
    }
    let above = row(own)?;
    (below >= above).then(|| {
        format!(
            "`{own}` (row {above}) imports `{target}` (row {below}); import only from rows above, \
             pass the value in or move it up"
        )
    })
}

fn call_in_server(source: &Source) -> Vec<String> {
    if source.module() != "server" {
        return Vec::new();
    }
    let text = "`server` touches the machine `Call`; go through `bridge`";
    let is_call = |path: &UsePath| {
        path.ends_in(&["call", "*"]) || path.has(&["call", "Call"]) || path.has(&["Call", "answer"])
    };
    let paths = source.paths().into_iter().filter(|path| !path.in_test && is_call(path));
    paths.map(|path| source.offence(path.line, text)).collect()
}

fn impurities(source: &Source) -> Vec<String> {
    if source.is_root() || row(source.module()).is_none_or(|row| row > PURE_LINE) {
        return Vec::new();
    }
    let paths = source.paths().into_iter().filter(|path| !path.in_test);
    paths
        .filter_map(|path| {
            let what = path.impurity()?;
            let text = format!("`{what}` above the pure line; take its result as an argument");
            Some(source.offence(path.line, &text))
        })
        .collect()
}

fn sizes(source: &Source) -> Vec<String> {
    let mut offences = Vec::new();
    let mut limit = |line, what: &str, size, max, remedy| {
        if size > max {
            offences.push(source.offence(line, &format!("{what}: {size}, at most {max}; {remedy}")));
        }
    };
    limit(1, "lines without tests", source.lines_without_tests(), FILE_LINES_MAX, "split off a module");
    for (at, token) in source.tokens.iter().enumerate().filter(|(_, token)| !token.in_test) {
        let name = source.word(at + 1);
        match token.text.as_str() {
            "fn" if is_word(name) => {
                let (parameters, lines) = source.function(at);
                limit(token.line, &format!("lines of `{name}`"), lines, FN_LINES_MAX, "name its parts");
                let what = format!("parameters of `{name}`");
                limit(token.line, &what, parameters, PARAMETERS_MAX, "give them a struct");
            }
            "struct" if is_word(name) => {
                let what = format!("fields of `{name}`");
                limit(token.line, &what, source.fields(at), FIELDS_MAX, "group what belongs together");
            }
            "select" if name == "!" => {
                limit(token.line, "arms of `select!`", source.arms(at), ARMS_MAX, "join sources of events");
            }
            _ => (),
        }
    }
    offences
}

fn missing_doc(source: &Source) -> Vec<String> {
    let text = "does not start with `//!`; say what the module is and what it does not know";
    if source.text.starts_with("//!") { Vec::new() } else { vec![source.offence(1, text)] }
}

/// Sleeping needs a reason, `// allowed: …` on its line or the line before; ignoring has none.
fn idle_tests(source: &Source) -> Vec<String> {
    let mut offences = Vec::new();
    for (at, token) in source.tokens.iter().enumerate().filter(|(_, token)| token.in_test) {
        let next = source.word(at + 1);
        let is_attribute = at > 1 && source.word(at - 1) == "[" && source.word(at - 2) == "#";
        match token.text.as_str() {
            "ignore" if is_attribute => {
                offences.push(source.offence(token.line, "ignored test; repair it or delete it"));
            }
            "sleep" | "sleep_until" if next == "(" && !source.is_allowed(token.line) => {
                let text = "a test sleeps; wait for the event, or advance a paused clock";
                offences.push(source.offence(token.line, text));
            }
            _ => (),
        }
    }
    offences
}

fn row(module: &str) -> Option<u8> {
    ROWS.iter().find(|(_, modules)| modules.contains(&module)).map(|(row, _)| *row)
}

/// One file, scanned.
#[derive(Clone)]
struct Source {
    /// Relative to the crate, with `/`.
    path: String,
    text: String,
    tokens: Vec<Token>,
    /// Lines of items under `#[cfg(test)]`, from 1.
    test_lines: Vec<Range<usize>>,
}

#[derive(Clone)]
struct Token {
    text: String,
    line: usize,
    in_test: bool,
}

/// A path as written, `use` groups multiplied out.
struct UsePath {
    segments: Vec<String>,
    line: usize,
    in_test: bool,
    /// Inline modules around it, outermost first.
    inside: Vec<String>,
}

impl UsePath {
    fn has(&self, wanted: &[&str]) -> bool {
        self.segments.windows(wanted.len()).any(|window| window == wanted)
    }

    fn ends_in(&self, wanted: &[&str]) -> bool {
        self.segments.len() >= wanted.len() && self.segments[self.segments.len() - wanted.len()..] == *wanted
    }

    fn impurity(&self) -> Option<String> {
        let is_relative = |segment: &str, name: &str| {
            segment == name || segment.strip_prefix(name).is_some_and(|rest| rest.starts_with('_'))
        };
        let head = self.segments.first()?;
        let outside = IMPURE_CRATES.iter().find(|name| is_relative(head, name)).map(|_| head.clone());
        let inside = || IMPURE_PATHS.iter().find(|path| self.has(path)).map(|path| path.join("::"));
        outside.or_else(inside)
    }
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let mut tokens = tokenize(&blank(text));
        let is_test = path.starts_with("tests/") || path.ends_with("/tests.rs") || path.contains("/tests/");
        let items = test_items(&tokens);
        for (at, token) in tokens.iter_mut().enumerate() {
            token.in_test = is_test || items.iter().any(|item| item.contains(&at));
        }
        let mut test_lines: Vec<_> =
            items.iter().map(|item| tokens[item.start].line..tokens[item.end - 1].line + 1).collect();
        if is_test {
            test_lines.push(1..text.lines().count() + 1);
        }
        Self { path: path.to_owned(), text: text.to_owned(), tokens, test_lines }
    }

    fn offence(&self, line: usize, text: &str) -> String {
        format!("{}:{line}: {text}", self.path)
    }

    /// The first segment below `src/`.
    fn module(&self) -> &str {
        let below = self.path.strip_prefix("src/").unwrap_or(&self.path);
        below.split('/').next().unwrap_or(below).trim_end_matches(".rs")
    }

    fn is_root(&self) -> bool {
        matches!(self.path.as_str(), "src/lib.rs" | "src/main.rs")
    }

    /// The text of a token, empty past the end.
    fn word(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &token.text)
    }

    fn lines_without_tests(&self) -> usize {
        let lines = 1..=self.text.lines().count();
        lines.filter(|line| !self.test_lines.iter().any(|range| range.contains(line))).count()
    }

    fn is_allowed(&self, line: usize) -> bool {
        let mut lines = self.text.lines().skip(line.saturating_sub(2)).take(2);
        lines.any(|line| line.split_once("// allowed: ").is_some_and(|(_, reason)| !reason.trim().is_empty()))
    }

    fn paths(&self) -> Vec<UsePath> {
        let modules = inline_modules(&self.tokens);
        let mut paths = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            let begin = paths.len();
            let inside = modules.iter().filter(|(_, body)| body.contains(&at));
            let inside: Vec<_> = inside.map(|(name, _)| name.clone()).collect();
            at = self.path_at(at, &[], &mut paths);
            paths[begin..].iter_mut().for_each(|path| path.inside.clone_from(&inside));
        }
        paths
    }

    /// Adds the paths that begin with `prefix` and go on at a token; where to read on.
    fn path_at(&self, mut at: usize, prefix: &[String], paths: &mut Vec<UsePath>) -> usize {
        let start = &self.tokens[at];
        let mut segments = prefix.to_vec();
        while is_word(self.word(at)) || (self.word(at) == "*" && !segments.is_empty()) {
            segments.push(self.word(at).to_owned());
            at += 1;
            if self.word(at) != "::" {
                break;
            }
            at += 1;
            if self.word(at) == "{" {
                return self.group_at(at, &segments, paths);
            }
        }
        if segments.len() == prefix.len() {
            return at + 1;
        }
        paths.push(UsePath { segments, line: start.line, in_test: start.in_test, inside: Vec::new() });
        at
    }

    /// The same for `{a, b::c, d as e}`.
    fn group_at(&self, open: usize, prefix: &[String], paths: &mut Vec<UsePath>) -> usize {
        let close = closing(&self.tokens, open);
        let mut at = open + 1;
        while at < close {
            match self.word(at) {
                "as" => at += 2,
                "{" => at = self.group_at(at, prefix, paths),
                _ => at = self.path_at(at, prefix, paths),
            }
        }
        close + 1
    }

    /// The path from the root of the crate, if it says where it begins.
    fn resolve(&self, path: &UsePath) -> Option<Vec<String>> {
        let (head, rest) = path.segments.split_first()?;
        let mut absolute = match head.as_str() {
            "crate" => Vec::new(),
            "patchcord" if self.is_root() => Vec::new(),
            "self" => self.here(path),
            "super" => {
                let mut here = self.here(path);
                here.pop()?;
                here
            }
            _ => return None,
        };
        for segment in rest {
            match segment.as_str() {
                "self" => (),
                "super" => drop(absolute.pop()?),
                name => absolute.push(name.to_owned()),
            }
        }
        Some(absolute)
    }

    /// The module in which a path stands.
    fn here(&self, path: &UsePath) -> Vec<String> {
        let file = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        let file = file.strip_suffix("/mod").unwrap_or(file);
        let file = if self.is_root() { "" } else { file };
        file.split('/')
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .chain(path.inside.clone())
            .collect()
    }

    /// The parameters besides `self` and the lines, braces included, of the function at its `fn`.
    fn function(&self, at: usize) -> (usize, usize) {
        let open = self.after_generics(at + 2);
        let close = closing(&self.tokens, open);
        let parameters = split(&self.tokens[open + 1..close]);
        let is_receiver = |parameter: &&[Token]| {
            let name = parameter.iter().take_while(|token| token.text != ":").last();
            name.is_some_and(|token| token.text == "self")
        };
        let receivers = parameters.iter().take(1).filter(|parameter| is_receiver(parameter)).count();
        let mut end = close + 1;
        while !matches!(self.word(end), "{" | ";" | "") {
            end = if is_open(self.word(end)) { closing(&self.tokens, end) + 1 } else { end + 1 };
        }
        if self.word(end) == "{" {
            end = closing(&self.tokens, end);
        }
        let last = self.tokens[end.min(self.tokens.len() - 1)].line;
        (parameters.len() - receivers, last - self.tokens[at].line + 1)
    }

    fn fields(&self, at: usize) -> usize {
        let mut open = self.after_generics(at + 2);
        if self.word(open) == "where" {
            open += self.tokens[open..].iter().take_while(|token| !matches!(&*token.text, "{" | ";")).count();
        }
        if is_open(self.word(open)) {
            split(&self.tokens[open + 1..closing(&self.tokens, open)]).len()
        } else {
            0
        }
    }

    fn arms(&self, at: usize) -> usize {
        let close = closing(&self.tokens, at + 2);
        let mut inside = at + 3;
        let mut arms = 0;
        while inside < close {
            arms += usize::from(self.word(inside) == "=>");
            inside = if is_open(self.word(inside)) { closing(&self.tokens, inside) } else { inside } + 1;
        }
        arms
    }

    fn after_generics(&self, mut at: usize) -> usize {
        let mut depth = 0;
        loop {
            match self.word(at) {
                "<" => depth += 1,
                ">" => depth -= 1,
                "" => return at,
                _ => (),
            }
            if depth == 0 {
                return if self.word(at) == ">" { at + 1 } else { at };
            }
            at += 1;
        }
    }
}

/// Every `.rs` file under a folder of the crate, in order of name.
fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
                sources.push(Source::new(&name, &fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!sources.is_empty(), "no source in {folder}");
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

/// The text with comments and the insides of literals as spaces; lines stay lines.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = at + opaque(&chars[at..], at.checked_sub(1).map(|before| chars[before]));
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

/// The length of the comment or literal that begins here, 0 if none does.
fn opaque(rest: &[char], before: Option<char>) -> usize {
    match rest {
        ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
        ['/', '*', ..] => block_comment(rest),
        ['"', ..] => quoted(rest, '"'),
        ['\'', '\\', ..] | ['\'', _, '\'', ..] => quoted(rest, '\''),
        ['r', '"' | '#', ..] if !before.is_some_and(is_word_char) || matches!(before, Some('b' | 'c')) => {
            raw(rest)
        }
        _ => 0,
    }
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// A raw string from its `r`; 0 for a raw identifier.
fn raw(rest: &[char]) -> usize {
    let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let mut end = vec!['"'];
    end.extend(vec!['#'; hashes]);
    let body = hashes + 2;
    let length = rest[body..].windows(end.len()).position(|window| window == end);
    length.map_or(rest.len(), |length| body + length + end.len())
}

fn tokenize(code: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (line, text) in code.lines().enumerate() {
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = match first {
                c if is_word_char(c) => rest.find(|c| !is_word_char(c)).unwrap_or(rest.len()),
                _ if ["::", "->", "=>"].iter().any(|symbol| rest.starts_with(symbol)) => 2,
                c => c.len_utf8(),
            };
            tokens.push(Token { text: rest[..length].to_owned(), line: line + 1, in_test: false });
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_word(text: &str) -> bool {
    text.starts_with(is_word_char)
}

fn is_open(text: &str) -> bool {
    matches!(text, "(" | "[" | "{")
}

/// The bracket that closes the one at `open`, or the end of the file.
fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => (),
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len()
}

/// The parts between commas that stand in no bracket.
fn split(tokens: &[Token]) -> Vec<&[Token]> {
    let mut depth = 0;
    let parts = tokens.split(|token| {
        match token.text.as_str() {
            "(" | "[" | "{" | "<" => depth += 1,
            ")" | "]" | "}" | ">" => depth -= 1,
            _ => (),
        }
        depth == 0 && token.text == ","
    });
    parts.filter(|part| !part.is_empty()).collect()
}

/// The items under `#[cfg(test)]`, from the `#` to the `;` or the closing brace.
fn test_items(tokens: &[Token]) -> Vec<Range<usize>> {
    let is_start = |at: &usize| {
        let window = tokens[*at..].iter().take(7).map(|token| token.text.as_str());
        window.eq(["#", "[", "cfg", "(", "test", ")", "]"])
    };
    let end = |mut at: usize| {
        while at < tokens.len() && !matches!(tokens[at].text.as_str(), ";" | "{") {
            at = if is_open(&tokens[at].text) { closing(tokens, at) + 1 } else { at + 1 };
        }
        (closing(tokens, at) + 1).min(tokens.len())
    };
    (0..tokens.len()).filter(is_start).map(|start| start..end(start)).collect()
}

/// The modules with a body, and the body's tokens.
fn inline_modules(tokens: &[Token]) -> Vec<(String, Range<usize>)> {
    let is_module = |at: &usize| tokens[*at].text == "mod" && tokens[*at + 2].text == "{";
    let found = (0..tokens.len().saturating_sub(2)).filter(is_module);
    found.map(|at| (tokens[at + 1].text.clone(), at + 2..closing(tokens, at + 2))).collect()
}

/// The lines on which a rule finds something.
fn lines(rule: Rule, path: &str, text: &str) -> Vec<usize> {
    let offences = rule(&Source::new(path, text));
    let line = |offence: &String| offence.split(':').nth(1).unwrap().parse().unwrap();
    offences.iter().map(line).collect()
}

#[rstest]
#[case::a_row_below("src/call/mod.rs", "use crate::net::Link;")]
#[case::the_same_row("src/live/wire.rs", "use crate::carrier::Event;")]
#[case::a_re_export("src/audio/mod.rs", "pub(crate) use crate::call::Call;")]
#[case::a_path_in_code("src/store/mod.rs", "fn f() -> crate::server::State {}")]
#[case::one_of_a_group("src/call/mod.rs", "use crate::{audio, live::{self, Event}, store as log};")]
#[case::super_to_the_root("src/call/uplink.rs", "use super::super::net::Link;")]
#[case::super_in_a_group("src/call/uplink.rs", "use super::{Event, super::net};")]
#[case::super_out_of_an_inline_module("src/call.rs", "mod a { use super::super::net; }")]
#[case::self_then_super("src/call.rs", "use self::super::net;")]
#[case::everything("src/call/mod.rs", "use crate::*;")]
#[case::an_unknown_module("src/call/mod.rs", "use crate::helpers::x;")]
#[case::the_program_in_its_peer("src/sim/gemini/mod.rs", "use crate::live::wire;")]
#[case::config_outside_cli("src/server/mod.rs", "use crate::config::Config;")]
#[case::main_past_cli("src/main.rs", "use patchcord::server;")]
#[case::not_only_tests("src/call/mod.rs", "use crate::net; #[cfg(test)] mod tests { use crate::cli; }")]
fn a_forbidden_import_is_found(#[case] path: &str, #[case] text: &str) {
    assert_eq!(lines(imports, path, &format!("//! Doc.\n{text}")), [2]);
}

#[rstest]
#[case::a_row_above("src/call/mod.rs", "use crate::{audio, live::{self, Event}, id::CallId as Id};")]
#[case::itself("src/call/mod.rs", "use crate::call::record; use self::uplink::Uplink; pub(crate) struct A;")]
#[case::super_inside_the_module("src/sim/gemini/session.rs", "use super::super::net; pub(super) fn f() {}")]
#[case::a_comment("src/call/mod.rs", "// crate::net\n/// [`crate::net`]\n/* /* */ crate::net */ fn f() {}")]
#[case::a_string(
    "src/call/mod.rs",
    r####"const A: &str = r#"" crate::net"#; const B: &[u8] = b"\" crate::net";"####
)]
#[case::after_a_char("src/call/mod.rs", "fn f<'a>(c: &'a char) { c == '\"'; } // crate::net \"")]
#[case::a_test("src/call/mod.rs", "#[cfg(test)]\n#[allow(x)]\nmod tests { use crate::net; }")]
#[case::a_test_file("src/call/tests.rs", "use crate::net;")]
#[case::cli_and_config("src/cli/check/summary.rs", "use crate::config::Config;")]
#[case::main_and_cli("src/main.rs", "use patchcord::cli;")]
fn a_good_import_is_left_alone(#[case] path: &str, #[case] text: &str) {
    assert_eq!(imports(&Source::new(path, text)), [""; 0]);
}

#[rstest]
#[case::a_folder("src/helpers/mod.rs", 1)]
#[case::a_file("src/helpers.rs", 1)]
#[case::a_known_one("src/id.rs", 0)]
#[case::the_root("src/lib.rs", 0)]
fn a_module_outside_the_table_is_found(#[case] path: &str, #[case] count: usize) {
    assert_eq!(lines(unknown_module, path, "").len(), count);
}

#[rstest]
#[case::imported("src/server/media.rs", "use crate::call::{Call, agent::Agent};", 1)]
#[case::made("src/server/media.rs", "let call = Call::answer(admission, now);", 1)]
#[case::with_everything("src/server/media.rs", "use crate::call::*;", 1)]
#[case::its_vocabulary("src/server/media.rs", "use crate::call::{Admission, record::Entry};", 0)]
#[case::in_the_bridge("src/bridge/mod.rs", "use crate::call::Call;", 0)]
fn the_machine_in_the_server_is_found(#[case] path: &str, #[case] text: &str, #[case] count: usize) {
    assert_eq!(lines(call_in_server, path, text).len(), count);
}

#[rstest]
#[case::a_crate("use tokio::time;", 1)]
#[case::its_relative("use tokio_util::sync;", 1)]
#[case::randomness("let x = rand::random();", 1)]
#[case::the_system("use std::{env, fmt, net::IpAddr};", 2)]
#[case::the_clock("let now = time::Instant::now();", 1)]
#[case::the_other_clock("let now = OffsetDateTime::now_utc();", 1)]
#[case::an_id_out_of_nowhere("let id = Uuid::new_v4();", 1)]
#[case::a_name_that_only_begins_so("use std::time::Instant; fn random(rands: u8, now: Instant) {}", 0)]
#[case::a_test("#[cfg(test)]\nmod tests { fn f() { Instant::now(); } }", 0)]
fn an_impurity_above_the_pure_line_is_found(#[case] text: &str, #[case] count: usize) {
    assert_eq!(lines(impurities, "src/live/mod.rs", text).len(), count);
    assert_eq!(lines(impurities, "src/net/mod.rs", text).len(), 0);
}

#[rstest]
#[case::a_long_file("// line\n".repeat(501), vec![1])]
#[case::a_file_that_fits("// line\n".repeat(500), vec![])]
#[case::tests_do_not_count(format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "// line\n".repeat(501)), vec![])]
#[case::a_long_function(format!("\npub async fn f() {{\n{}}}\n", "    // {\n".repeat(69)), vec![2])]
#[case::a_function_that_fits(format!("\nfn f() {{\n{}}}\n", "    g(\"}\");\n".repeat(68)), vec![])]
#[case::six_parameters("fn f<F: Fn(u8) -> u8>(a: F, b: (u8, u8), c: M<u8, u8>, d: u8, e: u8, f: u8);".into(), vec![1])]
#[case::five_and_self("fn f(&mut self, a: u8, b: (u8, u8), c: M<u8, u8>, d: u8, e: u8,) -> [u8; 2] {}".into(), vec![])]
#[case::seventeen_fields(format!("struct S<T: A<B>> {{ {} }}", "pub a: M<u8, T>,\n".repeat(17)), vec![1])]
#[case::seventeen_with_a_condition(format!("struct S<T> where T: F(u8) {{ {} }}", "a: u8,".repeat(17)), vec![1])]
#[case::sixteen_fields(format!("struct S; struct T({});", "#[x(a, b)] u8,".repeat(16)), vec![])]
#[case::six_arms(format!("tokio::select! {{ biased; {} }}", "a = b(|| c) => d,\n".repeat(6)), vec![1])]
#[case::five_arms(format!("select! {{ {} }}", "a = b => { match c { d => e, f => g } }\n".repeat(5)), vec![])]
fn what_is_too_large_is_found(#[case] text: String, #[case] expected: Vec<usize>) {
    assert_eq!(lines(sizes, "src/net/link.rs", &text), expected);
}

#[rstest]
#[case::code("use std::fmt;", 1)]
#[case::a_comment("// Text.", 1)]
#[case::a_doc("//! Text.", 0)]
fn a_file_without_its_doc_is_found(#[case] text: &str, #[case] count: usize) {
    assert_eq!(lines(missing_doc, "src/net/tests.rs", text).len(), count);
}

#[rstest]
#[case::asleep("tests/server.rs", "tokio::time::sleep(A).await;", 1)]
#[case::asleep_in_a_unit_test("src/net/tests.rs", "sleep_until(a).await;", 1)]
#[case::ignored("tests/server.rs", "#[test]\n#[ignore = \"slow\"]\nfn f() {}", 1)]
#[case::a_reason("tests/server.rs", "sleep(A); // allowed: the peer shows no event", 0)]
#[case::a_reason_before("tests/server.rs", "// allowed: the peer shows no event\nsleep(A);", 0)]
#[case::no_reason("tests/server.rs", "sleep(A); // allowed: ", 1)]
#[case::the_program("src/net/link.rs", "sleep(A).await;", 0)]
fn an_idle_test_is_found(#[case] path: &str, #[case] text: &str, #[case] count: usize) {
    assert_eq!(lines(idle_tests, path, text).len(), count);
}
