//! Stories of connections: a client, the guard, hyper, and a service that answers by the path.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rstest::rstest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::{self, Instant};

use super::{Guard, Slot, Slots};
use crate::server::rejections::Rejections;

const SECOND: Duration = Duration::from_secs(1);

/// Longer than a socket takes.
const LARGE: usize = 1 << 20;

/// Time goes by, and what is due in it happens: the clock is paused.
async fn pass(duration: Duration) {
    time::sleep(duration).await; // allowed: by the paused clock
}

struct Client {
    socket: DuplexStream,
    slot: Arc<Slot>,
    server: JoinHandle<hyper::Result<()>>,
}

/// A connection whose socket takes this much before it is read.
async fn connect(capacity: usize) -> Client {
    let slots = Arc::new(Slots::default());
    let room = slots.room().await;
    let slot = slots.take("10.0.0.1:9".parse().unwrap(), room);
    let (socket, there) = duplex(capacity);
    let guard = Guard::new(there, Arc::clone(&slot), Arc::<Rejections>::default());
    let answering = Arc::clone(&slot);
    let service = service_fn(move |request| {
        let slot = Arc::clone(&answering);
        slot.begin_answer();
        async move {
            let response = answer(request).await;
            slot.end_answer(response.status() == StatusCode::SWITCHING_PROTOCOLS);
            Ok::<_, Infallible>(response)
        }
    });
    let mut builder = http1::Builder::new();
    builder.header_read_timeout(None).max_buf_size(32 * 1024);
    let connection = builder.serve_connection(TokioIo::new(guard), service).with_upgrades();
    Client { socket, slot, server: tokio::spawn(connection) }
}

async fn answer(mut request: Request<Incoming>) -> Response<Body> {
    match request.uri().path() {
        "/unread" => Response::builder().status(413).body("too large".into()).unwrap(),
        "/large" => Response::new(Bytes::from(vec![b'x'; LARGE]).into()),
        "/slow" => {
            pass(20 * SECOND).await;
            Response::new("slow".into())
        }
        "/upgrade" => {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut socket = TokioIo::new(upgrade.await.unwrap());
                let mut bytes = [0; 4];
                while socket.read_exact(&mut bytes).await.is_ok() {
                    socket.write_all(&bytes).await.unwrap();
                }
            });
            let response =
                Response::builder().status(101).header("upgrade", "x").header("connection", "upgrade");
            response.body(Body::empty()).unwrap()
        }
        path => {
            let answer = format!("{} {path}", request.method());
            match request.into_body().collect().await {
                Ok(body) => Response::new(format!("{answer} {}", body.to_bytes().len()).into()),
                Err(error) => Response::builder().status(400).body(format!("{error:?}").into()).unwrap(),
            }
        }
    }
}

impl Client {
    async fn send(&mut self, text: &str) {
        self.socket.write_all(text.as_bytes()).await.unwrap();
    }

    /// One answer: its status and its body.
    async fn answer(&mut self) -> (u16, String) {
        let head = self.head().await;
        let status = head[9..12].parse().unwrap();
        let length = head
            .to_lowercase()
            .split("content-length: ")
            .nth(1)
            .map(|rest| rest.split("\r\n").next().unwrap().parse::<usize>().unwrap());
        let mut body = vec![0; length.unwrap_or(0)];
        self.socket.read_exact(&mut body).await.unwrap();
        (status, String::from_utf8(body).unwrap())
    }

    async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.socket.read_u8().await.expect("an answer"));
        }
        String::from_utf8(head).unwrap()
    }

    /// What comes until the end.
    async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let _ = self.socket.read_to_end(&mut rest).await;
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// After how many seconds the connection is closed.
    async fn closed_after(&mut self) -> u64 {
        let began = Instant::now();
        assert_eq!(self.rest().await, "");
        began.elapsed().as_secs()
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn answered(text: &str) -> (u16, String) {
    (200, text.to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_kept_longer_than_any_proxy_keeps_it() {
    let mut client = connect(1024).await;
    for idle in [1, 59, 119, 240, 599, 899, 925] {
        client.send(&post("/x", "abc")).await;
        assert_eq!(client.answer().await, answered("POST /x 3"), "{idle}");
        pass(idle * SECOND).await;
    }
    client.send(&get("/x")).await;
    assert_eq!(client.answer().await, answered("GET /x 0"));
    assert_eq!(client.closed_after().await, 930);
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_begins_the_idle_time() {
    let mut client = connect(1024).await;
    client.send(&get("/slow")).await;
    assert_eq!(client.answer().await, answered("slow"));
    assert_eq!(client.closed_after().await, 930);
}

#[tokio::test(start_paused = true)]
async fn a_line_behind_a_body_is_no_request() {
    let mut client = connect(1024).await;
    client.send(&(post("/x", "abc") + "\r\n")).await;
    client.answer().await;
    pass(100 * SECOND).await;
    client.send(&get("/y")).await;
    assert_eq!(client.answer().await, answered("GET /y 0"));
}

#[rstest]
#[case::nothing("", "")]
#[case::empty_lines("\r\n\r\n", "")]
#[case::half_a_line("GET / HT", "HTTP/1.1 408")]
#[case::half_a_header_section("GET / HTTP/1.1\r\nHost: a\r\n", "HTTP/1.1 408")]
#[tokio::test(start_paused = true)]
async fn a_request_that_does_not_come_is_not_waited_for(#[case] sent: &str, #[case] expected: &str) {
    let mut client = connect(1024).await;
    client.send(sent).await;
    let began = Instant::now();
    assert!(client.rest().await.starts_with(expected));
    assert_eq!(began.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_header_section_that_comes_byte_by_byte_has_its_time_as_a_whole() {
    let mut client = connect(1024).await;
    let began = Instant::now();
    for byte in get("/x").bytes() {
        if client.socket.write_all(&[byte]).await.is_err() {
            break;
        }
        pass(SECOND / 2).await;
    }
    assert!(client.rest().await.starts_with("HTTP/1.1 408"));
    assert!(began.elapsed() < 8 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stands_still_ends() {
    let mut client = connect(1024).await;
    client.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab").await;
    let began = Instant::now();
    let (status, text) = client.answer().await;
    assert_eq!((status, began.elapsed().as_secs()), (400, 10));
    assert!(text.contains("TimedOut"), "{text}");
}

#[rstest]
#[case::one_answer(get("/large"))]
#[case::many(get("/x").repeat(500))]
#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_gone_in_10_seconds(#[case] requests: String) {
    let mut client = connect(64).await;
    let began = Instant::now();
    let _ = client.socket.write_all(requests.as_bytes()).await;
    assert!(client.server.await.unwrap().is_err());
    assert_eq!(began.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_makes_room_where_a_slot_is_needed() {
    let mut client = connect(64).await;
    client.send(&get("/large")).await;
    pass(SECOND).await;
    let _flood = flood(&client.slot.slots()).await;
    assert!(client.server.await.unwrap().is_err());
}

/// As many incomplete connections of the same address as there may be.
async fn flood(slots: &Arc<Slots>) -> Vec<Arc<Slot>> {
    let mut all = Vec::new();
    for _ in 0..256 {
        let room = slots.room().await;
        all.push(slots.take("10.0.0.1:9".parse().unwrap(), room));
    }
    all
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_slow_requests_leaves_alone_what_is_answered_and_what_is_idle() {
    let (mut busy, mut idle) = (connect(1024).await, connect(1024).await);
    busy.send(&get("/slow")).await;
    idle.send(&get("/x")).await;
    idle.answer().await;
    pass(SECOND).await;
    for client in [&busy, &idle] {
        flood(&client.slot.slots()).await;
        assert!(!client.slot.is_evicted());
    }
    assert_eq!(busy.answer().await, answered("slow"));
    idle.send(&post("/x", "a")).await;
    assert_eq!(idle.answer().await, answered("POST /x 1"));
}

#[tokio::test(start_paused = true)]
async fn a_slow_header_section_makes_room_with_an_answer() {
    let mut client = connect(1024).await;
    client.send("GET /x HTTP/1.1\r\n").await;
    pass(SECOND).await;
    let _flood = flood(&client.slot.slots()).await;
    let (status, text) = client.answer().await;
    assert_eq!(status, 503);
    assert!(text.contains("too many requests"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_gets_all() {
    let mut client = connect(4096).await;
    client.send(&get("/large")).await;
    client.head().await;
    let mut left = LARGE;
    while left > 0 {
        let mut bytes = vec![0; left.min(64 * 1024)];
        client.socket.read_exact(&mut bytes).await.unwrap();
        left -= bytes.len();
        pass(9 * SECOND).await;
    }
}

#[rstest]
#[case::at_once(usize::MAX)]
#[case::byte_by_byte(1)]
#[case::in_odd_pieces(7)]
#[tokio::test(start_paused = true)]
async fn requests_one_behind_the_other_are_answered_in_order(#[case] piece: usize) {
    let chunks = "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2;x\r\nbc\r\n0\r\nX: y\r\n\r\n";
    let all =
        [get("/a"), post("/b", "ab"), chunks.to_owned(), get("/slow"), post("/d", ""), "BAD\n".to_owned()];
    let mut client = connect(16 * 1024).await;
    for bytes in all.concat().as_bytes().chunks(piece.min(all.concat().len())) {
        client.socket.write_all(bytes).await.unwrap();
        tokio::task::yield_now().await;
    }
    for expected in ["GET /a 0", "POST /b 2", "POST /c 3", "slow", "POST /d 0"] {
        assert_eq!(client.answer().await, answered(expected));
    }
    let (status, text) = client.answer().await;
    assert_eq!(status, 400);
    assert!(text.contains("LF without CR"), "{text}");
    assert_eq!(client.rest().await, "");
}

#[tokio::test(start_paused = true)]
async fn what_the_client_says_of_its_connection_is_done() {
    let mut client = connect(1024).await;
    client.send("GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
    assert!(client.head().await.to_lowercase().contains("connection: keep-alive"));
    client.socket.read_exact(&mut [0; 8]).await.unwrap();
    client.send("HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 200"));
    client.send("POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n").await;
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("ab").await;
    assert_eq!(client.answer().await, answered("POST /x 2"));
    client.send("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert_eq!(client.answer().await, answered("GET /x 0"));
    assert_eq!(client.closed_after().await, 0);

    let mut client = connect(1024).await;
    client.send("GET /x HTTP/1.0\r\n\r\n").await;
    assert_eq!(client.answer().await, answered("GET /x 0"));
    assert_eq!(client.closed_after().await, 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_before_the_end_of_a_body_is_not_lost() {
    let mut client = connect(1024).await;
    client.send("POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n").await;
    // All of it can be written, though nothing of it is wanted.
    client.socket.write_all(&[b'x'; 100_000]).await.unwrap();
    assert_eq!(client.answer().await, (413, "too large".to_owned()));
    assert!(client.closed_after().await <= 2);
}

#[rstest]
#[case::longer_than_said("3\r\nabcd\r\n")]
#[case::no_number("z\r\n")]
#[tokio::test(start_paused = true)]
async fn broken_chunks_are_answered_and_end_the_connection(#[case] chunks: &str) {
    let mut client = connect(1024).await;
    client.send(&format!("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")).await;
    assert_eq!(client.answer().await.0, 400);
    assert!(client.closed_after().await <= 2);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_has_to_make_room_is_answered() {
    let mut client = connect(1024).await;
    client.send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab").await;
    pass(SECOND).await;
    client.slot.hold(64);
    let slots = client.slot.slots();
    let room = slots.room().await;
    slots.take("10.0.0.2:9".parse().unwrap(), room).make_others_release(1);
    let (status, text) = client.answer().await;
    assert_eq!(status, 400);
    assert!(text.contains("Evicted"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn after_an_upgrade_nothing_is_watched() {
    let mut client = connect(1024).await;
    client.send("GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 101"));
    for _ in 0..3 {
        pass(3600 * SECOND).await;
        client.send("a\n\nb").await;
        let mut echo = [0; 4];
        client.socket.read_exact(&mut echo).await.unwrap();
        assert_eq!(&echo, b"a\n\nb");
    }
}
