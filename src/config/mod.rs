//! The only reader of files and environment: gathers each module's own settings and says what is wrong.
//!
//! Settings come from one TOML file, secrets from the environment alone. [`Config::load`] fails on what cannot be
//! read at all; [`Config::validate`] lists everything else at once.

mod clips;
mod error;
mod text;
mod validate;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use rustls_pki_types::CertificateDer;
use serde::Deserialize;

pub use self::error::Error;
use crate::call::agent::Agent;
use crate::machine::file;
use crate::net::proxy::Proxies;
use crate::net::trust;
use crate::secret::Secret;
use crate::{provider, server, store};

/// Everything that can be set.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub server: server::Config,
    pub admin: server::admin::Config,
    pub limits: server::limits::Config,
    pub store: store::Config,
    pub recordings: store::recordings::Config,
    /// Where the inputs of calls are kept whose agents say so.
    pub captures: store::captures::Config,
    pub live: provider::gemini::Config,
    /// Who answers when no live session can be had.
    pub fallback: provider::Config,
    pub http: provider::http::Config,
    pub twilio: Twilio,
    /// Who answers; one for every number if the file names none.
    pub agents: Vec<Agent>,
    #[serde(skip)]
    pub secrets: Secrets,
    /// Of the environment.
    #[serde(skip)]
    pub proxies: Proxies,
    /// The file it was read from; `None`: there is none, and everything has its default.
    #[serde(skip)]
    pub file: Option<PathBuf>,
    /// Recordings of agents that cannot be played.
    #[serde(skip)]
    pub clip_faults: Vec<Finding>,
}

/// `[twilio]` of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Twilio {
    /// Webhooks of other accounts are refused; `None`: any account that has the token.
    pub account_sid: Option<String>,
}

/// What only the environment may hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets {
    /// `GEMINI_API_KEY`
    pub gemini_api_key: Option<Secret>,
    /// `VERTEX_API_KEY`: of Vertex AI in express mode.
    pub vertex_api_key: Option<Secret>,
    /// `TWILIO_AUTH_TOKEN`
    pub twilio_auth_token: Option<Secret>,
    /// `TWILIO_AUTH_TOKEN_SECONDARY`: the other token while they are rotated.
    pub twilio_auth_token_secondary: Option<Secret>,
    /// `DATABASE_URL`: the Postgres of the call log; it has a password in it.
    pub database_url: Option<Secret>,
    /// `PATCHCORD_API_TOKEN`: of the HTTP API.
    pub api_token: Option<Secret>,
    /// Keys of the fallback's providers, by the variable that holds them.
    pub providers: BTreeMap<String, Secret>,
}

/// Something about the configuration that a person should change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    /// `agents[1].voice`, or the name of an environment variable.
    pub key: String,
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The server does not start with it.
    Error,
    /// The server starts; somebody will be surprised.
    Warning,
}

/// Where the cure belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    File(PathBuf),
    /// The default file, which does not exist.
    NoFile,
    Environment,
}

/// Read from the working directory if nobody names another.
const DEFAULT_FILE: &str = "patchcord.toml";

/// Names the file, unless the command line does.
const FILE_VARIABLE: &str = "PATCHCORD_CONFIG";

const GEMINI_API_KEY: &str = "GEMINI_API_KEY";
const VERTEX_API_KEY: &str = "VERTEX_API_KEY";
const TWILIO_AUTH_TOKEN: &str = "TWILIO_AUTH_TOKEN";
const TWILIO_AUTH_TOKEN_SECONDARY: &str = "TWILIO_AUTH_TOKEN_SECONDARY";
pub(crate) const DATABASE_URL: &str = "DATABASE_URL";
const API_TOKEN: &str = "PATCHCORD_API_TOKEN";

/// Names the key file of a service account, as for every client of Google Cloud.
const GOOGLE_CREDENTIALS: &str = "GOOGLE_APPLICATION_CREDENTIALS";

/// The environment of this process, for [`Config::load`].
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The certificates in the PEM file at `path`, one at least; or what is wrong with the file, without its name.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    trust::read(&file::read(path).map_err(|fault| fault.to_string())?)
}

impl Config {
    /// Reads the file at `path`, or else the one `PATCHCORD_CONFIG` names, or else `patchcord.toml` if it exists;
    /// and the secrets from `env`.
    pub fn load(path: Option<&Path>, env: &impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let named = path.map(Path::to_owned).or_else(|| variable(env, FILE_VARIABLE).map(PathBuf::from));
        let file = named.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
        let mut config = match file::read_text(&file) {
            Ok(text) => Self::parse(&text, &file)?,
            Err(fault) if fault.is_missing() && named.is_none() => Self::default(),
            Err(source) => return Err(Error::Unreadable { path: file, source }),
        };
        config.secrets = Secrets::load(env, &config.fallback);
        config.proxies = Proxies::from_env(env);
        config.live.default_credentials = variable(env, GOOGLE_CREDENTIALS).map(PathBuf::from);
        config.complete();
        Ok(config)
    }

    /// Where the call log is asked: in Postgres if there is one.
    pub fn log(&self) -> store::query::Source {
        match &self.secrets.database_url {
            Some(url) => store::query::Source::Postgres(url.clone()),
            None => store::query::Source::Sqlite(self.store.path.clone()),
        }
    }

    /// Reads the text of a file; `file` is where it came from.
    fn parse(text: &str, file: &Path) -> Result<Self, Error> {
        let mut config = text::parse(text).map_err(|problem| problem.at(file))?;
        let clip_faults = clips::read(text, file, &mut config.agents);
        Ok(Self { file: Some(file.to_owned()), clip_faults, ..config })
    }

    /// What the file means but cannot say: no agents is one agent.
    fn complete(&mut self) {
        if self.agents.is_empty() {
            self.agents.push(Agent::default());
        }
    }

    /// Everything that is wrong or doubtful, in the order of the file, the environment last.
    pub fn validate(&self) -> Vec<Finding> {
        validate::findings(self)
    }
}

impl Secrets {
    fn load(env: &impl Fn(&str) -> Option<String>, fallback: &provider::Config) -> Self {
        let secret = |name| variable(env, name).map(Secret::new);
        Self {
            gemini_api_key: secret(GEMINI_API_KEY),
            vertex_api_key: secret(VERTEX_API_KEY),
            twilio_auth_token: secret(TWILIO_AUTH_TOKEN),
            twilio_auth_token_secondary: secret(TWILIO_AUTH_TOKEN_SECONDARY),
            database_url: secret(DATABASE_URL),
            api_token: secret(API_TOKEN),
            providers: fallback
                .key_names()
                .filter_map(|name| Some((name.to_owned(), secret(name)?)))
                .collect(),
        }
    }
}

/// A variable that is set to something; `.env` files often leave names with nothing behind them.
fn variable(env: &impl Fn(&str) -> Option<String>, name: &str) -> Option<String> {
    env(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { severity, key, place, message, remedy } = self;
        write!(f, "{severity}: {key} ({place}): {message}; {remedy}")
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::NoFile => write!(f, "no {DEFAULT_FILE}"),
            Self::Environment => f.write_str("environment"),
        }
    }
}

#[cfg(test)]
mod tests;
