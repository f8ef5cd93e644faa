//! Under which texts the log has a party that is asked for.
//!
//! People ask in any usual spelling, and carriers and earlier versions of this program wrote numbers in any. Texts without
//! separators are looked up in the index of their column; the others are few, have an index of their own, and are read as
//! the carrier's texts are ([`Party::parse`]).

use std::collections::BTreeSet;

use super::error::Error;
use super::filter::Filter;
use super::rows::restore;
use super::session::Session;
use super::sql::{Indexed, Value};
use crate::carrier::party::Party;

/// A party, as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    text: String,
    /// Texts in the log; at least one.
    texts: Vec<String>,
}

impl Asked {
    /// Before the log was looked at: as the party is written now, and the usual texts of before.
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), texts: Party::parse(text).logged_as(text) }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn texts(&self) -> &[String] {
        &self.texts
    }

    /// With the texts that the log has.
    async fn resolve(&mut self, session: &mut Session, columns: &[Indexed]) -> Result<(), Error> {
        let party = Party::parse(&self.text);
        let mut found = BTreeSet::new();
        for column in columns {
            found.extend(plain(session, *column, &party.spellings(&self.text)).await?);
            found.extend(odd(session, *column, &party).await?);
        }
        // A statement needs a choice, if only one without calls.
        self.texts = if found.is_empty() { vec![party.to_string()] } else { found.into_iter().collect() };
        Ok(())
    }
}

/// The same filter, with the texts that the log has of its parties.
pub(super) async fn resolved(session: &mut Session, filter: &Filter) -> Result<Filter, Error> {
    let mut filter = filter.clone();
    let asked = [
        (&mut filter.caller, &[Indexed::Caller][..]),
        (&mut filter.dialled, &[Indexed::Dialled]),
        (&mut filter.number, &[Indexed::Caller, Indexed::Dialled]),
    ];
    for (asked, columns) in asked {
        if let Some(asked) = asked {
            asked.resolve(session, columns).await?;
        }
    }
    Ok(filter)
}

/// Those of the texts that are in the column, by its index.
async fn plain(session: &mut Session, column: Indexed, texts: &[String]) -> Result<Vec<String>, Error> {
    let mut sql = session.sql("SELECT wanted.column1 FROM (VALUES ");
    for (index, text) in texts.iter().enumerate() {
        sql.text(if index == 0 { "(" } else { ", (" }).bind(Value::Text(text.clone())).text(")");
    }
    let (name, beginning) = column.names();
    sql.text(") AS wanted WHERE EXISTS (SELECT 1 FROM calls WHERE ").text(name).text(" = wanted.column1");
    sql.either("", " AND ").either("", beginning).either("", " = left(wanted.column1, 64)").text(")");
    all(session, &sql).await
}

/// Texts that an index of odd ones has, and a bound for logs of which most are.
const ODD_MAX: i64 = 10_000;

/// Texts with other characters than digits that are of the party. The conditions are those of the indexes `odd_callers`
/// and `odd_dialled`.
async fn odd(session: &mut Session, column: Indexed, party: &Party) -> Result<Vec<String>, Error> {
    let mark: Vec<_> = party.mark().chars().filter(|c| !matches!(c, '%' | '_' | '\\')).collect();
    if mark.is_empty() {
        return Ok(Vec::new());
    }
    let (name, _) = column.names();
    let mut sql = session.sql("SELECT DISTINCT ");
    sql.text(name).text(" FROM calls WHERE ").text(name);
    sql.either(" GLOB '*[^+0-9]*' AND ", " !~ '^\\+?[0-9]+$' AND ").text(name).text(" <> 'anonymous' AND ");
    sql.text(name).either(" LIKE ", " ILIKE ");
    let pattern: String = mark.iter().flat_map(|c| ['%', *c]).chain(['%']).collect();
    sql.bind(Value::Match(pattern)).text(" LIMIT ").bind(Value::Integer(ODD_MAX));
    let mut texts = all(session, &sql).await?;
    texts.retain(|text| party.may_be(&Party::parse(text)));
    Ok(texts)
}

async fn all(session: &mut Session, sql: &super::sql::Sql) -> Result<Vec<String>, Error> {
    let rows: Vec<(String,)> = session.all(sql).await?;
    Ok(rows
        .into_iter()
        .map(|(mut text,)| {
            restore(&mut text);
            text
        })
        .collect())
}
