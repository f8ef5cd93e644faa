//! The manners of Google's JSON services: credentials, strict fields, and `google.rpc.Status` errors.

pub(super) mod generate;
pub(super) mod recognize;
mod schema;
pub(super) mod synthesize;

use serde_json::{Value, json};

use super::call::Call;
use super::reply::Refusal;
use super::server::RETRY_AFTER_S;
use super::turn::{Credential, Turn};
use crate::sim::gemini::schema::{Message, canonical};

/// An HTTP error for no reason of the request.
pub(super) fn excuse(status: u16) -> Refusal {
    let message = match status {
        401 => {
            "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other \
             valid authentication credential."
        }
        403 => "The caller does not have permission",
        429 => "Resource has been exhausted (e.g. check quota).",
        503 => "The model is overloaded. Please try again later.",
        500.. => "An internal error has occurred. Please retry.",
        _ => "Request contains an invalid argument.",
    };
    let details = match status {
        429 => json!([{
            "@type": "type.googleapis.com/google.rpc.RetryInfo",
            "retryDelay": format!("{RETRY_AFTER_S}s"),
        }]),
        _ => Value::Null,
    };
    refusal(status, message, details)
}

fn refusal(status: u16, message: &str, details: Value) -> Refusal {
    let mut error = json!({"code": status, "message": message, "status": code(status)});
    if !details.is_null() {
        error["details"] = details;
    }
    Refusal { status, body: json!({"error": error}) }
}

/// `google.rpc.Code` by HTTP status (`google/rpc/code.proto`).
const fn code(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        500.. => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    }
}

fn invalid(message: &str) -> Refusal {
    refusal(400, message, Value::Null)
}

/// A bad key is 400, a bad token 401, and none at all 403.
fn authorize(call: &Call, turn: &Turn) -> Result<(), Refusal> {
    if let Some(token) = call.bearer() {
        return match turn.credential(Some(token)) {
            Credential::Good => Ok(()),
            Credential::Wrong | Credential::Missing => Err(excuse(401)),
        };
    }
    let header = Some(call.header("x-goog-api-key")).filter(|key| !key.is_empty()).map(str::to_owned);
    match turn.credential(header.or_else(|| call.parameter("key")).as_deref()) {
        Credential::Good => Ok(()),
        Credential::Wrong => {
            let details = json!([{
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "API_KEY_INVALID",
                "domain": "googleapis.com",
            }]);
            Err(refusal(400, "API key not valid. Please pass a valid API key.", details))
        }
        Credential::Missing => Err(refusal(
            403,
            "Method doesn't allow unregistered callers (callers without established identity). Please use API Key \
             or other form of API consumer identity to call this API.",
            Value::Null,
        )),
    }
}

/// The body in canonical form; what the service does not know is refused.
fn body(call: &Call, message: &Message) -> Result<Value, Refusal> {
    let body = call.json().map_err(|error| invalid(&format!("Invalid JSON payload received. {error}")))?;
    canonical(body, message).map_err(|refusal| invalid(&refusal.to_string()))
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, pointer: &str) -> Option<u32> {
    value.pointer(pointer).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok())
}
