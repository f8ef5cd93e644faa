//! Connections to one call log that cannot write, and one view of it at a time.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use sqlx::postgres::PgRow;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteRow};
use sqlx::{ConnectOptions as _, FromRow, Sqlite, SqlitePool, Transaction};

use super::remote::{Remote, View};
use super::sql::{Dialect, Sql};
use super::{Error, Source};
use crate::store::postgres::Target;

/// Readers at once: an API and a command line. A connection is a thread in SQLite, a process in Postgres.
pub(super) const CONNECTIONS: usize = 4;

/// For a free connection or a new one. A person is waiting.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Readers never wait for the writer in WAL mode, only for a change of the file's mode or a recovery.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// What one question may cost.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(4);

/// Steps of SQLite's machine between two looks at the clock: about a tenth of a millisecond.
const STEPS: i32 = 10_000;

/// A row that either database gives.
pub(super) trait Row:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

impl<T> Row for T where T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

/// Where sessions come from.
#[derive(Debug)]
pub(super) enum Pool {
    Sqlite { pool: SqlitePool, path: PathBuf },
    Postgres(Remote),
}

impl Pool {
    /// Connects when the first question comes.
    pub(super) fn new(source: Source) -> Result<Self, Error> {
        match source {
            Source::Sqlite(path) => {
                let options = SqliteConnectOptions::new()
                    .filename(&path)
                    .read_only(true)
                    .busy_timeout(BUSY_TIMEOUT)
                    .disable_statement_logging();
                let pool = SqlitePoolOptions::new()
                    .max_connections(CONNECTIONS as u32)
                    .acquire_timeout(CONNECT_TIMEOUT);
                Ok(Self::Sqlite { pool: pool.connect_lazy_with(options), path })
            }
            Source::Postgres(url) => Ok(Self::Postgres(Remote::new(Target::parse(&url)?))),
        }
    }

    /// What is in the log now; what comes later is not seen.
    pub(super) async fn begin(&self) -> Result<Session, Error> {
        match self {
            Self::Sqlite { pool, path } => {
                if !path.is_file() {
                    return Err(Error::Missing { path: path.clone() });
                }
                let mut transaction = pool.begin().await?;
                let deadline = Instant::now() + STATEMENT_TIMEOUT;
                let mut handle = transaction.lock_handle().await?;
                handle.set_progress_handler(STEPS, move || Instant::now() < deadline);
                drop(handle);
                Ok(Session::Sqlite(transaction))
            }
            Self::Postgres(remote) => Ok(Session::Postgres(remote.begin().await?)),
        }
    }

    /// Keeps the connection of a question that was answered.
    pub(super) async fn end(&self, session: Session) {
        if let (Self::Postgres(remote), Session::Postgres(view)) = (self, session) {
            remote.end(view).await;
        }
    }

    /// The database is somebody else's.
    pub(super) fn foreign(&self) -> Error {
        match self {
            Self::Sqlite { path, .. } => Error::Foreign { path: path.clone() },
            Self::Postgres(_) => Error::Empty,
        }
    }

    /// Leaves connections that do not answer to themselves.
    pub(super) fn renew(&self) {
        if let Self::Postgres(remote) = self {
            drop(remote.take_idle());
        }
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite { pool, .. } => pool.close().await,
            Self::Postgres(remote) => remote.close().await,
        }
    }
}

/// One view of the log.
#[derive(Debug)]
pub(super) enum Session {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(View),
}

impl Session {
    pub(super) const fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    pub(super) fn sql(&self, text: &'static str) -> Sql {
        Sql::new(self.dialect(), text)
    }

    pub(super) async fn all<T: Row>(&mut self, sql: &Sql) -> Result<Vec<T>, Error> {
        Ok(match self {
            Self::Sqlite(transaction) => {
                sql.sqlite().build_query_as::<T>().fetch_all(&mut **transaction).await?
            }
            Self::Postgres(view) => {
                let mut statement = sql.postgres();
                statement.build_query_as::<T>().persistent(false).fetch_all(view.connection()).await?
            }
        })
    }

    pub(super) async fn first<T: Row>(&mut self, sql: &Sql) -> Result<Option<T>, Error> {
        Ok(match self {
            Self::Sqlite(transaction) => {
                sql.sqlite().build_query_as::<T>().fetch_optional(&mut **transaction).await?
            }
            Self::Postgres(view) => {
                let mut statement = sql.postgres();
                statement.build_query_as::<T>().persistent(false).fetch_optional(view.connection()).await?
            }
        })
    }

    /// The only number of the only row.
    pub(super) async fn number(&mut self, sql: &Sql) -> Result<i64, Error> {
        let row: Option<(i64,)> = self.first(sql).await?;
        Ok(row.map_or(0, |(number,)| number))
    }
}
