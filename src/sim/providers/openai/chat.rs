//! `POST /v1/chat/completions`.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::{authorize, bad, excuse, missing, mistyped, parameters, text};
use crate::sim::providers::call::Call;
use crate::sim::providers::observation::{Asked, Delivery, Dialogue, Subject};
use crate::sim::providers::reply::{Refusal, Reply, Stream};
use crate::sim::providers::turn::{Finish, Thought, Turn};

const PARAMETERS: [&str; 33] = [
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "metadata",
    "modalities",
    "model",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
];

pub(in crate::sim::providers) fn answer(call: &Call, turn: &mut Turn) -> Result<Reply, Refusal> {
    authorize(call, turn)?;
    let body = parameters(call, &PARAMETERS)?;
    let asked = read(&body)?;
    let usage = usage_wanted(&body, asked.delivery)?;
    let (model, delivery) = (asked.model.clone(), asked.delivery);
    let thought = turn.think(asked);
    let head = Head { id: format!("chatcmpl-{}", turn.number()), model };
    Ok(match delivery {
        Delivery::Whole => Reply::json(&head.completion(&thought)),
        Delivery::Stream => Reply::stream("text/event-stream; charset=utf-8", head.stream(&thought, usage)),
    })
}

fn read(body: &Map<String, Value>) -> Result<Asked, Refusal> {
    let model = text(body, "model")?.to_owned();
    let messages = match body.get("messages") {
        None | Some(Value::Null) => return Err(missing("messages")),
        Some(Value::Array(messages)) if messages.is_empty() => {
            let message = "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an \
                           empty array instead.";
            return Err(bad("messages", "empty_array", message));
        }
        Some(Value::Array(messages)) => messages,
        Some(_) => return Err(mistyped("messages", "an array of objects")),
    };
    let mut dialogue = Dialogue {
        temperature: body.get("temperature").and_then(Value::as_f64),
        tokens_max: ["max_completion_tokens", "max_tokens"].iter().find_map(|name| body.get(*name)?.as_u64()),
        ..Dialogue::default()
    };
    if dialogue.temperature.is_some_and(|temperature| !(0.0..=2.0).contains(&temperature)) {
        let message = "Invalid 'temperature': expected a value between 0 and 2.";
        return Err(bad("temperature", "decimal_out_of_range", message));
    }
    for (index, message) in messages.iter().enumerate() {
        take(&mut dialogue, index, message)?;
    }
    let delivery = match body.get("stream") {
        Some(Value::Bool(true)) => Delivery::Stream,
        None | Some(Value::Null | Value::Bool(false)) => Delivery::Whole,
        Some(_) => return Err(mistyped("stream", "a boolean")),
    };
    Ok(Asked { model, delivery, subject: Subject::Dialogue(dialogue) })
}

fn take(dialogue: &mut Dialogue, index: usize, message: &Value) -> Result<(), Refusal> {
    let at = |field: &str| format!("messages[{index}].{field}");
    let role = message.get("role").ok_or_else(|| missing(&at("role")))?;
    let is_calling = message.get("tool_calls").is_some();
    let content = match message.get("content") {
        None | Some(Value::Null) if is_calling => String::new(),
        None | Some(Value::Null) => return Err(missing(&at("content"))),
        Some(content) => words(content).ok_or_else(|| mistyped(&at("content"), "a string or text parts"))?,
    };
    match role.as_str().unwrap_or_default() {
        "system" | "developer" => dialogue.instruction.push_str(&content),
        "user" => {
            dialogue.lines += 1;
            dialogue.last = content;
        }
        "assistant" => dialogue.lines += 1,
        "tool" | "function" => {}
        other => {
            let roles = "'system', 'developer', 'assistant', 'user', 'function', and 'tool'";
            return Err(super::unsupported(&at("role"), other, roles));
        }
    }
    Ok(())
}

/// A string, or the text of its parts.
fn words(content: &Value) -> Option<String> {
    match content {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => parts.iter().map(|part| part.get("text")?.as_str()).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

/// Whether a stream ends with the usage.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Usage {
    Told,
    Untold,
}

fn usage_wanted(body: &Map<String, Value>, delivery: Delivery) -> Result<Usage, Refusal> {
    match (body.get("stream_options"), delivery) {
        (None | Some(Value::Null), _) => Ok(Usage::Untold),
        (Some(_), Delivery::Whole) => {
            let message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
            Err(bad("stream_options", "invalid_value", message))
        }
        (Some(options), Delivery::Stream) if options.get("include_usage") == Some(&json!(true)) => {
            Ok(Usage::Told)
        }
        (Some(_), Delivery::Stream) => Ok(Usage::Untold),
    }
}

/// What every chunk of an answer repeats.
struct Head {
    id: String,
    model: String,
}

impl Head {
    fn completion(&self, thought: &Thought) -> Value {
        let message = json!({"role": "assistant", "content": thought.tokens.concat(), "refusal": null});
        let choice = json!({"index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason(thought.finish)});
        let mut completion = self.object("chat.completion", json!([choice]));
        completion["usage"] = usage(thought);
        completion
    }

    fn stream(&self, thought: &Thought, wanted: Usage) -> Stream {
        let chunk = |delta: Value, finish_reason: Value| {
            let choice = json!({"index": 0, "delta": delta, "finish_reason": finish_reason});
            let mut chunk = self.object("chat.completion.chunk", json!([choice]));
            if wanted == Usage::Told {
                chunk["usage"] = Value::Null;
            }
            event(&chunk)
        };
        let mut closing = vec![chunk(json!({}), json!(finish_reason(thought.finish)))];
        if wanted == Usage::Told {
            let mut last = self.object("chat.completion.chunk", json!([]));
            last["usage"] = usage(thought);
            closing.push(event(&last));
        }
        closing.push(Bytes::from_static(b"data: [DONE]\n\n"));
        Stream {
            opening: vec![chunk(json!({"role": "assistant", "content": ""}), Value::Null)],
            tokens: thought
                .tokens
                .iter()
                .map(|token| chunk(json!({"content": token}), Value::Null))
                .collect(),
            closing,
            filler: b": keep-alive\n\n",
            error: Some(event(&excuse(500).body)),
        }
    }

    fn object(&self, object: &str, choices: Value) -> Value {
        let created = OffsetDateTime::now_utc().unix_timestamp();
        json!({"id": self.id, "object": object, "created": created, "model": self.model, "choices": choices})
    }
}

fn event(data: &Value) -> Bytes {
    format!("data: {data}\n\n").into()
}

const fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::Blocked => "content_filter",
    }
}

fn usage(thought: &Thought) -> Value {
    let (prompt, completion) = (thought.prompt_tokens, thought.tokens.len());
    json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion})
}
