//! The socket of a media stream: signed upgrade, one task that reads and writes, an end that tells who ended it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::{Sink as _, Stream as _};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::signature;
use super::stream::{Event, Finished, Output, Stream};

const CONNECT_MAX: Duration = Duration::from_secs(5);
const CLOSE_MAX: Duration = Duration::from_secs(2);
/// A whole second of speech is a message of 11 KiB; this is room for a minute and a half.
const MESSAGE_MAX: usize = 1 << 20;
/// One minute of speech not taken by the server: the connection counts as broken.
const OUTBOX_MAX: usize = 3_000;

/// How a stream ended, as far as the carrier can tell.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    CallerHungUp,
    /// The server closed the socket in an orderly way, with this code.
    ServerClosed {
        code: u16,
    },
    /// The stream failed, by Twilio's error code: 319xx.
    Failed {
        code: u16,
        what: String,
    },
}

/// How the socket ends when the caller hangs up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HangUp {
    /// `stop`, then a close frame.
    #[default]
    Stop,
    /// A close frame without `stop`.
    CloseOnly,
    /// The TCP connection goes away without a word.
    Drop,
}

/// Where to dial and how to behave there.
#[derive(Clone)]
pub(super) struct Dial {
    pub(super) url: String,
    pub(super) signature: Option<String>,
    pub(super) tls: Arc<rustls::ClientConfig>,
}

/// Anything bytes go through: TCP or TLS over it, both of other crates.
trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Opens the socket.
pub(super) async fn dial(dial: &Dial) -> Result<Socket, End> {
    match timeout(CONNECT_MAX, open(dial)).await {
        Ok(opened) => opened,
        Err(_) => Err(failed(31901, "no answer in time")),
    }
}

async fn open(dial: &Dial) -> Result<Socket, End> {
    let request = request(dial).map_err(|error| failed(31920, &error.to_string()))?;
    let uri = request.uri();
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let tls = uri.scheme_str() == Some("wss");
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let tcp = TcpStream::connect((host.as_str(), port)).await.map_err(|error| {
        let code = if error.kind() == ErrorKind::ConnectionRefused { 31902 } else { 31904 };
        failed(code, &error.to_string())
    })?;
    tcp.set_nodelay(true).map_err(|error| failed(31904, &error.to_string()))?;
    let io: Box<dyn Io> = if tls {
        let name = ServerName::try_from(host).map_err(|error| failed(31910, &error.to_string()))?;
        let connector = tokio_rustls::TlsConnector::from(dial.tls.clone());
        Box::new(connector.connect(name, tcp).await.map_err(|error| failed(31910, &error.to_string()))?)
    } else {
        Box::new(tcp)
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(16 << 10)
        .write_buffer_size(0)
        .max_write_buffer_size(MESSAGE_MAX)
        .max_message_size(Some(MESSAGE_MAX))
        .max_frame_size(Some(MESSAGE_MAX));
    match client_async_with_config(request, io, Some(config)).await {
        Ok((socket, _)) => Ok(Socket { socket, outbox: VecDeque::new() }),
        Err(tungstenite::Error::Http(answer)) => {
            Err(failed(31920, &format!("the upgrade was answered {}", answer.status().as_u16())))
        }
        Err(error) => Err(failed(31920, &error.to_string())),
    }
}

fn request(dial: &Dial) -> Result<Request, tungstenite::Error> {
    let mut request = dial.url.as_str().into_client_request()?;
    let headers = request.headers_mut();
    headers.insert("user-agent", HeaderValue::from_static("Twilio.TmeWs/1.0"));
    if let Some(signature) = &dial.signature {
        let name = HeaderName::from_bytes(signature::HEADER.as_bytes());
        let value = HeaderValue::from_str(signature);
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.insert(name, value);
        }
    }
    Ok(request)
}

fn failed(code: u16, what: &str) -> End {
    End::Failed { code, what: what.to_owned() }
}

/// A WebSocket with one owner: polling it also moves what waits in the outbox, so a server that does not read
/// cannot keep the carrier from reading.
pub(super) struct Socket {
    socket: WebSocketStream<Box<dyn Io>>,
    outbox: VecDeque<Message>,
}

impl Socket {
    fn send(&mut self, text: String) -> Result<(), End> {
        if self.outbox.len() >= OUTBOX_MAX {
            return Err(failed(31903, "the server has not read for a minute"));
        }
        self.outbox.push_back(Message::text(text));
        Ok(())
    }

    /// The next frame, while what is queued gets sent. With `deaf` nothing is read. Cancel-safe.
    async fn next(&mut self, deaf: bool) -> Result<Message, End> {
        poll_fn(|context| {
            if let Poll::Ready(Err(error)) = self.poll_send(context) {
                return Poll::Ready(Err(lost(&error)));
            }
            if deaf {
                return Poll::Pending;
            }
            match Pin::new(&mut self.socket).poll_next(context) {
                Poll::Ready(Some(Ok(message))) => Poll::Ready(Ok(message)),
                Poll::Ready(Some(Err(error))) => Poll::Ready(Err(lost(&error))),
                Poll::Ready(None) => {
                    Poll::Ready(Err(failed(31921, "the connection ended without a close frame")))
                }
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<(), tungstenite::Error>> {
        let mut socket = Pin::new(&mut self.socket);
        while !self.outbox.is_empty() {
            std::task::ready!(socket.as_mut().poll_ready(context))?;
            if let Some(message) = self.outbox.pop_front() {
                socket.as_mut().start_send(message)?;
            }
        }
        socket.poll_flush(context)
    }

    /// Sends what is queued, as far as the server takes it, and drops the connection.
    async fn flush(mut self) {
        timeout(CLOSE_MAX, poll_fn(|context| self.poll_send(context))).await.ok();
    }

    /// Sends the close frame that answers the server's; nothing may follow it.
    async fn answer_close(mut self) {
        self.outbox.clear();
        self.flush().await;
    }

    /// Sends what is queued and a close frame, and waits a little for the server's.
    async fn close(mut self) {
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        self.outbox.push_back(Message::Close(Some(frame)));
        let closing = async { while self.next(false).await.is_ok() {} };
        timeout(CLOSE_MAX, closing).await.ok();
    }
}

/// A violation of RFC 6455 is 31924; a connection that breaks is 31921.
fn lost(error: &tungstenite::Error) -> End {
    let broken = matches!(
        error,
        tungstenite::Error::Io(_)
            | tungstenite::Error::ConnectionClosed
            | tungstenite::Error::AlreadyClosed
            | tungstenite::Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)
    );
    failed(if broken { 31921 } else { 31924 }, &error.to_string())
}

/// One stream on its socket.
pub(super) struct Line {
    pub(super) socket: Socket,
    pub(super) stream: Stream,
    pub(super) hang_up: HangUp,
    /// From then on nothing is read any more.
    pub(super) deaf_from: Option<Instant>,
    pub(super) events: Option<mpsc::Sender<(Instant, Event)>>,
}

impl Line {
    /// Runs the stream to its end.
    pub(super) async fn run(mut self) -> (Finished, End) {
        let end = loop {
            let deaf = self.deaf_from.is_some_and(|from| from <= Instant::now());
            let going_deaf = self.deaf_from.filter(|_| !deaf);
            let wake = [self.stream.poll_timeout(), going_deaf].into_iter().flatten().min();
            let due = wake.unwrap_or_else(|| Instant::now() + CLOSE_MAX);
            tokio::select! {
                biased;
                message = self.socket.next(deaf) => if let Err(end) = self.handle(message) { break end },
                () = sleep_until(due.into()) => self.stream.handle_timeout(Instant::now()),
            }
            if let Err(end) = self.execute() {
                break end;
            }
        };
        let finished = self.stream.finish(Instant::now());
        match (&end, self.hang_up) {
            (End::CallerHungUp, HangUp::Drop) => self.socket.flush().await,
            (End::CallerHungUp, _) if self.deaf_from.is_some() => self.socket.flush().await,
            (End::CallerHungUp, _) => self.socket.close().await,
            (End::ServerClosed { .. }, _) => self.socket.answer_close().await,
            (End::Failed { .. }, _) => {}
        }
        Self::tell(&self.events, Event::StreamEnded { stream_sid: finished.ids.stream_sid.clone() });
        (finished, end)
    }

    fn handle(&mut self, message: Result<Message, End>) -> Result<(), End> {
        match message? {
            Message::Text(text) => self.stream.handle_text(&text, Instant::now()),
            Message::Binary(_) => self.stream.handle_binary(),
            Message::Close(frame) => {
                let code = frame.map_or(CloseCode::Status, |frame| frame.code);
                return Err(End::ServerClosed { code: code.into() });
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
        Ok(())
    }

    fn execute(&mut self) -> Result<(), End> {
        while let Some(output) = self.stream.poll_output() {
            match output {
                Output::Send(text) => self.socket.send(text)?,
                Output::Event(event) => Self::tell(&self.events, event),
                Output::HangUp => return Err(End::CallerHungUp),
            }
        }
        Ok(())
    }

    /// A watcher who does not keep up misses events; the call does not wait.
    fn tell(events: &Option<mpsc::Sender<(Instant, Event)>>, event: Event) {
        if let Some(events) = events {
            events.try_send((Instant::now(), event)).ok();
        }
    }
}
