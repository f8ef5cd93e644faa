//! What is said where nothing answers, and the spellings of a path that are one webhook.

use axum::extract::OriginalUri;
use axum::http::{Method, Request, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};

use super::error::Error;

/// The webhooks and streams of the carrier.
const CARRIER: &str = "/twilio/";

/// Sends a webhook whose path has slashes too many where it is meant: consoles take a URL as it was pasted. The signature
/// is about the path as it came, which stays in [`OriginalUri`].
pub(super) fn straighten<B>(request: &mut Request<B>) {
    let uri = request.uri();
    let Some(path) = straight(uri.path()) else { return };
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    if let Ok(straight) = format!("{path}{query}").parse::<Uri>() {
        let original = std::mem::replace(request.uri_mut(), straight);
        request.extensions_mut().insert(OriginalUri(original));
    }
}

/// The path without doubled slashes and without one at its end, if it has such and is one of the carrier's.
fn straight(path: &str) -> Option<String> {
    if !path.contains("//") && !path.ends_with('/') {
        return None;
    }
    let segments: Vec<_> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let straight = format!("/{}", segments.join("/"));
    straight.starts_with(CARRIER).then_some(straight)
}

/// There is no such path. `OPTIONS *` is about the server (RFC 9110, section 9.3.7).
pub(super) async fn none(method: Method, uri: Uri) -> Response {
    if method == Method::OPTIONS && uri.path() == "*" {
        return StatusCode::NO_CONTENT.into_response();
    }
    Error::NoRoute.into_response()
}

/// There is one, for other methods, which the router says in `Allow`.
pub(super) async fn other_method(method: Method) -> Response {
    if method == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        Error::OtherMethod.into_response()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("/twilio/voice", None)]
    #[case("/twilio/voice/", Some("/twilio/voice"))]
    #[case("//twilio/voice", Some("/twilio/voice"))]
    #[case("/twilio//voice//", Some("/twilio/voice"))]
    #[case("/", None)]
    #[case("//", None)]
    #[case("/api/v1/calls/", None)]
    #[case("//api/v1/calls", None)]
    #[case("/twilio/", None)]
    fn only_webhooks_have_slashes_too_many(#[case] path: &str, #[case] expected: Option<&str>) {
        assert_eq!(straight(path).as_deref(), expected);
    }
}
