//! Ollama's `/api/chat` (docs.ollama.com/api/chat): what is asked, what a frame says.

use serde_json::{Value, json};

use super::piece::{End, Piece, Usage};
use super::turns::messages_with_system;
use crate::job::Prompt;
use crate::provider::json;

pub(super) fn body(model: &str, max_tokens: u32, prompt: &Prompt) -> Value {
    let mut options = json!({ "num_predict": max_tokens });
    if let Some(temperature) = prompt.temperature {
        options["temperature"] = json!(temperature);
    }
    json!({
        "model": model,
        "messages": messages_with_system(&prompt.instruction, &prompt.dialogue),
        "stream": true,
        // The caller waits in silence meanwhile. Models that cannot think take it too.
        "think": false,
        "options": options,
    })
}

pub(super) fn decode(frame: &Value) -> Piece {
    let words = frame.pointer("/message/content").or_else(|| frame.get("response"));
    Piece {
        text: json::words(words),
        usage: Usage {
            prompt: json::count(frame.get("prompt_eval_count")),
            response: json::count(frame.get("eval_count")),
        },
        end: json::is_true(frame.get("done")).then(|| end(frame)),
    }
}

/// A good end is the last frame.
fn end(frame: &Value) -> End {
    let short = json::reason(frame.get("done_reason")).map(End::of).filter(|end| *end != End::Spoken);
    short.unwrap_or(End::Last)
}
