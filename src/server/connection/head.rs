//! Whether a header section is one that every HTTP/1.1 server reads alike, and what follows it.
//!
//! Stricter than hyper's parser, which accepts bare line feeds, two `Host` fields and a `Content-Length` beside a
//! `Transfer-Encoding`: where a proxy in front reads such a request otherwise, one client's request becomes a part of
//! another's (RFC 9112, section 11.2).

use axum::http::{StatusCode, Uri};

/// The largest header section. Proxies pass on 16 KiB at most by default.
pub(super) const BYTES_MAX: usize = 24 * 1024;

/// Fields of a header section, hyper's own limit.
const FIELDS_MAX: usize = 100;

/// What follows a header section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes.
    Length(u64),
    Chunked,
}

/// Why the bytes of a client are no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error(
        "a TLS handshake on a port that speaks plain HTTP: let the proxy terminate TLS and forward http://"
    )]
    Tls,
    #[error("HTTP/2 without TLS is not supported: let the proxy speak HTTP/1.1 to this server")]
    Http2,
    #[error("the PROXY protocol is not supported: turn it off for this server in the proxy")]
    ProxyProtocol,
    #[error("a line of the header section ends in LF without CR")]
    BareLineFeed,
    #[error("the request line or a header field cannot be read")]
    Unreadable,
    #[error("the request target cannot be read")]
    Target,
    #[error("the HTTP version is not supported: send HTTP/1.1")]
    Version,
    #[error("the header section has more than {FIELDS_MAX} fields")]
    TooManyFields,
    #[error("the header section is larger than {BYTES_MAX} bytes")]
    TooLarge,
    #[error("the Host header is missing")]
    NoHost,
    #[error("there is more than one Host header")]
    ManyHosts,
    #[error("the Host header is not host[:port]")]
    Host,
    #[error("there is more than one Content-Length")]
    ManyLengths,
    #[error("the Content-Length is not a number")]
    Length,
    #[error("there is a Content-Length beside a Transfer-Encoding")]
    LengthAndCoding,
    #[error("the Transfer-Encoding is other than chunked, or not of HTTP/1.1")]
    Coding,
    #[error("the header section did not come in time")]
    Slow,
    #[error("too many requests are under way that have not come whole")]
    Evicted,
}

impl Malformed {
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::TooManyFields | Self::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Evicted => StatusCode::SERVICE_UNAVAILABLE,
            Self::Tls
            | Self::Http2
            | Self::ProxyProtocol
            | Self::BareLineFeed
            | Self::Unreadable
            | Self::Target
            | Self::NoHost
            | Self::ManyHosts
            | Self::Host
            | Self::ManyLengths
            | Self::Length
            | Self::LengthAndCoding
            | Self::Coding => StatusCode::BAD_REQUEST,
        }
    }

    /// Its name in log lines.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Tls => "tls_on_plain_port",
            Self::Http2 => "http2_on_plain_port",
            Self::ProxyProtocol => "proxy_protocol",
            Self::TooManyFields | Self::TooLarge => "headers_too_large",
            Self::Slow => "headers_too_slow",
            Self::Evicted => "busy",
            Self::Version => "version",
            Self::BareLineFeed
            | Self::Unreadable
            | Self::Target
            | Self::NoHost
            | Self::ManyHosts
            | Self::Host
            | Self::ManyLengths
            | Self::Length
            | Self::LengthAndCoding
            | Self::Coding => "malformed_request",
        }
    }
}

/// Looks for the end of a header section; goes on where it stopped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    /// Bytes that were looked at.
    seen: usize,
    /// Where the line begins in which `seen` is.
    line: usize,
}

impl Search {
    pub(super) const NEW: Self = Self { seen: 0, line: 0 };

    /// The length of the header section with which `bytes` begin, when it has come whole.
    pub(super) fn find(&mut self, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        if self.seen == 0 {
            foreign(bytes)?;
        }
        while let Some(offset) = bytes[self.seen..].iter().position(|byte| *byte == b'\n') {
            let end = self.seen + offset;
            if end == self.line || bytes[end - 1] != b'\r' {
                return Err(Malformed::BareLineFeed);
            }
            let is_empty = end - 1 == self.line;
            self.seen = end + 1;
            self.line = self.seen;
            if is_empty {
                return if self.seen > BYTES_MAX { Err(Malformed::TooLarge) } else { Ok(Some(self.seen)) };
            }
        }
        self.seen = bytes.len();
        if self.seen > BYTES_MAX { Err(Malformed::TooLarge) } else { Ok(None) }
    }
}

/// Protocols that proxies speak by mistake, known by their first bytes.
fn foreign(bytes: &[u8]) -> Result<(), Malformed> {
    /// A record of a handshake, TLS 1.x (RFC 8446, section 5.1).
    const TLS: &[u8] = &[0x16, 0x03];
    /// RFC 9113, section 3.4.
    const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n";
    /// HAProxy, "The PROXY protocol", section 2.1.
    const PROXY: &[u8] = b"PROXY ";
    let kinds = [(TLS, Malformed::Tls), (HTTP2, Malformed::Http2), (PROXY, Malformed::ProxyProtocol)];
    match kinds.into_iter().find(|(prefix, _)| bytes.starts_with(prefix)) {
        Some((_, malformed)) => Err(malformed),
        None => Ok(()),
    }
}

/// How many bytes of empty lines `bytes` begin with: some clients send one behind a body (RFC 9112, section 2.2).
pub(super) fn leading_lines(bytes: &[u8]) -> Result<usize, Malformed> {
    /// The signature of version 2 begins with empty lines (HAProxy, "The PROXY protocol", section 2.2).
    const PROXY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
    if bytes.len() > 4 && PROXY.starts_with(&bytes[..bytes.len().min(PROXY.len())]) {
        return Err(Malformed::ProxyProtocol);
    }
    Ok(bytes.chunks_exact(2).take_while(|pair| *pair == b"\r\n").count() * 2)
}

/// Checks a whole header section; what follows it.
pub(super) fn check(head: &[u8]) -> Result<Framing, Malformed> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(head) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err(Malformed::Unreadable),
        Err(httparse::Error::TooManyHeaders) => return Err(Malformed::TooManyFields),
        Err(httparse::Error::Version) => return Err(Malformed::Version),
        Err(_) => return Err(Malformed::Unreadable),
    }
    let is_http_11 = request.version == Some(1);
    let host = host(request.headers, is_http_11)?;
    target(request.path.unwrap_or_default(), host)?;
    framing(request.headers, is_http_11)
}

fn all<'a>(fields: &'a [httparse::Header<'a>], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
}

/// The only `Host` (RFC 9112, section 3.2).
fn host<'a>(fields: &'a [httparse::Header<'a>], is_http_11: bool) -> Result<Option<&'a str>, Malformed> {
    let mut hosts = all(fields, "host");
    match (hosts.next(), hosts.next()) {
        (Some(_), Some(_)) => Err(Malformed::ManyHosts),
        (None, _) if is_http_11 => Err(Malformed::NoHost),
        (None, _) => Ok(None),
        (Some(host), None) => {
            let host = str::from_utf8(host).ok().filter(|host| is_host(host));
            host.map(Some).ok_or(Malformed::Host)
        }
    }
}

/// `host[:port]`, without a user (RFC 3986, section 3.2.2). An underscore is in names that container tools give.
fn is_host(text: &str) -> bool {
    let (is_name_valid, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((address, port)) = rest.split_once(']') else { return false };
            (address.parse::<std::net::Ipv6Addr>().is_ok(), port)
        }
        None => {
            let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=%".contains(&byte);
            (!name.is_empty() && name.bytes().all(is_valid), port)
        }
    };
    let is_port = |port: &str| {
        port.is_empty() || (port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok())
    };
    is_name_valid && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

/// A path, `*`, or the absolute form that names the same host (RFC 9112, section 3.2.2).
fn target(target: &str, host: Option<&str>) -> Result<(), Malformed> {
    let uri: Uri = target.parse().map_err(|_| Malformed::Target)?;
    let is_http = uri.scheme_str().is_some_and(|scheme| matches!(scheme, "http" | "https"));
    match uri.authority() {
        None if target.starts_with('/') || target == "*" => Ok(()),
        Some(authority)
            if is_http
                && is_host(authority.as_str())
                && host.is_none_or(|host| host.eq_ignore_ascii_case(authority.as_str())) =>
        {
            Ok(())
        }
        // `CONNECT` asks for a proxy; a user name in a target is not for a server.
        None | Some(_) => Err(Malformed::Target),
    }
}

/// How long the body is (RFC 9112, section 6.3), where no two readers can differ about it.
fn framing(fields: &[httparse::Header<'_>], is_http_11: bool) -> Result<Framing, Malformed> {
    let (mut lengths, mut codings) = (all(fields, "content-length"), all(fields, "transfer-encoding"));
    let length = lengths.next();
    if lengths.next().is_some() {
        return Err(Malformed::ManyLengths);
    }
    match (length, codings.next()) {
        (Some(_), Some(_)) => Err(Malformed::LengthAndCoding),
        (None, None) => Ok(Framing::Length(0)),
        (None, Some(coding)) => {
            let is_chunked =
                is_http_11 && coding.eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
            if is_chunked { Ok(Framing::Chunked) } else { Err(Malformed::Coding) }
        }
        (Some(length), None) => {
            let digits = str::from_utf8(length)
                .ok()
                .filter(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
            digits.and_then(|digits| digits.parse().ok()).map(Framing::Length).ok_or(Malformed::Length)
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn read(text: &str) -> Result<Framing, Malformed> {
        let bytes = text.as_bytes();
        let mut search = Search::NEW;
        let length = search.find(bytes)?.expect("a whole header section");
        check(&bytes[..length])
    }

    #[rstest]
    #[case::no_body("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Framing::Length(0))]
    #[case::a_length("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 009\r\n\r\n", Framing::Length(9))]
    #[case::chunks("POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: Chunked\r\n\r\n", Framing::Chunked)]
    #[case::white_space("GET / HTTP/1.1\r\nHost: \t a:80 \t\r\n\r\n", Framing::Length(0))]
    #[case::the_old_version("GET / HTTP/1.0\r\n\r\n", Framing::Length(0))]
    #[case::an_address("GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", Framing::Length(0))]
    #[case::an_empty_port("GET / HTTP/1.1\r\nHost: voice.example.com:\r\n\r\n", Framing::Length(0))]
    #[case::a_name_of_a_container("GET / HTTP/1.1\r\nHost: patch_cord_1\r\n\r\n", Framing::Length(0))]
    #[case::absolute(
        "GET http://A.example:80/x?y HTTP/1.1\r\nHost: a.example:80\r\n\r\n",
        Framing::Length(0)
    )]
    #[case::of_the_server("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", Framing::Length(0))]
    fn a_request_is_read(#[case] text: &str, #[case] expected: Framing) {
        assert_eq!(read(text), Ok(expected));
    }

    #[rstest]
    #[case::two_hosts("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Malformed::ManyHosts)]
    #[case::no_host("GET / HTTP/1.1\r\nX: a\r\n\r\n", Malformed::NoHost)]
    #[case::an_empty_host("GET / HTTP/1.1\r\nHost:\r\n\r\n", Malformed::Host)]
    #[case::a_user("GET / HTTP/1.1\r\nHost: user@localhost\r\n\r\n", Malformed::Host)]
    #[case::two_in_one("GET / HTTP/1.1\r\nHost: localhost, evil\r\n\r\n", Malformed::Host)]
    #[case::a_path_in_the_host("GET / HTTP/1.1\r\nHost: localhost/x\r\n\r\n", Malformed::Host)]
    #[case::a_port_of_words("GET / HTTP/1.1\r\nHost: localhost:x\r\n\r\n", Malformed::Host)]
    #[case::a_port_too_high("GET / HTTP/1.1\r\nHost: localhost:65536\r\n\r\n", Malformed::Host)]
    #[case::no_address("GET / HTTP/1.1\r\nHost: [localhost]\r\n\r\n", Malformed::Host)]
    #[case::bytes("GET / HTTP/1.1\r\nHost: löcalhost\r\n\r\n", Malformed::Host)]
    #[case::a_user_in_the_target("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", Malformed::Target)]
    #[case::another_host("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", Malformed::Target)]
    #[case::a_tunnel("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", Malformed::Target)]
    #[case::a_bare_lf("GET / HTTP/1.1\nHost: a\n\n", Malformed::BareLineFeed)]
    #[case::one_bare_lf("GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", Malformed::BareLineFeed)]
    #[case::a_bare_lf_at_the_end("GET / HTTP/1.1\r\nHost: a\r\n\n", Malformed::BareLineFeed)]
    #[case::a_bare_cr("GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", Malformed::Unreadable)]
    #[case::a_folded_line("GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", Malformed::Unreadable)]
    #[case::a_space_before_the_colon("GET / HTTP/1.1\r\nHost : a\r\n\r\n", Malformed::Unreadable)]
    #[case::a_nul("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", Malformed::Unreadable)]
    #[case::two_lengths(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        Malformed::ManyLengths
    )]
    #[case::a_list_of_lengths(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n",
        Malformed::Length
    )]
    #[case::a_sign("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", Malformed::Length)]
    #[case::a_huge_length(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
        Malformed::Length
    )]
    #[case::both(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        Malformed::LengthAndCoding
    )]
    #[case::identity(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n",
        Malformed::Coding
    )]
    #[case::two_codings(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n",
        Malformed::Coding
    )]
    #[case::chunked_twice(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        Malformed::Coding
    )]
    #[case::a_hidden_coding(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \u{b}chunked\r\n\r\n",
        Malformed::Unreadable
    )]
    #[case::chunks_of_the_old_version(
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        Malformed::Coding
    )]
    #[case::http2("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Malformed::Http2)]
    #[case::http3("GET / HTTP/3.0\r\nHost: a\r\n\r\n", Malformed::Version)]
    #[case::tls("\u{16}\u{3}\u{1}\0\u{5}\u{1}", Malformed::Tls)]
    #[case::a_proxy_line("PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nGET / HTTP/1.1\r\n", Malformed::ProxyProtocol)]
    fn what_two_servers_could_read_differently_is_refused(#[case] text: &str, #[case] expected: Malformed) {
        assert_eq!(read(text), Err(expected));
    }

    #[test]
    fn the_header_section_is_bounded_in_bytes_and_fields() {
        let with = |fields: &str| read(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        let field = |bytes: usize| format!("X: {}\r\n", "x".repeat(bytes - "X: \r\n".len()));
        let room = BYTES_MAX - "GET / HTTP/1.1\r\nHost: a\r\n\r\n".len();
        assert_eq!(with(&field(room)), Ok(Framing::Length(0)));
        assert_eq!(with(&field(room + 1)), Err(Malformed::TooLarge));
        assert_eq!(with(&"X: y\r\n".repeat(FIELDS_MAX - 1)), Ok(Framing::Length(0)));
        assert_eq!(with(&"X: y\r\n".repeat(FIELDS_MAX)), Err(Malformed::TooManyFields));
        let mut search = Search::NEW;
        assert_eq!(search.find(&[b'x'; BYTES_MAX + 1]), Err(Malformed::TooLarge));
    }

    #[test]
    fn the_end_is_found_whatever_the_pieces() {
        let text = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET";
        for piece in 1..text.len() {
            let mut search = Search::NEW;
            let found = (piece..=text.len()).step_by(piece).chain([text.len()]);
            let found: Vec<_> = found.filter_map(|end| search.find(&text[..end]).unwrap()).take(1).collect();
            assert_eq!(found, [text.len() - 3], "pieces of {piece}");
        }
    }

    #[rstest]
    #[case(b"\r\nGET", 2)]
    #[case(b"\r\n\r\nGET", 4)]
    #[case(b"\r", 0)]
    #[case(b"GET\r\n", 0)]
    #[case(b"\n", 0)]
    fn empty_lines_before_a_request_are_skipped(#[case] bytes: &[u8], #[case] expected: usize) {
        assert_eq!(leading_lines(bytes), Ok(expected));
    }

    #[test]
    fn the_second_proxy_protocol_is_known_too() {
        assert_eq!(leading_lines(b"\r\n\r\n\0\r\nQUIT\n\x21\x11"), Err(Malformed::ProxyProtocol));
    }
}
