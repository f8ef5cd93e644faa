//! Connecting a WebSocket client by a deadline, over TLS or, on loopback, in plain.

use std::sync::Arc;
use std::time::Duration;

use ::time::OffsetDateTime;
use rustls::pki_types::{CertificateDer, ServerName};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::{Response, Uri};
use tokio_tungstenite::tungstenite::{self, Error as SocketError};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use tokio_util::either::Either;

use super::egress::Egress;
use super::link::Link;
use super::proxy::{Proxies, Proxy};
use super::{Limits, STALL_MAX, race};
use crate::time::wait;

/// To the server or to a proxy.
type Transport = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// A client's socket.
pub type Socket = WebSocketStream<Either<Transport, Box<TlsStream<Transport>>>>;

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

/// The way out without proxies, trusting the built-in authorities and `extra` ones.
pub fn tls(extra: impl IntoIterator<Item = CertificateDer<'static>>) -> Arc<Egress> {
    Egress::new(extra.into_iter().collect(), Proxies::default())
}

/// Connects; everything together takes `deadline` at most.
pub async fn dial(request: Request, egress: Arc<Egress>, deadline: Duration) -> Result<ClientLink, Error> {
    dial_with(request, egress, Limits::LIVE, deadline).await
}

/// The same with these buffers and limits.
pub async fn dial_with(
    request: Request,
    egress: Arc<Egress>,
    limits: Limits,
    deadline: Duration,
) -> Result<ClientLink, Error> {
    let connecting = connect(request, &egress, limits, deadline);
    timeout(deadline, connecting).await.map_err(|_| Error::Timeout(deadline))?
}

/// Where a request goes.
struct Target {
    is_tls: bool,
    /// As in the URL: an IPv6 address has brackets.
    host: String,
    port: u16,
}

impl Target {
    fn of(uri: &Uri) -> Result<Self, Error> {
        let is_tls = uri.scheme_str() == Some("wss");
        // Whole URLs are not for errors: they may hold a password.
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| Error::Unreachable("the URL names no host".to_owned()))?.to_owned();
        Ok(Self { is_tls, host, port: uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 }) })
    }
}

async fn connect(
    request: Request,
    egress: &Egress,
    limits: Limits,
    deadline: Duration,
) -> Result<ClientLink, Error> {
    let target = Target::of(request.uri())?;
    // The rest of the deadline is for the connection, if the name takes long.
    let name_deadline = deadline * 3 / 4;
    let transport = match egress.proxies().of(target.is_tls, &target.host, target.port) {
        Some(proxy) => through(proxy, &target, egress, name_deadline).await?,
        None => Either::Left(open(&target.host, target.port, egress, name_deadline).await?),
    };
    let stream = if target.is_tls {
        Either::Right(secure(&target.host, transport, egress).await?)
    } else {
        Either::Left(transport)
    };
    let config = Some(limits.config());
    match client_async_with_config(request, stream, config).await {
        Ok((socket, _)) => Ok(Link::new(socket)),
        Err(SocketError::Http(response)) => Err(refusal(&response)),
        Err(error) => Err(unreachable(error)),
    }
}

/// The target through a tunnel of the proxy.
async fn through(
    proxy: &Proxy,
    target: &Target,
    egress: &Egress,
    name_deadline: Duration,
) -> Result<Transport, Error> {
    let tcp = open(&proxy.host, proxy.port, egress, name_deadline).await?;
    let mut transport =
        if proxy.is_tls { Either::Right(secure(&proxy.host, tcp, egress).await?) } else { Either::Left(tcp) };
    proxy.tunnel(&mut transport, &target.host, target.port).await.map_err(unreachable)?;
    Ok(transport)
}

async fn open(host: &str, port: u16, egress: &Egress, name_deadline: Duration) -> Result<TcpStream, Error> {
    let tcp = race::connect(egress.names(), host, port, name_deadline).await.map_err(unreachable)?;
    tune(&tcp).map_err(unreachable)?;
    Ok(tcp)
}

async fn secure<S>(host: &str, stream: S, egress: &Egress) -> Result<Box<TlsStream<S>>, Error>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    // A certificate has no brackets and no dot at the end of a name (RFC 6066 section 3).
    let name = host.trim_matches(['[', ']']).trim_end_matches('.').to_owned();
    let name = ServerName::try_from(name).map_err(unreachable)?;
    let connector = TlsConnector::from(Arc::clone(egress.tls()));
    connector.connect(name, stream).await.map(Box::new).map_err(unreachable)
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
