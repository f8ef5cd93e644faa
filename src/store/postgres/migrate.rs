//! The schema: brought up to date a migration at a time, each in one transaction with its row in `_sqlx_migrations`.
//!
//! sqlx's own runner holds a lock of the session between transactions, which a pooler in transaction mode takes and
//! gives back on different connections.

use std::borrow::Cow;
use std::collections::BTreeMap;

use sqlx::migrate::{Migration, Migrator};
use sqlx::{Connection as _, PgConnection};

use super::statement::{query, query_as, query_scalar};
use super::{Error, apply};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// Advisory lock of the transaction that changes the schema.
const SCHEMA_LOCK: i64 = apply::ERASURE + 1;

const TABLE: &str = "CREATE TABLE _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMPTZ NOT NULL DEFAULT now(),
    success BOOLEAN NOT NULL,
    checksum BYTEA NOT NULL,
    execution_time BIGINT NOT NULL
)";

/// What a database has of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Schema {
    /// No table of the call log.
    Missing,
    /// Migrations of this program are missing; with the newest that is there.
    Older(i64),
    Current,
}

/// Brings the schema up to date. Asks first and takes a lock only if something is missing: the user of the server
/// needs no right to create tables where `patchcord migrate` made them.
pub(super) async fn run(connection: &mut PgConnection) -> Result<(), Error> {
    let mut transaction = connection.begin().await?;
    let schema = read(&mut transaction).await?;
    transaction.commit().await?;
    if schema == Schema::Current {
        return Ok(());
    }
    while step(connection).await? {}
    Ok(())
}

/// What is there, within a transaction that is open.
pub(super) async fn read(connection: &mut PgConnection) -> Result<Schema, Error> {
    let known = known(connection).await?;
    judge(&known)?;
    Ok(match known.last_key_value() {
        None => Schema::Missing,
        Some(_) if known.len() == MIGRATIONS.iter().len() => Schema::Current,
        Some((version, _)) => Schema::Older(*version),
    })
}

/// Applies the first migration that is missing; `false`: none is.
async fn step(connection: &mut PgConnection) -> Result<bool, Error> {
    let mut transaction = connection.begin().await?;
    query("SELECT pg_advisory_xact_lock($1)").bind(SCHEMA_LOCK).execute(&mut *transaction).await?;
    // Only now: another server may have done it meanwhile.
    let known = known(&mut transaction).await?;
    judge(&known)?;
    let Some(missing) = MIGRATIONS.iter().find(|migration| !known.contains_key(&migration.version)) else {
        transaction.commit().await?;
        return Ok(false);
    };
    if !has_table(&mut transaction).await? {
        query(TABLE).execute(&mut *transaction).await?;
    }
    let named = |source| Error::Migrate { version: missing.version, source };
    sqlx::raw_sql(missing.sql.clone()).execute(&mut *transaction).await.map_err(named)?;
    note(&mut transaction, missing).await?;
    transaction.commit().await?;
    tracing::info!(version = missing.version, "schema of Postgres brought up to date");
    Ok(true)
}

async fn note(connection: &mut PgConnection, migration: &Migration) -> Result<(), sqlx::Error> {
    query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES ($1, $2, true, $3, 0)",
    )
    .bind(migration.version)
    .bind(&*migration.description)
    .bind(&*migration.checksum)
    .execute(connection)
    .await?;
    Ok(())
}

/// Checksums of the migrations that were applied.
async fn known(connection: &mut PgConnection) -> Result<BTreeMap<i64, Vec<u8>>, Error> {
    if !has_table(connection).await? {
        return Ok(BTreeMap::new());
    }
    let rows: Vec<(i64, Vec<u8>)> = query_as("SELECT version, checksum FROM _sqlx_migrations WHERE success")
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().collect())
}

async fn has_table(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL").fetch_one(connection).await
}

fn judge(known: &BTreeMap<i64, Vec<u8>>) -> Result<(), Error> {
    for (version, checksum) in known {
        let Some(own) = MIGRATIONS.iter().find(|migration| migration.version == *version) else {
            return Err(Error::Newer { version: *version });
        };
        if own.checksum != Cow::Borrowed(checksum.as_slice()) {
            return Err(Error::Changed { version: *version });
        }
    }
    Ok(())
}

/// The number of the last migration of this program.
pub(super) fn newest() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}
