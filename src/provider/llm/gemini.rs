//! Gemini's `streamGenerateContent` (ai.google.dev/api/generate-content): what is asked, what a frame says.

use serde::Deserialize;
use serde_json::{Value, json};

use super::piece::{Complaint, End, Fault, Piece, Usage};
use super::turns::turns;
use crate::dialogue::Speaker;
use crate::job::Prompt;

/// Models that think. The level is refused by those before them, which are left to their default.
const THINKING_MODELS: &str = "gemini-3";

/// Thoughts count as output: without room for them a short answer is cut off before its first word.
const THOUGHT_TOKENS: u32 = 512;

/// The reasons of `FinishReason` and `BlockReason` that are policies. `OTHER` and the rest are accidents.
const POLICIES: [&str; 8] = [
    "SAFETY",
    "RECITATION",
    "LANGUAGE",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MODEL_ARMOR",
    "JAILBREAK",
];

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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Frame {
    error: Option<Complaint>,
    #[serde(default)]
    candidates: Vec<Candidate>,
    prompt_feedback: Option<Feedback>,
    usage_metadata: Option<Counts>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    content: Option<Content>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    parts: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    text: String,
    /// The model talks to itself.
    #[serde(default)]
    thought: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback {
    block_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    prompt_token_count: Option<u64>,
    candidates_token_count: Option<u64>,
    /// Billed as output.
    thoughts_token_count: Option<u64>,
}

pub(super) fn decode(frame: &str) -> Result<Piece, Fault> {
    let frame: Frame = serde_json::from_str(frame)?;
    if let Some(complaint) = frame.error {
        return Err(complaint.into());
    }
    let blocked = frame.prompt_feedback.and_then(|feedback| feedback.block_reason).map(End::Withheld);
    let candidate = frame.candidates.into_iter().next();
    let (content, finish) = candidate.map_or((None, None), |it| (it.content, it.finish_reason));
    let parts = content.map_or_else(Vec::new, |content| content.parts);
    Ok(Piece {
        text: parts.into_iter().filter(|part| !part.thought).map(|part| part.text).collect(),
        usage: frame.usage_metadata.map_or_else(Usage::default, usage),
        end: blocked.or_else(|| finish.map(end)),
    })
}

fn end(reason: String) -> End {
    if POLICIES.contains(&reason.as_str()) { End::Withheld(reason) } else { End::Spoken }
}

fn usage(counts: Counts) -> Usage {
    let response = counts.candidates_token_count.into_iter().chain(counts.thoughts_token_count);
    Usage { prompt: counts.prompt_token_count, response: response.reduce(u64::saturating_add) }
}
