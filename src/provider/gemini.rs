//! The Gemini Live API: where it is and how to get in. Knows nothing of its messages.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use serde::Deserialize;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::live::failure::Failure;
use crate::net::dial::{self, ClientLink};
use crate::secret::Secret;

/// `[live]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Scheme and host of the service, `wss://`; `ws://` only for a simulated one on this machine.
    pub endpoint: String,
    /// Version of the API in the path.
    pub api_version: String,
    /// For name resolution, TCP, TLS and the upgrade together, milliseconds.
    pub connect_timeout_ms: u64,
}

impl Default for Config {
    /// The public service. `v1beta` is the version its documentation uses for the Live API. Five seconds are
    /// tuned for a caller on the line: a healthy connection takes a few hundred milliseconds, one lost packet
    /// of a handshake costs one to three seconds more, and longer silence makes people hang up.
    fn default() -> Self {
        Self {
            endpoint: "wss://generativelanguage.googleapis.com".to_owned(),
            api_version: "v1beta".to_owned(),
            connect_timeout_ms: 5_000,
        }
    }
}

/// Makes connections to the service. The key travels in a header, never in a URL.
#[derive(Debug)]
pub struct Dialer {
    request: Request,
    tls: Arc<ClientConfig>,
    deadline: Duration,
}

/// A configuration that no connection can be made with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("`live.endpoint` and `live.api_version` do not make a URL: {0}")]
    Url(String),
    #[error("GEMINI_API_KEY holds characters that cannot be sent in a header")]
    Key,
}

impl Dialer {
    pub fn new(config: &Config, key: &Secret, tls: Arc<ClientConfig>) -> Result<Self, Error> {
        let Config { endpoint, api_version, connect_timeout_ms } = config;
        let service = "google.ai.generativelanguage";
        let method = "GenerativeService.BidiGenerateContent";
        let url = format!("{}/ws/{service}.{api_version}.{method}", endpoint.trim_end_matches('/'));
        let mut request = url.into_client_request().map_err(|error| Error::Url(error.to_string()))?;
        let mut key = HeaderValue::from_str(key.expose()).map_err(|_| Error::Key)?;
        key.set_sensitive(true);
        request.headers_mut().insert("x-goog-api-key", key);
        Ok(Self { request, tls, deadline: Duration::from_millis(*connect_timeout_ms) })
    }

    /// Connects to the service, within the configured time.
    pub async fn dial(&self) -> Result<ClientLink, Failure> {
        // Each connection needs a WebSocket key of its own.
        let mut request = self.request.clone();
        let key = tokio_tungstenite::tungstenite::handshake::client::generate_key();
        if let Ok(key) = HeaderValue::from_str(&key) {
            request.headers_mut().insert("sec-websocket-key", key);
        }
        dial::dial(request, Arc::clone(&self.tls), self.deadline).await.map_err(|error| match error {
            dial::Error::Timeout(_) => Failure::ConnectTimeout,
            dial::Error::Unreachable(message) => Failure::Unreachable { message },
            dial::Error::Refused(status) => Failure::Refused { status },
        })
    }
}
