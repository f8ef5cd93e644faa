//! The call log in SQLite: opening a file, and one statement or two for each line.
//!
//! Every statement may be run again: a line that is already there changes nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, SqliteConnection};

use super::{Error, Line, Stamp};
use crate::call::context::Context;
use crate::call::record::{Annotation, Ending, Entry, Event, Record, Turn};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// How long a statement waits for another process's transaction, which holds the lock for milliseconds. Well
/// below the time the store has for closing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Two processes that open a new file at the same time both want to switch it to WAL and to migrate it; the one
/// that comes second finds everything done when it tries again.
const OPEN_ATTEMPTS: u32 = 5;
const OPEN_PAUSE: Duration = Duration::from_millis(100);

/// WAL with `synchronous=NORMAL`: a commit survives the process, and the writer asks for `FULL` where it must
/// survive the power too.
pub(super) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
}

/// Connects and brings the schema up to date.
pub(super) async fn open(options: &SqliteConnectOptions, path: &Path) -> Result<SqliteConnection, Error> {
    for _ in 1..OPEN_ATTEMPTS {
        match attempt(options, path).await {
            Err(Error::Open { .. } | Error::Migrate { .. }) => tokio::time::sleep(OPEN_PAUSE).await,
            result => return result,
        }
    }
    attempt(options, path).await
}

async fn attempt(options: &SqliteConnectOptions, path: &Path) -> Result<SqliteConnection, Error> {
    let named = |source| Error::Open { path: path.to_owned(), source };
    let mut connection = options.connect().await.map_err(named)?;
    match MIGRATIONS.run(&mut connection).await {
        Ok(()) => Ok(connection),
        Err(MigrateError::VersionMissing(version)) => Err(Error::Newer { path: path.to_owned(), version }),
        Err(source) => Err(Error::Migrate { path: path.to_owned(), source: Box::new(source) }),
    }
}

/// Writes one line within the transaction that is open on `connection`.
pub(super) async fn write(connection: &mut SqliteConnection, line: &Line) -> Result<(), sqlx::Error> {
    let entry = match line {
        Line::Entry(entry) => entry,
        Line::Annotation(annotation) => return annotate(connection, annotation).await,
    };
    if let Record::Opened(context) = &entry.record {
        return opened(connection, entry, context).await;
    }
    placeholder(connection, entry).await?;
    match &entry.record {
        Record::Opened(_) => Ok(()),
        Record::Answered { stream_sid, parameters } => {
            answered(connection, entry, stream_sid, parameters).await
        }
        Record::Turn(spoken) => turn(connection, entry, spoken).await,
        Record::Event(happened) => event(connection, entry, happened).await,
        Record::Ended(ending) => ended(connection, entry, ending).await,
    }
}

/// Whether this line must survive a power failure once it is committed.
pub(super) fn is_precious(line: &Line) -> bool {
    match line {
        Line::Entry(entry) => matches!(entry.record, Record::Ended(_)),
        Line::Annotation(_) => false,
    }
}

/// A row that knows nothing but its time, if the call has none: its first entry may have been lost, and the
/// others are worth keeping all the same.
async fn placeholder(connection: &mut SqliteConnection, entry: &Entry) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO calls (call_id, started_at) VALUES (?, ?) ON CONFLICT DO NOTHING")
        .bind(entry.call.to_string())
        .bind(Stamp(entry.at))
        .execute(connection)
        .await?;
    Ok(())
}

async fn opened(
    connection: &mut SqliteConnection,
    entry: &Entry,
    context: &Context,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO calls (call_id, carrier, call_sid, account_sid, business_id, agent, direction, caller,
                            dialled, prompt, parameters, started_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (call_id) DO UPDATE
            SET carrier = excluded.carrier, call_sid = excluded.call_sid, account_sid = excluded.account_sid,
                business_id = excluded.business_id, agent = excluded.agent, direction = excluded.direction,
                caller = excluded.caller, dialled = excluded.dialled, prompt = excluded.prompt,
                parameters = json_patch(excluded.parameters, calls.parameters),
                started_at = excluded.started_at
          WHERE calls.carrier = 'unknown' AND calls.call_sid = 'unknown'",
    )
    .bind(entry.call.to_string())
    .bind(&context.carrier)
    .bind(&context.call_sid)
    .bind(&context.account_sid)
    .bind(&context.business_id)
    .bind(&context.agent)
    .bind(context.direction.as_str())
    .bind(&context.from)
    .bind(&context.to)
    .bind(&context.prompt)
    .bind(json(&context.parameters)?)
    .bind(Stamp(context.started_at))
    .execute(connection)
    .await?;
    Ok(())
}

async fn answered(
    connection: &mut SqliteConnection,
    entry: &Entry,
    stream_sid: &str,
    parameters: &[(String, String)],
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE calls SET answered_at = ?, stream_sid = ?, parameters = json_patch(parameters, ?)
          WHERE call_id = ? AND answered_at IS NULL",
    )
    .bind(Stamp(entry.at))
    .bind(stream_sid)
    .bind(json(&object(parameters))?)
    .bind(entry.call.to_string())
    .execute(connection)
    .await?;
    Ok(())
}

async fn turn(connection: &mut SqliteConnection, entry: &Entry, turn: &Turn) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO turns (call_id, sequence, speaker, text, started_at, ended_at, interrupted, latency_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(entry.call.to_string())
    .bind(entry.sequence)
    .bind(turn.speaker.as_str())
    .bind(&turn.text)
    .bind(Stamp(turn.started_at))
    .bind(Stamp(turn.ended_at))
    .bind(turn.interrupted)
    .bind(turn.latency_ms.map(integer))
    .execute(connection)
    .await?;
    Ok(())
}

async fn event(connection: &mut SqliteConnection, entry: &Entry, event: &Event) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO events (call_id, sequence, at, kind, detail) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(entry.call.to_string())
    .bind(entry.sequence)
    .bind(Stamp(entry.at))
    .bind(event.kind())
    .bind(detail(event, "kind")?)
    .execute(connection)
    .await?;
    Ok(())
}

async fn ended(connection: &mut SqliteConnection, entry: &Entry, ending: &Ending) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE calls
            SET ended_at = ?1, ending = ?2, ending_detail = ?3, ending_text = ?4,
                duration_ms = max(0, CAST(round((julianday(?1) - julianday(answered_at)) * 86400000) AS INTEGER))
          WHERE call_id = ?5 AND ended_at IS NULL",
    )
    .bind(Stamp(entry.at))
    .bind(ending.code())
    .bind(detail(ending, "ending")?)
    .bind(ending.to_string())
    .bind(entry.call.to_string())
    .execute(connection)
    .await?;
    Ok(())
}

async fn annotate(connection: &mut SqliteConnection, annotation: &Annotation) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO annotations (call_sid, key, at, kind, detail) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(&annotation.call_sid)
    .bind(&annotation.key)
    .bind(Stamp(annotation.at))
    .bind(annotation.kind)
    .bind(json(&object(&annotation.detail))?)
    .execute(connection)
    .await?;
    Ok(())
}

fn object(fields: &[(String, String)]) -> BTreeMap<&str, &str> {
    fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// The fields of a tagged value; its tag has a column of its own.
fn detail(value: &impl Serialize, tag: &str) -> Result<String, sqlx::Error> {
    let mut value = serde_json::to_value(value).map_err(unencodable)?;
    if let Value::Object(fields) = &mut value {
        fields.remove(tag);
    }
    json(&value)
}

fn json(value: &impl Serialize) -> Result<String, sqlx::Error> {
    serde_json::to_string(value).map_err(unencodable)
}

fn unencodable(error: serde_json::Error) -> sqlx::Error {
    sqlx::Error::Encode(Box::new(error))
}

/// SQLite's integers are signed.
fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Whether trying the same again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The file, the disk or another process: wait and try again.
    Retry,
    /// The line itself: it will never be taken.
    Refuse,
}

/// Result codes that blame the values: `SQLITE_TOOBIG`, `SQLITE_CONSTRAINT`, `SQLITE_MISMATCH`
/// (<https://sqlite.org/rescode.html>).
const REFUSALS: [i32; 3] = [18, 19, 20];

pub(super) fn verdict(error: &sqlx::Error) -> Verdict {
    if matches!(error, sqlx::Error::Encode(_)) {
        return Verdict::Refuse;
    }
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<i32>().ok());
    // The low byte is the primary result code.
    match code {
        Some(code) if REFUSALS.contains(&(code & 0xff)) => Verdict::Refuse,
        Some(_) | None => Verdict::Retry,
    }
}
