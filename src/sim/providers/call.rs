//! A request as it came, read to its end. Knows the forms of HTTP and nothing of services.

use axum::body::Bytes;
use axum::extract::{FromRequest as _, Multipart, Request};
use axum::http::HeaderMap;
use serde_json::Value;

/// The largest body: the most that any of the services takes (OpenAI, "Speech to text": 25 MB).
const BODY_MAX: usize = 25 << 20;

#[derive(Debug)]
pub(super) struct Call {
    headers: HeaderMap,
    pub(super) path: String,
    query: String,
    pub(super) body: Bytes,
    /// Of a form; none if the body is something else.
    pub(super) form: Option<Vec<Field>>,
}

/// A field of a multipart form.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) file_name: Option<String>,
    pub(super) content: Bytes,
}

impl Call {
    /// None: the client went away, or sends more than anybody takes, or a form that is none.
    pub(super) async fn read(request: Request) -> Option<Self> {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, BODY_MAX).await.ok()?;
        let (headers, uri) = (parts.headers.clone(), parts.uri.clone());
        let mut call = Self {
            headers,
            path: uri.path().to_owned(),
            query: uri.query().unwrap_or_default().to_owned(),
            body: body.clone(),
            form: None,
        };
        if call.header("content-type").starts_with("multipart/form-data") {
            call.form = Some(form(Request::from_parts(parts, body.into())).await?);
        }
        Some(call)
    }

    /// Empty if there is none.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub(super) fn bearer(&self) -> Option<&str> {
        self.header("authorization").strip_prefix("Bearer ").filter(|key| !key.is_empty())
    }

    pub(super) fn parameter(&self, wanted: &str) -> Option<String> {
        form_urlencoded::parse(self.query.as_bytes())
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.into_owned())
    }

    pub(super) fn json(&self) -> Result<Value, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }
}

async fn form(request: Request) -> Option<Vec<Field>> {
    let mut multipart = Multipart::from_request(request, &()).await.ok()?;
    let mut fields = Vec::new();
    while let Some(field) = multipart.next_field().await.ok()? {
        let name = field.name().unwrap_or_default().to_owned();
        let file_name = field.file_name().map(str::to_owned);
        fields.push(Field { name, file_name, content: field.bytes().await.ok()? });
    }
    Some(fields)
}
