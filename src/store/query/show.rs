//! Everything about one call.

use uuid::Uuid;

use super::error::Error;
use super::list::parsed;
use super::rows::{
    AnnotationRow, CallDetail, CallRow, Circumstances, EventRow, TurnRow, restore, restore_json,
};
use super::session::Session;
use super::sql::{Indexed, Value};
use crate::call::context::UNKNOWN;

#[derive(sqlx::FromRow)]
struct Found {
    #[sqlx(flatten)]
    call: CallRow,
    #[sqlx(flatten)]
    circumstances: Circumstances,
}

/// A SID is one call's; more are a mistake, and nobody counts them to the end.
const SAME_SID_MAX: i64 = 1000;

pub(super) async fn show(session: &mut Session, id: &str) -> Result<Option<CallDetail>, Error> {
    let Some(Found { mut call, mut circumstances }) = find(session, id).await? else {
        return Ok(None);
    };
    let call_id = Value::Id(parsed(&call.call_id)?);
    call.restore();
    circumstances.restore();
    Ok(Some(CallDetail {
        turns: turns(session, call_id.clone()).await?,
        events: events(session, call_id).await?,
        annotations: annotations(session, &call.call_sid).await?,
        calls_with_sid: calls_with_sid(session, &call.call_sid).await?,
        call,
        circumstances,
    }))
}

async fn find(session: &mut Session, id: &str) -> Result<Option<Found>, Error> {
    let select = |session: &Session| {
        let mut sql = session.sql("SELECT ");
        sql.text(CallRow::COLUMNS).text(", ").text(Circumstances::COLUMNS).text(" FROM calls WHERE ");
        sql
    };
    if let Ok(id) = Uuid::try_parse(id) {
        let mut by_id = select(session);
        by_id.text("calls.call_id = ").bind(Value::Id(id));
        if let Some(found) = session.first(&by_id).await? {
            return Ok(Some(found));
        }
    }
    let mut by_sid = select(session);
    by_sid.either("1", "true").equal(Indexed::Sid, id);
    by_sid.text(" ORDER BY calls.started_at DESC, calls.call_id DESC LIMIT 1");
    session.first(&by_sid).await
}

async fn turns(session: &mut Session, call_id: Value) -> Result<Vec<TurnRow>, Error> {
    let mut sql = session.sql(
        "SELECT CAST(sequence AS bigint) AS sequence, speaker, text, started_at, ended_at, interrupted, latency_ms
           FROM turns WHERE call_id = ",
    );
    sql.bind(call_id).text(" ORDER BY 1");
    let mut turns: Vec<TurnRow> = session.all(&sql).await?;
    turns.iter_mut().for_each(|turn| restore(&mut turn.text));
    Ok(turns)
}

async fn events(session: &mut Session, call_id: Value) -> Result<Vec<EventRow>, Error> {
    let mut sql = session
        .sql("SELECT CAST(sequence AS bigint) AS sequence, at, kind, detail FROM events WHERE call_id = ");
    sql.bind(call_id).text(" ORDER BY 1");
    let mut events: Vec<EventRow> = session.all(&sql).await?;
    events.iter_mut().for_each(|event| restore_json(&mut event.detail));
    Ok(events)
}

async fn annotations(session: &mut Session, call_sid: &str) -> Result<Vec<AnnotationRow>, Error> {
    if call_sid == UNKNOWN {
        return Ok(Vec::new());
    }
    let mut sql = session.sql("SELECT key, at, kind, detail FROM annotations WHERE call_sid = ");
    sql.bind(Value::Text(call_sid.to_owned()));
    if session.dialect() == super::sql::Dialect::Postgres {
        let beginning = call_sid.chars().take(super::sql::INDEXED_CHARS).collect();
        sql.text(" AND left(call_sid, 64) = ").bind(Value::Text(beginning));
    }
    let mut annotations: Vec<AnnotationRow> = session.all(&sql).await?;
    for annotation in &mut annotations {
        restore(&mut annotation.key);
        restore_json(&mut annotation.detail);
    }
    annotations.sort_by(|a, b| (a.at, &a.key).cmp(&(b.at, &b.key)));
    Ok(annotations)
}

async fn calls_with_sid(session: &mut Session, call_sid: &str) -> Result<i64, Error> {
    let mut sql = session.sql("SELECT count(*) FROM (SELECT 1 FROM calls WHERE ");
    sql.either("1", "true").equal(Indexed::Sid, call_sid).text(" LIMIT ");
    sql.bind(Value::Integer(SAME_SID_MAX)).text(") AS same");
    session.number(&sql).await
}
