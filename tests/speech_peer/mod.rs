//! A service for speech on loopback that answers each connection with the same bytes, and tells what it saw.
#![allow(dead_code, reason = "not every test needs all of it")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use futures_util::StreamExt as _;
use patchcord::job::Event;
use patchcord::net::dial;
use patchcord::provider::http::{self, Transport};
use patchcord::provider::pool::Job;
use patchcord::provider::{Config, Providers};
use patchcord::secret::Secret;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What is planted as the key of every service.
pub(crate) const KEY: &str = "planted-key";

/// What is done after the bytes were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// The connection stays open until the client closes it.
    Wait,
    Close,
}

pub(crate) struct Peer {
    pub(crate) port: u16,
    /// Head and body of each request.
    pub(crate) requests: UnboundedReceiver<(String, Vec<u8>)>,
    /// One for each connection that the client closed.
    pub(crate) closed: UnboundedReceiver<()>,
    /// Lets the next piece be sent; the first goes out without.
    pub(crate) gate: std::sync::mpsc::Sender<()>,
}

impl Peer {
    /// Sends these bytes in one piece.
    pub(crate) fn start(answer: impl Into<Vec<u8>>, then: Then) -> Self {
        Self::gated(vec![answer.into()], then)
    }

    /// Sends these pieces, each but the first when the gate is opened for it.
    pub(crate) fn gated(pieces: Vec<Vec<u8>>, then: Then) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (request_tx, requests) = unbounded_channel();
        let (closed_tx, closed) = unbounded_channel();
        let (gate, gates) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let socket = socket.unwrap();
                let mut reader = BufReader::new(socket);
                let _ = request_tx.send(read_request(&mut reader));
                let mut socket = reader.into_inner();
                for (n, piece) in pieces.iter().enumerate() {
                    if n > 0 && gates.recv().is_err() {
                        break;
                    }
                    // A client that has gone away is what some tests are about.
                    let _ = socket.write_all(piece);
                }
                if then == Then::Wait {
                    wait_for_end(socket, &closed_tx);
                }
            }
        });
        Self { port, requests, closed, gate }
    }
}

fn wait_for_end(mut socket: TcpStream, closed: &UnboundedSender<()>) {
    while socket.read(&mut [0; 256]).is_ok_and(|len| len > 0) {}
    drop(socket);
    let _ = closed.send(());
}

fn read_request(reader: &mut BufReader<TcpStream>) -> (String, Vec<u8>) {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
    let lower = head.to_lowercase();
    let len = lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; len.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    (head, body)
}

/// A whole answer.
pub(crate) fn answer(content_type: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// The head of an answer that comes in chunks.
pub(crate) fn head(content_type: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n")
        .into_bytes()
}

/// Such chunks.
pub(crate) fn chunks<'a>(bodies: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let chunk = |body: &[u8]| [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n"].concat();
    bodies.into_iter().flat_map(chunk).collect()
}

/// The end of them.
pub(crate) const END: &[u8] = b"0\r\n\r\n";

/// Providers of one list, each `(kind, port, further lines)`. Connections are not kept.
pub(crate) fn providers(list: &str, entries: &[(&str, u16, &str)]) -> Providers {
    let entry = |(kind, port, more): &(&str, u16, &str)| {
        format!("[[{list}]]\nkind = '{kind}'\nendpoint = 'http://127.0.0.1:{port}/v1'\n{more}\n")
    };
    let toml: String = entries.iter().map(entry).collect();
    let config: Config = toml::from_str(&toml).unwrap();
    let transport = Transport {
        config: http::Config { idle_connections_max: 0, ..http::Config::default() },
        tls: dial::tls([]),
    };
    Providers::new(&config, |_| Some(Secret::new(KEY)), &transport).unwrap()
}

/// All that comes of a job.
pub(crate) async fn all(job: Job) -> Vec<Event> {
    job.collect().await
}
