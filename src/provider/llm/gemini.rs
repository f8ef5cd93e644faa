//! Gemini's `streamGenerateContent` (ai.google.dev/api/generate-content): what is asked, what a frame says.

use serde_json::{Value, json};

use super::piece::{End, Fault, Piece, Short, Usage};
use super::turns::turns;
use crate::dialogue::Speaker;
use crate::job::{Failure, Prompt};
use crate::provider::generate::Reply;
use crate::provider::json;

/// Models that think. The level is refused by those before them, which are left to their default.
const THINKING_MODELS: &str = "gemini-3";

/// Thoughts count as output: without room for them a short answer is cut off before its first word.
const THOUGHT_TOKENS: u32 = 512;

pub(super) fn body(model: &str, max_tokens: u32, prompt: &Prompt) -> Value {
    let contents: Vec<_> = turns(&prompt.dialogue).into_iter().map(content).collect();
    let is_thinking = model.starts_with(THINKING_MODELS);
    let thoughts = if is_thinking { THOUGHT_TOKENS } else { 0 };
    let mut generation = json!({ "maxOutputTokens": max_tokens.saturating_add(thoughts) });
    if let Some(temperature) = prompt.temperature {
        generation["temperature"] = json!(temperature);
    }
    if is_thinking {
        // The caller waits in silence meanwhile: the least that every model of the family takes.
        generation["thinkingConfig"] = json!({ "thinkingLevel": "LOW" });
    }
    let mut body = json!({ "contents": contents, "generationConfig": generation });
    if !prompt.instruction.is_empty() {
        body["systemInstruction"] = json!({ "parts": [{ "text": prompt.instruction }] });
    }
    body
}

fn content((speaker, text): (Speaker, &str)) -> Value {
    let role = match speaker {
        Speaker::Caller => "user",
        Speaker::Agent => "model",
    };
    json!({ "role": role, "parts": [{ "text": text }] })
}

pub(super) fn decode(frame: &Value) -> Result<Piece, Fault> {
    let reply = match Reply::of(frame) {
        Ok(reply) => reply,
        Err(Failure::Blocked { reason }) => {
            let text = json::words(frame.pointer("/candidates/0/content/parts"));
            return Ok(Piece {
                text,
                usage: Usage::default(),
                end: Some(End::Short(Short::Withheld(reason))),
            });
        }
        Err(failure) => return Err(Fault::Failed(failure)),
    };
    // Thoughts are billed as output.
    let counts = [reply.count("candidatesTokenCount"), reply.count("thoughtsTokenCount")];
    Ok(Piece {
        text: reply.text(),
        usage: Usage {
            prompt: reply.count("promptTokenCount"),
            response: counts.into_iter().flatten().reduce(u64::saturating_add),
        },
        end: reply.reason().map(End::of),
    })
}
