//! Ollama's `/api/chat` (docs.ollama.com/api/chat): what is asked, what a frame says.

use serde::Deserialize;
use serde_json::{Value, json};

use super::piece::{Complaint, End, Fault, Piece, Usage};
use super::turns::messages_with_system;
use crate::job::Prompt;

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

#[derive(Deserialize)]
struct Frame {
    error: Option<Complaint>,
    message: Option<Message>,
    #[serde(default)]
    done: bool,
    prompt_eval_count: Option<u64>,
    eval_count: Option<u64>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: String,
}

pub(super) fn decode(frame: &str) -> Result<Piece, Fault> {
    let frame: Frame = serde_json::from_str(frame)?;
    if let Some(complaint) = frame.error {
        return Err(complaint.into());
    }
    Ok(Piece {
        text: frame.message.map(|message| message.content).unwrap_or_default(),
        usage: Usage { prompt: frame.prompt_eval_count, response: frame.eval_count },
        end: frame.done.then_some(End::Last),
    })
}
