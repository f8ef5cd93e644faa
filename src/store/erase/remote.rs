//! The tables of Postgres.

use std::collections::BTreeSet;

use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::{ERASED, Found, Wanted, scrub_event};
use crate::store::postgres::apply::ERASURE;
use crate::store::postgres::statement::{query, query_as};

pub(super) async fn find(
    connection: &mut PgConnection,
    wanted: &Wanted,
    found: &mut Found,
) -> Result<(), sqlx::Error> {
    let (statement, text) = match wanted {
        Wanted::Call(id) => (
            "SELECT call_id::text, ended_at IS NULL FROM calls
              WHERE (left(call_sid, 64) = left($1, 64) AND call_sid = $1) OR call_id::text = lower($1)",
            id,
        ),
        Wanted::Party(text) => (
            "SELECT call_id::text, ended_at IS NULL FROM calls
              WHERE (left(caller, 64) = left($1, 64) AND caller = $1)
                 OR (direction = 'outbound' AND left(dialled, 64) = left($1, 64) AND dialled = $1)",
            text,
        ),
        Wanted::Beginning(text) => (
            "SELECT call_id::text, ended_at IS NULL FROM calls
              WHERE left(caller, length($1)) = $1
                 OR (direction = 'outbound' AND left(dialled, length($1)) = $1)",
            text,
        ),
    };
    let mut transaction = connection.begin().await?;
    let calls: Vec<(String, bool)> = query_as(statement).bind(text).fetch_all(&mut *transaction).await?;
    transaction.commit().await?;
    for (call, is_going_on) in calls {
        // The journal may have its end, which Postgres does not have yet.
        if is_going_on && !found.calls.contains(&call) {
            found.going_on.insert(call.clone());
        }
        found.calls.insert(call);
    }
    Ok(())
}

/// In one transaction, while nobody applies rows. Calls that are not there yet are marked, so that they come clean.
pub(super) async fn erase(
    connection: &mut PgConnection,
    calls: &BTreeSet<String>,
) -> Result<(), sqlx::Error> {
    let calls: Vec<_> = calls.iter().filter_map(|call| Uuid::parse_str(call).ok()).collect();
    let mut transaction = connection.begin().await?;
    query("SELECT pg_advisory_xact_lock($1)").bind(ERASURE).execute(&mut *transaction).await?;
    query(
        "INSERT INTO calls (call_id, started_at, erased_at) SELECT call_id, now(), now() FROM unnest($1) AS x (call_id)
             ON CONFLICT (call_id) DO UPDATE
            SET caller = $2, dialled = CASE calls.direction WHEN 'outbound' THEN $2 ELSE calls.dialled END,
                parameters = '{}', erased_at = coalesce(calls.erased_at, now())",
    )
    .bind(&calls)
    .bind(ERASED)
    .execute(&mut *transaction)
    .await?;
    query("UPDATE turns SET text = '', words = '' WHERE call_id = ANY ($1)")
        .bind(&calls)
        .execute(&mut *transaction)
        .await?;
    for kind in ["dtmf", "session_handle"] {
        query("UPDATE events SET detail = $3 WHERE call_id = ANY ($1) AND kind = $2")
            .bind(&calls)
            .bind(kind)
            .bind(scrub_event(kind, serde_json::Value::Null))
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await
}
