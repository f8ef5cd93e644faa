//! `POST /api/chat` of Ollama: newline-delimited JSON unless `stream` is false, no key, unknown fields ignored.
//!
//! Source: ollama `docs/api.md` ("Generate a chat completion") and ollama-python 0.6.3.

use bytes::Bytes;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::call::Call;
use super::observation::{Asked, Delivery, Dialogue, Subject};
use super::reply::{Refusal, Reply, Stream};
use super::turn::{Finish, Thought, Turn};

pub(super) fn answer(call: &Call, turn: &mut Turn) -> Result<Reply, Refusal> {
    let asked = read(call)?;
    let (model, delivery) = (asked.model.clone(), asked.delivery);
    let thought = turn.think(asked);
    Ok(match delivery {
        Delivery::Whole => Reply::json(&last(&model, &thought, &thought.tokens.concat())),
        Delivery::Stream => Reply::stream("application/x-ndjson", stream(&model, &thought)),
    })
}

/// An HTTP error for no reason of the request.
pub(super) fn excuse(status: u16) -> Refusal {
    match status {
        401 => refusal(status, "unauthorized"),
        429 => refusal(status, "too many requests, please try again later"),
        503 => refusal(status, "server busy, please try again.  maximum pending requests exceeded"),
        500.. => refusal(status, "llama runner process has terminated"),
        _ => refusal(status, "invalid request"),
    }
}

fn refusal(status: u16, message: &str) -> Refusal {
    Refusal { status, body: json!({"error": message}) }
}

fn read(call: &Call) -> Result<Asked, Refusal> {
    let body = call.json().map_err(|error| refusal(400, &error.to_string()))?;
    let model = body.get("model").and_then(Value::as_str).unwrap_or_default().to_owned();
    if model.is_empty() {
        return Err(refusal(400, "model is required"));
    }
    let mut dialogue = Dialogue {
        temperature: body.pointer("/options/temperature").and_then(Value::as_f64),
        tokens_max: body.pointer("/options/num_predict").and_then(Value::as_u64),
        ..Dialogue::default()
    };
    for message in body.get("messages").and_then(Value::as_array).into_iter().flatten() {
        let field = |name: &str| message.get(name).and_then(Value::as_str).unwrap_or_default();
        match field("role") {
            "system" => dialogue.instruction.push_str(field("content")),
            "user" => {
                dialogue.lines += 1;
                field("content").clone_into(&mut dialogue.last);
            }
            "assistant" => dialogue.lines += 1,
            "tool" => {}
            other => return Err(refusal(400, &format!("invalid role: {other}"))),
        }
    }
    let is_whole = body.get("stream").and_then(Value::as_bool) == Some(false);
    let delivery = if is_whole { Delivery::Whole } else { Delivery::Stream };
    Ok(Asked { model, delivery, subject: Subject::Dialogue(dialogue) })
}

fn stream(model: &str, thought: &Thought) -> Stream {
    let line = |value: &Value| Bytes::from(format!("{value}\n"));
    Stream {
        opening: Vec::new(),
        tokens: thought.tokens.iter().map(|token| line(&part(model, token))).collect(),
        closing: vec![line(&last(model, thought, ""))],
        filler: b"\n",
        error: Some(line(&excuse(500).body)),
    }
}

fn part(model: &str, content: &str) -> Value {
    let created_at = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
    let message = json!({"role": "assistant", "content": content});
    json!({"model": model, "created_at": created_at, "message": message, "done": false})
}

/// Ends an answer, with what it took in nanoseconds: a hundred tokens a second.
fn last(model: &str, thought: &Thought, content: &str) -> Value {
    const NS_PER_TOKEN: u64 = 10_000_000;
    let mut last = part(model, content);
    let took = |tokens: usize| tokens as u64 * NS_PER_TOKEN;
    last["done"] = json!(true);
    last["done_reason"] = match thought.finish {
        Finish::Stop | Finish::Blocked => json!("stop"),
        Finish::Length => json!("length"),
    };
    last["total_duration"] = json!(took(thought.prompt_tokens + thought.tokens.len()));
    last["load_duration"] = json!(NS_PER_TOKEN);
    last["prompt_eval_count"] = json!(thought.prompt_tokens);
    last["prompt_eval_duration"] = json!(took(thought.prompt_tokens));
    last["eval_count"] = json!(thought.tokens.len());
    last["eval_duration"] = json!(took(thought.tokens.len()));
    last
}
