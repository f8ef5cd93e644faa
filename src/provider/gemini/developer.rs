//! The Gemini Developer API: one host for the world, and an API key.

use serde::Deserialize;

use super::{Access, Error, Route, Service, insert_key, request};
use crate::secret::Secret;

/// The Developer API as an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Developer {
    /// Scheme and host, `wss://`; `ws://` only for a simulated service on this machine.
    pub endpoint: String,
    /// Version of the API in the path.
    pub api_version: String,
    /// The model of every session here; `None`: the agent's.
    pub model: Option<String>,
}

impl Default for Developer {
    /// The public service. `v1beta` is the version its documentation uses for the Live API.
    fn default() -> Self {
        Self {
            endpoint: "wss://generativelanguage.googleapis.com".to_owned(),
            api_version: "v1beta".to_owned(),
            model: None,
        }
    }
}

impl Developer {
    /// The name in the log.
    const NAME: &str = "developer";

    pub(super) fn route(&self, key: &Secret) -> Result<Route, Error> {
        let mut request = request(Self::NAME, &self.url())?;
        insert_key(&mut request, key, Self::NAME)?;
        Ok(Route {
            name: Self::NAME.to_owned(),
            service: Service::Developer,
            request,
            access: Access::Key,
            models: "models/".to_owned(),
            model: self.model.clone(),
        })
    }

    /// Gemini Live API, URLs.
    fn url(&self) -> String {
        let Self { endpoint, api_version, model: _ } = self;
        let method = "GenerativeService.BidiGenerateContent";
        let endpoint = endpoint.trim_end_matches('/');
        format!("{endpoint}/ws/google.ai.generativelanguage.{api_version}.{method}")
    }
}
