//! A transcript in server-sent events, as servers send it that stream although they were not asked to: changes and the
//! whole (OpenAI's `transcript.text.delta` and `transcript.text.done`), stretches (`{"text"}`), chunks of a completion
//! (vLLM), or bare words.

use serde_json::Value;

use super::places;
use crate::job::Failure;
use crate::provider::lines::Events;
use crate::provider::llm::is_last;
use crate::provider::mend::Halves;
use crate::provider::{json, refusal};

/// The fields of an event (WHATWG HTML, section 9.2.6); a line without a name is a comment.
const FIELDS: [&str; 5] = ["data:", "event:", "id:", "retry:", ":"];

/// Whether a reply is events: every line is a field, and one at least has data.
pub(super) fn are_in(text: &str) -> bool {
    let lines = || text.split(['\n', '\r']).filter(|line| !line.trim().is_empty());
    lines().all(|line| FIELDS.iter().any(|field| line.starts_with(field)))
        && lines().any(|line| line.starts_with(FIELDS[0]))
}

/// The transcript of all events.
pub(super) fn transcript(text: &str) -> Result<String, Failure> {
    let unreadable = |message: String| Failure::Unreadable { message };
    let mut events = Events::default();
    events.push(text.as_bytes());
    let (mut heard, mut halves) = (Heard::default(), Halves::default());
    while let Some(data) = events.next_event().map_err(|error| unreadable(error.to_string()))? {
        heard.take(&halves.join(&data))?;
    }
    if let Some(data) = events.finish().map_err(|error| unreadable(error.to_string()))? {
        heard.take(&halves.join(&data))?;
    }
    Ok(heard.transcript())
}

/// What the events said so far.
#[derive(Debug, Default)]
struct Heard {
    /// What is added piece by piece, with its own spaces.
    changes: String,
    stretches: Vec<String>,
    /// The whole at the end.
    whole: Option<String>,
}

impl Heard {
    fn take(&mut self, data: &str) -> Result<(), Failure> {
        let data = data.trim();
        if data.is_empty() || is_last(data) {
            return Ok(());
        }
        if !places::is_document(data) {
            self.add(data.trim_matches('"').to_owned());
            return Ok(());
        }
        let documents = json::documents(data).map_err(|message| Failure::Unreadable { message })?;
        documents.iter().try_for_each(|document| self.take_document(document))
    }

    fn take_document(&mut self, document: &Value) -> Result<(), Failure> {
        if let Some(error) = refusal::complaint(document) {
            return Err(refusal::reported(error, str::to_owned));
        }
        let kind = document.get("type").and_then(Value::as_str).unwrap_or_default();
        let choice = ["/choices/0/delta/content", "/choices/0/text", "/choices/0/message/content"];
        let change =
            document.get("delta").or_else(|| choice.iter().find_map(|place| document.pointer(place)));
        if let Some(change) = change {
            self.changes.push_str(&json::words(Some(change)));
            return Ok(());
        }
        let Ok(text) = places::transcript(std::slice::from_ref(document)) else { return Ok(()) };
        if kind.ends_with("done") || kind.ends_with("completed") {
            self.whole = Some(text);
        } else {
            self.add(text);
        }
        Ok(())
    }

    /// Adds a stretch; some servers send all of the text again with each.
    fn add(&mut self, text: String) {
        let before = places::joined(self.stretches.iter().cloned());
        if !before.is_empty() && text.len() > before.len() && text.starts_with(&before) {
            self.stretches.clear();
        }
        self.stretches.push(text);
    }

    fn transcript(self) -> String {
        let whole = self.whole.filter(|whole| !whole.trim().is_empty());
        let has_changes = !self.changes.trim().is_empty();
        whole.unwrap_or_else(|| if has_changes { self.changes } else { places::joined(self.stretches) })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::openai;

    #[rstest]
    #[case::openai(
        "event: transcript.text.delta\ndata: {\"type\":\"transcript.text.delta\",\"delta\":\"Where is\"}\n\ndata: {\"type\":\"transcript.text.delta\",\"delta\":\" my order?\"}\n\ndata: {\"type\":\"transcript.text.done\",\"text\":\"Where is my order?\",\"usage\":{}}\n\n"
    )]
    #[case::changes_alone(
        "data: {\"type\":\"transcript.text.delta\",\"delta\":\"Where is\"}\n\ndata: {\"type\":\"transcript.text.delta\",\"delta\":\" my order?\"}\n\ndata: [DONE]\n\n"
    )]
    #[case::the_whole_alone("data: {\"type\":\"transcript.text.done\",\"text\":\"Where is my order?\"}\n\n")]
    #[case::an_empty_whole(
        "data: {\"type\":\"transcript.text.delta\",\"delta\":\"Where is my order?\"}\n\ndata: {\"type\":\"transcript.text.done\",\"text\":\"\"}\n\n"
    )]
    #[case::segments_and_the_whole(
        "data: {\"type\":\"transcript.text.segment\",\"text\":\"Where is\"}\n\ndata: {\"type\":\"transcript.text.done\",\"text\":\"Where is my order?\"}\n\n"
    )]
    #[case::stretches("data: {\"text\":\"Where is\"}\n\ndata: {\"text\":\"my order?\"}\n\ndata: [DONE]\n\n")]
    #[case::stretches_with_spaces("data: {\"text\":\" Where is\"}\n\ndata: {\"text\":\" my order?\"}\n\n")]
    #[case::growing("data: {\"text\":\"Where is\"}\n\ndata: {\"text\":\"Where is my order?\"}\n\n")]
    #[case::vllm(
        "data: {\"object\":\"transcription.chunk\",\"choices\":[{\"delta\":{\"content\":\"Where is\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\" my order?\"}}]}\n\ndata: {\"choices\":[],\"usage\":{}}\n\ndata: [DONE]\n\n"
    )]
    #[case::bare_words("data: Where is\n\ndata: my order?\n\n")]
    #[case::texts("data: \"Where is my order?\"\n\n")]
    #[case::comments(": ping\n\nid: 1\nretry: 9\ndata: {\"text\":\"Where is my order?\"}\n\n: ping\n\n")]
    #[case::carriage_returns("data: {\"text\":\"Where is\"}\r\rdata: {\"text\":\"my order?\"}\r\r")]
    #[case::both("data: {\"text\":\"Where is\"}\r\n\r\ndata: {\"text\":\"my order?\"}\r\n\r\n")]
    #[case::a_list("data: {\"text\":[\"Where is\",\"my order?\"]}\n\n")]
    #[case::no_empty_line_at_the_end("data: {\"text\":\"Where is my order?\"}")]
    fn events_are_a_transcript(#[case] reply: &str) {
        let transcript = openai::transcript(reply.as_bytes()).unwrap();
        assert_eq!(transcript.trim(), "Where is my order?");
    }

    #[rstest]
    #[case::a_cut_character("data: {\"delta\":\"\\ud83d\"}\n\ndata: {\"delta\":\"\\ude42\"}\n\n", "🙂")]
    #[case::nothing_said("data: {\"type\":\"transcript.text.done\",\"text\":\"\"}\n\ndata: [DONE]\n\n", "")]
    #[case::a_number("data: 42\n\n", "42")]
    #[case::a_sound("data: [BLANK_AUDIO]\n\n", "[BLANK_AUDIO]")]
    #[case::no_words("data: [DONE]\n\n", "")]
    #[case::words_with_a_colon("data: the one with\nmany rows", "data: the one with\nmany rows")]
    #[case::a_caller_who_spells("id: seven", "id: seven")]
    fn other_replies_are_what_they_are(#[case] reply: &str, #[case] expected: &str) {
        assert_eq!(openai::transcript(reply.as_bytes()).as_deref(), Ok(expected));
    }

    #[rstest]
    #[case::an_error("data: {\"error\":{\"message\":\"no\"}}\n\n", "reported")]
    #[case::a_named_error("event: error\ndata: {\"message\":\"no\"}\n\n", "reported")]
    #[case::an_error_after_words(
        "data: {\"delta\":\"Where\"}\n\ndata: {\"type\":\"error\",\"message\":\"no\"}\n\n",
        "reported"
    )]
    #[case::broken("data: {\"text\":\"Whe\n\n", "unreadable")]
    fn events_that_tell_a_fault_are_a_failure(#[case] reply: &str, #[case] code: &str) {
        assert_eq!(openai::transcript(reply.as_bytes()).unwrap_err().code(), code);
    }
}
