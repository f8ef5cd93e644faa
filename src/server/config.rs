//! `[server]` of the configuration.

use std::net::{Ipv4Addr, SocketAddr};

use serde::Deserialize;

/// The webhook to which the carrier posts an incoming call.
pub const VOICE_PATH: &str = "/twilio/voice";

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// Scheme and host under which the carrier reaches this server, `https://voice.example.com`.
    pub public_url: Option<String>,
}

impl Default for Config {
    /// This machine alone, for a tunnel or a proxy that terminates TLS; the public URL cannot be guessed.
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)), public_url: None }
    }
}
