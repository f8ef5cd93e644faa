//! How the real service ends connections: every close frame and every refused upgrade that was reported.

use std::borrow::Cow;
use std::fmt;

/// A close code with its reason. 1005 is a close frame without a code, 1006 an end without a close frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    pub code: u16,
    pub reason: Cow<'static, str>,
}

impl Close {
    /// The end of life after `goAway`.
    pub const ABORTED: Self = Self::known(1008, "The operation was aborted.");
    /// The other end of life after `goAway`, or a stall.
    pub const DEADLINE: Self = Self::known(1011, "Deadline expired before operation could complete.");
    pub const INTERNAL: Self = Self::known(1011, "Internal error encountered.");
    pub const INVALID_ARGUMENT: Self = Self::known(1007, "Request contains an invalid argument.");
    pub const NO_FRAME: Self = Self::known(Self::WITHOUT_FRAME, "");

    /// RFC 6455, 7.4.1: stands for an end without a close frame.
    pub(super) const WITHOUT_FRAME: u16 = 1006;
    /// RFC 6455, 7.4.1: stands for a close frame without a code.
    pub(super) const WITHOUT_CODE: u16 = 1005;

    pub fn new(code: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { code, reason: reason.into() }
    }

    /// What this code most often comes with.
    pub fn usual(code: u16) -> Self {
        match code {
            1007 => Self::INVALID_ARGUMENT,
            1008 => Self::ABORTED,
            1011 => Self::INTERNAL,
            _ => {
                CLOSES.iter().find(|close| close.code == code).cloned().unwrap_or_else(|| Self::new(code, ""))
            }
        }
    }

    /// The row of [`CLOSES`] whose reason has these words in it.
    pub fn with_reason(words: &str) -> Option<Self> {
        CLOSES.iter().find(|close| close.reason.contains(words)).cloned()
    }

    /// The reason, cut where a close frame ends.
    pub fn wire_reason(&self) -> &str {
        cut(&self.reason)
    }

    const fn known(code: u16, reason: &'static str) -> Self {
        Self { code, reason: Cow::Borrowed(reason) }
    }
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.reason)
    }
}

/// Cuts a reason where a close frame ends (RFC 6455, 5.5: 125 bytes of payload, two of them the code).
pub(super) fn cut(reason: &str) -> &str {
    const REASON_LEN_MAX: usize = 123;
    &reason[..reason.floor_char_boundary(REASON_LEN_MAX)]
}

/// The ways in which the service was seen to end a connection. Texts from the issue trackers of the official
/// SDKs and of frameworks above them (googleapis/python-genai, googleapis/js-genai, google/adk-python,
/// livekit/agents, pipecat-ai/pipecat); 1001, 1009, 1012 and 1013 were not seen and follow RFC 6455.
pub static CLOSES: [Close; 41] = [
    Close::known(1000, ""),
    Close::known(1001, "going away"),
    Close::known(Close::WITHOUT_CODE, ""),
    Close::NO_FRAME,
    Close::known(
        1007,
        "Invalid JSON payload received. Unknown name \"proactivity\" at 'setup': Cannot find field.",
    ),
    Close::known(1007, "API key not valid. Please pass a valid API key."),
    Close::known(1007, "User location is not supported for the API use."),
    Close::known(
        1007,
        "The requested combination of response modalities (TEXT) is not supported by the model. \
         models/gemini-3.8-live accepts the following combination of response modalities: AUDIO",
    ),
    Close::known(1007, "Thinking level is not supported for this model."),
    Close::known(1007, "Thinking level must be specified for this model."),
    Close::known(1007, "Thinking level MINIMAL is not supported for this model."),
    Close::known(1007, "BLOCKING function calls are not supported for this model."),
    Close::known(1007, "Function response scheduling is not supported for this model."),
    Close::known(1007, "Code Execution tool is not supported for this model."),
    Close::known(1007, "realtime_input.media_chunks is deprecated. Use audio, video, or text instead."),
    Close::known(1007, "setup must be the first message and only the first"),
    Close::known(1007, "Precondition check failed."),
    Close::known(1007, "CONTENT_TYPE_AUDIO is not supported for this model."),
    Close::known(1007, "Invalid audio: expected 16khz s16le pcm, mono channel."),
    Close::known(1007, "Invalid session handle"),
    Close::INVALID_ARGUMENT,
    Close::known(
        1008,
        "models/gemini-2.0-flash-live-001 is not found for API version v1beta, or is not supported for \
         bidiGenerateContent. Call ListModels to see the list of available models and their supported methods.",
    ),
    Close::known(1008, "Operation is not implemented, or supported, or enabled."),
    Close::known(1008, "BidiGenerateContent session not found"),
    Close::known(1008, "Requested entity was not found."),
    Close::ABORTED,
    Close::known(
        1008,
        "Method doesn't allow unregistered callers (callers without established identity). Please use API Key \
         or other form of API consumer identity to call this API.",
    ),
    Close::known(1008, "Your project has been denied access. Please contact support."),
    Close::known(1008, "The caller does not have permission"),
    Close::known(1008, "API key expired. Please renew the API key."),
    Close::known(1008, "RESOURCE_EXHAUSTED: Resource has been exhausted (e.g. check quota)."),
    Close::known(
        1011,
        "You exceeded your current quota, please check your plan and billing details. For more information on \
         this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits.",
    ),
    Close::known(1011, "RESOURCE_EXHAUSTED"),
    Close::DEADLINE,
    Close::INTERNAL,
    Close::known(1011, "The service is currently unavailable."),
    Close::known(1011, "Thread was cancelled when writing StartStep status"),
    // What a client that pings too eagerly says of itself.
    Close::known(1011, "keepalive ping timeout"),
    Close::known(1012, ""),
    Close::known(1013, ""),
    Close::known(1009, ""),
];

/// The HTTP statuses of a refused upgrade.
pub const STATUSES: [u16; 10] = [400, 401, 403, 404, 408, 429, 500, 502, 503, 504];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_is_found_by_words_of_its_reason() {
        assert_eq!(Close::with_reason("session not found").map(|close| close.code), Some(1008));
        assert_eq!(Close::with_reason("never said"), None);
        assert_eq!(Close::usual(1011), Close::INTERNAL);
        assert_eq!(Close::usual(4000), Close::new(4000, ""));
    }

    #[test]
    fn long_reasons_are_cut_in_the_middle_of_a_word() {
        let retired = CLOSES.iter().find(|close| close.reason.contains("is not found for")).unwrap();
        assert!(retired.wire_reason().ends_with("Call Lis"), "{}", retired.wire_reason());
        assert!(CLOSES.iter().all(|close| close.wire_reason().len() <= 123));
    }
}
