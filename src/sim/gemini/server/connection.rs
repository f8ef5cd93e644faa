//! One socket and its machine: carries messages in and outputs out.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_util::{Sink as _, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use super::super::observation::Observation;
use super::super::outputs::Output;
use super::super::session::Session;
use super::Frames;

/// A socket with what is waiting to be sent on it. `watch` is told an observation when everything before it
/// has been handed to the kernel.
pub(super) struct Connection<S, W> {
    socket: WebSocketStream<S>,
    frames: Frames,
    watch: W,
    queue: VecDeque<Output>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Everything that was taken from the queue is with the kernel.
    Flushed,
    Flushing,
}

/// Messages that may wait for a client that does not read: minutes of speech.
const QUEUE_MAX: usize = 8_192;

/// How long a client may take to answer a close.
const CLOSE_MAX: Duration = Duration::from_secs(2);

impl<S: AsyncRead + AsyncWrite + Unpin, W: Fn(Observation) + Unpin> Connection<S, W> {
    pub(super) const fn new(socket: WebSocketStream<S>, frames: Frames, watch: W) -> Self {
        Self { socket, frames, watch, queue: VecDeque::new(), stage: Stage::Flushed }
    }

    /// Runs the machine until the socket is closed.
    pub(super) async fn run(mut self, mut session: Session) {
        let mut close_by = None;
        loop {
            while let Some(output) = session.poll_output() {
                if matches!(output, Output::Close { .. }) {
                    close_by = Some(Instant::now() + CLOSE_MAX);
                }
                self.queue.push_back(output);
            }
            if self.queue.len() > QUEUE_MAX {
                tracing::debug!("a client does not read; its connection is dropped");
                break;
            }
            tokio::select! {
                message = poll_fn(|cx| self.poll_message(cx)) => match message {
                    Some(message) => session.handle_message(&message, Instant::now()),
                    None => break,
                },
                () = until(close_by.or_else(|| session.poll_timeout())) => match close_by {
                    Some(_) => break,
                    None => session.handle_timeout(Instant::now()),
                },
            }
        }
        session.handle_closed();
        self.queue.extend(std::iter::from_fn(|| session.poll_output()));
        self.tell_rest();
    }

    /// Sends what waits, then reads. None: the socket is closed. Nothing is lost if it is not polled again.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Poll::Ready(Err(error)) = self.poll_send(cx) {
            tracing::debug!(%error, "a client is gone");
            return Poll::Ready(None);
        }
        loop {
            match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                    return Poll::Ready(Some(message.into_data()));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_))) => {}
                Some(Err(error)) => {
                    tracing::debug!(%error, "a client is gone");
                    return Poll::Ready(None);
                }
                None => return Poll::Ready(None),
            }
        }
    }

    /// Hands the queue to the kernel, message by message.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            if self.stage == Stage::Flushing {
                ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
                self.stage = Stage::Flushed;
            }
            if !matches!(self.queue.front(), None | Some(Output::Observed(_))) {
                ready!(Pin::new(&mut self.socket).poll_ready(cx))?;
            }
            match self.queue.pop_front() {
                None => return Poll::Ready(Ok(())),
                Some(Output::Observed(observation)) => (self.watch)(observation),
                Some(Output::Message(json)) => self.start_send(self.message(json))?,
                Some(Output::Close { code, reason }) => {
                    let frame = CloseFrame { code: code.into(), reason: reason.into() };
                    self.start_send(Message::Close(Some(frame)))?;
                }
            }
        }
    }

    fn start_send(&mut self, message: Message) -> Result<(), Error> {
        self.stage = Stage::Flushing;
        Pin::new(&mut self.socket).start_send(message)
    }

    fn message(&self, json: String) -> Message {
        match self.frames {
            Frames::Binary => Message::Binary(json.into()),
            Frames::Text => Message::Text(json.into()),
        }
    }

    /// Tells the observations that were waiting for messages that nobody gets any more, except of those.
    fn tell_rest(&mut self) {
        let is_sending = |output: &Output| !matches!(output, Output::Observed(_));
        let unsent = self.queue.iter().rposition(is_sending).map_or(0, |last| last + 1);
        for output in self.queue.drain(..).skip(unsent) {
            if let Output::Observed(observation) = output {
                (self.watch)(observation);
            }
        }
    }
}

/// Sleeps until then, or for ever.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
