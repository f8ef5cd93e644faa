//! Log lines on standard error: for people on a terminal, JSON elsewhere.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::diagnostics;

/// What is said about the lines themselves, and panics, is logged at every level.
const ALWAYS: &str = "patchcord::diagnostics=warn";

/// What to do about levels that cannot be read.
pub(crate) const REMEDY: &str =
    "write a level (error, warn, info, debug, trace, off), or module=level with commas between them";

/// Chooses what is logged.
pub(crate) const VARIABLE: &str = "RUST_LOG";

/// Begins to write log lines. `RUST_LOG` chooses which; `default` if it is not set or cannot be read.
///
/// The WebSocket and HTTP libraries never write below INFO: they would print frames and paths, and there are
/// voices and tokens in them. What the subscriber itself has to say it would print to standard error, where it must
/// not: it is silent, and gets no directive that it cannot read.
pub(crate) fn start(default: &str) {
    let line = diagnostics::start();
    let (filter, unreadable) = filter(wanted().as_deref(), default);
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .log_internal_errors(false)
        .with_writer(move || line);
    // A second subscriber in one process is a test's: the first one stays.
    let _ = if std::io::stderr().is_terminal() { lines.try_init() } else { lines.json().try_init() };
    if let Some(error) = unreadable {
        tracing::warn!(target: "patchcord::diagnostics", error, "RUST_LOG cannot be read; logging at {default}; {REMEDY}");
    }
}

/// What is wrong with `RUST_LOG`, if it cannot be read.
pub(crate) fn unreadable() -> Option<String> {
    wanted().and_then(|wanted| filter(Some(&wanted), "info").1)
}

fn wanted() -> Option<String> {
    let wanted = std::env::var_os(VARIABLE)?.to_string_lossy().into_owned();
    Some(wanted).filter(|wanted| !wanted.trim().is_empty())
}

/// The filter, and what is wrong with the wanted one if that is so.
fn filter(wanted: Option<&str>, default: &str) -> (EnvFilter, Option<String>) {
    let parse = |levels: &str| {
        let levels = levels.split(',').map(str::trim).collect::<Vec<_>>().join(",");
        let libraries = "tungstenite=info,tokio_tungstenite=info,hyper=info,h2=info";
        EnvFilter::builder().parse(format!("{levels},{ALWAYS},{libraries}"))
    };
    let default = || parse(default).unwrap_or_default();
    let Some(wanted) = wanted else { return (default(), None) };
    match parse(wanted) {
        Err(error) => (default(), Some(error.to_string())),
        Ok(filter) => match mistaken(wanted) {
            Some(word) => (default(), Some(format!("\"{word}\" is no level and no module"))),
            None => (filter, None),
        },
    }
}

/// Modules of which a level may be left out: this program, and those libraries of it that log.
const MODULES: [&str; 10] = [
    "patchcord",
    "axum",
    "h2",
    "hyper",
    "hyper_util",
    "reqwest",
    "rustls",
    "sqlx",
    "tokio_tungstenite",
    "tungstenite",
];

/// A word that was meant as a level: the subscriber would take it for a module, of which everything is logged, and log
/// nothing else.
fn mistaken(wanted: &str) -> Option<&str> {
    let is_level = |word: &str| word.parse::<LevelFilter>().is_ok();
    let is_module = |word: &str| word.split("::").next().is_some_and(|root| MODULES.contains(&root));
    let mut words = wanted.split(',').map(str::trim).filter(|word| !word.is_empty());
    words.find(|word| !word.contains(['=', '[']) && !is_level(word) && !is_module(word))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::one_level("debug", "debug")]
    #[case::a_module("info,patchcord=debug", "patchcord=debug")]
    #[case::spaces("info, patchcord=debug", "patchcord=debug")]
    #[case::a_trailing_comma("warn,", "warn")]
    #[case::capitals("INFO", "info")]
    #[case::a_number("3", "info")]
    #[case::only_a_target("patchcord::store", "patchcord::store=trace")]
    #[case::only_a_library("info,sqlx", "sqlx=trace")]
    #[case::nothing("off", "off")]
    fn levels_that_can_be_read_are_used(#[case] wanted: &str, #[case] directive: &str) {
        let (filter, unreadable) = filter(Some(wanted), "error");
        assert_eq!(unreadable, None);
        let filter = filter.to_string();
        assert!(filter.split(',').any(|used| used == directive), "{filter}");
    }

    #[rstest]
    #[case::no_level("patchcord=loud")]
    #[case::two_signs("patchcord==info")]
    #[case::a_bracket("[span{=info")]
    #[case::one_of_several("info,patchcord=verbose,hyper=warn")]
    #[case::an_equals_sign_alone("=")]
    #[case::no_such_level("loud")]
    #[case::nearly_a_level("warning")]
    #[case::another_languages("information")]
    #[case::a_misspelt_level_among_others("patchcord=debug, verbos")]
    #[case::a_level_of_another_logger("fatal")]
    fn levels_that_cannot_be_read_are_told_and_the_default_is_used(#[case] wanted: &str) {
        let (filter, unreadable) = filter(Some(wanted), "info");
        assert!(unreadable.is_some());
        assert!(filter.to_string().split(',').any(|used| used == "info"), "{filter}");
    }

    #[test]
    fn what_is_said_about_the_lines_themselves_is_never_filtered_out() {
        for wanted in ["off", "error", "patchcord=error"] {
            assert!(filter(Some(wanted), "info").0.to_string().contains(ALWAYS), "{wanted}");
        }
    }
}
