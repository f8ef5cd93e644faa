//! `[admin]` of the configuration: the listener that is not the carrier's.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer};
use tokio::net::TcpListener;

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub listen: Listen,
    /// Names besides those of this machine under which the API is asked, without a port. A page that makes a browser ask
    /// under a name of its own is refused.
    pub hosts: Vec<String>,
}

/// Where the API listens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listen {
    /// At [`Listen::DEFAULT`], if nothing else listens there.
    #[default]
    Default,
    Address(SocketAddr),
    Off,
}

impl Listen {
    pub const DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8081);

    pub fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Default => Some(Self::DEFAULT),
            Self::Address(address) => Some(address),
            Self::Off => None,
        }
    }

    /// Listens. Calls do not depend on it: where the default is taken, a warning says so.
    pub async fn bind(self) -> io::Result<Option<TcpListener>> {
        let Some(address) = self.address() else { return Ok(None) };
        match (TcpListener::bind(address).await, self) {
            (Ok(listener), _) => Ok(Some(listener)),
            (Err(error), Self::Default) => {
                tracing::warn!(%address, %error, "the API does not listen: set admin.listen to another address, or to \"off\"");
                Ok(None)
            }
            (Err(error), Self::Address(_) | Self::Off) => Err(error),
        }
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "" | "off" => Ok(Self::Off),
            address => address.parse().map(Self::Address).map_err(|_| {
                D::Error::invalid_value(Unexpected::Str(address), &"an address and a port, or \"off\"")
            }),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address() {
            Some(address) => address.fmt(f),
            None => f.write_str("off"),
        }
    }
}

/// Who can reach an address.
pub fn reach(address: SocketAddr) -> &'static str {
    let ip = address.ip().to_canonical();
    if ip.is_loopback() {
        "this machine alone"
    } else if ip.is_unspecified() {
        "every network of this machine"
    } else {
        "the network of this address"
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("", Some(Listen::Default))]
    #[case("listen = \"127.0.0.1:9\"", Some(Listen::Address("127.0.0.1:9".parse().unwrap())))]
    #[case("listen = \"[::1]:8081\"", Some(Listen::Address("[::1]:8081".parse().unwrap())))]
    #[case("listen = \"\"", Some(Listen::Off))]
    #[case("listen = \"off\"", Some(Listen::Off))]
    #[case("listen = \"8081\"", None)]
    #[case("listen = \"localhost:8081\"", None)]
    #[case("listen = false", None)]
    fn the_address_is_read_strictly(#[case] text: &str, #[case] expected: Option<Listen>) {
        assert_eq!(toml::from_str::<Config>(text).ok().map(|config| config.listen), expected);
    }

    #[rstest]
    #[case("127.0.0.1:1", "this machine alone")]
    #[case("[::1]:1", "this machine alone")]
    #[case("[::ffff:127.0.0.1]:1", "this machine alone")]
    #[case("0.0.0.0:1", "every network of this machine")]
    #[case("[::]:1", "every network of this machine")]
    #[case("10.0.0.1:1", "the network of this address")]
    fn who_can_reach_it_is_said(#[case] address: &str, #[case] expected: &str) {
        assert_eq!(reach(address.parse().unwrap()), expected);
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_an_error() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        assert!(Listen::Address(taken.local_addr().unwrap()).bind().await.is_err());
        assert!(Listen::Off.bind().await.unwrap().is_none());
    }
}
