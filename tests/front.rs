//! What real set-ups send to the webhooks, and what is said where they cannot be answered: raw requests, log lines.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::Write;
use std::sync::{Arc, Mutex};

use patchcord::bridge::{Bridge, Offer};
use patchcord::call::agent::Agent;
use patchcord::carrier::signature::{Algorithm, sign};
use patchcord::net::dial;
use patchcord::provider::gemini;
use patchcord::secret::Secret;
use patchcord::server::{self, Config, State};
use patchcord::store::Handle;
use rstest::rstest;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tracing::subscriber::DefaultGuard;

const PUBLIC_URL: &str = "https://voice.example.com";
const AUTH_TOKEN: &str = "8f2c1d7e5a9b4c3d6e0f1a2b3c4d5e6f";
const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

struct Front {
    address: String,
    logged: Logged,
    _logging: DefaultGuard,
}

/// The log lines of this thread, as JSON.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Front {
    async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let logged = Logged::default();
        let writer = logged.clone();
        let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
        let logging = tracing::subscriber::set_default(subscriber);
        let live = gemini::Config { endpoint: "ws://127.0.0.1:9".to_owned(), ..gemini::Config::default() };
        let dialer = gemini::Dialer::new(&live, &Secret::new("key"), dial::tls([])).unwrap();
        // The log takes what comes: nobody reads it.
        let (store, mut log) = Handle::pair(4096);
        tokio::spawn(async move { while log.recv().await.is_some() {} });
        let bridge = Arc::new(Bridge::new(store, Offer::live(dialer)));
        let config = Config { public_url: Some(PUBLIC_URL.to_owned()), ..Config::default() };
        let agents = vec![Arc::new(Agent::default())];
        let state = State::new(&config, vec![Secret::new(AUTH_TOKEN)], agents, bridge).unwrap();
        let state = state.of_account(Some(ACCOUNT.to_owned()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(server::serve(listener, Arc::new(state), std::future::pending()));
        Self { address, logged, _logging: logging }
    }

    /// Sends bytes in pieces, and reads one answer.
    async fn send(&self, bytes: &[u8], piece: usize) -> Answer {
        let mut socket = TcpStream::connect(&self.address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        for bytes in bytes.chunks(piece) {
            // A refused request is not read to its end.
            if socket.write_all(bytes).await.is_err() {
                break;
            }
        }
        Answer::read(&mut socket).await
    }

    /// The log lines of refused requests.
    fn refusals(&self) -> Vec<Value> {
        let text = String::from_utf8(self.logged.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut lines: Vec<_> = lines.filter(|line| line["fields"]["reason"].is_string()).collect();
        lines.iter_mut().for_each(|line| *line = line["fields"].take());
        lines
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    async fn read(socket: &mut TcpStream) -> Self {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") || head == b"HTTP/1.1 100 Continue\r\n\r\n" {
            if head.ends_with(b"\r\n\r\n") {
                head.clear();
            }
            head.push(socket.read_u8().await.expect("an answer"));
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let length = head
            .split("content-length: ")
            .nth(1)
            .map_or(0, |rest| rest.split("\r\n").next().unwrap().parse().unwrap());
        let mut body = vec![0; length];
        socket.read_exact(&mut body).await.unwrap();
        Self { status: head[9..12].parse().unwrap(), head, body: String::from_utf8(body).unwrap() }
    }
}

type Pairs<'a> = &'a [(&'a str, &'a str)];

/// A voice request.
const VOICE: Pairs<'_> = &[
    ("CallSid", "CA0123456789abcdef0123456789abcdef"),
    ("AccountSid", ACCOUNT),
    ("From", "+14155550123"),
    ("To", "+13125550142"),
    ("Direction", "inbound"),
    ("CallStatus", "ringing"),
];

fn form(more: Pairs<'_>) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs([VOICE, more].concat()).finish()
}

fn signature(url: &str, pairs: Pairs<'_>) -> String {
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    sign(Algorithm::HmacSha1, &Secret::new(AUTH_TOKEN), url, &pairs)
}

/// A signed voice request to a path, with headers of its own and more fields.
fn voice(path: &str, headers: &str, more: Pairs<'_>) -> Vec<u8> {
    let body = form(more);
    let signature = signature(&format!("{PUBLIC_URL}{path}"), &[VOICE, more].concat());
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Twilio-Signature: {signature}\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head, body].concat().into_bytes()
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

fn wide() -> Vec<(&'static str, &'static str)> {
    (0..990).map(|_| ("SipHeader_X-Custom", "value")).collect()
}

#[rstest]
#[case::as_twilio_sends_it(voice("/twilio/voice", "Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\n", &[]))]
#[case::without_a_type(voice("/twilio/voice", "", &[]))]
#[case::another_spelling(voice("/twilio/voice", "content-type: Application/X-WWW-Form-Urlencoded ;Charset=\"utf-8\"\r\n", &[]))]
#[case::a_slash_at_the_end(voice("/twilio/voice/", FORM, &[]))]
#[case::two_slashes(voice("//twilio/voice", FORM, &[]))]
#[case::a_query(voice("/twilio/voice?tenant=a%2Fb&x", FORM, &[]))]
#[case::a_slash_and_a_query(voice("/twilio/voice/?tenant=1", FORM, &[]))]
#[case::expects(voice("/twilio/voice", "Expect: 100-continue\r\n", &[]))]
#[case::offers_http2(voice("/twilio/voice", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n", &[]))]
#[case::an_empty_value(voice("/twilio/voice", FORM, &[("CallerName", ""), ("FromZip", "")]))]
#[case::a_name_of_many_scripts(voice("/twilio/voice", FORM, &[("CallerName", "Zoë 🎷 O'Brien & Søn <x>")]))]
#[case::a_nul(voice("/twilio/voice", FORM, &[("CallerName", "a\0b")]))]
#[case::a_field_twice(voice("/twilio/voice", FORM, &[("X", "b"), ("X", "a"), ("X", "b")]))]
#[case::white_space(voice("/twilio/voice", FORM, &[("SpeechResult", "  yes\r\n")]))]
#[case::many_fields(voice("/twilio/voice", FORM, &wide()))]
#[case::a_large_add_on(voice("/twilio/voice", FORM, &[("AddOns", &"x_".repeat(120_000))]))]
#[tokio::test]
async fn a_webhook_of_a_real_set_up_is_answered(#[case] request: Vec<u8>) {
    let front = Front::start().await;
    let answer = front.send(&request, usize::MAX).await;
    assert_eq!(answer.status, 200, "{answer:?} {:?}", front.refusals());
    assert!(answer.body.contains("<Stream "), "{answer:?}");
    assert!(answer.head.contains("keep-alive: timeout=120"), "{}", answer.head);
    assert_eq!(front.refusals(), Vec::<Value>::new());
}

#[rstest]
#[case::bytes(1)]
#[case::pieces(100)]
#[tokio::test]
async fn a_webhook_may_come_in_pieces_and_in_chunks(#[case] piece: usize) {
    let front = Front::start().await;
    let whole = voice("/twilio/voice", FORM, &[]);
    assert_eq!(front.send(&whole, piece).await.status, 200);
    let signature = signature(&format!("{PUBLIC_URL}/twilio/voice"), VOICE);
    let chunks: String = form(&[]).as_bytes().chunks(piece).fold(String::new(), |chunks, chunk| {
        chunks + &format!("{:x}\r\n{}\r\n", chunk.len(), str::from_utf8(chunk).unwrap())
    });
    let head = format!(
        "POST /twilio/voice HTTP/1.1\r\nHost: a\r\nX-Twilio-Signature: {signature}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let chunked = format!("{head}{chunks}0\r\n\r\n");
    assert_eq!(front.send(chunked.as_bytes(), usize::MAX).await.status, 200);
}

#[tokio::test]
async fn a_number_may_be_configured_for_get() {
    let front = Front::start().await;
    for path in ["/twilio/voice", "/twilio/voice/"] {
        let target = format!("{path}?{}", form(&[("tenant", "a b")]));
        let signature = signature(&format!("{PUBLIC_URL}{target}"), &[]);
        let get = |signature: &str| {
            format!("GET {target} HTTP/1.1\r\nHost: a\r\nX-Twilio-Signature: {signature}\r\n\r\n")
        };
        let answer = front.send(get(&signature).as_bytes(), usize::MAX).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.body.contains("<Stream "), "{answer:?}");
        let forged = front.send(get("forged").as_bytes(), usize::MAX).await;
        assert_eq!(forged.status, 403);
        assert!(!forged.body.contains("4155550123"), "{forged:?}");
    }
}

fn plain(line: &str, headers: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\nHost: a\r\n{headers}\r\n").into_bytes()
}

fn forged(headers: &str, body: &str) -> Vec<u8> {
    let head = format!("POST /twilio/voice HTTP/1.1\r\nHost: a\r\nX-Twilio-Signature: forged\r\n{headers}");
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn media(token: &str, headers: &str) -> Vec<u8> {
    let path = format!("/twilio/media/{token}");
    let signature = signature(&format!("wss://voice.example.com{path}"), &[]);
    plain(&format!("GET {path}"), &format!("X-Twilio-Signature: {signature}\r\n{headers}"))
}

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

fn chunked_bytes(count: usize) -> Vec<u8> {
    let head = "POST /twilio/voice HTTP/1.1\r\nHost: a\r\nX-Twilio-Signature: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    format!("{head}{count:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(count)).into_bytes()
}

fn another_account() -> Vec<u8> {
    let pairs = [("CallSid", "CA1"), ("AccountSid", "AC1")];
    let signature = signature(&format!("{PUBLIC_URL}/twilio/voice"), &pairs);
    let headers = format!("X-Twilio-Signature: {signature}\r\nContent-Length: 26\r\n");
    [plain("POST /twilio/voice", &headers), b"CallSid=CA1&AccountSid=AC1".to_vec()].concat()
}

#[rstest]
#[case::no_path(plain("GET /wp-login.php?secret=s3cret", ""), 404, "no_route", "/twilio/voice")]
#[case::a_token_elsewhere(plain(&format!("GET /stream/{TOKEN}"), ""), 404, "no_route", "nothing here")]
#[case::another_method(plain("PUT /twilio/voice", ""), 405, "method", "Allow")]
#[case::a_browser(plain("GET /twilio/voice", ""), 405, "method", "HTTP POST")]
#[case::a_method_for_health(plain("POST /healthz", "Content-Length: 0\r\n"), 405, "method", "Allow")]
#[case::unsigned(
    plain("POST /twilio/voice", "Content-Length: 0\r\n"),
    403,
    "signature_missing",
    "X-Twilio-Signature"
)]
#[case::forged(
    forged("", "a=b"),
    403,
    "signature",
    "signature mismatch for https://voice.example.com/twilio/voice: compare \
    server.public_url with the URL in the Twilio console, and TWILIO_AUTH_TOKEN with the account"
)]
#[case::json(
    forged("Content-Type: application/json; charset=utf-8\r\n", "{}"),
    415,
    "media_type",
    "application/json"
)]
#[case::multipart(
    forged("Content-Type: multipart/form-data; boundary=x\r\n", ""),
    415,
    "media_type",
    "multipart/form-data"
)]
#[case::too_large(forged("", &"x".repeat(256 * 1024 + 1)), 413, "body_too_large", "262144 bytes")]
#[case::too_large_in_chunks(chunked_bytes(256 * 1024 + 1), 413, "body_too_large", "262144 bytes")]
#[case::too_wide(forged("", &"a&".repeat(1001)), 400, "too_many_fields", "1000")]
#[case::another_account(another_account(), 403, "foreign_account", "twilio.account_sid")]
#[case::no_upgrade(media(TOKEN, ""), 400, "no_upgrade", "proxy")]
#[case::an_unknown_stream(media(TOKEN, UPGRADE), 404, "stream_unknown", "two servers behind one address")]
#[case::an_unreadable_token(media("x", UPGRADE), 404, "stream_unknown", "no such stream")]
#[case::an_unsigned_stream(plain(&format!("GET /twilio/media/{TOKEN}"), UPGRADE), 403, "signature_missing", "/twilio/media/…")]
#[case::many_headers(plain("GET /healthz", &"X: y\r\n".repeat(100)), 431, "headers_too_large", "100 fields")]
#[case::large_headers(plain("GET /healthz", &format!("X: {}\r\n", "y".repeat(24 * 1024))), 431, "headers_too_large", "24576 bytes")]
#[case::two_hosts(plain("GET /healthz", "Host: a\r\n"), 400, "malformed_request", "more than one Host")]
#[case::both_lengths(
    plain("POST /twilio/voice", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"),
    400,
    "malformed_request",
    "Content-Length"
)]
#[case::a_bare_lf(b"GET /healthz HTTP/1.1\nHost: a\n\n".to_vec(), 400, "malformed_request", "LF")]
#[case::tls(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), 400, "tls_on_plain_port", "TLS")]
#[case::http2(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), 400, "http2_on_plain_port", "HTTP/1.1")]
#[case::a_proxy_line(b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n".to_vec(), 400, "proxy_protocol", "PROXY")]
#[case::broken_chunks(b"POST /twilio/voice HTTP/1.1\r\nHost: a\r\nX-Twilio-Signature: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec(),
    400, "body_unreadable", "chunks")]
#[tokio::test]
async fn what_is_refused_says_why_to_its_sender_and_in_the_log(
    #[case] request: Vec<u8>,
    #[case] status: u16,
    #[case] reason: &str,
    #[case] says: &str,
) {
    let front = Front::start().await;
    let answer = front.send(&request, usize::MAX).await;
    assert_eq!(answer.status, status, "{answer:?}");
    assert!(answer.body.contains(says), "{answer:?}");
    let lines = front.refusals();
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((line["reason"].as_str(), line["status"].as_u64()), (Some(reason), Some(status.into())));
    assert!(line["message"].as_str().unwrap().contains(says), "{line}");
    assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
    assert_eq!((line["requests"].as_u64(), line["total"].as_u64()), (Some(1), Some(1)));
    for secret in [TOKEN, AUTH_TOKEN, "forged", "s3cret"] {
        assert!(!line.to_string().contains(secret) && !answer.body.contains(secret), "{line} {answer:?}");
    }
}

#[tokio::test]
async fn a_line_says_which_path_and_who_is_said_to_ask() {
    let front = Front::start().await;
    let headers = "X-Forwarded-For: 203.0.113.7, 10.0.0.1\r\nForwarded: for=10.0.0.2\r\n";
    front.send(&plain("DELETE /twilio/voice?x=s3cret", headers), usize::MAX).await;
    let lines = front.refusals();
    assert_eq!(lines[0]["forwarded_for"], "203.0.113.7, 10.0.0.1");
    assert_eq!((&lines[0]["path"], &lines[0]["method"]), (&"/twilio/voice".into(), &"DELETE".into()));
}

#[rstest]
#[case::of_a_webhook("OPTIONS /twilio/voice", "allow: post,get,head")]
#[case::of_health("OPTIONS /healthz", "allow: get,head")]
#[case::of_the_server("OPTIONS *", "204")]
#[tokio::test]
async fn options_are_told(#[case] line: &str, #[case] expected: &str) {
    let front = Front::start().await;
    let answer = front.send(&plain(line, ""), usize::MAX).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    assert!(answer.head.contains(expected), "{}", answer.head);
}

#[tokio::test]
async fn a_refused_request_does_not_end_a_connection_that_others_use() {
    let front = Front::start().await;
    let mut socket = TcpStream::connect(&front.address).await.unwrap();
    let requests = [plain("GET /nothing", ""), forged(FORM, "a=b"), voice("/twilio/voice", FORM, &[])];
    for (request, expected) in requests.iter().zip([404, 403, 200]) {
        socket.write_all(request).await.unwrap();
        assert_eq!(Answer::read(&mut socket).await.status, expected);
    }
}
