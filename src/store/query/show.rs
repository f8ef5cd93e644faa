//! Everything about one call.

use uuid::Uuid;

use super::error::Error;
use super::list::parsed;
use super::rows::{
    AnnotationRow, CallDetail, CallRow, Circumstances, EventRow, TurnRow, restore, restore_json,
};
use super::session::Session;
use super::sql::{Indexed, Value};
use super::stats::Used;
use crate::call::context::UNKNOWN;
use crate::store::responders::{Responders, Who};

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
    let mut turns = turns(session, call_id.clone()).await?;
    let events = events(session, call_id.clone()).await?;
    attribute(&mut turns, &events, &call.summary.model);
    Ok(Some(CallDetail {
        turns,
        events,
        used: used(session, call_id).await?,
        annotations: annotations(session, &call.call_sid, circumstances.stream_sid.as_deref()).await?,
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

/// Tells of each answer who gave it.
fn attribute(turns: &mut [TurnRow], events: &[EventRow], model: &str) {
    let mut responders = Responders::default();
    for event in events {
        responders.add(&event.kind, &event.at.to_string(), &event.detail);
    }
    for turn in turns.iter_mut().filter(|turn| turn.speaker == "agent") {
        let (who, other) = responders.at(&turn.started_at.to_string());
        turn.responder = Some(who.as_str().to_owned());
        turn.model = Some(other.unwrap_or_else(|| model.to_owned())).filter(|_| who != Who::Nobody);
    }
}

/// What the call used of services; known once it is over.
async fn used(session: &mut Session, call_id: Value) -> Result<Vec<Used>, Error> {
    let mut sql = session.sql(
        "SELECT service, provider, model, modality, direction, unit, quantity,
                CASE WHEN cost_usd IS NULL THEN quantity ELSE 0 END AS unpriced_quantity, cost_usd
           FROM call_usage WHERE call_id = ",
    );
    sql.bind(call_id);
    let mut used: Vec<Used> = session.all(&sql).await?;
    for used in &mut used {
        [&mut used.provider, &mut used.model].into_iter().for_each(restore);
    }
    // Each database has an order of names of its own.
    used.sort_by(|a, b| a.order().cmp(&b.order()));
    Ok(used)
}

/// What the carrier told of the call, without what it told of the call's other streams.
async fn annotations(
    session: &mut Session,
    call_sid: &str,
    stream_sid: Option<&str>,
) -> Result<Vec<AnnotationRow>, Error> {
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
    let is_of_another = |annotation: &AnnotationRow| {
        let stream = annotation.detail.get("StreamSid").and_then(|sid| sid.as_str());
        annotation.kind == "stream_status" && stream_sid.is_some() && stream.is_some() && stream != stream_sid
    };
    annotations.retain(|annotation| !is_of_another(annotation));
    annotations.sort_by(|a, b| (a.at, &a.key).cmp(&(b.at, &b.key)));
    Ok(annotations)
}

async fn calls_with_sid(session: &mut Session, call_sid: &str) -> Result<i64, Error> {
    let mut sql = session.sql("SELECT count(*) FROM (SELECT 1 FROM calls WHERE ");
    sql.either("1", "true").equal(Indexed::Sid, call_sid).text(" LIMIT ");
    sql.bind(Value::Integer(SAME_SID_MAX)).text(") AS same");
    session.number(&sql).await
}
