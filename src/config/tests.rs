//! Files and environments, and what is said about them.

use std::fs;
use std::time::Duration;

use crate::call::agent::{Greeting, Recording};
use rstest::rstest;
use tempfile::TempDir;

use super::*;
use crate::carrier::Then;
use crate::provider::gemini::{Developer, Endpoint, Vertex};

const EXAMPLE: &str = include_str!("../../patchcord.example.toml");

fn nothing(_: &str) -> Option<String> {
    None
}

fn keys(name: &str) -> Option<String> {
    let value = match name {
        GEMINI_API_KEY => "AIzaKey",
        TWILIO_AUTH_TOKEN => "0123456789abcdef",
        _ => return None,
    };
    Some(value.to_owned())
}

/// Loads a file with this text and an environment that has all secrets.
fn load(text: &str) -> Result<Config, Error> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("test.toml");
    fs::write(&path, text).unwrap();
    Config::load(Some(&path), &keys)
}

/// The error of a file, from its name on.
fn error(text: &str) -> String {
    let error = load(text).unwrap_err().to_string();
    error[error.find("test.toml").unwrap()..].to_owned()
}

/// A fallback that is whole and needs no key.
const FALLBACK: &str = "\
fallback.stt = [{ kind = 'openai', endpoint = 'http://127.0.0.1:8090/v1' }]
fallback.llm = [{ kind = 'ollama' }]
fallback.tts = [{ kind = 'openai', endpoint = 'http://127.0.0.1:8090/v1' }]
";

/// What is found in a file with this text and nothing else that is wrong.
fn findings(text: &str) -> Vec<String> {
    findings_without_fallback(&format!("{FALLBACK}{text}"))
}

fn findings_without_fallback(text: &str) -> Vec<String> {
    let text = format!("server.public_url = \"https://v.example.com\"\n{text}");
    load(&text)
        .unwrap()
        .validate()
        .into_iter()
        .map(|finding| format!("{}: {}", finding.key, finding.message))
        .collect()
}

/// The example with every setting in it switched on: a comment that looks like `key = value`.
fn uncommented() -> String {
    let is_setting = |line: &str| {
        line.split_once(" = ")
            .is_some_and(|(key, _)| key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
    };
    let uncomment =
        |line: &'static str| line.strip_prefix("# ").filter(|rest| is_setting(rest)).unwrap_or(line);
    EXAMPLE.lines().map(uncomment).collect::<Vec<_>>().join("\n")
}

/// The example leaves the fallback to its reader; with the one it describes nothing is left to say.
#[rstest]
#[case(EXAMPLE)]
#[case(&uncommented())]
fn the_example_has_no_findings_but_that_it_has_no_fallback(#[case] text: &str) {
    let keys: Vec<_> = load(text).unwrap().validate().into_iter().map(|finding| finding.key).collect();
    assert_eq!(keys, ["fallback"]);
    let whole = format!("{text}\n{}", described("[[fallback.stt]]", "kind  "));
    assert_eq!(load(&whole).unwrap().validate(), []);
}

#[test]
fn the_fallback_of_the_example_is_local_speech_and_a_model_of_the_cloud() {
    let fallback = load(&described("[[fallback.stt]]", "kind  ")).unwrap().fallback;
    assert_eq!(fallback.stt[0].name(), "local");
    assert_eq!(fallback.stt[0].endpoint.as_deref(), Some("http://127.0.0.1:8090/v1"));
    assert_eq!((fallback.llm[0].name(), fallback.tts[0].name()), ("gemini", "local"));
}

#[test]
fn the_comments_of_the_example_are_the_defaults() {
    let (brief, full) = (load(EXAMPLE).unwrap(), load(&uncommented()).unwrap());
    assert_ne!(EXAMPLE, uncommented());
    assert_eq!((full.server, full.store, full.live), (brief.server, brief.store, brief.live));
    let (brief, full) = (&brief.agents[0], &full.agents[0]);
    assert_eq!(
        (&full.greeting, &full.model, &full.business_id),
        (&brief.greeting, &brief.model, &brief.business_id)
    );
}

#[test]
fn the_limits_and_the_overflow_of_the_example_can_be_switched_on() {
    let limits = load(&uncommented()).unwrap().limits;
    assert_eq!(limits, server::limits::Config::default());
    let config =
        load(&described("[agents.overflow]", "say  ").replace("[agents.", "[[agents]]\n[agents.")).unwrap();
    let overflow = config.agents[0].otherwise.overflow.as_ref().unwrap();
    assert_eq!(overflow.then, Then::Voicemail);
    assert!(overflow.say.is_some() && overflow.language.is_some());
}

/// A list in the example: what is indented behind its comments, from its first line to that behind its last.
fn described(first: &str, behind: &str) -> String {
    let lines = EXAMPLE.lines().filter_map(|line| line.strip_prefix("#   "));
    lines
        .skip_while(|line| *line != first)
        .take_while(|line| !line.starts_with(behind))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_endpoints_of_the_example_are_one_of_each_kind() {
    let listed = described("[[live.endpoints]]", "project  ");
    assert_eq!(findings(&listed), [] as [&str; 0]);
    let endpoints = load(&listed).unwrap().live.endpoints();
    let vertex = Vertex {
        project: Some("my-project".to_owned()),
        location: Some("us-central1".to_owned()),
        ..Vertex::default()
    };
    assert_eq!(endpoints, [Endpoint::Developer(Developer::default()), Endpoint::Vertex(vertex)]);
}

#[test]
fn without_a_list_the_keys_of_live_are_the_one_endpoint() {
    let config = load("[live]\nendpoint = \"ws://127.0.0.1:1\"\napi_version = \"v1\"").unwrap();
    let developer =
        Developer { endpoint: "ws://127.0.0.1:1".to_owned(), api_version: "v1".to_owned(), model: None };
    assert_eq!(config.live.endpoints(), [Endpoint::Developer(developer)]);
}

#[test]
fn an_empty_file_is_the_defaults_with_one_agent() {
    let config = load("").unwrap();
    assert_eq!(config.agents, [Agent::default()]);
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.store.path, Path::new("data/patchcord.db"));
    assert_eq!(config.live.endpoint, "wss://generativelanguage.googleapis.com");
}

#[test]
fn secrets_come_from_the_environment_trimmed_and_unprinted() {
    let config =
        Config::load(None, &|name| (name == GEMINI_API_KEY).then(|| " AIzaKey\n".to_owned())).unwrap();
    assert_eq!(config.secrets.gemini_api_key, Some(Secret::new("AIzaKey")));
    assert_eq!(config.secrets.twilio_auth_token, None);
    assert!(!format!("{config:?}").contains("AIza"));
}

#[test]
fn the_environment_names_the_file_and_the_command_line_overrides_it() {
    let folder = TempDir::new().unwrap();
    let [first, second] = ["first", "second"].map(|name| {
        let path = folder.path().join(name);
        fs::write(&path, format!("store.path = \"{name}.db\"")).unwrap();
        path
    });
    let env = |name: &str| (name == FILE_VARIABLE).then(|| first.display().to_string());
    assert_eq!(Config::load(None, &env).unwrap().store.path, Path::new("first.db"));
    assert_eq!(Config::load(Some(&second), &env).unwrap().store.path, Path::new("second.db"));
}

#[test]
fn a_file_that_was_named_must_exist() {
    let error = Config::load(Some(Path::new("/nowhere/p.toml")), &nothing).unwrap_err();
    assert!(error.to_string().contains("/nowhere/p.toml"), "{error}");
}

#[test]
fn an_empty_greeting_is_none() {
    let config = load("[[agents]]\nname = \"a\"\ngreeting = \"\"\n[[agents]]\nname = \"b\"").unwrap();
    assert_eq!(config.agents[0].greeting, Greeting::None);
    assert_eq!(config.agents[1].greeting, Agent::default().greeting);
}

#[rstest]
#[case::unknown_key(
    "[server]\nlisen = \"127.0.0.1:1\"",
    "test.toml:2:1: server.lisen: unknown field `lisen`, expected `listen` or `public_url`; did you mean `listen`?"
)]
#[case::unknown_key_of_an_endpoint(
    "[[live.endpoints]]\nkind = 'vertex'\nprojct = 'p'",
    "test.toml:1:1: live.endpoints: unknown field `projct`, expected one of `project`, `location`, \
     `api_version`, `endpoint`, `credentials_file`, `quota_project`, `model`; did you mean `project`?"
)]
#[case::unknown_kind(
    "[[live.endpoints]]\nkind = 'vortex'",
    "test.toml:2:8: live.endpoints[0].kind: unknown variant `vortex`, expected `developer` or `vertex`; \
     see patchcord.example.toml for every key and the kind of its value"
)]
#[case::unknown_section(
    "[sever]",
    "test.toml:1:2: sever: unknown field `sever`, expected one of `server`, `admin`, `limits`, `store`, `recordings`, `captures`, `live`, `fallback`, `http`, \
     `twilio`, `agents`; \
     did you mean `server`?"
)]
#[case::unknown_key_of_an_agent(
    "[[agents]]\nname = \"a\"\n\n[[agents]]\nname = \"b\"\n  vioce = \"Kore\"",
    "test.toml:6:3: agents[1].vioce: unknown field `vioce`, expected one of `name`, `number`, `business_id`, \
     `prompt`, `greeting`, `model`, `voice`, `language`, `temperature`, `vad`, `last_resort`, `overflow`, `keep`; did you mean `voice`?"
)]
#[case::wrong_type(
    "[live]\nconnect_timeout_ms = \"5s\"",
    "test.toml:2:22: live.connect_timeout_ms: invalid type: string \"5s\", expected u64; \
     see patchcord.example.toml for every key and the kind of its value"
)]
#[case::bad_value(
    "[[agents]]\nvad.end_sensitivity = \"middle\"",
    "test.toml:2:23: agents[0].vad.end_sensitivity: unknown variant `middle`, expected `low` or `high`; \
     see patchcord.example.toml for every key and the kind of its value"
)]
#[case::bad_address(
    "server.listen = \"8080\"",
    "test.toml:1:17: server.listen: invalid socket address syntax; \
     see patchcord.example.toml for every key and the kind of its value"
)]
fn what_cannot_be_read_names_key_file_and_line(#[case] text: &str, #[case] message: &str) {
    assert_eq!(error(text), message);
}

#[test]
fn text_that_is_no_toml_names_the_line() {
    let error = error("[server]\nlisten = 127.0.0.1:8080\n");
    assert!(error.starts_with("test.toml:2:"), "{error}");
}

#[rstest]
#[case("[live]\napi_key = \"hunter2\"", "test.toml:2:1: live.api_key:", GEMINI_API_KEY)]
#[case("gemini-api-key = \"hunter2\"", "test.toml:1:1: gemini-api-key:", GEMINI_API_KEY)]
#[case("[twilio]\nauth_token = \"hunter2\"", "test.toml:2:1: twilio.auth_token:", TWILIO_AUTH_TOKEN)]
#[case("TWILIO_AUTH_TOKEN = 'hunter2'", "test.toml:1:1: TWILIO_AUTH_TOKEN:", TWILIO_AUTH_TOKEN)]
#[case(
    "auth_token_secondary = 'hunter2'",
    "test.toml:1:1: auth_token_secondary:",
    TWILIO_AUTH_TOKEN_SECONDARY
)]
#[case(
    "[[fallback.llm]]\napi_key = 'hunter2'",
    "test.toml:2:1: fallback.llm[0].api_key:",
    "that `key_env` names"
)]
#[case("wrong = 1\n[[agents]]\ntoken = 'hunter2'", "test.toml:3:1: agents[0].token:", GEMINI_API_KEY)]
fn a_secret_in_the_file_names_its_variable_and_not_its_value(
    #[case] text: &str,
    #[case] beginning: &str,
    #[case] variable: &str,
) {
    let error = error(text);
    assert!(error.starts_with(beginning), "{error}");
    assert!(error.contains(&format!("variable {variable} ")) && !error.contains("hunter2"), "{error}");
}

#[rstest]
#[case("live.endpoint = 'https://x.example.com'", "live.endpoint: is not wss://")]
#[case("live.endpoint = 'wss://x.example.com/?key=1'", "live.endpoint: has a query or fragment")]
#[case(
    "live.endpoint = 'ws://x.example.com'",
    "live.endpoint: is ws://, which is allowed for this machine only"
)]
#[case("live.api_version = ''", "live.api_version: is not the name of a version")]
#[case("live.endpoints = [{ kind = 'vertex', project = 'p' }]", "live.endpoints[0].location: is missing")]
#[case(
    "live.endpoints = [{ kind = 'vertex', project = 'P/q', location = 'us' }]",
    "live.endpoints[0].project: is not the ID of a project"
)]
#[case(
    "live.endpoints = [{ kind = 'vertex', project = 'p', location = 'us.evil.com/' }]",
    "live.endpoints[0].location: is not the name of a location"
)]
#[case(
    "live.endpoints = [{ kind = 'vertex', location = 'us' }]",
    "live.endpoints[0].project: is missing, and the express mode has no location"
)]
#[case(
    "live.endpoints = [{ kind = 'vertex', project = 'p', location = 'us', endpoint = 'ws://x.example.com' }]",
    "live.endpoints[0].endpoint: is ws://, which is allowed for this machine only"
)]
#[case(
    "live.endpoints = [{ kind = 'vertex', project = 'p', location = 'us', api_version = '../v1' }]",
    "live.endpoints[0].api_version: is not the name of a version"
)]
#[case(
    "live.endpoints = [{ kind = 'vertex', project = 'p', location = 'us', credentials_file = '/nowhere/sa.json' }]",
    "live.endpoints[0].credentials_file: /nowhere/sa.json cannot be read (entity not found)"
)]
#[case(
    "live.endpoints = [{ kind = 'vertex' }]",
    "VERTEX_API_KEY: is not set: Vertex AI without a project gives no live session"
)]
#[case(
    "live.endpoints = [{ kind = 'developer' }, { kind = 'developer' }]",
    "live.endpoints[1].kind: is that of an endpoint before, with all its settings"
)]
#[case(
    "live.endpoints = [{ kind = 'developer', model = 'models/a' }]",
    "live.endpoints[0].model: is not the name of a model"
)]
#[case(
    "live = { api_version = 'v1', endpoints = [{ kind = 'developer' }] }",
    "live.api_version: is not used beside [[live.endpoints]]"
)]
#[case("live.connect_timeout_ms = 0", "live.connect_timeout_ms: 0 ms is not between 100 and 60000")]
#[case("live.setup_timeout_ms = 99", "live.setup_timeout_ms: 99 ms is not between 100 and 60000")]
#[case("http.idle_ms = 300001", "http.idle_ms: 300001 ms is not between 0 and 300000")]
#[case("http.idle_connections_max = 257", "http.idle_connections_max: 257 is not between 0 and 256")]
#[case("store.path = ''", "store.path: is empty")]
#[case("store.path = '/'", "store.path: is a folder")]
#[case("captures.folder = ''", "captures.folder: is empty")]
#[case("captures.folder = '/dev/null'", "captures.folder: is not a folder")]
#[case("captures.retention_days = 0", "captures.retention_days: 0 is not between 1 and 3650")]
#[case("twilio.account_sid = 'AC12'", "twilio.account_sid: is not AC and 32 hexadecimal digits")]
#[case("agents = [{ name = ' ' }]", "agents[0].name: is empty")]
#[case("agents = [{ prompt = '' }]", "agents[0].prompt: is empty")]
#[case("agents = [{ business_id = '' }]", "agents[0].business_id: is empty")]
#[case("agents = [{ number = '415 555' }]", "agents[0].number: is neither an E.164 number nor a SIP address")]
#[case(
    "agents = [{ name = 'a', number = '+14155550123' }, { name = 'b', number = 'sip:+14155550123@acme.example' }]",
    "agents[1].number: sip:+14155550123@acme.example is answered by agents[0] already"
)]
#[case("agents = [{ voice = 'Cora' }]", "agents[0].voice: the service has no voice \"Cora\"")]
#[case("agents = [{ language = 'English' }]", "agents[0].language: is not a BCP-47 language tag")]
#[case("agents = [{ temperature = 2.5 }]", "agents[0].temperature: 2.5 is not between 0 and 2")]
#[case("agents = [{ temperature = nan }]", "agents[0].temperature: NaN is not between 0 and 2")]
#[case("agents = [{ model = '' }]", "agents[0].model: is not the name of a model")]
#[case("agents = [{ model = 'models/gemini-3.8-live' }]", "agents[0].model: has the prefix models/")]
#[case(
    "agents = [{ model = 'gemini-2.0-flash-live-001' }]",
    "agents[0].model: gemini-2.0-flash-live-001 is retired: the service refuses it"
)]
#[case(
    "agents = [{ vad = { prefix_padding_ms = 3000 } }]",
    "agents[0].vad.prefix_padding_ms: 3000 ms is not between 0 and 2000"
)]
#[case(
    "agents = [{ vad = { silence_duration_ms = 0 } }]",
    "agents[0].vad.silence_duration_ms: 0 ms is not between 100 and 10000"
)]
#[case(
    "agents = [{ name = 'a' }, { name = 'b' }]",
    "agents[1].number: is missing, as in agents[0]: both answer every other number"
)]
#[case(
    "agents = [{ name = 'a', number = '+14155550123' }, { name = 'b', number = '+14155550123' }]",
    "agents[1].number: +14155550123 is answered by agents[0] already"
)]
#[case(
    "agents = [{ name = 'a' }, { name = 'a', number = '+14155550123' }]",
    "agents[1].name: \"a\" is the name of agents[0] too"
)]
#[case(
    "agents = [{ last_resort = { kind = 'transfer', to = '415 555' } }]",
    "agents[0].last_resort.to: is not an E.164 number"
)]
#[case("limits.max_calls = 0", "limits.max_calls: 0 is not between 1 and 100000")]
#[case(
    "limits.calls_per_minute_per_caller = 20000",
    "limits.calls_per_minute_per_caller: 20000 is not between 0 and 10000"
)]
#[case(
    "limits.calls_per_minute_per_number = 10001",
    "limits.calls_per_minute_per_number: 10001 is not between 0 and 10000"
)]
#[case("limits.lag_max_ms = 1", "limits.lag_max_ms: 1 ms is not between 5 and 1000")]
#[case("agents = [{ overflow = {} }]", "agents[0].overflow: answers the call, says nothing and hangs up")]
#[case("agents = [{ overflow = { say = ' ' } }]", "agents[0].overflow.say: is empty")]
#[case(
    "agents = [{ overflow = { say = 'a', language = 'English' } }]",
    "agents[0].overflow.language: is not a BCP-47 language tag"
)]
#[case(
    "agents = [{ overflow = { then = { kind = 'transfer', to = '911' } } }]",
    "agents[0].overflow.then.to: is not an E.164 number"
)]
#[case(
    "agents = [{ overflow = { then = { kind = 'redirect', url = 'http://b.example.com/voice' } } }]",
    "agents[0].overflow.then.url: is http://, which is allowed for this machine only"
)]
#[case(
    "agents = [{ overflow = { then = { kind = 'redirect', url = 'https://v.example.com/twilio/voice' } } }]",
    "agents[0].overflow.then.url: is this server, which is full: it sends the call to itself again"
)]
fn each_mistake_is_one_finding(#[case] text: &str, #[case] finding: &str) {
    assert_eq!(findings(text), [finding]);
}

#[rstest]
#[case("", "", "fallback: is not configured: when the live service fails, callers hear an apology")]
#[case(
    "tts",
    "",
    "fallback.tts: is missing, and the fallback is not used without text to speech: when the live service fails, \
     callers hear an apology"
)]
#[case(
    "stt",
    "{ kind = 'openai', endpoint = 'ftp://x' }",
    "fallback.stt[0].endpoint: the endpoint `ftp://x` is not an http or https URL"
)]
#[case("stt", "{ kind = 'openai' }", "fallback.stt[0].key_env: OPENAI_API_KEY is not set")]
#[case("llm", "{ kind = 'openai', key_env = 'MINE' }", "fallback.llm[0].key_env: MINE is not set")]
#[case(
    "llm",
    "{ kind = 'gemini', endpoint = 'http://10.0.0.1/v1' }",
    "fallback.llm[0].endpoint: the endpoint `http://10.0.0.1` is http://, which would show the key to the network"
)]
#[case(
    "llm",
    "{ kind = 'ollama' }, { kind = 'ollama' }",
    "fallback.llm[1].name: \"ollama\" is the name of a service before it too"
)]
#[case(
    "llm",
    "{ kind = 'ollama', max_tokens = 0 }",
    "fallback.llm[0].max_tokens: 0 is not between 1 and 8192"
)]
#[case(
    "llm",
    "{ kind = 'ollama', timeouts = { total_ms = 90000 } }",
    "fallback.llm[0].timeouts.total_ms: 90000 ms is not between 100 and 60000"
)]
#[case(
    "tts",
    "{ kind = 'openai', key_env = '', language = 'English' }",
    "fallback.tts[0].language: is not a BCP-47 language tag"
)]
#[case(
    "tts",
    "{ kind = 'openai', key_env = '', speed = 9.0 }",
    "fallback.tts[0].speed: `speed` is not between 0.25 and 4"
)]
#[case("tts", "{ kind = 'gemini', speed = 1.0 }", "fallback.tts[0].speed: `speed` is not known to Gemini")]
fn each_mistake_of_a_fallback_is_one_finding(
    #[case] kind: &str,
    #[case] entries: &str,
    #[case] finding: &str,
) {
    let others =
        FALLBACK.lines().filter(|line| !line.is_empty() && !line.starts_with(&format!("fallback.{kind}")));
    let mut lines: Vec<_> = others.map(str::to_owned).collect();
    if kind.is_empty() {
        lines.clear();
    } else if !entries.is_empty() {
        lines.push(format!("fallback.{kind} = [{entries}]"));
    }
    assert_eq!(findings_without_fallback(&lines.join("\n")), [finding]);
}

#[test]
fn a_fallback_that_cannot_be_used_is_a_warning_and_a_service_that_cannot_be_made_an_error() {
    let severity = |text: &str| {
        let text = format!("server.public_url = 'https://v.example.com'\n{text}");
        load(&text).unwrap().validate()[0].severity
    };
    assert_eq!(severity(""), Severity::Warning);
    assert_eq!(severity("fallback.llm = [{ kind = 'ollama' }]"), Severity::Warning);
    assert_eq!(severity(&FALLBACK.replace("127.0.0.1", "10.0.0.1")), Severity::Error);
}

#[test]
fn a_recorded_greeting_is_read_from_beside_the_configuration() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("p.toml");
    let wav = include_bytes!("../../fixtures/cover/one-moment.wav");
    fs::write(folder.path().join("greeting.wav"), wav).unwrap();
    let clip = "greeting = { file = \"greeting.wav\", text = \"One moment, please.\" }";
    fs::write(&path, format!("[[agents]]\nname = 'a'\n\n[[agents]]\nname = 'b'\n{clip}")).unwrap();
    let config = Config::load(Some(&path), &keys).unwrap();
    assert_eq!(config.agents[0].greeting, Agent::default().greeting);
    let Greeting::Clip(clip) = &config.agents[1].greeting else { panic!("no recording") };
    assert_eq!(clip.text, "One moment, please.");
    assert!(clip.samples.len() > 4000, "{clip:?}");
}

#[test]
fn a_call_is_recorded_if_the_agent_has_the_table_for_it() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("p.toml");
    let wav = include_bytes!("../../fixtures/cover/one-moment.wav");
    fs::write(folder.path().join("recorded.wav"), wav).unwrap();
    let text = "[[agents]]\nname = 'a'\n\n[[agents]]\nname = 'b'\n[agents.keep.recording]\n\n\
                [[agents]]\nname = 'c'\n[agents.keep.recording]\nretention_days = 30\n\
                announcement = { file = 'recorded.wav', text = 'This call is recorded.' }\n";
    fs::write(&path, text).unwrap();
    let config = Config::load(Some(&path), &keys).unwrap();
    let recording = |index: usize| config.agents[index].keep.recording.clone();
    assert_eq!((recording(0), recording(1)), (None, Some(Recording::default())));
    let last = recording(2).unwrap();
    assert_eq!(last.announcement.map(|clip| clip.text).as_deref(), Some("This call is recorded."));
    assert_eq!(last.retention_days, Some(30));
}

#[test]
fn an_announcement_that_cannot_be_played_names_its_key() {
    let text = "[[agents]]\n[agents.keep.recording]\nannouncement = { file = 'missing.wav', text = 'Hi.' }";
    let found = findings(text);
    let [finding] = &found[..] else { panic!("{found:?}") };
    assert!(finding.starts_with("agents[0].keep.recording.announcement.file: "), "{finding}");
}

#[rstest]
#[case("recordings.folder = ''", "recordings.folder: is empty")]
#[case("recordings.folder = 'Cargo.toml'", "recordings.folder: is not a folder")]
#[case(
    "[[agents]]\nkeep.recording.retention_days = 0",
    "agents[0].keep.recording.retention_days: is not between 1 and 36500"
)]
fn recordings_that_cannot_be_kept_are_found(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(findings(text), [expected]);
}

#[rstest]
#[case("file = 'missing.wav', text = 'Hi.'", ".file", "missing.wav cannot be read (entity not found)")]
#[case(
    "file = 'test.toml', text = 'Hi.'",
    ".file",
    "test.toml cannot be played: not a WAV file: the RIFF/WAVE header is missing"
)]
#[case("file = 'missing.wav', text = ' '", ".text", "the words of ")]
#[case("file = '.', text = 'Hi.'", ".file", "is a folder, not a file")]
#[case("file = '/dev/zero', text = 'Hi.'", ".file", "/dev/zero is a device, not a file")]
fn a_recorded_greeting_that_cannot_be_played_names_key_file_and_remedy(
    #[case] clip: &str,
    #[case] field: &str,
    #[case] message: &str,
) {
    let text =
        format!("server.public_url = 'https://v.example.com'\n{FALLBACK}[[agents]]\ngreeting = {{ {clip} }}");
    let found = load(&text).unwrap().validate();
    let [finding] = &found[..] else { panic!("{found:?}") };
    assert_eq!(
        (finding.key.as_str(), finding.severity),
        (format!("agents[0].greeting{field}").as_str(), Severity::Error)
    );
    assert!(finding.message.contains(message) && finding.remedy.starts_with("write "), "{finding}");
}

#[test]
fn recordings_that_cannot_be_played_hide_nothing_else() {
    let text = "server.public_url = 'nonsense'\n\
        [[agents]]\nname = 'a'\ngreeting = { file = 'a.wav', text = 'Hi.' }\nvoice = 'x'\n\
        [agents.keep.recording]\nannouncement = { file = 'b.wav', text = 'Hi.' }\n\
        [[agents]]\nname = 'b'\nnumber = '+14155550123'\ngreeting = { file = 'a.wav', text = '' }";
    let keys: Vec<_> = findings_of(text).into_iter().map(|finding| finding.key).collect();
    assert_eq!(
        keys,
        [
            "server.public_url",
            "fallback",
            "agents[0].voice",
            "agents[0].greeting.file",
            "agents[0].keep.recording.announcement.file",
            "agents[1].greeting.text",
        ]
    );
}

fn findings_of(text: &str) -> Vec<Finding> {
    load(text).unwrap().validate()
}

/// The configuration, a recording, a certificate and a key file that are pipes without a writer.
#[test]
fn nothing_waits_for_the_writer_of_a_pipe() {
    let (told, done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let folder = TempDir::new().unwrap();
        let at = |name: &str| folder.path().join(name);
        let pipe = at("pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let error = Config::load(Some(&pipe), &keys).unwrap_err().to_string();
        let text = "server.public_url = 'https://v.example.com'\nlive.ca_file = 'PIPE'\n\
            live.endpoints = [{ kind = 'vertex', project = 'p', location = 'us', credentials_file = 'PIPE' }]\n\
            [[agents]]\ngreeting = { file = 'PIPE', text = 'Hi.' }\n";
        fs::write(at("p.toml"), text.replace("PIPE", pipe.to_str().unwrap())).unwrap();
        let found = Config::load(Some(&at("p.toml")), &keys).unwrap().validate();
        let keys: Vec<_> = found
            .into_iter()
            .filter(|it| it.message.contains("is a pipe, not a file"))
            .map(|it| it.key)
            .collect();
        told.send((error, keys)).unwrap();
    });
    let (error, keys) = done.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(error.contains("pipe is a pipe, not a file; name a TOML file"), "{error}");
    assert_eq!(keys, ["live.endpoints[0].credentials_file", "live.ca_file", "agents[0].greeting.file"]);
}

#[test]
fn a_variable_that_several_services_need_is_one_finding() {
    let text = "server.public_url = 'https://v.example.com'\n\
        fallback.stt = [{ kind = 'openai', name = 'a' }, { kind = 'openai', name = 'b' }]\n\
        fallback.llm = [{ kind = 'openai' }, { kind = 'openai', name = 'mine', key_env = 'MINE' }]\n\
        fallback.tts = [{ kind = 'openai' }]";
    let lines: Vec<_> = findings_of(text).iter().map(|it| format!("{}: {}", it.key, it.message)).collect();
    assert_eq!(
        lines,
        [
            "fallback.stt[0].key_env: OPENAI_API_KEY is not set, also for fallback.stt[1], fallback.llm[0], fallback.tts[0]",
            "fallback.llm[1].key_env: MINE is not set",
        ]
    );
}

#[rstest]
#[case::none(None, 0)]
#[case::short("12345", 1)]
#[case::one_less("123456789abcdef", 1)]
#[case::enough("123456789abcdef0", 0)]
#[case::long("0123456789abcdef0123456789abcdef", 0)]
fn a_short_token_of_the_api_is_told(#[case] token: impl Into<Option<&'static str>>, #[case] count: usize) {
    let mut config = load(&format!("server.public_url = 'https://v.example.com'\n{FALLBACK}")).unwrap();
    config.secrets.api_token = token.into().map(Secret::new);
    let found = config.validate();
    assert_eq!(found.len(), count, "{found:?}");
    assert!(found.iter().all(|it| it.key == API_TOKEN && it.severity == Severity::Warning), "{found:?}");
}

#[test]
fn all_mistakes_are_found_at_once_in_the_order_of_the_file() {
    let text =
        "live.api_version = ''\nagents = [{ name = '', voice = 'x', temperature = -1 }, { prompt = '' }]";
    let keys: Vec<_> = load(text).unwrap().validate().into_iter().map(|finding| finding.key).collect();
    assert_eq!(
        keys,
        [
            "server.public_url",
            "live.api_version",
            "fallback",
            "agents[0].name",
            "agents[0].voice",
            "agents[0].temperature",
            "agents[1].prompt",
            "agents[1].number",
        ]
    );
}

#[rstest]
#[case("kore", "did you mean \"Kore\"?")]
#[case("Zefir", "did you mean \"Zephyr\"?")]
#[case("Sulafatt", "did you mean \"Sulafat\"?")]
fn a_misspelt_voice_gets_the_nearest_one(#[case] voice: &str, #[case] remedy: &str) {
    let config = load(&format!("agents = [{{ voice = '{voice}' }}]")).unwrap();
    assert!(config.validate().iter().any(|finding| finding.remedy == remedy), "{:?}", config.validate());
}

#[test]
fn missing_secrets_are_findings_of_the_environment() {
    let mut config = load(&format!("server.public_url = \"https://v.example.com\"\n{FALLBACK}")).unwrap();
    config.secrets = Secrets::load(&nothing, &config.fallback);
    let lines: Vec<_> = config.validate().iter().map(ToString::to_string).collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with("error: GEMINI_API_KEY (environment): is not set"), "{}", lines[0]);
    assert!(lines[1].starts_with("error: TWILIO_AUTH_TOKEN (environment): is not set"), "{}", lines[1]);
    // A simulated service on this machine asks for no key.
    config.live.endpoint = "ws://127.0.0.1:9090".to_owned();
    assert_eq!(config.validate()[0].severity, Severity::Warning);
}

#[test]
fn only_the_developer_api_needs_the_key_of_the_gemini_api() {
    let mut config = load(&format!(
        "server.public_url = 'https://v.example.com'\n{FALLBACK}\
         live.endpoints = [{{ kind = 'vertex', project = 'p', location = 'us' }}]",
    ))
    .unwrap();
    config.secrets.gemini_api_key = None;
    assert_eq!(config.validate(), []);
}

#[rstest]
#[case("{\"type\": \"service_account\", \"private_key\": \"hunter2\"}", None)]
#[case(
    "{\"type\": \"authorized_user\", \"secret\": \"hunter2\"}",
    Some("is of a user, not of a service account")
)]
#[case("hunter2", Some("is not JSON"))]
fn the_key_file_that_the_environment_names_is_looked_at_and_not_printed(
    #[case] text: &str,
    #[case] finding: Option<&str>,
) {
    let folder = TempDir::new().unwrap();
    let [file, key] = ["p.toml", "sa.json"].map(|name| folder.path().join(name));
    fs::write(&key, text).unwrap();
    let endpoints = "live.endpoints = [{ kind = 'vertex', project = 'p', location = 'us' }]";
    fs::write(&file, format!("server.public_url = 'https://v.example.com'\n{FALLBACK}{endpoints}")).unwrap();
    let env = |name: &str| match name {
        GOOGLE_CREDENTIALS => Some(key.display().to_string()),
        _ => keys(name),
    };
    let lines: Vec<_> =
        Config::load(Some(&file), &env).unwrap().validate().iter().map(ToString::to_string).collect();
    match finding {
        Some(finding) => {
            assert!(lines.len() == 1 && lines[0].contains(finding), "{lines:?}");
            assert!(
                lines[0].starts_with("error: GOOGLE_APPLICATION_CREDENTIALS (environment): "),
                "{lines:?}"
            );
            assert!(!lines[0].contains("hunter2"), "{lines:?}");
        }
        None => assert_eq!(lines, [] as [&str; 0]),
    }
}

#[rstest]
#[case("\"quoted\"", "0123", None, "error: GEMINI_API_KEY")]
#[case("AIza", "two\nlines", None, "error: TWILIO_AUTH_TOKEN ")]
#[case("AIza", "0123", Some("0123"), "warning: TWILIO_AUTH_TOKEN_SECONDARY")]
fn damaged_secrets_are_found_and_not_printed(
    #[case] gemini: &str,
    #[case] twilio: &str,
    #[case] secondary: Option<&str>,
    #[case] beginning: &str,
) {
    let mut config = load(&format!("server.public_url = \"https://v.example.com\"\n{FALLBACK}")).unwrap();
    config.secrets = Secrets {
        database_url: None,
        api_token: None,
        gemini_api_key: Some(Secret::new(gemini)),
        vertex_api_key: None,
        twilio_auth_token: Some(Secret::new(twilio)),
        twilio_auth_token_secondary: secondary.map(Secret::new),
        providers: BTreeMap::new(),
    };
    let lines: Vec<_> = config.validate().iter().map(ToString::to_string).collect();
    assert!(lines.len() == 1 && lines[0].starts_with(beginning), "{lines:?}");
    assert!(!lines[0].contains(gemini) && !lines[0].contains(twilio), "{lines:?}");
}
