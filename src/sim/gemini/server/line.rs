//! The byte stream under a WebSocket: what of it can be broken, and pongs that come late.
//!
//! The WebSocket library answers pings by itself; here its pongs are caught on their way out and sent later.
//! Knows of WebSocket no more than where a frame ends.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// A stream over TCP.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {
    fn tcp(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Stream for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// A stream that can hold back the pongs that are written to it.
pub(super) struct Line<S> {
    stream: S,
    pongs: Option<Pongs>,
}

/// What is between the WebSocket and the stream while pongs are late.
struct Pongs {
    delay: Duration,
    /// The beginning of a frame.
    partial: Vec<u8>,
    /// Whole frames, ready to be sent.
    ready: VecDeque<u8>,
    held: VecDeque<(Instant, Vec<u8>)>,
}

impl<S: Stream> Line<S> {
    pub(super) const fn new(stream: S) -> Self {
        Self { stream, pongs: None }
    }

    /// From now on pongs are late. Must be called between two frames.
    pub(super) fn delay_pongs(&mut self, delay: Duration) {
        match &mut self.pongs {
            Some(pongs) => pongs.delay = delay,
            None => {
                let (partial, ready, held) = (Vec::new(), VecDeque::new(), VecDeque::new());
                self.pongs = Some(Pongs { delay, partial, ready, held });
            }
        }
    }

    /// When a flush will send the next late pong.
    pub(super) fn due(&self) -> Option<Instant> {
        self.pongs.as_ref()?.held.front().map(|(due, _)| *due)
    }

    /// The stream ends with a reset as soon as it is dropped.
    pub(super) fn reset_on_drop(&self) {
        reset_on_drop(self.stream.tcp());
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(pongs) = &mut self.pongs else { return Poll::Ready(Ok(())) };
        pongs.release(Instant::now());
        while !pongs.ready.is_empty() {
            let len = ready!(Pin::new(&mut self.stream).poll_write(cx, pongs.ready.as_slices().0))?;
            if len == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            pongs.ready.drain(..len);
        }
        Poll::Ready(Ok(()))
    }
}

impl Pongs {
    fn push(&mut self, bytes: &[u8], now: Instant) {
        self.partial.extend_from_slice(bytes);
        while let Some(len) = frame_len(&self.partial).filter(|len| *len <= self.partial.len()) {
            let frame: Vec<u8> = self.partial.drain(..len).collect();
            if is_pong(&frame) {
                self.held.push_back((now + self.delay, frame));
            } else {
                self.ready.extend(frame);
            }
        }
    }

    fn release(&mut self, now: Instant) {
        while let Some((_, frame)) = self.held.pop_front_if(|(due, _)| *due <= now) {
            self.ready.extend(frame);
        }
    }
}

/// RFC 6455, 5.5.3.
fn is_pong(frame: &[u8]) -> bool {
    frame.first().is_some_and(|first| first & 0x0F == 0xA)
}

/// The length of the frame that begins here, unmasked as servers send it (RFC 6455, 5.2), if enough of it is
/// there to tell.
fn frame_len(bytes: &[u8]) -> Option<usize> {
    match bytes.get(1)? & 0x7F {
        126 => Some(4 + usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => {
            let len = u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?);
            Some(usize::try_from(len).unwrap_or(usize::MAX).saturating_add(10))
        }
        len => Some(2 + usize::from(len)),
    }
}

/// Closing this connection sends a reset.
pub(super) fn reset_on_drop(tcp: &TcpStream) {
    if let Err(error) = tcp.set_zero_linger() {
        tracing::debug!(%error, "a connection will not be reset");
    }
}

/// Reads the request for the upgrade to its end, to leave it without an answer.
pub(super) async fn read_request(stream: &mut impl Stream) -> io::Result<()> {
    /// The requests of real clients have about 500 bytes.
    const REQUEST_MAX: usize = 16 * 1024;
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if request.len() > REQUEST_MAX || stream.read_buf(&mut request).await? == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    Ok(())
}

impl<S: Stream> AsyncRead for Line<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: Stream> AsyncWrite for Line<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.pongs.is_none() {
            return Pin::new(&mut self.stream).poll_write(cx, bytes);
        }
        ready!(self.poll_drain(cx))?;
        if let Some(pongs) = &mut self.pongs {
            pongs.push(bytes, Instant::now());
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::at_once(usize::MAX)]
    #[case::byte_by_byte(1)]
    fn only_pongs_are_held_back(#[case] size: usize) {
        let text = [&[0x81, 126, 0, 200][..], &[b'a'; 200]].concat();
        let pong = vec![0x8A, 2, b'h', b'i'];
        let bytes = [text.clone(), pong.clone(), vec![0x88, 0]].concat();
        let delay = Duration::from_secs(8);
        let (partial, ready, held) = (Vec::new(), VecDeque::new(), VecDeque::new());
        let mut pongs = Pongs { delay, partial, ready, held };
        let now = Instant::now();
        bytes.chunks(size.min(bytes.len())).for_each(|chunk| pongs.push(chunk, now));
        pongs.release(now + Duration::from_secs(7));
        let before = [text, vec![0x88, 0]].concat();
        assert_eq!(pongs.ready, before);
        pongs.release(now + delay);
        assert_eq!(pongs.ready, [before, pong].concat());
    }
}
