//! How the carrier reaches this server: the only base of links and signatures. The `Host` header is never asked.

use axum::http::Uri;
use axum::http::uri::Scheme;

/// A checked public URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    /// `https://host[:port]`
    http: String,
    /// The same with `wss`.
    websocket: String,
}

/// The text is not a public URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("public_url must be http(s)://host[:port], without user, path, query or fragment")]
pub struct InvalidPublicUrl;

impl PublicUrl {
    pub fn parse(text: &str) -> Result<Self, InvalidPublicUrl> {
        let uri: Uri = text.parse().map_err(|_| InvalidPublicUrl)?;
        let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        if authority.contains('@') || uri.path() != "/" || uri.query().is_some() || text.contains('#') {
            return Err(InvalidPublicUrl);
        }
        let websocket = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => "wss",
            Some(scheme) if *scheme == Scheme::HTTP => "ws",
            _ => return Err(InvalidPublicUrl),
        };
        let http = format!("{}://{authority}", uri.scheme_str().unwrap_or_default());
        Ok(Self { http, websocket: format!("{websocket}://{authority}") })
    }

    /// `host[:port]`
    pub(super) fn authority(&self) -> &str {
        self.http.split_once("://").map_or("", |(_, authority)| authority)
    }

    /// The URL of a webhook, by its raw path and query.
    pub(super) fn webhook(&self, path_and_query: &str) -> String {
        format!("{}{path_and_query}", self.http)
    }

    /// The URL of a media stream, by its raw path.
    pub(super) fn stream(&self, path_and_query: &str) -> String {
        format!("{}{path_and_query}", self.websocket)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://voice.example.com", "https://voice.example.com/x", "wss://voice.example.com/x")]
    #[case("https://voice.example.com/", "https://voice.example.com/x", "wss://voice.example.com/x")]
    #[case("https://a.example:8443", "https://a.example:8443/x", "wss://a.example:8443/x")]
    #[case("http://127.0.0.1:8080", "http://127.0.0.1:8080/x", "ws://127.0.0.1:8080/x")]
    fn links_are_made_of_the_public_url(#[case] text: &str, #[case] webhook: &str, #[case] stream: &str) {
        let url = PublicUrl::parse(text).unwrap();
        assert_eq!((url.webhook("/x").as_str(), url.stream("/x").as_str()), (webhook, stream));
    }

    #[rstest]
    #[case("")]
    #[case("voice.example.com")]
    #[case("wss://voice.example.com")]
    #[case("https://user@voice.example.com")]
    #[case("https://voice.example.com/calls")]
    #[case("https://voice.example.com/?a=b")]
    #[case("https://voice.example.com/#a")]
    #[case("https://")]
    #[case("/twilio")]
    fn what_is_no_base_is_refused(#[case] text: &str) {
        assert_eq!(PublicUrl::parse(text), Err(InvalidPublicUrl));
    }
}
