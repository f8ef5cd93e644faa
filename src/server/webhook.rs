//! The carrier's webhooks. Size, width and signature are checked before anything else is done.

use std::sync::Arc;

use ::time::OffsetDateTime;
use axum::extract::{self, FromRequest, OriginalUri, Request};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::IntoResponse;
use tokio::time::Instant;

use super::State;
use super::body;
use super::connection::Slot;
use super::error::Error;
use super::reception::{self, Answer};
use super::state::Signed;
use crate::call::context::UNKNOWN;
use crate::call::record::Annotation;
use crate::carrier::answer::{self, Verb};
use crate::carrier::signature;
use crate::carrier::webhook::{self as form, Pairs, StatusCallback, Subject, VoiceRequest};

pub(super) use super::config::VOICE_PATH as VOICE;
pub(super) const RESUME: &str = "/twilio/resume";
pub(super) const STATUS: &str = "/twilio/status";
pub(super) const RECORDED: &str = "/twilio/recorded";

/// A call comes in.
pub(super) async fn voice(
    extract::State(state): extract::State<Arc<State>>,
    headers: HeaderMap,
    Form(pairs): Form,
) -> Result<impl IntoResponse, Error> {
    let token = headers.get(form::IDEMPOTENCY_TOKEN).and_then(|value| value.to_str().ok());
    let request =
        VoiceRequest { idempotency_token: token.map(str::to_owned), ..VoiceRequest::of_call(&pairs)? };
    match reception::receive(&state, &request, Instant::now().into_std())? {
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
    let recorded = state.public_url()?.webhook(RECORDED);
    Ok::<_, Error>(xml(answer::document(&state.bridge.follow_up(&call_sid).verbs(&recorded))))
}

/// The caller has left a message, or has hung up instead: it is in the log, and the call is over.
pub(super) async fn recorded(
    extract::State(state): extract::State<Arc<State>>,
    Form(pairs): Form,
) -> impl IntoResponse {
    annotate(&state, StatusCallback::of_message(&pairs));
    xml(answer::document(&[Verb::Hangup]))
}

/// Something happened to a call or a stream, in the carrier's eyes. Kept, and never acted upon.
pub(super) async fn status(
    extract::State(state): extract::State<Arc<State>>,
    Form(pairs): Form,
) -> StatusCode {
    annotate(&state, StatusCallback::new(&pairs));
    StatusCode::NO_CONTENT
}

fn annotate(state: &State, callback: StatusCallback) {
    let StatusCallback { call_sid, subject, key, detail } = callback;
    state.bridge.annotate(Annotation {
        call_sid: call_sid.unwrap_or_else(|| UNKNOWN.to_owned()),
        key,
        at: OffsetDateTime::now_utc(),
        kind: match subject {
            Subject::Call => "call_status",
            Subject::Stream => "stream_status",
            Subject::Voicemail => "voicemail",
        },
        detail,
    });
}

/// The fields of a request that is the carrier's.
#[derive(Debug)]
pub(super) struct Form(Pairs);

impl FromRequest<Arc<State>> for Form {
    type Rejection = Error;

    async fn from_request(request: Request, state: &Arc<State>) -> Result<Self, Error> {
        state.check_configured()?;
        let uri = original_uri(&request);
        let url = state.public_url()?.webhook(path_and_query(&uri));
        let pairs = if request.method() == Method::POST {
            posted(request, &url, state).await?
        } else {
            queried(&request, &uri, &url, state)?
        };
        form::check_names(&pairs)?;
        let account_sid = pairs.iter().find(|(name, _)| name == "AccountSid");
        state.check_account(account_sid.map(|(_, value)| value.as_str()))?;
        Ok(Self(pairs))
    }
}

/// The fields of a body. What needs no body to be refused is refused before it is read.
async fn posted(request: Request, url: &str, state: &State) -> Result<Pairs, Error> {
    let (parts, body) = request.into_parts();
    check_media_type(&parts.headers)?;
    let length = parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if length.and_then(|length| length.parse().ok()).is_some_and(|length: usize| length > body::BYTES_MAX) {
        return Err(Error::BodyTooLarge);
    }
    let signed = signed(&parts.headers);
    if signed.signature.is_none_or(str::is_empty) {
        state.verify(url, &[], signed)?;
    }
    let slot = parts.extensions.get::<Arc<Slot>>();
    let read = state.bodies.read(body, slot.map(AsRef::as_ref)).await?;
    let pairs = form::pairs(&read.bytes)?;
    state.verify(url, &pairs, signed)?;
    Ok(pairs)
}

/// The fields of a query, where the carrier was told to use GET. They are a part of the signed URL. A browser that looks
/// at the webhook is told what it is for.
fn queried(request: &Request, uri: &Uri, url: &str, state: &State) -> Result<Pairs, Error> {
    let signed = signed(request.headers());
    if signed.signature.is_none() {
        return Err(Error::Method);
    }
    let pairs = form::pairs(uri.query().unwrap_or_default().as_bytes())?;
    state.verify(url, &[], signed)?;
    Ok(pairs)
}

/// A form, also where the type is missing or another text: the signature decides. Other types cannot have the fields.
fn check_media_type(headers: &HeaderMap) -> Result<(), Error> {
    const SHOWN_CHARS_MAX: usize = 100;
    let Some(media_type) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let media_type = String::from_utf8_lossy(media_type.as_bytes());
    let name = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if name == "application/json" || name.ends_with("+json") || name.starts_with("multipart/") {
        return Err(Error::MediaType { content_type: name.chars().take(SHOWN_CHARS_MAX).collect() });
    }
    Ok(())
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

fn xml(document: String) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, answer::CONTENT_TYPE)], document)
}
