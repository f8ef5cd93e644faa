//! Whether this process lives, and whether it takes calls.
//!
//! `/readyz` answers 200 or 503, and a small JSON object that says why and what else an operator may want to know:
//! `{"status":"ready","diagnostics":{"lines_dropped":0},"log":{"is_away":false,"waiting":0,"aside_bytes":0,"lost":0}}`.
//! It is open to everybody, so it holds counts and states, never names, numbers or paths.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{self, Request};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::{Json, body};
use futures_util::FutureExt as _;
use serde::Serialize;

use super::State;
use crate::{diagnostics, store};

/// So many webhooks in a row that were not answered mean that the next one will not be either.
const UNANSWERED_MAX: u32 = 3;

/// After this long without another such webhook, one is tried again: nothing else can show that they are answered.
const UNANSWERED_FOR: Duration = Duration::from_secs(60);

/// A webhook given up by the carrier sooner than this says nothing about this server. The carrier waits for 15 s
/// (<https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides>).
const PATIENCE: Duration = Duration::from_secs(5);

/// What `/readyz` says.
#[derive(Debug, Serialize)]
pub(super) struct Readiness {
    status: Status,
    #[serde(flatten)]
    details: Details,
}

/// Whether new calls may be sent here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Ready,
    /// The process stops.
    Draining,
    /// The disk of the call log has less room than `store.free_bytes_min`.
    DiskFull,
    /// Without an auth token and a public URL every webhook is refused.
    Unconfigured,
    /// The last webhooks were not answered.
    Unanswering,
}

/// What else is known of the parts of this process; a part that has something to tell gets a field.
#[derive(Debug, Serialize)]
struct Details {
    diagnostics: diagnostics::Status,
    /// The call log: whether it can be written, and what waits.
    log: store::Health,
}

/// The process answers at all.
pub(super) async fn alive() -> &'static str {
    "alive\n"
}

/// New calls may be sent here; 503 where that is not so.
pub(super) async fn ready(
    extract::State(state): extract::State<Arc<State>>,
) -> (StatusCode, Json<Readiness>) {
    let status = if !state.bridge.is_accepting() {
        // A process that stops does so whatever room there is; without room it goes on.
        if state.bridge.is_draining() { Status::Draining } else { Status::DiskFull }
    } else if state.check_configured().is_err() {
        Status::Unconfigured
    } else if state.webhooks.are_unanswered(Instant::now()) {
        Status::Unanswering
    } else {
        Status::Ready
    };
    let code = if status == Status::Ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let details = Details { diagnostics: diagnostics::status(), log: state.bridge.log_health() };
    (code, Json(Readiness { status, details }))
}

/// Answers a webhook whose handler panics, and notes whether webhooks are answered.
pub(super) async fn watch(
    extract::State(state): extract::State<Arc<State>>,
    request: Request,
    next: Next,
) -> Response {
    let watch = Watch { state, began: Instant::now(), is_over: false };
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => watch.answered(response),
        // The hook has logged the panic.
        Err(_) => watch.answered(StatusCode::INTERNAL_SERVER_ERROR.into_response()),
    }
}

/// One webhook that is being answered.
struct Watch {
    state: Arc<State>,
    began: Instant,
    is_over: bool,
}

impl Watch {
    fn answered(mut self, response: Response<body::Body>) -> Response {
        self.is_over = true;
        if response.status() == StatusCode::INTERNAL_SERVER_ERROR {
            self.state.webhooks.note_unanswered(Instant::now());
        } else if response.status().is_success() {
            // A refusal says less: it is given before most of the work.
            self.state.webhooks.note_answered();
        }
        response
    }
}

impl Drop for Watch {
    /// The carrier hangs up before the answer: the request and all that waits for it are dropped.
    fn drop(&mut self) {
        if !self.is_over && self.began.elapsed() >= PATIENCE {
            self.state.webhooks.note_unanswered(Instant::now());
        }
    }
}

/// Whether webhooks are answered.
#[derive(Debug, Default)]
pub(super) struct Webhooks(Mutex<Unanswered>);

#[derive(Debug, Default)]
struct Unanswered {
    in_a_row: u32,
    last: Option<Instant>,
}

impl Webhooks {
    fn note_answered(&self) {
        *self.unanswered() = Unanswered::default();
    }

    fn note_unanswered(&self, now: Instant) {
        let mut unanswered = self.unanswered();
        unanswered.in_a_row = unanswered.in_a_row.saturating_add(1);
        unanswered.last = Some(now);
    }

    fn are_unanswered(&self, now: Instant) -> bool {
        let unanswered = self.unanswered();
        let is_recent = |last: Instant| now.saturating_duration_since(last) < UNANSWERED_FOR;
        unanswered.in_a_row >= UNANSWERED_MAX && unanswered.last.is_some_and(is_recent)
    }

    fn unanswered(&self) -> MutexGuard<'_, Unanswered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use axum::{Router, middleware};
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;
    use rstest::rstest;

    use super::*;
    use crate::bridge::{Bridge, Offer};
    use crate::net::dial;
    use crate::provider::gemini::{self, Dialer};
    use crate::secret::Secret;
    use crate::server::Config;
    use crate::store::Handle;

    #[rstest]
    #[case::at_first("", 0, false)]
    #[case::answered("+++", 0, false)]
    #[case::one_of_many("++-++", 0, false)]
    #[case::two_in_a_row("+--", 0, false)]
    #[case::three_in_a_row("+---", 0, true)]
    #[case::one_answer_between("--+--", 0, false)]
    #[case::answered_again("-----+", 0, false)]
    #[case::still_after_59_s("---", 59, true)]
    #[case::tried_again_after_a_minute("---", 60, false)]
    #[case::the_trial_failed_too("---", 30, true)]
    fn readiness_ends_with_webhooks_that_are_not_answered(
        #[case] webhooks: &str,
        #[case] seconds_later: u64,
        #[case] expected: bool,
    ) {
        let (seen, now) = (Webhooks::default(), Instant::now());
        for webhook in webhooks.chars() {
            if webhook == '+' { seen.note_answered() } else { seen.note_unanswered(now) }
        }
        assert_eq!(seen.are_unanswered(now + Duration::from_secs(seconds_later)), expected);
    }

    /// A server without a live service, whose webhooks fail in this way.
    fn router(state: &Arc<State>) -> Router {
        Router::new()
            .route(
                "/panics",
                get(async || {
                    if true {
                        panic!("a fault of ours")
                    }
                }),
            )
            .route("/answers", get(alive))
            .route("/refuses", get(async || StatusCode::FORBIDDEN))
            .route_layer(middleware::from_fn_with_state(Arc::clone(state), watch))
            .route("/readyz", get(ready))
            .with_state(Arc::clone(state))
    }

    fn state(auth_token: &str) -> Arc<State> {
        let (store, _) = Handle::pair(16);
        let dialer = Dialer::new(&gemini::Config::default(), &Secret::new("key"), dial::tls([])).unwrap();
        let bridge = Arc::new(Bridge::new(store, Offer::live(dialer)));
        let config = Config { public_url: Some("https://voice.example.com".to_owned()), ..Config::default() };
        Arc::new(State::new(&config, vec![Secret::new(auth_token)], Vec::new(), bridge).unwrap())
    }

    async fn ask(router: &Router, path: &str) -> (u16, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let service = TowerToHyperService::new(router.clone());
        let response = service.call(request).await.unwrap();
        let code = response.status().as_u16();
        let body = body::to_bytes(response.into_body(), 1024).await.unwrap();
        (code, String::from_utf8(body.to_vec()).unwrap())
    }

    #[rstest]
    #[case::none(&[], 200, "ready")]
    #[case::one(&["/panics"], 200, "ready")]
    #[case::all(&["/panics", "/panics", "/panics"], 503, "unanswering")]
    #[case::refusals_say_nothing(&["/panics", "/refuses", "/panics", "/refuses", "/panics"], 503, "unanswering")]
    #[case::answered_again(&["/panics", "/panics", "/panics", "/answers"], 200, "ready")]
    #[tokio::test]
    async fn a_webhook_that_panics_is_answered_and_readiness_ends_when_all_do(
        #[case] webhooks: &[&str],
        #[case] code: u16,
        #[case] status: &str,
    ) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let router = router(&state("12345"));
        for webhook in webhooks {
            let expected = [("/panics", 500), ("/answers", 200), ("/refuses", 403)];
            let expected = expected.iter().find(|(path, _)| path == webhook).unwrap().1;
            assert_eq!(ask(&router, webhook).await.0, expected);
        }
        let (found, body) = ask(&router, "/readyz").await;
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((found, body["status"].as_str()), (code, Some(status)));
    }

    #[tokio::test]
    async fn a_server_that_refuses_every_webhook_is_not_ready() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (code, body) = ask(&router(&state("")), "/readyz").await;
        assert_eq!(code, 503);
        assert!(body.contains(r#""status":"unconfigured""#), "{body}");
    }

    #[test]
    fn the_answer_says_what_is_so_and_what_else_is_known() {
        let diagnostics = diagnostics::Status { lines_dropped: 7, error: Some("Broken pipe".to_owned()) };
        let readiness = Readiness {
            status: Status::Ready,
            details: Details { diagnostics, log: store::Health::default() },
        };
        assert_eq!(
            serde_json::to_value(&readiness).unwrap(),
            serde_json::json!({
                "status": "ready",
                "diagnostics": { "lines_dropped": 7, "error": "Broken pipe" },
                "log": { "is_away": false, "waiting": 0, "aside_bytes": 0, "lost": 0 }
            })
        );
    }
}
