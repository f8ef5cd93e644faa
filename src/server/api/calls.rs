//! The questions.

use std::sync::Arc;

use ::time::OffsetDateTime;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{self, OriginalUri, Path};
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::IntoResponse;

use super::problem::Problem;
use super::{Api, parameters};
use crate::server::State;
use crate::store::query::{CallDetail, CallPage, Cursor, Stats};

/// Calls, the newest first, that all given conditions hold for.
#[utoipa::path(
    get,
    path = "/api/v1/calls",
    params(
        ("since" = Option<String>, Query, description = "Began then or later: a date, a time with its offset \
            (RFC 3339), or how long ago, like `30m`, `2h`, `7d`.", example = "2026-11-01T09:30:00Z"),
        ("until" = Option<String>, Query, description = "Began before; as `since`."),
        ("agent" = Option<String>, Query, max_length = 1000, description = "Answered by this agent."),
        ("business" = Option<String>, Query, max_length = 1000, description = "Accounted to this business."),
        ("caller" = Option<String>, Query, max_length = 1000, description = "Number of the caller, E.164."),
        ("dialled" = Option<String>, Query, max_length = 1000, description = "Number that was dialled, E.164."),
        ("number" = Option<String>, Query, max_length = 1000, description = "Either number, E.164."),
        ("ending" = Option<super::document::EndingCode>, Query, description = "How it ended."),
        ("failed" = Option<bool>, Query, description = "Whether it ended otherwise than by the caller or an operator."),
        ("had_fallback" = Option<bool>, Query, description = "Whether the fallback had to answer."),
        ("going_on" = Option<bool>, Query, description = "Whether it has no end yet."),
        ("search" = Option<String>, Query, max_length = 1000, description = "All these words in one turn, in any \
            case; `book*` stands for every word that begins like that.", example = "refund book*"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Calls in the answer; 20 if left out."),
        ("cursor" = Option<String>, Query, description = "`next` of the answer before: goes on after it."),
    ),
    responses(
        (status = 200, description = "Some calls, and where the next begin.", body = CallPage,
            headers(("Link" = String, description = "The next page, `rel=\"next\"` (RFC 8288); left out at the end."))),
        (status = 400, description = "A parameter is wrong or unknown.", body = Problem,
            content_type = "application/problem+json"),
        (status = 401, description = "The token is missing or wrong.", body = Problem,
            content_type = "application/problem+json", headers(("WWW-Authenticate" = String))),
        (status = 403, description = "Not allowed from there, under this host, or by this page.", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "The call log is away or busy.", body = Problem,
            content_type = "application/problem+json", headers(("Retry-After" = String))),
    ),
    security(("token" = []), ())
)]
pub(super) async fn list(
    extract::State(state): extract::State<Arc<State>>,
    OriginalUri(uri): OriginalUri,
) -> Result<(HeaderMap, Json<CallPage>), Problem> {
    let (filter, page) = parameters::list(&uri, OffsetDateTime::now_utc())?;
    let page = api(&state)?.ask(async |log| log.calls(&filter, &page).await).await?;
    let link = page.next.and_then(|cursor| HeaderValue::from_str(&link(&uri, cursor)).ok());
    let headers = link.map(|link| (header::LINK, link)).into_iter().collect();
    Ok((headers, Json(page)))
}

/// The same question from this place on, `<…>; rel="next"` (RFC 8288).
fn link(uri: &Uri, cursor: Cursor) -> String {
    let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(pairs.filter(|(name, _)| name != "cursor"));
    query.append_pair("cursor", &cursor.to_string());
    format!("<{}?{}>; rel=\"next\"", uri.path(), query.finish())
}

/// Everything known about one call: who said what and when, what happened, and how it ended.
#[utoipa::path(
    get,
    path = "/api/v1/calls/{id}",
    params(("id" = String, Path, max_length = 1000, description = "A call id, or the carrier's SID: of several \
        calls with one SID the newest.")),
    responses(
        (status = 200, description = "The call.", body = CallDetail),
        (status = 400, description = "The id cannot be read, or there is a parameter.", body = Problem,
            content_type = "application/problem+json"),
        (status = 401, description = "The token is missing or wrong.", body = Problem,
            content_type = "application/problem+json", headers(("WWW-Authenticate" = String))),
        (status = 403, description = "Not allowed from there, under this host, or by this page.", body = Problem,
            content_type = "application/problem+json"),
        (status = 404, description = "There is no such call.", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "The call log is away or busy.", body = Problem,
            content_type = "application/problem+json", headers(("Retry-After" = String))),
    ),
    security(("token" = []), ())
)]
pub(super) async fn show(
    extract::State(state): extract::State<Arc<State>>,
    OriginalUri(uri): OriginalUri,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<CallDetail>, Problem> {
    let Path(id) = id.map_err(|_| Problem::unreadable_id())?;
    parameters::none(&uri)?;
    let call = api(&state)?.ask(async |log| log.call(&id).await).await?;
    call.map(Json).ok_or_else(Problem::no_call)
}

/// What calls come to by day, agent and model; the longest waits, and what failed.
#[utoipa::path(
    get,
    path = "/api/v1/stats",
    params(
        ("since" = Option<String>, Query, description = "Began then or later: a date, a time with its offset \
            (RFC 3339), or how long ago, like `10m`, `7d`.", example = "2026-11-01"),
        ("until" = Option<String>, Query, description = "Began before; as `since`."),
        ("agent" = Option<String>, Query, max_length = 1000, description = "Answered by this agent."),
        ("business" = Option<String>, Query, max_length = 1000, description = "Accounted to this business."),
    ),
    responses(
        (status = 200, description = "The sums.", body = Stats),
        (status = 400, description = "A parameter is wrong or unknown.", body = Problem,
            content_type = "application/problem+json"),
        (status = 401, description = "The token is missing or wrong.", body = Problem,
            content_type = "application/problem+json", headers(("WWW-Authenticate" = String))),
        (status = 403, description = "Not allowed from there, under this host, or by this page.", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "The call log is away or busy.", body = Problem,
            content_type = "application/problem+json", headers(("Retry-After" = String))),
    ),
    security(("token" = []), ())
)]
pub(super) async fn stats(
    extract::State(state): extract::State<Arc<State>>,
    OriginalUri(uri): OriginalUri,
) -> Result<impl IntoResponse, Problem> {
    let scope = parameters::scope(&uri, OffsetDateTime::now_utc())?;
    Ok(Json(api(&state)?.ask(async |log| log.stats(&scope).await).await?))
}

fn api(state: &State) -> Result<&Api, Problem> {
    state.api().ok_or_else(Problem::no_log)
}
