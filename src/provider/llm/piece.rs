//! What one frame of any vendor says, and what a whole answer is made of. Pure.

use super::super::pool::Item;
use crate::job::Failure;

/// The words of an answer, bytes: an hour of speech. A model that says more will not stop, and nobody listens.
const WORDS_MAX: usize = 64 << 10;

/// What one frame says; most say one thing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) usage: Usage,
    pub(super) end: Option<End>,
}

/// Tokens as far as they are known; counts are of the whole answer so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) prompt: Option<u64>,
    pub(super) response: Option<u64>,
}

/// How an answer ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// All was said; frames with other news may follow.
    Spoken,
    /// It broke off: no more words come, frames with other news may.
    Short(Short),
    /// The last frame.
    Last,
}

/// Why an answer is not whole, in the service's own word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Short {
    /// The model may not write more, and had more to say.
    Limit(String),
    /// A policy withholds the rest.
    Withheld(String),
    /// The service gave up.
    GaveUp(String),
}

/// Words for a limit of tokens: OpenAI and its relatives, Anthropic, Gemini, Mistral, Cohere.
const LIMITS: [&str; 8] = [
    "length",
    "max_tokens",
    "max_output_tokens",
    "max_length",
    "model_length",
    "model_context_window_exceeded",
    "context_length_exceeded",
    "error_limit",
];

/// Words for a policy: OpenAI, Azure, Anthropic, Gemini, Bedrock, Zhipu, Cohere.
const POLICIES: [&str; 18] = [
    "content_filter",
    "content_filtered",
    "refusal",
    "safety",
    "image_safety",
    "recitation",
    "language",
    "blocklist",
    "prohibited_content",
    "spii",
    "model_armor",
    "jailbreak",
    "guardrail_intervened",
    "guardrails",
    "sensitive",
    "moderation",
    "error_toxic",
    "flagged",
];

/// Words for an accident: OpenRouter, vLLM, SGLang, DeepSeek, Zhipu, Gemini, Cohere.
const ACCIDENTS: [&str; 12] = [
    "error",
    "abort",
    "aborted",
    "cancelled",
    "canceled",
    "timeout",
    "network_error",
    "insufficient_system_resource",
    "other",
    "malformed_function_call",
    "malformed_response",
    "unknown_error",
];

/// Why a frame says nothing.
#[derive(Debug)]
pub(super) enum Fault {
    /// It is no frame: passed over, and told if there are no words in the others.
    Unreadable(String),
    /// The service says that it failed.
    Failed(Failure),
}

impl End {
    /// What any vendor's reason for the end of an answer means; a new one means that all was said.
    pub(super) fn of(reason: &str) -> Self {
        let name = reason.to_ascii_lowercase();
        let is = |names: &[&str]| names.contains(&&*name);
        if is(&LIMITS) {
            Self::Short(Short::Limit(reason.to_owned()))
        } else if is(&POLICIES) {
            Self::Short(Short::Withheld(reason.to_owned()))
        } else if is(&ACCIDENTS) {
            Self::Short(Short::GaveUp(reason.to_owned()))
        } else {
            Self::Spoken
        }
    }
}

impl Piece {
    /// Adds what the next document of the same frame says.
    pub(super) fn add(&mut self, next: Self) {
        self.text.push_str(&next.text);
        self.usage.prompt = next.usage.prompt.or(self.usage.prompt);
        self.usage.response = next.usage.response.or(self.usage.response);
        // That it broke off outlives the frame that is the last.
        if !matches!(self.end, Some(End::Short(_))) {
            self.end = next.end.or_else(|| self.end.take());
        }
    }
}

/// How far an answer has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// No frame came yet.
    #[default]
    Mute,
    /// Frames came, and no word.
    Wordless,
    Speaking,
    /// All was said; the last frame is still to come.
    Spoken,
    Over,
}

/// Puts frames together.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) stage: Stage,
    usage: Usage,
    /// Bytes of words so far.
    spoken: usize,
    /// It broke off.
    short: Option<Short>,
}

impl Progress {
    /// Takes the next frame; gives the words in it.
    pub(super) fn take(&mut self, piece: Piece) -> Result<Option<String>, Failure> {
        let Piece { text, usage, end } = piece;
        self.usage.prompt = usage.prompt.or(self.usage.prompt);
        self.usage.response = usage.response.or(self.usage.response);
        self.stage = match (self.stage, text.is_empty()) {
            (Stage::Mute, true) => Stage::Wordless,
            (Stage::Mute | Stage::Wordless, false) => Stage::Speaking,
            (stage, _) => stage,
        };
        match end {
            None => {}
            Some(End::Spoken) => self.stage = Stage::Spoken,
            Some(End::Short(Short::Withheld(reason))) if self.stage == Stage::Wordless => {
                return Err(Failure::Blocked { reason });
            }
            Some(End::Short(short)) => {
                self.short.get_or_insert(short);
                self.stage = Stage::Spoken;
            }
            Some(End::Last) => self.stage = Stage::Over,
        }
        self.spoken += text.len();
        if self.spoken > WORDS_MAX {
            return Err(Failure::TooLong);
        }
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// Why it is not whole, told once. An answer of which no word is spoken (`has_words`) is just empty, unless a policy
    /// withheld it.
    pub(super) fn take_failure(&mut self, has_words: bool) -> Option<Failure> {
        match self.short.take()? {
            Short::Withheld(reason) => Some(Failure::Blocked { reason }),
            Short::Limit(_) | Short::GaveUp(_) if !has_words => None,
            Short::Limit(reason) => Some(Failure::Unfinished { reason }),
            Short::GaveUp(reason) => Some(Failure::Cut { message: format!("the service gave up: {reason}") }),
        }
    }

    /// What was billed, told once.
    pub(super) fn take_usage(&mut self) -> Option<Item> {
        let Usage { prompt, response } = std::mem::take(&mut self.usage);
        (prompt.is_some() || response.is_some()).then(|| Item::Usage {
            prompt_tokens: prompt.unwrap_or_default(),
            response_tokens: response.unwrap_or_default(),
        })
    }
}
