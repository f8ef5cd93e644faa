//! Accepts connections: HTTP/1.1 with upgrades, limited in number and in the patience for headers.
//!
//! `axum::serve` has neither limit and leaves Nagle's algorithm on, which holds back small frames.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::api::Peer;
use super::{State, router};

/// Connections that speak HTTP at once. Media streams leave the count when they are upgraded: the number of calls
/// is limited by [`super::limits`].
const CONNECTIONS_MAX: usize = 1024;

/// From the connection, or the last answer, to the end of the next headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest header section.
const HEADER_BYTES_MAX: usize = 32 * 1024;

/// What requests under way get to end when the server does.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// The pause after a failure to accept: the process has no file descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown`; then accepts no more, and answers what it has. Upgraded media streams go on: they are
/// the bridge's. Calls whose streams have not come by then are ended.
pub async fn serve(listener: TcpListener, state: Arc<State>, shutdown: impl Future<Output = ()>) {
    let sweeper = tokio::spawn(Arc::clone(&state).sweep());
    let watched = Arc::clone(&state);
    let watcher = tokio::spawn(async move { watched.limits.watch().await });
    let router = router(Arc::clone(&state));
    let (stop, stopping) = watch::channel(());
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let (accepted, slot) = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        connections.spawn(carry(accepted, slot, router.clone(), stopping.clone()));
        while connections.try_join_next().is_some() {}
    }
    drop((listener, stop));
    let _ =
        tokio::time::timeout(SHUTDOWN_TIMEOUT, async { while connections.join_next().await.is_some() {} })
            .await;
    connections.shutdown().await;
    sweeper.abort();
    watcher.abort();
    state.close();
}

/// The next connection, when there is a slot for it.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> (Accepted, OwnedSemaphorePermit) {
    let slot = Arc::clone(slots).acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (Accepted { stream, peer: Peer(peer) }, slot),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

struct Accepted {
    stream: TcpStream,
    peer: Peer,
}

/// One connection, to its end or its upgrade.
async fn carry(
    Accepted { stream, peer }: Accepted,
    slot: OwnedSemaphorePermit,
    router: Router,
    mut stopping: watch::Receiver<()>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps its delay");
    }
    let service = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        service.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
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
    drop(slot);
}
