//! Replies of the Gemini API (`generateContent` and the events of `streamGenerateContent`), as far as speech needs
//! them: words, audio, and why there is neither.

use reqwest::Url;
use serde::Deserialize;

use super::http;
use super::json::{self, ErrorObject};
use crate::job::Failure;

/// One reply, or one event of a streamed one.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Reply {
    candidates: Vec<Candidate>,
    prompt_feedback: Option<PromptFeedback>,
    error: Option<ErrorObject>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Candidate {
    content: Content,
    finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Content {
    parts: Vec<Part>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Part {
    text: String,
    /// The text is what the model thinks, not what it says.
    thought: bool,
    inline_data: Option<Blob>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Blob {
    pub(super) mime_type: String,
    pub(super) data: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PromptFeedback {
    block_reason: Option<String>,
}

/// How far a candidate is. Reasons: `FinishReason` of the Gemini API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finish {
    /// More events follow, or the service gives no reason.
    Open,
    /// All of it came.
    Stop,
    /// The model wrote as much as it may, and had more.
    MaxTokens,
    /// It gave up, with nothing to do for anybody (`OTHER` and reasons that are not for speech).
    Other,
}

impl Reply {
    /// Reads a reply; one that says that there is no answer is a failure.
    pub(super) fn read(body: &[u8]) -> Result<Self, Failure> {
        let mut reply: Self = json::object(body)?;
        if let Some(error) = reply.error.take() {
            return Err(error.into_failure());
        }
        let feedback = reply.prompt_feedback.as_ref().and_then(|feedback| feedback.block_reason.as_ref());
        let finish = reply.candidates.first().and_then(|candidate| candidate.finish_reason.as_ref());
        match feedback.or_else(|| finish.filter(|reason| is_block(reason))) {
            Some(reason) => Err(Failure::Blocked { reason: reason.clone() }),
            None => Ok(reply),
        }
    }

    /// `None`: there is no candidate at all.
    pub(super) fn finish(&self) -> Option<Finish> {
        let candidate = self.candidates.first()?;
        Some(match candidate.finish_reason.as_deref() {
            None => Finish::Open,
            Some("STOP") => Finish::Stop,
            Some("MAX_TOKENS") => Finish::MaxTokens,
            Some(_) => Finish::Other,
        })
    }

    /// The words of the answer, without thoughts.
    pub(super) fn text(&self) -> String {
        self.parts().filter(|part| !part.thought).map(|part| part.text.as_str()).collect()
    }

    pub(super) fn blobs(&self) -> impl Iterator<Item = &Blob> {
        self.parts().filter_map(|part| part.inline_data.as_ref())
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        self.candidates.first().into_iter().flat_map(|candidate| &candidate.content.parts)
    }
}

/// Reasons of a policy.
fn is_block(reason: &str) -> bool {
    let reasons =
        ["SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR"];
    reasons.contains(&reason)
}

/// The URL of a method of a model.
pub(super) fn url(endpoint: Option<&str>, model: &str, method: &str) -> Result<Url, http::Error> {
    let endpoint = endpoint.unwrap_or("https://generativelanguage.googleapis.com/v1beta");
    let model = model.strip_prefix("models/").unwrap_or(model);
    http::url(endpoint, &format!("models/{model}:{method}"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#, Failure::Blocked { reason: "SAFETY".into() })]
    #[case(r#"{"candidates":[{"finishReason":"SPII"}]}"#, Failure::Blocked { reason: "SPII".into() })]
    #[case(r#"{"error":{"code":503,"message":"overloaded"}}"#, Failure::Reported { message: "overloaded".into() })]
    fn a_reply_without_an_answer_is_a_failure(#[case] body: &str, #[case] failure: Failure) {
        assert_eq!(Reply::read(body.as_bytes()).unwrap_err(), failure);
    }

    #[rstest]
    #[case("{}", None)]
    #[case(r#"{"candidates":[{}]}"#, Some(Finish::Open))]
    #[case(r#"{"candidates":[{"finishReason":"STOP"}]}"#, Some(Finish::Stop))]
    #[case(
        r#"{"candidates":[{"finishReason":"MAX_TOKENS","content":{"role":"model"}}]}"#,
        Some(Finish::MaxTokens)
    )]
    #[case(r#"{"candidates":[{"finishReason":"OTHER"}]}"#, Some(Finish::Other))]
    #[case(r#"{"candidates":[{"finishReason":"NEWER_THAN_THIS"}]}"#, Some(Finish::Other))]
    fn a_reply_says_how_far_it_is(#[case] body: &str, #[case] finish: Option<Finish>) {
        assert_eq!(Reply::read(body.as_bytes()).unwrap().finish(), finish);
    }

    #[test]
    fn thoughts_are_not_words() {
        let body = r#"{"candidates":[{"content":{"parts":[
            {"text":"Hm.","thought":true},{"text":"where "},{"inlineData":{"mimeType":"a/b","data":"AA=="}},{"text":"is it"}]}}]}"#;
        let reply = Reply::read(body.as_bytes()).unwrap();
        assert_eq!(reply.text(), "where is it");
        assert_eq!(reply.blobs().map(|blob| blob.mime_type.as_str()).collect::<Vec<_>>(), ["a/b"]);
    }
}
