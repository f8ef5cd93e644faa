//! A thousand links that end in every way there is: the other side always sees the end, and no task remains.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use patchcord::net::Limits;
use patchcord::net::link::{Closure, Incoming, Kind, Link};
use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

const ROUNDS: usize = 1000;

/// Polls after which the longest of these futures is cancelled.
const POLLS_MAX: usize = 8;

const PATIENCE: Duration = Duration::from_secs(10);

type Socket = WebSocketStream<DuplexStream>;

/// A link and its peer. `buffer` is what the transport takes before it pushes back.
async fn pair(buffer: usize) -> (Link<Socket, Message>, Socket) {
    let (near, far) = duplex(buffer);
    let near = WebSocketStream::from_raw_socket(near, Role::Server, Some(Limits::CARRIER.config())).await;
    let far = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
    (Link::new(near), far)
}

/// The other side sees the end of the connection.
async fn ended(mut far: Socket) {
    let end = async { while let Some(Ok(_)) = far.next().await {} };
    assert!(timeout(PATIENCE, end).await.is_ok(), "the connection is still open");
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

fn talk(link: &mut Link<Socket, Message>, messages: usize) {
    for n in 0..messages {
        link.send(&format!("message {n} of some length"), Kind::Control);
    }
}

#[tokio::test]
async fn a_reader_who_stops_early_lets_go_of_the_connection() {
    let before = tasks();
    for n in 0..ROUNDS {
        let (mut link, mut far) = pair(1 << 16).await;
        for _ in 0..5 {
            far.send(Message::text("more than is read")).await.unwrap();
        }
        for _ in 0..n % 5 {
            assert!(matches!(link.next(true).await, Incoming::Text(_)));
        }
        drop(link);
        ended(far).await;
    }
    assert_eq!(tasks(), before);
}

/// The peer does not read, the transport is full, and still the link can be dropped at once.
#[tokio::test]
async fn a_peer_who_never_reads_holds_nothing() {
    let before = tasks();
    for _ in 0..ROUNDS {
        let (mut link, far) = pair(64).await;
        talk(&mut link, 50);
        assert!(futures_util::poll!(std::pin::pin!(link.next(true))).is_pending());
        drop(link);
        ended(far).await;
    }
    assert_eq!(tasks(), before);
}

/// Cancelled after each number of polls, while the peer takes a little between them: a cancelled read loses
/// nothing, and the next one goes on.
#[tokio::test]
async fn a_wait_that_is_cancelled_at_any_point_goes_on_or_ends() {
    let before = tasks();
    for n in 0..ROUNDS {
        let (mut link, mut far) = pair(64).await;
        talk(&mut link, 10);
        let mut received = 0;
        for _ in 0..=n % POLLS_MAX {
            assert!(futures_util::poll!(std::pin::pin!(link.next(true))).is_pending());
            if let std::task::Poll::Ready(message) = futures_util::poll!(far.next()) {
                assert_eq!(
                    message.unwrap().unwrap(),
                    Message::text(format!("message {received} of some length"))
                );
                received += 1;
            }
        }
        if n % 2 == 0 {
            let rest = async {
                while received < 10 {
                    let expected = Message::text(format!("message {received} of some length"));
                    assert_eq!(far.next().await.unwrap().unwrap(), expected);
                    received += 1;
                }
                far.close(None).await.unwrap();
            };
            let (incoming, ()) = tokio::join!(link.next(true), rest);
            assert!(matches!(incoming, Incoming::Closed(Closure::Frame { .. })), "{incoming:?}");
        }
        drop(link);
        ended(far).await;
    }
    assert_eq!(tasks(), before);
}

/// The closing handshake, cancelled after each number of polls.
#[tokio::test]
async fn a_close_that_is_cancelled_at_any_point_closes() {
    let before = tasks();
    for n in 0..ROUNDS {
        let (mut link, mut far) = pair(64).await;
        talk(&mut link, 10);
        {
            let mut closing = std::pin::pin!(link.close(1000));
            for _ in 0..=n % POLLS_MAX {
                if futures_util::poll!(&mut closing).is_ready() {
                    break;
                }
                let _ = futures_util::poll!(far.next());
            }
        }
        ended(far).await;
    }
    assert_eq!(tasks(), before);
}

#[tokio::test]
async fn both_halves_that_fail_at_once_end_the_link() {
    let before = tasks();
    for n in 0..ROUNDS {
        let (mut link, mut far) = pair(64).await;
        talk(&mut link, 10);
        let _ = futures_util::poll!(std::pin::pin!(link.next(true)));
        if n % 2 == 0 {
            // Half a frame, and the transport is gone in both directions.
            far.get_mut().write_all(&[0x81, 0xfe]).await.unwrap();
        }
        drop(far);
        let incoming = timeout(PATIENCE, link.next(n % 3 == 0)).await.expect("the end");
        assert!(matches!(incoming, Incoming::Closed(Closure::Broken(_))), "{incoming:?}");
    }
    assert_eq!(tasks(), before);
}
