//! Postgres, the call log of a fleet: a connection that the shipper writes through, and the schema.

pub(super) mod apply;

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};
use tokio::time::timeout;
use uuid::Uuid;

use super::Verdict;
use crate::secret::Secret;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// Connecting, TLS and authentication; a database further away than this is of no use.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Adding an index to a large table takes its time; several servers may wait for one that does it.
const MIGRATE_TIMEOUT: Duration = Duration::from_secs(600);

/// One transaction with a batch takes tens of milliseconds; a database that hangs never answers.
pub(super) const APPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// What can go wrong with Postgres. No variant tells the URL: it has a password.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the URL of Postgres cannot be read: {0}")]
    Url(String),
    #[error("no connection to Postgres within {} s", .0.as_secs())]
    ConnectTimeout(Duration),
    #[error("cannot connect to Postgres: {0}")]
    Connect(sqlx::Error),
    #[error("Postgres did not answer within {} s", .0.as_secs())]
    Timeout(Duration),
    #[error("Postgres: {0}")]
    Statement(#[from] sqlx::Error),
    #[error("cannot bring Postgres to the current schema: {0}")]
    Migrate(Box<MigrateError>),
    #[error("Postgres has the schema of a newer version of patchcord ({version}): update this one")]
    Newer { version: i64 },
}

/// Where Postgres is and who we are there. Its `Debug` form has no password.
#[derive(Clone)]
pub struct Target {
    options: PgConnectOptions,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Target({self})")
    }
}

/// Host and database, for people.
impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let database = self.options.get_database().unwrap_or("its default database");
        match self.options.get_socket() {
            Some(socket) => write!(f, "{database} at {}", socket.display()),
            None => write!(f, "{database} at {}:{}", self.options.get_host(), self.options.get_port()),
        }
    }
}

impl Target {
    /// `postgres://user:password@host:port/database`.
    pub fn parse(url: &Secret) -> Result<Self, Error> {
        let text = url.expose();
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(Error::Url("it does not begin with postgres://".to_owned()));
        }
        let options = PgConnectOptions::from_str(text).map_err(|error| Error::Url(blame(&error)))?;
        Ok(Self { options: options.application_name("patchcord").disable_statement_logging() })
    }

    pub(super) const fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// Connects and brings the schema up to date.
    pub async fn open(&self) -> Result<PgConnection, Error> {
        let mut connection = timeout(CONNECT_TIMEOUT, self.options.connect())
            .await
            .map_err(|_| Error::ConnectTimeout(CONNECT_TIMEOUT))?
            .map_err(Error::Connect)?;
        // `run` is the same; the compiler does not see that it may move between threads.
        let migration = MIGRATIONS.run_direct(None, &mut connection, false);
        let migrated = timeout(MIGRATE_TIMEOUT, migration).await;
        match migrated.map_err(|_| Error::Timeout(MIGRATE_TIMEOUT))? {
            Ok(()) => Ok(connection),
            Err(MigrateError::VersionMissing(version)) => Err(Error::Newer { version }),
            Err(error) => Err(Error::Migrate(Box::new(error))),
        }
    }
}

/// What is wrong with a URL, without the URL.
fn blame(error: &sqlx::Error) -> String {
    if matches!(error, sqlx::Error::Configuration(_)) {
        return "it is not a URL of Postgres".to_owned();
    }
    error.to_string()
}

/// How far the journal was applied; `None`: this database has never seen it.
pub(super) async fn position(
    connection: &mut PgConnection,
    journal: Uuid,
) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar("SELECT position FROM journals WHERE journal = $1")
        .bind(journal)
        .fetch_optional(connection)
        .await
}

/// SQLSTATE classes that blame the values: data exception, integrity constraint violation, program limit exceeded
/// (PostgreSQL, appendix A).
const REFUSALS: [&str; 3] = ["22", "23", "54"];

/// Whether trying the same again can help.
pub(super) fn verdict(error: &sqlx::Error) -> Verdict {
    if matches!(error, sqlx::Error::Encode(_)) {
        return Verdict::Refuse;
    }
    let code = error.as_database_error().and_then(|error| error.code());
    match code {
        Some(code) if REFUSALS.iter().any(|class| code.starts_with(class)) => Verdict::Refuse,
        Some(_) | None => Verdict::Retry,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("mysql://u:pw@h/d", "it does not begin with postgres://")]
    #[case("postgres://u:pw@h:port/d", "it is not a URL of Postgres")]
    fn a_bad_url_is_refused_without_telling_it(#[case] url: &str, #[case] reason: &str) {
        let error = Target::parse(&Secret::new(url)).unwrap_err().to_string();
        assert!(error.contains(reason) && !error.contains("pw"), "{error}");
    }

    #[test]
    fn a_target_shows_where_it_is_and_no_password() {
        let target = Target::parse(&Secret::new("postgres://u:hunter2@db.example:5433/calls")).unwrap();
        assert_eq!(target.to_string(), "calls at db.example:5433");
        assert!(!format!("{target:?}").contains("hunter2"));
    }
}
