//! What would run with the configuration, and what is wrong in the configuration itself.

use std::path::Path;

use super::part::Part;
use crate::call::agent::Agent;
use crate::carrier::{FollowUp, Then};
use crate::cli::network;
use crate::config::{Config, Severity};
use crate::machine::{self, Machine};
use crate::net::trust::Found;
use crate::provider::gemini::{Developer, Endpoint};
use crate::secret::MaskedUrl;
use crate::{provider, server};

/// The addresses, the limits and the place of the call log; and every finding of [`Config::validate`].
pub(super) fn settings(config: &Config, machine: &Machine) -> Part {
    let mut part = Part::new(config);
    part.findings(config.validate());
    let public_url = config.server.public_url.as_deref();
    let webhook = public_url
        .map(|url| format!("{url}{} (HTTP POST, for \"A call comes in\")", server::config::VOICE_PATH));
    let or_missing = |text: Option<&str>| text.unwrap_or("(missing)").to_owned();
    let file = config.file.as_ref().map(|path| path.display().to_string());
    part.fact("configuration", file.unwrap_or_else(|| "no file: defaults".to_owned()));
    part.fact("listens on", listens(config));
    part.fact("API", api(config));
    part.fact("public URL", or_missing(public_url));
    part.fact("Twilio webhook", or_missing(webhook.as_deref()));
    part.fact("machine", machine.to_string());
    part.fact("limits", limits(&config.limits, machine));
    part
}

/// Whom connections trust, and which way each endpoint takes.
pub(super) fn network(config: &Config, found: &Found) -> Part {
    let mut part = Part::new(config);
    for (name, value) in network::facts(config, found) {
        part.fact(name, value);
    }
    for (variable, fault) in &found.misnamed {
        part.environment(Severity::Warning, variable, fault.as_str(), network::MISNAMED);
    }
    part
}

/// The live services and who answers which number, in which order.
pub(super) fn agents(config: &Config) -> Part {
    let mut part = Part::new(config);
    for endpoint in config.live.endpoints().iter() {
        part.fact("live service", located(endpoint, config.live.default_credentials.as_deref()));
    }
    for agent in &config.agents {
        part.fact("agents", described(agent));
        part.fact("agents", format!("  {}", ladder(config, agent)));
        if let Some(overflow) = overflow(agent) {
            part.fact("agents", format!("  without room: {overflow}"));
        }
    }
    part
}

/// Where webhooks come in, and who can reach it.
fn listens(config: &Config) -> String {
    let address = config.server.listen;
    format!("{address}, reached from {}", server::admin::reach(address))
}

/// Where the API is asked, and by whom.
fn api(config: &Config) -> String {
    let has_token = config.secrets.api_token.is_some();
    let access = if has_token { "with its token" } else { "without a token, not through a proxy" };
    let own = config.admin.listen.address().map(|address| {
        format!("http://{address}/api/v1 {access}, reached from {}", server::admin::reach(address))
    });
    let shared = has_token.then(|| format!("http://{}/api/v1 with its token", config.server.listen));
    let places: Vec<_> = own.into_iter().chain(shared).collect();
    if places.is_empty() { "off".to_owned() } else { places.join("; ") }
}

fn located(endpoint: &Endpoint, default_credentials: Option<&Path>) -> String {
    let model = |model: &Option<String>| model.as_ref().map(|name| format!(", {name}")).unwrap_or_default();
    match endpoint {
        Endpoint::Developer(developer) => {
            let Developer { endpoint, api_version, model: name } = developer;
            format!("{} ({api_version}){}", MaskedUrl(endpoint), model(name))
        }
        Endpoint::Vertex(vertex) => {
            let file = vertex.credentials_file.as_deref().or(default_credentials);
            let access = match (&vertex.project, file) {
                (None, _) => "express mode".to_owned(),
                (Some(project), Some(file)) => format!("project {project} by {}", file.display()),
                (Some(project), None) => format!("project {project} by the account of this machine"),
            };
            let place = vertex.location.as_deref().map(|place| format!(" {place},")).unwrap_or_default();
            let origin = vertex.origin();
            let origin = MaskedUrl(&origin);
            format!("{origin} ({}): Vertex AI,{place} {access}{}", vertex.api_version, model(&vertex.model))
        }
    }
}

fn described(agent: &Agent) -> String {
    let number = agent.number.as_deref().unwrap_or("every other number");
    let voice = agent.voice.as_deref().map(|voice| format!(", voice {voice}")).unwrap_or_default();
    format!("{} answers {number} with {}{voice}", agent.name, agent.model)
}

/// How many calls are let in.
fn limits(limits: &server::limits::Config, machine: &Machine) -> String {
    let calls = limits.max_calls_on(machine);
    let each = match limits.max_calls {
        Some(_) => String::new(),
        None if server::limits::Config::calls_by_memory(machine).is_some_and(|most| most <= calls) => {
            " (by the memory)".to_owned()
        }
        None => {
            let (each, cores) = (server::limits::Config::CALLS_PER_CORE, machine::short(machine.cpu()));
            format!(" ({each} for each of {cores} cores)")
        }
    };
    let some = |count: u32, text: String| (count > 0).then_some(text);
    let (caller, number) = (limits.calls_per_minute_per_caller, limits.calls_per_minute_per_number);
    let parts = [
        Some(format!("{calls} calls at once{each}")),
        some(caller, format!("{caller} a minute from one caller")),
        some(number, format!("{number} a minute to one number")),
        some(limits.lag_max_ms, format!("none while later than {} ms", limits.lag_max_ms)),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// What callers of an agent get for whom there is no room, if it is no busy tone.
fn overflow(agent: &Agent) -> Option<String> {
    let overflow = agent.otherwise.overflow.as_ref()?;
    let then = match &overflow.then {
        Then::HangUp => "hang up".to_owned(),
        Then::Transfer { to } => format!("transfer to {to}"),
        Then::Voicemail => "voicemail".to_owned(),
        Then::Redirect { url } => format!("redirect to {url}"),
    };
    let say = overflow.say.as_deref().map(|text| format!("\"{text}\" -> ")).unwrap_or_default();
    Some(say + &then)
}

/// Who answers the callers of an agent, best first.
fn ladder(config: &Config, agent: &Agent) -> String {
    let place = |endpoint: &Endpoint| match endpoint {
        Endpoint::Developer(_) => "developer".to_owned(),
        Endpoint::Vertex(vertex) => match vertex.location.as_deref() {
            Some(location) => format!("vertex {location}"),
            None => "vertex".to_owned(),
        },
    };
    let live: Vec<_> = config.live.endpoints().iter().map(place).collect();
    let last_resort = match &agent.otherwise.last_resort {
        FollowUp::HangUp => "hang up".to_owned(),
        FollowUp::Transfer { to } => format!("transfer to {to}"),
        FollowUp::Voicemail => "voicemail".to_owned(),
    };
    let rungs = [Some(format!("live {}", live.join(", "))), fallback(&config.fallback), Some(last_resort)];
    rungs.into_iter().flatten().collect::<Vec<_>>().join(" -> ")
}

/// The services of the fallback, if they are enough for one.
fn fallback(config: &provider::Config) -> Option<String> {
    let provider::Config { stt, llm, tts } = config;
    let kinds = [
        ("stt", stt.iter().map(provider::stt::Config::name).collect::<Vec<_>>()),
        ("llm", llm.iter().map(provider::llm::Config::name).collect()),
        ("tts", tts.iter().map(provider::tts::Config::name).collect()),
    ];
    if kinds.iter().any(|(_, names)| names.is_empty()) {
        return None;
    }
    let kinds = kinds.iter().map(|(kind, names)| format!("{kind} {}", names.join(" or ")));
    Some(format!("fallback ({})", kinds.collect::<Vec<_>>().join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carrier::Overflow;

    #[test]
    fn the_summary_says_what_would_run_and_what_to_paste() {
        let mut config = Config::default();
        config.server.public_url = Some("https://voice.example.com".to_owned());
        let desk = Agent {
            name: "desk".to_owned(),
            number: Some("+14155550123".to_owned()),
            voice: Some("Kore".to_owned()),
            ..Agent::default()
        };
        let mut other = Agent::default();
        let (say, then) = (Some("Call again later.".to_owned()), Then::Voicemail);
        other.otherwise.overflow = Some(Overflow { say, then, ..Overflow::default() });
        config.agents = vec![desk, other];
        config.limits.max_calls = Some(500);
        assert_eq!(
            settings(&config, &machine(2, None)).summary() + &agents(&config).summary(),
            "\
configuration   no file: defaults
listens on      127.0.0.1:8080, reached from this machine alone
API             http://127.0.0.1:8081/api/v1 without a token, not through a proxy, reached from this machine alone
public URL      https://voice.example.com
Twilio webhook  https://voice.example.com/twilio/voice (HTTP POST, for \"A call comes in\")
machine         2 cores
limits          500 calls at once, 30 a minute from one caller, none while later than 30 ms
live service    wss://generativelanguage.googleapis.com (v1beta)
agents          desk answers +14155550123 with gemini-3.8-live, voice Kore
                  live developer -> hang up
                default answers every other number with gemini-3.8-live
                  live developer -> hang up
                  without room: \"Call again later.\" -> voicemail
"
        );
    }

    fn machine(cores: u32, quota: Option<f64>) -> Machine {
        let quota = quota.map(|value| machine::Limit { value, file: "/sys/fs/cgroup/cpu.max".into() });
        Machine { cores, quota, memory: None }
    }

    #[test]
    fn the_limits_are_one_line() {
        let given = |text, machine: &Machine| limits(&toml::from_str(text).unwrap(), machine);
        assert_eq!(
            given(
                "calls_per_minute_per_caller = 0\ncalls_per_minute_per_number = 100\nlag_max_ms = 0",
                &machine(2, None)
            ),
            "700 calls at once (350 for each of 2 cores), 100 a minute to one number"
        );
        let little = "calls_per_minute_per_caller = 0\nlag_max_ms = 0";
        assert_eq!(
            given(little, &machine(2, Some(0.1))),
            "35 calls at once (350 for each of 0.1 cores)",
            "a container with a tenth of a core"
        );
        let memory = Some(machine::Limit { value: 96 << 20, file: "memory.max".into() });
        assert_eq!(
            given(little, &Machine { memory, ..machine(2, None) }),
            "128 calls at once (by the memory)"
        );
    }

    #[test]
    fn the_ladder_of_an_agent_is_one_line() {
        let text = "\
            fallback.stt = [{ kind = 'openai', name = 'local' }, { kind = 'google' }]
            fallback.llm = [{ kind = 'gemini' }]
            fallback.tts = [{ kind = 'openai', name = 'local' }]
            live.endpoints = [{ kind = 'developer' }, { kind = 'vertex', location = 'us' }]
            agents = [{ last_resort = { kind = 'voicemail' } }]";
        let mut config: Config = toml::from_str(text).unwrap();
        let first_ladder = |config: &Config| ladder(config, &config.agents[0]);
        assert_eq!(
            first_ladder(&config),
            "live developer, vertex us -> fallback (stt local or google, llm gemini, tts local) -> voicemail"
        );
        config.fallback.tts.clear();
        config.agents[0].otherwise.last_resort = FollowUp::Transfer { to: "+14155550123".to_owned() };
        assert_eq!(first_ladder(&config), "live developer, vertex us -> transfer to +14155550123");
    }
}
