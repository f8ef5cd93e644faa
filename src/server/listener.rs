//! Accepts connections: HTTP/1.1 with upgrades, limited in number and in time, and every refused request told.
//!
//! `axum::serve` has no limits and leaves Nagle's algorithm on, which holds back small frames.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, Request, StatusCode, Version, header};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::api::Peer;
use super::connection::{Guard, KEEP_ALIVE_TOLD, Slot, Slots};
use super::rejections::{Reason, Rejected, Request as Told};
use super::{State, admin_router, router, routes};

/// hyper's own buffers. A header section is whole and within its limit before hyper gets it.
const BUFFER_BYTES_MAX: usize = 32 * 1024;

/// What requests under way get to end when the server does.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// The pause after a failure to accept: the process has no file descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where a server listens.
#[derive(Debug)]
pub struct Listeners {
    /// Webhooks and media streams, and the API if it has a token.
    pub carrier: TcpListener,
    /// The API.
    pub admin: Option<TcpListener>,
}

impl From<TcpListener> for Listeners {
    fn from(carrier: TcpListener) -> Self {
        Self { carrier, admin: None }
    }
}

/// Serves until `shutdown`; then accepts no more, and answers what it has. Upgraded media streams go on: they are
/// the bridge's. Calls whose streams have not come by then are ended.
pub async fn serve(listeners: impl Into<Listeners>, state: Arc<State>, shutdown: impl Future<Output = ()>) {
    let Listeners { carrier, admin } = listeners.into();
    let sweeper = tokio::spawn(Arc::clone(&state).sweep());
    let watched = Arc::clone(&state);
    let watcher = tokio::spawn(async move { watched.limits.watch().await });
    let rejections = Arc::clone(&state.rejections);
    let teller = tokio::spawn(async move { rejections.keep_telling().await });
    let (stop, mut stopping) = watch::channel(());
    let front = Front { router: router(Arc::clone(&state)), state: Arc::clone(&state) };
    let calls = front.serve(carrier, async {
        shutdown.await;
        drop(stop);
    });
    let questions = async {
        if let Some(listener) = admin {
            let front = Front { router: admin_router(Arc::clone(&state)), state: Arc::clone(&state) };
            let stopped = async {
                // The sender is dropped when the server stops.
                let _ = stopping.changed().await;
            };
            front.serve(listener, stopped).await;
        }
    };
    tokio::join!(calls, questions);
    sweeper.abort();
    watcher.abort();
    teller.abort();
    state.rejections.tell_all();
    state.close();
}

/// What answers at a listener.
#[derive(Clone, Debug)]
struct Front {
    router: Router,
    state: Arc<State>,
}

impl Front {
    async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let (stop, stopping) = watch::channel(());
        let slots = Arc::new(Slots::default());
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            let (stream, slot) = tokio::select! {
                () = &mut shutdown => break,
                accepted = accept(&listener, &slots) => accepted,
            };
            connections.spawn(self.clone().carry(stream, slot, stopping.clone()));
            while connections.try_join_next().is_some() {}
        }
        drop((listener, stop));
        let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, async {
            while connections.join_next().await.is_some() {}
        })
        .await;
        connections.shutdown().await;
    }

    /// One connection, to its end or its upgrade.
    async fn carry(self, stream: TcpStream, slot: Arc<Slot>, mut stopping: watch::Receiver<()>) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps its delay");
        }
        let guard = Guard::new(stream, Arc::clone(&slot), Arc::clone(&self.state.rejections));
        let answering = Arc::clone(&slot);
        let service = service_fn(move |request| self.clone().answer(request, Arc::clone(&answering)));
        let connection = http1::Builder::new()
            // The guard has its own, which do not count the wait for a request as one for its headers.
            .header_read_timeout(None)
            .max_buf_size(BUFFER_BYTES_MAX)
            .serve_connection(TokioIo::new(guard), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        let result = tokio::select! {
            result = &mut connection => result,
            // The sender is dropped when the server stops.
            _ = stopping.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            tracing::debug!(%error, "a connection failed");
        }
        slot.close();
    }

    /// Answers a request. What refuses it is told.
    fn answer(
        self,
        mut request: Request<Incoming>,
        slot: Arc<Slot>,
    ) -> impl Future<Output = Result<Response, Infallible>> {
        slot.begin_answer();
        let told = Told::of(request.method(), request.uri(), request.headers());
        let keeps_alive = keeps_alive(&request);
        request.extensions_mut().insert(Peer(slot.peer));
        request.extensions_mut().insert(Arc::clone(&slot));
        routes::straighten(&mut request);
        async move {
            let mut response = TowerToHyperService::new(self.router).call(request).await?;
            let status = response.status();
            if status.is_client_error() || status.is_server_error() {
                let reason = response.extensions_mut().remove::<Reason>();
                if let Some(reason) = reason.or_else(|| told.unexplained(status)) {
                    self.state.rejections.note(Rejected::new(reason, status, told, slot.peer));
                }
            }
            if !self.state.bridge.is_accepting() {
                // The server stops: a proxy does not send its next request where nothing listens by then.
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            } else if keeps_alive && status != StatusCode::SWITCHING_PROTOCOLS {
                response.headers_mut().insert("keep-alive", keep_alive());
            }
            slot.end_answer(status == StatusCode::SWITCHING_PROTOCOLS);
            Ok(response)
        }
    }
}

/// The next connection. If there are too many, another one ends for it.
async fn accept(listener: &TcpListener, slots: &Arc<Slots>) -> (TcpStream, Arc<Slot>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let room = slots.room().await;
                return (stream, slots.take(peer, room));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether the client wants to use the connection again (RFC 9112, section 9.3).
fn keeps_alive<B>(request: &Request<B>) -> bool {
    let says = |option: &str| {
        let values = request.headers().get_all(header::CONNECTION).iter();
        let mut options = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
        options.any(|value| value.trim().eq_ignore_ascii_case(option))
    };
    !says("close") && (request.version() == Version::HTTP_11 || says("keep-alive"))
}

fn keep_alive() -> HeaderValue {
    static VALUE: LazyLock<HeaderValue> = LazyLock::new(|| {
        let value = format!("timeout={}", KEEP_ALIVE_TOLD.as_secs());
        HeaderValue::try_from(value).unwrap_or_else(|_| HeaderValue::from_static("timeout=60"))
    });
    VALUE.clone()
}
