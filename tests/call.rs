//! Whole calls over real sockets: simulated carrier ⇄ server and bridge ⇄ simulated model, and the call log.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use patchcord::audio::resample::Resampler;
use patchcord::audio::{Rate, g711};
use patchcord::bridge::{Bridge, Offer};
use patchcord::call::agent::{Agent, Greeting};
use patchcord::carrier::signature::{Algorithm, sign};
use patchcord::net::dial;
use patchcord::provider::gemini::{Config as LiveConfig, Dialer};
use patchcord::secret::Secret;
use patchcord::server::{self, State};
use patchcord::sim::carrier::{self, Ending, Fixture, HangUp, Report};
use patchcord::sim::gemini::{self, Behaviour, Scenario, SetupReply};
use patchcord::store::Store;
use patchcord::store::query::{CallDetail, Query};
use rstest::rstest;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

const AUTH_TOKEN: &str = "test-auth-token";
const API_KEY: &str = "test-api-key";

/// A server with its call log and its model.
struct World {
    url: String,
    bridge: Arc<Bridge>,
    store: Store,
    folder: TempDir,
    model: Option<gemini::Server>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl World {
    async fn with_model(scenario: Scenario, behaviour: Behaviour) -> Self {
        let config = gemini::Config {
            behaviour: Behaviour { keys: vec![Secret::new(API_KEY)], ..behaviour },
            scenario: Arc::new(scenario),
            frames: gemini::Frames::Binary,
            tls: gemini::Tls::OwnCa,
        };
        let model = gemini::Server::start(TcpListener::bind("127.0.0.1:0").await.unwrap(), config).unwrap();
        let authority = CertificateDer::from_pem_slice(model.ca_pem().unwrap().as_bytes()).unwrap();
        let endpoint = model.local_url().replacen("http", "ws", 1);
        Self::build(&endpoint, API_KEY, Some(authority), Some(model)).await
    }

    async fn with_endpoint(endpoint: &str) -> Self {
        Self::build(endpoint, API_KEY, None, None).await
    }

    async fn build(
        endpoint: &str,
        key: &str,
        authority: Option<CertificateDer<'static>>,
        model: Option<gemini::Server>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("calls.db")).await.unwrap();
        let live = LiveConfig { endpoint: endpoint.to_owned(), ..LiveConfig::default() };
        let dialer = Dialer::new(&live, &Secret::new(key), dial::tls(authority)).unwrap();
        let bridge = Arc::new(Bridge::new(store.handle(), Offer::live(dialer)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let config = server::Config { public_url: Some(url.clone()), ..server::Config::default() };
        let agent = Agent {
            name: "test".into(),
            business_id: "acme".into(),
            greeting: Greeting::None,
            ..Agent::default()
        };
        let tokens = vec![Secret::new(AUTH_TOKEN)];
        let state = State::new(&config, tokens, vec![Arc::new(agent)], Arc::clone(&bridge)).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(server::serve(listener, Arc::new(state), async {
            let _ = stopped.await;
        }));
        Self { url, bridge, store, folder, model, stop, server }
    }

    fn call(&self, fixture: Fixture) -> carrier::Config {
        carrier::Config::new(format!("{}/twilio/voice", self.url), Secret::new(AUTH_TOKEN), fixture)
    }

    async fn finish(self, report: &Report) -> CallDetail {
        self.finish_call(&report.caller.call_sid).await
    }

    /// Ends everything; gives what the log says about a call.
    async fn finish_call(self, call_sid: &str) -> CallDetail {
        assert!(self.bridge.drain(Instant::now()).await, "a call is still running");
        let _ = self.stop.send(());
        self.server.await.unwrap();
        if let Some(model) = self.model {
            model.shutdown().await;
        }
        self.store.close().await.unwrap();
        let query = Query::open(&self.folder.path().join("calls.db")).await.unwrap();
        query.call(call_sid).await.unwrap().expect("the call is in the log")
    }
}

/// A caller who speaks for half a second, a second into the call, and then listens.
fn caller(listens: Duration) -> Fixture {
    let quiet = |ms: usize| vec![g711::MULAW_SILENCE; ms * 8];
    let speech = (0..4000).map(|n| g711::encode(if n % 16 < 8 { 6000 } else { -6000 }));
    let mut audio = quiet(1000);
    audio.extend(speech);
    audio.extend(quiet(usize::try_from(listens.as_millis()).unwrap()));
    Fixture::from_mulaw(&audio)
}

fn quick() -> Behaviour {
    Behaviour {
        setup: SetupReply::After(Duration::from_millis(20)),
        think: Duration::ZERO,
        ..Behaviour::default()
    }
}

/// What the model says is what the caller hears, bit for bit: the reference is one resampling of the whole.
#[tokio::test(flavor = "multi_thread")]
async fn every_sample_of_an_answer_reaches_the_callers_ear() {
    let mut noise = 1_u32;
    let answer: Vec<i16> = (0..24_000 * 2 + 11)
        .map(|n| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let hiss = (noise >> 16) as i16 / 16;
            hiss + (9000.0 * (f64::from(n) * 0.07).sin()) as i16
        })
        .collect();
    let world = World::with_model(Scenario::echoing("Noise.", answer.clone()), quick()).await;
    let report = carrier::place(world.call(caller(Duration::from_millis(3500)))).await.unwrap();

    let (mut resampled, mut reference) = (Vec::new(), Vec::new());
    let mut resampler = Resampler::new(Rate::MODEL_OUT, Rate::LINE);
    resampler.push(&answer, &mut resampled);
    resampler.flush(&mut resampled);
    g711::encode_into(&resampled, &mut reference);
    assert!(report.heard() == reference, "{} of {} bytes heard", report.heard().len(), reference.len());
    assert!(report.violations.is_empty(), "{:?}", report.violations);

    let detail = world.finish(&report).await;
    let said: Vec<_> = detail.turns.iter().map(|turn| (turn.speaker.as_str(), turn.text.as_str())).collect();
    assert_eq!(said, [("caller", "(sound)"), ("agent", "Noise.")]);
    assert_eq!(detail.call.ending.as_deref(), Some("caller_hung_up"));
}

/// 6.5 kHz at −12 dB would fold to 1.5 kHz: the caller hears the tone as clean as mu-law can carry it.
#[tokio::test(flavor = "multi_thread")]
async fn speech_above_four_kilohertz_does_not_alias_at_the_callers_ear() {
    const TONE: f64 = 1000.0;
    let wave = |hertz: f64, level: f64, n: i32| {
        level * (std::f64::consts::TAU * hertz * f64::from(n) / 24_000.0).sin()
    };
    let answer: Vec<i16> =
        (0..24_000).map(|n| (wave(TONE, 16_000.0, n) + wave(6500.0, 4000.0, n)) as i16).collect();
    let world = World::with_model(Scenario::echoing("Tone.", answer), quick()).await;
    let report = carrier::place(world.call(caller(Duration::from_millis(2500)))).await.unwrap();

    let mut heard = Vec::new();
    g711::decode_into(report.heard(), &mut heard);
    // The steady part: whole periods, away from both ends.
    let steady = &heard[800..800 + 6400];
    let (mut re, mut im) = (0.0, 0.0);
    for (n, &sample) in steady.iter().enumerate() {
        let phase = std::f64::consts::TAU * TONE * n as f64 / 8000.0;
        re += f64::from(sample) * phase.cos();
        im += f64::from(sample) * phase.sin();
    }
    let len = steady.len() as f64;
    let signal = 2.0 * (re * re + im * im) / (len * len);
    let total = steady.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>() / len;
    let snr = 10.0 * (signal / (total - signal)).log10();
    assert!(snr >= 36.0, "{snr:.1} dB");
    world.finish(&report).await;
}

/// The live service cannot be had and there is no fallback: the caller is told so, and the log holds the whole
/// context, one ending and its cause.
#[tokio::test(flavor = "multi_thread")]
async fn a_live_service_that_is_not_there_ends_the_call_with_its_cause() {
    let world = World::with_endpoint("ws://127.0.0.1:9").await;
    let report = carrier::place(world.call(caller(Duration::from_millis(2500)))).await.unwrap();
    assert!(!report.heard().is_empty(), "the apology");
    let detail = world.finish(&report).await;
    assert_complete(&detail, "all_failed");
    assert_eq!(lost(&detail).len(), 4, "three attempts, and one more because there is no fallback");
    assert!(lost(&detail).iter().all(|lost| lost.contains("unreachable")));
}

#[rstest]
#[case::upgrade_refused("/nowhere", API_KEY, r#""status":404"#)]
#[case::key_refused("", "wrong key", "API key not valid")]
#[tokio::test(flavor = "multi_thread")]
async fn a_live_service_that_refuses_ends_the_call_with_its_words(
    #[case] path: &str,
    #[case] key: &str,
    #[case] words: &str,
) {
    let other = World::with_model(Scenario::default(), quick()).await;
    let model = other.model.as_ref().unwrap();
    let authority = CertificateDer::from_pem_slice(model.ca_pem().unwrap().as_bytes()).unwrap();
    let endpoint = model.local_url().replacen("http", "ws", 1) + path;
    let world = World::build(&endpoint, key, Some(authority), None).await;
    let report = carrier::place(world.call(caller(Duration::from_secs(1)))).await.unwrap();
    assert!(!report.heard().is_empty(), "the apology");
    let detail = world.finish(&report).await;
    assert_complete(&detail, "all_failed");
    let [lost] = &lost(&detail)[..] else { panic!("more than one attempt: {:?}", detail.events) };
    assert!(lost.contains(words), "{lost}");
    assert!(!lost.contains("wrong key"), "the key itself is nowhere");
    let ending = detail.circumstances.ending_detail.as_ref().unwrap().to_string();
    assert!(ending.contains(words), "{ending}");
}

/// What the log says of every connection that could not be had or was lost.
fn lost(detail: &CallDetail) -> Vec<String> {
    let lost = detail.events.iter().filter(|event| event.kind == "live_lost");
    lost.map(|event| event.detail.to_string()).collect()
}

/// A carrier that sends what no carrier sends: every frame is counted, none ends the call, and the caller is
/// still heard. Only the message that breaks the limits of the socket closes it.
#[tokio::test(flavor = "multi_thread")]
async fn frames_that_cannot_be_used_are_counted_and_the_call_goes_on() {
    let world = World::with_model(Scenario::default(), quick()).await;
    let token = Secret::new(AUTH_TOKEN);
    let (call_sid, account_sid) =
        ("CA00000000000000000000000000000001", "AC00000000000000000000000000000001");
    let pairs: Vec<(String, String)> = [
        ("CallSid", call_sid),
        ("AccountSid", account_sid),
        ("From", "+14155550123"),
        ("To", "+13125550142"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let url = format!("{}/twilio/voice", world.url);
    let signature = sign(Algorithm::HmacSha1, &token, &url, &pairs);
    let webhook = reqwest::Client::new().post(&url).header("X-Twilio-Signature", signature).form(&pairs);
    let document = webhook.send().await.unwrap().text().await.unwrap();
    let stream = document.split("<Stream url=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let mut upgrade = stream.as_str().into_client_request().unwrap();
    let signature = sign(Algorithm::HmacSha1, &token, &stream, &[]);
    upgrade.headers_mut().insert("X-Twilio-Signature", signature.parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::connect_async(upgrade).await.unwrap();

    let start = r#"{"event":"start","start":{"streamSid":"MZ1","callSid":"CA00000000000000000000000000000001","accountSid":"AC00000000000000000000000000000001","mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}},"streamSid":"MZ1"}"#;
    let media = |chunk: &str| {
        format!(
            r#"{{"event":"media","media":{{"track":"inbound","chunk":"{chunk}","payload":"{}"}},"streamSid":"MZ1"}}"#,
            "/".repeat(212)
        )
    };
    let frames = [
        media("1"),
        r#"{"event":"connected"}"#.to_owned(),
        start.to_owned(),
        start.to_owned(),
        "not json".to_owned(),
        "[".repeat(30_000),
        r#"{"event":"media","media":{"payload":"*"},"streamSid":"MZ1"}"#.to_owned(),
        r#"{"event":"media","media":{"payload":"//8="},"streamSid":"MZ2"}"#.to_owned(),
        media("18446744073709551615"),
        media("99999999999999999999999999"),
        media("2"),
        media("2"),
        r#"{"event":"dtmf","dtmf":{"digit":"?"},"streamSid":"MZ1"}"#.to_owned(),
        r#"{"event":"mark","mark":{"name":"forged"},"streamSid":"MZ1"}"#.to_owned(),
        r#"{"event":"tomorrow"}"#.to_owned(),
    ];
    for frame in frames {
        socket.send(Message::text(frame)).await.unwrap();
    }
    socket.send(Message::binary(vec![0; 160])).await.unwrap();
    socket.send(Message::text(r#"{"event":"stop","stop":{},"streamSid":"MZ1"}"#)).await.unwrap();
    while let Some(Ok(_)) = socket.next().await {}

    let detail = world.finish_call(call_sid).await;
    assert_eq!(detail.call.ending.as_deref(), Some("caller_hung_up"));
    let faults: BTreeMap<String, u64> = detail
        .events
        .iter()
        .filter(|event| event.kind == "fault")
        .map(|event| {
            (event.detail["fault"].as_str().unwrap().to_owned(), event.detail["count"].as_u64().unwrap())
        })
        .collect();
    let expected = [
        ("base64", 1),
        ("chunk_jump", 1),
        ("digit", 1),
        ("duplicate_chunk", 1),
        ("foreign_mark", 1),
        ("foreign_stream", 1),
        ("json", 3),
        ("media_before_start", 1),
        ("odd_chunk", 1),
        ("second_start", 1),
    ];
    assert_eq!(faults, expected.map(|(fault, count)| (fault.to_owned(), count)).into());
}

/// Everything a reader of the log needs is there, whatever failed.
fn assert_complete(detail: &CallDetail, ending: &str) {
    let call = &detail.call;
    assert_eq!(call.ending.as_deref(), Some(ending));
    assert!(call.ended_at.is_some());
    assert_eq!((call.agent.as_str(), call.summary.business_id.as_str()), ("test", "acme"));
    assert_ne!(call.call_sid, "unknown");
    assert!(call.from.starts_with('+') && call.to.starts_with('+'));
    let sequences: Vec<_> = detail.events.iter().map(|event| event.sequence).collect();
    assert!(sequences.is_sorted());
}

#[rstest]
#[case::by_closing_the_socket(HangUp::CloseOnly)]
#[case::by_vanishing(HangUp::Drop)]
#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_that_leaves_without_a_word_ends_the_call(#[case] hang_up: HangUp) {
    let world = World::with_model(Scenario::echoing("Hello.", vec![5000_i16; 24_000]), quick()).await;
    let mut call = world.call(caller(Duration::from_millis(300)));
    call.knobs.hang_up = hang_up;
    let report = carrier::place(call).await.unwrap();
    let detail = world.finish(&report).await;
    assert_complete(&detail, "carrier_closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_server_refuses_calls_and_says_that_it_is_not_ready() {
    let world = World::with_endpoint("ws://127.0.0.1:9").await;
    assert!(world.bridge.drain(Instant::now()).await);
    let ready = reqwest::get(format!("{}/readyz", world.url)).await.unwrap();
    assert_eq!(ready.status(), 503);
    let report = carrier::place(world.call(caller(Duration::ZERO))).await.unwrap();
    assert!(matches!(report.ending, Ending::Rejected { busy: true }), "{:?}", report.ending);
    let detail = world.finish(&report).await;
    assert_complete(&detail, "drained");
}
