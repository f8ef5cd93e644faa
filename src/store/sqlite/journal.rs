//! The journal: rows in the order in which they were recorded, on their way to Postgres; and which calls go on.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::TryStreamExt as _;
use serde::Serialize;
use sqlx::SqliteConnection;
use uuid::Uuid;

use crate::call::record::Ending;
use crate::store::rows::{Ended, Row};
use crate::store::{Stamp, escape};

/// Rows read at once.
pub(in crate::store) const ROWS_MAX: i64 = 2000;
/// Text read at once: a hostile row has a megabyte, and memory is bounded.
const BYTES_MAX: usize = 4 << 20;

/// A row and its place.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::store) struct Journalled {
    pub(in crate::store) position: i64,
    /// As it was written; a newer program may have written what this one cannot read.
    pub(in crate::store) row: Result<Row, String>,
}

/// Appends rows within the transaction that is open on `connection`.
pub(in crate::store) async fn append(
    connection: &mut SqliteConnection,
    rows: &[Row],
) -> Result<(), sqlx::Error> {
    for row in rows {
        let text = serde_json::to_string(row).map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
        sqlx::query("INSERT INTO journal (at, subject, row) VALUES (?, ?, ?)")
            .bind(row.at())
            .bind(row.subject())
            .bind(text)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

#[derive(Debug, Serialize)]
struct Open<'a> {
    call_id: &'a str,
    next_sequence: u32,
    at: &'a str,
}

/// Keeps account of which calls go on, within the transaction that is open on `connection`.
pub(in crate::store) async fn note(
    connection: &mut SqliteConnection,
    rows: &[Row],
) -> Result<(), sqlx::Error> {
    let mut open = BTreeMap::new();
    let mut ended = BTreeSet::new();
    for row in rows {
        let Some((call_id, sequence, at)) = row.place() else { continue };
        if matches!(row, Row::Ended(_)) {
            ended.insert(call_id);
        }
        open.insert(call_id, Open { call_id, next_sequence: sequence + 1, at });
    }
    open.retain(|call_id, _| !ended.contains(call_id));
    if !open.is_empty() {
        sqlx::query(
            "INSERT INTO open_calls (call_id, next_sequence, at)
             SELECT value ->> 'call_id', value ->> 'next_sequence', value ->> 'at' FROM json_each(?) WHERE true
                 ON CONFLICT (call_id) DO UPDATE SET next_sequence = excluded.next_sequence, at = excluded.at",
        )
        .bind(json(&open.values().collect::<Vec<_>>())?)
        .execute(&mut *connection)
        .await?;
    }
    if !ended.is_empty() {
        sqlx::query("DELETE FROM open_calls WHERE call_id IN (SELECT value FROM json_each(?))")
            .bind(json(&ended)?)
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// The ends of calls that nobody carries any more: those that a process which died had begun. First those on their
/// way to Postgres, then those of the tables here. The rows of a long call may have left the journal before it ends.
pub(in crate::store) async fn orphans(
    connection: &mut SqliteConnection,
    before: Stamp,
) -> Result<(Vec<Row>, Vec<Row>), sqlx::Error> {
    let open: Vec<(String, u32, String, bool)> = sqlx::query_as(
        "SELECT call_id, next_sequence, at, EXISTS (SELECT 1 FROM calls WHERE calls.call_id = open_calls.call_id)
           FROM open_calls WHERE at < ?",
    )
    .bind(before)
    .fetch_all(connection)
    .await?;
    let (local, journalled): (Vec<_>, Vec<_>) = open.into_iter().partition(|(.., is_local)| *is_local);
    let ended = |(call_id, sequence, at, _): (String, u32, String, bool)| {
        let ending = Ending::ProcessDied;
        Row::Ended(Ended {
            call_id,
            sequence,
            at,
            ending: ending.code().to_owned(),
            ending_detail: serde_json::json!({}),
            ending_text: ending.to_string(),
            failed: ending.is_failure(),
        })
    };
    Ok((journalled.into_iter().map(ended).collect(), local.into_iter().map(ended).collect()))
}

/// Rows of the journal, those among them that Postgres has.
pub(in crate::store) async fn len(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT count(*) FROM journal").fetch_one(connection).await
}

/// Which journal this is; a new one gets its name here.
pub(in crate::store) async fn identity(connection: &mut SqliteConnection) -> Result<Uuid, sqlx::Error> {
    let known: Option<String> =
        sqlx::query_scalar("SELECT id FROM journal_identity").fetch_optional(&mut *connection).await?;
    if let Some(known) = known.and_then(|id| Uuid::parse_str(&id).ok()) {
        return Ok(known);
    }
    let id = Uuid::new_v4();
    sqlx::query("INSERT INTO journal_identity (id) VALUES (?)")
        .bind(id.to_string())
        .execute(connection)
        .await?;
    Ok(id)
}

/// The rows after `position`, bounded in number and size.
pub(in crate::store) async fn read(
    connection: &mut SqliteConnection,
    position: i64,
) -> Result<Vec<Journalled>, sqlx::Error> {
    let mut rows = sqlx::query_as::<_, (i64, String)>(
        "SELECT position, row FROM journal WHERE position > ? ORDER BY position LIMIT ?",
    )
    .bind(position)
    .bind(ROWS_MAX)
    .fetch(connection);
    let (mut read, mut bytes) = (Vec::new(), 0);
    while let Some((position, text)) = rows.try_next().await? {
        bytes += text.len();
        let row = serde_json::from_str(&text).map_err(|error| error.to_string());
        read.push(Journalled { position, row });
        if bytes >= BYTES_MAX {
            break;
        }
    }
    Ok(read)
}

/// The last position; 0 if there never was one.
pub(in crate::store) async fn last(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'journal'")
        .fetch_one(connection)
        .await
}

/// Forgets rows up to `position` that are older than `before`, some thousands at a time; tells how many.
pub(in crate::store) async fn prune(
    connection: &mut SqliteConnection,
    position: i64,
    before: Stamp,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query(
        "DELETE FROM journal WHERE position IN
         (SELECT position FROM journal WHERE position <= ? AND at < ? ORDER BY position LIMIT ?)",
    )
    .bind(position)
    .bind(before)
    .bind(ROWS_MAX)
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Puts a row aside that Postgres will never take.
pub(in crate::store) async fn refuse(
    connection: &mut SqliteConnection,
    position: i64,
    reason: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT OR IGNORE INTO journal_refused (position, at, subject, row, reason)
         SELECT position, at, subject, row, ? FROM journal WHERE position = ?",
    )
    .bind(escape::escape(reason))
    .bind(position)
    .execute(connection)
    .await?;
    Ok(())
}

fn json(value: &impl Serialize) -> Result<String, sqlx::Error> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}
