//! The simulated carrier against a small server of its own: real sockets, known audio.
#![allow(clippy::unwrap_used, reason = "a test panics")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use patchcord::secret::Secret;
use patchcord::sim::carrier::{
    Config, End, Ending, Event, Fixture, HangUp, Knobs, Report, Signing, place, probe, signature,
};
use rstest::rstest;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

const TOKEN: &str = "8f2c1d7e5a9b4c3d6e0f1a2b3c4d5e6f";

#[derive(Clone)]
struct Server {
    host: String,
    /// Of its media socket.
    scheme: &'static str,
    /// One permit for each socket that ended.
    ended: Arc<Semaphore>,
    /// What arrived: callbacks as `name=value` lists, stream events by name.
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Serves with a certificate of its own; gives what to trust.
    async fn start_with_tls() -> (Self, CertificateDer<'static>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let certificate = made.cert.der().clone();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let server = Self::at(&listener, "wss");
        let service = TowerToHyperService::new(server.router());
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, service) = (acceptor.clone(), service.clone());
                tokio::spawn(async move {
                    let Ok(tls) = acceptor.accept(tcp).await else { return };
                    let http = hyper::server::conn::http1::Builder::new();
                    http.serve_connection(TokioIo::new(tls), service).with_upgrades().await.ok();
                });
            }
        });
        (server, certificate)
    }

    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self::at(&listener, "ws");
        let router = server.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    fn at(listener: &tokio::net::TcpListener, scheme: &'static str) -> Self {
        let host = listener.local_addr().unwrap().to_string();
        Self { host, scheme, ended: Arc::new(Semaphore::new(0)), seen: Arc::default() }
    }

    fn router(&self) -> Router {
        Router::new()
            .route("/voice/{part}", post(voice))
            .route("/resume", post(async || xml("<Response><Hangup/></Response>")))
            .route("/status", post(status))
            .route("/media/{part}", get(media))
            .with_state(self.clone())
    }

    fn config(&self, part: &str, fixture: Fixture) -> Config {
        let http = self.scheme.replace("ws", "http");
        let webhook = format!("{http}://{}/voice/{part}", self.host);
        Config::new(webhook, Secret::new(TOKEN), fixture)
    }

    /// Waits until the server has read this many sockets to their end.
    async fn drained(&self, sockets: u32) {
        let ended = self.ended.acquire_many(sockets);
        tokio::time::timeout(Duration::from_secs(5), ended).await.unwrap().unwrap().forget();
    }

    fn saw(&self, what: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|seen| seen.contains(what)).count()
    }

    fn note(&self, what: impl Into<String>) {
        self.seen.lock().unwrap().push(what.into());
    }

    fn signed(&self, headers: &HeaderMap, url: &str) -> bool {
        let signature = signature::header(Signing::Right, &Secret::new(TOKEN), url, &[]);
        headers.get(signature::HEADER).and_then(|value| value.to_str().ok()) == signature.as_deref()
    }
}

fn xml(document: impl Into<String>) -> Response {
    ([("content-type", "text/xml")], document.into()).into_response()
}

async fn voice(Path(part): Path<String>, headers: HeaderMap, body: String) -> Response {
    if !headers.contains_key(signature::HEADER) || !body.contains("CallStatus=ringing") {
        return StatusCode::FORBIDDEN.into_response();
    }
    xml(format!(
        r#"<Response><Connect><Stream url="/media/{part}" statusCallback="/status"><Parameter name="part" value="{part}"/>
           </Stream></Connect><Redirect>/resume?attempt=1#rc=2</Redirect></Response>"#
    ))
}

async fn status(State(server): State<Server>, body: String) {
    server.note(body);
}

async fn media(
    State(server): State<Server>,
    Path(part): Path<String>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if !server.signed(&headers, &format!("{}://{}/media/{part}", server.scheme, server.host)) {
        return StatusCode::FORBIDDEN.into_response();
    }
    upgrade.on_upgrade(move |socket| async move {
        // A caller who is gone is no failure of the test server.
        serve(&server, part, socket).await;
        server.ended.add_permits(1);
    })
}

/// The server's side of a stream: reads its messages and behaves as its part says.
async fn serve(server: &Server, part: String, mut socket: WebSocket) -> Option<()> {
    let mut sid = String::new();
    while let Some(message) = socket.recv().await {
        let message = message.inspect_err(|_| server.note("broken socket")).ok()?;
        let Message::Text(text) = message else { continue };
        let message: Value = serde_json::from_str(&text).unwrap();
        let event = message["event"].as_str().unwrap().to_owned();
        server.note(format!("event {event}"));
        if event == "start" {
            sid = message["streamSid"].as_str().unwrap().to_owned();
            assert_eq!(message["start"]["customParameters"]["part"], json!(part));
        }
        for reply in replies(&part, &event, &message, &sid) {
            socket.send(reply).await.ok()?;
        }
    }
    Some(())
}

fn replies(part: &str, event: &str, message: &Value, sid: &str) -> Vec<Message> {
    let text = |value: Value| Message::text(value.to_string());
    let media = |payload: &str| text(json!({"event":"media","streamSid":sid,"media":{"payload":payload}}));
    let mark = || text(json!({"event":"mark","streamSid":sid,"mark":{"name":"end"}}));
    match (part, event) {
        ("echo", "media") => vec![media(message["media"]["payload"].as_str().unwrap())],
        ("play", "start") => vec![media(&STANDARD.encode(known_audio())), mark()],
        ("play", "mark") => vec![Message::Close(None)],
        ("clear", "start") => vec![media(&STANDARD.encode([0x10; 80_000])), mark()],
        ("clear", "dtmf") => vec![text(json!({"event":"clear","streamSid":sid}))],
        ("wrong", "start") => vec![
            Message::binary(vec![1]),
            Message::text("{"),
            text(json!({"event":"stop","streamSid":sid})),
            text(json!({"event":"clear","streamSid":"MZ"})),
        ],
        _ => vec![],
    }
}

/// 0.2 s that no shift of bytes leaves alike.
fn known_audio() -> Vec<u8> {
    (0..1600_u32).map(|index| (index * 7 % 251) as u8).collect()
}

fn quiet(len_ms: usize) -> Fixture {
    Fixture::from_mulaw(&vec![0xFF; len_ms * 8])
}

async fn call(config: Config) -> Report {
    tokio::spawn(place(config)).await.unwrap().unwrap()
}

#[tokio::test]
async fn what_the_server_echoes_is_heard_bit_by_bit() {
    let server = Server::start().await;
    let mut config = server.config("echo", Fixture::from_mulaw(&known_audio()));
    config.status_callback = Some(format!("http://{}/status", server.host));
    let report = call(config).await;
    let heard = report.heard();
    assert!(heard.len() >= 800, "{} bytes heard", heard.len());
    assert_eq!(heard, &known_audio()[..heard.len()]);
    assert_eq!((report.ending, report.verbs), (Ending::CallerHungUp, vec!["Connect".to_owned()]));
    assert_eq!(report.violations, []);
    server.drained(1).await;
    assert_eq!((server.saw("event media"), server.saw("event stop")), (10, 1));
    let callbacks = ["stream-started", "stream-stopped", "CallStatus=completed"];
    assert_eq!(callbacks.map(|name| server.saw(name)), [1, 1, 1]);
}

#[tokio::test]
async fn after_the_servers_close_the_next_verb_runs() {
    let server = Server::start().await;
    let report = call(server.config("play", quiet(5_000))).await;
    server.drained(1).await;
    assert_eq!(server.saw("broken socket"), 0);
    assert_eq!(report.heard(), known_audio());
    assert_eq!((report.audio.marks_played, report.audio.lost_bytes), (1, 0));
    assert_eq!(report.verbs, ["Connect", "Redirect", "Hangup"]);
    assert_eq!(report.ending, Ending::ServerHungUp);
    assert!(matches!(report.streams[0].end, End::ServerClosed { .. }), "{:?}", report.streams);
}

#[tokio::test]
async fn a_call_over_tls_needs_the_extra_root() {
    let (server, ca) = Server::start_with_tls().await;
    let trusting = Config { ca: Some(ca), ..server.config("play", quiet(5_000)) };
    assert_eq!(call(trusting).await.heard(), known_audio());
    let doubting = call(server.config("play", quiet(100))).await;
    assert!(matches!(doubting.ending, Ending::NoDocument { code: 11205, .. }), "{:?}", doubting.ending);
}

#[tokio::test]
async fn a_clear_silences_the_line_and_sends_the_mark_back() {
    let server = Server::start().await;
    let (events, mut seen) = tokio::sync::mpsc::channel(16);
    let mut config = server.config("clear", quiet(600).pressing(Duration::from_millis(300), "5"));
    config.events = Some(events);
    let report = call(config).await;
    let mut cleared = None;
    while let Ok((at, event)) = seen.try_recv() {
        cleared = cleared.or_else(|| (event == Event::Cleared).then_some(at));
    }
    let cleared = cleared.unwrap();
    assert!(report.silence_after(cleared) < Duration::from_millis(5));
    let pressed = cleared - Duration::from_millis(100);
    assert!(report.silence_after(pressed) > Duration::from_millis(90));
    assert_eq!((report.audio.marks_played, report.audio.marks_cleared), (0, 1));
    assert_eq!(report.heard().len() + report.audio.cleared_bytes, 80_000);
    let wav = patchcord::audio::wav::read(&report.wav()).unwrap();
    assert_eq!(wav.channels, 2);
}

#[tokio::test]
async fn every_mistake_of_the_server_is_noted() {
    let server = Server::start().await;
    let report = call(server.config("wrong", quiet(100))).await;
    let codes: Vec<_> = report.violations.iter().map(|violation| violation.code).collect();
    assert_eq!(codes, [31950, 31951, 31951, 31951]);
}

#[tokio::test]
async fn probes_measure_the_way_there_and_back() {
    let server = Server::start().await;
    let ms = Duration::from_millis;
    let plan = probe::Plan { count: 4, period: ms(200), settle: ms(100), seed: 7 };
    let report = call(server.config("echo", Fixture::probes(plan))).await;
    assert_eq!((report.probes.sent, report.probes.delay.count), (4, 4));
    // A burst waits for the end of its frame; the echo itself takes next to nothing.
    assert!(report.probes.delay.median_ms < 100.0, "{:?}", report.probes);
}

#[tokio::test]
async fn a_refused_webhook_ends_the_call() {
    let knobs = Knobs { webhook_signature: Signing::Missing, ..Knobs::default() };
    let server = Server::start().await;
    let report = call(Config { knobs, ..server.config("echo", quiet(100)) }).await;
    let what = "the server answered 403".to_owned();
    assert_eq!(report.ending, Ending::NoDocument { code: 11200, what });
}

#[rstest]
#[case(Signing::Missing)]
#[case(Signing::Wrong)]
#[tokio::test]
async fn a_refused_upgrade_is_a_handshake_error_and_the_next_verb_runs(#[case] signing: Signing) {
    let server = Server::start().await;
    let knobs = Knobs { upgrade_signature: signing, ..Knobs::default() };
    let report = call(Config { knobs, ..server.config("echo", quiet(100)) }).await;
    let what = "the upgrade was answered 403".to_owned();
    assert_eq!(report.streams[0].end, End::Failed { code: 31920, what });
    assert_eq!(report.ending, Ending::ServerHungUp);
    assert_eq!(server.saw("stream-error"), 1);
}

#[rstest]
#[case::other_chunks(Knobs { chunk_len: Some(400), ..Knobs::default() }, 2, 1)]
#[case::no_stop(Knobs { hang_up: HangUp::CloseOnly, ..Knobs::default() }, 5, 0)]
#[case::tcp_drop(Knobs { hang_up: HangUp::Drop, ..Knobs::default() }, 5, 0)]
#[case::late_start(Knobs { start_delay: Duration::from_millis(50), ..Knobs::default() }, 5, 1)]
#[tokio::test]
async fn odd_carriers_send_what_their_knob_says(
    #[case] knobs: Knobs,
    #[case] media: usize,
    #[case] stops: usize,
) {
    let server = Server::start().await;
    let report = call(Config { knobs, ..server.config("listen", quiet(100)) }).await;
    assert_eq!(report.ending, Ending::CallerHungUp);
    assert_eq!(report.audio.sent_s, 0.1);
    server.drained(1).await;
    assert_eq!((server.saw("event media"), server.saw("event stop")), (media, stops));
}

#[tokio::test]
async fn a_carrier_that_stops_reading_hears_nothing() {
    let server = Server::start().await;
    let knobs = Knobs { stops_reading_after: Some(Duration::ZERO), ..Knobs::default() };
    let report = call(Config { knobs, ..server.config("play", quiet(100)) }).await;
    assert_eq!((report.heard().len(), report.ending), (0, Ending::CallerHungUp));
}

#[tokio::test]
async fn a_second_socket_carries_the_same_call() {
    let server = Server::start().await;
    let knobs = Knobs { second_socket_after: Some(Duration::from_millis(20)), ..Knobs::default() };
    let report = call(Config { knobs, ..server.config("echo", quiet(100)) }).await;
    server.drained(2).await;
    assert_eq!((server.saw("event start"), server.saw("event stop")), (2, 2));
    assert_eq!(report.streams.len(), 2);
    assert_ne!(report.streams[0].stream_sid, report.streams[1].stream_sid);
    assert_eq!(report.ending, Ending::CallerHungUp);
}
