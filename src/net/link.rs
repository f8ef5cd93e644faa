//! One WebSocket, one owner: no split, no writer task, no channel.
//!
//! [`Link::send`] only queues; [`Link::next`] first moves queued messages into the socket and flushes, then
//! reads. It is cancel-safe. When the queue is full the oldest *audio* gives way, control never.

use std::collections::VecDeque;
use std::fmt::Display;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use tokio::time::{Sleep, sleep, timeout};
use tokio_tungstenite::tungstenite;

use super::STALL_MAX;
use super::bell::Bell;

/// Paced audio messages that may wait for a peer that does not read: half a second of 20 ms frames.
const AUDIO_MAX: usize = 25;

/// The same for audio that comes as the carrier sends it: two payloads of a second, the largest it may send.
const BURST_MAX: usize = 100;

/// Pings, pongs and parts of messages until they are told: a peer that means well sends one now and then.
const NOISE_TOLD: u32 = 25;

/// How long a peer may take for the closing handshake.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// How long a peer that has closed may take to close its transport too.
const FINISH_MAX: Duration = Duration::from_millis(250);

/// What came from the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    Text(Bytes),
    Binary(Bytes),
    /// So many pings, pongs and parts of messages came that are nothing to read. Told for [`NOISE_TOLD`] of them.
    Noise(u32),
    /// The connection is over. Told once; the link is of no use any more.
    Closed(Closure),
    /// The peer has not taken what was sent for [`STALL_MAX`].
    Stalled,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closure {
    /// A close frame, with its code if it had one.
    Frame { code: Option<u16>, reason: String },
    /// No close frame: the transport failed or the peer broke the protocol.
    Broken(String),
}

/// What becomes of a message when the peer does not read, and when it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Audio that is sent when it is due; may be dropped.
    Audio,
    /// Audio that is sent as it comes, which may be a second at a time; may be dropped.
    Burst,
    Control,
}

impl Kind {
    const fn is_audio(self) -> bool {
        matches!(self, Self::Audio | Self::Burst)
    }

    /// Messages of this kind that may wait before the oldest is dropped.
    const fn waiting_max(self) -> usize {
        match self {
            Self::Audio => AUDIO_MAX,
            Self::Burst => BURST_MAX,
            Self::Control => usize::MAX,
        }
    }
}

/// The messages of a WebSocket library, of which there are two in use.
pub trait Message: Sized {
    /// Of bytes that were a `str`.
    fn text(text: Bytes) -> Self;
    fn close(code: u16) -> Self;
    /// `None` for pings and pongs, which the library answers.
    fn incoming(self) -> Option<Incoming>;
}

/// A WebSocket with its queue of outgoing messages.
#[derive(Debug)]
pub struct Link<S, M> {
    socket: S,
    queue: VecDeque<(Kind, M)>,
    audio_queued: usize,
    /// Where messages wait: memory that is used again once they have left.
    pool: BytesMut,
    /// Something was given to the socket that may not have left it.
    is_dirty: bool,
    /// Runs while the peer does not take what is sent.
    stall: Option<Pin<Box<Sleep>>>,
    bell: Bell,
    /// Whether the socket was read when it was last looked at.
    was_read: bool,
    /// Arrivals that were no message, since they were told.
    noise: u32,
    is_closed_by_peer: bool,
}

impl<S, M, E> Link<S, M>
where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
    M: Message,
    E: Display,
{
    pub fn new(socket: S) -> Self {
        Self {
            socket,
            queue: VecDeque::new(),
            audio_queued: 0,
            pool: BytesMut::new(),
            is_dirty: false,
            stall: None,
            bell: Bell::default(),
            was_read: false,
            noise: 0,
            is_closed_by_peer: false,
        }
    }

    /// Queues a text message. `true` if an older audio message had to go for it. Does not allocate once the memory
    /// for messages has grown.
    pub fn send(&mut self, text: &str, kind: Kind) -> bool {
        let is_full = kind.is_audio() && self.audio_queued >= kind.waiting_max();
        if is_full && let Some(oldest) = self.queue.iter().position(|(kind, _)| kind.is_audio()) {
            self.queue.remove(oldest);
            self.audio_queued -= 1;
        }
        self.audio_queued += usize::from(kind.is_audio());
        self.pool.extend_from_slice(text.as_bytes());
        self.queue.push_back((kind, M::text(self.pool.split().freeze())));
        is_full
    }

    /// Forgets queued audio: the peer is about to throw it away.
    pub fn discard_audio(&mut self) {
        self.queue.retain(|(kind, _)| !kind.is_audio());
        self.audio_queued = 0;
    }

    /// Sends what is queued and waits for what comes next. With `read` false it only sends, and the peer is
    /// held back by TCP. Cancel-safe.
    pub async fn next(&mut self, read: bool) -> Incoming {
        poll_fn(|cx| self.poll(cx, read)).await
    }

    /// Sends what is queued and the close frame, and waits a bounded time for the peer's. A close frame of the peer is
    /// answered instead (RFC 6455 section 5.5.1).
    pub async fn close(mut self, code: u16) {
        if self.is_closed_by_peer {
            return self.finish().await;
        }
        self.queue.push_back((Kind::Control, M::close(code)));
        let closing = async {
            if poll_fn(|cx| self.poll_send(cx)).await.is_ok() {
                while let Some(Ok(_)) = self.socket.next().await {}
            }
        };
        // A peer that does not answer is left: dropping the socket closes it.
        let _ = timeout(CLOSE_MAX, closing).await;
    }

    /// The peer has sent its close frame: answers it and waits a short time until the transport is closed.
    pub async fn finish(mut self) {
        let finishing = async {
            // The library has put its answer into the write buffer.
            let _ = self.socket.flush().await;
            while let Some(Ok(_)) = self.socket.next().await {}
        };
        let _ = timeout(FINISH_MAX, finishing).await;
    }

    /// Leaves the socket alone while it has nothing and nothing is to be done for it.
    fn poll(&mut self, cx: &Context<'_>, read: bool) -> Poll<Incoming> {
        let was_armed = self.bell.is_armed();
        let is_woken = self.bell.listen(cx) && was_armed;
        let has_news = is_woken || !was_armed || read != self.was_read;
        if !has_news && self.is_idle() {
            return Poll::Pending;
        }
        // What wakes a socket that has nothing to send is something to read.
        let is_arrival = is_woken && read && self.is_idle();
        self.was_read = read;
        let waker = self.bell.waker();
        let mut polled = self.poll_next(&mut Context::from_waker(&waker), read && has_news);
        if is_arrival && polled.is_pending() {
            self.noise += 1;
        }
        if self.noise >= NOISE_TOLD && polled.is_pending() {
            polled = Poll::Ready(Incoming::Noise(std::mem::take(&mut self.noise)));
        }
        self.is_closed_by_peer |= matches!(polled, Poll::Ready(Incoming::Closed(Closure::Frame { .. })));
        self.bell.arm(&polled);
        polled
    }

    fn poll_next(&mut self, cx: &mut Context<'_>, read: bool) -> Poll<Incoming> {
        let sent = self.poll_send(cx);
        let broken = match &sent {
            Poll::Ready(Err(error)) => Some(error.to_string()),
            Poll::Ready(Ok(())) | Poll::Pending => None,
        };
        // A close frame that is already here says more than the error of a write.
        if (read || broken.is_some())
            && let Poll::Ready(incoming) = self.poll_read(cx)
        {
            return Poll::Ready(incoming);
        }
        if let Some(error) = broken {
            return Poll::Ready(Incoming::Closed(Closure::Broken(error)));
        }
        if sent.is_ready() {
            self.stall = None;
            return Poll::Pending;
        }
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(STALL_MAX)));
        ready!(stall.as_mut().poll(cx));
        self.stall = None;
        Poll::Ready(Incoming::Stalled)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        if self.is_idle() {
            return Poll::Ready(Ok(()));
        }
        while !self.queue.is_empty() {
            ready!(self.socket.poll_ready_unpin(cx))?;
            if let Some((kind, message)) = self.queue.pop_front() {
                self.audio_queued -= usize::from(kind.is_audio());
                self.socket.start_send_unpin(message)?;
                self.is_dirty = true;
            }
        }
        if self.is_dirty {
            ready!(self.socket.poll_flush_unpin(cx))?;
            self.is_dirty = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Whether everything has left.
    fn is_idle(&self) -> bool {
        !self.is_dirty && self.queue.is_empty()
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        loop {
            return Poll::Ready(match ready!(self.socket.poll_next_unpin(cx)) {
                Some(Ok(message)) => match message.incoming() {
                    Some(incoming) => incoming,
                    // A ping was answered into the write buffer: the next flush is ours.
                    None => {
                        self.is_dirty = true;
                        let _ = self.poll_send(cx);
                        self.noise += 1;
                        if self.noise < NOISE_TOLD {
                            continue;
                        }
                        Incoming::Noise(std::mem::take(&mut self.noise))
                    }
                },
                Some(Err(error)) => Incoming::Closed(Closure::Broken(error.to_string())),
                None => Incoming::Closed(Closure::Broken("end of stream".to_owned())),
            });
        }
    }
}

impl Message for tungstenite::Message {
    fn text(text: Bytes) -> Self {
        Self::Text(text.try_into().unwrap_or_default())
    }

    fn close(code: u16) -> Self {
        Self::Close(Some(tungstenite::protocol::CloseFrame { code: code.into(), reason: "".into() }))
    }

    fn incoming(self) -> Option<Incoming> {
        match self {
            Self::Text(text) => Some(Incoming::Text(text.into())),
            Self::Binary(data) => Some(Incoming::Binary(data)),
            Self::Close(frame) => Some(Incoming::Closed(Closure::Frame {
                code: frame.as_ref().map(|frame| frame.code.into()),
                reason: frame.map(|frame| frame.reason.to_string()).unwrap_or_default(),
            })),
            Self::Ping(_) | Self::Pong(_) | Self::Frame(_) => None,
        }
    }
}

impl Message for axum::extract::ws::Message {
    fn text(text: Bytes) -> Self {
        Self::Text(text.try_into().unwrap_or_default())
    }

    fn close(code: u16) -> Self {
        Self::Close(Some(axum::extract::ws::CloseFrame { code, reason: "".into() }))
    }

    fn incoming(self) -> Option<Incoming> {
        match self {
            Self::Text(_) => Some(Incoming::Text(self.into_data())),
            Self::Binary(data) => Some(Incoming::Binary(data)),
            Self::Close(frame) => Some(Incoming::Closed(Closure::Frame {
                code: frame.as_ref().map(|frame| frame.code),
                reason: frame.map(|frame| frame.reason.to_string()).unwrap_or_default(),
            })),
            Self::Ping(_) | Self::Pong(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
    use tokio_tungstenite::WebSocketStream;
    use tungstenite::protocol::Role;

    use super::*;
    use crate::net::Limits;

    type Socket = WebSocketStream<DuplexStream>;

    async fn pair(buffer: usize) -> (Link<Socket, tungstenite::Message>, Socket) {
        let (near, far) = duplex(buffer);
        let config = Some(Limits::CARRIER.config());
        let near = WebSocketStream::from_raw_socket(near, Role::Server, config).await;
        let far = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
        (Link::new(near), far)
    }

    #[tokio::test]
    async fn what_is_queued_is_sent_in_order_before_anything_is_read() {
        let (mut link, mut far) = pair(1 << 16).await;
        link.send("one", Kind::Audio);
        link.send("two", Kind::Control);
        let talk = async {
            assert_eq!(far.next().await.unwrap().unwrap(), tungstenite::Message::text("one"));
            assert_eq!(far.next().await.unwrap().unwrap(), tungstenite::Message::text("two"));
            far.send(tungstenite::Message::text("three")).await.unwrap();
        };
        let (incoming, ()) = tokio::join!(link.next(true), talk);
        assert_eq!(incoming, Incoming::Text("three".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_loses_audio_but_no_control_and_is_reported() {
        let (mut link, mut far) = pair(64).await;
        let mut dropped = 0;
        for n in 0..100 {
            dropped += u32::from(link.send(&format!("audio {n}"), Kind::Audio));
        }
        link.send("clear", Kind::Control);
        assert_eq!(dropped, 75);
        assert_eq!(link.next(true).await, Incoming::Stalled);
        let mut received = Vec::new();
        let read = async {
            while received.len() < 26 {
                received.push(far.next().await.unwrap().unwrap().to_string());
            }
            far.close(None).await.unwrap();
        };
        let (incoming, ()) = tokio::join!(link.next(true), read);
        assert!(matches!(incoming, Incoming::Closed(Closure::Frame { .. })));
        assert_eq!(received.first().unwrap(), "audio 75", "the newest audio is kept");
        assert_eq!(received.last().unwrap(), "clear");
    }

    #[tokio::test]
    async fn discarded_audio_is_never_sent() {
        let (mut link, mut far) = pair(1 << 16).await;
        link.send("stale", Kind::Audio);
        link.send("mark", Kind::Control);
        link.discard_audio();
        link.send("clear", Kind::Control);
        let read = async {
            let mut received = Vec::new();
            while let Some(Ok(tungstenite::Message::Text(text))) = far.next().await {
                received.push(text.to_string());
            }
            received
        };
        let ((), received) = tokio::join!(link.close(1000), read);
        assert_eq!(received, ["mark", "clear"]);
    }

    #[tokio::test]
    async fn a_close_frame_is_answered_with_a_close_frame() {
        let (mut link, mut far) = pair(1 << 16).await;
        link.send("lost", Kind::Audio);
        let frame = tungstenite::protocol::CloseFrame { code: 1001.into(), reason: "".into() };
        far.close(Some(frame)).await.unwrap();
        while !matches!(link.next(true).await, Incoming::Closed(_)) {}
        let read = async {
            while let Some(message) = far.next().await {
                if let Ok(tungstenite::Message::Close(answer)) = message {
                    return answer.map(|frame| u16::from(frame.code));
                }
            }
            None
        };
        let ((), answer) = tokio::join!(link.close(1000), read);
        assert_eq!(answer, Some(1001));
    }

    #[tokio::test]
    async fn pings_and_parts_of_messages_are_told_by_number() {
        use tungstenite::protocol::frame::Frame;
        use tungstenite::protocol::frame::coding::{Data, OpCode};
        let (mut link, mut far) = pair(1 << 20).await;
        for _ in 0..60 {
            far.send(tungstenite::Message::Ping(Bytes::new())).await.unwrap();
        }
        assert_eq!(link.next(true).await, Incoming::Noise(NOISE_TOLD));
        assert_eq!(link.next(true).await, Incoming::Noise(NOISE_TOLD));
        let fragments = async {
            let first = Frame::message(Bytes::new(), OpCode::Data(Data::Text), false);
            far.send(tungstenite::Message::Frame(first)).await.unwrap();
            for _ in 0..40 {
                let part = Frame::message(Bytes::new(), OpCode::Data(Data::Continue), false);
                far.send(tungstenite::Message::Frame(part)).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let (incoming, ()) = tokio::join!(link.next(true), fragments);
        assert_eq!(incoming, Incoming::Noise(NOISE_TOLD));
    }

    #[tokio::test]
    async fn a_close_frame_and_a_broken_connection_are_told_apart() {
        let (mut link, mut far) = pair(1 << 16).await;
        let frame = tungstenite::protocol::CloseFrame { code: 1011.into(), reason: "Internal error".into() };
        far.close(Some(frame)).await.unwrap();
        let closure = Closure::Frame { code: Some(1011), reason: "Internal error".into() };
        assert_eq!(link.next(true).await, Incoming::Closed(closure));

        let (mut link, mut far) = pair(1 << 16).await;
        far.get_mut().shutdown().await.unwrap();
        assert!(matches!(link.next(true).await, Incoming::Closed(Closure::Broken(_))));
    }

    #[tokio::test]
    async fn a_connection_found_broken_while_sending_is_told_even_if_nothing_may_be_read() {
        let (mut link, far) = pair(1 << 16).await;
        drop(far);
        link.send("lost", Kind::Audio);
        assert!(matches!(link.next(false).await, Incoming::Closed(Closure::Broken(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn closing_does_not_wait_for_a_peer_that_does_not_answer() {
        let (link, _far) = pair(1 << 16).await;
        let start = tokio::time::Instant::now();
        link.close(1000).await;
        assert_eq!(start.elapsed(), CLOSE_MAX);
    }
}
