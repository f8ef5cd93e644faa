//! What one entry of `[[fallback.stt]]` or `[[fallback.tts]]` says of a service, made ready: where it is, who we
//! are to it, and how long it is waited for. Knows nothing of what is asked.

use std::sync::Arc;

use reqwest::Url;
use serde::Deserialize;

use super::http::{self, Body, Client, Credential, Deadlines, Timeouts, Transport};
use crate::job::Failure;
use crate::secret::{Secret, VariableName};

/// The services that speech is made or understood by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Google Cloud Speech-to-Text and Text-to-Speech, v1.
    Google,
    /// The Gemini API.
    Gemini,
    /// OpenAI and every server that speaks like it.
    OpenAi,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Google => "google",
            Self::Gemini => "gemini",
            Self::OpenAi => "openai",
        }
    }

    const fn key_env(self) -> &'static str {
        match self {
            Self::Google => "GOOGLE_API_KEY",
            Self::Gemini => "GEMINI_API_KEY",
            Self::OpenAi => "OPENAI_API_KEY",
        }
    }

    fn credential(self, key: &Secret) -> Result<Credential, http::Error> {
        match self {
            Self::Google | Self::Gemini => Credential::header("x-goog-api-key", key),
            Self::OpenAi => Credential::bearer(key),
        }
    }
}

/// Why an entry makes no provider.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Http(#[from] http::Error),
    #[error(
        "{key_env} is not set; a service on another machine wants a key, or `key_env = \"\"` if it has none"
    )]
    NoKey { key_env: String },
    #[error("the endpoint `{endpoint}` is http://, which would show the key to the network; use https://")]
    PlainKey { endpoint: String },
    #[error("`speed` is not between 0.25 and 4")]
    Speed,
    #[error("`speed` is not known to Gemini; leave it out")]
    NoSpeed,
}

/// The part of an entry that all services have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) kind: Kind,
    pub(super) name: Option<&'a str>,
    pub(super) key_env: Option<&'a str>,
    pub(super) timeouts: &'a Timeouts,
    pub(super) deadlines: Deadlines,
}

/// Where requests go to.
#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) name: Arc<str>,
    pub(super) client: Client,
    pub(super) url: Url,
}

impl Entry<'_> {
    /// The service at `url`.
    pub(super) fn service(
        &self,
        url: Url,
        keys: impl Fn(&str) -> Option<Secret>,
        transport: &Transport,
    ) -> Result<Service, Error> {
        let key = key(self.key_env.unwrap_or_else(|| self.kind.key_env()), &url, keys)?;
        let credential = key.map(|key| self.kind.credential(&key)).transpose()?;
        let client = Client::new(transport, self.timeouts.over(self.deadlines), credential)?;
        Ok(Service { name: self.name.unwrap_or(self.kind.as_str()).into(), client, url })
    }
}

/// The key in the variable `key_env`, which may be shown to the service at `url`. Services on this machine need none.
pub(super) fn key(
    key_env: &str,
    url: &Url,
    keys: impl Fn(&str) -> Option<Secret>,
) -> Result<Option<Secret>, Error> {
    if key_env.is_empty() {
        return Ok(None);
    }
    let key = keys(key_env).filter(|key| !key.is_empty());
    match (&key, is_loopback(url)) {
        (None, false) => Err(Error::NoKey { key_env: VariableName(key_env).to_string() }),
        (Some(_), false) if url.scheme() != "https" => {
            Err(Error::PlainKey { endpoint: url.origin().ascii_serialization() })
        }
        (_, _) => Ok(key),
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A failure that a provider worded, fit to be logged.
pub(super) fn clean(body: &Body, mut failure: Failure) -> Failure {
    if let Failure::Reported { message }
    | Failure::Unreadable { message }
    | Failure::Limited { message, .. }
    | Failure::Blocked { reason: message } = &mut failure
    {
        *message = body.clean(message);
    }
    failure
}
