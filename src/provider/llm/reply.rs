//! A language model's answer being read: frames out of bytes, words out of frames, and how long for.

use std::time::Duration;

use tokio::time::timeout;

use super::super::http::Body;
use super::super::lines::{Error, Events, Lines};
use super::super::pool::{Answer, Item};
use super::Kind;
use super::piece::{Fault, Progress, Stage};
use crate::job::Failure;

/// When all was said, the counts and the end of the answer follow at once. Whoever waits for the end is not kept
/// waiting by a service that forgets it.
const TAIL_MAX: Duration = Duration::from_millis(250);

/// An answer of a language model. Dropping it closes its connection.
#[derive(Debug)]
pub struct Reply {
    source: Source,
    progress: Progress,
    /// For the next words. Frames without words do not prolong it: the caller does not hear them.
    patience: Duration,
    between_words: Duration,
}

/// Where frames come from.
#[derive(Debug)]
pub(super) struct Source {
    kind: Kind,
    body: Body,
    framing: Framing,
}

/// How frames are told apart.
#[derive(Debug)]
pub(super) enum Framing {
    /// Server-sent events.
    Events(Events),
    /// One JSON object in each line.
    Lines(Lines),
}

impl Framing {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        match self {
            Self::Events(events) => events.push(bytes),
            Self::Lines(lines) => lines.push(bytes),
        }
    }

    pub(super) fn next_frame(&mut self) -> Result<Option<String>, Error> {
        match self {
            Self::Events(events) => events.next_event(),
            Self::Lines(lines) => loop {
                match lines.next_line()? {
                    Some("") => {}
                    line => return Ok(line.map(str::to_owned)),
                }
            },
        }
    }
}

impl Source {
    pub(super) fn new(kind: Kind, body: Body) -> Self {
        Self { kind, body, framing: kind.framing() }
    }

    fn fault(&self, fault: &Fault) -> Failure {
        match fault {
            Fault::Unreadable(error) => self.body.unreadable(error),
            Fault::Reported(message) => self.body.reported(message),
        }
    }
}

impl Reply {
    pub(super) fn new(source: Source, patience: Duration, between_words: Duration) -> Self {
        Self { source, progress: Progress::default(), patience, between_words }
    }

    /// The next words; `None`: there are no more.
    async fn words(&mut self) -> Result<Option<String>, Failure> {
        loop {
            let frame =
                self.source.framing.next_frame().map_err(|error| self.source.body.unreadable(error))?;
            if let Some(frame) = frame {
                let piece = self.source.kind.decode(&frame).map_err(|fault| self.source.fault(&fault))?;
                if let Some(text) = self.progress.take(piece)? {
                    return Ok(Some(text));
                }
            } else {
                match self.source.body.next_chunk().await? {
                    Some(chunk) => self.source.framing.push(&chunk),
                    None => self.end()?,
                }
            }
            if self.progress.stage == Stage::Over {
                return Ok(None);
            }
        }
    }

    /// No more bytes come.
    fn end(&mut self) -> Result<(), Failure> {
        match self.progress.stage {
            Stage::Mute => Err(self.source.body.unreadable("it ends without a whole frame")),
            Stage::Wordless | Stage::Speaking => Err(self.source.body.cut("it ends without a last frame")),
            Stage::Spoken | Stage::Over => {
                self.progress.stage = Stage::Over;
                Ok(())
            }
        }
    }
}

impl Answer for Reply {
    async fn next(&mut self) -> Result<Option<Item>, Failure> {
        if self.progress.stage == Stage::Over {
            return Ok(self.progress.take_usage());
        }
        let is_spoken = self.progress.stage == Stage::Spoken;
        let patience = if is_spoken { TAIL_MAX } else { self.patience };
        self.patience = self.between_words;
        match (timeout(patience, self.words()).await, self.progress.stage) {
            (Ok(Ok(Some(text))), _) => Ok(Some(Item::Text(text))),
            // What goes wrong after all was said is nobody's loss.
            (_, Stage::Spoken | Stage::Over) => {
                self.progress.stage = Stage::Over;
                Ok(self.progress.take_usage())
            }
            (Ok(Ok(None)), _) => Ok(None),
            (Ok(Err(failure)), _) => Err(failure),
            (Err(_), Stage::Mute | Stage::Wordless) => Err(Failure::FirstByteTimeout),
            (Err(_), Stage::Speaking) => Err(Failure::Stalled),
        }
    }
}
