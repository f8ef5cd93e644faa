//! One socket and its machine: carries messages in and outputs out.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_util::{Sink as _, Stream as _};
use tokio::sync::broadcast;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use super::super::closes::Close;
use super::super::fault::Defect;
use super::super::observation::{Closing, Observation};
use super::super::outputs::{Break, Output};
use super::super::session::Session;
use super::Frames;
use super::line::{Line, Stream};

/// A socket with what is waiting to be sent on it. `watch` is told an observation when everything before it
/// has been handed to the kernel.
pub(super) struct Connection<S, W> {
    socket: WebSocketStream<Line<S>>,
    frames: Frames,
    watch: W,
    queue: VecDeque<Output>,
    stage: Stage,
    flow: Flow,
    /// How it ended.
    closing: Option<Closing>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Everything that was taken from the queue is with the kernel.
    Flushed,
    Flushing,
}

/// What the socket is still used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Both,
    WriteOnly,
    Neither,
}

/// What came from a client.
enum Incoming {
    Message(Bytes),
    /// Answered already.
    Ping,
    /// The socket is closed.
    Closed,
}

/// Messages that may wait for a client that does not read: minutes of speech.
const QUEUE_MAX: usize = 8_192;

/// How long a client may take to answer a close.
const CLOSE_MAX: Duration = Duration::from_secs(2);

impl<S: Stream, W: Fn(Observation) + Unpin> Connection<S, W> {
    pub(super) fn new(socket: WebSocketStream<Line<S>>, frames: Frames, watch: W) -> Self {
        let (queue, stage, flow) = (VecDeque::new(), Stage::Flushed, Flow::Both);
        Self { socket, frames, watch, queue, stage, flow, closing: None }
    }

    /// Runs the machine until the socket is closed. `defects` happen as they come.
    pub(super) async fn run(mut self, mut session: Session, mut defects: broadcast::Receiver<Defect>) {
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
                self.closing = Some(Closing::BrokenOff);
                break;
            }
            let timer = close_by.or_else(|| session.poll_timeout());
            let timer = [timer, self.socket.get_ref().due()].into_iter().flatten().min();
            tokio::select! {
                incoming = poll_fn(|cx| self.poll_incoming(cx)) => match incoming {
                    Incoming::Message(message) => session.handle_message(&message, Instant::now()),
                    Incoming::Ping => {}
                    Incoming::Closed => break,
                },
                Ok(defect) = defects.recv() => session.handle_defect(defect, Instant::now()),
                () = until(timer) => {
                    // Late pongs go out with the next flush.
                    self.stage = Stage::Flushing;
                    if close_by.is_some_and(|close_by| close_by <= Instant::now()) {
                        break;
                    }
                    session.handle_timeout(Instant::now());
                }
            }
        }
        session.handle_closed(self.closing.take().unwrap_or(Closing::Lost), Instant::now());
        self.queue.extend(std::iter::from_fn(|| session.poll_output()));
        self.tell_rest();
    }

    /// Sends what waits, then reads. Nothing is lost if it is not polled again.
    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        if let Poll::Ready(Err(error)) = self.poll_send(cx) {
            tracing::debug!(%error, "a client is gone");
            return Poll::Ready(Incoming::Closed);
        }
        if self.flow != Flow::Both {
            return Poll::Pending;
        }
        loop {
            match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                    return Poll::Ready(Incoming::Message(message.into_data()));
                }
                Some(Ok(Message::Close(frame))) => {
                    let (code, reason) = frame.map_or_else(
                        || (Close::WITHOUT_CODE, String::new()),
                        |frame| (frame.code.into(), frame.reason.to_string()),
                    );
                    self.closing.get_or_insert(Closing::ByClient { code, reason });
                }
                Some(Ok(Message::Ping(_))) => {
                    // The pong is with the line when this returns, and the line says when it is due.
                    self.stage = Stage::Flushing;
                    let is_gone = matches!(self.poll_send(cx), Poll::Ready(Err(_)));
                    return Poll::Ready(if is_gone { Incoming::Closed } else { Incoming::Ping });
                }
                Some(Ok(Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(error)) => {
                    tracing::debug!(%error, "a client is gone");
                    return Poll::Ready(Incoming::Closed);
                }
                None => return Poll::Ready(Incoming::Closed),
            }
        }
    }

    /// Hands the queue to the kernel, message by message.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while self.flow != Flow::Neither {
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
                Some(Output::Close { code, reason }) => self.start_close(code, reason)?,
                Some(Output::Break(how)) => self.break_off(how)?,
            }
        }
        Poll::Pending
    }

    fn start_close(&mut self, code: u16, reason: String) -> Result<(), Error> {
        if code == Close::WITHOUT_FRAME {
            self.closing.get_or_insert(Closing::BrokenOff);
            return Err(Error::ConnectionClosed);
        }
        self.closing.get_or_insert_with(|| Closing::ByServer { code, reason: reason.clone() });
        let frame =
            (code != Close::WITHOUT_CODE).then(|| CloseFrame { code: code.into(), reason: reason.into() });
        self.start_send(Message::Close(frame))
    }

    fn break_off(&mut self, how: Break) -> Result<(), Error> {
        match how {
            Break::Reset => {
                self.socket.get_ref().reset_on_drop();
                self.closing.get_or_insert(Closing::BrokenOff);
                return Err(Error::ConnectionClosed);
            }
            Break::StopReading => self.flow = Flow::WriteOnly,
            Break::HalfOpen => {
                // Nothing is handed on any more, but what happened before can be told.
                self.tell_rest();
                self.flow = Flow::Neither;
            }
            Break::LatePongs(delay) => self.socket.get_mut().delay_pongs(delay),
        }
        Ok(())
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
