//! Why a request is refused, as the status and the words of the answer.

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::body;
use super::rejections::Reason;
use crate::carrier::signature::Refusal;
use crate::carrier::webhook::{Incomplete, OddName, TooManyParameters};

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(
        "no auth token of the carrier is configured, so no request can be verified: set TWILIO_AUTH_TOKEN"
    )]
    NoAuthToken,
    #[error("no public_url is configured, so no request can be verified: set server.public_url")]
    NoPublicUrl,
    #[error("the body is larger than {} bytes", body::BYTES_MAX)]
    BodyTooLarge,
    #[error("the body could not be read: it ended early, or its chunks are broken")]
    BodyUnreadable,
    #[error("the body did not come in time")]
    BodyTimeout,
    #[error("too many requests are under way that have not come whole; send it again")]
    Evicted,
    #[error("the body is {content_type}: webhooks are application/x-www-form-urlencoded")]
    MediaType { content_type: String },
    #[error("webhooks are sent with POST: set HTTP POST for this URL in the Twilio console")]
    Method,
    #[error("this path is for other methods, see Allow")]
    OtherMethod,
    #[error(transparent)]
    TooManyParameters(#[from] TooManyParameters),
    #[error("{refusal} for {url}: {}", remedy(*refusal))]
    Signature { refusal: Refusal, url: String },
    #[error(transparent)]
    FieldName(#[from] OddName),
    #[error(transparent)]
    Incomplete(#[from] Incomplete),
    #[error("the request is of another account than twilio.account_sid")]
    ForeignAccount,
    #[error(
        "no such stream: this server did not give out its token, or it was restarted since; two servers behind one \
         address have to get the stream of a call where its webhook went"
    )]
    TokenUnknown,
    #[error("the stream was opened before, or too late")]
    TokenSpent,
    #[error(
        "not a WebSocket upgrade ({0}): the proxy has to pass on Upgrade and Connection, and to speak HTTP/1.1"
    )]
    Upgrade(#[from] WebSocketUpgradeRejection),
    #[error("there is nothing here: the voice webhook is {}", super::config::VOICE_PATH)]
    NoRoute,
}

/// What to compare or set when a signature is refused.
const fn remedy(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Missing => "the header X-Twilio-Signature is missing; only Twilio's requests are answered",
        Refusal::Algorithm => "HMAC_SHA1 and HMAC_SHA256 are known",
        Refusal::Body | Refusal::Mismatch => {
            "compare server.public_url with the URL in the Twilio console, and TWILIO_AUTH_TOKEN with the account"
        }
    }
}

impl Error {
    fn status(&self) -> StatusCode {
        match self {
            Self::NoAuthToken | Self::NoPublicUrl | Self::Evicted => StatusCode::SERVICE_UNAVAILABLE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyUnreadable | Self::TooManyParameters(_) | Self::FieldName(_) | Self::Incomplete(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::MediaType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Method | Self::OtherMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::Signature { .. } | Self::ForeignAccount | Self::TokenSpent => StatusCode::FORBIDDEN,
            Self::TokenUnknown | Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Upgrade(rejection) => rejection.status(),
        }
    }

    /// Its name in log lines.
    const fn code(&self) -> &'static str {
        match self {
            Self::NoAuthToken => "no_auth_token",
            Self::NoPublicUrl => "no_public_url",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyUnreadable => "body_unreadable",
            Self::BodyTimeout => "body_too_slow",
            Self::Evicted => "busy",
            Self::MediaType { .. } => "media_type",
            Self::Method | Self::OtherMethod => "method",
            Self::TooManyParameters(_) => "too_many_fields",
            Self::FieldName(_) => "field_name",
            Self::Incomplete(_) => "incomplete",
            Self::Signature { refusal: Refusal::Missing, .. } => "signature_missing",
            Self::Signature { .. } => "signature",
            Self::ForeignAccount => "foreign_account",
            Self::TokenUnknown => "stream_unknown",
            Self::TokenSpent => "stream_spent",
            Self::Upgrade(_) => "no_upgrade",
            Self::NoRoute => "no_route",
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = self.status();
        let reason = Reason { code: self.code(), message: self.to_string() };
        let mut response = (status, format!("{}\n", reason.message)).into_response();
        if matches!(self, Self::Method) {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response.extensions_mut().insert(reason);
        response
    }
}
