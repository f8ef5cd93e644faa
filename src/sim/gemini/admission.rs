//! The door: which paths and versions exist, and how a credential travels.
//!
//! Bad credentials are not refused at the upgrade: the real service opens the socket and closes it after
//! `setup` (see [`super::policy`]).

use tokio_tungstenite::tungstenite::http::{HeaderMap, Uri};

use crate::secret::Secret;

/// What the upgrade request said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    pub service: Service,
    /// `v1`, `v1beta`, `v1alpha`, on Vertex also `v1beta1`.
    pub version: String,
    pub credential: Credential,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Dev,
    /// The Developer API's path for ephemeral tokens.
    Constrained,
    Vertex,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    None,
    /// `?key=` or `x-goog-api-key`.
    Key(Secret),
    /// `Authorization: Bearer`.
    Bearer(Secret),
    /// An ephemeral token: `?access_token=` or `Authorization: Token`.
    Token(Secret),
}

impl Admission {
    /// Reads an upgrade request; none if there is no such path.
    pub fn read(uri: &Uri, headers: &HeaderMap) -> Option<Self> {
        let (service, version) = service(uri.path())?;
        let credential = credential(uri.query().unwrap_or_default(), headers);
        Some(Self { service, version: version.to_owned(), credential })
    }
}

fn service(path: &str) -> Option<(Service, &str)> {
    // The official JavaScript SDK doubles the first slash when its base URL has no path.
    let path = path.trim_start_matches('/').strip_prefix("ws/")?;
    if let Some(rest) = path.strip_prefix("google.ai.generativelanguage.") {
        return match rest.split_once('.')? {
            (version @ ("v1" | "v1beta" | "v1alpha"), "GenerativeService.BidiGenerateContent") => {
                Some((Service::Dev, version))
            }
            (version @ ("v1" | "v1beta" | "v1alpha"), "GenerativeService.BidiGenerateContentConstrained") => {
                Some((Service::Constrained, version))
            }
            _ => None,
        };
    }
    match path.strip_prefix("google.cloud.aiplatform.")?.split_once('.')? {
        (version @ ("v1" | "v1beta1"), "LlmBidiService/BidiGenerateContent") => {
            Some((Service::Vertex, version))
        }
        _ => None,
    }
}

fn credential(query: &str, headers: &HeaderMap) -> Credential {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let parameter = |wanted: &str| {
        form_urlencoded::parse(query.as_bytes())
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| Secret::new(value))
    };
    // The Python SDK repeats an ephemeral token in `x-goog-api-key`, so tokens are looked for first.
    if let Some(token) = header("authorization").strip_prefix("Token ") {
        return Credential::Token(Secret::new(token));
    }
    if let Some(bearer) = header("authorization").strip_prefix("Bearer ") {
        return Credential::Bearer(Secret::new(bearer));
    }
    if let Some(token) = parameter("access_token") {
        return Credential::Token(token);
    }
    match parameter("key") {
        Some(key) => Credential::Key(key),
        None if !header("x-goog-api-key").is_empty() => {
            Credential::Key(Secret::new(header("x-goog-api-key")))
        }
        None => Credential::None,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};

    use super::*;

    fn key(text: &str) -> Credential {
        Credential::Key(Secret::new(text))
    }

    fn token(text: &str) -> Credential {
        Credential::Token(Secret::new(text))
    }

    #[rstest]
    fn every_handshake_of_a_real_client_is_let_in(
        #[files("fixtures/gemini/frames/handshake-*.json")] file: std::path::PathBuf,
    ) {
        let request: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let mut headers = HeaderMap::new();
        for pair in request["headers"].as_array().unwrap() {
            let name: HeaderName = pair[0].as_str().unwrap().parse().unwrap();
            headers.append(name, HeaderValue::from_str(pair[1].as_str().unwrap()).unwrap());
        }
        let uri: Uri = request["request_target"].as_str().unwrap().parse().unwrap();
        let admission = Admission::read(&uri, &headers).unwrap();
        let is_token = matches!(admission.credential, Credential::Token(_));
        assert_eq!(is_token, admission.service == Service::Constrained);
        assert_ne!(admission.credential, Credential::None);
    }

    #[rstest]
    #[case("/ws/google.ai.generativelanguage.v1.GenerativeService.BidiGenerateContent?key=a%2Bb", &[], "v1", key("a+b"))]
    #[case("//ws/google.ai.generativelanguage.v1alpha.GenerativeService.BidiGenerateContent", &[("x-goog-api-key", "k")], "v1alpha", key("k"))]
    #[case(
        "/ws/google.ai.generativelanguage.v1alpha.GenerativeService.BidiGenerateContentConstrained",
        &[("x-goog-api-key", "t"), ("authorization", "Token t")], "v1alpha", token("t")
    )]
    #[case("/ws/google.cloud.aiplatform.v1.LlmBidiService/BidiGenerateContent", &[], "v1", Credential::None)]
    fn paths_and_credentials_are_read(
        #[case] uri: &str,
        #[case] pairs: &[(&'static str, &'static str)],
        #[case] version: &str,
        #[case] credential: Credential,
    ) {
        let headers = pairs
            .iter()
            .map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let admission = Admission::read(&uri.parse().unwrap(), &headers).unwrap();
        assert_eq!((admission.version.as_str(), admission.credential), (version, credential));
    }

    #[rstest]
    #[case("/")]
    #[case("/ws/google.ai.generativelanguage.v2.GenerativeService.BidiGenerateContent")]
    #[case("/ws/google.ai.generativelanguage.v1beta.GenerativeService.GenerateContent")]
    #[case("/ws/google.cloud.aiplatform.v1.LlmBidiService")]
    fn other_paths_do_not_exist(#[case] path: &'static str) {
        assert_eq!(Admission::read(&Uri::from_static(path), &HeaderMap::new()), None);
    }
}
