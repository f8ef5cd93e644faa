//! The local file: the call log itself, or the journal on its way to Postgres.

pub(super) mod apply;
pub(super) mod journal;

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection as _, SqliteConnection};

use super::rows::Batch;
use super::{Away, Error, Stamp, Verdict};

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
        // What is erased is overwritten.
        .pragma("secure_delete", "ON")
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
}

/// Connects and brings the schema up to date.
pub(super) async fn open(options: &SqliteConnectOptions, path: &Path) -> Result<SqliteConnection, Error> {
    let began = Instant::now();
    for _ in 1..OPEN_ATTEMPTS {
        match attempt(options, path).await {
            // It waited for the lock already.
            Err(error) if error.is_held() && began.elapsed() >= BUSY_TIMEOUT => return Err(error),
            Err(Error::Open { .. } | Error::Migrate { .. }) => tokio::time::sleep(OPEN_PAUSE).await,
            result => return result,
        }
    }
    attempt(options, path).await
}

async fn attempt(options: &SqliteConnectOptions, path: &Path) -> Result<SqliteConnection, Error> {
    let named = |source| Error::Open { path: path.to_owned(), source };
    let mut connection = options.connect().await.map_err(named)?;
    // `run` is the same; the compiler does not see that it may move between threads.
    match MIGRATIONS.run_direct(None, &mut connection, false).await {
        Ok(()) => Ok(connection),
        Err(MigrateError::VersionMissing(version)) => Err(Error::Newer { path: path.to_owned(), version }),
        Err(source) => Err(Error::Migrate { path: path.to_owned(), source: Box::new(source) }),
    }
}

/// Result codes that blame the values: `SQLITE_TOOBIG`, `SQLITE_CONSTRAINT`, `SQLITE_MISMATCH`
/// (<https://sqlite.org/rescode.html>).
const REFUSALS: [i32; 3] = [18, 19, 20];

/// `SQLITE_BUSY`, `SQLITE_LOCKED`, `SQLITE_PROTOCOL`: another program holds a lock.
const HELD: [i32; 3] = [5, 6, 15];

/// `SQLITE_IOERR`: the system refuses to read or write, also beyond a limit on the size of files.
const UNWRITABLE: i32 = 10;

/// Whether an error, or what caused it, is a lock of another program.
pub(super) fn is_held(error: &(dyn std::error::Error + 'static)) -> bool {
    away(error) == Some(Away::Locked)
}

/// Why the file cannot be used now, by an error or what caused it; `None`: for a reason that does not pass.
pub(super) fn away(error: &(dyn std::error::Error + 'static)) -> Option<Away> {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.find_map(|cause| {
        let code = cause.downcast_ref::<sqlx::Error>().and_then(code);
        let code = code.or_else(|| {
            let error = cause.downcast_ref::<sqlx::sqlite::SqliteError>()?;
            sqlx::error::DatabaseError::code(error)?.parse().ok()
        });
        away_by(code?)
    })
}

/// The same by a result code; the low byte is the primary one.
pub(super) fn away_by(code: i32) -> Option<Away> {
    match code & 0xff {
        code if HELD.contains(&code) => Some(Away::Locked),
        FULL => Some(Away::DiskFull),
        UNWRITABLE => Some(Away::Unwritable),
        _ => None,
    }
}

pub(super) fn code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error().and_then(|error| error.code()?.parse().ok())
}

/// `SQLITE_FULL`.
const FULL: i32 = 13;

/// Whether trying the same again can help.
pub(super) fn verdict(error: &sqlx::Error) -> Verdict {
    if matches!(error, sqlx::Error::Encode(_)) {
        return Verdict::Refuse;
    }
    let code = code(error);
    // The low byte is the primary result code.
    match code {
        Some(code) if code & 0xff == FULL => Verdict::Full,
        Some(code) if REFUSALS.contains(&(code & 0xff)) => Verdict::Refuse,
        Some(_) | None => Verdict::Retry,
    }
}

/// The number of the last migration of this program.
pub(super) fn schema() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Ends the calls of a process that died `before` then, where the rest of them is: in the journal or in the tables.
pub(super) async fn recover(connection: &mut SqliteConnection, before: Stamp) -> Result<(), sqlx::Error> {
    let (journalled, local) = journal::orphans(connection, before).await?;
    if journalled.is_empty() && local.is_empty() {
        return Ok(());
    }
    let calls = journalled.len() + local.len();
    tracing::warn!(calls, "calls of a process that died are ended in the call log");
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    journal::append(&mut transaction, &journalled).await?;
    journal::note(&mut transaction, &journalled).await?;
    journal::note(&mut transaction, &local).await?;
    apply::apply(&mut transaction, &Batch::of(local)).await?;
    transaction.commit().await
}
