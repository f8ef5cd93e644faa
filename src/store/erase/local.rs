//! The local file: the tables, the index of words, the journal, and what SQLite keeps of them beside.

use std::collections::BTreeSet;

use ::time::OffsetDateTime;
use sqlx::{Connection as _, SqliteConnection};

use super::{ERASED, Found, Wanted, scrub, scrub_event};
use crate::store::Stamp;
use crate::store::rows::Row;
use crate::store::sqlite::apply::index_text;

pub(super) async fn find(
    connection: &mut SqliteConnection,
    wanted: &Wanted,
    found: &mut Found,
) -> Result<(), sqlx::Error> {
    let (tables, journal, text) = match wanted {
        Wanted::Call(id) => (
            "SELECT call_id FROM calls WHERE call_sid = ?1 OR call_id = lower(?1)",
            "SELECT subject FROM journal WHERE row LIKE '{\"row\":\"opened\"%'
                AND (row ->> 'call_sid' = ?1 OR subject = lower(?1))",
            id,
        ),
        Wanted::Party(text) => (
            "SELECT call_id FROM calls WHERE caller = ?1 OR (direction = 'outbound' AND dialled = ?1)",
            "SELECT subject FROM journal WHERE row LIKE '{\"row\":\"opened\"%'
                AND (row ->> 'caller' = ?1 OR (row ->> 'direction' = 'outbound' AND row ->> 'dialled' = ?1))",
            text,
        ),
        Wanted::Beginning(text) => (
            "SELECT call_id FROM calls WHERE substr(caller, 1, length(?1)) = ?1
                OR (direction = 'outbound' AND substr(dialled, 1, length(?1)) = ?1)",
            "SELECT subject FROM journal WHERE row LIKE '{\"row\":\"opened\"%'
                AND (substr(row ->> 'caller', 1, length(?1)) = ?1
                  OR (row ->> 'direction' = 'outbound' AND substr(row ->> 'dialled', 1, length(?1)) = ?1))",
            text,
        ),
    };
    for statement in [tables, journal] {
        let ids: Vec<String> = sqlx::query_scalar(statement).bind(text).fetch_all(&mut *connection).await?;
        found.calls.extend(ids);
    }
    let open: Vec<String> =
        sqlx::query_scalar("SELECT call_id FROM open_calls").fetch_all(connection).await?;
    found.going_on.extend(open.into_iter().filter(|call| found.calls.contains(call)));
    Ok(())
}

pub(super) async fn erase(
    connection: &mut SqliteConnection,
    calls: &BTreeSet<String>,
) -> Result<(), sqlx::Error> {
    for call in calls {
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        words(&mut transaction, call).await?;
        events(&mut transaction, call).await?;
        sqlx::query(
            "UPDATE calls SET caller = ?1, dialled = iif(direction = 'outbound', ?1, dialled), parameters = '{}',
                    erased_at = coalesce(erased_at, ?2)
              WHERE call_id = ?3",
        )
        .bind(ERASED)
        .bind(Stamp(OffsetDateTime::now_utc()))
        .bind(call)
        .execute(&mut *transaction)
        .await?;
        journal(&mut transaction, call).await?;
        transaction.commit().await?;
    }
    Ok(())
}

/// The index holds no text: it must be given again what it was given once.
async fn words(connection: &mut SqliteConnection, call: &str) -> Result<(), sqlx::Error> {
    let turns: Vec<(i64, String)> =
        sqlx::query_as("SELECT turn_id, text FROM turns WHERE call_id = ? AND text <> ''")
            .bind(call)
            .fetch_all(&mut *connection)
            .await?;
    for (turn_id, text) in turns {
        sqlx::query("INSERT INTO turn_words (turn_words, rowid, words) VALUES ('delete', ?, ?)")
            .bind(turn_id)
            .bind(index_text(&text))
            .execute(&mut *connection)
            .await?;
    }
    sqlx::query("UPDATE turns SET text = '' WHERE call_id = ?").bind(call).execute(connection).await?;
    Ok(())
}

async fn events(connection: &mut SqliteConnection, call: &str) -> Result<(), sqlx::Error> {
    let events: Vec<(i64, String, String)> =
        sqlx::query_as("SELECT sequence, kind, detail FROM events WHERE call_id = ?")
            .bind(call)
            .fetch_all(&mut *connection)
            .await?;
    for (sequence, kind, detail) in events {
        let scrubbed = scrub_event(&kind, serde_json::from_str(&detail).unwrap_or_default());
        sqlx::query("UPDATE events SET detail = ? WHERE call_id = ? AND sequence = ?")
            .bind(scrubbed.to_string())
            .bind(call)
            .bind(sequence)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Rows that wait, rows that Postgres has, and rows that it refused.
async fn journal(connection: &mut SqliteConnection, call: &str) -> Result<(), sqlx::Error> {
    let tables = [
        (
            "SELECT position, row FROM journal WHERE subject = ?",
            "UPDATE journal SET row = ? WHERE position = ?",
        ),
        (
            "SELECT position, row FROM journal_refused WHERE subject = ?",
            "UPDATE journal_refused SET row = ?, reason = '' WHERE position = ?",
        ),
    ];
    for (select, update) in tables {
        let rows: Vec<(i64, String)> = sqlx::query_as(select).bind(call).fetch_all(&mut *connection).await?;
        for (position, text) in rows {
            // What cannot be read cannot be cleaned either: nothing of it stays.
            let clean = serde_json::from_str::<Row>(&text).map(scrub);
            let text = clean.and_then(|row| serde_json::to_string(&row)).unwrap_or_else(|_| "{}".to_owned());
            sqlx::query(update).bind(text).bind(position).execute(&mut *connection).await?;
        }
    }
    Ok(())
}

/// Empties the write-ahead log; `false` if another connection reads from it.
pub(super) async fn forget(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let (busy, _, _): (i64, i64, i64) =
        sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(connection).await?;
    Ok(busy == 0)
}
