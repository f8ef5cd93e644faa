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
    /// A policy withholds the rest.
    Withheld(String),
    /// The last frame.
    Last,
}

/// Why a frame says nothing.
#[derive(Debug)]
pub(super) enum Fault {
    /// It is no frame: passed over, and told if there are no words in the others.
    Unreadable(String),
    /// The service says that it failed.
    Failed(Failure),
}

impl Piece {
    /// Adds what the next document of the same frame says.
    pub(super) fn add(&mut self, next: Self) {
        self.text.push_str(&next.text);
        self.usage.prompt = next.usage.prompt.or(self.usage.prompt);
        self.usage.response = next.usage.response.or(self.usage.response);
        self.end = next.end.or_else(|| self.end.take());
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
            Some(End::Withheld(reason)) if self.stage == Stage::Wordless => {
                return Err(Failure::Blocked { reason });
            }
            Some(End::Withheld(_)) => self.stage = Stage::Spoken,
            Some(End::Last) => self.stage = Stage::Over,
        }
        self.spoken += text.len();
        if self.spoken > WORDS_MAX {
            return Err(Failure::TooLong);
        }
        Ok(Some(text).filter(|text| !text.is_empty()))
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
