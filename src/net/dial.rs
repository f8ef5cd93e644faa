//! Connecting a WebSocket client by a deadline, over TLS or, on loopback, in plain.

use std::sync::Arc;
use std::time::Duration;

use ::time::OffsetDateTime;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::Response;
use tokio_tungstenite::tungstenite::{self, Error as SocketError};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use tokio_util::either::Either;

use super::clock::Clock;
use super::link::Link;
use super::{Limits, STALL_MAX};
use crate::time::wait;

/// A client's socket.
pub type Socket = WebSocketStream<Either<TcpStream, Box<TlsStream<TcpStream>>>>;

/// A link over a client's socket.
pub type ClientLink = Link<Socket, tungstenite::Message>;

/// Why no connection was made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("no connection within {0:?}")]
    Timeout(Duration),
    #[error("{0}")]
    Unreachable(String),
    /// The server may have said how long it is not to be tried.
    #[error("the upgrade was refused with HTTP {status}")]
    Refused { status: u16, retry_after: Option<Duration> },
}

/// Trust in the public authorities, and in `extra` ones for private or local services. Verification is never
/// off.
pub fn tls(extra: impl IntoIterator<Item = CertificateDer<'static>>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    // A certificate that cannot be an authority adds no trust; connecting will say so.
    roots.add_parsable_certificates(extra);
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.time_provider = Arc::new(Clock);
    // WebSockets over HTTP/2 are not used.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// Connects; everything together takes `deadline` at most.
pub async fn dial(request: Request, tls: Arc<ClientConfig>, deadline: Duration) -> Result<ClientLink, Error> {
    dial_with(request, tls, Limits::LIVE, deadline).await
}

/// The same with these buffers and limits.
pub async fn dial_with(
    request: Request,
    tls: Arc<ClientConfig>,
    limits: Limits,
    deadline: Duration,
) -> Result<ClientLink, Error> {
    timeout(deadline, connect(request, tls, limits)).await.map_err(|_| Error::Timeout(deadline))?
}

async fn connect(request: Request, tls: Arc<ClientConfig>, limits: Limits) -> Result<ClientLink, Error> {
    let uri = request.uri();
    let is_tls = uri.scheme_str() == Some("wss");
    let host = uri.host().ok_or_else(|| Error::Unreachable(format!("{uri} names no host")))?.to_owned();
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let tcp = TcpStream::connect((host.trim_matches(['[', ']']), port)).await.map_err(unreachable)?;
    tune(&tcp).map_err(unreachable)?;
    let stream = if is_tls {
        let name = ServerName::try_from(host).map_err(unreachable)?;
        let stream = TlsConnector::from(tls).connect(name, tcp).await.map_err(unreachable)?;
        Either::Right(Box::new(stream))
    } else {
        Either::Left(tcp)
    };
    let config = Some(limits.config());
    match client_async_with_config(request, stream, config).await {
        Ok((socket, _)) => Ok(Link::new(socket)),
        Err(SocketError::Http(response)) => Err(refusal(&response)),
        Err(error) => Err(unreachable(error)),
    }
}

/// What a refused upgrade says. Of the body there is as much as came with the head: that is all of an error.
fn refusal(response: &Response<Option<Vec<u8>>>) -> Error {
    let header = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
    let in_header = header.and_then(|value| wait::in_header(value, OffsetDateTime::now_utc()));
    let in_body = || wait::in_text(&String::from_utf8_lossy(response.body().as_deref()?));
    Error::Refused { status: response.status().as_u16(), retry_after: in_header.or_else(in_body) }
}

/// Frames leave at once, and a peer that vanished is noticed although nothing can be read from it.
fn tune(tcp: &TcpStream) -> std::io::Result<()> {
    tcp.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    SockRef::from(tcp).set_tcp_user_timeout(Some(STALL_MAX))?;
    Ok(())
}

fn unreachable(error: impl std::fmt::Display) -> Error {
    Error::Unreachable(error.to_string())
}
