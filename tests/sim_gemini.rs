//! The simulated Gemini Live service on real sockets: plain, with TLS, and refusing.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use patchcord::sim::gemini::{
    Behaviour, Close, Closing, Config, Defect, Fault, Frames, Moment, Observation, STATUSES, Scenario,
    Server, SetupReply, Sighting, Tls,
};
use rstest::rstest;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

const PATH: &str = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";

/// Nothing here takes long; what hangs is a failure.
const PATIENCE: Duration = Duration::from_secs(20);

async fn server(config: Config) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Server::start(listener, config).unwrap()
}

/// A service that answers `setup` at once and speaks four hundred times as fast.
fn quick(scenario: Scenario) -> Config {
    let mut behaviour = Behaviour { setup: SetupReply::After(Duration::ZERO), ..Behaviour::default() };
    behaviour.delivery.speed = 400.0;
    Config { behaviour, scenario: Arc::new(scenario), ..Config::default() }
}

async fn plain(server: &Server, target: &str) -> Result<WebSocketStream<TcpStream>, Error> {
    let stream = TcpStream::connect(server.local_addr()).await.unwrap();
    let url = format!("ws://{}{target}", server.local_addr());
    Ok(client_async(url, stream).await?.0)
}

async fn next<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) -> Message {
    tokio::time::timeout(PATIENCE, socket.next()).await.expect("in time").expect("open").expect("whole")
}

async fn next_json<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) -> Value {
    serde_json::from_slice(&next(socket).await.into_data()).unwrap()
}

async fn send<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>, message: Value) {
    socket.send(Message::text(message.to_string())).await.unwrap();
}

fn audio(level: i16, ms: usize) -> Value {
    let bytes: Vec<u8> = (0..ms * 16).flat_map(|n| (level * [1, -1][n % 2]).to_le_bytes()).collect();
    let data = STANDARD.encode(bytes);
    json!({"realtimeInput": {"audio": {"mimeType": "audio/pcm;rate=16000", "data": data}}})
}

/// The samples of one answer.
async fn answer<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) -> Vec<i16> {
    let mut samples = Vec::new();
    loop {
        let message = next_json(socket).await;
        let content = &message["serverContent"];
        if let Some(data) = content.pointer("/modelTurn/parts/0/inlineData/data") {
            let bytes = STANDARD.decode(data.as_str().unwrap()).unwrap();
            samples.extend(bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
        }
        if content.get("turnComplete").is_some() {
            return samples;
        }
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(mut socket: WebSocketStream<S>, samples: &[i16]) {
    send(&mut socket, json!({"setup": {"model": "models/gemini-3.8-live"}})).await;
    assert_eq!(next_json(&mut socket).await, json!({"setupComplete": {}}));
    // The service takes audio faster than real time.
    send(&mut socket, audio(3000, 300)).await;
    send(&mut socket, audio(0, 600)).await;
    assert_eq!(answer(&mut socket).await, samples);
    socket.close(None).await.unwrap();
}

#[tokio::test]
async fn a_plain_client_holds_a_conversation_bit_by_bit() {
    let samples: Vec<i16> = (0..4800).map(|n| (n * 13 % 65_536 - 32_768) as i16).collect();
    let server = server(quick(Scenario::echoing("tone", samples.clone()))).await;
    let socket = plain(&server, &format!("/{PATH}?key=k")).await.unwrap();
    converse(socket, &samples).await;
    server.shutdown().await;
}

#[rstest]
#[case("localhost")]
#[case("127.0.0.1")]
#[tokio::test]
async fn a_client_that_trusts_the_ca_holds_a_conversation_over_tls(#[case] name: &'static str) {
    let samples = [1000; 480];
    let config = Config { tls: Tls::OwnCa, ..quick(Scenario::echoing("tone", samples)) };
    let server = server(config).await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(server.ca_pem().unwrap().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(server.local_addr()).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let stream = connector.connect(ServerName::try_from(name).unwrap(), stream).await.unwrap();
    let (socket, _) = client_async(format!("ws://localhost{PATH}?key=k"), stream).await.unwrap();
    converse(socket, &samples).await;

    let socket = plain(&server, &format!("{PATH}?key=k")).await.unwrap();
    converse(socket, &samples).await;
}

#[rstest]
#[case(Frames::Binary, true)]
#[case(Frames::Text, false)]
#[tokio::test]
async fn frames_have_the_opcode_that_was_asked_for(#[case] frames: Frames, #[case] is_binary: bool) {
    let server = server(Config { frames, ..quick(Scenario::default()) }).await;
    let mut socket = plain(&server, &format!("{PATH}?key=k")).await.unwrap();
    send(&mut socket, json!({"setup": {"model": "m"}})).await;
    assert_eq!(next(&mut socket).await.is_binary(), is_binary);
}

#[tokio::test]
async fn a_path_that_does_not_exist_is_not_found() {
    let server = server(quick(Scenario::default())).await;
    let error = plain(&server, "/ws/nothing").await.unwrap_err();
    let Error::Http(response) = error else { panic!("{error}") };
    assert_eq!(response.status(), 404);
}

#[rstest]
#[case::no_key("", json!({"setup": {"model": "m"}}), 1008, "unregistered callers")]
#[case::unknown_name("?key=k", json!({"setup": {"modle": "m"}}), 1007, "Unknown name \"modle\" at 'setup'")]
#[case::no_setup("?key=k", json!({"realtimeInput": {}}), 1007, "setup must be the first message")]
#[tokio::test]
async fn a_refusal_is_a_close_frame_with_its_code_and_text(
    #[case] query: &str,
    #[case] message: Value,
    #[case] code: u16,
    #[case] text: &str,
) {
    let server = server(quick(Scenario::default())).await;
    let mut socket = plain(&server, &format!("{PATH}{query}")).await.unwrap();
    send(&mut socket, message).await;
    let Message::Close(Some(frame)) = next(&mut socket).await else { panic!("no close frame") };
    assert_eq!(u16::from(frame.code), code);
    assert!(frame.reason.contains(text), "{}", frame.reason);
}

#[tokio::test]
async fn the_probe_answers_between_the_message_and_the_next() {
    let server = server(quick(Scenario::probe())).await;
    let mut sightings = server.observations();
    let mut socket = plain(&server, &format!("{PATH}?key=k")).await.unwrap();
    send(&mut socket, json!({"setup": {"model": "m"}})).await;
    send(&mut socket, audio(0, 100)).await;
    let before = Instant::now();
    send(&mut socket, audio(9000, 20)).await;
    let samples = answer(&mut socket).await;
    let after = Instant::now();
    assert_eq!((samples.len(), samples[0]), (960, 24_000), "40 ms, loud from the first sample on");
    socket.close(None).await.unwrap();
    let mut seen = Vec::new();
    while let Ok(Ok(Sighting { at, observation, .. })) =
        tokio::time::timeout(PATIENCE, sightings.recv()).await
    {
        if observation == Observation::AnswerStarted {
            assert!((before..after).contains(&at));
        }
        let is_last = matches!(observation, Observation::Closed(_));
        seen.push(observation);
        if is_last {
            break;
        }
    }
    let expected = [
        Observation::FirstAudioHeard,
        Observation::AnswerStarted,
        Observation::GenerationComplete,
        Observation::TurnComplete,
        Observation::AudioReceived { samples: 120 * 16 },
        Observation::Closed(Closing::ByClient { code: 1005, reason: String::new() }),
    ];
    assert_eq!(seen[0], Observation::Connected);
    assert_eq!(seen[2..4], [Observation::SetupComplete, seen[3].clone()]);
    assert!(matches!(seen[3], Observation::HandleIssued(_)));
    assert_eq!(seen[4..], expected);
}

fn faulty(at: Moment, what: Defect) -> Config {
    let mut config = quick(Scenario::default());
    config.behaviour.faults = vec![Fault::of_first(1, at, what)];
    config
}

async fn set_up(server: &Server) -> WebSocketStream<TcpStream> {
    let mut socket = plain(server, &format!("{PATH}?key=k")).await.unwrap();
    send(&mut socket, json!({"setup": {"model": "m", "sessionResumption": {}}})).await;
    assert_eq!(next_json(&mut socket).await, json!({"setupComplete": {}}));
    socket
}

/// The observations up to the first of its kind.
async fn watch_for(
    sightings: &mut tokio::sync::broadcast::Receiver<Sighting>,
    is_it: impl Fn(&Observation) -> bool,
) -> Observation {
    loop {
        let sighting = tokio::time::timeout(PATIENCE, sightings.recv()).await.expect("in time").unwrap();
        if is_it(&sighting.observation) {
            return sighting.observation;
        }
    }
}

#[tokio::test]
async fn an_upgrade_can_be_refused_with_every_status_and_works_the_next_time() {
    for status in STATUSES {
        let server = server(faulty(Moment::Upgrade, Defect::Status(status))).await;
        let mut sightings = server.observations();
        let error = plain(&server, &format!("{PATH}?key=k")).await.unwrap_err();
        let Error::Http(response) = error else { panic!("{error}") };
        assert_eq!(response.status(), status);
        let refused = watch_for(&mut sightings, |seen| matches!(seen, Observation::UpgradeRefused(_))).await;
        assert_eq!(refused, Observation::UpgradeRefused(status));
        set_up(&server).await;
    }
}

#[rstest]
#[case::before_tls(Moment::Accepted, Defect::Reset)]
#[case::before_tls_quietly(Moment::Accepted, Defect::Close(Close::NO_FRAME))]
#[case::upgrade(Moment::Upgrade, Defect::Reset)]
#[case::upgrade_quietly(Moment::Upgrade, Defect::Close(Close::NO_FRAME))]
#[tokio::test]
async fn a_handshake_can_break_off_and_works_the_next_time(#[case] at: Moment, #[case] what: Defect) {
    let server = server(faulty(at, what)).await;
    let mut sightings = server.observations();
    assert!(plain(&server, &format!("{PATH}?key=k")).await.is_err());
    let closed = watch_for(&mut sightings, |seen| matches!(seen, Observation::Closed(_))).await;
    assert_eq!(closed, Observation::Closed(Closing::BrokenOff));
    set_up(&server).await;
}

#[rstest]
#[case::reset(Defect::Reset)]
#[case::end_of_stream(Defect::Close(Close::NO_FRAME))]
#[tokio::test]
async fn a_connection_can_end_without_a_close_frame(#[case] defect: Defect) {
    let server = server(faulty(Moment::AfterTurn(9), Defect::Stall)).await;
    let mut sightings = server.observations();
    let mut socket = set_up(&server).await;
    server.inflict(defect);
    let rest = loop {
        match tokio::time::timeout(PATIENCE, socket.next()).await.expect("in time") {
            Some(Ok(message)) => assert!(!message.is_close(), "{message:?}"),
            rest => break rest,
        }
    };
    assert!(matches!(rest, Some(Err(_)) | None), "{rest:?}");
    let closed = watch_for(&mut sightings, |seen| matches!(seen, Observation::Closed(_))).await;
    assert_eq!(closed, Observation::Closed(Closing::BrokenOff));
}

#[tokio::test]
async fn a_close_frame_without_a_code_and_one_with_a_long_reason_arrive() {
    let long = Close::with_reason("is not found for API version").unwrap();
    for (close, code) in [(Close::new(1005, ""), None), (long.clone(), Some(1008))] {
        let server = server(faulty(Moment::SetupComplete, Defect::Close(close))).await;
        let mut socket = set_up(&server).await;
        assert!(next_json(&mut socket).await.get("sessionResumptionUpdate").is_some());
        let Message::Close(frame) = next(&mut socket).await else { panic!("no close frame") };
        assert_eq!(frame.as_ref().map(|frame| u16::from(frame.code)), code);
        assert_eq!(
            frame.map_or(String::new(), |frame| frame.reason.to_string()).len(),
            code.map_or(0, |_| 123)
        );
    }
}

#[rstest]
#[case::in_time(Duration::ZERO)]
#[case::late(Duration::from_millis(300))]
#[tokio::test]
async fn pongs_can_be_late_while_messages_are_not(#[case] delay: Duration) {
    let server = server(faulty(Moment::SetupComplete, Defect::LatePongs(delay))).await;
    let mut socket = set_up(&server).await;
    assert!(next_json(&mut socket).await.get("sessionResumptionUpdate").is_some());
    let begun = Instant::now();
    socket.send(Message::Ping("hi".into())).await.unwrap();
    assert_eq!(next(&mut socket).await, Message::Pong("hi".into()));
    assert!(begun.elapsed() >= delay);
}

#[tokio::test]
async fn a_half_open_connection_stays_and_says_nothing_more() {
    let server = server(faulty(Moment::SetupComplete, Defect::HalfOpen)).await;
    let mut sightings = server.observations();
    let mut socket = set_up(&server).await;
    assert!(next_json(&mut socket).await.get("sessionResumptionUpdate").is_some());
    watch_for(&mut sightings, |seen| matches!(seen, Observation::FaultFired(_))).await;
    socket.send(Message::Ping("hi".into())).await.unwrap();
    // The next connection is served, and nothing comes on this one.
    set_up(&server).await;
    assert!(futures_util::FutureExt::now_or_never(socket.next()).is_none());
}

#[tokio::test]
async fn a_session_is_resumed_on_the_next_connection_as_it_behaves_by_then() {
    let samples = [1000; 480];
    let server = server(quick(Scenario::echoing("tone", samples))).await;
    let mut sightings = server.observations();
    let mut socket = set_up(&server).await;
    let update = next_json(&mut socket).await;
    let handle = update["sessionResumptionUpdate"]["newHandle"].as_str().unwrap().to_owned();
    socket.close(None).await.unwrap();
    watch_for(&mut sightings, |seen| matches!(seen, Observation::Closed(_))).await;

    let faults = vec![Fault::always(Moment::AfterTurn(1), Defect::Close(Close::DEADLINE))];
    server.set_behaviour(Behaviour { faults, ..server.behaviour() });
    let mut socket = plain(&server, &format!("{PATH}?key=k")).await.unwrap();
    send(&mut socket, json!({"setup": {"model": "m", "sessionResumption": {"handle": handle}}})).await;
    let used = watch_for(&mut sightings, |seen| matches!(seen, Observation::HandleUsed(_))).await;
    assert_eq!(used, Observation::HandleUsed(handle));
    send(&mut socket, audio(3000, 300)).await;
    send(&mut socket, audio(0, 600)).await;
    assert_eq!(answer(&mut socket).await, samples);
    assert!(next_json(&mut socket).await.get("sessionResumptionUpdate").is_some());
    let Message::Close(Some(frame)) = next(&mut socket).await else { panic!("no close frame") };
    assert_eq!(u16::from(frame.code), 1011);
}

#[tokio::test]
async fn shutdown_closes_every_connection() {
    let server = server(quick(Scenario::default())).await;
    let mut socket = plain(&server, &format!("{PATH}?key=k")).await.unwrap();
    let address = server.local_addr();
    server.shutdown().await;
    let rest = tokio::time::timeout(PATIENCE, socket.next()).await.expect("in time");
    assert!(!matches!(rest, Some(Ok(_))), "{rest:?}");
    assert!(TcpStream::connect(address).await.is_err());
}
