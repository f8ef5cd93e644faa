//! The shell: accepts sockets, upgrades them, and runs one machine for each. Decides nothing about a call.

mod connection;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::admission::Admission;
use super::behaviour::Behaviour;
use super::observation::Observation;
use super::scenario::Scenario;
use super::session::Session;
use connection::Connection;

/// What a server serves.
#[derive(Clone, Debug, Default)]
pub struct Config {
    pub behaviour: Behaviour,
    pub scenario: Arc<Scenario>,
    pub frames: Frames,
    pub tls: Tls,
}

/// The opcode of server messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Frames {
    /// As the real service.
    #[default]
    Binary,
    Text,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    #[default]
    Off,
    /// TLS and plain sockets on the same port, by a CA made at the start.
    OwnCa,
}

/// An observation: when, and on which connection, counted from 1.
#[derive(Clone, Debug)]
pub struct Sighting {
    pub at: Instant,
    pub connection: u64,
    pub observation: Observation,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot listen: {0}")]
    Listen(#[from] std::io::Error),
    #[error("cannot make certificates: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("cannot use the certificates: {0}")]
    Tls(#[from] rustls::Error),
}

/// Observations kept for a slow watcher: an hour of a busy call.
const SIGHTINGS: usize = 16_384;

/// A running server. Dropping it closes every connection at once.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    ca_pem: Option<String>,
    sightings: broadcast::Sender<Sighting>,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves on this listener until [`Server::shutdown`].
    pub fn start(listener: TcpListener, config: Config) -> Result<Self, Error> {
        let address = listener.local_addr()?;
        let (acceptor, ca_pem) = match config.tls {
            Tls::Off => (None, None),
            Tls::OwnCa => {
                let identity = tls::Identity::generate()?;
                (Some(identity.acceptor), Some(identity.ca_pem))
            }
        };
        let (sightings, _) = broadcast::channel(SIGHTINGS);
        let door = Door {
            behaviour: Arc::new(config.behaviour),
            scenario: config.scenario,
            frames: config.frames,
            acceptor,
            sightings: sightings.clone(),
        };
        let task = tokio::spawn(accept(listener, Arc::new(door)));
        Ok(Self { address, ca_pem, sightings, task })
    }

    /// The base URL for a client: `http://…`, or `https://localhost:…` with TLS.
    pub fn local_url(&self) -> String {
        match self.ca_pem {
            Some(_) => format!("https://localhost:{}", self.address.port()),
            None => format!("http://{}", self.address),
        }
    }

    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The certificate that a client must trust.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// What happens from now on, with the instant at which the bytes were handed to the socket. A watcher that
    /// lags loses the oldest.
    pub fn observations(&self) -> broadcast::Receiver<Sighting> {
        self.sightings.subscribe()
    }

    /// Closes the listener and every connection.
    pub async fn shutdown(mut self) {
        self.task.abort();
        // It was aborted: that is how it ends.
        (&mut self.task).await.ok();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What every connection shares.
struct Door {
    behaviour: Arc<Behaviour>,
    scenario: Arc<Scenario>,
    frames: Frames,
    acceptor: Option<TlsAcceptor>,
    sightings: broadcast::Sender<Sighting>,
}

async fn accept(listener: TcpListener, door: Arc<Door>) {
    let mut connections = JoinSet::new();
    let mut count = 0;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    count += 1;
                    connections.spawn(serve(stream, Arc::clone(&door), count));
                }
                // The peer is gone again, or there are no descriptors left: both pass.
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// From the first byte to the upgraded socket.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

async fn serve(stream: TcpStream, door: Arc<Door>, number: u64) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused");
    }
    match &door.acceptor {
        Some(acceptor) if is_tls(&stream).await => {
            match tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => converse(stream, &door, number).await,
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            }
        }
        Some(_) | None => converse(stream, &door, number).await,
    }
}

/// Whether the first byte is that of a TLS handshake record (RFC 8446, 5.1).
async fn is_tls(stream: &TcpStream) -> bool {
    const HANDSHAKE: u8 = 22;
    let mut first = [0];
    let peeked = tokio::time::timeout(HANDSHAKE_MAX, stream.peek(&mut first)).await;
    matches!(peeked, Ok(Ok(1))) && first[0] == HANDSHAKE
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(stream: S, door: &Door, number: u64) {
    let upgraded = tokio::time::timeout(HANDSHAKE_MAX, upgrade(stream)).await;
    let (socket, admission) = match upgraded {
        Ok(Ok(upgraded)) => upgraded,
        Ok(Err(error)) => return tracing::debug!(%error, "an upgrade failed"),
        Err(_) => return tracing::debug!("an upgrade took too long"),
    };
    let sightings = door.sightings.clone();
    let watch = move |observation| {
        // Nobody may be watching.
        sightings.send(Sighting { at: Instant::now(), connection: number, observation }).ok();
    };
    let (behaviour, scenario) = (Arc::clone(&door.behaviour), Arc::clone(&door.scenario));
    let session = Session::new(behaviour, scenario, admission, number);
    Connection::new(socket, door.frames, watch).run(session).await;
}

/// Upgrades a socket; a path that does not exist is a 404. Offers of compression are ignored.
async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
) -> Result<(WebSocketStream<S>, Admission), tokio_tungstenite::tungstenite::Error> {
    let mut admission = None;
    #[expect(clippy::result_large_err, reason = "the type of the handshake's callback")]
    let look = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        admission = Admission::read(request.uri(), request.headers());
        if admission.is_some() {
            return Ok(response);
        }
        let mut refusal = ErrorResponse::new(Some("no such path".to_owned()));
        *refusal.status_mut() = tokio_tungstenite::tungstenite::http::StatusCode::NOT_FOUND;
        Err(refusal)
    };
    let socket = tokio_tungstenite::accept_hdr_async_with_config(stream, look, Some(limits())).await?;
    let admission = admission.ok_or(tokio_tungstenite::tungstenite::Error::ConnectionClosed)?;
    Ok((socket, admission))
}

/// Buffers of a socket. Nothing is kept back for later, and a client that does not read is cut off.
fn limits() -> WebSocketConfig {
    /// Room for a chunk of audio in one read.
    const READ_BUFFER: usize = 16 * 1024;
    /// Several seconds of output in base64.
    const WRITE_BUFFER_MAX: usize = 1024 * 1024;
    /// The largest client messages are images and histories; the service takes no megabytes.
    const MESSAGE_MAX: usize = 4 * 1024 * 1024;
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_MAX)
        .max_message_size(Some(MESSAGE_MAX))
        .max_frame_size(Some(MESSAGE_MAX))
}
