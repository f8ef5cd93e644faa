//! Who may ask, and which pages may write.
//!
//! With a token, who has it. Without one, direct connections of this machine, and at the API's own listener alone. That
//! listener is asked under names that are allowed: a page elsewhere can make its own name lead here (DNS rebinding). A
//! browser sends what any page tells it to, so that what writes has to come from a page of this server, or from none.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{self, Request};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use subtle::ConstantTimeEq as _;

use super::Api;
use super::problem::Problem;
use crate::secret::Secret;
use crate::server::State;

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Peer(pub(in crate::server) SocketAddr);

/// By which listener a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Entry {
    Carrier,
    Admin,
}

/// What a proxy adds (RFC 7239, RFC 9110 section 7.6.3, and what came before them): the peer is not who asks.
const FORWARDED: [&str; 7] = [
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "cf-connecting-ip",
];

pub(super) async fn check(
    extract::State((state, entry)): extract::State<(Arc<State>, Entry)>,
    request: Request,
    next: Next,
) -> Response {
    let Some(api) = state.api() else { return Problem::no_log().into_response() };
    match judge(api, entry, state.public_authority(), &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn judge(api: &Api, entry: Entry, public: Option<&str>, request: &Request) -> Result<(), Problem> {
    let headers = request.headers();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    if entry == Entry::Admin && !host.as_ref().is_some_and(|host| is_allowed(api, host)) {
        return Err(Problem::foreign_host());
    }
    match &api.token {
        Some(token) if !has_token(headers, token) => return Err(Problem::unauthorised()),
        None if entry == Entry::Carrier || !is_direct(request) => return Err(Problem::foreign()),
        Some(_) | None => {}
    }
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let is_own = || {
        comes_from_own_page(headers, |origin| {
            is_same(origin, host.as_ref().map(Authority::as_str))
                || is_same(origin, public)
                || api.has_host(name(origin))
        })
    };
    if is_read || is_own() { Ok(()) } else { Err(Problem::foreign_origin()) }
}

/// A name of this machine, or one that was configured. An address cannot be made to lead elsewhere, but without a token
/// only those of this machine are asked.
fn is_allowed(api: &Api, host: &Authority) -> bool {
    let name = name(host);
    match name.parse::<IpAddr>() {
        Ok(address) => api.token.is_some() || address.to_canonical().is_loopback() || api.has_host(name),
        Err(_) => name.eq_ignore_ascii_case("localhost") || api.has_host(name),
    }
}

/// The host without port and brackets.
fn name(host: &Authority) -> &str {
    host.host().trim_start_matches('[').trim_end_matches(']')
}

/// What browsers say of where a request comes from (Fetch, sections 3.1 and 3.7); programs say nothing.
fn comes_from_own_page(headers: &HeaderMap, is_own: impl Fn(&Authority) -> bool) -> bool {
    let is_site_own = |site: &[u8]| matches!(site, b"same-origin" | b"none");
    let mut sites = headers.get_all("sec-fetch-site").iter();
    let mut origins = headers.get_all(header::ORIGIN).iter();
    sites.all(|site| is_site_own(site.as_bytes()))
        && origins.all(|origin| {
            let origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
            let is_web = |origin: &Uri| matches!(origin.scheme_str(), Some("http" | "https"));
            origin.filter(is_web).and_then(|origin| origin.authority().map(&is_own)).unwrap_or_default()
        })
}

/// Whether both are the same host and port; those of the schemes may be left out.
fn is_same(origin: &Authority, other: Option<&str>) -> bool {
    let port =
        |text: &str| text.strip_suffix(":443").or_else(|| text.strip_suffix(":80")).unwrap_or(text).len();
    let bare = |text: &str| text[..port(text)].to_ascii_lowercase();
    other.is_some_and(|other| bare(origin.as_str()) == bare(other))
}

/// A connection of this machine that nobody forwarded.
fn is_direct(request: &Request) -> bool {
    let peer = request.extensions().get::<Peer>();
    let is_near = peer.is_some_and(|Peer(peer)| peer.ip().to_canonical().is_loopback());
    is_near && !FORWARDED.iter().any(|name| request.headers().contains_key(*name))
}

/// `Authorization: Bearer <token>` (RFC 6750, section 2.1).
fn has_token(headers: &HeaderMap, token: &Secret) -> bool {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let value = value.as_bytes();
    let (scheme, rest) = value.split_at(value.len().min(SCHEME.len()));
    scheme.eq_ignore_ascii_case(SCHEME) && rest.trim_ascii().ct_eq(token.expose().as_bytes()).into()
}

const SCHEME: &[u8] = b"Bearer ";

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use rstest::rstest;

    use super::*;

    type Headers = &'static [(&'static str, &'static str)];

    fn request(method: &str, peer: &str, headers: &[(&str, &str)]) -> Request {
        let mut request = Request::builder().method(method).uri("/api/v1/calls");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().insert(Peer(peer.parse().unwrap()));
        request
    }

    fn api(token: Option<&str>) -> Api {
        let log = crate::store::query::Query::lazy(std::path::Path::new("nowhere.db")).unwrap();
        Api::new(log, token.map(Secret::new)).asked_as(vec!["console.example.com".to_owned()])
    }

    const PUBLIC: Option<&str> = Some("voice.example.com");

    #[rstest]
    #[case("127.0.0.1:9", &[("host", "127.0.0.1:8081")], true)]
    #[case("127.9.9.9:9", &[("host", "localhost:8081")], true)]
    #[case("[::1]:9", &[("host", "[::1]:8081")], true)]
    #[case("[::ffff:127.0.0.1]:9", &[("host", "LOCALHOST")], true)]
    #[case("127.0.0.1:9", &[("host", "Console.example.com:443")], true)]
    #[case("10.0.0.1:9", &[("host", "localhost")], false)]
    #[case("[::ffff:10.0.0.1]:9", &[("host", "localhost")], false)]
    #[case("127.0.0.1:9", &[], false)]
    #[case("127.0.0.1:9", &[("host", "evil.example")], false)]
    #[case("127.0.0.1:9", &[("host", "10.0.0.1:8081")], false)]
    #[case("127.0.0.1:9", &[("host", "0.0.0.0:8081")], false)]
    #[case("127.0.0.1:9", &[("host", "localhost.evil.example")], false)]
    #[case("127.0.0.1:9", &[("host", "127.0.0.1.evil.example")], false)]
    #[case("127.0.0.1:9", &[("host", "voice.example.com")], false)]
    #[case("127.0.0.1:9", &[("host", "localhost"), ("x-forwarded-for", "10.0.0.1")], false)]
    #[case("127.0.0.1:9", &[("host", "localhost"), ("forwarded", "for=10.0.0.1")], false)]
    #[case("127.0.0.1:9", &[("host", "localhost"), ("via", "1.1 proxy")], false)]
    #[tokio::test]
    async fn without_a_token_only_this_machine_is_answered(
        #[case] peer: &str,
        #[case] headers: Headers,
        #[case] is_answered: bool,
    ) {
        let request = request("GET", peer, headers);
        assert_eq!(judge(&api(None), Entry::Admin, PUBLIC, &request).is_ok(), is_answered);
        assert!(
            judge(&api(None), Entry::Carrier, PUBLIC, &request).is_err(),
            "never where the carrier comes in"
        );
    }

    #[rstest]
    #[case("localhost:8081", true, true)]
    #[case("10.0.0.1:8081", true, true)]
    #[case("[2001:db8::1]:8081", true, true)]
    #[case("console.example.com", true, true)]
    #[case("voice.example.com", false, true)]
    #[case("evil.example:8081", false, true)]
    #[tokio::test]
    async fn with_a_token_names_are_allowed_at_the_listener_of_the_api(
        #[case] host: &str,
        #[case] at_admin: bool,
        #[case] at_carrier: bool,
    ) {
        let request = request("GET", "10.0.0.1:9", &[("host", host), ("authorization", "Bearer s3cret")]);
        assert_eq!(judge(&api(Some("s3cret")), Entry::Admin, PUBLIC, &request).is_ok(), at_admin);
        assert_eq!(judge(&api(Some("s3cret")), Entry::Carrier, PUBLIC, &request).is_ok(), at_carrier);
    }

    #[rstest]
    #[case::a_program("localhost:8081", &[], true)]
    #[case::an_own_page("localhost:8081", &[("origin", "http://localhost:8081"), ("sec-fetch-site", "same-origin")], true)]
    #[case::typed_in("localhost:8081", &[("sec-fetch-site", "none")], true)]
    #[case::an_own_page_behind_tls("console.example.com", &[("origin", "https://console.example.com")], true)]
    #[case::a_proxy_that_changes_the_host("127.0.0.1:8081", &[("origin", "https://console.example.com")], true)]
    #[case::the_public_name("127.0.0.1:8081", &[("origin", "https://voice.example.com")], true)]
    #[case::the_port_is_that_of_the_scheme("localhost", &[("origin", "http://LOCALHOST:80")], true)]
    #[case::a_foreign_page("localhost:8081", &[("origin", "https://evil.example")], false)]
    #[case::a_foreign_page_in_its_own_words("localhost:8081", &[("sec-fetch-site", "cross-site")], false)]
    #[case::a_page_of_a_neighbour("localhost:8081", &[("sec-fetch-site", "same-site")], false)]
    #[case::another_port("localhost:8081", &[("origin", "http://localhost:3000")], false)]
    #[case::a_sandbox("localhost:8081", &[("origin", "null")], false)]
    #[case::a_file("localhost:8081", &[("origin", "file://")], false)]
    #[case::an_extension("localhost:8081", &[("origin", "chrome-extension://localhost:8081")], false)]
    #[case::a_name_that_begins_so("localhost:8081", &[("origin", "http://localhost:8081.evil.example")], false)]
    #[case::two_origins("localhost:8081", &[("origin", "http://localhost:8081"), ("origin", "https://evil.example")], false)]
    #[tokio::test]
    async fn what_writes_comes_from_no_foreign_page(
        #[case] host: &'static str,
        #[case] headers: Headers,
        #[case] is_answered: bool,
    ) {
        let token = ("authorization", "Bearer s3cret");
        let all = [&[("host", host), token], headers].concat();
        for method in ["POST", "PUT", "PATCH", "DELETE", "PROPFIND"] {
            let request = request(method, "127.0.0.1:9", &all);
            for api in [api(None), api(Some("s3cret"))] {
                assert_eq!(judge(&api, Entry::Admin, PUBLIC, &request).is_ok(), is_answered, "{method}");
            }
            let shared = judge(&api(Some("s3cret")), Entry::Carrier, PUBLIC, &request);
            assert_eq!(shared.is_ok(), is_answered, "{method}");
        }
        let read = request("GET", "127.0.0.1:9", &all);
        assert!(judge(&api(None), Entry::Admin, PUBLIC, &read).is_ok(), "what is read stays in the browser");
    }

    #[rstest]
    #[case(&[("authorization", "Bearer s3cret")], true)]
    #[case(&[("authorization", "bearer s3cret")], true)]
    #[case(&[("authorization", "Bearer s3cre")], false)]
    #[case(&[("authorization", "Bearer s3crets")], false)]
    #[case(&[("authorization", "Bearer ")], false)]
    #[case(&[("authorization", "Basic s3cret")], false)]
    #[case(&[("authorization", "s3cret")], false)]
    #[case(&[("authorization", "Bearer s3cret"), ("authorization", "Bearer s3cret")], false)]
    #[case(&[], false)]
    fn a_token_is_believed_whole_and_once(#[case] headers: &[(&str, &str)], #[case] is_believed: bool) {
        let request = request("GET", "10.0.0.1:9", headers);
        assert_eq!(has_token(request.headers(), &Secret::new("s3cret")), is_believed);
    }
}
