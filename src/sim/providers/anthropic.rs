//! `POST /v1/messages` of Anthropic: named server-sent events, or one message.
//!
//! Source: Anthropic API reference ("Create a Message", "Streaming messages", "Errors") and anthropic-python 2.10.0.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::call::Call;
use super::observation::{Asked, Delivery, Dialogue, Subject};
use super::reply::{Refusal, Reply, Stream};
use super::turn::{Credential, Finish, Thought, Turn};

const PARAMETERS: [&str; 17] = [
    "container",
    "context_management",
    "inference_geo",
    "max_tokens",
    "messages",
    "metadata",
    "model",
    "output_config",
    "service_tier",
    "stop_sequences",
    "stream",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_p",
];

pub(super) fn answer(call: &Call, turn: &mut Turn) -> Result<Reply, Refusal> {
    let key = Some(call.header("x-api-key")).filter(|key| !key.is_empty());
    match turn.credential(key.or_else(|| call.bearer())) {
        Credential::Good => {}
        Credential::Wrong => return Err(refusal(401, "invalid x-api-key")),
        Credential::Missing => return Err(refusal(401, "x-api-key header is required")),
    }
    if call.header("anthropic-version").is_empty() {
        return Err(refusal(400, "anthropic-version: header is required"));
    }
    let asked = read(call)?;
    let (model, delivery) = (asked.model.clone(), asked.delivery);
    let thought = turn.think(asked);
    let head = Head { id: format!("msg_{:024}", turn.number()), model };
    Ok(match delivery {
        Delivery::Whole => Reply::json(&head.whole(&thought)),
        Delivery::Stream => Reply::stream("text/event-stream; charset=utf-8", head.stream(&thought)),
    })
}

/// An HTTP error for no reason of the request.
pub(super) fn excuse(status: u16) -> Refusal {
    let message = match status {
        401 => "invalid x-api-key",
        429 => "This request would exceed your account's rate limit. Please try again later.",
        503 | 529 => "Overloaded",
        500.. => "Internal server error",
        _ => "The request cannot be served.",
    };
    refusal(status, message)
}

fn refusal(status: u16, message: &str) -> Refusal {
    let error = json!({"type": kind(status), "message": message});
    Refusal { status, body: json!({"type": "error", "error": error, "request_id": "req_simulated"}) }
}

/// Anthropic API, "Errors".
const fn kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        503 | 529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

fn bad(message: &str) -> Refusal {
    refusal(400, message)
}

fn read(call: &Call) -> Result<Asked, Refusal> {
    let body = match call.json() {
        Ok(Value::Object(body)) => body,
        Ok(_) => return Err(bad("Input should be a valid dictionary or object")),
        Err(error) => return Err(bad(&format!("The request body is not valid JSON: {error}"))),
    };
    if let Some(name) = body.keys().find(|name| !PARAMETERS.contains(&name.as_str())) {
        return Err(bad(&format!("{name}: Extra inputs are not permitted")));
    }
    let required = |name: &str| body.get(name).ok_or_else(|| bad(&format!("{name}: Field required")));
    let model = required("model")?.as_str().ok_or_else(|| bad("model: Input should be a valid string"))?;
    let max = required("max_tokens")?.as_u64().filter(|&max| max > 0);
    let max = max.ok_or_else(|| bad("max_tokens: Input should be greater than or equal to 1"))?;
    let messages = required("messages")?;
    let messages = messages.as_array().ok_or_else(|| bad("messages: Input should be a valid list"))?;
    let delivery = match body.get("stream") {
        Some(Value::Bool(true)) => Delivery::Stream,
        None | Some(Value::Bool(false)) => Delivery::Whole,
        Some(_) => return Err(bad("stream: Input should be a valid boolean")),
    };
    let mut dialogue = dialogue(&body, messages)?;
    dialogue.tokens_max = Some(max);
    Ok(Asked { model: model.to_owned(), delivery, subject: Subject::Dialogue(dialogue) })
}

fn dialogue(body: &Map<String, Value>, messages: &[Value]) -> Result<Dialogue, Refusal> {
    let mut dialogue = Dialogue {
        instruction: body.get("system").and_then(words).unwrap_or_default(),
        temperature: body.get("temperature").and_then(Value::as_f64),
        ..Dialogue::default()
    };
    if dialogue.temperature.is_some_and(|temperature| !(0.0..=1.0).contains(&temperature)) {
        return Err(bad("temperature: range: 0..1"));
    }
    if messages.is_empty() {
        return Err(bad("messages: at least one message is required"));
    }
    for (index, message) in messages.iter().enumerate() {
        let content = message.get("content");
        let content = content.ok_or_else(|| bad(&format!("messages.{index}.content: Field required")))?;
        let text = words(content)
            .ok_or_else(|| bad(&format!("messages.{index}.content: Input should be a valid string")))?;
        let is_last = index + 1 == messages.len();
        dialogue.lines += 1;
        match message.get("role").and_then(Value::as_str) {
            Some("user") if text.is_empty() => {
                return Err(bad("messages: text content blocks must be non-empty"));
            }
            Some("user") => dialogue.last = text,
            Some("assistant") if text.is_empty() && !is_last => {
                return Err(bad(&format!(
                    "messages.{index}: all messages must have non-empty content except for the optional final \
                     assistant message"
                )));
            }
            Some("assistant") => {}
            Some(_) => {
                return Err(bad(&format!("messages.{index}.role: Input should be 'user' or 'assistant'")));
            }
            None => return Err(bad(&format!("messages.{index}.role: Field required"))),
        }
    }
    Ok(dialogue)
}

/// A string, or the text of its blocks; blocks of other types have none.
fn words(content: &Value) -> Option<String> {
    match content {
        Value::String(text) => Some(text.clone()),
        Value::Array(blocks) => Some(blocks.iter().filter_map(|block| block.get("text")?.as_str()).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

struct Head {
    id: String,
    model: String,
}

impl Head {
    fn whole(&self, thought: &Thought) -> Value {
        let content = match thought.tokens.concat() {
            text if text.is_empty() => json!([]),
            text => json!([{"type": "text", "text": text}]),
        };
        self.message(&content, json!(stop_reason(thought.finish)), (thought, thought.tokens.len()))
    }

    fn stream(&self, thought: &Thought) -> Stream {
        let message = self.message(&json!([]), Value::Null, (thought, 1));
        let block = json!({"type": "text", "text": ""});
        let delta = |token: &String| {
            let delta = json!({"type": "text_delta", "text": token});
            event(&json!({"type": "content_block_delta", "index": 0, "delta": delta}))
        };
        let end = json!({"stop_reason": stop_reason(thought.finish), "stop_sequence": null});
        let usage = json!({"output_tokens": thought.tokens.len()});
        let start = event(&json!({"type": "message_start", "message": message}));
        let ping = event(&json!({"type": "ping"}));
        let begin = event(&json!({"type": "content_block_start", "index": 0, "content_block": block}));
        Stream {
            opening: vec![start, begin, ping],
            tokens: thought.tokens.iter().map(delta).collect(),
            closing: vec![
                event(&json!({"type": "content_block_stop", "index": 0})),
                event(&json!({"type": "message_delta", "delta": end, "usage": usage})),
                event(&json!({"type": "message_stop"})),
            ],
            filler: b"event: ping\ndata: {\"type\":\"ping\"}\n\n",
            error: Some(event(&excuse(529).body)),
        }
    }

    fn message(&self, content: &Value, stop_reason: Value, (thought, tokens): (&Thought, usize)) -> Value {
        json!({
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": null,
            "usage": {"input_tokens": thought.prompt_tokens, "output_tokens": tokens},
        })
    }
}

/// An event is named by the `type` of its data.
fn event(data: &Value) -> Bytes {
    let name = data.get("type").and_then(Value::as_str).unwrap_or_default();
    format!("event: {name}\ndata: {data}\n\n").into()
}

const fn stop_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "end_turn",
        Finish::Length => "max_tokens",
        Finish::Blocked => "refusal",
    }
}
