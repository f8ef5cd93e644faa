//! Why a request is refused, as the status and the words of the answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::carrier::signature::Refusal;
use crate::carrier::webhook::TooManyParameters;
use crate::time::Throttle;

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("this server has no auth token of the carrier configured and believes no request")]
    NoAuthToken,
    #[error("this server has no public_url configured and can verify no request")]
    NoPublicUrl,
    #[error("the body is too large")]
    BodyTooLarge,
    #[error("the body could not be read")]
    BodyUnreadable,
    #[error("the body did not come in time")]
    BodyTimeout,
    #[error(transparent)]
    TooManyParameters(#[from] TooManyParameters),
    #[error(transparent)]
    Signature(#[from] Refusal),
    #[error("the request is of another account than twilio.account_sid")]
    ForeignAccount,
    #[error("no such stream")]
    TokenUnknown,
    #[error("the stream was opened before, or too late")]
    TokenSpent,
    #[error("not a WebSocket upgrade")]
    Upgrade(#[from] WebSocketUpgradeRejection),
}

impl Error {
    fn status(&self) -> StatusCode {
        match self {
            Self::NoAuthToken | Self::NoPublicUrl => StatusCode::SERVICE_UNAVAILABLE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyUnreadable | Self::TooManyParameters(_) => StatusCode::BAD_REQUEST,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Signature(_) | Self::ForeignAccount | Self::TokenSpent => StatusCode::FORBIDDEN,
            Self::TokenUnknown => StatusCode::NOT_FOUND,
            Self::Upgrade(rejection) => rejection.status(),
        }
    }
}

/// Anybody can send forgeries by the thousand: one log line a second tells as much.
static WARNINGS: Mutex<Throttle> = Mutex::new(Throttle::new(Duration::from_secs(1)));

/// Refusals since the last warning.
static REFUSED: AtomicU64 = AtomicU64::new(0);

impl Error {
    fn warn(&self) {
        let refused = REFUSED.fetch_add(1, Ordering::Relaxed) + 1;
        if WARNINGS.lock().unwrap_or_else(PoisonError::into_inner).admit(Instant::now()) {
            REFUSED.fetch_sub(refused, Ordering::Relaxed);
            tracing::warn!(error = %self, requests = refused, "requests were refused");
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        match &self {
            // Somebody has to do something about these.
            Self::NoAuthToken | Self::NoPublicUrl | Self::Signature(_) | Self::ForeignAccount => self.warn(),
            Self::BodyTooLarge
            | Self::BodyUnreadable
            | Self::BodyTimeout
            | Self::TooManyParameters(_)
            | Self::TokenUnknown
            | Self::TokenSpent
            | Self::Upgrade(_) => tracing::debug!(error = %self, "a request was refused"),
        }
        (self.status(), format!("{self}\n")).into_response()
    }
}
