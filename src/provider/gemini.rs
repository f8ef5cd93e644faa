//! The Gemini Live API: where it is. Knows nothing of its messages.

use serde::Deserialize;

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
