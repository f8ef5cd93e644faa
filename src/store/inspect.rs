//! Looks at the file of a call log without changing it: for `patchcord check`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::{spill, sqlite};

/// How the file was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There is none: the server makes it.
    Missing,
    /// It has the schema of this program.
    Ready { version: i64 },
    /// The server brings it up to date.
    Older { version: i64 },
    /// Another program holds a lock on it.
    Busy,
}

/// Why the server would not start with it.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("{} is not a call log of patchcord", .0.display())]
    Foreign(PathBuf),
    #[error("{} was written by a newer version of patchcord (schema {version}, this program has {known})", path.display())]
    Newer { path: PathBuf, version: i64, known: i64 },
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: sqlx::Error },
}

impl Fault {
    /// What to do.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Foreign(_) => "write another path; this file is left alone",
            Self::Newer { .. } => "use the newer program, or write another path",
            Self::Unreadable { .. } => {
                "give the file to the user that runs `serve`, or restore it from a backup"
            }
        }
    }
}

/// A person waits, and the lock of a running server lasts milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_millis(500);

/// A database is a page long at least (<https://sqlite.org/fileformat2.html>, section 1.3.2).
const PAGE_MIN: u64 = 512;

/// `SQLITE_NOTADB` (<https://sqlite.org/rescode.html>).
const NOT_A_DATABASE: i32 = 26;

/// How the file is found, with the locks of others.
pub async fn inspect(path: &Path) -> Result<State, Fault> {
    match identify(path).await {
        Ok(State::Ready { .. }) if is_held(path).await => Ok(State::Busy),
        state => state,
    }
}

/// Opens the file to read, and takes no lock that keeps another from writing.
pub async fn identify(path: &Path) -> Result<State, Fault> {
    match fs::metadata(path).map_or(0, |state| state.len()) {
        0 => return Ok(State::Missing),
        // SQLite takes some of these for empty databases, and would write over them.
        1..PAGE_MIN => return Err(Fault::Foreign(path.to_owned())),
        _ => {}
    }
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        // Nobody has it open, and nothing is made beside it.
        .immutable(!Path::new(&wal).exists())
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging();
    match version(&options).await {
        Ok(None) => Err(Fault::Foreign(path.to_owned())),
        Ok(Some(version)) if version > sqlite::schema() => {
            Err(Fault::Newer { path: path.to_owned(), version, known: sqlite::schema() })
        }
        Ok(Some(version)) if version < sqlite::schema() => Ok(State::Older { version }),
        Ok(Some(version)) => Ok(State::Ready { version }),
        Err(error) if sqlite::is_held(&error) => Ok(State::Busy),
        Err(error) if sqlite::code(&error).is_some_and(|code| code & 0xff == NOT_A_DATABASE) => {
            Err(Fault::Foreign(path.to_owned()))
        }
        Err(source) => Err(Fault::Unreadable { path: path.to_owned(), source }),
    }
}

/// The newest migration; 0: it was begun and nothing is in it; `None`: it has tables of another program.
async fn version(options: &SqliteConnectOptions) -> Result<Option<i64>, sqlx::Error> {
    let mut connection = options.connect().await?;
    let (own, others): (i64, i64) = sqlx::query_as(
        "SELECT coalesce(sum(name IN ('calls', 'turns', '_sqlx_migrations')), 0),
                coalesce(sum(name NOT IN ('_sqlx_migrations') AND name NOT LIKE 'sqlite%'), 0)
           FROM sqlite_master WHERE type = 'table'",
    )
    .fetch_one(&mut connection)
    .await?;
    let version = match (own, others) {
        (3, _) => Some(
            sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations")
                .fetch_one(&mut connection)
                .await?,
        ),
        (_, 0) => Some(0),
        _ => None,
    };
    connection.close().await?;
    Ok(version)
}

/// Whether another program is in a transaction that writes. Takes the lock for a moment and writes nothing.
async fn is_held(path: &Path) -> bool {
    let options =
        SqliteConnectOptions::new().filename(path).busy_timeout(BUSY_TIMEOUT).disable_statement_logging();
    let Ok(mut connection) = options.connect().await else { return false };
    let begun = sqlx::raw_sql("BEGIN IMMEDIATE; ROLLBACK").execute(&mut connection).await;
    let _ = connection.close().await;
    begun.is_err_and(|error| sqlite::is_held(&error))
}

/// Whether a process has the log open as its writer.
pub fn is_in_use(path: &Path) -> bool {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    File::open(&name).is_ok_and(|file| matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock)))
}

/// Bytes of lines that wait beside the log for the next start.
pub fn waiting(path: &Path) -> u64 {
    spill::files(path).iter().filter_map(|file| fs::metadata(file).ok()).map(|state| state.len()).sum()
}
