//! Lists of calls, the newest first, a page at a time.

use serde::Serialize;
use uuid::Uuid;

use super::cursor::Cursor;
use super::error::Error;
use super::filter::{Filter, Page};
use super::rows::CallRow;
use super::search;
use super::session::Session;
use super::sql::{Indexed, Sql, Value};
use crate::store::Stamp;

/// Some calls, the newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct CallPage {
    pub calls: Vec<CallRow>,
    /// Where the next page begins; null: there is none.
    #[schema(value_type = Option<String>)]
    pub next: Option<Cursor>,
}

/// A call's place in the list.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Position {
    pub(super) call_id: String,
    started_at: Stamp,
}

impl Position {
    pub(super) fn cursor(&self) -> Result<Cursor, Error> {
        Ok(Cursor { started_at: self.started_at, call_id: parsed(&self.call_id)? })
    }
}

pub(super) fn parsed(call_id: &str) -> Result<Uuid, Error> {
    Uuid::parse_str(call_id).map_err(|error| Error::Read(sqlx::Error::Decode(Box::new(error))))
}

pub(super) async fn page(session: &mut Session, filter: &Filter, page: &Page) -> Result<CallPage, Error> {
    // One more tells whether there is another page.
    let (limit, after) = (page.limit(), page.after());
    let mut found = match &filter.words {
        Some(words) => search::find(session, filter, words, after, limit + 1).await?,
        None => positions(session, filter, after, limit + 1).await?,
    };
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| has_more).map(Position::cursor).transpose()?;
    let ids: Vec<_> = found.iter().map(|position| parsed(&position.call_id)).collect::<Result<_, _>>()?;
    Ok(CallPage { calls: rows(session, &ids).await?, next })
}

/// The newest `limit` calls after a place, whatever was said.
pub(super) async fn positions(
    session: &mut Session,
    filter: &Filter,
    after: Option<Cursor>,
    limit: usize,
) -> Result<Vec<Position>, Error> {
    let mut sql = session.sql("SELECT ");
    sql.either("call_id", "call_id::text").text(", started_at FROM (");
    newest(&mut sql, filter, after, limit);
    sql.text(") AS newest ORDER BY started_at DESC, newest.call_id DESC");
    session.all(&sql).await
}

/// These calls, the newest first.
pub(super) async fn rows(session: &mut Session, ids: &[Uuid]) -> Result<Vec<CallRow>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = session.sql("SELECT ");
    sql.text(CallRow::COLUMNS).text(" FROM calls WHERE calls.call_id IN (");
    list(&mut sql, ids);
    sql.text(") ORDER BY calls.started_at DESC, calls.call_id DESC");
    let mut calls: Vec<CallRow> = session.all(&sql).await?;
    calls.iter_mut().for_each(CallRow::restore);
    Ok(calls)
}

/// Those of these calls that the filter lets through, the newest first. Words need the list.
pub(super) async fn among(
    session: &mut Session,
    ids: &[Uuid],
    filter: &Filter,
) -> Result<Vec<CallRow>, Error> {
    let mut calls = Vec::new();
    for ids in ids.chunks(IDS_MAX) {
        let mut sql = session.sql("SELECT ");
        sql.either("call_id", "call_id::text").text(", started_at FROM calls WHERE call_id IN (");
        list(&mut sql, ids);
        sql.text(")");
        filter.conditions(&mut sql);
        let found: Vec<Position> = session.all(&sql).await?;
        let ids: Vec<_> = found.iter().map(|it| parsed(&it.call_id)).collect::<Result<_, _>>()?;
        calls.extend(rows(session, &ids).await?);
    }
    calls.sort_by(|a, b| (b.started_at, &b.call_id).cmp(&(a.started_at, &a.call_id)));
    Ok(calls)
}

/// In one statement.
const IDS_MAX: usize = 500;

fn list(sql: &mut Sql, ids: &[Uuid]) {
    for (index, id) in ids.iter().enumerate() {
        sql.text(if index == 0 { "" } else { ", " }).bind(Value::Id(*id));
    }
}

/// A statement for `call_id` and `started_at` of the newest `limit` calls after a place, whatever was said.
pub(super) fn newest(sql: &mut Sql, filter: &Filter, after: Option<Cursor>, limit: usize) {
    let choices = filter.parties();
    if let [choice] = choices.as_slice() {
        return branch(sql, filter, choice, after, limit);
    }
    // Each choice has an index: some short lists are quicker than one condition with OR.
    sql.text("SELECT call_id, started_at FROM (");
    for (index, choice) in choices.iter().enumerate() {
        sql.text(if index == 0 { "SELECT * FROM (" } else { " UNION SELECT * FROM (" });
        branch(sql, filter, choice, after, limit);
        sql.text(") AS choice");
    }
    sql.text(") AS joined ORDER BY started_at DESC, call_id DESC LIMIT ");
    sql.bind(Value::Integer(limit as i64));
}

fn branch(
    sql: &mut Sql,
    filter: &Filter,
    parties: &[(Indexed, Vec<String>)],
    after: Option<Cursor>,
    limit: usize,
) {
    sql.text("SELECT calls.call_id, calls.started_at FROM calls WHERE ").either("1", "true");
    for (column, texts) in parties {
        sql.any_of(*column, texts);
    }
    filter.others(sql);
    below(sql, after);
    sql.text(" ORDER BY calls.started_at DESC, calls.call_id DESC LIMIT ");
    sql.bind(Value::Integer(limit as i64));
}

pub(super) fn below(sql: &mut Sql, after: Option<Cursor>) {
    if let Some(Cursor { started_at, call_id }) = after {
        sql.text(" AND (calls.started_at, calls.call_id) < (").bind(Value::Stamp(started_at));
        sql.text(", ").bind(Value::Id(call_id)).text(")");
    }
}
