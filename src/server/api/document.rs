//! The API described for programs (OpenAPI 3.1), made from the functions and types that answer.

#![allow(unused_qualifications, reason = "in what the macros make")]

use std::sync::LazyLock;

use axum::http::header;
use axum::response::IntoResponse;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{Modify, OpenApi, PartialSchema, ToSchema};

use super::problem::Problem;
use super::{calls, recording};
use crate::call::record::Ending;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Patchcord",
        description = "The call log. Times are UTC. Without a token only direct connections of the server's own \
                       machine to `admin.listen` are answered.",
    ),
    paths(calls::list, calls::show, calls::stats, recording::pause, recording::resume, serve),
    components(schemas(EndingCode)),
    modifiers(&Token),
)]
struct Document;

struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document.components.get_or_insert_default().add_security_scheme("token", scheme);
    }
}

/// Codes of endings, for the document.
pub(super) struct EndingCode;

impl PartialSchema for EndingCode {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(Ending::CODES)).into()
    }
}

impl ToSchema for EndingCode {}

static TEXT: LazyLock<String> = LazyLock::new(|| Document::openapi().to_json().unwrap_or_default());

/// This document.
#[utoipa::path(
    get,
    path = "/api/v1/openapi.json",
    responses(
        (status = 200, description = "OpenAPI 3.1.", body = Object),
        (status = 401, description = "The token is missing or wrong.", body = Problem,
            content_type = "application/problem+json", headers(("WWW-Authenticate" = String))),
        (status = 403, description = "Not allowed from there, under this host, or by this page.", body = Problem,
            content_type = "application/problem+json"),
    ),
    security(("token" = []), ())
)]
pub(super) async fn serve() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str())
}
