//! Who answers when no live session can be had: whether there is anybody, and each service by itself.

use std::ops::RangeInclusive;

use super::Report;
use super::agents::is_language_tag;
use crate::config::Config;
use crate::job::Kind;
use crate::net::dial;
use crate::provider::http::{self, Timeouts, Transport};
use crate::provider::{self, Providers, llm, stt};

/// Below a hundred milliseconds no service answers; after a minute no caller is left.
const TIMEOUT_MS: RangeInclusive<u64> = 100..=60_000;

/// A model that may say nothing says nothing; an hour of speech is no answer on the telephone.
const TOKENS: RangeInclusive<u32> = 1..=8_192;

/// More connections than this are not of a telephone service; providers close idle ones within minutes.
const IDLE_CONNECTIONS: RangeInclusive<usize> = 0..=256;
const IDLE_MS: RangeInclusive<u64> = 0..=300_000;

const KINDS: [Kind; 3] = [Kind::Transcribe, Kind::Think, Kind::Speak];

pub(super) fn check(config: &Config, report: &mut Report) {
    let fallback = &config.fallback;
    check_whole(fallback, report);
    for kind in KINDS {
        for (index, entry) in entries(fallback, kind).iter().enumerate() {
            let path = format!("fallback.{}[{index}]", kind.code());
            check_name(&entries(fallback, kind)[..index], entry, &path, report);
            check_entry(entry, &path, report);
        }
    }
    check_key_names(fallback, report);
    if KINDS.iter().any(|kind| !entries(fallback, *kind).is_empty()) {
        check_services(config, report);
    }
}

pub(super) fn check_http(config: &http::Config, report: &mut Report) {
    let http::Config { idle_connections_max, idle_ms } = config;
    if !IDLE_CONNECTIONS.contains(idle_connections_max) {
        let message = format!("{idle_connections_max} is not between 0 and {}", IDLE_CONNECTIONS.end());
        report.error("http.idle_connections_max", message, "write a number in this range, or delete the key");
    }
    if !IDLE_MS.contains(idle_ms) {
        let message = format!("{idle_ms} ms is not between 0 and {}", IDLE_MS.end());
        report.error("http.idle_ms", message, "write milliseconds in this range, or delete the key");
    }
}

/// What the entries of all kinds have in common.
struct Entry<'a> {
    name: &'a str,
    language: Option<&'a str>,
    max_tokens: Option<u32>,
    timeouts: &'a Timeouts,
}

fn entries<'a>(config: &'a provider::Config, kind: Kind) -> Vec<Entry<'a>> {
    let speech = |name: &'a str, language: Option<&'a str>, timeouts: &'a Timeouts| Entry {
        name,
        language,
        max_tokens: None,
        timeouts,
    };
    match kind {
        Kind::Transcribe => {
            config.stt.iter().map(|it| speech(it.name(), it.language.as_deref(), &it.timeouts)).collect()
        }
        Kind::Think => {
            let model = |it: &'a llm::Config| Entry {
                max_tokens: Some(it.max_tokens),
                ..speech(it.name(), None, &it.timeouts)
            };
            config.llm.iter().map(model).collect()
        }
        Kind::Speak => {
            config.tts.iter().map(|it| speech(it.name(), it.language.as_deref(), &it.timeouts)).collect()
        }
    }
}

/// All three kinds, or it is of no use.
fn check_whole(config: &provider::Config, report: &mut Report) {
    const USE: &str = "when the live service fails, callers hear an apology";
    let (there, missing): (Vec<_>, Vec<_>) =
        KINDS.into_iter().partition(|kind| !entries(config, *kind).is_empty());
    if there.is_empty() {
        let remedy =
            "configure speech to text, a language model and text to speech; see patchcord.example.toml";
        return report.warning("fallback", format!("is not configured: {USE}"), remedy);
    }
    for kind in missing {
        let (what, code) = match kind {
            Kind::Transcribe => ("speech to text", kind.code()),
            Kind::Think => ("a language model", kind.code()),
            Kind::Speak => ("text to speech", kind.code()),
        };
        let message = format!("is missing, and the fallback is not used without {what}: {USE}");
        report.warning(format!("fallback.{code}"), message, format!("add [[fallback.{code}]]"));
    }
}

/// The call log tells the services of a list apart by their names.
fn check_name(others: &[Entry<'_>], entry: &Entry<'_>, path: &str, report: &mut Report) {
    let remedy = "give each service of the list a name of its own: it is shown in the call log";
    if entry.name.trim().is_empty() {
        report.error(format!("{path}.name"), "is empty", remedy);
    } else if others.iter().any(|other| other.name == entry.name) {
        let message = format!("\"{}\" is the name of a service before it too", entry.name);
        report.error(format!("{path}.name"), message, remedy);
    }
}

fn check_entry(entry: &Entry<'_>, path: &str, report: &mut Report) {
    if entry.language.is_some_and(|language| !is_language_tag(language)) {
        let remedy = "write a tag like \"en-US\" or \"de\", or delete the key";
        report.error(format!("{path}.language"), "is not a BCP-47 language tag", remedy);
    }
    if let Some(tokens) = entry.max_tokens.filter(|tokens| !TOKENS.contains(tokens)) {
        let message = format!("{tokens} is not between {} and {}", TOKENS.start(), TOKENS.end());
        report.error(format!("{path}.max_tokens"), message, "300 are two minutes of speech");
    }
    let Timeouts { connect_ms, first_byte_ms, between_bytes_ms, total_ms } = entry.timeouts;
    let timeouts = [
        ("connect_ms", connect_ms),
        ("first_byte_ms", first_byte_ms),
        ("between_bytes_ms", between_bytes_ms),
        ("total_ms", total_ms),
    ];
    for (field, ms) in timeouts {
        if let Some(ms) = ms.filter(|ms| !TIMEOUT_MS.contains(ms)) {
            let message = format!("{ms} ms is not between {} and {}", TIMEOUT_MS.start(), TIMEOUT_MS.end());
            let remedy = "write milliseconds in this range, or delete the key";
            report.error(format!("{path}.timeouts.{field}"), message, remedy);
        }
    }
}

/// Whether each entry makes a service: its address, its key, and whether the one may be shown to the other.
fn check_services(config: &Config, report: &mut Report) {
    let transport = Transport { config: config.http.clone(), tls: dial::tls([]) };
    let key = |name: &str| config.secrets.providers.get(name).cloned();
    let mut told: Vec<Told> = Vec::new();
    for provider::Error { kind, index, source } in Providers::faults(&config.fallback, key, &transport) {
        let (field, remedy) = cure(&source);
        let text = without_keys(&source.to_string(), &config.fallback);
        let path = format!("fallback.{}[{index}]", kind.code());
        // One variable is set once, however many services need it.
        match told.iter_mut().find(|it| matches!(source, stt::Error::NoKey { .. }) && it.text == text) {
            Some(same) => same.others.push(path),
            None => told.push(Told { key: path + field, text, remedy, others: Vec::new() }),
        }
    }
    for Told { key, text, remedy, others } in told {
        // Some errors name their own cure.
        let (message, remedy) = text.split_once("; ").unwrap_or((&text, remedy));
        let also =
            if others.is_empty() { String::new() } else { format!(", also for {}", others.join(", ")) };
        report.error(key, format!("{message}{also}"), remedy);
    }
}

/// A finding of one service, and the others that have the same.
struct Told {
    key: String,
    text: String,
    remedy: &'static str,
    others: Vec<String>,
}

/// The text of an error; what is written as `key_env` and is not the name of a variable is the key itself.
fn without_keys(text: &str, config: &provider::Config) -> String {
    let keys = config.key_names().filter(|name| !is_variable(name));
    keys.fold(text.to_owned(), |text, key| text.replace(key, "***"))
}

/// Capitals, digits and underscores, as variables are named; or small letters and underscores.
fn is_variable(name: &str) -> bool {
    let all = |is: fn(&u8) -> bool| name.bytes().all(|byte| byte == b'_' || is(&byte));
    let has_letters = name.bytes().any(|byte| byte.is_ascii_alphabetic());
    let is_capital = all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    let is_short = name.contains('_') || name.len() <= 16;
    has_letters && is_short && (is_capital || all(u8::is_ascii_lowercase))
}

/// The key itself in the place of the name of its variable.
fn check_key_names(config: &provider::Config, report: &mut Report) {
    if config.key_names().any(|name| !is_variable(name)) {
        let remedy = "write the name of an environment variable, like \"OPENAI_API_KEY\", set that variable to the \
                      key, and replace the key if others could read the file";
        report.error(
            "fallback.key_env",
            "holds what is not the name of a variable, perhaps the key itself",
            remedy,
        );
    }
}

const fn cure(error: &stt::Error) -> (&'static str, &'static str) {
    match error {
        stt::Error::Http(http::Error::Endpoint(_)) => {
            (".endpoint", "write a URL like \"https://api.example.com/v1\"")
        }
        stt::Error::Http(http::Error::Key) => {
            (".key_env", "copy the key again: quotes, spaces or a second line came with it")
        }
        stt::Error::Http(http::Error::Client(_)) => ("", "look at its endpoint and its timeouts"),
        stt::Error::NoKey { .. } => (".key_env", "set the variable"),
        stt::Error::PlainKey { .. } => (".endpoint", "use https://"),
        stt::Error::Speed => (".speed", "write a number from 0.25 to 4, or delete the key"),
        stt::Error::NoSpeed => (".speed", "delete the key"),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("OPENAI_API_KEY", true)]
    #[case("GROQ2_KEY", true)]
    #[case("openai_key", true)]
    #[case("KEY", true)]
    #[case("sk-proj-abcdef", false)]
    #[case("AIzaSyD4X9", false)]
    #[case("0123456789abcdef0123456789abcdef", false)]
    #[case("0123456789ABCDEF0123456789ABCDEF", false)]
    #[case("a key", false)]
    #[case("gsk_Xy12", false)]
    fn a_key_is_told_from_the_name_of_its_variable(#[case] text: &str, #[case] is_name: bool) {
        assert_eq!(is_variable(text), is_name);
    }
}
