//! Cuts the words of older turns anew, where a newer program cuts or folds them otherwise.
//!
//! SQL cannot do it, so the program does, when it has nothing else to write: the newest calls first, some hundred turns a
//! transaction, which notes how far it came. Until it is through, older turns are found by what the older program made
//! of their words. Turns in ASCII are the same either way.

use serde::Serialize;
use sqlx::types::Json;
use sqlx::{Connection as _, PgConnection, SqliteConnection};
use uuid::Uuid;

use super::postgres::apply::ERASURE;
use super::postgres::statement::{query, query_as, query_scalar};
use super::words::{VERSION, before, fts, words};

/// Turns, or calls, of one transaction: a few milliseconds.
const STEP: i64 = 200;

/// Advisory lock of the one server that does it.
const REFOLD_LOCK: i64 = ERASURE + 2;

/// One transaction; `false`: there is nothing left to do.
pub(super) async fn sqlite(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let last: Option<i64> = sqlx::query_scalar("SELECT turn_id FROM words_of_turns WHERE version = ?")
        .bind(VERSION)
        .fetch_optional(&mut *transaction)
        .await?;
    let Some(last @ 1..) = last else { return Ok(false) };
    let turns: Vec<(i64, String)> =
        sqlx::query_as("SELECT turn_id, text FROM turns WHERE turn_id <= ? ORDER BY turn_id DESC LIMIT ?")
            .bind(last)
            .bind(STEP)
            .fetch_all(&mut *transaction)
            .await?;
    for (turn_id, text) in turns.iter().filter(|(_, text)| !text.is_ascii()) {
        let (old, new) = (joined(&before::words(text)), joined(&words(text)));
        if old == new {
            continue;
        }
        sqlx::query("INSERT INTO turn_words (turn_words, rowid, words) VALUES ('delete', ?, ?)")
            .bind(turn_id)
            .bind(old)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("INSERT INTO turn_words (rowid, words) VALUES (?, ?)")
            .bind(turn_id)
            .bind(new)
            .execute(&mut *transaction)
            .await?;
    }
    let next = turns.last().map_or(0, |(turn_id, _)| turn_id - 1);
    sqlx::query("UPDATE words_of_turns SET turn_id = ? WHERE version = ?")
        .bind(next)
        .bind(VERSION)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(next > 0)
}

fn joined(words: &[String]) -> String {
    words.iter().map(|word| fts(word)).collect::<Vec<_>>().join(" ")
}

/// The words of a turn.
#[derive(Debug, Serialize)]
struct Recut {
    call_id: String,
    sequence: i32,
    words: Vec<String>,
}

/// One transaction; `false`: there is nothing left to do, or another server does it.
pub(super) async fn postgres(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let is_mine: bool = query_scalar("SELECT pg_try_advisory_xact_lock($1)")
        .bind(REFOLD_LOCK)
        .fetch_one(&mut *transaction)
        .await?;
    let last: Option<Uuid> = query_scalar("SELECT call_id FROM words_of_turns WHERE version = $1")
        .bind(VERSION)
        .fetch_optional(&mut *transaction)
        .await?;
    let Some(last) = last.filter(|last| is_mine && !last.is_nil()) else { return Ok(false) };
    let calls: Vec<Uuid> =
        query_scalar("SELECT call_id FROM calls WHERE call_id < $1 ORDER BY call_id DESC LIMIT $2")
            .bind(last)
            .bind(STEP)
            .fetch_all(&mut *transaction)
            .await?;
    // Only what is not ASCII.
    let turns: Vec<(String, i32, String)> = query_as(
        "SELECT call_id::text, sequence, text FROM turns
          WHERE call_id = ANY ($1) AND octet_length(text) <> char_length(text)",
    )
    .bind(&calls)
    .fetch_all(&mut *transaction)
    .await?;
    let recut: Vec<_> = turns
        .into_iter()
        .map(|(call_id, sequence, text)| Recut { call_id, sequence, words: words(&text) })
        .collect();
    query(
        "UPDATE turns SET words = array_to_tsvector(x.words)
           FROM jsonb_to_recordset($1) AS x (call_id uuid, sequence integer, words text[])
          WHERE turns.call_id = x.call_id AND turns.sequence = x.sequence AND turns.text <> ''",
    )
    .bind(Json(&recut))
    .execute(&mut *transaction)
    .await?;
    let next = calls.last().copied().unwrap_or(Uuid::nil());
    query("UPDATE words_of_turns SET call_id = $1 WHERE version = $2")
        .bind(next)
        .bind(VERSION)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(!next.is_nil())
}
