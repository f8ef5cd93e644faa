//! Where servers of OpenAI's `/audio/transcriptions` have the transcript in their replies.

use serde_json::Value;

use crate::job::Failure;
use crate::provider::{json, refusal};

/// Whether a text is JSON and no words: `[BLANK_AUDIO]` and `[00:00.000 --> 00:04.000] Hello.` are words.
pub(super) fn is_document(text: &str) -> bool {
    let mut marks = text.chars().filter(|c| !c.is_whitespace());
    match marks.next() {
        Some('{') => true,
        Some('[') => marks.next().is_none_or(|next| matches!(next, '{' | '"' | ']')),
        _ => false,
    }
}

/// The transcript of a reply of one document or several; one that reports an error is that failure.
pub(super) fn transcript(documents: &[Value]) -> Result<String, Failure> {
    let mut stretches = Vec::new();
    for document in documents {
        if let Some(error) = refusal::complaint(document) {
            return Err(refusal::reported(error, str::to_owned));
        }
        stretches.extend(segments(document).or_else(|| text_of(document)));
    }
    if stretches.is_empty() {
        return Err(Failure::Unreadable { message: "no transcript in the reply".to_owned() });
    }
    Ok(joined(stretches))
}

/// Stretches of one text, with a space between two where neither has one.
pub(super) fn joined(stretches: impl IntoIterator<Item = String>) -> String {
    let mut all = String::new();
    for stretch in stretches {
        let is_apart = all.ends_with(char::is_whitespace) || stretch.starts_with(char::is_whitespace);
        if !all.is_empty() && !stretch.is_empty() && !is_apart {
            all.push(' ');
        }
        all.push_str(&stretch);
    }
    all
}

/// The words of segments that are speech; `None` if that is said of none, or of all. What is neither likely to be
/// speech nor likely to be these words is made up (Whisper's own rule for silence). A likelihood that is no number
/// says nothing against the words.
fn segments(reply: &Value) -> Option<String> {
    const NO_SPEECH: f64 = 0.6;
    const UNLIKELY: f64 = -1.0;
    let segments = reply.get("segments")?.as_array()?;
    let number = |segment: &Value, name: &str| segment.get(name).and_then(Value::as_f64);
    let is_speech = |segment: &&Value| {
        let no_speech = number(segment, "no_speech_prob").unwrap_or_default();
        let likely = number(segment, "avg_logprob").unwrap_or_default();
        no_speech <= NO_SPEECH || likely >= UNLIKELY
    };
    let speech: Vec<_> = segments.iter().filter(is_speech).collect();
    let has_words = segments.iter().any(|segment| !words_of(segment).is_empty());
    (has_words && speech.len() < segments.len()).then(|| joined(speech.into_iter().map(words_of)))
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
    const LISTS: [&str; 6] = ["results", "segments", "utterances", "chunks", "sentences", "words"];
    if reply.is_string() {
        return Some(words(reply));
    }
    let whole = PLACES.iter().filter_map(|place| reply.pointer(place)).map(words);
    let lists = LISTS.iter().filter_map(|name| reply.get(*name)?.as_array());
    let lists = lists.map(|stretches| joined(stretches.iter().map(words_of)));
    whole.chain(lists).reduce(|one, next| if one.is_empty() { next } else { one })
}

/// The words of one stretch of a list.
fn words_of(stretch: &Value) -> String {
    const PLACES: [&str; 6] =
        ["/alternatives/0/transcript", "/transcript", "/text", "/word", "/punctuated_word", "/words"];
    if stretch.is_string() {
        return words(stretch);
    }
    let found = PLACES.iter().filter_map(|place| stretch.pointer(place)).map(words);
    found.reduce(|one, next| if one.is_empty() { next } else { one }).unwrap_or_default()
}

/// A text, or a list of stretches of it.
fn words(value: &Value) -> String {
    match value.as_array() {
        Some(stretches) => joined(stretches.iter().map(words_of)),
        None => json::words(Some(value)),
    }
}
