//! Whether this process lives, and whether it takes calls.

use std::sync::Arc;

use axum::extract;
use axum::http::StatusCode;

use super::State;

/// The process answers at all.
pub(super) async fn alive() -> &'static str {
    "alive\n"
}

/// New calls may be sent here; 503 while the process drains.
pub(super) async fn ready(extract::State(state): extract::State<Arc<State>>) -> (StatusCode, &'static str) {
    if state.bridge.is_accepting() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    }
}
