//! HTTP to providers: one client for each, every wait with a deadline, answers pulled piece by piece.
//!
//! Knows nothing of what is asked or answered, but for the shapes in which an error is worded.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{RequestBuilder, Response, Url};
use serde::Deserialize;
use tokio::time::{Instant, timeout};

use super::refusal;
use crate::job::Failure;
use crate::net::egress::Egress;
use crate::net::names::Names;
use crate::secret::{MaskedUrl, Secret};

/// A whole answer of this size is not one to a telephone call: 16 MiB are six minutes of speech. It also ends one
/// that is always there when asked for, and so never waited for.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// The body of an error that is read to find its message.
const ERROR_BYTES_MAX: usize = 64 << 10;

/// Characters of a provider's message that are kept; the rest is advertising.
const MESSAGE_CHARS_MAX: usize = 200;

/// `[http]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Connections to one provider that are kept open without use; 0 closes each after its answer.
    pub idle_connections_max: usize,
    /// How long they are kept, milliseconds.
    pub idle_ms: u64,
}

impl Default for Config {
    /// The next sentence of a call is asked for within seconds and is spared the handshake; more than four
    /// are only kept after a rush. Providers close idle connections after a minute or more: 20 s are short of
    /// that, so that a request seldom meets a connection that is being closed.
    fn default() -> Self {
        Self { idle_connections_max: 4, idle_ms: 20_000 }
    }
}

/// What the clients of all providers have in common.
#[derive(Clone, Debug)]
pub struct Transport {
    pub config: Config,
    pub tls: Arc<Egress>,
}

/// How long a provider is waited for. Time in which nobody asks for the answer does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// Name resolution, TCP and TLS.
    pub connect: Duration,
    /// From the request to the first byte of the answer's body, connecting included.
    pub first_byte: Duration,
    /// Between two pieces of the answer.
    pub between_bytes: Duration,
    /// All of the answer.
    pub total: Duration,
}

impl Default for Deadlines {
    /// Tuned for a caller on the line. Two seconds are one lost packet of a handshake. After five seconds of
    /// silence people hang up, so the rest of the time belongs to the next provider. A minute is the longest
    /// that a telephone agent may talk without a pause.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            first_byte: Duration::from_secs(5),
            between_bytes: Duration::from_secs(5),
            total: Duration::from_secs(60),
        }
    }
}

/// Deadlines of one provider that differ from the default ones, milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    pub connect_ms: Option<u64>,
    pub first_byte_ms: Option<u64>,
    pub between_bytes_ms: Option<u64>,
    pub total_ms: Option<u64>,
}

impl Timeouts {
    /// `deadlines` with what is set here in their place.
    pub fn over(&self, deadlines: Deadlines) -> Deadlines {
        let pick = |ms: Option<u64>, default| ms.map_or(default, Duration::from_millis);
        Deadlines {
            connect: pick(self.connect_ms, deadlines.connect),
            first_byte: pick(self.first_byte_ms, deadlines.first_byte),
            between_bytes: pick(self.between_bytes_ms, deadlines.between_bytes),
            total: pick(self.total_ms, deadlines.total),
        }
    }
}

/// A configuration that no provider can be asked with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the endpoint `{0}` is not an http or https URL")]
    Endpoint(String),
    #[error("the key holds characters that cannot be sent in a header")]
    Key,
    #[error("the HTTP client cannot be made: {0}")]
    Client(String),
}

/// How a provider wants its key: in a header, never in a URL.
#[derive(Clone, Debug)]
pub struct Credential {
    header: HeaderName,
    value: HeaderValue,
    key: Secret,
}

impl Credential {
    /// The key alone is the value of `header`.
    pub fn header(header: &'static str, key: &Secret) -> Result<Self, Error> {
        Self::new(HeaderName::from_static(header), key.expose(), key)
    }

    /// `Authorization: Bearer` and the key.
    pub fn bearer(key: &Secret) -> Result<Self, Error> {
        Self::new(AUTHORIZATION, &format!("Bearer {}", key.expose()), key)
    }

    fn new(header: HeaderName, value: &str, key: &Secret) -> Result<Self, Error> {
        let mut value = HeaderValue::from_str(value).map_err(|_| Error::Key)?;
        value.set_sensitive(true);
        Ok(Self { header, value, key: key.clone() })
    }
}

/// The connections to one provider. Cheap to clone; all clones share them.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    /// Of the endpoint, for the race of its addresses.
    port: Arc<AtomicU16>,
    names: Arc<Names>,
    deadlines: Deadlines,
    redactor: Redactor,
}

impl Client {
    pub fn new(
        transport: &Transport,
        deadlines: Deadlines,
        credential: Option<Credential>,
    ) -> Result<Self, Error> {
        let Config { idle_connections_max, idle_ms } = transport.config;
        let headers = credential.iter().map(|it| (it.header.clone(), it.value.clone()));
        let port = Arc::new(AtomicU16::new(443));
        let http = transport
            .tls
            .web(&port)
            .default_headers(headers.collect::<HeaderMap>())
            .connect_timeout(deadlines.connect)
            .pool_max_idle_per_host(idle_connections_max)
            .pool_idle_timeout(Duration::from_millis(idle_ms))
            .build()
            .map_err(|error| Error::Client(error.without_url().to_string()))?;
        let names = Arc::clone(transport.tls.names());
        Ok(Self { http, port, names, deadlines, redactor: Redactor(credential.map(|it| it.key)) })
    }

    pub const fn deadlines(&self) -> Deadlines {
        self.deadlines
    }

    /// Begins a request, for [`Client::send`].
    pub fn post(&self, url: &Url) -> RequestBuilder {
        if let Some(port) = url.port_or_known_default() {
            self.port.store(port, Ordering::Relaxed);
        }
        self.http.post(url.clone())
    }

    /// Sends a request and waits for the head of the answer. Dropped before that, it closes the connection.
    pub async fn send(&self, request: RequestBuilder) -> Result<Body, Failure> {
        let began = Instant::now();
        let Deadlines { first_byte, between_bytes, total, .. } = self.deadlines;
        let sent = timeout(first_byte.min(total), request.send()).await;
        let response = sent.map_err(|_| Failure::FirstByteTimeout)?.map_err(|error| {
            if error.is_connect() {
                self.names.note_bad(error.url().and_then(Url::host_str).unwrap_or_default());
            }
            self.redactor.failure(error)
        })?;
        let waited = began.elapsed();
        let body = Body {
            response,
            patience: first_byte.saturating_sub(waited),
            between_bytes,
            left: total.saturating_sub(waited),
            received: 0,
            redactor: self.redactor.clone(),
        };
        if body.response.status().is_success() { Ok(body) } else { Err(body.refusal().await) }
    }
}

/// The URL of a path below an endpoint.
pub fn url(endpoint: &str, path: &str) -> Result<Url, Error> {
    let url = Url::parse(&format!("{}/{path}", endpoint.trim_end_matches('/')));
    let is_http = |url: &Url| matches!(url.scheme(), "http" | "https");
    url.ok().filter(is_http).ok_or_else(|| Error::Endpoint(MaskedUrl(endpoint).to_string()))
}

/// An answer being read. Dropping it before its end closes the connection.
#[derive(Debug)]
pub struct Body {
    response: Response,
    /// For the next piece.
    patience: Duration,
    between_bytes: Duration,
    /// For all that is to come.
    left: Duration,
    received: usize,
    redactor: Redactor,
}

impl Body {
    /// The media type of the answer, empty if it is not said.
    pub fn content_type(&self) -> &str {
        let value = self.response.headers().get(reqwest::header::CONTENT_TYPE);
        value.and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The next piece, of any size; `None`: the answer is whole.
    pub async fn next_chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        let began = Instant::now();
        let read = timeout(self.patience.min(self.left), self.response.chunk()).await;
        self.left = self.left.saturating_sub(began.elapsed());
        let chunk = read.map_err(|_| self.timed_out())?.map_err(|error| self.redactor.failure(error))?;
        self.patience = self.between_bytes;
        self.received += chunk.as_ref().map_or(0, Bytes::len);
        if self.received > ANSWER_BYTES_MAX { Err(Failure::TooLong) } else { Ok(chunk) }
    }

    /// All of the answer; one of more than `bytes_max` is too long.
    pub async fn read_all(&mut self, bytes_max: usize) -> Result<Vec<u8>, Failure> {
        let mut all = Vec::new();
        while let Some(chunk) = self.next_chunk().await? {
            if all.len() + chunk.len() > bytes_max {
                return Err(Failure::TooLong);
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all)
    }

    /// What the provider worded, fit to be logged.
    pub fn clean(&self, message: &str) -> String {
        self.redactor.clean(message)
    }

    /// The answer is not what the provider's documentation says.
    pub fn unreadable(&self, error: impl std::fmt::Display) -> Failure {
        Failure::Unreadable { message: self.redactor.clean(&error.to_string()) }
    }

    /// The answer broke off in its middle.
    pub fn cut(&self, message: &str) -> Failure {
        Failure::Cut { message: self.redactor.clean(message) }
    }

    /// The provider says in its answer that it failed.
    pub fn reported(&self, message: &str) -> Failure {
        Failure::Reported { message: self.redactor.clean(message) }
    }

    const fn timed_out(&self) -> Failure {
        match (self.left.is_zero(), self.received) {
            (true, _) => Failure::TooLong,
            (false, 0) => Failure::FirstByteTimeout,
            (false, _) => Failure::Stalled,
        }
    }

    async fn refusal(mut self) -> Failure {
        let status = self.response.status().as_u16();
        let mut body = Vec::new();
        while body.len() < ERROR_BYTES_MAX
            && let Ok(Some(chunk)) = self.next_chunk().await
        {
            body.extend_from_slice(&chunk);
        }
        refusal::read(status, self.response.headers(), &body, |message| self.redactor.clean(message))
    }
}

type Cause<'a> = &'a (dyn std::error::Error + 'static);

/// Makes what others worded fit to be logged: short, on one line, and without the key.
#[derive(Clone, Debug)]
struct Redactor(Option<Secret>);

impl Redactor {
    fn clean(&self, message: &str) -> String {
        let message = match &self.0 {
            Some(key) if !key.is_empty() => message.replace(key.expose(), "***"),
            Some(_) | None => message.to_owned(),
        };
        let message = message.chars().map(|c| if c.is_control() { ' ' } else { c });
        message.take(MESSAGE_CHARS_MAX).collect()
    }

    fn failure(&self, error: reqwest::Error) -> Failure {
        // The URL is the operator's affair; the causes say what went wrong.
        let error = error.without_url();
        let causes = std::iter::successors(error.source(), |cause: &Cause<'_>| (*cause).source());
        let causes: Vec<Cause<'_>> = causes.collect();
        let words: Vec<_> = causes.iter().map(ToString::to_string).collect();
        let message = self.clean(&words.join(": "));
        let is_garbage =
            |cause: &Cause<'_>| cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse);
        match (error.is_connect(), error.is_timeout()) {
            (true, true) => Failure::ConnectTimeout,
            (true, false) => Failure::Unreachable { message },
            (false, _) if causes.iter().any(is_garbage) => Failure::Unreadable { message },
            (false, _) => Failure::Cut { message },
        }
    }
}
