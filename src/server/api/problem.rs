//! Why a question is not answered: problem details (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::server::rejections::Reason;
use crate::store::query::{Error, Invalid};

/// What was wrong, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Problem {
    /// The status once more.
    status: u16,
    /// The kind of problem.
    title: &'static str,
    /// What was wrong, and what to do.
    detail: String,
    /// The query parameter or header that is to blame.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<String>,
}

/// After so many seconds a question may be asked again.
const RETRY_AFTER: &str = "2";

/// A name in a request may have any length; of this much a person knows it again.
const NAME_CHARS_MAX: usize = 100;

impl Problem {
    fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status: status.as_u16(), title, detail: detail.into(), parameter: None }
    }

    fn at(self, parameter: &str) -> Self {
        Self { parameter: Some(parameter.chars().take(NAME_CHARS_MAX).collect()), ..self }
    }

    pub(super) fn unauthorised() -> Self {
        let detail = "the token is missing or wrong; send Authorization: Bearer with the value of \
                      PATCHCORD_API_TOKEN of the server";
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", detail).at("Authorization")
    }

    pub(super) fn foreign() -> Self {
        let detail = "without PATCHCORD_API_TOKEN the API only answers direct requests of its own machine; set it and \
                      send Authorization: Bearer";
        Self::new(StatusCode::FORBIDDEN, "Forbidden", detail)
    }

    pub(super) fn foreign_host() -> Self {
        let detail = "the API is not asked under this name: use localhost, or add the name to admin.hosts";
        Self::new(StatusCode::FORBIDDEN, "Foreign host", detail).at("Host")
    }

    pub(super) fn foreign_origin() -> Self {
        let detail = "a page of another site may not write: add its host to admin.hosts if it is yours";
        Self::new(StatusCode::FORBIDDEN, "Foreign origin", detail).at("Origin")
    }

    pub(super) fn no_log() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "No call log", "this server has no call log to ask")
    }

    pub(super) fn busy() -> Self {
        let detail = "too many questions at once; ask again in a moment";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Busy", detail)
    }

    pub(super) fn of_parameter(name: &str, error: &Invalid) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "Bad parameter", error.to_string()).at(name)
    }

    pub(super) fn twice(name: &str) -> Self {
        let detail = "given more than once; give it once, all parameters must hold together";
        Self::new(StatusCode::BAD_REQUEST, "Bad parameter", detail).at(name)
    }

    pub(super) fn unknown(name: &str, known: &[&str]) -> Self {
        let detail = if known.is_empty() {
            "there is no such parameter; leave it out".to_owned()
        } else {
            format!("there is no such parameter; there are {}", known.join(", "))
        };
        Self::new(StatusCode::BAD_REQUEST, "Bad parameter", detail).at(name)
    }

    pub(super) fn not_running() -> Self {
        let detail = "no call with this id runs on this server; take one of calls?going_on=true, and ask the server \
                      that carries it";
        Self::new(StatusCode::NOT_FOUND, "Not found", detail).at("id")
    }

    pub(super) fn no_call() -> Self {
        let detail = "no call has this id; take a call_id or call_sid of the list of calls";
        Self::new(StatusCode::NOT_FOUND, "Not found", detail).at("id")
    }

    pub(super) fn unreadable_id() -> Self {
        let detail = "the id is not text in UTF-8; take a call_id or call_sid of the list of calls";
        Self::new(StatusCode::BAD_REQUEST, "Bad parameter", detail).at("id")
    }

    /// The error itself may name files and hosts: it is for the operator.
    pub(super) fn of_log(error: &Error) -> Self {
        if matches!(error, Error::TooSlow) {
            Self::new(StatusCode::SERVICE_UNAVAILABLE, "Too slow", error.to_string())
        } else if error.is_away() {
            tracing::warn!(%error, "a question to the call log has no answer");
            let detail = "the call log cannot be reached; ask again later";
            Self::new(StatusCode::SERVICE_UNAVAILABLE, "Call log away", detail)
        } else {
            tracing::error!(%error, "a question to the call log failed");
            let detail = "the question failed; the server's log says why";
            Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal error", detail)
        }
    }
}

pub(super) async fn no_route() -> Problem {
    let detail = "there is nothing here; /api/v1/openapi.json lists what there is";
    Problem::new(StatusCode::NOT_FOUND, "Not found", detail)
}

pub(super) async fn no_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed", "not with this method; use GET")
}

pub(super) const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(&self).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response();
        let extra = match status {
            StatusCode::UNAUTHORIZED => Some((header::WWW_AUTHENTICATE, "Bearer realm=\"patchcord\"")),
            StatusCode::SERVICE_UNAVAILABLE => Some((header::RETRY_AFTER, RETRY_AFTER)),
            _ => None,
        };
        if let Some((name, value)) = extra {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        // What was asked for stays out of the log.
        let is_asked = matches!(status, StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND);
        let message = if is_asked { self.title.to_lowercase() } else { self.detail };
        response.extensions_mut().insert(Reason { code: self.title, message });
        response
    }
}
