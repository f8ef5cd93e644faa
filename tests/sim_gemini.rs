//! The simulated Gemini Live service on real sockets: plain, with TLS, and refusing.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use patchcord::sim::gemini::{
    Behaviour, Closing, Config, Frames, Observation, Scenario, Server, SetupReply, Sighting, Tls,
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
