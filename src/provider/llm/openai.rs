//! Chat completions as OpenAI and many others serve them (platform.openai.com/docs/api-reference/chat): what is
//! asked, what a frame says.

use serde_json::{Value, json};

use super::piece::{End, Piece, Usage};
use super::turns::messages_with_system;
use crate::job::Prompt;
use crate::provider::json;

/// The last event of a stream, which is not JSON.
const LAST: &str = "[DONE]";

pub(super) fn body(model: &str, max_tokens: u32, prompt: &Prompt) -> Value {
    let mut body = json!({
        "model": model,
        "messages": messages_with_system(&prompt.instruction, &prompt.dialogue),
        "stream": true,
        "stream_options": { "include_usage": true },
        // `max_tokens` is its old name, which newer models refuse.
        "max_completion_tokens": max_tokens,
    });
    if let Some(temperature) = prompt.temperature {
        body["temperature"] = json!(temperature);
    }
    body
}

/// Whether a frame is the one after the last; some put it into quotes.
pub(in crate::provider) fn is_last(frame: &str) -> bool {
    frame.trim().trim_matches('"').eq_ignore_ascii_case(LAST)
}

pub(super) fn decode(frame: &Value) -> Piece {
    let choice =
        frame.get("choices").and_then(Value::as_array).and_then(|choices| choices.iter().find(is_first));
    let get = |name| choice.and_then(|choice| choice.get(name)).filter(|value| value.is_object());
    // A server that does not stream has a message in place of its changes.
    let delta = get("delta").or_else(|| get("message"));
    // Reasoning has fields of its own, which are not words.
    let content =
        delta.map_or_else(|| choice.and_then(|choice| choice.get("text")), |delta| delta.get("content"));
    let refusal = json::reason(delta.and_then(|delta| delta.get("refusal")));
    let finish = json::reason(choice.and_then(|choice| choice.get("finish_reason")));
    let count = |name| json::count(frame.get("usage").and_then(|usage| usage.get(name)));
    Piece {
        text: json::words(content),
        usage: Usage { prompt: count("prompt_tokens"), response: count("completion_tokens") },
        end: refusal.map(|_| "refusal").or(finish).map(End::of),
    }
}

/// Other choices were not asked for.
fn is_first(choice: &&Value) -> bool {
    choice.get("index").is_none_or(|index| index.is_null() || json::count(Some(index)) == Some(0))
}
