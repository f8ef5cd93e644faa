//! Scheme and host of a peer, and nothing else: paths are the program's own.

use std::net::IpAddr;

/// A URL without path, query and fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin<'a> {
    host: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("is not {secure}://")]
    Scheme { secure: &'static str },
    #[error("is {plain}://, which is allowed for this machine only")]
    Plain { plain: &'static str },
    #[error("names no host")]
    Host,
    #[error("has a port that is no port")]
    Port,
    #[error("contains a user name")]
    User,
    #[error("ends with a slash")]
    Slash,
    #[error("has a path")]
    Path,
    #[error("has a query or fragment")]
    Query,
}

impl<'a> Origin<'a> {
    /// `plain` is the scheme without TLS, accepted for a loopback host.
    pub(super) fn parse(url: &'a str, secure: &'static str, plain: &'static str) -> Result<Self, Fault> {
        let (scheme, rest) = url.split_once("://").ok_or(Fault::Scheme { secure })?;
        if scheme != secure && scheme != plain {
            return Err(Fault::Scheme { secure });
        }
        let authority = authority(rest)?;
        let origin = Self { host: host(authority)? };
        if scheme == plain && !origin.is_loopback() {
            return Err(Fault::Plain { plain });
        }
        Ok(origin)
    }

    /// The origin of a URL that may go on behind it.
    pub(super) fn of(url: &'a str, secure: &'static str, plain: &'static str) -> Result<Self, Fault> {
        let begin = url.find("://").map_or(0, |scheme| scheme + 3);
        let end = url[begin..].find(['/', '?', '#']).map_or(url.len(), |path| begin + path);
        Self::parse(&url[..end], secure, plain)
    }

    pub(super) fn is_loopback(&self) -> bool {
        let address = self.host.trim_start_matches('[').trim_end_matches(']');
        self.host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

fn authority(rest: &str) -> Result<&str, Fault> {
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    match tail {
        "" if authority.contains('@') => Err(Fault::User),
        "" => Ok(authority),
        "/" => Err(Fault::Slash),
        tail if tail.contains(['?', '#']) => Err(Fault::Query),
        _ => Err(Fault::Path),
    }
}

fn host(authority: &str) -> Result<&str, Fault> {
    let end_of_address = authority.rfind(']').map_or(0, |bracket| bracket + 1);
    let (host, port) = match authority[end_of_address..].rfind(':') {
        Some(colon) => (&authority[..end_of_address + colon], Some(&authority[end_of_address + colon + 1..])),
        None => (authority, None),
    };
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err(Fault::Port);
    }
    let is_address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_valid = match is_address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))
        }
    };
    if is_valid { Ok(host) } else { Err(Fault::Host) }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://voice.example.com", Ok(()))]
    #[case("https://voice.example.com:8443", Ok(()))]
    #[case("http://127.0.0.1:8080", Ok(()))]
    #[case("http://localhost", Ok(()))]
    #[case("http://[::1]:8080", Ok(()))]
    #[case("http://voice.example.com", Err(Fault::Plain { plain: "http" }))]
    #[case("http://10.0.0.1", Err(Fault::Plain { plain: "http" }))]
    #[case("http://localhost.example.com", Err(Fault::Plain { plain: "http" }))]
    #[case("voice.example.com", Err(Fault::Scheme { secure: "https" }))]
    #[case("wss://voice.example.com", Err(Fault::Scheme { secure: "https" }))]
    #[case("HTTPS://voice.example.com", Err(Fault::Scheme { secure: "https" }))]
    #[case("https://voice.example.com/", Err(Fault::Slash))]
    #[case("https://voice.example.com/twilio", Err(Fault::Path))]
    #[case("https://voice.example.com/?a=b", Err(Fault::Query))]
    #[case("https://voice.example.com?key=1", Err(Fault::Query))]
    #[case("https://voice.example.com#top", Err(Fault::Query))]
    #[case("https://user:word@voice.example.com", Err(Fault::User))]
    #[case("https://", Err(Fault::Host))]
    #[case("https://voice example.com", Err(Fault::Host))]
    #[case("https://:8080", Err(Fault::Host))]
    #[case("https://[::1", Err(Fault::Host))]
    #[case("https://[zz]", Err(Fault::Host))]
    #[case("https://voice.example.com:http", Err(Fault::Port))]
    #[case("https://voice.example.com:99999", Err(Fault::Port))]
    fn an_origin_is_scheme_and_host_alone(#[case] url: &str, #[case] result: Result<(), Fault>) {
        assert_eq!(Origin::parse(url, "https", "http").map(|_| ()), result);
    }

    #[rstest]
    #[case("https://b.example.com/twilio/voice?from=a#ct=2000", Ok("b.example.com"))]
    #[case("https://b.example.com", Ok("b.example.com"))]
    #[case("http://127.0.0.1:1/a", Ok("127.0.0.1"))]
    #[case("http://b.example.com/a", Err(Fault::Plain { plain: "http" }))]
    #[case("/twilio/voice", Err(Fault::Scheme { secure: "https" }))]
    #[case("https:///voice", Err(Fault::Host))]
    fn a_url_has_an_origin(#[case] url: &str, #[case] host: Result<&str, Fault>) {
        assert_eq!(Origin::of(url, "https", "http").map(|origin| origin.host), host);
    }
}
