//! Connections to one call log that cannot write, and one view of it at a time.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteRow};
use sqlx::{ConnectOptions as _, FromRow, PgPool, Postgres, Sqlite, SqlitePool, Transaction};

use super::sql::{Dialect, Sql};
use super::{Error, Source};
use crate::store::postgres::Target;

/// Readers at once: an API and a command line. A connection is a thread in SQLite, a process in Postgres.
const CONNECTIONS: u32 = 4;

/// For a connection to Postgres, a free one or a new one. A person is waiting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Readers never wait for the writer in WAL mode, only for a change of the file's mode or a recovery.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// What one question may cost; every statement of it in Postgres.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(4);
const STATEMENT_TIMEOUT_MS: &str = "4000";

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
    Sqlite {
        pool: SqlitePool,
        path: PathBuf,
    },
    Postgres {
        /// Replaced when an answer did not come: a connection to a silent server is not given back for minutes.
        pool: Mutex<PgPool>,
        options: Box<PgConnectOptions>,
    },
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
                let pool =
                    SqlitePoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(CONNECT_TIMEOUT);
                Ok(Self::Sqlite { pool: pool.connect_lazy_with(options), path })
            }
            Source::Postgres(url) => {
                let options = Target::parse(&url)?.options().clone();
                // A plan for every question: what is rare in one is common in the next. Compiling a plan takes
                // longer than running it.
                let options = options.options([
                    ("default_transaction_read_only", "on"),
                    ("statement_timeout", STATEMENT_TIMEOUT_MS),
                    ("plan_cache_mode", "force_custom_plan"),
                    ("jit", "off"),
                ]);
                Ok(Self::Postgres { pool: Mutex::new(postgres(&options)), options: Box::new(options) })
            }
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
            Self::Postgres { pool, .. } => {
                let pool = lock(pool).clone();
                let transaction = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
                Ok(Session::Postgres(transaction))
            }
        }
    }

    /// The database is somebody else's.
    pub(super) fn foreign(&self) -> Error {
        match self {
            Self::Sqlite { path, .. } => Error::Foreign { path: path.clone() },
            Self::Postgres { .. } => Error::Empty,
        }
    }

    /// Leaves connections that do not answer to themselves.
    pub(super) fn renew(&self) {
        if let Self::Postgres { pool, options } = self {
            let old = std::mem::replace(&mut *lock(pool), postgres(options));
            tokio::spawn(async move { old.close().await });
        }
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite { pool, .. } => pool.close().await,
            Self::Postgres { pool, .. } => {
                let pool = lock(pool).clone();
                pool.close().await;
            }
        }
    }
}

fn lock(pool: &Mutex<PgPool>) -> MutexGuard<'_, PgPool> {
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}

fn postgres(options: &PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(CONNECT_TIMEOUT)
        .connect_lazy_with(options.clone())
}

/// One view of the log.
#[derive(Debug)]
pub(super) enum Session {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
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
            Self::Postgres(transaction) => {
                sql.postgres().build_query_as::<T>().fetch_all(&mut **transaction).await?
            }
        })
    }

    pub(super) async fn first<T: Row>(&mut self, sql: &Sql) -> Result<Option<T>, Error> {
        Ok(match self {
            Self::Sqlite(transaction) => {
                sql.sqlite().build_query_as::<T>().fetch_optional(&mut **transaction).await?
            }
            Self::Postgres(transaction) => {
                sql.postgres().build_query_as::<T>().fetch_optional(&mut **transaction).await?
            }
        })
    }

    /// The only number of the only row.
    pub(super) async fn number(&mut self, sql: &Sql) -> Result<i64, Error> {
        let row: Option<(i64,)> = self.first(sql).await?;
        Ok(row.map_or(0, |(number,)| number))
    }
}
