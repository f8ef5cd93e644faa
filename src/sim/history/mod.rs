//! What many calls leave behind, made up: for benches, and for tests of questions to the call log.
//!
//! Plausible in what matters to a database: sizes, frequencies, how words, callers and times are spread. The same for
//! the same seed. Knows the shape of the log's entries and not the program's types of them.

mod cast;
mod course;
mod dice;
mod fate;
mod rhythm;
mod vocabulary;

use std::sync::Arc;

use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use self::cast::Cast;
pub use self::cast::{AGENTS, Agent, BUSINESSES, CALLERS};
use self::course::Course;
use self::dice::Dice;
pub use self::fate::Ending;
use self::rhythm::Rhythm;
pub use self::vocabulary::{Vocabulary, WORDS};
use crate::dialogue::Speaker;

/// One call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// UUID version 7 of its start.
    pub id: Uuid,
    pub call_sid: String,
    pub account_sid: &'static str,
    pub agent: Arc<Agent>,
    /// The caller, E.164 or `anonymous`.
    pub from: String,
    /// In the order of time: the position of each is its number in the log. [`What::Opened`] first,
    /// [`What::Ended`] last.
    pub entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// To the millisecond.
    pub at: OffsetDateTime,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub enum What {
    Opened,
    Answered {
        stream_sid: String,
    },
    Turn(Turn),
    /// `detail` is an object: the fields of this kind of event.
    Event {
        kind: &'static str,
        detail: Value,
    },
    Ended(Ending),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    pub speaker: Speaker,
    pub text: String,
    pub started_at: OffsetDateTime,
    pub ended_at: OffsetDateTime,
    pub interrupted: bool,
    pub latency_ms: Option<u64>,
}

/// Yields calls in the order in which they begin, each made when it is asked for.
#[derive(Clone, Debug)]
pub struct History {
    seed: u64,
    index: u64,
    starts: Rhythm,
    cast: Cast,
    vocabulary: Vocabulary,
}

impl History {
    /// So many calls that begin between two times.
    pub fn new(seed: u64, calls: u64, from: OffsetDateTime, to: OffsetDateTime) -> Self {
        Self {
            seed,
            index: 0,
            starts: Rhythm::new(calls, from, to, Dice::of(seed, u64::MAX)),
            cast: Cast::default(),
            vocabulary: Vocabulary::default(),
        }
    }

    /// What is spoken in it.
    pub const fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }
}

impl Iterator for History {
    type Item = Call;

    fn next(&mut self) -> Option<Call> {
        let start = self.starts.next()?;
        let mut dice = Dice::of(self.seed, self.index);
        self.index += 1;
        Some(Call {
            id: id(start, &mut dice),
            call_sid: format!("CA{}", dice.hex(32)),
            account_sid: "AC00000000000000000000000000000000",
            agent: self.cast.agent(&mut dice),
            from: self.cast.caller(&mut dice),
            entries: Course::new(start, &self.vocabulary, dice).run(),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.starts.size_hint()
    }
}

fn id(start: OffsetDateTime, dice: &mut Dice) -> Uuid {
    let ms = u64::try_from(start.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
    let mut random = [0; 10];
    random[..8].copy_from_slice(&dice.roll().to_le_bytes());
    uuid::Builder::from_unix_timestamp_millis(ms, &random).into_uuid()
}

#[cfg(test)]
mod tests;
