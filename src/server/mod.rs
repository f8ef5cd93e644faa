//! The HTTP side: the carrier's webhooks, the upgrade of its media streams, health.
//!
//! Everything is believed only for its signature, over the configured public URL, before any other work; a call
//! is recorded from the first moment it is known. Knows nothing of what happens in a call: that is the bridge's.

mod error;
mod health;
mod listener;
mod media;
mod public_url;
mod reception;
mod state;
mod tokens;
mod webhook;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use serde::Deserialize;

pub use self::listener::serve;
pub use self::public_url::{InvalidPublicUrl, PublicUrl};
pub use self::state::{Invalid, State};

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where to listen. The default is for a proxy with a certificate on the same machine.
    pub listen: SocketAddr,
    /// How the carrier reaches this server, `https://…`: webhooks are verified against it, and the media stream
    /// is asked for at it. Without it every webhook is refused.
    pub public_url: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)), public_url: None }
    }
}

/// All routes.
pub fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route(webhook::VOICE, post(webhook::voice))
        .route(webhook::RESUME, post(webhook::resume))
        .route(webhook::STATUS, post(webhook::status))
        .route(media::ROUTE, get(media::open))
        .with_state(state)
}
