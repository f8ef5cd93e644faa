//! The read side of the call log, for people and programs.
//!
//! One set of questions and answers for SQLite and Postgres. Has connections of its own that cannot write: it works
//! beside a running server, also from another process.

pub mod filter;
pub mod stats;

mod cursor;
mod error;
mod list;
mod parties;
mod remote;
mod rows;
mod search;
mod session;
mod show;
mod sql;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

pub use self::cursor::Cursor;
pub use self::error::Error;
pub use self::filter::{Filter, Invalid, Page};
pub use self::list::CallPage;
pub use self::parties::Asked;
pub use self::rows::{AnnotationRow, CallDetail, CallRow, Circumstances, EventRow, Summary, Tokens, TurnRow};
pub use self::search::Words;
use self::session::{Pool, Session};
use self::sql::Dialect;
pub use self::stats::Stats;
use crate::secret::Secret;

/// Where a call log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file.
    Sqlite(PathBuf),
    /// An address, `postgres://user@host/database`.
    Postgres(Secret),
}

impl<P: AsRef<Path> + ?Sized> From<&P> for Source {
    fn from(path: &P) -> Self {
        Self::Sqlite(path.as_ref().to_owned())
    }
}

/// Reads one call log. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Query {
    pool: Arc<Pool>,
}

/// A question that has no answer by then never gets one: the network is silent. Longer than the database itself
/// lets a question run.
const DEADLINE: Duration = Duration::from_secs(5);

/// The schema that is asked: the number of the last migration.
const SCHEMA_SQLITE: i64 = 6;
const SCHEMA_POSTGRES: i64 = 5;

impl Query {
    /// Opens a call log, which must exist and have the schema of this program.
    pub async fn open(source: impl Into<Source>) -> Result<Self, Error> {
        let query = Self::lazy(source)?;
        query.check().await?;
        Ok(query)
    }

    /// Connects with the first question; until the log is there, questions fail.
    pub fn lazy(source: impl Into<Source>) -> Result<Self, Error> {
        Ok(Self { pool: Arc::new(Pool::new(source.into())?) })
    }

    /// Some of the calls that the filter lets through, the newest first.
    pub async fn calls(&self, filter: &Filter, page: &Page) -> Result<CallPage, Error> {
        self.within(async |session| {
            let filter = parties::resolved(session, filter).await?;
            list::page(session, &filter, page).await
        })
        .await
    }

    /// Those of these calls that the filter lets through, the newest first.
    pub async fn among(&self, ids: &[Uuid], filter: &Filter) -> Result<Vec<CallRow>, Error> {
        self.within(async |session| {
            let filter = parties::resolved(session, filter).await?;
            list::among(session, ids, &filter).await
        })
        .await
    }

    /// The call with this SID of the carrier or this call id; of several with one SID the newest.
    pub async fn call(&self, id: &str) -> Result<Option<CallDetail>, Error> {
        self.within(async |session| show::show(session, id).await).await
    }

    /// What the calls of some days come to.
    pub async fn stats(&self, scope: &stats::Scope) -> Result<Stats, Error> {
        self.within(async |session| stats::stats(session, scope).await).await
    }

    /// Waits until the connections are closed.
    pub async fn close(self) {
        // A server that does not answer does not answer this either.
        let _ = tokio::time::timeout(DEADLINE, self.pool.close()).await;
    }

    /// One question on one view of the log.
    async fn within<T>(
        &self,
        question: impl AsyncFnOnce(&mut Session) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let answer = async {
            let mut session = self.pool.begin().await?;
            let answer = question(&mut session).await?;
            self.pool.end(session).await;
            Ok(answer)
        };
        match tokio::time::timeout(DEADLINE, answer).await {
            Ok(answer) => answer,
            Err(_) => {
                self.pool.renew();
                Err(Error::TooSlow)
            }
        }
    }

    async fn check(&self) -> Result<(), Error> {
        self.within(async |session| {
            let tables = session.sql("").either(
                "SELECT count(*) FROM sqlite_master WHERE name IN ('calls', 'turns', '_sqlx_migrations')",
                "SELECT count(to_regclass(name)) FROM unnest(ARRAY['calls', 'turns', '_sqlx_migrations']) AS name",
            ).clone();
            if session.number(&tables).await? < 3 {
                return Err(self.pool.foreign());
            }
            let wanted = match session.dialect() {
                Dialect::Sqlite => SCHEMA_SQLITE,
                Dialect::Postgres => SCHEMA_POSTGRES,
            };
            let version = session.sql("SELECT coalesce(max(version), 0) FROM _sqlx_migrations");
            match session.number(&version).await? {
                found if found < wanted => Err(Error::Older { found, wanted }),
                _ => Ok(()),
            }
        })
        .await
        .map_err(|error| if error.is_foreign() { self.pool.foreign() } else { error })
    }
}
