//! A statement for either database: fragments of this program's own text, and values beside them.
//!
//! A fragment is `&'static str`, so that no value can ever be part of a statement's text.

use ::time::Date;
use sqlx::{Postgres, QueryBuilder, Sqlite};
use uuid::Uuid;

use crate::store::Stamp;
use crate::store::escape::escape;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Something that was said or told, as it was.
    Text(String),
    /// A search in the database's own language.
    Match(String),
    Integer(i64),
    Stamp(Stamp),
    Day(Date),
    Id(Uuid),
}

#[derive(Clone, Debug)]
enum Piece {
    Text(&'static str),
    Value(Value),
}

#[derive(Clone, Debug)]
pub(super) struct Sql {
    dialect: Dialect,
    pieces: Vec<Piece>,
}

impl Sql {
    pub(super) fn new(dialect: Dialect, text: &'static str) -> Self {
        Self { dialect, pieces: vec![Piece::Text(text)] }
    }

    pub(super) const fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub(super) fn text(&mut self, text: &'static str) -> &mut Self {
        self.pieces.push(Piece::Text(text));
        self
    }

    /// Where the databases differ.
    pub(super) fn either(&mut self, sqlite: &'static str, postgres: &'static str) -> &mut Self {
        self.text(match self.dialect {
            Dialect::Sqlite => sqlite,
            Dialect::Postgres => postgres,
        })
    }

    pub(super) fn bind(&mut self, value: Value) -> &mut Self {
        self.pieces.push(Piece::Value(value));
        self
    }

    /// `text` and the value, if there is one.
    pub(super) fn given(&mut self, text: &'static str, value: Option<Value>) -> &mut Self {
        match value {
            Some(value) => self.text(text).bind(value),
            None => self,
        }
    }

    /// `column = value`, for text of any length. `column` is an [`Indexed`] one.
    pub(super) fn equal(&mut self, column: Indexed, value: &str) -> &mut Self {
        let (name, beginning) = column.names();
        self.text(" AND ").text(name).text(" = ").bind(Value::Text(value.to_owned()));
        if self.dialect == Dialect::Postgres {
            let short = value.chars().take(INDEXED_CHARS).collect();
            self.text(" AND ").text(beginning).text(" = ").bind(Value::Text(short));
        }
        self
    }

    /// `column IN (values)`, for text of any length.
    pub(super) fn any_of(&mut self, column: Indexed, values: &[String]) -> &mut Self {
        if let [value] = values {
            return self.equal(column, value);
        }
        let (name, beginning) = column.names();
        self.text(" AND ").text(name).listed(values.iter().cloned());
        if self.dialect == Dialect::Postgres {
            let short = values.iter().map(|value| value.chars().take(INDEXED_CHARS).collect());
            self.text(" AND ").text(beginning).listed(short);
        }
        self
    }

    /// ` IN (values)`.
    pub(super) fn listed(&mut self, values: impl Iterator<Item = String>) -> &mut Self {
        self.text(" IN (");
        for (index, value) in values.enumerate() {
            self.text(if index == 0 { "" } else { ", " }).bind(Value::Text(value));
        }
        self.text(")")
    }

    pub(super) fn sqlite(&self) -> QueryBuilder<Sqlite> {
        let mut builder = QueryBuilder::new("");
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => builder.push(text),
                Piece::Value(Value::Text(text)) => builder.push_bind(escape(text)),
                Piece::Value(Value::Match(text)) => builder.push_bind(text.clone()),
                Piece::Value(Value::Integer(number)) => builder.push_bind(*number),
                Piece::Value(Value::Stamp(at)) => builder.push_bind(*at),
                Piece::Value(Value::Day(day)) => builder.push_bind(day.to_string()),
                Piece::Value(Value::Id(id)) => builder.push_bind(id.hyphenated().to_string()),
            };
        }
        builder
    }

    pub(super) fn postgres(&self) -> QueryBuilder<Postgres> {
        let mut builder = QueryBuilder::new("");
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => builder.push(text),
                Piece::Value(Value::Text(text)) => builder.push_bind(escape(text)),
                Piece::Value(Value::Match(text)) => builder.push_bind(text.clone()),
                Piece::Value(Value::Integer(number)) => builder.push_bind(*number),
                Piece::Value(Value::Stamp(at)) => builder.push_bind(*at),
                Piece::Value(Value::Day(day)) => builder.push_bind(*day),
                Piece::Value(Value::Id(id)) => builder.push_bind(*id),
            };
        }
        builder
    }
}

/// Columns of `calls` with text from outside and an index. In Postgres it holds their beginnings.
#[derive(Clone, Copy, Debug)]
pub(super) enum Indexed {
    Sid,
    Agent,
    Business,
    Caller,
    Dialled,
}

/// As in `left(…, 64)` of the migrations.
pub(super) const INDEXED_CHARS: usize = 64;

impl Indexed {
    pub(super) const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Sid => ("calls.call_sid", "left(calls.call_sid, 64)"),
            Self::Agent => ("calls.agent", "left(calls.agent, 64)"),
            Self::Business => ("calls.business_id", "left(calls.business_id, 64)"),
            Self::Caller => ("calls.caller", "left(calls.caller, 64)"),
            Self::Dialled => ("calls.dialled", "left(calls.dialled, 64)"),
        }
    }
}
