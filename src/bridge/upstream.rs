//! The call's side towards the live service: being dialled, open, or being closed. Dropping it closes everything.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::id::LinkId;
use crate::live::failure::Failure;
use crate::net::dial::ClientLink;
use crate::net::link::{Closure, Incoming, Kind};
use crate::provider::gemini::Dialer;

/// At most one connection.
pub(super) enum Upstream {
    Idle,
    Dialling(LinkId, BoxFuture<'static, Result<ClientLink, Failure>>),
    Open(LinkId, Box<ClientLink>),
    Closing(BoxFuture<'static, ()>),
}

/// What came from upstream.
pub(super) enum Arrival {
    Opened,
    Message(bytes::Bytes),
    Ended(Failure),
}

impl Upstream {
    pub(super) fn dial(link: LinkId, dialer: Arc<Dialer>) -> Self {
        Self::Dialling(link, async move { dialer.dial().await }.boxed())
    }

    /// Sends on `link` if it is the open one. `true` if an older audio message had to go for it.
    pub(super) fn send(&mut self, link: LinkId, text: String, kind: Kind) -> bool {
        match self {
            Self::Open(open, socket) if *open == link => socket.send(text, kind),
            Self::Idle | Self::Dialling(..) | Self::Open(..) | Self::Closing(_) => false,
        }
    }

    /// Begins to close `link` if it is the current one.
    pub(super) fn close(&mut self, link: LinkId) {
        *self = match std::mem::replace(self, Self::Idle) {
            Self::Open(open, socket) if open == link => Self::Closing(socket.close(1000).boxed()),
            Self::Dialling(dialling, _) if dialling == link => Self::Idle,
            other @ (Self::Idle | Self::Dialling(..) | Self::Open(..) | Self::Closing(_)) => other,
        };
    }

    /// Waits for what comes next; for ever if nothing can. Cancel-safe.
    pub(super) async fn next(&mut self, read: bool) -> (LinkId, Arrival) {
        loop {
            match self {
                Self::Idle => std::future::pending().await,
                Self::Closing(closing) => {
                    closing.await;
                    *self = Self::Idle;
                }
                Self::Dialling(link, dialling) => {
                    let (link, dialled) = (*link, dialling.await);
                    return match dialled {
                        Ok(socket) => {
                            *self = Self::Open(link, Box::new(socket));
                            (link, Arrival::Opened)
                        }
                        Err(failure) => self.ended(link, failure),
                    };
                }
                Self::Open(link, socket) => {
                    let (link, incoming) = (*link, socket.next(read).await);
                    return match incoming {
                        Incoming::Text(data) | Incoming::Binary(data) => (link, Arrival::Message(data)),
                        Incoming::Stalled => self.ended(link, Failure::Stalled),
                        Incoming::Closed(closure) => self.ended(link, failure(closure)),
                    };
                }
            }
        }
    }

    /// Waits until the connection is closed, a bounded time.
    pub(super) async fn closed(self) {
        match self {
            Self::Closing(closing) => closing.await,
            Self::Open(_, socket) => socket.close(1000).await,
            Self::Idle | Self::Dialling(..) => {}
        }
    }

    fn ended(&mut self, link: LinkId, failure: Failure) -> (LinkId, Arrival) {
        *self = Self::Idle;
        (link, Arrival::Ended(failure))
    }
}

fn failure(closure: Closure) -> Failure {
    match closure {
        // 1005 stands for a close frame without a code (RFC 6455 section 7.4.1).
        Closure::Frame { code, reason } => Failure::Closed { code: code.unwrap_or(1005), reason },
        Closure::Broken(message) => Failure::Broken { message },
    }
}
