//! The load model: a service that speaks enough of the Gemini Live API to be called by hundreds of callers at once, for
//! little time of one core. It answers probes in the same breath and counts what came of callers' sound.
//!
//! All that it says is made once and shared; of what it hears it looks at the loudness. It understands nothing.

mod ear;
mod lines;
mod session;
mod stats;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

pub use self::session::REFUSED_MODEL;
use self::session::{House, Output, Session};
pub use self::stats::Snapshot;
use crate::net::Limits;
use crate::sim::gemini::{Identity, ServerError};

/// From the first byte to the upgraded socket.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// How often the process looks at its own clock.
const TICK: Duration = Duration::from_millis(20);

/// A client's messages are small; a kilobyte comes fifty times a second.
const LIMITS: Limits = Limits { read_buffer: 4 << 10, ..Limits::LIVE };

/// A load model that listens.
pub struct Model {
    listener: TcpListener,
    control: TcpListener,
    acceptor: TlsAcceptor,
    ca_pem: String,
    house: Arc<House>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl Model {
    /// Takes TLS connections by a certificate authority of its own on `listener`. A connection to `control` is told a
    /// [`Snapshot`] in one line of JSON and closed.
    pub fn new(listener: TcpListener, control: TcpListener) -> Result<Self, ServerError> {
        let Identity { acceptor, ca_pem } = Identity::generate()?;
        Ok(Self { listener, control, acceptor, ca_pem, house: Arc::new(House::new()) })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where it tells about itself.
    pub fn control_addr(&self) -> std::io::Result<SocketAddr> {
        self.control.local_addr()
    }

    /// The certificate that a client must trust.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Serves until it is dropped. Cheapest on a runtime of one thread.
    pub async fn run(self) {
        let Self { listener, control, acceptor, house, .. } = self;
        let mut clock = interval(TICK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                tick = clock.tick() => house.stats.late(tick.elapsed()),
                Ok((stream, _)) = listener.accept() => {
                    connections.spawn(serve(stream, acceptor.clone(), Arc::clone(&house)));
                }
                Ok((stream, _)) = control.accept() => {
                    connections.spawn(tell(stream, Arc::clone(&house)));
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

async fn tell(mut stream: TcpStream, house: Arc<House>) {
    let line = serde_json::to_string(&house.stats.snapshot()).unwrap_or_default() + "\n";
    // Whoever asked may be gone.
    let _ = stream.write_all(line.as_bytes()).await;
    let _ = stream.shutdown().await;
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, house: Arc<House>) {
    let _ = stream.set_nodelay(true);
    let opening = async {
        let stream = acceptor.accept(stream).await?;
        accept_hdr_async_with_config(stream, check_path, Some(LIMITS.config())).await
    };
    match timeout(HANDSHAKE_MAX, opening).await {
        Ok(Ok(socket)) => {
            if let Err(error) = converse(socket, Session::new(house)).await {
                tracing::debug!(%error, "a connection broke");
            }
        }
        Ok(Err(error)) => tracing::debug!(%error, "a handshake failed"),
        Err(_) => tracing::debug!("a handshake took too long"),
    }
}

#[expect(clippy::result_large_err, reason = "the type of the handshake's callback")]
fn check_path(request: &Request, response: Response) -> Result<Response, ErrorResponse> {
    if request.uri().path().ends_with("BidiGenerateContent") {
        return Ok(response);
    }
    let mut refusal = ErrorResponse::new(Some("no such path".to_owned()));
    *refusal.status_mut() = tungstenite::http::StatusCode::NOT_FOUND;
    Err(refusal)
}

async fn converse<S>(mut socket: WebSocketStream<S>, mut session: Session) -> Result<(), tungstenite::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let due = session.poll_timeout();
        let timer = async {
            match due {
                Some(due) => sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => session.handle_message(text.as_bytes(), Instant::now()),
                Some(Ok(Message::Binary(bytes))) => session.handle_message(&bytes, Instant::now()),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_))) | None => return Ok(()),
                Some(Err(error)) => return Err(error),
            },
            () = timer => session.handle_timeout(Instant::now()),
        }
        if !send(&mut socket, &mut session).await? {
            return Ok(());
        }
    }
}

/// Sends what the session has to say; `false` if that was the end.
async fn send<S>(socket: &mut WebSocketStream<S>, session: &mut Session) -> Result<bool, tungstenite::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Some(mut output) = session.poll_output() else { return Ok(true) };
    loop {
        match output {
            Output::Send(message) => socket.feed(Message::Binary(message)).await?,
            Output::Close(code, reason) => {
                let frame = CloseFrame { code: code.into(), reason: reason.into() };
                socket.close(Some(frame)).await?;
                return Ok(false);
            }
        }
        match session.poll_output() {
            Some(next) => output = next,
            None => break,
        }
    }
    socket.flush().await?;
    Ok(true)
}
