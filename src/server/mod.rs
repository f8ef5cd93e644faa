//! The HTTP side: the carrier's webhooks, the upgrade of its media streams, the API of the call log, health.
//!
//! What the carrier says is believed only for its signature, over the configured public URL, before any other work; a call
//! is recorded from the first moment it is known. Knows nothing of what happens in a call: that is the bridge's.

pub mod admin;
pub mod config;
pub mod limits;

mod api;
mod body;
mod call_id;
mod connection;
mod error;
mod health;
mod listener;
mod media;
mod public_url;
mod reception;
mod refused;
mod rejections;
mod routes;
mod state;
mod tokens;
mod webhook;

use std::sync::Arc;

use axum::routing::{get, post};
use axum::{Router, middleware};

pub use self::api::Api;
use self::api::Entry;
pub use self::config::Config;
pub use self::listener::{Listeners, serve};
pub use self::public_url::{InvalidPublicUrl, PublicUrl};
pub use self::state::{Invalid, State};

/// The routes where the carrier comes in. The API is among them if it has a token.
pub fn router(state: Arc<State>) -> Router {
    let router = Router::new()
        .route(webhook::VOICE, post(webhook::voice).get(webhook::voice))
        .route(webhook::RESUME, post(webhook::resume).get(webhook::resume))
        .route(webhook::STATUS, post(webhook::status).get(webhook::status))
        .route(webhook::RECORDED, post(webhook::recorded).get(webhook::recorded))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&state), health::watch))
        .merge(health())
        .route(media::ROUTE, get(media::open))
        .fallback(routes::none)
        .method_not_allowed_fallback(routes::other_method);
    let router = match state.api() {
        Some(api) if api.has_token() => router.merge(api::router(&state, Entry::Carrier)),
        Some(_) | None => router,
    };
    router.with_state(state)
}

/// The routes of the listener that is not the carrier's.
fn admin_router(state: Arc<State>) -> Router {
    Router::new()
        .merge(health())
        .fallback(routes::none)
        .method_not_allowed_fallback(routes::other_method)
        .merge(api::router(&state, Entry::Admin))
        .with_state(state)
}

fn health() -> Router<Arc<State>> {
    Router::new().route("/healthz", get(health::alive)).route("/readyz", get(health::ready))
}
