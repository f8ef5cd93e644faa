//! A whole system on loopback: simulated carrier ⇄ server and bridge ⇄ simulated services.
#![allow(dead_code, reason = "not every test needs all of it")]

pub(crate) mod phone;

use std::sync::Arc;
use std::time::{Duration, Instant};

use patchcord::audio::{g711, wav};
use patchcord::bridge::{Bridge, Offer};
use patchcord::call::agent::{Agent, Greeting};
use patchcord::id::CallId;
use patchcord::live::session;
use patchcord::net::dial;
use patchcord::provider::gemini::{Config as LiveConfig, Dialer};
use patchcord::provider::http::{self, Transport};
use patchcord::provider::{self, Providers};
use patchcord::secret::Secret;
use patchcord::server::{self, State, limits};
use patchcord::sim::carrier::{self, Fixture, Report};
use patchcord::sim::gemini::{self, Behaviour, Scenario, SetupReply};
use patchcord::sim::providers::{self, Pace, Rule, Script};
use patchcord::store::captures::{self, Captures};
use patchcord::store::query::{CallDetail, EventRow, Query};
use patchcord::store::{Handle, Store};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) const AUTH_TOKEN: &str = "test-auth-token";
const API_KEY: &str = "test-api-key";

/// Where nobody listens.
pub(crate) const NOWHERE: &str = "ws://127.0.0.1:9";

/// What the fallback understands, and what it says to it.
pub(crate) const QUESTION: &str = "How old is the bridge?";
pub(crate) const ANSWER: &str = "It is old.";

/// A server and its bridge.
pub(crate) struct Front {
    pub(crate) url: String,
    pub(crate) bridge: Arc<Bridge>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl Front {
    pub(crate) async fn start(agent: Agent, offer: Offer, store: Handle) -> Self {
        Self::serve(agent, Bridge::new(store, offer)).await
    }

    pub(crate) async fn serve(agent: Agent, bridge: Bridge) -> Self {
        Self::serve_limited(agent, bridge, None).await
    }

    pub(crate) async fn serve_limited(agent: Agent, bridge: Bridge, limits: Option<&limits::Config>) -> Self {
        let bridge = Arc::new(bridge);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let config = server::Config { public_url: Some(url.clone()), ..server::Config::default() };
        let tokens = vec![Secret::new(AUTH_TOKEN)];
        let state = State::new(&config, tokens, vec![Arc::new(agent)], Arc::clone(&bridge)).unwrap();
        let state = match limits {
            Some(limits) => state.limited(limits),
            None => state,
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(server::serve(listener, Arc::new(state), async {
            let _ = stopped.await;
        }));
        Self { url, bridge, stop, server }
    }

    pub(crate) async fn stop(self) {
        assert!(self.bridge.drain(Instant::now()).await, "a call is still running");
        let _ = self.stop.send(());
        self.server.await.unwrap();
    }
}

/// A server with its call log.
pub(crate) struct World {
    front: Front,
    store: Store,
    captures: Captures,
    folder: TempDir,
}

impl World {
    pub(crate) async fn start(agent: Agent, offer: Offer) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("calls.db")).await.unwrap();
        let captures = captures::Config { folder: folder.path().to_owned(), ..captures::Config::default() };
        let captures = Captures::start(&captures).unwrap();
        let bridge = Bridge::new(store.handle(), offer).with_captures(captures.handle());
        let front = Front::serve(agent, bridge).await;
        Self { front, store, captures, folder }
    }

    /// One call from its webhook to its end, and what the log says about it.
    pub(crate) async fn place(self, fixture: Fixture) -> (Report, CallDetail) {
        let (report, detail, _) = self.place_and_keep(fixture).await;
        (report, detail)
    }

    /// The same, and the inputs of the call if its agent keeps them.
    pub(crate) async fn place_and_keep(self, fixture: Fixture) -> (Report, CallDetail, Option<String>) {
        let webhook = format!("{}/twilio/voice", self.front.url);
        let report =
            carrier::place(carrier::Config::new(webhook, Secret::new(AUTH_TOKEN), fixture)).await.unwrap();
        let is_known = |what: &str| what.contains("is not simulated");
        let violations = &report.violations;
        assert!(violations.iter().all(|violation| is_known(&violation.what)), "{violations:?}");
        self.front.stop().await;
        self.store.close().await.unwrap();
        assert!(self.captures.close().await);
        let query = Query::open(&self.folder.path().join("calls.db")).await.unwrap();
        let detail = query.call(&report.caller.call_sid).await.unwrap().expect("the call is in the log");
        let call = CallId::new(detail.call.call_id.parse::<uuid::Uuid>().unwrap().as_u128());
        let kept = std::fs::read_to_string(captures::path(self.folder.path(), call)).ok();
        (report, detail, kept)
    }
}

/// An agent that waits for the caller.
pub(crate) fn agent() -> Agent {
    Agent { name: "test".into(), business_id: "acme".into(), greeting: Greeting::None, ..Agent::default() }
}

/// A service that answers at once.
pub(crate) fn quick() -> Behaviour {
    Behaviour {
        setup: SetupReply::After(Duration::from_millis(20)),
        think: Duration::ZERO,
        ..Behaviour::default()
    }
}

pub(crate) async fn model(behaviour: Behaviour, scenario: Scenario) -> gemini::Server {
    let config = gemini::Config { behaviour, scenario: Arc::new(scenario), ..gemini::Config::default() };
    gemini::Server::start(TcpListener::bind("127.0.0.1:0").await.unwrap(), config).unwrap()
}

pub(crate) fn endpoint(model: &gemini::Server) -> String {
    model.local_url().replacen("http", "ws", 1)
}

pub(crate) fn dialer(endpoint: &str) -> Dialer {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let live = LiveConfig { endpoint: endpoint.to_owned(), ..LiveConfig::default() };
    Dialer::new(&live, &Secret::new(API_KEY), dial::tls([])).unwrap()
}

/// Live endpoints and the providers of the fallback.
pub(crate) fn offer(endpoints: &[String], providers: Providers) -> Offer {
    let dialers = endpoints.iter().map(|endpoint| dialer(endpoint)).collect();
    Offer::new(session::Config::default(), dialers, providers)
}

/// The services of a fallback, with these faults.
pub(crate) async fn helper(faults: &[&str]) -> providers::Server {
    let rule = Rule { contains: "bridge".to_owned(), reply: ANSWER.to_owned() };
    let config = providers::Config {
        script: Script { rules: vec![rule], ..Script::default() },
        transcripts: vec![QUESTION.to_owned(); 500],
        pace: Pace::NONE,
        faults: faults.iter().map(|text| text.parse().unwrap()).collect(),
        ..providers::Config::default()
    };
    providers::Server::start(TcpListener::bind("127.0.0.1:0").await.unwrap(), config).unwrap()
}

/// All speak like OpenAI; language models in this order, everything else by the last. Connections are not kept.
pub(crate) fn fallback(models: &[&providers::Server]) -> Providers {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let entry = |list: &str, name: &str, server: &providers::Server| {
        let url = server.url();
        format!("[[{list}]]\nkind = 'openai'\nname = '{name}'\nendpoint = '{url}/v1'\n")
    };
    let last = models.last().expect("a service");
    let mut toml = entry("stt", "ears", last) + &entry("tts", "mouth", last);
    for (index, model) in models.iter().enumerate() {
        toml += &(entry("llm", &format!("model {index}"), model) + "timeouts = { first_byte_ms = 500 }\n");
    }
    let config: provider::Config = toml::from_str(&toml).unwrap();
    let http = http::Config { idle_connections_max: 0, ..http::Config::default() };
    Providers::new(&config, |_| Some(Secret::new("key")), &Transport { config: http, tls: dial::tls([]) })
        .unwrap()
}

/// Half a second of a person's voice, in mu-law: "the weather l–".
pub(crate) fn speech() -> &'static [u8] {
    let clip = include_bytes!("../../fixtures/audio/human-whats-the-weather-like.wav");
    &wav::read_mulaw(clip).unwrap()[5600..9600]
}

/// A caller who hums for half a second after each of these pauses, as loud throughout, and then listens: a live model
/// goes by loudness, and what it received can be measured.
pub(crate) fn caller(pauses_ms: &[usize], listens_ms: usize) -> Fixture {
    let hum: Vec<u8> = (0..4000).map(|n| g711::encode(if n % 16 < 8 { 6000 } else { -6000 })).collect();
    fixture(&hum, pauses_ms, listens_ms)
}

/// The same by a person's voice: the fallback knows speech.
pub(crate) fn talker(pauses_ms: &[usize], listens_ms: usize) -> Fixture {
    fixture(speech(), pauses_ms, listens_ms)
}

fn fixture(sound: &[u8], pauses_ms: &[usize], listens_ms: usize) -> Fixture {
    let quiet = |ms: usize| vec![g711::MULAW_SILENCE; ms * 8];
    let mut audio = Vec::new();
    for ms in pauses_ms {
        audio.extend(quiet(*ms));
        audio.extend_from_slice(sound);
    }
    audio.extend(quiet(listens_ms));
    Fixture::from_mulaw(&audio)
}

/// Who said what, as it is in the log.
pub(crate) fn said(detail: &CallDetail) -> Vec<(&str, &str)> {
    detail.turns.iter().map(|turn| (turn.speaker.as_str(), turn.text.as_str())).collect()
}

pub(crate) fn events<'a>(detail: &'a CallDetail, kind: &str) -> Vec<&'a EventRow> {
    detail.events.iter().filter(|event| event.kind == kind).collect()
}

/// The only event of this kind, in words.
pub(crate) fn event(detail: &CallDetail, kind: &str) -> String {
    let found = events(detail, kind);
    assert_eq!(found.len(), 1, "{kind}: {:#?}", detail.events);
    found[0].detail.to_string()
}
