//! The read side of the call log, for people and programs.
//!
//! Has connections of its own that cannot write: it works beside a running server, also from another process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{ConnectOptions, SqliteConnection, SqlitePool};

use super::Stamp;
use crate::call::context::UNKNOWN;

/// Reads one call log.
#[derive(Clone, Debug)]
pub struct Query {
    pool: SqlitePool,
}

/// One call in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct CallRow {
    pub call_id: String,
    pub call_sid: String,
    pub direction: String,
    #[sqlx(rename = "caller")]
    pub from: String,
    #[sqlx(rename = "dialled")]
    pub to: String,
    pub agent: String,
    pub started_at: Stamp,
    pub answered_at: Option<Stamp>,
    pub ended_at: Option<Stamp>,
    /// From the answer to the end, milliseconds.
    pub duration_ms: Option<i64>,
    /// Code of the ending; `None` while the call goes on.
    pub ending: Option<String>,
    pub turn_count: i64,
}

/// Everything known about one call. Serialises as one object.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CallDetail {
    #[serde(flatten)]
    pub call: CallRow,
    #[serde(flatten)]
    pub circumstances: Circumstances,
    /// In the order of the call.
    pub turns: Vec<TurnRow>,
    /// In the order of the call.
    pub events: Vec<EventRow>,
    /// In the order of time.
    pub annotations: Vec<AnnotationRow>,
    /// How many calls have this SID; this is the newest of them, unless it was asked for by its call id.
    pub calls_with_sid: i64,
}

/// What a list of calls leaves out.
#[derive(Clone, Debug, PartialEq, Serialize, sqlx::FromRow)]
pub struct Circumstances {
    pub carrier: String,
    pub account_sid: String,
    pub business_id: String,
    pub prompt: String,
    #[sqlx(json)]
    pub parameters: Value,
    pub stream_sid: Option<String>,
    #[sqlx(json(nullable))]
    pub ending_detail: Option<Value>,
    /// The ending as a sentence.
    pub ending_text: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct TurnRow {
    pub sequence: i64,
    pub speaker: String,
    pub text: String,
    pub started_at: Stamp,
    pub ended_at: Stamp,
    pub interrupted: bool,
    pub latency_ms: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, sqlx::FromRow)]
pub struct EventRow {
    pub sequence: i64,
    pub at: Stamp,
    pub kind: String,
    #[sqlx(json)]
    pub detail: Value,
}

#[derive(Clone, Debug, PartialEq, Serialize, sqlx::FromRow)]
pub struct AnnotationRow {
    pub key: String,
    pub at: Stamp,
    pub kind: String,
    #[sqlx(json)]
    pub detail: Value,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no call log at {}: it is made when the server runs", path.display())]
    Missing { path: PathBuf },
    #[error("{} is not a call log of patchcord", path.display())]
    Foreign { path: PathBuf },
    #[error("cannot open the call log {}: {source}", path.display())]
    Open { path: PathBuf, source: sqlx::Error },
    #[error("cannot read the call log: {0}")]
    Read(#[from] sqlx::Error),
}

/// Readers at once: a console and a command line; each connection is a thread and a few hundred kilobytes.
const CONNECTIONS: u32 = 4;

/// Readers never wait for the writer in WAL mode, only for a change of the file's mode or a recovery.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

impl Query {
    /// Opens the call log at `path`, which must exist.
    pub async fn open(path: &Path) -> Result<Self, Error> {
        if !path.is_file() {
            return Err(Error::Missing { path: path.to_owned() });
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .read_only(true)
            .busy_timeout(BUSY_TIMEOUT)
            .disable_statement_logging();
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS).connect_with(options).await;
        let pool = pool.map_err(|source| Self::blame(path, source))?;
        let tables: i64 =
            sqlx::query_scalar("SELECT count(*) FROM sqlite_master WHERE name IN ('calls', 'turns')")
                .fetch_one(&pool)
                .await
                .map_err(|source| Self::blame(path, source))?;
        if tables == 2 { Ok(Self { pool }) } else { Err(Error::Foreign { path: path.to_owned() }) }
    }

    /// The newest calls first, at most `limit` of them.
    pub async fn calls(&self, limit: u32) -> Result<Vec<CallRow>, Error> {
        let calls = sqlx::query_as(
            "SELECT call_id, call_sid, direction, caller, dialled, agent, started_at, answered_at, ended_at,
                    duration_ms, ending,
                    (SELECT count(*) FROM turns WHERE turns.call_id = calls.call_id) AS turn_count
               FROM calls ORDER BY started_at DESC, call_id DESC LIMIT ?",
        )
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        Ok(calls)
    }

    /// The call with this SID of the carrier or this call id; of several with one SID the newest.
    pub async fn call(&self, id: &str) -> Result<Option<CallDetail>, Error> {
        // One transaction: the call may be going on.
        let mut transaction = self.pool.begin().await?;
        let Some(Found { call, circumstances }) = find(&mut transaction, id).await? else {
            return Ok(None);
        };
        let turns = sqlx::query_as("SELECT * FROM turns WHERE call_id = ? ORDER BY sequence")
            .bind(&call.call_id)
            .fetch_all(&mut *transaction)
            .await?;
        let events = sqlx::query_as("SELECT * FROM events WHERE call_id = ? ORDER BY sequence")
            .bind(&call.call_id)
            .fetch_all(&mut *transaction)
            .await?;
        let annotations = annotations(&mut transaction, &call.call_sid).await?;
        let calls_with_sid = sqlx::query_scalar("SELECT count(*) FROM calls WHERE call_sid = ?")
            .bind(&call.call_sid)
            .fetch_one(&mut *transaction)
            .await?;
        Ok(Some(CallDetail { call, circumstances, turns, events, annotations, calls_with_sid }))
    }

    /// Waits until the connections are closed.
    pub async fn close(self) {
        self.pool.close().await;
    }

    fn blame(path: &Path, source: sqlx::Error) -> Error {
        // SQLITE_NOTADB (<https://sqlite.org/rescode.html>).
        let foreign = source.as_database_error().is_some_and(|error| error.code().as_deref() == Some("26"));
        let path = path.to_owned();
        if foreign { Error::Foreign { path } } else { Error::Open { path, source } }
    }
}

#[derive(sqlx::FromRow)]
struct Found {
    #[sqlx(flatten)]
    call: CallRow,
    #[sqlx(flatten)]
    circumstances: Circumstances,
}

async fn find(connection: &mut SqliteConnection, id: &str) -> Result<Option<Found>, sqlx::Error> {
    sqlx::query_as(
        "SELECT calls.*, (SELECT count(*) FROM turns WHERE turns.call_id = calls.call_id) AS turn_count
           FROM calls WHERE call_sid = ?1 OR call_id = lower(?1)
          ORDER BY started_at DESC, call_id DESC LIMIT 1",
    )
    .bind(id)
    .fetch_optional(connection)
    .await
}

async fn annotations(
    connection: &mut SqliteConnection,
    call_sid: &str,
) -> Result<Vec<AnnotationRow>, sqlx::Error> {
    if call_sid == UNKNOWN {
        return Ok(Vec::new());
    }
    sqlx::query_as("SELECT * FROM annotations WHERE call_sid = ? ORDER BY at, rowid")
        .bind(call_sid)
        .fetch_all(connection)
        .await
}
