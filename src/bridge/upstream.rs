//! The call's side towards the live service: being dialled, open, or being closed. Dropping it closes everything.
//!
//! One connection at a time. Its end is told once, when everything of it is released, whichever half found it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::Endpoint;
use crate::id::LinkId;
use crate::live::failure::Failure;
use crate::net::circuit::Attempt;
use crate::net::dial::ClientLink;
use crate::net::link::{Closure, Incoming, Kind};

/// How long a call waits in line when the endpoint is under suspicion and others try it. Its caller is covered for
/// meanwhile, but the next rung is better than a long wait.
const ADMIT_MAX: Duration = Duration::from_secs(1);

/// At most one connection.
pub(super) enum Upstream {
    Idle,
    Dialling(LinkId, BoxFuture<'static, Result<Connection, Failure>>),
    Open(LinkId, Box<Connection>),
    /// Being closed, by us or by the service.
    Closing(LinkId, BoxFuture<'static, Arrival>),
}

/// A connection that is up.
pub(super) struct Connection {
    socket: ClientLink,
    endpoint: Arc<Endpoint>,
    /// Not reported yet: the session is not set up.
    attempt: Option<Attempt>,
}

/// What came from upstream.
pub(super) enum Arrival {
    Opened,
    Message(bytes::Bytes),
    Ended(Failure),
    /// A connection that we closed is closed.
    Released,
}

impl Upstream {
    /// Connects, if the process-wide circuit breaker lets it or the caller has no other tier.
    pub(super) fn dial(link: LinkId, endpoint: Arc<Endpoint>, is_last_tier: bool) -> Self {
        let dialling = async move {
            let attempt = if is_last_tier {
                endpoint.circuit.admit_anyway(ADMIT_MAX).await
            } else {
                endpoint.circuit.admit(ADMIT_MAX).await.map_err(|_| Failure::BreakerOpen)?
            };
            match endpoint.dialer.dial().await {
                Ok(socket) => Ok(Connection { socket, endpoint, attempt: Some(attempt) }),
                Err(failure) => {
                    attempt.fail(failure.retry_after());
                    Err(failure)
                }
            }
        };
        Self::Dialling(link, dialling.boxed())
    }

    /// There is no such endpoint.
    pub(super) fn refuse(link: LinkId) -> Self {
        let failure = Failure::Unreachable { message: "no endpoint is configured".to_owned() };
        Self::Closing(link, async move { Arrival::Ended(failure) }.boxed())
    }

    /// Where `link` is connected to, if it is.
    pub(super) fn endpoint(&self, link: LinkId) -> Option<&Endpoint> {
        match self {
            Self::Open(open, connection) if *open == link => Some(&connection.endpoint),
            Self::Idle | Self::Dialling(..) | Self::Open(..) | Self::Closing(..) => None,
        }
    }

    /// Sends on `link` if it is the open one. `true` if an older audio message had to go for it.
    pub(super) fn send(&mut self, link: LinkId, text: &str, kind: Kind) -> bool {
        match self {
            Self::Open(open, connection) if *open == link => connection.socket.send(text, kind),
            Self::Idle | Self::Dialling(..) | Self::Open(..) | Self::Closing(..) => false,
        }
    }

    /// The session on the open connection is set up: the endpoint is healthy.
    pub(super) fn succeed(&mut self) {
        if let Self::Open(_, connection) = self
            && let Some(attempt) = connection.attempt.take()
        {
            attempt.succeed();
        }
    }

    /// Begins to close `link`, with a handshake. An attempt that is under way never was.
    pub(super) fn close(&mut self, link: LinkId) {
        self.end(link, |connection| {
            async move {
                connection.socket.close(1000).await;
                Arrival::Released
            }
            .boxed()
        });
    }

    /// Drops `link`: it has failed.
    pub(super) fn abort(&mut self, link: LinkId) {
        self.end(link, |mut connection| {
            connection.fail(None);
            drop(connection);
            async { Arrival::Released }.boxed()
        });
    }

    fn end(&mut self, link: LinkId, closing: impl FnOnce(Box<Connection>) -> BoxFuture<'static, Arrival>) {
        *self = match std::mem::replace(self, Self::Idle) {
            Self::Open(open, connection) if open == link => Self::Closing(link, closing(connection)),
            Self::Dialling(dialling, _) if dialling == link => {
                Self::Closing(link, async { Arrival::Released }.boxed())
            }
            other @ (Self::Idle | Self::Dialling(..) | Self::Open(..) | Self::Closing(..)) => other,
        };
    }

    /// Waits for what comes next; for ever if nothing can. Cancel-safe.
    pub(super) async fn next(&mut self, read: bool) -> (LinkId, Arrival) {
        loop {
            match self {
                Self::Idle => std::future::pending().await,
                Self::Closing(link, closing) => {
                    let (link, arrival) = (*link, closing.await);
                    *self = Self::Idle;
                    return (link, arrival);
                }
                Self::Dialling(link, dialling) => {
                    let (link, dialled) = (*link, dialling.await);
                    return match dialled {
                        Ok(connection) => {
                            *self = Self::Open(link, Box::new(connection));
                            (link, Arrival::Opened)
                        }
                        Err(failure) => {
                            *self = Self::Idle;
                            (link, Arrival::Ended(failure))
                        }
                    };
                }
                Self::Open(link, connection) => {
                    let link = *link;
                    match connection.socket.next(read).await {
                        Incoming::Text(data) | Incoming::Binary(data) => {
                            return (link, Arrival::Message(data));
                        }
                        Incoming::Noise(_) => {}
                        Incoming::Stalled => self.lose(link, Failure::Stalled),
                        Incoming::Closed(closure) => self.lose(link, failure(closure)),
                    }
                }
            }
        }
    }

    /// Waits until the connection is closed, a bounded time.
    pub(super) async fn closed(self) {
        match self {
            Self::Closing(_, closing) => {
                closing.await;
            }
            Self::Open(_, connection) => connection.socket.close(1000).await,
            Self::Idle | Self::Dialling(..) => {}
        }
    }

    /// The service has ended the connection. A close frame is answered before the end is told, so that the service
    /// knows that the socket is closed when the next one comes.
    fn lose(&mut self, link: LinkId, failure: Failure) {
        if let Self::Open(_, mut connection) = std::mem::replace(self, Self::Idle) {
            connection.fail(failure.retry_after());
            let closing = async move {
                if matches!(failure, Failure::Closed { .. }) {
                    connection.socket.finish().await;
                }
                Arrival::Ended(failure)
            };
            *self = Self::Closing(link, closing.boxed());
        }
    }
}

impl Connection {
    /// It failed: before the session was set up that is an outcome, afterwards a reason to be careful.
    fn fail(&mut self, hold: Option<Duration>) {
        match self.attempt.take() {
            Some(attempt) => attempt.fail(hold),
            None => self.endpoint.circuit.suspect(),
        }
    }
}

fn failure(closure: Closure) -> Failure {
    match closure {
        // 1005 stands for a close frame without a code (RFC 6455 section 7.4.1).
        Closure::Frame { code, reason } => Failure::Closed { code: code.unwrap_or(1005), reason },
        Closure::Broken(message) => Failure::Broken { message },
    }
}
