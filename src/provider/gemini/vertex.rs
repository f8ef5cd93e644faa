//! Vertex AI: a project in a location with an OAuth token, or the express mode with an API key.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use super::tokens::{Source, Tokens};
use super::{Access, Error, Route, Service, insert_key, request};
use crate::secret::Secret;

/// Vertex AI as an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Vertex {
    /// The Google Cloud project; `None`: the express mode, which has an API key and no location.
    pub project: Option<String>,
    /// A region (`us-central1`), a multi-region (`us`, `eu`) or `global`.
    pub location: Option<String>,
    /// Version of the API in the path.
    pub api_version: String,
    /// Scheme and host; `None`: the public ones of the location.
    pub endpoint: Option<String>,
    /// The key file of a service account; `None`: the environment's, then that of the machine.
    pub credentials_file: Option<PathBuf>,
    /// The project that is billed and whose quota counts; `None`: that of the service account.
    pub quota_project: Option<String>,
    /// The model of every session here; `None`: the agent's.
    pub model: Option<String>,
}

impl Default for Vertex {
    /// The express mode of the public service. `v1beta1` is what the official clients use.
    fn default() -> Self {
        Self {
            project: None,
            location: None,
            api_version: "v1beta1".to_owned(),
            endpoint: None,
            credentials_file: None,
            quota_project: None,
            model: None,
        }
    }
}

impl Vertex {
    /// Scheme and host: as configured, or the public ones of the location (Gemini Live API, URLs).
    pub fn origin(&self) -> String {
        if let Some(endpoint) = &self.endpoint {
            return endpoint.trim_end_matches('/').to_owned();
        }
        match self.location.as_deref() {
            None | Some("global") => "wss://aiplatform.googleapis.com".to_owned(),
            Some(region @ ("us" | "eu")) => format!("wss://aiplatform.{region}.rep.googleapis.com"),
            Some(location) => format!("wss://{location}-aiplatform.googleapis.com"),
        }
    }

    /// `key` is for the express mode, `default_credentials` for an endpoint with a project that names none.
    pub(super) fn route(&self, key: &Secret, default_credentials: Option<&Path>) -> Result<Route, Error> {
        let name = self.name();
        let mut request = request(&name, &self.url())?;
        if let Some(project) = &self.quota_project {
            let project =
                HeaderValue::from_str(project).map_err(|_| Error::QuotaProject { name: name.clone() })?;
            request.headers_mut().insert("x-goog-user-project", project);
        }
        let access = if self.project.is_some() {
            let file = self.credentials_file.as_deref().or(default_credentials);
            let source = file.map_or(Source::Machine, |file| Source::File(file.to_owned()));
            Access::Token(Box::new(Tokens::new(source)))
        } else {
            insert_key(&mut request, key, &name)?;
            Access::Key
        };
        let (service, models) = (Service::Vertex, self.models());
        Ok(Route { name, service, request, access, models, model: self.model.clone() })
    }

    fn name(&self) -> String {
        match (&self.project, &self.location) {
            (Some(_), Some(location)) => format!("vertex/{location}"),
            (Some(_), None) => "vertex/global".to_owned(),
            (None, _) => "vertex/express".to_owned(),
        }
    }

    fn url(&self) -> String {
        let method = "LlmBidiService/BidiGenerateContent";
        format!("{}/ws/google.cloud.aiplatform.{}.{method}", self.origin(), self.api_version)
    }

    /// Gemini Live API, `setup.model`.
    fn models(&self) -> String {
        match &self.project {
            Some(project) => {
                let location = self.location.as_deref().unwrap_or("global");
                format!("projects/{project}/locations/{location}/publishers/google/models/")
            }
            None => "publishers/google/models/".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn vertex(project: Option<&str>, location: Option<&str>) -> Vertex {
        Vertex {
            project: project.map(str::to_owned),
            location: location.map(str::to_owned),
            ..Vertex::default()
        }
    }

    #[rstest]
    #[case::region(Some("us-central1"), "wss://us-central1-aiplatform.googleapis.com", "vertex/us-central1")]
    #[case::global(Some("global"), "wss://aiplatform.googleapis.com", "vertex/global")]
    #[case::united_states(Some("us"), "wss://aiplatform.us.rep.googleapis.com", "vertex/us")]
    #[case::europe(Some("eu"), "wss://aiplatform.eu.rep.googleapis.com", "vertex/eu")]
    fn each_location_has_its_host(#[case] location: Option<&str>, #[case] origin: &str, #[case] name: &str) {
        let route = vertex(Some("p"), location).route(&Secret::default(), None).unwrap();
        let url = format!("{origin}/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent");
        assert_eq!((route.request.uri().to_string(), route.name.as_str()), (url, name));
        let location = location.unwrap_or_default();
        assert_eq!(route.models, format!("projects/p/locations/{location}/publishers/google/models/"));
        assert!(matches!(route.access, Access::Token(_)));
    }

    #[test]
    fn the_express_mode_has_a_key_and_no_project() {
        let route = vertex(None, None).route(&Secret::new("hunter2"), None).unwrap();
        assert_eq!(
            (route.name.as_str(), route.models.as_str()),
            ("vertex/express", "publishers/google/models/")
        );
        assert_eq!(route.request.uri().host(), Some("aiplatform.googleapis.com"));
        assert_eq!(route.request.headers()["x-goog-api-key"], "hunter2");
        assert!(matches!(route.access, Access::Key));
        assert!(!format!("{route:?}").contains("hunter2"));
    }

    #[test]
    fn version_host_and_quota_project_are_as_configured() {
        let endpoint = Vertex {
            api_version: "v1".to_owned(),
            endpoint: Some("ws://127.0.0.1:9090".to_owned()),
            quota_project: Some("billed".to_owned()),
            ..vertex(Some("p"), Some("us"))
        };
        let route = endpoint.route(&Secret::default(), None).unwrap();
        let url = "ws://127.0.0.1:9090/ws/google.cloud.aiplatform.v1.LlmBidiService/BidiGenerateContent";
        assert_eq!(route.request.uri().to_string(), url);
        assert_eq!(route.request.headers()["x-goog-user-project"], "billed");
    }
}
