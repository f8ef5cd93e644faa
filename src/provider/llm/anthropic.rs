//! Anthropic's Messages API (platform.claude.com/docs/en/build-with-claude/streaming): what is asked, what a
//! frame says.

use serde::Deserialize;
use serde_json::{Value, json};

use super::piece::{Complaint, End, Fault, Piece, Usage};
use super::turns::messages;
use crate::job::Prompt;

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

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Frame {
    MessageStart {
        message: Message,
    },
    ContentBlockDelta {
        delta: Delta,
    },
    MessageDelta {
        delta: Stop,
        usage: Option<Counts>,
    },
    MessageStop,
    Error {
        error: Complaint,
    },
    /// Pings, the frames around content blocks, and what is new: the documentation demands to pass them over.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Message {
    usage: Option<Counts>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Delta {
    TextDelta {
        text: String,
    },
    /// Thoughts, signatures, arguments of tools.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Stop {
    stop_reason: Option<String>,
}

/// Counts of the whole answer so far; those of `message_start` hold one token of output or so.
#[derive(Deserialize)]
struct Counts {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
}

pub(super) fn decode(frame: &str) -> Result<Piece, Fault> {
    let mut piece = Piece::default();
    match serde_json::from_str(frame)? {
        Frame::MessageStart { message } => piece.usage = usage(message.usage),
        Frame::ContentBlockDelta { delta: Delta::TextDelta { text } } => piece.text = text,
        Frame::MessageDelta { delta, usage: counts } => {
            piece.usage = usage(counts);
            piece.end = delta.stop_reason.filter(|reason| reason == "refusal").map(End::Withheld);
        }
        Frame::MessageStop => piece.end = Some(End::Last),
        Frame::Error { error } => return Err(error.into()),
        Frame::ContentBlockDelta { delta: Delta::Other } | Frame::Other => {}
    }
    Ok(piece)
}

fn usage(counts: Option<Counts>) -> Usage {
    let usage = |counts: Counts| Usage { prompt: counts.input_tokens, response: counts.output_tokens };
    counts.map_or_else(Usage::default, usage)
}
