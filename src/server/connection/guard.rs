//! The socket as hyper sees it.
//!
//! hyper reads whole header sections that are in order, then the body of that request, and nothing of the next one before.
//! So it is known at every moment what a connection waits for, and each wait has its own end. After an upgrade the guard
//! passes everything on and watches nothing.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::KEEP_ALIVE_TOLD;
use super::chunked::Chunked;
use super::head::{self, Framing, Malformed, Search};
use super::slots::{Evicted, Slot};
use crate::server::rejections::{Rejected, Rejections};

/// From the connection, or the first byte of a request, to the end of its header section.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// A client that neither sends what is missing nor takes what is sent for this long is gone.
const PROGRESS_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection is kept between two requests. The first to close an idle connection loses the request that is
/// under way, so this is longer than what proxies keep: 60 s (AWS), 75 s (nginx), 90 s (Go), 120 s (Caddy), 600 s (Google
/// Cloud), 900 s (Cloudflare). Idle connections end earlier where their slots are needed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(930);
const _: () = assert!(IDLE_TIMEOUT.as_secs() > KEEP_ALIVE_TOLD.as_secs());

/// How long, and how much of it, what a client still sends is read after the last answer: a socket that is closed with
/// unread bytes is reset, and the client may lose the answer.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
const LINGER_BYTES_MAX: usize = 1 << 20;

/// Bytes that are read at once while a header section comes.
const READ_BYTES: usize = 4096;

/// Why a connection was ended of which the client is told nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Timeout {
    #[error("the client sent nothing for {} s", PROGRESS_TIMEOUT.as_secs())]
    Body,
    #[error("the client took nothing for {} s", PROGRESS_TIMEOUT.as_secs())]
    Write,
}

/// The timers of what is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    /// No request has come on this connection.
    First,
    /// The header section has not come whole.
    Head,
    /// Nothing came of the body.
    Body,
    /// No further request came.
    Idle,
}

/// What is read.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// A header section; when its first byte came.
    Head {
        search: Search,
        since: Option<Instant>,
    },
    /// hyper takes a header section that is in order, so many bytes; then the body comes.
    Release {
        left: usize,
        body: Body,
    },
    Body(Body),
    /// There is no further request.
    Over,
}

/// What is missing of a body.
#[derive(Clone, Copy, Debug)]
enum Body {
    Length(u64),
    Chunked(Chunked),
}

const HEAD: Stage = Stage::Head { search: Search::NEW, since: None };

/// A socket between its client and hyper.
#[derive(Debug)]
pub(in crate::server) struct Guard<S> {
    socket: S,
    slot: Arc<Slot>,
    rejections: Arc<Rejections>,
    stage: Stage,
    /// What has come and hyper has not taken.
    buffer: BytesMut,
    /// The answer to what was no request, sent at the end.
    farewell: BytesMut,
    incoming: Pin<Box<Sleep>>,
    /// Set while the client does not take what is sent, and while the socket is being closed.
    outgoing: Option<Pin<Box<Sleep>>>,
    /// When something of a request last came, or of an answer left.
    active: Instant,
    /// That came whole on this connection.
    requests: u64,
    /// The last look at the socket was while a request was being answered.
    was_answering: bool,
    closing: Closing,
}

/// How far the end of a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    No,
    /// The client was told that no more comes; so many bytes of it were thrown away since.
    Lingers(usize),
}

impl<S> Guard<S> {
    pub(in crate::server) fn new(socket: S, slot: Arc<Slot>, rejections: Arc<Rejections>) -> Self {
        let now = Instant::now();
        Self {
            socket,
            slot,
            rejections,
            stage: HEAD,
            buffer: BytesMut::new(),
            farewell: BytesMut::new(),
            incoming: Box::pin(sleep_until(now + HEAD_TIMEOUT)),
            outgoing: None,
            active: now,
            requests: 0,
            was_answering: false,
            closing: Closing::No,
        }
    }

    /// Looks for a header section in what has come; whether there is one.
    fn find(&mut self) -> Result<bool, Malformed> {
        let Stage::Head { search, since } = &mut self.stage else { return Ok(false) };
        if since.is_none() {
            self.buffer.advance(head::leading_lines(&self.buffer)?);
            if self.buffer.is_empty() || *self.buffer == *b"\r" {
                return Ok(false);
            }
            self.active = Instant::now();
            *since = Some(self.active);
        }
        let Some(left) = search.find(&self.buffer)? else { return Ok(false) };
        let body = match head::check(&self.buffer[..left])? {
            Framing::Length(length) => Body::Length(length),
            Framing::Chunked => Body::Chunked(Chunked::new()),
        };
        self.stage = Stage::Release { left, body };
        Ok(true)
    }

    /// The bytes are no request: counts it and prepares the answer.
    fn refuse(&mut self, malformed: Malformed) {
        let (status, text) = (malformed.status(), format!("{malformed}\n"));
        self.rejections.note(Rejected::unread(malformed.code(), status, &malformed, self.slot.peer));
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            text.len()
        );
        self.farewell.extend_from_slice(head.as_bytes());
        self.farewell.extend_from_slice(text.as_bytes());
        self.stage = Stage::Over;
    }

    /// Nothing of a header section is there: tells the slots what the connection waits for.
    fn note_phase(&mut self) {
        self.was_answering = self.slot.is_answering();
        let Stage::Head { since, .. } = self.stage else { return };
        match since {
            _ if self.was_answering => {}
            None if self.requests > 0 => self.slot.set_idle(),
            None | Some(_) => self.slot.set_incomplete(),
        }
    }

    /// What is waited for, and until when.
    fn deadline(&self) -> Option<(Instant, Timer)> {
        match self.stage {
            Stage::Body(_) => Some((self.active + PROGRESS_TIMEOUT, Timer::Body)),
            Stage::Head { .. } if self.slot.is_answering() => None,
            Stage::Head { since: Some(since), .. } => Some((since + HEAD_TIMEOUT, Timer::Head)),
            Stage::Head { since: None, .. } if self.requests > 0 => {
                Some((self.active + IDLE_TIMEOUT, Timer::Idle))
            }
            Stage::Head { since: None, .. } => Some((self.active + HEAD_TIMEOUT, Timer::First)),
            Stage::Release { .. } | Stage::Over => None,
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Timer> {
        let Some((deadline, timer)) = self.deadline() else { return Poll::Pending };
        if self.incoming.deadline() != deadline {
            self.incoming.as_mut().reset(deadline);
        }
        self.incoming.as_mut().poll(cx).map(|()| timer)
    }

    /// The wait is over. `Ok`: hyper finds the end of the connection.
    fn time_out(&mut self, timer: Timer) -> io::Result<()> {
        tracing::debug!(?timer, peer = %self.slot.peer, "a connection timed out");
        match timer {
            Timer::First | Timer::Idle => self.stage = Stage::Over,
            Timer::Head => self.refuse(Malformed::Slow),
            Timer::Body => return Err(io::Error::new(io::ErrorKind::TimedOut, Timeout::Body)),
        }
        Ok(())
    }

    /// The connection has to make room, unless it is answering.
    fn evict(&mut self) -> io::Result<()> {
        match self.stage {
            Stage::Body(_) => return Err(io::Error::other(Evicted)),
            Stage::Head { .. } if self.slot.is_answering() => {}
            Stage::Head { since: Some(_), .. } => self.refuse(Malformed::Evicted),
            Stage::Head { since: None, .. } => self.stage = Stage::Over,
            Stage::Release { .. } | Stage::Over => {}
        }
        Ok(())
    }

    /// A request has come whole.
    fn complete(&mut self) {
        self.stage = HEAD;
        self.requests += 1;
        self.slot.set_answering();
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    /// Gives hyper what it takes of a header section.
    fn release(&mut self, buf: &mut ReadBuf<'_>) {
        let Stage::Release { left, body } = &mut self.stage else { return };
        let count = (*left).min(buf.remaining());
        buf.put_slice(&self.buffer[..count]);
        self.buffer.advance(count);
        *left -= count;
        if *left == 0 {
            let body = *body;
            self.stage = Stage::Body(body);
            self.complete_if_whole();
        }
    }

    fn complete_if_whole(&mut self) {
        match &self.stage {
            Stage::Body(Body::Length(0)) => self.complete(),
            Stage::Body(Body::Chunked(chunked)) if chunked.is_done() => self.complete(),
            Stage::Body(_) | Stage::Head { .. } | Stage::Release { .. } | Stage::Over => {}
        }
    }
}

impl Body {
    /// How many of these bytes belong to it.
    fn advance(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Length(left) => {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= count as u64;
                Ok(count)
            }
            Self::Chunked(chunked) => {
                chunked.advance(bytes).map_err(|bad| io::Error::new(io::ErrorKind::InvalidData, bad))
            }
        }
    }
}

impl<S: AsyncRead + Unpin> Guard<S> {
    /// Gives hyper what there is. No bytes: the connection has ended.
    fn poll_http(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.stage {
                // hyper would take the end for the client's, and would not answer what came before.
                Stage::Over if self.slot.is_answering() => {
                    self.was_answering = true;
                    return Poll::Pending;
                }
                Stage::Over => return Poll::Ready(Ok(())),
                Stage::Head { .. } => {
                    if ready!(self.poll_head(cx))?.is_none() {
                        return Poll::Ready(Ok(()));
                    }
                }
                Stage::Release { .. } => {
                    self.release(buf);
                    return Poll::Ready(Ok(()));
                }
                Stage::Body(_) => return self.poll_body(cx, buf),
            }
        }
    }

    /// Reads until a header section is whole or refused. `None`: the client has ended the connection.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<()>>> {
        loop {
            match self.find() {
                Ok(true) => return Poll::Ready(Ok(Some(()))),
                Ok(false) => {}
                Err(malformed) => {
                    self.refuse(malformed);
                    return Poll::Ready(Ok(Some(())));
                }
            }
            self.note_phase();
            let mut bytes = [MaybeUninit::uninit(); READ_BYTES];
            let mut read = ReadBuf::uninit(&mut bytes);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(None));
            }
            self.buffer.extend_from_slice(read.filled());
        }
    }

    fn poll_body(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Stage::Body(body) = &mut self.stage else { return Poll::Pending };
        if self.buffer.is_empty() {
            let before = buf.filled().len();
            ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
            let read = &buf.filled()[before..];
            let count = body.advance(read)?;
            // The rest is the next request's.
            self.buffer.extend_from_slice(&read[count..]);
            buf.set_filled(before + count);
        } else {
            let there = self.buffer.len().min(buf.remaining());
            let count = body.advance(&self.buffer[..there])?;
            buf.put_slice(&self.buffer[..count]);
            self.buffer.advance(count);
        }
        self.active = Instant::now();
        self.complete_if_whole();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guard<S> {
    /// What was written, or that the client takes nothing any more. A client that does not take its answer is one of those
    /// that end first where slots are needed.
    fn written(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if result.is_pending() {
            if self.outgoing.is_none() {
                self.slot.set_incomplete();
            }
            self.slot.register(cx.waker());
            if self.slot.is_evicted() {
                return Poll::Ready(Err(io::Error::other(Evicted)));
            }
            let deadline = self.outgoing.get_or_insert_with(|| Box::pin(sleep(PROGRESS_TIMEOUT)));
            ready!(deadline.as_mut().poll(cx));
            tracing::debug!(peer = %self.slot.peer, "a client does not take its answer");
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, Timeout::Write)));
        }
        self.active = Instant::now();
        if self.outgoing.take().is_some() && !matches!(self.stage, Stage::Body(_)) {
            self.slot.set_answering();
        }
        result
    }

    /// Sends the answer to what was no request.
    fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.farewell.is_empty() {
            let result = Pin::new(&mut self.socket).poll_write(cx, &self.farewell);
            let count = ready!(self.written(cx, result))?;
            self.farewell.advance(count);
        }
        Poll::Ready(Ok(()))
    }

    /// Throws away what the client still sends, until it ends too.
    fn poll_linger(&mut self, cx: &mut Context<'_>, mut thrown: usize) -> Poll<()> {
        while thrown < LINGER_BYTES_MAX && !self.slot.is_evicted() {
            let mut bytes = [MaybeUninit::uninit(); READ_BYTES];
            let mut read = ReadBuf::uninit(&mut bytes);
            match Pin::new(&mut self.socket).poll_read(cx, &mut read) {
                Poll::Ready(Ok(())) if !read.filled().is_empty() => thrown += read.filled().len(),
                Poll::Ready(_) => break,
                Poll::Pending => {
                    self.closing = Closing::Lingers(thrown);
                    let deadline = self.outgoing.get_or_insert_with(|| Box::pin(sleep(LINGER_TIMEOUT)));
                    return deadline.as_mut().poll(cx);
                }
            }
        }
        Poll::Ready(())
    }

    /// Whether the client may be sending still.
    fn is_unread(&self) -> bool {
        !self.buffer.is_empty() || matches!(self.stage, Stage::Release { .. } | Stage::Body(_))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let guard = self.get_mut();
        if guard.slot.is_upgraded() {
            if guard.buffer.is_empty() {
                return Pin::new(&mut guard.socket).poll_read(cx, buf);
            }
            let count = guard.buffer.len().min(buf.remaining());
            buf.put_slice(&guard.buffer.split_to(count));
            return Poll::Ready(Ok(()));
        }
        guard.slot.register(cx.waker());
        if guard.slot.is_evicted() {
            guard.evict()?;
        }
        if let Poll::Ready(result) = guard.poll_http(cx, buf) {
            return Poll::Ready(result);
        }
        let timer = ready!(guard.poll_timer(cx));
        Poll::Ready(guard.time_out(timer))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let guard = self.get_mut();
        let result = Pin::new(&mut guard.socket).poll_write(cx, bytes);
        if guard.slot.is_upgraded() { result } else { guard.written(cx, result) }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let guard = self.get_mut();
        let result = Pin::new(&mut guard.socket).poll_write_vectored(cx, slices);
        if guard.slot.is_upgraded() { result } else { guard.written(cx, result) }
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let guard = self.get_mut();
        // hyper does not look at a socket again that had nothing to read while it answered: from now on the connection
        // is idle, or its end waits to be found.
        if guard.was_answering && !guard.slot.is_answering() {
            guard.was_answering = false;
            cx.waker().wake_by_ref();
        }
        Pin::new(&mut guard.socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let guard = self.get_mut();
        if guard.slot.is_upgraded() {
            return Pin::new(&mut guard.socket).poll_shutdown(cx);
        }
        let thrown = match guard.closing {
            Closing::Lingers(thrown) => thrown,
            Closing::No => {
                ready!(guard.poll_farewell(cx))?;
                ready!(Pin::new(&mut guard.socket).poll_shutdown(cx))?;
                if !guard.is_unread() {
                    return Poll::Ready(Ok(()));
                }
                guard.slot.set_incomplete();
                0
            }
        };
        guard.slot.register(cx.waker());
        guard.poll_linger(cx, thrown).map(Ok)
    }
}

impl<S> Drop for Guard<S> {
    fn drop(&mut self) {
        self.slot.close();
    }
}
