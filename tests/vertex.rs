//! Vertex AI as a live endpoint: tokens of a service account from a loopback token server, and the upgrade.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use patchcord::live::failure::Failure;
use patchcord::live::{Command, Setup, Vad, wire};
use patchcord::net::dial::{self, ClientLink};
use patchcord::net::link::{Incoming, Kind};
use patchcord::provider::gemini::{self, Dialer, Endpoint, Keys, Vertex};
use patchcord::secret::Secret;
use patchcord::sim::gemini::{Behaviour, Config, Personality, Server, SetupReply};
use rsa::RsaPrivateKey;
use rsa::pkcs1v15::{Signature, VerifyingKey};
use rsa::pkcs8::{EncodePrivateKey as _, LineEnding};
use rsa::sha2::Sha256;
use rsa::signature::Verifier as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Nothing here takes long; what hangs is a failure.
const PATIENCE: Duration = Duration::from_secs(20);

/// One key for all tests: making it is slow.
fn key() -> &'static RsaPrivateKey {
    static KEY: OnceLock<RsaPrivateKey> = OnceLock::new();
    KEY.get_or_init(|| RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap())
}

/// What the token server does.
#[derive(Clone, Copy)]
enum Reply {
    /// `token-1`, `token-2` and so on.
    Tokens,
    Refusal,
    /// JSON of the wrong shape, with a secret in it.
    Nonsense,
    Silence,
}

/// A token server with the key file of a service account that uses it.
struct Office {
    folder: TempDir,
    issued: Arc<AtomicUsize>,
}

impl Office {
    async fn open(reply: Reply) -> Self {
        let issued = Arc::new(AtomicUsize::new(0));
        let router = Router::new().route("/token", post(issue)).with_state((reply, Arc::clone(&issued)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/token", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let folder = tempfile::tempdir().unwrap();
        let account = json!({
            "type": "service_account",
            "project_id": "p",
            "private_key": *key().to_pkcs8_pem(LineEnding::LF).unwrap(),
            "client_email": "bridge@p.iam.gserviceaccount.com",
            "token_uri": uri,
        });
        std::fs::write(folder.path().join("sa.json"), account.to_string()).unwrap();
        Self { folder, issued }
    }

    fn dialer(&self, endpoint: &str) -> Dialer {
        dialer(endpoint, self.folder.path().join("sa.json"), 5_000)
    }

    fn issued(&self) -> usize {
        self.issued.load(Ordering::SeqCst)
    }
}

fn dialer(endpoint: &str, credentials: PathBuf, connect_timeout_ms: u64) -> Dialer {
    let vertex = Vertex {
        project: Some("p".to_owned()),
        location: Some("us-central1".to_owned()),
        endpoint: Some(endpoint.to_owned()),
        credentials_file: Some(credentials),
        model: Some("gemini-live-2.5-flash".to_owned()),
        ..Vertex::default()
    };
    let endpoints = vec![Endpoint::Vertex(vertex)];
    let config = gemini::Config { connect_timeout_ms, endpoints, ..gemini::Config::default() };
    gemini::dialers(&config, &Keys::default(), &dial::tls([])).unwrap().remove(0)
}

/// Looks at the assertion as the real server would (RFC 7523, section 3).
fn is_genuine(body: &str) -> bool {
    let pairs: Vec<_> = form_urlencoded::parse(body.as_bytes()).collect();
    let value = |wanted: &str| &pairs.iter().find(|(name, _)| name == wanted).unwrap().1;
    let (signed, signature) = value("assertion").rsplit_once('.').unwrap();
    let claims = URL_SAFE.decode(signed.split_once('.').unwrap().1).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let signature = Signature::try_from(URL_SAFE.decode(signature).unwrap().as_slice()).unwrap();
    value("grant_type") == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        && claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"
        && claims["iss"] == "bridge@p.iam.gserviceaccount.com"
        && VerifyingKey::<Sha256>::new(key().to_public_key()).verify(signed.as_bytes(), &signature).is_ok()
}

async fn issue(
    State((reply, issued)): State<(Reply, Arc<AtomicUsize>)>,
    body: String,
) -> (StatusCode, Json<Value>) {
    match reply {
        Reply::Tokens if is_genuine(&body) => {
            let token = format!("token-{}", issued.fetch_add(1, Ordering::SeqCst) + 1);
            (StatusCode::OK, Json(json!({"access_token": token, "expires_in": 3600, "token_type": "Bearer"})))
        }
        Reply::Tokens | Reply::Refusal => (StatusCode::BAD_REQUEST, Json(json!({"error": "invalid_grant"}))),
        Reply::Nonsense => (StatusCode::OK, Json(json!("ya29.hunter2"))),
        Reply::Silence => std::future::pending().await,
    }
}

/// Answers each upgrade with the next status and ends; gives what the `authorization` headers were. 101 is an
/// answer that no WebSocket client takes, as it has no key.
async fn door(statuses: &'static [u16]) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    tokio::spawn({
        let seen = Arc::clone(&seen);
        async move {
            for status in statuses {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut request = String::new();
                while !request.ends_with("\r\n\r\n") {
                    request.push(char::from(socket.read_u8().await.unwrap()));
                }
                let header = |name: &str| {
                    let line = request.lines().find(|line| line.to_lowercase().starts_with(name)).unwrap();
                    line[name.len()..].trim().to_owned()
                };
                seen.lock().unwrap().push(header("authorization:"));
                let response = if *status == 101 {
                    use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
                    let accept = derive_accept_key(header("sec-websocket-key:").as_bytes());
                    format!(
                        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                         sec-websocket-accept: {accept}\r\n\r\n"
                    )
                } else {
                    format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n")
                };
                socket.write_all(response.as_bytes()).await.unwrap();
            }
        }
    });
    (url, seen)
}

async fn message(link: &mut ClientLink) -> Value {
    match tokio::time::timeout(PATIENCE, link.next(true)).await.expect("in time") {
        Incoming::Text(data) | Incoming::Binary(data) => serde_json::from_slice(&data).unwrap(),
        other @ (Incoming::Noise(_) | Incoming::Stalled | Incoming::Closed(_)) => panic!("{other:?}"),
    }
}

fn setup() -> Setup {
    Setup {
        model: "gemini-3.8-live".to_owned(),
        voice: None,
        language: None,
        prompt: "You answer the telephone.".to_owned(),
        temperature: None,
        vad: Vad::default(),
        handle: None,
        is_transparent: true,
        history: None,
    }
}

#[tokio::test]
async fn a_session_is_set_up_with_one_token_for_all_connections() {
    let behaviour = Behaviour {
        personality: Personality::VertexHalfCascade,
        setup: SetupReply::After(Duration::ZERO),
        keys: vec![Secret::new("token-1")],
        ..Behaviour::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let service = Server::start(listener, Config { behaviour, ..Config::default() }).unwrap();
    let office = Office::open(Reply::Tokens).await;
    let dialer = office.dialer(&service.local_url().replacen("http", "ws", 1));
    assert_eq!((dialer.name(), dialer.is_transparent()), ("vertex/us-central1", true));

    let model = dialer.model_path(dialer.model().unwrap_or("gemini-3.8-live"));
    assert_eq!(model, "projects/p/locations/us-central1/publishers/google/models/gemini-live-2.5-flash");
    let setup = Setup { model, ..setup() };
    let mut text = String::new();
    wire::encode(&Command::Setup(Box::new(setup)), &mut text);
    let links = futures_util::future::join_all((0..20).map(|_| dialer.dial())).await;
    for link in links {
        let mut link = link.unwrap();
        link.send(&text, Kind::Control);
        assert!(message(&mut link).await["setupComplete"]["sessionId"].is_string());
    }
    assert_eq!(office.issued(), 1);
    assert!(!format!("{dialer:?}").contains("token-1"));
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_once() {
    let office = Office::open(Reply::Tokens).await;
    let (url, seen) = door(&[401, 101]).await;
    assert!(office.dialer(&url).dial().await.is_ok());
    assert_eq!(*seen.lock().unwrap(), ["Bearer token-1", "Bearer token-2"]);
}

#[tokio::test]
async fn an_endpoint_that_refuses_every_token_is_a_failure() {
    let office = Office::open(Reply::Tokens).await;
    let (url, _) = door(&[403, 403]).await;
    assert_eq!(office.dialer(&url).dial().await.err(), Some(Failure::refused(403)));
    assert_eq!(office.issued(), 2);
}

#[tokio::test]
async fn other_refusals_are_not_about_the_token() {
    let office = Office::open(Reply::Tokens).await;
    let (url, _) = door(&[503]).await;
    assert_eq!(office.dialer(&url).dial().await.err(), Some(Failure::refused(503)));
    assert_eq!(office.issued(), 1);
}

#[rstest::rstest]
#[case::refusal(Reply::Refusal, "token request failed")]
#[case::nonsense(Reply::Nonsense, "failed to deserialize token from response")]
#[tokio::test]
async fn without_a_token_the_endpoint_is_not_dialled(#[case] reply: Reply, #[case] told: &str) {
    let office = Office::open(reply).await;
    let failure = office.dialer("ws://127.0.0.1:9").dial().await.unwrap_err();
    let Failure::Unauthorised { message } = failure else { panic!("{failure:?}") };
    assert!(message.contains(told) && !message.contains("hunter2"), "{message}");
}

#[tokio::test]
async fn a_token_server_that_says_nothing_is_left_at_the_deadline() {
    let office = Office::open(Reply::Silence).await;
    let dialer = dialer("ws://127.0.0.1:9", office.folder.path().join("sa.json"), 100);
    assert_eq!(dialer.dial().await.err(), Some(Failure::ConnectTimeout));
}

#[rstest::rstest]
#[case::missing(None)]
#[case::no_account(Some("{\"private_key\": 7, \"client_email\": \"hunter2\"}"))]
#[case::no_key(Some(
    "{\"private_key\": \"hunter2\", \"client_email\": \"e\", \"token_uri\": \"http://127.0.0.1:9\"}"
))]
#[tokio::test]
async fn a_key_file_that_cannot_be_used_is_named_and_not_quoted(#[case] text: Option<&str>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sa.json");
    if let Some(text) = text {
        std::fs::write(&file, text).unwrap();
    }
    let failure = dialer("ws://127.0.0.1:9", file, 5_000).dial().await.unwrap_err();
    let Failure::Unauthorised { message } = failure else { panic!("{failure:?}") };
    assert!(message.contains("sa.json") && !message.contains("hunter2"), "{message}");
}
