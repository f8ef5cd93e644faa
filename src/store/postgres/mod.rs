//! Postgres, the call log of a fleet: a connection that the shipper writes through, and the schema.

pub(super) mod apply;
pub(super) mod statement;

mod cause;
mod detour;
mod migrate;
mod probe;
mod url;

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection as _, PgConnection, Row as _};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

pub use self::probe::{Probe, Rights};
use self::statement::query_scalar;
use super::Verdict;
use crate::secret::Secret;

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
    #[error("cannot connect to Postgres at {place}: no answer within {} s; a firewall may drop the packets", .limit.as_secs())]
    ConnectTimeout { place: String, limit: Duration },
    #[error("cannot connect to Postgres at {place}: {cause}")]
    Connect { place: String, cause: String },
    #[error("Postgres at {place} takes no writes: it is a standby or read-only")]
    Standby { place: String },
    #[error("Postgres did not answer within {} s", .0.as_secs())]
    Timeout(Duration),
    #[error("Postgres: {0}")]
    Statement(#[from] sqlx::Error),
    #[error("cannot bring Postgres to the current schema (migration {version}): {source}")]
    Migrate { version: i64, source: sqlx::Error },
    #[error(
        "migration {version} of Postgres was changed after it was applied: its schema is of another program"
    )]
    Changed { version: i64 },
    #[error("Postgres has the schema of a newer version of patchcord ({version}): update this one")]
    Newer { version: i64 },
}

/// Where Postgres is and who we are there. Its `Debug` form has no password.
#[derive(Clone)]
pub struct Target {
    /// One for each host, tried in this order.
    hosts: Vec<PgConnectOptions>,
    needs_primary: bool,
    unknown: Vec<String>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Target({self})")
    }
}

/// Hosts and database, for people.
impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let database = self.hosts.first().and_then(PgConnectOptions::get_database);
        let places: Vec<_> = self.hosts.iter().map(place).collect();
        write!(f, "{} at {}", database.unwrap_or("its default database"), places.join(" or "))
    }
}

impl Target {
    /// `postgres://user:password@host:port/database`, and the other usual forms of it.
    pub fn parse(text: &Secret) -> Result<Self, Error> {
        let address = url::parse(text.expose())?;
        let name = address.application_name.as_deref().unwrap_or("patchcord");
        let host = |url: String| {
            // sqlx names the part that it cannot read, and that may be the password.
            let options = PgConnectOptions::from_str(&url)
                .map_err(|_| Error::Url("its host is not the name or address of a host".to_owned()))?;
            // A pooler refuses parameters of the session that it does not know.
            Ok(options.application_name(name).extra_float_digits(None).disable_statement_logging())
        };
        let hosts = address.urls().into_iter().map(host).collect::<Result<Vec<_>, Error>>()?;
        let needs_primary = address.needs_primary || hosts.len() > 1;
        Ok(Self { hosts, needs_primary, unknown: address.unknown })
    }

    /// Names of parameters of the URL that are not used.
    pub fn unknown_parameters(&self) -> &[String] {
        &self.unknown
    }

    /// Connects, to the first host that answers and takes writes, and brings the schema up to date.
    pub async fn open(&self) -> Result<PgConnection, Error> {
        let mut connection = self.connect(CONNECT_TIMEOUT).await?;
        let migrated = tokio::time::timeout(MIGRATE_TIMEOUT, migrate::run(&mut connection)).await;
        migrated.map_err(|_| Error::Timeout(MIGRATE_TIMEOUT))??;
        Ok(connection)
    }

    /// Connects within `limit`, which the hosts share.
    pub(super) async fn connect(&self, limit: Duration) -> Result<PgConnection, Error> {
        let began = Instant::now();
        let mut fault = None;
        for (index, host) in self.hosts.iter().enumerate() {
            let share = limit.mul_f64((index + 1) as f64 / self.hosts.len() as f64);
            match self.connect_to(host, began + share).await {
                Ok(connection) => return Ok(connection),
                Err(Error::ConnectTimeout { place, .. }) => {
                    fault = Some(Error::ConnectTimeout { place, limit });
                }
                Err(error) => fault = Some(error),
            }
        }
        Err(fault.unwrap_or(Error::Timeout(limit)))
    }

    async fn connect_to(&self, host: &PgConnectOptions, deadline: Instant) -> Result<PgConnection, Error> {
        let named = |error: &sqlx::Error| Error::Connect { place: place(host), cause: cause::cause(error) };
        let attempt = async {
            let mut connection = detour::connect(host).await.map_err(|error| named(&error))?;
            if self.needs_primary && is_read_only(&mut connection).await.map_err(|error| named(&error))? {
                let _ = connection.close().await;
                return Err(Error::Standby { place: place(host) });
            }
            Ok(connection)
        };
        let late = Error::ConnectTimeout { place: place(host), limit: Duration::ZERO };
        timeout_at(deadline, attempt).await.unwrap_or(Err(late))
    }
}

fn place(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

/// As libpq asks (<https://www.postgresql.org/docs/current/libpq-connect.html>, `target_session_attrs`).
async fn is_read_only(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let row = sqlx::raw_sql("SHOW transaction_read_only").fetch_one(connection).await?;
    Ok(row.try_get::<String, _>(0)? == "on")
}

/// How far the journal was applied; `None`: this database has never seen it.
pub(super) async fn position(
    connection: &mut PgConnection,
    journal: Uuid,
) -> Result<Option<i64>, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let position = query_scalar("SELECT position FROM journals WHERE journal = $1")
        .bind(journal)
        .fetch_optional(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(position)
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
    #[case("postgres://u:pw@h:port/d", "its port is not a number")]
    #[case("postgres://u:pw@h h/d", "its host is not the name")]
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

    #[test]
    fn a_target_of_several_hosts_shows_them_all() {
        let target = Target::parse(&Secret::new("postgres://u:hunter2@a,b:5433/calls?nonsense=1")).unwrap();
        assert_eq!(target.to_string(), "calls at a:5432 or b:5433");
        assert_eq!(target.unknown_parameters(), ["nonsense"]);
    }
}
