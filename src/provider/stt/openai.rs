//! OpenAI's `/audio/transcriptions` and the servers that offer the same.

use reqwest::Url;
use reqwest::multipart::{Form, Part};
use serde_json::Value;

use super::Task;
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

/// A transcript in the place where OpenAI has it, or in that of another server; or text without JSON.
pub(super) fn transcript(reply: &[u8]) -> Result<String, Failure> {
    let text = String::from_utf8_lossy(reply);
    let text = text.trim_start_matches('\u{FEFF}').trim();
    if !text.is_empty() && !text.starts_with(['{', '[', '<']) {
        return Ok(text.trim_matches('"').to_owned());
    }
    let reply = json::object(reply)?;
    segments(&reply)
        .or_else(|| text_of(&reply))
        .ok_or_else(|| Failure::Unreadable { message: "no transcript in the reply".to_owned() })
}

/// The words of segments that are speech; `None` if none says how likely that is. What is neither likely to be
/// speech nor likely to be these words is made up (Whisper's own rule for silence).
fn segments(reply: &Value) -> Option<String> {
    const NO_SPEECH: f64 = 0.6;
    const UNLIKELY: f64 = -1.0;
    let segments = reply.get("segments")?.as_array()?;
    segments.iter().find(|segment| segment.get("no_speech_prob").is_some())?;
    let number = |segment: &Value, name: &str| segment.get(name).and_then(Value::as_f64);
    let is_speech = |segment: &&Value| {
        let no_speech = number(segment, "no_speech_prob").unwrap_or_default();
        let likely = number(segment, "avg_logprob").unwrap_or_default();
        no_speech <= NO_SPEECH || likely >= UNLIKELY
    };
    let words = segments.iter().filter(is_speech).map(|segment| json::words(segment.get("text")));
    Some(words.collect::<Vec<_>>().join(" "))
}

/// The transcript, wherever it is; empty if its place is there and has none.
fn text_of(reply: &Value) -> Option<String> {
    const PLACES: [&str; 10] = [
        "/text",
        "/transcript",
        "/transcription",
        "/result/text",
        "/output/text",
        "/data/text",
        "/data/transcript",
        "/results/channels/0/alternatives/0/transcript",
        "/results/transcripts/0/transcript",
        "/DisplayText",
    ];
    let found = PLACES.iter().filter_map(|place| reply.pointer(place));
    if let Some(text) = found
        .map(|value| json::words(Some(value)))
        .reduce(|one, next| if one.is_empty() { next } else { one })
    {
        return Some(text);
    }
    let stretches =
        ["results", "segments", "utterances"].iter().find_map(|name| reply.get(*name)?.as_array())?;
    let words = stretches.iter().map(|stretch| {
        let best = stretch.pointer("/alternatives/0/transcript").or_else(|| stretch.get("transcript"));
        json::words(best.or_else(|| stretch.get("text")))
    });
    Some(words.collect::<Vec<_>>().join(" "))
}
