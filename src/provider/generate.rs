//! Replies of the Gemini API (`generateContent` and the events of `streamGenerateContent`), as far as speech needs
//! them: words, audio, and why there is neither.

use reqwest::Url;
use serde_json::Value;

use super::{http, json};
use crate::job::Failure;

/// One reply, or one event of a streamed one.
#[derive(Debug)]
pub(super) struct Reply(Value);

/// Data of a part.
#[derive(Debug)]
pub(super) struct Blob<'a> {
    pub(super) mime_type: &'a str,
    pub(super) data: &'a str,
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
        Self::of(&json::object(body)?)
    }

    /// The same of an object.
    pub(super) fn of(object: &Value) -> Result<Self, Failure> {
        let reply = Self(object.clone());
        let feedback = json::reason(reply.0.pointer("/promptFeedback/blockReason"));
        let blocked = feedback.filter(|reason| !reason.ends_with("UNSPECIFIED"));
        match blocked.or_else(|| reply.reason().filter(|reason| is_block(reason))) {
            Some(reason) => Err(Failure::Blocked { reason: reason.to_owned() }),
            None => Ok(reply),
        }
    }

    /// `None`: there is no candidate at all.
    pub(super) fn finish(&self) -> Option<Finish> {
        self.candidate()?;
        Some(match self.reason() {
            None => Finish::Open,
            Some("STOP") => Finish::Stop,
            Some("MAX_TOKENS") => Finish::MaxTokens,
            Some(_) => Finish::Other,
        })
    }

    /// The words of the answer, without thoughts.
    pub(super) fn text(&self) -> String {
        self.parts().map(|part| json::words(Some(part))).collect()
    }

    pub(super) fn blobs(&self) -> impl Iterator<Item = Blob<'_>> {
        self.parts().filter_map(|part| {
            let blob = part.get("inlineData").or_else(|| part.get("inline_data"))?;
            let mime_type = blob.get("mimeType").or_else(|| blob.get("mime_type")).and_then(Value::as_str);
            Some(Blob { mime_type: mime_type.unwrap_or_default(), data: blob.get("data")?.as_str()? })
        })
    }

    /// Counts of tokens: `promptTokenCount` and its relatives.
    pub(super) fn count(&self, name: &str) -> Option<u64> {
        json::count(self.0.get("usageMetadata")?.get(name))
    }

    /// Why the answer ends, if it does.
    pub(super) fn reason(&self) -> Option<&str> {
        let reason = json::reason(self.candidate()?.get("finishReason"));
        reason.filter(|reason| !reason.ends_with("UNSPECIFIED"))
    }

    fn candidate(&self) -> Option<&Value> {
        self.0.get("candidates")?.as_array()?.first()
    }

    fn parts(&self) -> impl Iterator<Item = &Value> {
        let parts = self.candidate().and_then(|candidate| candidate.pointer("/content/parts")?.as_array());
        parts.into_iter().flatten()
    }
}

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

/// Reasons of a policy.
fn is_block(reason: &str) -> bool {
    POLICIES.contains(&reason)
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
    #[case(r#"{"candidates":[{"finishReason":"FINISH_REASON_UNSPECIFIED"}]}"#, Some(Finish::Open))]
    #[case(
        r#"{"candidates":[{"finishReason":null,"content":null}],"promptFeedback":null}"#,
        Some(Finish::Open)
    )]
    #[case(r#"{"candidates":null,"usageMetadata":"none"}"#, None)]
    fn a_reply_says_how_far_it_is(#[case] body: &str, #[case] finish: Option<Finish>) {
        assert_eq!(Reply::read(body.as_bytes()).unwrap().finish(), finish);
    }

    #[test]
    fn thoughts_are_not_words() {
        let body = r#"{"candidates":[{"content":{"parts":[
            {"text":"Hm.","thought":true},{"text":"where "},{"inlineData":{"mimeType":"a/b","data":"AA=="}},{"text":"is it"}]}}]}"#;
        let reply = Reply::read(body.as_bytes()).unwrap();
        assert_eq!(reply.text(), "where is it");
        assert_eq!(reply.blobs().map(|blob| blob.mime_type).collect::<Vec<_>>(), ["a/b"]);
    }
}
