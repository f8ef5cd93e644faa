//! The HTTP side: the carrier's webhooks, the upgrade of its media streams, the API of the call log, health.
//!
//! What the carrier says is believed only for its signature, over the configured public URL, before any other work; a call
//! is recorded from the first moment it is known. Knows nothing of what happens in a call: that is the bridge's.

pub mod config;
pub mod limits;

mod api;
mod call_id;
mod error;
mod health;
mod listener;
mod media;
mod public_url;
mod reception;
mod refused;
mod state;
mod tokens;
mod webhook;

use std::sync::Arc;

use axum::routing::{get, post};
use axum::{Router, middleware};

pub use self::api::Api;
pub use self::config::Config;
pub use self::listener::serve;
pub use self::public_url::{InvalidPublicUrl, PublicUrl};
pub use self::state::{Invalid, State};

/// All routes.
pub fn router(state: Arc<State>) -> Router {
    Router::new()
        .route(webhook::VOICE, post(webhook::voice))
        .route(webhook::RESUME, post(webhook::resume))
        .route(webhook::STATUS, post(webhook::status))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&state), health::watch))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route(media::ROUTE, get(media::open))
        .merge(api::router(&state))
        .with_state(state)
}
