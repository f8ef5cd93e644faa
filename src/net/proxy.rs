//! Forward proxies of a company's network: which one a connection goes through, and the tunnel (`CONNECT`).
//!
//! The variables are those that curl, Go and the official clients of the services read: `HTTPS_PROXY`, `HTTP_PROXY`,
//! `ALL_PROXY` and `NO_PROXY`, in either case. Nothing here prints a password.

use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::secret::Secret;

/// The head of a proxy's answer; more is not one.
const HEAD_MAX: usize = 16 << 10;

/// The proxies of this process, as the environment has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For TLS.
    secure: Option<Proxy>,
    /// For everything else.
    plain: Option<Proxy>,
    bypass: Bypass,
    faults: Vec<Fault>,
}

/// A variable that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("{scheme}:// proxies are not supported; name an http:// or https:// one")]
    Scheme { variable: &'static str, scheme: String },
    #[error("it is not the URL of a proxy, such as http://proxy.example.com:3128")]
    Url { variable: &'static str },
}

impl Fault {
    pub const fn variable(&self) -> &'static str {
        match self {
            Self::Scheme { variable, .. } | Self::Url { variable } => variable,
        }
    }
}

/// One proxy. Displayed without its credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// TLS to the proxy itself.
    pub is_tls: bool,
    /// Without the brackets of an IPv6 address.
    pub host: String,
    pub port: u16,
    url: Secret,
    /// The value of `Proxy-Authorization`.
    authorization: Option<Secret>,
}

/// Why a proxy opens no tunnel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the proxy {proxy} wants credentials, or other ones (HTTP 407): put user:password@ into its URL")]
    Credentials { proxy: String },
    #[error("the proxy {proxy} refused the connection to {target} with HTTP {status}")]
    Refused { proxy: String, target: String, status: u16 },
    #[error("the proxy {proxy} answered with something that is not HTTP")]
    NotHttp { proxy: String },
    #[error("the proxy {proxy} closed the connection: {reason}")]
    Broken { proxy: String, reason: String },
}

impl Proxies {
    /// Reads the variables; what cannot be used is among the [`Proxies::faults`].
    pub fn from_env(env: &impl Fn(&str) -> Option<String>) -> Self {
        let mut faults = Vec::new();
        let mut of = |names: [&'static str; 4]| {
            let set =
                |name: &&'static str| Some((*name, env(name).filter(|value| !value.trim().is_empty())?));
            // One that cannot be used is told, and the next that is set takes its place.
            names.iter().filter_map(set).find_map(|(variable, value)| {
                Proxy::parse(value.trim(), variable).map_err(|fault| faults.push(fault)).ok()
            })
        };
        let secure = of(["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]);
        let plain = of(["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]);
        faults.dedup();
        let bypass = ["no_proxy", "NO_PROXY"].iter().find_map(|name| env(name)).unwrap_or_default();
        Self { secure, plain, bypass: Bypass::parse(&bypass), faults }
    }

    /// The proxy on the way to a host. This machine is never reached through one.
    pub fn of(&self, is_tls: bool, host: &str, port: u16) -> Option<&Proxy> {
        let proxy = if is_tls { &self.secure } else { &self.plain };
        proxy.as_ref().filter(|_| !is_loopback(host) && !self.bypass.covers(host, port))
    }

    /// The same for a URL, which may be one of a WebSocket.
    pub fn of_url(&self, url: &Url) -> Option<&Proxy> {
        let is_tls = matches!(url.scheme(), "https" | "wss");
        self.of(is_tls, url.host_str()?, url.port().unwrap_or(if is_tls { 443 } else { 80 }))
    }

    /// Variables that are set and cannot be used.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Whether any proxy is set.
    pub const fn is_empty(&self) -> bool {
        self.secure.is_none() && self.plain.is_none()
    }

    /// The proxies that are set.
    pub fn iter(&self) -> impl Iterator<Item = &Proxy> {
        [&self.secure, &self.plain].into_iter().flatten()
    }
}

impl Proxy {
    fn parse(value: &str, variable: &'static str) -> Result<Self, Fault> {
        // Without a scheme it is http, as for curl.
        let text = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
        let url = Url::parse(&text).map_err(|_| Fault::Url { variable })?;
        let is_tls = match url.scheme() {
            "http" => false,
            "https" => true,
            scheme => return Err(Fault::Scheme { variable, scheme: scheme.to_owned() }),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(Fault::Url { variable })?;
        let user = percent_decoded(url.username());
        let password = url.password().map(percent_decoded);
        let authorization = (!user.is_empty() || password.is_some()).then(|| {
            let pair = format!("{user}:{}", password.unwrap_or_default());
            Secret::new(format!("Basic {}", STANDARD.encode(pair)))
        });
        Ok(Self {
            is_tls,
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port_or_known_default().unwrap_or(80),
            url: Secret::new(url.to_string()),
            authorization,
        })
    }

    /// With its credentials, for an HTTP client.
    pub const fn url(&self) -> &Secret {
        &self.url
    }

    /// Opens a tunnel to the target on a connection to the proxy. `host` is as in a URL.
    pub(super) async fn tunnel<S>(&self, stream: &mut S, host: &str, port: u16) -> Result<(), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let target = format!("{host}:{port}");
        let mut head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: patchcord\r\n");
        if let Some(authorization) = &self.authorization {
            head += &format!("Proxy-Authorization: {}\r\n", authorization.expose());
        }
        head += "\r\n";
        let broken =
            |error: std::io::Error| Error::Broken { proxy: self.to_string(), reason: error.to_string() };
        stream.write_all(head.as_bytes()).await.map_err(broken)?;
        stream.flush().await.map_err(broken)?;
        let head = read_head(stream).await.map_err(broken)?;
        match status(&head) {
            Some(200..=299) => Ok(()),
            Some(407) => Err(Error::Credentials { proxy: self.to_string() }),
            Some(status) => Err(Error::Refused { proxy: self.to_string(), target, status }),
            None => Err(Error::NotHttp { proxy: self.to_string() }),
        }
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        let credentials = if self.authorization.is_some() { "***@" } else { "" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://{credentials}[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{credentials}{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The head of the answer, up to its empty line; not a byte more, because the tunnel begins behind it.
async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && !head.ends_with(b"\n\n") {
        if head.len() == HEAD_MAX {
            return Ok(Vec::new());
        }
        head.push(stream.read_u8().await?);
    }
    Ok(head)
}

/// The status of an HTTP/1 answer.
fn status(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\n').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split_whitespace();
    words.next().filter(|version| version.starts_with("HTTP/"))?;
    words.next()?.parse().ok()
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escaped = (*first == b'%').then(|| tail.get(..2)).flatten();
        let escaped = escaped.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']).trim_end_matches('.');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// `NO_PROXY`: hosts that are reached directly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Bypass {
    is_all: bool,
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    host: Host,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    /// A name, and every name below it.
    Name(String),
    /// Only names below it.
    Below(String),
    /// A block of addresses, by the length of its prefix.
    Block(IpAddr, u8),
}

impl Bypass {
    fn parse(text: &str) -> Self {
        let entries = text.split([',', ' ', ';']).map(str::trim).filter(|entry| !entry.is_empty());
        let (all, rules): (Vec<_>, Vec<_>) = entries.partition(|entry| *entry == "*");
        Self { is_all: !all.is_empty(), rules: rules.into_iter().map(Rule::parse).collect() }
    }

    fn covers(&self, host: &str, port: u16) -> bool {
        self.is_all || self.rules.iter().any(|rule| rule.covers(host, port))
    }
}

impl Rule {
    fn parse(entry: &str) -> Self {
        let (host, port) = match split_port(entry) {
            Some((host, port)) => (host, Some(port)),
            None => (entry, None),
        };
        let bare = host.trim_matches(['[', ']']);
        let block = match bare.split_once('/') {
            Some((address, bits)) => address.trim_matches(['[', ']']).parse().ok().zip(bits.parse().ok()),
            None => {
                bare.parse::<IpAddr>().ok().map(|address| (address, if address.is_ipv4() { 32 } else { 128 }))
            }
        };
        let name = bare.trim_end_matches('.').to_ascii_lowercase();
        let host = match (block, name.strip_prefix("*."), name.strip_prefix('.')) {
            (Some((address, bits)), ..) => Host::Block(address, bits),
            (None, Some(parent), _) => Host::Below(parent.to_owned()),
            (None, None, Some(parent)) => Host::Name(parent.to_owned()),
            (None, None, None) => Host::Name(name),
        };
        Self { host, port }
    }

    fn covers(&self, host: &str, port: u16) -> bool {
        let host = host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
        let below = |parent: &str| host.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'));
        let is_host = match &self.host {
            Host::Name(name) => host == *name || below(name),
            Host::Below(parent) => below(parent),
            Host::Block(block, bits) => host.parse().is_ok_and(|address| is_in(address, *block, *bits)),
        };
        is_host && self.port.is_none_or(|only| only == port)
    }
}

/// `host:port`, unless the colon is one of an IPv6 address.
fn split_port(entry: &str) -> Option<(&str, u16)> {
    let (host, port) = entry.rsplit_once(':')?;
    let is_address = host.contains(':') && !host.ends_with(']');
    if is_address { None } else { Some((host, port.parse().ok()?)) }
}

fn is_in(address: IpAddr, block: IpAddr, bits: u8) -> bool {
    let same = |one: u128, other: u128, width: u32| {
        let shift = width.saturating_sub(u32::from(bits));
        shift >= width || one >> shift == other >> shift
    };
    match (address, block) {
        (IpAddr::V4(one), IpAddr::V4(other)) => same(one.to_bits().into(), other.to_bits().into(), 32),
        (IpAddr::V6(one), IpAddr::V6(other)) => same(one.to_bits(), other.to_bits(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

#[cfg(test)]
mod tests;
