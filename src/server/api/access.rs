//! Who may ask: whoever has the token; without one this machine alone.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{self, Request};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use subtle::ConstantTimeEq as _;

use super::problem::Problem;
use crate::secret::Secret;
use crate::server::State;

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Peer(pub(in crate::server) SocketAddr);

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
    extract::State(state): extract::State<Arc<State>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(api) = state.api() else { return Problem::no_log().into_response() };
    let refusal = match &api.token {
        Some(token) => (!has_token(request.headers(), token)).then(Problem::unauthorised),
        None => (!is_of_this_machine(&request)).then(Problem::foreign),
    };
    match refusal {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
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

/// A connection from here that nobody forwarded, and that means to come here: a page of elsewhere can make a browser
/// of this machine ask, under its own name.
fn is_of_this_machine(request: &Request) -> bool {
    let is_near =
        request.extensions().get::<Peer>().is_some_and(|Peer(peer)| peer.ip().to_canonical().is_loopback());
    let headers = request.headers();
    is_near && !FORWARDED.iter().any(|name| headers.contains_key(*name)) && names_this_machine(headers)
}

fn names_this_machine(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    host.is_some_and(|host| {
        let host = host.host().trim_start_matches('[').trim_end_matches(']');
        let is_loopback = host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
        is_loopback || host.eq_ignore_ascii_case("localhost")
    })
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use rstest::rstest;

    use super::*;

    fn request(peer: &str, headers: &[(&str, &str)]) -> Request {
        let mut request = Request::builder().uri("/api/v1/calls");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().insert(Peer(peer.parse().unwrap()));
        request
    }

    #[rstest]
    #[case("127.0.0.1:9", &[("host", "127.0.0.1:8080")], true)]
    #[case("127.9.9.9:9", &[("host", "localhost:8080")], true)]
    #[case("[::1]:9", &[("host", "[::1]:8080")], true)]
    #[case("[::ffff:127.0.0.1]:9", &[("host", "LOCALHOST")], true)]
    #[case("10.0.0.1:9", &[("host", "localhost")], false)]
    #[case("[::ffff:10.0.0.1]:9", &[("host", "localhost")], false)]
    #[case("127.0.0.1:9", &[], false)]
    #[case("127.0.0.1:9", &[("host", "evil.example")], false)]
    #[case("127.0.0.1:9", &[("host", "127.0.0.1.evil.example")], false)]
    #[case("127.0.0.1:9", &[("host", "localhost"), ("x-forwarded-for", "10.0.0.1")], false)]
    #[case("127.0.0.1:9", &[("host", "localhost"), ("forwarded", "for=10.0.0.1")], false)]
    #[case("127.0.0.1:9", &[("host", "localhost"), ("via", "1.1 proxy")], false)]
    fn without_a_token_only_this_machine_is_answered(
        #[case] peer: &str,
        #[case] headers: &[(&str, &str)],
        #[case] is_answered: bool,
    ) {
        assert_eq!(is_of_this_machine(&request(peer, headers)), is_answered);
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
        let request = request("10.0.0.1:9", headers);
        assert_eq!(has_token(request.headers(), &Secret::new("s3cret")), is_believed);
    }
}
