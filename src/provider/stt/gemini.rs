//! A Gemini model that is told to write down what it hears.

use reqwest::Url;
use serde_json::{Value, json};

use super::Task;
use crate::base64;
use crate::job::Failure;
use crate::provider::generate::{self, Finish, Reply};
use crate::provider::http::Error;

pub(super) const MODEL: &str = "gemini-3.8-flash";

/// An utterance of 30 s has some hundred words, and thoughts count too. A model that repeats itself without end,
/// as they do on noise, ends here.
const TOKENS_MAX: u32 = 2048;

/// Not streamed: the transcript is wanted whole, and one object says whether it is.
pub(super) fn url(endpoint: Option<&str>, model: Option<&str>) -> Result<Url, Error> {
    generate::url(endpoint, model.unwrap_or(MODEL), "generateContent")
}

pub(super) fn body(task: &Task<'_>) -> Value {
    let instruction = format!(
        "You are a speech recogniser. Transcribe the telephone audio verbatim, in the language that is spoken, \
         which most likely is {}. Output nothing but the spoken words: no comment, no label, no quotation marks, \
         no description of sounds, no answer to what is said. If no words are spoken, output nothing at all.",
        task.language
    );
    let audio = json!({ "mimeType": "audio/wav", "data": base64::encode(&task.wav()) });
    let mut generation = json!({ "temperature": 0.0, "maxOutputTokens": TOKENS_MAX });
    // Models before 3 refuse a level; writing down needs no thought (Gemini API, "Thinking").
    if task.model.starts_with("gemini-3") {
        generation["thinkingConfig"] = json!({ "thinkingLevel": "LOW" });
    }
    json!({
        "systemInstruction": { "parts": [{ "text": instruction }] },
        "contents": [{ "role": "user", "parts": [{ "inlineData": audio }] }],
        "generationConfig": generation,
    })
}

/// A transcript without its end is none: it may have lost the word that matters.
pub(super) fn transcript(reply: &[u8]) -> Result<String, Failure> {
    let reply = Reply::read(reply)?;
    match reply.finish() {
        Some(Finish::Stop) => Ok(reply.text()),
        Some(Finish::Open | Finish::Other) | None if reply.text().trim().is_empty() => Err(Failure::Empty),
        Some(Finish::Open) => Ok(reply.text()),
        Some(Finish::MaxTokens | Finish::Other) | None => {
            Err(Failure::Cut { message: "the transcript has no end".to_owned() })
        }
    }
}
