//! Clients that hold connections and memory, and a webhook meanwhile. One test at a time: the heap is the process's.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails; the figures are printed"
)]

use std::alloc::System;
use std::sync::Arc;
use std::time::{Duration, Instant};

use patchcord::bridge::{Bridge, Offer};
use patchcord::call::agent::Agent;
use patchcord::carrier::signature::{Algorithm, sign};
use patchcord::net::dial;
use patchcord::provider::gemini;
use patchcord::secret::Secret;
use patchcord::server::{self, Config, State};
use patchcord::store::Handle;
use rustix::process::{Resource, getrlimit, setrlimit};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::yield_now;
use tokio::time::timeout;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const PUBLIC_URL: &str = "https://voice.example.com";
const AUTH_TOKEN: &str = "8f2c1d7e5a9b4c3d6e0f1a2b3c4d5e6f";

/// More than a listener has slots.
const ATTACKERS: usize = 1100;

/// A webhook that is not answered by then is lost.
const PATIENCE: Duration = Duration::from_secs(15);

async fn start() -> String {
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Both ends of every connection are in this process.
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum.map_or(Some(1 << 16), |maximum| Some(maximum.min(1 << 16)));
    setrlimit(Resource::Nofile, limit).unwrap();
    let live = gemini::Config { endpoint: "ws://127.0.0.1:9".to_owned(), ..gemini::Config::default() };
    let dialer = gemini::Dialer::new(&live, &Secret::new("key"), dial::tls([])).unwrap();
    let (store, mut log) = Handle::pair(4096);
    tokio::spawn(async move { while log.recv().await.is_some() {} });
    let bridge = Arc::new(Bridge::new(store, Offer::live(dialer)));
    let config = Config { public_url: Some(PUBLIC_URL.to_owned()), ..Config::default() };
    let state =
        State::new(&config, vec![Secret::new(AUTH_TOKEN)], vec![Arc::new(Agent::default())], bridge).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(server::serve(listener, Arc::new(state), std::future::pending()));
    address
}

/// A connection from an address of this machine.
async fn connect(from: &str, to: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    let stream = socket.connect(to.parse().unwrap()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A signed voice request, answered on this connection; after how long.
async fn ring(mut stream: TcpStream, more: usize) -> Duration {
    let value = "x".repeat(more);
    let pairs = [
        ("CallSid", format!("CA{:032x}", rand::random::<u128>())),
        ("AccountSid", "AC0123456789abcdef0123456789abcdef".to_owned()),
        ("From", "+14155550123".to_owned()),
        ("To", "+13125550142".to_owned()),
        ("AddOns", value),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
    let url = format!("{PUBLIC_URL}/twilio/voice");
    let signature = sign(Algorithm::HmacSha1, &Secret::new(AUTH_TOKEN), &url, &pairs);
    let head = format!(
        "POST /twilio/voice HTTP/1.1\r\nHost: a\r\nX-Twilio-Signature: {signature}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let began = Instant::now();
    let answer = async {
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = timeout(PATIENCE, answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    began.elapsed()
}

/// What attackers send before they stop.
const ATTACKS: [(&str, &str); 6] = [
    ("nothing", ""),
    ("half a header section", "POST /twilio/voice HTTP/1.1\r\nHost: a\r\n"),
    (
        "half a body",
        "POST /twilio/voice HTTP/1.1\r\nHost: a\r\nX-Twilio-Signature: x\r\nContent-Length: 200000\r\n\r\nab",
    ),
    (
        "half a chunk",
        "POST /twilio/voice HTTP/1.1\r\nHost: a\r\nX-Twilio-Signature: x\r\nTransfer-Encoding: chunked\r\n\r\n1",
    ),
    ("a request and then nothing", "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a body that nobody wants", "POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\nab"),
];

#[tokio::test]
async fn a_webhook_is_answered_while_others_hold_every_slot_and_all_the_memory() {
    one_byte_at_a_time().await;
    large_bodies_that_stand_still().await;
    for (what, sent) in ATTACKS {
        // Attackers of an address of their own, and behind the proxy through which the webhooks come.
        for from in ["127.0.0.2", "127.0.0.1"] {
            let address = start().await;
            let mut attackers = Vec::new();
            for _ in 0..ATTACKERS {
                let mut stream = connect(from, &address).await;
                let _ = stream.write_all(sent.as_bytes()).await;
                attackers.push(stream);
            }
            let took = ring(connect("127.0.0.1", &address).await, 0).await;
            println!("{what} from {from}: a webhook was answered after {took:?}");
        }
    }
}

/// The budget for large bodies is taken by those that stand still: the oldest of them make room.
async fn large_bodies_that_stand_still() {
    let address = start().await;
    let head =
        "POST /twilio/voice HTTP/1.1\r\nHost: a\r\nX-Twilio-Signature: x\r\nContent-Length: 250000\r\n\r\n";
    let mut attackers = Vec::new();
    for _ in 0..100 {
        let mut stream = connect("127.0.0.2", &address).await;
        let _ = stream.write_all(&[head.as_bytes(), &[b'x'; 200_000]].concat()).await;
        attackers.push(stream);
    }
    let took = ring(connect("127.0.0.1", &address).await, 200_000).await;
    println!("large bodies: a large webhook was answered after {took:?}");
}

/// Each byte comes in a segment, or in a chunk, of its own.
async fn one_byte_at_a_time() {
    const CLIENTS: usize = 16;
    const BYTES: usize = 4000;
    const LIMIT: usize = 64 * 1024;
    for coding in ["Content-Length: 8000", "Transfer-Encoding: chunked"] {
        let address = start().await;
        ring(connect("127.0.0.1", &address).await, 0).await;
        let head =
            format!("POST /twilio/voice HTTP/1.1\r\nHost: a\r\nX-Twilio-Signature: x\r\n{coding}\r\n\r\n");
        let held = || {
            let stats = ALLOCATOR.stats();
            stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
        };
        let before = held();
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            let mut stream = connect("127.0.0.1", &address).await;
            stream.write_all(head.as_bytes()).await.unwrap();
            clients.push(stream);
        }
        let byte: &[u8] = if coding.starts_with("Content") { b"x" } else { b"1\r\nx\r\n" };
        for _ in 0..BYTES {
            for client in &mut clients {
                client.write_all(byte).await.unwrap();
            }
            // The server runs on this thread: it reads each byte before the next is sent.
            yield_now().await;
        }
        let each = held().saturating_sub(before) / CLIENTS;
        println!("{coding}: {each} bytes of memory for each connection with {BYTES} bytes of a body");
        assert!((1..=LIMIT).contains(&each), "{each}");
    }
}
