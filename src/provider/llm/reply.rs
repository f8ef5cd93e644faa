//! A language model's answer being read: frames out of bytes, words out of frames, and how long for.

use std::time::Duration;

use tokio::time::timeout;

use super::super::http::Body;
use super::super::lines::{Error, Events, Lines};
use super::super::mend::Halves;
use super::super::pool::{Answer, Item};
use super::super::service;
use super::Kind;
use super::opening::{Habit, Opening};
use super::piece::{Fault, Piece, Progress, Stage};
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
    halves: Halves,
    opening: Opening,
    /// Why the first frame that was none could not be read.
    odd: Option<String>,
}

/// How frames are told apart.
#[derive(Debug)]
pub(super) enum Framing {
    /// Events, unless the first byte says otherwise.
    Begin,
    /// Server-sent events.
    Events(Events),
    /// One JSON object in each line; a server that writes events all the same is understood.
    Lines(Lines),
    /// A document in place of the events that were asked for, or several.
    Documents(Vec<u8>),
}

impl Framing {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if let (Self::Begin, Some(first)) = (&self, bytes.iter().find(|byte| !byte.is_ascii_whitespace())) {
            let is_document = matches!(first, b'{' | b'[');
            *self = if is_document { Self::Documents(Vec::new()) } else { Self::Events(Events::default()) };
        }
        match self {
            Self::Begin => {}
            Self::Events(events) => events.push(bytes),
            Self::Lines(lines) => lines.push(bytes),
            Self::Documents(all) => all.extend_from_slice(bytes),
        }
    }

    /// The last frame, if its end of line is missing.
    pub(super) fn finish(&mut self) -> Result<Option<String>, Error> {
        let rest = match self {
            Self::Begin => None,
            Self::Events(events) => events.finish()?,
            Self::Lines(lines) => Some(frame_of_line(&lines.finish())),
            Self::Documents(all) => Some(String::from_utf8_lossy(&std::mem::take(all)).into_owned()),
        };
        Ok(rest.filter(|rest| !rest.trim().is_empty()))
    }

    pub(super) fn next_frame(&mut self) -> Result<Option<String>, Error> {
        match self {
            Self::Begin | Self::Documents(_) => Ok(None),
            Self::Events(events) => events.next_event(),
            Self::Lines(lines) => {
                while let Some(line) = lines.next_line()? {
                    let frame = frame_of_line(&line);
                    if !frame.is_empty() {
                        return Ok(Some(frame));
                    }
                }
                Ok(None)
            }
        }
    }
}

fn frame_of_line(line: &str) -> String {
    let line = line.trim_start_matches('\u{FEFF}').trim();
    let is_none = [":", "event:", "id:", "retry:"].iter().any(|field| line.starts_with(field));
    if is_none { String::new() } else { line.strip_prefix("data:").unwrap_or(line).trim().to_owned() }
}

impl Source {
    pub(super) fn new(kind: Kind, body: Body, habit: &Habit) -> Self {
        Self {
            kind,
            body,
            framing: kind.framing(),
            halves: Halves::default(),
            opening: Opening::new(habit),
            odd: None,
        }
    }

    /// What a frame says; nothing if it is none.
    fn decode(&mut self, frame: &str) -> Result<Option<Piece>, Failure> {
        match self.kind.decode(&self.halves.join(frame)) {
            Ok(piece) => Ok(Some(piece)),
            Err(Fault::Unreadable(error)) => {
                self.odd.get_or_insert(error);
                Ok(None)
            }
            Err(Fault::Failed(failure)) => Err(service::clean(&self.body, failure)),
        }
    }
}

impl Reply {
    pub(super) fn new(source: Source, patience: Duration, between_words: Duration) -> Self {
        Self { source, progress: Progress::default(), patience, between_words }
    }

    /// The next words that may be told; `None`: there are no more.
    async fn words(&mut self) -> Result<Option<String>, Failure> {
        while let Some(text) = self.text().await? {
            if let Some(words) = self.source.opening.push(&text) {
                return Ok(Some(words));
            }
        }
        Ok(self.source.opening.finish())
    }

    /// The next text as the model writes it; `None`: there is no more.
    async fn text(&mut self) -> Result<Option<String>, Failure> {
        while self.progress.stage != Stage::Over {
            let frame =
                self.source.framing.next_frame().map_err(|error| self.source.body.unreadable(error))?;
            if let Some(frame) = frame {
                let Some(piece) = self.source.decode(&frame)? else { continue };
                if let Some(text) = self.progress.take(piece)? {
                    return Ok(Some(text));
                }
            } else {
                match self.source.body.next_chunk().await? {
                    Some(chunk) => self.source.framing.push(&chunk),
                    None => return self.end(),
                }
            }
        }
        Ok(None)
    }

    /// No more bytes come, and the connection ended well: that ends an answer, whether or not a last frame says so.
    /// Many servers send none. The words of a last frame without its end of line are part of it.
    fn end(&mut self) -> Result<Option<String>, Failure> {
        let rest = self.source.framing.finish().map_err(|error| self.source.body.unreadable(error))?;
        let piece = rest.as_ref().map(|frame| self.source.decode(frame)).transpose()?;
        let is_cut = matches!(piece, Some(None));
        let words = piece.flatten().map(|piece| self.progress.take(piece)).transpose()?.flatten();
        match (self.progress.stage, &self.source.odd) {
            (Stage::Mute | Stage::Wordless, Some(odd)) => return Err(self.source.body.unreadable(odd)),
            (Stage::Mute, None) => return Err(self.source.body.unreadable("it ends without a whole frame")),
            (Stage::Speaking, _) if is_cut => {
                return Err(self.source.body.cut("it ends in the middle of a frame"));
            }
            (_, _) => self.progress.stage = Stage::Over,
        }
        Ok(words)
    }
}

impl Reply {
    /// What is left when no more words come: those that were held back, the counts, why it is not whole.
    fn rest(&mut self) -> Result<Option<Item>, Failure> {
        let words = self.source.opening.finish().map(Item::Text);
        if let Some(item) = words.or_else(|| self.progress.take_usage()) {
            return Ok(Some(item));
        }
        self.progress.take_failure(self.source.opening.has_words()).map_or(Ok(None), Err)
    }
}

impl Answer for Reply {
    async fn next(&mut self) -> Result<Option<Item>, Failure> {
        if self.progress.stage == Stage::Over {
            return self.rest();
        }
        let is_spoken = self.progress.stage == Stage::Spoken;
        let patience = if is_spoken { TAIL_MAX } else { self.patience };
        self.patience = self.between_words;
        match (timeout(patience, self.words()).await, self.progress.stage) {
            (Ok(Ok(Some(text))), _) => Ok(Some(Item::Text(text))),
            // What goes wrong after all was said is nobody's loss.
            (_, Stage::Spoken | Stage::Over) => {
                self.progress.stage = Stage::Over;
                self.rest()
            }
            (Ok(Ok(None)), _) => Ok(None),
            (Ok(Err(failure)), _) => Err(failure),
            (Err(_), Stage::Mute | Stage::Wordless) => Err(Failure::FirstByteTimeout),
            (Err(_), Stage::Speaking) => Err(Failure::Stalled),
        }
    }
}
