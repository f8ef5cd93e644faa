//! Gemini Live: where its endpoints are and how to get in. Knows nothing of its messages.
//!
//! The same protocol is served in two places: by the Gemini Developer API, which takes an API key, and by Vertex
//! AI, which takes an OAuth token. Each endpoint of the configuration has one [`Dialer`], in order of preference.

mod developer;
mod service_account;
mod tokens;
mod vertex;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::HeaderValue;

pub use self::developer::Developer;
use self::tokens::Tokens;
pub use self::vertex::Vertex;
use crate::live::failure::Failure;
use crate::net::dial::{self, ClientLink};
use crate::net::egress::Egress;
use crate::secret::Secret;
use crate::time::millis;

/// `[live]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Scheme and host of the Developer API, while `endpoints` is empty.
    pub endpoint: String,
    /// Version of the Developer API in the path, while `endpoints` is empty.
    pub api_version: String,
    /// For the token, name resolution, TCP, TLS and the upgrade together, milliseconds.
    pub connect_timeout_ms: u64,
    /// From the setup to its confirmation, milliseconds.
    pub setup_timeout_ms: u64,
    /// Where sessions are made, in order of preference; empty: at the Developer API alone.
    pub endpoints: Vec<Endpoint>,
    /// Certificates (PEM) that are trusted besides the built-in ones and the system's: authorities, or a server's own.
    pub ca_file: Option<PathBuf>,
    /// The credentials of Vertex endpoints that name none, from the environment; `None`: those of the machine.
    #[serde(skip)]
    pub default_credentials: Option<PathBuf>,
}

impl Default for Config {
    /// The public service. Both times are tuned for a caller on the line: a healthy connection takes a few hundred
    /// milliseconds and a session is set up within a second; waiting longer is worse than asking somebody else.
    fn default() -> Self {
        let Developer { endpoint, api_version, model: _ } = Developer::default();
        Self {
            endpoint,
            api_version,
            connect_timeout_ms: 2_000,
            setup_timeout_ms: 2_500,
            endpoints: Vec::new(),
            ca_file: None,
            default_credentials: None,
        }
    }
}

impl Config {
    /// The endpoints in order of preference, one at least.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        if self.endpoints.is_empty() {
            return vec![Endpoint::Developer(self.developer())];
        }
        self.endpoints.clone()
    }

    /// The Developer API as the keys of `[live]` itself have it.
    fn developer(&self) -> Developer {
        let Self { endpoint, api_version, .. } = self.clone();
        Developer { endpoint, api_version, model: None }
    }
}

/// One of `[[live.endpoints]]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Endpoint {
    /// The Gemini Developer API.
    Developer(Developer),
    /// Vertex AI.
    Vertex(Vertex),
}

/// What only the environment holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    pub developer: Secret,
    /// Of Vertex AI in express mode.
    pub vertex: Secret,
}

/// A configuration that no connection can be made with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the live endpoint {name} has no URL: {message}")]
    Url { name: String, message: String },
    #[error("the API key of the live endpoint {name} holds characters that cannot be sent in a header")]
    Key { name: String },
    #[error("`quota_project` of the live endpoint {name} cannot be sent in a header")]
    QuotaProject { name: String },
}

/// Makes connections to one endpoint. What lets it in travels in a header, never in a URL.
#[derive(Debug)]
pub struct Dialer {
    route: Route,
    egress: Arc<Egress>,
    deadline: Duration,
}

/// The way to an endpoint, and to the models there.
#[derive(Debug)]
struct Route {
    name: String,
    service: Service,
    request: Request,
    access: Access,
    /// What stands in front of the name of a model.
    models: String,
    /// The model of every session, whatever the agent has.
    model: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Developer,
    Vertex,
}

/// What lets the dialer in.
#[derive(Debug)]
enum Access {
    /// It is in the request already.
    Key,
    Token(Box<Tokens>),
}

/// One dialer for each endpoint, in order of preference; one at least.
pub fn dialers(config: &Config, keys: &Keys, egress: &Arc<Egress>) -> Result<Vec<Dialer>, Error> {
    let dialer = |endpoint: Endpoint| {
        let route = match endpoint {
            Endpoint::Developer(endpoint) => endpoint.route(&keys.developer),
            Endpoint::Vertex(endpoint) => endpoint.route(&keys.vertex, config.default_credentials.as_deref()),
        };
        Ok(Dialer::along(route?, config, Arc::clone(egress)))
    };
    config.endpoints().into_iter().map(dialer).collect()
}

impl Dialer {
    /// The dialer of the Developer API as the keys of `[live]` itself have it.
    pub fn new(config: &Config, key: &Secret, egress: Arc<Egress>) -> Result<Self, Error> {
        Ok(Self::along(config.developer().route(key)?, config, egress))
    }

    fn along(route: Route, config: &Config, egress: Arc<Egress>) -> Self {
        Self { route, egress, deadline: Duration::from_millis(config.connect_timeout_ms) }
    }

    /// What the endpoint is called in the log: `developer`, `vertex/us-central1`.
    pub fn name(&self) -> &str {
        &self.route.name
    }

    /// The resource path of a model here.
    pub fn model_path(&self, model: &str) -> String {
        format!("{}{model}", self.route.models)
    }

    /// The model of every session here, whatever the agent has.
    pub fn model(&self) -> Option<&str> {
        self.route.model.as_deref()
    }

    /// Whether sessions can be resumed transparently, with messages counted and sent again.
    pub const fn is_transparent(&self) -> bool {
        matches!(self.route.service, Service::Vertex)
    }

    /// Connects to the endpoint, within the configured time.
    pub async fn dial(&self) -> Result<ClientLink, Failure> {
        timeout(self.deadline, self.enter()).await.unwrap_or(Err(Failure::ConnectTimeout))
    }

    async fn enter(&self) -> Result<ClientLink, Failure> {
        let request = &self.route.request;
        let Access::Token(tokens) = &self.route.access else {
            return self.connect(request.clone()).await;
        };
        let token = tokens.current(&self.egress).await?;
        match self.connect(tokens::authorised(request, &token)?).await {
            // A token that was revoked before its time.
            Err(Failure::Refused { status: 401 | 403, .. }) => {
                let token = tokens.instead_of(&token, &self.egress).await?;
                self.connect(tokens::authorised(request, &token)?).await
            }
            connected => connected,
        }
    }

    async fn connect(&self, mut request: Request) -> Result<ClientLink, Failure> {
        // Each connection needs a WebSocket key of its own.
        let key = tokio_tungstenite::tungstenite::handshake::client::generate_key();
        if let Ok(key) = HeaderValue::from_str(&key) {
            request.headers_mut().insert("sec-websocket-key", key);
        }
        dial::dial(request, Arc::clone(&self.egress), self.deadline).await.map_err(|error| match error {
            dial::Error::Timeout(_) => Failure::ConnectTimeout,
            dial::Error::Unreachable(message) => Failure::Unreachable { message },
            dial::Error::Refused { status, retry_after } => {
                Failure::Refused { status, retry_after_ms: retry_after.map(millis) }
            }
        })
    }
}

/// The upgrade request of an endpoint.
fn request(name: &str, url: &str) -> Result<Request, Error> {
    url.into_client_request()
        .map_err(|error| Error::Url { name: name.to_owned(), message: error.to_string() })
}

/// Puts an API key into a request (Gemini Live API, authentication).
fn insert_key(request: &mut Request, key: &Secret, name: &str) -> Result<(), Error> {
    let mut key = HeaderValue::from_str(key.expose()).map_err(|_| Error::Key { name: name.to_owned() })?;
    key.set_sensitive(true);
    request.headers_mut().insert("x-goog-api-key", key);
    Ok(())
}
