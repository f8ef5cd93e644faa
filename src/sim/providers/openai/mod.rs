//! The manners of the OpenAI-compatible routes: the key, the checks that all of them share, and errors.
//!
//! Source: OpenAI API reference and openai-python 3.51.0.

pub(super) mod chat;
pub(super) mod speech;
pub(super) mod transcription;

use serde_json::{Map, Value, json};

use super::call::Call;
use super::reply::{Refusal, Reply};
use super::turn::{Credential, Turn};

/// The list of models: one of each kind.
pub(super) fn models(call: &Call, turn: &mut Turn) -> Result<Reply, Refusal> {
    authorize(call, turn)?;
    turn.list_models();
    let model =
        |id: &str| json!({"id": id, "object": "model", "created": 1_750_000_000, "owned_by": "patchcord"});
    let models = ["gpt-sim", "gpt-transcribe", "gpt-4o-mini-tts"].map(model);
    Ok(Reply::json(&json!({"object": "list", "data": models})))
}

/// An HTTP error for no reason of the request.
pub(super) fn excuse(status: u16) -> Refusal {
    let (message, kind, code) = match status {
        401 => ("Incorrect API key provided.", "invalid_request_error", json!("invalid_api_key")),
        429 => ("Rate limit reached. Please try again in 2s.", "requests", json!("rate_limit_exceeded")),
        503 => ("The engine is currently overloaded, please try again later", "server_error", Value::Null),
        500.. => ("The server had an error while processing your request.", "server_error", Value::Null),
        _ => ("The request cannot be served.", "invalid_request_error", Value::Null),
    };
    refusal(status, message, (kind, Value::Null, code))
}

fn authorize(call: &Call, turn: &Turn) -> Result<(), Refusal> {
    match turn.credential(call.bearer()) {
        Credential::Good => Ok(()),
        Credential::Wrong => Err(excuse(401)),
        Credential::Missing => {
            let message = "You didn't provide an API key. You need to provide your API key in an Authorization header \
                           using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).";
            Err(refusal(401, message, ("invalid_request_error", Value::Null, Value::Null)))
        }
    }
}

/// The body as an object of known parameters.
fn parameters(call: &Call, known: &[&str]) -> Result<Map<String, Value>, Refusal> {
    let Ok(Value::Object(body)) = call.json() else {
        let message = "We could not parse the JSON body of your request.";
        return Err(refusal(400, message, ("invalid_request_error", Value::Null, Value::Null)));
    };
    match body.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(bad(name, "unknown_parameter", &format!("Unknown parameter: '{name}'."))),
        None => Ok(body),
    }
}

/// A string that has to be there.
fn text<'a>(body: &'a Map<String, Value>, name: &str) -> Result<&'a str, Refusal> {
    match body.get(name) {
        None | Some(Value::Null) => Err(missing(name)),
        Some(Value::String(text)) => Ok(text),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Err(mistyped(name, "a string"))
        }
    }
}

fn missing(name: &str) -> Refusal {
    bad(name, "missing_required_parameter", &format!("Missing required parameter: '{name}'."))
}

fn mistyped(name: &str, expected: &str) -> Refusal {
    bad(name, "invalid_type", &format!("Invalid type for '{name}': expected {expected}."))
}

fn unsupported(name: &str, value: &str, supported: &str) -> Refusal {
    let message = format!("Invalid value: '{value}'. Supported values are: {supported}.");
    bad(name, "invalid_value", &message)
}

/// A parameter that is wrong.
fn bad(name: &str, code: &str, message: &str) -> Refusal {
    refusal(400, message, ("invalid_request_error", json!(name), json!(code)))
}

fn refusal(status: u16, message: &str, (kind, param, code): (&str, Value, Value)) -> Refusal {
    let error = json!({"message": message, "type": kind, "param": param, "code": code});
    Refusal { status, body: json!({"error": error}) }
}
