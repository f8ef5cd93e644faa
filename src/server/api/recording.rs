//! Pausing the recording of a call that runs here: while a card number is said, for example.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{self, OriginalUri, Path};
use axum::http::StatusCode;

use super::parameters;
use super::problem::Problem;
use crate::server::State;

/// Nothing that is said or pressed is kept from now on, until it is resumed: no sound, no words, no keys.
#[utoipa::path(
    post,
    path = "/api/v1/calls/{id}/recording/pause",
    params(("id" = String, Path, max_length = 1000, description = "A call id, or the carrier's SID.")),
    responses(
        (status = 204, description = "It is paused, also if it was before."),
        (status = 400, description = "The id cannot be read, or there is a parameter.", body = Problem,
            content_type = "application/problem+json"),
        (status = 401, description = "The token is missing or wrong.", body = Problem,
            content_type = "application/problem+json", headers(("WWW-Authenticate" = String))),
        (status = 403, description = "Not allowed from there, under this host, or by this page.", body = Problem,
            content_type = "application/problem+json"),
        (status = 404, description = "No such call runs on this server.", body = Problem,
            content_type = "application/problem+json"),
    ),
    security(("token" = []), ())
)]
pub(super) async fn pause(
    extract::State(state): extract::State<Arc<State>>,
    OriginalUri(uri): OriginalUri,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let Path(id) = id.map_err(|_| Problem::unreadable_id())?;
    parameters::none(&uri)?;
    done(state.bridge.pause_recording(&id))
}

/// What is said is kept again.
#[utoipa::path(
    post,
    path = "/api/v1/calls/{id}/recording/resume",
    params(("id" = String, Path, max_length = 1000, description = "A call id, or the carrier's SID.")),
    responses(
        (status = 204, description = "It is resumed, also if it was not paused."),
        (status = 400, description = "The id cannot be read, or there is a parameter.", body = Problem,
            content_type = "application/problem+json"),
        (status = 401, description = "The token is missing or wrong.", body = Problem,
            content_type = "application/problem+json", headers(("WWW-Authenticate" = String))),
        (status = 403, description = "Not allowed from there, under this host, or by this page.", body = Problem,
            content_type = "application/problem+json"),
        (status = 404, description = "No such call runs on this server.", body = Problem,
            content_type = "application/problem+json"),
    ),
    security(("token" = []), ())
)]
pub(super) async fn resume(
    extract::State(state): extract::State<Arc<State>>,
    OriginalUri(uri): OriginalUri,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let Path(id) = id.map_err(|_| Problem::unreadable_id())?;
    parameters::none(&uri)?;
    done(state.bridge.resume_recording(&id))
}

fn done(is_running: bool) -> Result<StatusCode, Problem> {
    if is_running { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_running()) }
}
