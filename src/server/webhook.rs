//! The carrier's webhooks. Size, width and signature are checked before anything else is done.

use std::sync::Arc;
use std::time::Duration;

use ::time::OffsetDateTime;
use axum::body::{Body, Bytes};
use axum::extract::{self, FromRequest, OriginalUri, Request};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::IntoResponse;
use tokio::time::Instant;

use super::State;
use super::error::Error;
use super::reception::{self, Answer};
use super::state::Signed;
use crate::call::context::UNKNOWN;
use crate::call::record::Annotation;
use crate::carrier::webhook::{self as form, Pairs, StatusCallback, Subject, VoiceRequest};
use crate::carrier::{answer, signature};

pub(super) use super::config::VOICE_PATH as VOICE;
pub(super) const RESUME: &str = "/twilio/resume";
pub(super) const STATUS: &str = "/twilio/status";

/// A voice request has about 1 KiB.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// A body that fits into one packet needs no more.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// A call comes in.
pub(super) async fn voice(
    extract::State(state): extract::State<Arc<State>>,
    Form(pairs): Form,
) -> Result<impl IntoResponse, Error> {
    match reception::receive(&state, &VoiceRequest::new(&pairs), Instant::now().into_std())? {
        Answer::Admitted(document) => {
            // A call that the carrier was told to connect is in the log, whatever becomes of this process.
            state.bridge.settled().await;
            Ok(xml(document))
        }
        Answer::Refused(document) => Ok(xml(document.to_string())),
    }
}

/// The stream of a call ended, with the call still up: the agent is done with it, or could not go on.
pub(super) async fn resume(
    extract::State(state): extract::State<Arc<State>>,
    Form(pairs): Form,
) -> impl IntoResponse {
    let call_sid = VoiceRequest::new(&pairs).call_sid.unwrap_or_default();
    xml(answer::document(&state.bridge.follow_up(&call_sid).verbs()))
}

/// Something happened to a call or a stream, in the carrier's eyes. Kept, and never acted upon.
pub(super) async fn status(
    extract::State(state): extract::State<Arc<State>>,
    Form(pairs): Form,
) -> StatusCode {
    let StatusCallback { call_sid, subject, key, detail } = StatusCallback::new(&pairs);
    state.bridge.annotate(Annotation {
        call_sid: call_sid.unwrap_or_else(|| UNKNOWN.to_owned()),
        key,
        at: OffsetDateTime::now_utc(),
        kind: match subject {
            Subject::Call => "call_status",
            Subject::Stream => "stream_status",
        },
        detail,
    });
    StatusCode::NO_CONTENT
}

/// The fields of a request that is the carrier's.
#[derive(Debug)]
pub(super) struct Form(Pairs);

impl FromRequest<Arc<State>> for Form {
    type Rejection = Error;

    async fn from_request(request: Request, state: &Arc<State>) -> Result<Self, Error> {
        state.check_configured()?;
        let uri = original_uri(&request);
        let (parts, body) = request.into_parts();
        let pairs = form::pairs(&read(body).await?)?;
        let url = state.public_url()?.webhook(path_and_query(&uri));
        state.verify(&url, &pairs, signed(&parts.headers))?;
        let account_sid = pairs.iter().find(|(name, _)| name == "AccountSid");
        state.check_account(account_sid.map(|(_, value)| value.as_str()))?;
        Ok(Self(pairs))
    }
}

fn original_uri(request: &Request) -> Uri {
    request
        .extensions()
        .get::<OriginalUri>()
        .map_or_else(|| request.uri().clone(), |OriginalUri(uri)| uri.clone())
}

/// As it was sent: nothing is decoded.
pub(super) fn path_and_query(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", |both| both.as_str())
}

pub(super) fn signed(headers: &HeaderMap) -> Signed<'_> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    Signed { signature: text(signature::SIGNATURE), settings: text(signature::SETTINGS) }
}

async fn read(body: Body) -> Result<Bytes, Error> {
    let read = tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, BODY_BYTES_MAX));
    read.await.map_err(|_| Error::BodyTimeout)?.map_err(|error| {
        let cause = std::error::Error::source(&error);
        if cause.is_some_and(|cause| cause.is::<http_body_util::LengthLimitError>()) {
            Error::BodyTooLarge
        } else {
            Error::BodyUnreadable
        }
    })
}

fn xml(document: String) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, answer::CONTENT_TYPE)], document)
}
