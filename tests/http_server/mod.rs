//! A raw HTTP server on loopback that answers as it is told, badly if need be, and tells when each connection
//! is closed. It runs on a thread of its own, so that a test can count the tasks of its own runtime.

#![allow(dead_code, unreachable_pub, reason = "each test program uses its part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

/// A test that waits longer than this has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What the server does with every request.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// Sends all of this and waits for what comes next on the connection.
    Answer(String),
    /// Sends this and nothing more, and waits for the peer to go.
    Hang(String),
    /// Sends this and closes the connection.
    Cut(String),
    /// Sends the first and then the second again and again.
    Flood(String, String),
}

pub struct Server {
    pub address: SocketAddr,
    pub requests: UnboundedReceiver<Request>,
    pub closed: UnboundedReceiver<()>,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub head: String,
    pub body: String,
}

/// An event stream that answers with `status`, in the chunked coding, without its end.
pub fn begun(frames: &str) -> String {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    format!("{head}{}", chunk(frames))
}

/// The same, whole.
pub fn whole(frames: &str) -> String {
    format!("{}0\r\n\r\n", begun(frames))
}

pub fn chunk(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{:x}\r\n{text}\r\n", text.len()) }
}

/// A frame of many words.
pub fn long() -> String {
    format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n", "and on ".repeat(500))
}

pub fn refusal(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// An address where nobody listens.
pub fn nobody() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Server {
    pub fn start(behaviour: Behaviour) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let ((requests_in, requests), (closed_in, closed)) = (unbounded_channel(), unbounded_channel());
        // All descriptors of the server itself are open on return, so that a test may count its own.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        std::thread::spawn(move || runtime.block_on(serve(listener, behaviour, (requests_in, closed_in))));
        Self { address, requests, closed }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits for the next request.
    pub async fn request(&mut self) -> Request {
        timeout(PATIENCE, self.requests.recv()).await.expect("no request came").unwrap()
    }

    /// Waits until `count` more connections were closed.
    pub async fn closed(&mut self, count: usize) {
        for n in 0..count {
            let closed = timeout(PATIENCE, self.closed.recv()).await;
            assert_eq!(closed.ok().flatten(), Some(()), "{n} of {count} connections were closed");
        }
    }
}

type Reports = (UnboundedSender<Request>, UnboundedSender<()>);

async fn serve(listener: std::net::TcpListener, behaviour: Behaviour, reports: Reports) {
    let listener = TcpListener::from_std(listener).unwrap();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let (behaviour, reports) = (behaviour.clone(), reports.clone());
        tokio::spawn(async move {
            // Whatever fails, it is over.
            let _ = converse(socket, behaviour, &reports.0).await;
            let _ = reports.1.send(());
        });
    }
}

/// Until the connection is closed, on both sides.
async fn converse(
    socket: TcpStream,
    behaviour: Behaviour,
    requests: &UnboundedSender<Request>,
) -> std::io::Result<()> {
    let mut socket = BufReader::new(socket);
    while let Some(request) = read(&mut socket).await? {
        let _ = requests.send(request);
        match &behaviour {
            Behaviour::Answer(answer) => socket.write_all(answer.as_bytes()).await?,
            Behaviour::Hang(answer) => socket.write_all(answer.as_bytes()).await?,
            Behaviour::Cut(answer) => return socket.write_all(answer.as_bytes()).await,
            Behaviour::Flood(answer, more) => {
                socket.write_all(answer.as_bytes()).await?;
                loop {
                    socket.write_all(more.as_bytes()).await?;
                }
            }
        }
    }
    Ok(())
}

async fn read(socket: &mut BufReader<TcpStream>) -> std::io::Result<Option<Request>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if socket.read_line(&mut head).await? == 0 {
            return Ok(None);
        }
    }
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    socket.read_exact(&mut body).await?;
    Ok(Some(Request { head, body: String::from_utf8_lossy(&body).into_owned() }))
}
