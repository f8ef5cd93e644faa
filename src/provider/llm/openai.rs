//! Chat completions as OpenAI and many others serve them (platform.openai.com/docs/api-reference/chat): what is
//! asked, what a frame says.

use serde::Deserialize;
use serde_json::{Value, json};

use super::piece::{Complaint, End, Fault, Piece, Usage};
use super::turns::messages_with_system;
use crate::job::Prompt;

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

#[derive(Deserialize)]
struct Frame {
    error: Option<Complaint>,
    /// Empty in the frame of the counts; some services leave it out or say null.
    choices: Option<Vec<Choice>>,
    usage: Option<Counts>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
}

#[derive(Deserialize)]
struct Counts {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

pub(super) fn decode(frame: &str) -> Result<Piece, Fault> {
    if frame.trim() == LAST {
        return Ok(Piece { end: Some(End::Last), ..Piece::default() });
    }
    let frame: Frame = serde_json::from_str(frame)?;
    if let Some(complaint) = frame.error {
        return Err(complaint.into());
    }
    let choice = frame.choices.unwrap_or_default().into_iter().next();
    let (delta, finish) = choice.map_or((None, None), |it| (it.delta, it.finish_reason));
    let usage = |counts: Counts| Usage { prompt: counts.prompt_tokens, response: counts.completion_tokens };
    Ok(Piece {
        text: delta.and_then(|delta| delta.content).unwrap_or_default(),
        usage: frame.usage.map_or_else(Usage::default, usage),
        end: finish.map(end),
    })
}

fn end(reason: String) -> End {
    if reason == "content_filter" { End::Withheld(reason) } else { End::Spoken }
}
