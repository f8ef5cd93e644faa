//! OpenAI's `/audio/transcriptions` and the servers that offer the same.

use reqwest::Url;
use reqwest::multipart::{Form, Part};

use super::{Task, events, places};
use crate::job::Failure;
use crate::provider::http::{self, Error};
use crate::provider::json;

/// The others were announced to end in February 2027 (openai-python 3.52.0).
pub(super) const MODEL: &str = "gpt-transcribe";

pub(super) fn url(endpoint: Option<&str>) -> Result<Url, Error> {
    http::url(endpoint.unwrap_or("https://api.openai.com/v1"), "audio/transcriptions")
}

pub(super) fn form(task: &Task<'_>) -> Form {
    let file = Part::bytes(task.wav()).file_name("audio.wav");
    let form = Form::new().text("model", task.model.to_owned()).text("response_format", "json");
    let form = match iso_639_1(task.language) {
        Some(language) => form.text("language", language),
        None => form,
    };
    form.part("file", file)
}

/// The two letters of a BCP-47 tag. A language that has none is left for the service to find out.
pub(super) fn iso_639_1(language: &str) -> Option<String> {
    let primary = language.split(['-', '_']).next()?;
    let is_short = primary.len() == 2 && primary.bytes().all(|byte| byte.is_ascii_alphabetic());
    is_short.then(|| primary.to_ascii_lowercase())
}

/// A transcript as OpenAI writes it, or another server: one document, several, events, or text without JSON.
pub(super) fn transcript(reply: &[u8]) -> Result<String, Failure> {
    let text = String::from_utf8_lossy(reply);
    let text = text.trim_start_matches('\u{FEFF}').trim();
    if events::are_in(text) {
        return events::transcript(text);
    }
    let is_page = text.starts_with('<') && !text.starts_with("<|");
    if text.is_empty() || is_page || places::is_document(text) {
        return places::transcript(
            &json::documents(text).map_err(|message| Failure::Unreadable { message })?,
        );
    }
    Ok(text.trim_matches('"').to_owned())
}
