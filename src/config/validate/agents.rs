//! The agents: each by itself, and against each other.

use std::ops::RangeInclusive;

use super::Report;
use super::origin::Origin;
use crate::call::agent::Agent;
use crate::carrier::party::{Party, is_e164};
use crate::carrier::{FollowUp, Overflow, Then};
use crate::config::Config;
use crate::config::text::nearest;
use crate::live::Vad;

/// The prebuilt voices of the Live API (Gemini speech generation, "Voice options", November 2026).
const VOICES: [&str; 30] = [
    "Achernar",
    "Achird",
    "Algenib",
    "Algieba",
    "Alnilam",
    "Aoede",
    "Autonoe",
    "Callirrhoe",
    "Charon",
    "Despina",
    "Enceladus",
    "Erinome",
    "Fenrir",
    "Gacrux",
    "Iapetus",
    "Kore",
    "Laomedeia",
    "Leda",
    "Orus",
    "Puck",
    "Pulcherrima",
    "Rasalgethi",
    "Sadachbia",
    "Sadaltager",
    "Schedar",
    "Sulafat",
    "Umbriel",
    "Vindemiatrix",
    "Zephyr",
    "Zubenelgenubi",
];

/// Live models that the service has switched off (Gemini deprecations page, November 2026).
const RETIRED: [&str; 2] = ["gemini-2.0-flash-live-001", "gemini-live-2.5-flash-preview"];

/// `GenerationConfig.temperature` of the Gemini API.
const TEMPERATURE: RangeInclusive<f32> = 0.0..=2.0;

/// The service documents no limits. More padding than this swallows a "yes"; less silence than this cuts every
/// sentence, and more than this is a call in which nobody answers.
const PREFIX_PADDING_MS: RangeInclusive<u32> = 0..=2_000;
const SILENCE_DURATION_MS: RangeInclusive<u32> = 100..=10_000;

/// How the party of an agent is written.
const PARTY: &str =
    "write it in E.164, like \"+14155550123\", or as a SIP address, like \"sip:front.desk@example.com\"";

/// How a number is written.
const E164: &str = "write it in E.164: +, country code, number, without spaces, like \"+14155550123\"";

/// A day is the least that can be told; a century is for ever.
const RETENTION_DAYS: RangeInclusive<u32> = 1..=36_500;

pub(super) fn check(agents: &[Agent], report: &mut Report) {
    for (index, agent) in agents.iter().enumerate() {
        let mut entry = Entry { index, report };
        identity(agent, &agents[..index], &mut entry);
        number(agent, &agents[..index], &mut entry);
        model(agent, &mut entry);
        speech(agent, &mut entry);
        vad(&agent.vad, &mut entry);
        last_resort(&agent.otherwise.last_resort, &mut entry);
        recording(agent, &mut entry);
    }
}

/// One agent of the report.
#[derive(Debug)]
struct Entry<'a> {
    index: usize,
    report: &'a mut Report,
}

impl Entry<'_> {
    fn error(&mut self, field: &str, message: impl Into<String>, remedy: impl Into<String>) {
        self.report.error(format!("agents[{}].{field}", self.index), message, remedy);
    }
}

fn identity(agent: &Agent, others: &[Agent], entry: &mut Entry<'_>) {
    if agent.name.trim().is_empty() {
        entry.error("name", "is empty", "give the agent a name: it is shown in the call log");
    } else if let Some(other) = others.iter().position(|other| other.name == agent.name) {
        let message = format!("\"{}\" is the name of agents[{other}] too", agent.name);
        entry.error("name", message, "give each agent a name of its own");
    }
    if agent.business_id.trim().is_empty() {
        entry.error("business_id", "is empty", "write the business, or delete the key for \"unknown\"");
    }
    if agent.prompt.trim().is_empty() {
        entry.error("prompt", "is empty", "write who the agent is and what it may do");
    }
}

fn number(agent: &Agent, others: &[Agent], entry: &mut Entry<'_>) {
    if agent.number.as_deref().is_some_and(|number| !is_party(number)) {
        return entry.error("number", "is neither an E.164 number nor a SIP address", PARTY);
    }
    let party = |agent: &Agent| agent.number.as_deref().map(Party::parse);
    let Some(other) = others.iter().position(|other| party(other) == party(agent)) else {
        return;
    };
    match &agent.number {
        Some(number) => {
            let message = format!("{number} is answered by agents[{other}] already");
            entry.error("number", message, "give each agent a number of its own");
        }
        None => {
            let message = format!("is missing, as in agents[{other}]: both answer every other number");
            entry.error("number", message, "give all agents but one a number");
        }
    }
}

/// Stricter than what is read from carriers: one spelling of a number, and SIP addresses with user and host.
fn is_party(text: &str) -> bool {
    let is_sip = || {
        let rest = text.strip_prefix("sip:").or_else(|| text.strip_prefix("sips:"));
        rest.and_then(|rest| rest.split_once('@')).is_some_and(|(user, host)| {
            !user.is_empty()
                && !host.is_empty()
                && !text.contains(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"'))
                && matches!(Party::parse(text), Party::Sip { .. } | Party::Number(_))
        })
    };
    is_e164(text) || is_sip()
}

fn model(agent: &Agent, entry: &mut Entry<'_>) {
    let remedy = format!("write \"{}\", or delete the key", Agent::default().model);
    if let Some(name) = agent.model.strip_prefix("models/") {
        entry.error("model", "has the prefix models/", format!("write \"{name}\""));
    } else if agent.model.trim().is_empty() || agent.model.contains(char::is_whitespace) {
        entry.error("model", "is not the name of a model", remedy);
    } else if RETIRED.contains(&agent.model.as_str()) {
        entry.error("model", format!("{} is retired: the service refuses it", agent.model), remedy);
    }
}

fn speech(agent: &Agent, entry: &mut Entry<'_>) {
    if let Some(voice) = agent.voice.as_deref().filter(|voice| !VOICES.contains(voice)) {
        let remedy = match nearest(voice, VOICES.into_iter()) {
            Some(known) => format!("did you mean \"{known}\"?"),
            None => format!("choose one of {}", VOICES.join(", ")),
        };
        entry.error("voice", format!("the service has no voice \"{voice}\""), remedy);
    }
    if agent.language.as_ref().is_some_and(|language| !is_language_tag(language)) {
        let remedy = "write a tag like \"en-US\" or \"de\", or delete the key for any language";
        entry.error("language", "is not a BCP-47 language tag", remedy);
    }
    if let Some(temperature) = agent.temperature.filter(|temperature| !TEMPERATURE.contains(temperature)) {
        let remedy = "write a number from 0.0 (steady) to 2.0 (lively), or delete the key";
        entry.error("temperature", format!("{temperature} is not between 0 and 2"), remedy);
    }
}

/// The shape of RFC 5646: a primary language of two or three letters, then subtags of up to eight characters.
pub(super) fn is_language_tag(tag: &str) -> bool {
    let mut subtags = tag.split('-');
    let is_primary =
        |tag: &str| (2..=3).contains(&tag.len()) && tag.bytes().all(|byte| byte.is_ascii_alphabetic());
    let is_subtag =
        |tag: &str| (1..=8).contains(&tag.len()) && tag.bytes().all(|byte| byte.is_ascii_alphanumeric());
    subtags.next().is_some_and(is_primary) && subtags.all(is_subtag)
}

fn vad(vad: &Vad, entry: &mut Entry<'_>) {
    let ranges = [
        ("vad.prefix_padding_ms", vad.prefix_padding_ms, PREFIX_PADDING_MS),
        ("vad.silence_duration_ms", vad.silence_duration_ms, SILENCE_DURATION_MS),
    ];
    for (field, value, range) in ranges {
        if let Some(value) = value.filter(|value| !range.contains(value)) {
            let message = format!("{value} ms is not between {} and {}", range.start(), range.end());
            entry.error(field, message, "write milliseconds in this range, or delete the key");
        }
    }
}

fn last_resort(last_resort: &FollowUp, entry: &mut Entry<'_>) {
    match last_resort {
        FollowUp::Transfer { to } if !is_e164(to) => {
            entry.error("last_resort.to", "is not an E.164 number", E164);
        }
        FollowUp::Transfer { .. } | FollowUp::HangUp | FollowUp::Voicemail => {}
    }
}

/// What callers get for whom there is no room.
pub(super) fn check_overflow(config: &Config, report: &mut Report) {
    for (index, agent) in config.agents.iter().enumerate() {
        let Some(overflow) = &agent.otherwise.overflow else { continue };
        let mut entry = Entry { index, report };
        match &overflow.say {
            Some(text) => said(text, &mut entry),
            None if overflow.then == Then::HangUp => {
                let remedy = "write what is said, or delete the table for a busy tone";
                entry.error("overflow", "answers the call, says nothing and hangs up", remedy);
            }
            None => {}
        }
        if overflow.language.as_ref().is_some_and(|language| !is_language_tag(language)) {
            let remedy = "write a tag like \"en-US\" or \"de-DE\", or delete the key for English";
            entry.error("overflow.language", "is not a BCP-47 language tag", remedy);
        }
        match &overflow.then {
            Then::Transfer { to } if !is_e164(to) => {
                entry.error("overflow.then.to", "is not an E.164 number", E164);
            }
            Then::Redirect { url } => redirect(url, config.server.public_url.as_deref(), &mut entry),
            Then::HangUp | Then::Transfer { .. } | Then::Voicemail => {}
        }
    }
}

fn said(text: &str, entry: &mut Entry<'_>) {
    if text.trim().is_empty() {
        entry.error("overflow.say", "is empty", "write what is said, or delete the key");
    } else if text.chars().count() > Overflow::SAY_CHARACTERS_MAX {
        let message = format!("is longer than {} characters", Overflow::SAY_CHARACTERS_MAX);
        entry.error("overflow.say", message, "write less: nobody listens that long");
    }
}

fn redirect(url: &str, public_url: Option<&str>, entry: &mut Entry<'_>) {
    if let Err(fault) = Origin::of(url, "https", "http") {
        let remedy =
            "write the URL of a webhook that answers calls, like \"https://b.example.com/twilio/voice\"";
        entry.error("overflow.then.url", fault.to_string(), remedy);
    } else if public_url.is_some_and(|own| url.strip_prefix(own).is_some_and(|rest| rest.starts_with('/'))) {
        let message = "is this server, which is full: it sends the call to itself again";
        let key = format!("agents[{}].overflow.then.url", entry.index);
        entry.report.warning(key, message, "write the URL of another server");
    }
}

fn recording(agent: &Agent, entry: &mut Entry<'_>) {
    let retention = agent.keep.recording.as_ref().and_then(|recording| recording.retention_days);
    if retention.is_some_and(|days| !RETENTION_DAYS.contains(&days)) {
        let remedy = "write whole days, or delete the key to keep recordings until somebody deletes them";
        entry.error("keep.recording.retention_days", "is not between 1 and 36500", remedy);
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("+14155550123", true)]
    #[case("+2908123", true)]
    #[case("+123456789012345", true)]
    #[case("+1234567890123456", false)]
    #[case("14155550123", false)]
    #[case("+04155550123", false)]
    #[case("+1 415 555 0123", false)]
    #[case("+1415555012a", false)]
    #[case("+", false)]
    #[case("", false)]
    fn numbers_are_e164(#[case] number: &str, #[case] is_valid: bool) {
        assert_eq!((is_e164(number), is_party(number)), (is_valid, is_valid));
    }

    #[rstest]
    #[case("sip:1001@acme.sip.twilio.com", true)]
    #[case("sips:front.desk@acme.example:5061;transport=tls", true)]
    #[case("sip:+14155550123@acme.example", true)]
    #[case("sip:acme.example", false)]
    #[case("sip:@acme.example", false)]
    #[case("sip:1001@", false)]
    #[case("1001@acme.example", false)]
    #[case("sip:10 01@acme.example", false)]
    #[case("sip:anonymous@anonymous.invalid", false)]
    #[case("client:alice", false)]
    #[case("anonymous", false)]
    fn an_agent_may_have_a_sip_address(#[case] text: &str, #[case] is_valid: bool) {
        assert_eq!(is_party(text), is_valid);
    }

    #[rstest]
    #[case("en", true)]
    #[case("en-US", true)]
    #[case("cmn-Hans-CN", true)]
    #[case("es-419", true)]
    #[case("English", false)]
    #[case("en_US", false)]
    #[case("en-", false)]
    #[case("", false)]
    fn languages_have_the_shape_of_bcp_47(#[case] tag: &str, #[case] is_valid: bool) {
        assert_eq!(is_language_tag(tag), is_valid);
    }
}
