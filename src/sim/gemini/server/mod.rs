//! The shell: accepts sockets, upgrades them, and runs one machine for each. Decides nothing about a call.

mod connection;
mod line;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::admission::Admission;
use super::behaviour::Behaviour;
use super::fault::{Defect, Moment};
use super::handles::Registry;
use super::observation::{Closing, Observation};
use super::scenario::Scenario;
use super::session::{Arrival, Session};
use connection::Connection;
use line::{Line, Stream};
pub(crate) use tls::Identity;

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
    pub connection: u32,
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

/// Defects on demand that may wait for a busy connection.
const DEFECTS: usize = 16;

/// A running server. Dropping it closes every connection at once.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    ca_pem: Option<String>,
    behaviour: watch::Sender<Arc<Behaviour>>,
    sightings: broadcast::Sender<Sighting>,
    defects: broadcast::Sender<Defect>,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves on this listener until [`Server::shutdown`].
    pub fn start(listener: TcpListener, config: Config) -> Result<Self, Error> {
        let address = listener.local_addr()?;
        let (acceptor, ca_pem) = match config.tls {
            Tls::Off => (None, None),
            Tls::OwnCa => {
                let identity = Identity::generate()?;
                (Some(identity.acceptor), Some(identity.ca_pem))
            }
        };
        let (sightings, _) = broadcast::channel(SIGHTINGS);
        let (defects, _) = broadcast::channel(DEFECTS);
        let (behaviour, current) = watch::channel(Arc::new(config.behaviour));
        let door = Door {
            behaviour: current,
            registry: Registry::default(),
            // Ids of another run must not be taken for those of this one.
            seed: uuid::Uuid::new_v4().as_u64_pair().0,
            scenario: config.scenario,
            frames: config.frames,
            acceptor,
            sightings: sightings.clone(),
            defects: defects.clone(),
        };
        let task = tokio::spawn(accept(listener, Arc::new(door)));
        Ok(Self { address, ca_pem, behaviour, sightings, defects, task })
    }

    /// How it behaves on connections that are accepted from now on. Handles stay good.
    pub fn set_behaviour(&self, behaviour: Behaviour) {
        self.behaviour.send_replace(Arc::new(behaviour));
    }

    pub fn behaviour(&self) -> Behaviour {
        Behaviour::clone(&self.behaviour.borrow())
    }

    /// Makes this happen now on every open connection.
    pub fn inflict(&self, defect: Defect) {
        // Nobody may be connected.
        self.defects.send(defect).ok();
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
    behaviour: watch::Receiver<Arc<Behaviour>>,
    scenario: Arc<Scenario>,
    frames: Frames,
    acceptor: Option<TlsAcceptor>,
    registry: Registry,
    seed: u64,
    sightings: broadcast::Sender<Sighting>,
    defects: broadcast::Sender<Defect>,
}

async fn accept(listener: TcpListener, door: Arc<Door>) {
    let mut connections = JoinSet::new();
    let mut count = 0;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    count += 1;
                    connections.spawn(serve(stream, Visit::new(Arc::clone(&door), count)));
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

/// One connection on its way in.
struct Visit {
    door: Arc<Door>,
    /// What was in force when it was accepted.
    behaviour: Arc<Behaviour>,
    number: u32,
    defects: broadcast::Receiver<Defect>,
}

impl Visit {
    fn new(door: Arc<Door>, number: u32) -> Self {
        let (behaviour, defects) = (Arc::clone(&door.behaviour.borrow()), door.defects.subscribe());
        Self { door, behaviour, number, defects }
    }

    /// What is planned for a moment before there is a machine.
    fn defect_at(&self, moment: Moment) -> Option<Defect> {
        let is_now = |at: Moment| at == moment;
        let mut faults = self.behaviour.faults.iter().filter(|fault| is_now(fault.at));
        let defect = faults.find(|fault| fault.connections.contains(&self.number))?.what.clone();
        self.tell(Observation::FaultFired(format!("{moment:?}: {defect:?}")));
        Some(defect)
    }

    fn tell(&self, observation: Observation) {
        tell(&self.door.sightings, self.number, observation);
    }

    fn session(&self, admission: Admission) -> Session {
        let Door { scenario, registry, seed, .. } = &*self.door;
        Session::new(Arrival {
            behaviour: Arc::clone(&self.behaviour),
            scenario: Arc::clone(scenario),
            admission,
            registry: registry.clone(),
            connection: self.number,
            seed: seed.wrapping_add(u64::from(self.number)),
        })
    }
}

fn tell(sightings: &broadcast::Sender<Sighting>, connection: u32, observation: Observation) {
    // Nobody may be watching.
    sightings.send(Sighting { at: Instant::now(), connection, observation }).ok();
}

/// From the first byte to the upgraded socket.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

async fn serve(stream: TcpStream, visit: Visit) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused");
    }
    let is_tls = is_tls(&stream).await;
    if let Some(defect) = visit.defect_at(Moment::Accepted) {
        return break_off(stream, &visit, defect).await;
    }
    match visit.door.acceptor.clone() {
        Some(acceptor) if is_tls => {
            match tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => converse(stream, visit).await,
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            }
        }
        Some(_) | None => converse(stream, visit).await,
    }
}

/// Whether the first byte is that of a TLS handshake record (RFC 8446, 5.1).
async fn is_tls(stream: &TcpStream) -> bool {
    const HANDSHAKE: u8 = 22;
    let mut first = [0];
    let peeked = tokio::time::timeout(HANDSHAKE_MAX, stream.peek(&mut first)).await;
    matches!(peeked, Ok(Ok(1))) && first[0] == HANDSHAKE
}

/// Ends a connection that is not upgraded yet, or keeps it for ever.
async fn break_off(stream: impl Stream, visit: &Visit, defect: Defect) {
    match defect {
        Defect::HalfOpen => std::future::pending().await,
        Defect::Reset => line::reset_on_drop(stream.tcp()),
        Defect::Close(_)
        | Defect::Stall
        | Defect::StopReading
        | Defect::LatePongs(_)
        | Defect::Status(_)
        | Defect::Garbage(_)
        | Defect::ErrorMessage
        | Defect::Stale(_)
        | Defect::GoAway(_)
        | Defect::Spoil(_) => {}
    }
    drop(stream);
    visit.tell(Observation::Closed(Closing::BrokenOff));
}

async fn converse<S: Stream>(mut stream: S, visit: Visit) {
    let status = match visit.defect_at(Moment::Upgrade) {
        None => None,
        Some(Defect::Status(status)) => Some(status),
        Some(defect) => {
            let request = tokio::time::timeout(HANDSHAKE_MAX, line::read_request(&mut stream)).await;
            if !matches!(request, Ok(Ok(()))) {
                tracing::debug!("an upgrade was not asked for");
            }
            return break_off(stream, &visit, defect).await;
        }
    };
    let upgraded = tokio::time::timeout(HANDSHAKE_MAX, upgrade(stream, status)).await;
    let (socket, admission) = match upgraded {
        Ok(Ok(upgraded)) => upgraded,
        Ok(Err(error)) => {
            if let tokio_tungstenite::tungstenite::Error::Http(response) = &error {
                visit.tell(Observation::UpgradeRefused(response.status().as_u16()));
            }
            return tracing::debug!(%error, "an upgrade failed");
        }
        Err(_) => return tracing::debug!("an upgrade took too long"),
    };
    let session = visit.session(admission);
    let (sightings, number) = (visit.door.sightings.clone(), visit.number);
    let watch = move |observation| tell(&sightings, number, observation);
    Connection::new(socket, visit.door.frames, watch).run(session, visit.defects).await;
}

type Upgraded<S> = (WebSocketStream<Line<S>>, Admission);

/// Upgrades a socket, or refuses it with this status; a path that does not exist is a 404. Offers of
/// compression are ignored.
async fn upgrade<S: Stream>(
    stream: S,
    status: Option<u16>,
) -> Result<Upgraded<S>, tokio_tungstenite::tungstenite::Error> {
    let mut admission = None;
    #[expect(clippy::result_large_err, reason = "the type of the handshake's callback")]
    let look = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        if let Some(status) = status.and_then(|status| StatusCode::from_u16(status).ok()) {
            return Err(refusal(status, "refused on purpose"));
        }
        admission = Admission::read(request.uri(), request.headers());
        if admission.is_some() { Ok(response) } else { Err(refusal(StatusCode::NOT_FOUND, "no such path")) }
    };
    let stream = Line::new(stream);
    let socket = tokio_tungstenite::accept_hdr_async_with_config(stream, look, Some(limits())).await?;
    let admission = admission.ok_or(tokio_tungstenite::tungstenite::Error::ConnectionClosed)?;
    Ok((socket, admission))
}

fn refusal(status: StatusCode, text: &str) -> ErrorResponse {
    let mut refusal = ErrorResponse::new(Some(text.to_owned()));
    *refusal.status_mut() = status;
    refusal
}

/// Buffers of a socket. Nothing is kept back for later, and a client that does not read is cut off.
fn limits() -> WebSocketConfig {
    /// Room for a chunk of audio in one read.
    const READ_BUFFER: usize = 16 * 1024;
    /// The largest message that is ever sent, one that is too large on purpose.
    const WRITE_BUFFER_MAX: usize = 64 * 1024 * 1024;
    /// The largest client messages are images and histories; the service takes no megabytes.
    const MESSAGE_MAX: usize = 4 * 1024 * 1024;
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER_MAX)
        .max_message_size(Some(MESSAGE_MAX))
        .max_frame_size(Some(MESSAGE_MAX))
}
