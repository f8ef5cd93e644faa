//! The call log over HTTP: `/api/v1`.
//!
//! Asks through [`Query`] and knows neither database. Who may ask is decided before anything of a request is read. Without a
//! token the routes are at the API's own listener alone.

mod access;
mod calls;
mod document;
mod parameters;
mod problem;
mod recording;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware;
use axum::response::Response;
use axum::routing::{get, post};
use tokio::sync::Semaphore;

use self::problem::Problem;
use super::State;
use crate::secret::Secret;
use crate::store::query::{self, Query};

pub(super) use self::access::{Entry, Peer};

/// What the API needs: the call log, and who may ask it.
#[derive(Debug)]
pub struct Api {
    log: Query,
    /// `None`: this machine alone may ask.
    token: Option<Secret>,
    /// Names besides those of this machine under which it is asked at its own listener.
    hosts: Vec<String>,
    running: Semaphore,
}

/// Questions at once: as many as the log has connections. Others wait.
const QUESTIONS_MAX: usize = 4;

/// From a request to its answer, waiting included. A little more than the log gives itself.
const DEADLINE: Duration = Duration::from_secs(6);

impl Api {
    pub fn new(log: Query, token: Option<Secret>) -> Self {
        let token = token.filter(|token| !token.is_empty());
        Self { log, token, hosts: Vec::new(), running: Semaphore::new(QUESTIONS_MAX) }
    }

    /// Is asked under these names too.
    #[must_use]
    pub fn asked_as(self, hosts: Vec<String>) -> Self {
        Self { hosts, ..self }
    }

    pub(super) const fn has_token(&self) -> bool {
        self.token.is_some()
    }

    fn has_host(&self, name: &str) -> bool {
        self.hosts.iter().any(|host| host.eq_ignore_ascii_case(name))
    }

    /// Asks the log when it is this question's turn.
    async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&Query) -> Result<T, query::Error>,
    ) -> Result<T, Problem> {
        let turn = async {
            let _turn = self.running.acquire().await.map_err(|_| Problem::busy())?;
            question(&self.log).await.map_err(|error| Problem::of_log(&error))
        };
        tokio::time::timeout(DEADLINE, turn).await.unwrap_or_else(|_| Err(Problem::busy()))
    }
}

/// The routes below `/api`.
pub(super) fn router(state: &Arc<State>, entry: Entry) -> Router<Arc<State>> {
    Router::new()
        .route("/api/v1/calls", get(calls::list))
        .route("/api/v1/calls/{id}", get(calls::show))
        .route("/api/v1/calls/{id}/recording/pause", post(recording::pause))
        .route("/api/v1/calls/{id}/recording/resume", post(recording::resume))
        .route("/api/v1/stats", get(calls::stats))
        .route("/api/v1/openapi.json", get(document::serve))
        .route("/api/{*rest}", axum::routing::any(problem::no_route))
        .method_not_allowed_fallback(problem::no_method)
        .route_layer(middleware::from_fn_with_state((Arc::clone(state), entry), access::check))
        .route_layer(middleware::map_response(harden))
}

/// What is answered is personal: no cache keeps it, and no browser takes it for a page.
async fn harden(mut response: Response) -> Response {
    const HEADERS: [(HeaderName, &str); 4] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
