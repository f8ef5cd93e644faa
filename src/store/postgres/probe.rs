//! What `patchcord check` asks Postgres: whether it answers, what its schema is, and whether this user may write.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tokio::time::timeout;

use super::migrate::{self, Schema};
use super::statement::{query_as, query_scalar};
use super::{Error, Target};

/// What was found. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// `server_version`.
    pub version: String,
    /// The newest migration; `None`: the tables are missing.
    pub schema: Option<i64>,
    /// Migrations are missing: the server will apply them.
    pub is_older: bool,
    pub is_read_only: bool,
    pub rights: Rights,
}

/// What this user may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Make tables in the first schema of the search path.
    pub may_create: bool,
    /// Tables of the call log that it may not read and write.
    pub closed_tables: Vec<String>,
}

impl Target {
    /// Connects and asks, all within `limit`.
    pub async fn probe(&self, limit: Duration) -> Result<Probe, Error> {
        let probe = async {
            let mut connection = self.connect(limit).await?;
            let probe = ask(&mut connection).await?;
            let _ = connection.close().await;
            Ok(probe)
        };
        timeout(limit, probe).await.unwrap_or(Err(Error::Timeout(limit)))
    }
}

async fn ask(connection: &mut PgConnection) -> Result<Probe, Error> {
    let mut transaction = connection.begin().await?;
    let version = query_scalar("SELECT current_setting('server_version')").fetch_one(&mut *transaction);
    let version: String = version.await?;
    let is_read_only = query_scalar("SELECT current_setting('transaction_read_only') = 'on'");
    let is_read_only: bool = is_read_only.fetch_one(&mut *transaction).await?;
    let may_create: Option<bool> = query_scalar("SELECT has_schema_privilege(current_schema(), 'CREATE')")
        .fetch_one(&mut *transaction)
        .await?;
    let closed: Vec<(String,)> = query_as(
        "SELECT tablename::text FROM pg_tables
          WHERE schemaname = current_schema()
            AND tablename IN ('calls', 'turns', 'events', 'annotations', 'daily', 'daily_latencies',
                              'monthly_latencies', 'daily_failures', 'journals')
            AND NOT (has_table_privilege(quote_ident(schemaname) || '.' || tablename, 'SELECT')
                 AND has_table_privilege(quote_ident(schemaname) || '.' || tablename, 'INSERT')
                 AND has_table_privilege(quote_ident(schemaname) || '.' || tablename, 'UPDATE'))
          ORDER BY 1",
    )
    .fetch_all(&mut *transaction)
    .await?;
    let rights = Rights {
        may_create: may_create.unwrap_or(false),
        closed_tables: closed.into_iter().map(|(table,)| table).collect(),
    };
    let (schema, is_older) = match migrate::read(&mut transaction).await {
        Ok(Schema::Missing) => (None, false),
        Ok(Schema::Older(version)) => (Some(version), true),
        Ok(Schema::Current) => (Some(migrate::newest()), false),
        // It may not be read: that is among the rights.
        Err(Error::Statement(_)) if !rights.closed_tables.is_empty() => (None, false),
        Err(error) => return Err(error),
    };
    transaction.rollback().await?;
    Ok(Probe { version, schema, is_older, is_read_only, rights })
}
