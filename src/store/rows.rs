//! Lines of the log as rows of its tables, the same for every database and for the journal.
//!
//! Texts are escaped ([`escape`]), times are RFC 3339 with milliseconds, numbers fit into 64 signed bits.

use std::collections::BTreeMap;

use ::time::OffsetDateTime;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::escape::{escape, escape_json};
use super::{Line, Stamp};
use crate::call::context::Context;
use crate::call::record::{self, Entry, Record};

/// One line, as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "row", rename_all = "snake_case")]
pub(super) enum Row {
    Opened(Opened),
    Answered(Answered),
    Turn(Turn),
    Event(Event),
    Ended(Ended),
    Annotation(Annotation),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Opened {
    pub(super) call_id: String,
    #[serde(flatten)]
    pub(super) identity: Identity,
    pub(super) prompt: String,
    pub(super) parameters: Value,
    pub(super) started_at: String,
}

/// Who calls whom, for whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) carrier: String,
    pub(super) call_sid: String,
    pub(super) account_sid: String,
    pub(super) business_id: String,
    pub(super) agent: String,
    pub(super) model: String,
    pub(super) direction: String,
    pub(super) caller: String,
    pub(super) dialled: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Answered {
    pub(super) call_id: String,
    pub(super) sequence: u32,
    pub(super) at: String,
    pub(super) stream_sid: String,
    pub(super) parameters: Value,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Turn {
    pub(super) call_id: String,
    pub(super) sequence: u32,
    /// When it was recorded.
    pub(super) at: String,
    pub(super) speaker: String,
    pub(super) text: String,
    pub(super) started_at: String,
    pub(super) ended_at: String,
    pub(super) interrupted: bool,
    pub(super) latency_ms: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Event {
    pub(super) call_id: String,
    pub(super) sequence: u32,
    pub(super) at: String,
    pub(super) kind: String,
    pub(super) detail: Value,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Ended {
    pub(super) call_id: String,
    pub(super) sequence: u32,
    pub(super) at: String,
    pub(super) ending: String,
    pub(super) ending_detail: Value,
    pub(super) ending_text: String,
    pub(super) failed: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Annotation {
    pub(super) call_sid: String,
    pub(super) key: String,
    pub(super) at: String,
    pub(super) kind: String,
    pub(super) detail: Value,
}

impl Row {
    /// Fails for values that JSON cannot express.
    pub(super) fn of(line: &Line) -> Result<Self, serde_json::Error> {
        match line {
            Line::Entry(entry) => Self::of_entry(entry),
            Line::Annotation(annotation) => Ok(Self::Annotation(Annotation::of(annotation))),
        }
    }

    pub(super) fn of_entry(entry: &Entry) -> Result<Self, serde_json::Error> {
        let (call_id, sequence, at) = (entry.call.to_string(), entry.sequence, stamp(entry.at));
        Ok(match &entry.record {
            Record::Opened(context) => Self::Opened(Opened::of(call_id, context)),
            Record::Answered { stream_sid, parameters } => Self::Answered(Answered {
                call_id,
                sequence,
                at,
                stream_sid: escape(stream_sid),
                parameters: object(pairs(parameters)),
            }),
            Record::Turn(turn) => Self::Turn(Turn::of(call_id, sequence, at, turn)),
            Record::Event(event) => Self::Event(Event {
                call_id,
                sequence,
                at,
                kind: event.kind().to_owned(),
                detail: detail(event, "kind")?,
            }),
            Record::Ended(ending) => Self::Ended(Ended {
                call_id,
                sequence,
                at,
                ending: ending.code().to_owned(),
                ending_detail: detail(ending, "ending")?,
                ending_text: escape(&ending.to_string()),
                failed: ending.is_failure(),
            }),
        })
    }

    /// The call it belongs to, its number there and its time; `None` for an annotation.
    pub(super) fn place(&self) -> Option<(&str, u32, &str)> {
        match self {
            Self::Opened(row) => Some((&row.call_id, 0, &row.started_at)),
            Self::Answered(row) => Some((&row.call_id, row.sequence, &row.at)),
            Self::Turn(row) => Some((&row.call_id, row.sequence, &row.at)),
            Self::Event(row) => Some((&row.call_id, row.sequence, &row.at)),
            Self::Ended(row) => Some((&row.call_id, row.sequence, &row.at)),
            Self::Annotation(_) => None,
        }
    }

    /// What it is about: the call, or the carrier's SID of one.
    pub(super) fn subject(&self) -> &str {
        match self {
            Self::Annotation(row) => &row.call_sid,
            Self::Opened(_) | Self::Answered(_) | Self::Turn(_) | Self::Event(_) | Self::Ended(_) => {
                self.place().map_or("", |(call_id, ..)| call_id)
            }
        }
    }

    pub(super) fn at(&self) -> &str {
        match self {
            Self::Annotation(row) => &row.at,
            Self::Opened(_) | Self::Answered(_) | Self::Turn(_) | Self::Event(_) | Self::Ended(_) => {
                self.place().map_or("", |(_, _, at)| at)
            }
        }
    }
}

impl Opened {
    fn of(call_id: String, context: &Context) -> Self {
        Self {
            call_id,
            identity: Identity {
                carrier: escape(&context.carrier),
                call_sid: escape(&context.call_sid),
                account_sid: escape(&context.account_sid),
                business_id: escape(&context.business_id),
                agent: escape(&context.agent),
                model: escape(&context.model),
                direction: context.direction.as_str().to_owned(),
                caller: escape(&context.from),
                dialled: escape(&context.to),
            },
            prompt: escape(&context.prompt),
            parameters: object(context.parameters.iter()),
            started_at: stamp(context.started_at),
        }
    }
}

impl Turn {
    fn of(call_id: String, sequence: u32, at: String, turn: &record::Turn) -> Self {
        Self {
            call_id,
            sequence,
            at,
            speaker: turn.speaker.as_str().to_owned(),
            text: escape(&turn.text),
            started_at: stamp(turn.started_at),
            ended_at: stamp(turn.ended_at),
            interrupted: turn.interrupted,
            latency_ms: turn.latency_ms.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX)),
        }
    }
}

impl Annotation {
    fn of(annotation: &record::Annotation) -> Self {
        Self {
            call_sid: escape(&annotation.call_sid),
            key: escape(&annotation.key),
            at: stamp(annotation.at),
            kind: annotation.kind.to_owned(),
            detail: object(pairs(&annotation.detail)),
        }
    }
}

/// The rows of a batch, by table.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    pub(super) opened: Vec<Opened>,
    pub(super) answered: Vec<Answered>,
    pub(super) turns: Vec<Turn>,
    pub(super) events: Vec<Event>,
    pub(super) ended: Vec<Ended>,
    pub(super) annotations: Vec<Annotation>,
}

/// A call that must have a row before its other rows can have one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Placeholder {
    pub(super) call_id: String,
    pub(super) started_at: String,
}

impl Batch {
    /// Of rows that come twice, the first: a statement must not meet a call twice.
    pub(super) fn of(rows: impl IntoIterator<Item = Row>) -> Self {
        let mut batch = Self::default();
        for row in rows {
            match row {
                Row::Opened(row) if batch.opened.iter().any(|other| other.call_id == row.call_id) => {}
                Row::Answered(row) if batch.answered.iter().any(|other| other.call_id == row.call_id) => {}
                Row::Ended(row) if batch.ended.iter().any(|other| other.call_id == row.call_id) => {}
                Row::Opened(row) => batch.opened.push(row),
                Row::Answered(row) => batch.answered.push(row),
                Row::Turn(row) => batch.turns.push(row),
                Row::Event(row) => batch.events.push(row),
                Row::Ended(row) => batch.ended.push(row),
                Row::Annotation(row) => batch.annotations.push(row),
            }
        }
        batch
    }

    /// Calls of this batch whose beginning is not in it: their first entry came earlier, or was lost.
    pub(super) fn placeholders(&self) -> Vec<Placeholder> {
        let mut calls = BTreeMap::<&str, &str>::new();
        let answered = self.answered.iter().map(|row| (&row.call_id, &row.at));
        let turns = self.turns.iter().map(|row| (&row.call_id, &row.at));
        let events = self.events.iter().map(|row| (&row.call_id, &row.at));
        let ended = self.ended.iter().map(|row| (&row.call_id, &row.at));
        for (call_id, at) in answered.chain(turns).chain(events).chain(ended) {
            let first = calls.entry(call_id).or_insert(at);
            *first = (*first).min(at);
        }
        for row in &self.opened {
            calls.remove(row.call_id.as_str());
        }
        let placeholder = |(call_id, at): (&str, &str)| Placeholder {
            call_id: call_id.to_owned(),
            started_at: at.to_owned(),
        };
        calls.into_iter().map(placeholder).collect()
    }

    /// Ids of the calls that came to the fallback in this batch.
    pub(super) fn fallbacks(&self) -> Vec<&str> {
        let fallbacks =
            self.events.iter().filter(|row| row.kind == "rung" && row.detail["rung"] == "fallback");
        fallbacks.map(|row| row.call_id.as_str()).collect()
    }

    /// Ids of the calls that end in this batch.
    pub(super) fn ended_ids(&self) -> Vec<&str> {
        self.ended.iter().map(|row| row.call_id.as_str()).collect()
    }
}

fn stamp(at: OffsetDateTime) -> String {
    Stamp(at).to_string()
}

fn object<'a>(fields: impl Iterator<Item = (&'a String, &'a String)>) -> Value {
    Value::Object(fields.map(|(name, value)| (escape(name), Value::String(escape(value)))).collect())
}

fn pairs(fields: &[(String, String)]) -> impl Iterator<Item = (&String, &String)> {
    fields.iter().map(|(name, value)| (name, value))
}

/// The fields of a tagged value; its tag has a column of its own.
fn detail(value: &impl Serialize, tag: &str) -> Result<Value, serde_json::Error> {
    let mut value = escape_json(serde_json::to_value(value)?);
    if let Value::Object(fields) = &mut value {
        fields.remove(tag);
    }
    Ok(value)
}
