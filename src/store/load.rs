//! Fills an empty call log with calls that are over, thousands at a time: for benches.
//!
//! The rows are the journal's. Nothing of it survives a crash in the middle, and it is many times as fast.

use std::path::Path;

use serde_json::Value;
use sqlx::{Connection as _, PgConnection, SqliteConnection};
use uuid::Uuid;

use super::postgres::{self, Target};
use super::rows::{Batch, Row};
use super::sqlite;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("this is no row of the journal: {0}")]
    Row(#[from] serde_json::Error),
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    #[error(transparent)]
    Open(#[from] super::Error),
    #[error(transparent)]
    Postgres(#[from] postgres::Error),
}

/// An open log that is being filled.
#[derive(Debug)]
pub enum Loader {
    Sqlite(SqliteConnection),
    Postgres { connection: PgConnection, journal: Uuid, position: i64 },
}

impl Loader {
    /// Makes the file at `path`.
    pub async fn sqlite(path: &Path) -> Result<Self, Error> {
        super::create(path)?;
        let mut connection = sqlite::open(&sqlite::options(path), path).await?;
        sqlx::query("PRAGMA synchronous = OFF").execute(&mut connection).await?;
        sqlx::query("PRAGMA cache_size = -262144").execute(&mut connection).await?;
        Ok(Self::Sqlite(connection))
    }

    pub async fn postgres(target: &Target) -> Result<Self, Error> {
        let mut connection = target.open().await?;
        sqlx::query("SET synchronous_commit = off").execute(&mut connection).await?;
        // One sorted build of the index of words takes a tenth of the time of ten million insertions.
        sqlx::query("DROP INDEX turns_by_word").execute(&mut connection).await?;
        Ok(Self::Postgres { connection, journal: Uuid::new_v4(), position: 0 })
    }

    /// Adds rows; all of a call should be among them.
    pub async fn add(&mut self, rows: Vec<Value>) -> Result<(), Error> {
        let rows = rows.into_iter().map(serde_json::from_value::<Row>).collect::<Result<Vec<_>, _>>()?;
        match self {
            Self::Sqlite(connection) => {
                let mut transaction = connection.begin().await?;
                sqlite::apply::apply(&mut transaction, &Batch::of(rows)).await?;
                transaction.commit().await?;
            }
            Self::Postgres { connection, journal, position } => {
                *position += rows.len() as i64;
                postgres::apply::apply(connection, rows, *journal, *position).await?;
            }
        }
        Ok(())
    }

    /// Builds what was left out and lets the database learn what it has.
    pub async fn finish(self) -> Result<(), Error> {
        match self {
            Self::Sqlite(mut connection) => {
                sqlx::query("ANALYZE").execute(&mut connection).await?;
                connection.close().await?;
            }
            Self::Postgres { mut connection, .. } => {
                sqlx::query("SET maintenance_work_mem = '512MB'").execute(&mut connection).await?;
                sqlx::query("CREATE INDEX turns_by_word ON turns USING gin (words) WITH (fastupdate = off)")
                    .execute(&mut connection)
                    .await?;
                for table in ["VACUUM ANALYZE calls", "VACUUM ANALYZE turns", "VACUUM ANALYZE events"] {
                    sqlx::query(table).execute(&mut connection).await?;
                }
                connection.close().await?;
            }
        }
        Ok(())
    }
}
