//! Anthropic's Messages API (platform.claude.com/docs/en/build-with-claude/streaming): what is asked, what a
//! frame says.

use serde_json::{Value, json};

use super::piece::{End, Piece, Usage};
use super::turns::messages;
use crate::job::Prompt;
use crate::provider::json;

/// Value of the `anthropic-version` header that every request needs.
pub(super) const VERSION: &str = "2023-06-01";

/// Other services go up to 2; more than this is refused here.
const TEMPERATURE_MAX: f32 = 1.0;

pub(super) fn body(model: &str, max_tokens: u32, prompt: &Prompt) -> Value {
    let mut body = json!({
        "model": model,
        "max_tokens": max_tokens,
        "messages": messages(&prompt.dialogue).collect::<Vec<_>>(),
        "stream": true,
    });
    if !prompt.instruction.is_empty() {
        body["system"] = json!(prompt.instruction);
    }
    if let Some(temperature) = prompt.temperature {
        body["temperature"] = json!(temperature.min(TEMPERATURE_MAX));
    }
    body
}

/// Pings, the frames around content blocks, and what is new say nothing: the documentation demands to pass them over.
pub(super) fn decode(frame: &Value) -> Piece {
    let mut piece = Piece::default();
    let delta = frame.get("delta");
    match frame.get("type").and_then(Value::as_str).unwrap_or_default() {
        "message_start" => piece.usage = usage(frame.pointer("/message/usage")),
        // Thoughts, signatures and arguments of tools are deltas of other types.
        "content_block_delta" => piece.text = words(delta),
        "content_block_start" => piece.text = words(frame.get("content_block")),
        "message_delta" => {
            piece.usage = usage(frame.get("usage"));
            piece.end = end(delta);
        }
        "message_stop" => piece.end = Some(End::Last),
        // A server that does not stream.
        "message" => {
            piece.text = json::words(frame.get("content"));
            piece.usage = usage(frame.get("usage"));
            piece.end = end(Some(frame)).or(Some(End::Last));
        }
        _ => {}
    }
    piece
}

fn words(block: Option<&Value>) -> String {
    let kind = block.and_then(|block| block.get("type")?.as_str());
    let is_text = kind.is_none_or(|kind| matches!(kind, "text_delta" | "text"));
    let text = block.filter(|_| is_text).and_then(|block| block.get("text")?.as_str());
    text.unwrap_or_default().to_owned()
}

/// `None` for a good end: `message_stop` follows.
fn end(stop: Option<&Value>) -> Option<End> {
    json::reason(stop?.get("stop_reason")).map(End::of).filter(|end| *end != End::Spoken)
}

/// Counts of the whole answer so far; those of `message_start` hold one token of output or so.
fn usage(counts: Option<&Value>) -> Usage {
    let count = |name| json::count(counts.and_then(|counts| counts.get(name)));
    Usage { prompt: count("input_tokens"), response: count("output_tokens") }
}
