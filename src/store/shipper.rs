//! The one task that brings the journal to Postgres: in order, in batches, as often as it takes.
//!
//! Postgres itself remembers how far it got, in the transaction that applies a batch. So a connection that dies with
//! an answer on its way, a Postgres that was restored from a backup, and one that comes back empty are all the
//! same: the shipper asks where it is and goes on from there. Rows stay in the journal for a while for that.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ::time::{Duration as Span, OffsetDateTime};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, PgConnection, SqliteConnection};
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::opener::Identity;
use super::postgres::{self, APPLY_TIMEOUT, Error, Target};
use super::refold;
use super::rows::Row;
use super::sqlite::journal::{self, Journalled};
use super::{Stamp, Verdict};

#[derive(Debug)]
pub(super) struct Shipper {
    target: Target,
    path: PathBuf,
    options: SqliteConnectOptions,
    /// Nil until the file was read.
    journal: Uuid,
    /// How long rows are kept that Postgres has.
    keep: Duration,
    written: Arc<Notify>,
    /// The position up to which Postgres confirmed.
    confirmed: i64,
    is_stopping: bool,
    pruned_at: Option<Instant>,
}

/// What went wrong, on either side.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Postgres(#[from] Error),
    #[error("the journal cannot be read: {0}")]
    Journal(#[from] sqlx::Error),
    #[error("the file of the journal was replaced or deleted")]
    Moved,
}

/// Between attempts to reach Postgres: doubled from the first to the last.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// The writer tells when there is something new; this is for what it could not tell.
const IDLE: Duration = Duration::from_secs(1);

/// How often old rows are forgotten.
const PRUNE_PERIOD: Duration = Duration::from_secs(60);

impl Shipper {
    pub(super) fn new(
        target: Target,
        path: PathBuf,
        options: SqliteConnectOptions,
        keep: Duration,
        written: Arc<Notify>,
    ) -> Self {
        // The writer makes the file.
        let options = options.create_if_missing(false);
        let journal = Uuid::nil();
        Self {
            target,
            path,
            options,
            journal,
            keep,
            written,
            confirmed: 0,
            is_stopping: false,
            pruned_at: None,
        }
    }

    /// Ships until `stop`, and then what is still there if Postgres is up.
    pub(super) async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        let mut pause = PAUSE_MIN;
        let mut is_away = false;
        loop {
            let before = self.confirmed;
            let Err(fault) = self.session(&mut stop).await else { return };
            if self.is_stopping {
                return tracing::warn!(%fault, "records stay in the journal until the next start");
            }
            if self.confirmed > before {
                (pause, is_away) = (PAUSE_MIN, false);
            }
            if !std::mem::replace(&mut is_away, true) {
                tracing::warn!(%fault, target = %self.target, "records wait in the journal");
            } else {
                tracing::debug!(%fault, "Postgres is still away");
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = &mut stop => return tracing::warn!("records stay in the journal until the next start"),
            }
            pause = PAUSE_MAX.min(pause * 2);
        }
    }

    /// One connection to Postgres: until it fails, or until everything is shipped after `stop`.
    async fn session(&mut self, stop: &mut oneshot::Receiver<()>) -> Result<(), Fault> {
        let file = Identity::of(&self.path);
        let mut local = Box::pin(SqliteConnection::connect_with(&self.options)).await?;
        let journal = journal::identity(&mut local).await?;
        if std::mem::replace(&mut self.journal, journal) != journal {
            self.confirmed = 0;
        }
        let mut postgres = self.target.open().await?;
        let mut position = self.resume(&mut postgres, &mut local).await?;
        let mut is_refolding = true;
        loop {
            if Identity::of(&self.path) != file {
                return Err(Fault::Moved);
            }
            let rows = journal::read(&mut local, position).await?;
            if rows.is_empty() {
                if self.is_stopping {
                    return Ok(());
                }
                self.prune(&mut local, position).await?;
                if is_refolding {
                    is_refolding = within(refold::postgres(&mut postgres)).await?;
                    self.look(stop);
                } else {
                    self.wait(stop).await;
                }
                continue;
            }
            position = self.ship(&mut postgres, &mut local, rows).await?;
            self.confirmed = position;
        }
    }

    /// Where Postgres is.
    async fn resume(&self, postgres: &mut PgConnection, local: &mut SqliteConnection) -> Result<i64, Fault> {
        let known = within(postgres::position(postgres, self.journal)).await?.unwrap_or(0);
        if known < self.confirmed {
            tracing::warn!(
                known,
                confirmed = self.confirmed,
                "Postgres has less than it had: it gets it again"
            );
        }
        let last = journal::last(local).await?;
        tracing::info!(target = %self.target, waiting = last.saturating_sub(known), "Postgres is there");
        Ok(known)
    }

    fn look(&mut self, stop: &mut oneshot::Receiver<()>) {
        self.is_stopping = self.is_stopping || !matches!(stop.try_recv(), Err(TryRecvError::Empty));
    }

    async fn wait(&mut self, stop: &mut oneshot::Receiver<()>) {
        tokio::select! {
            biased;
            _ = stop, if !self.is_stopping => self.is_stopping = true,
            () = self.written.notified() => {}
            () = tokio::time::sleep(IDLE) => {}
        }
    }

    /// Applies rows, together if that is possible, and tells the new position.
    async fn ship(
        &self,
        postgres: &mut PgConnection,
        local: &mut SqliteConnection,
        journalled: Vec<Journalled>,
    ) -> Result<i64, Fault> {
        let mut last = 0;
        let mut rows = Vec::with_capacity(journalled.len());
        for Journalled { position, row } in &journalled {
            last = *position;
            match row {
                Ok(row) => rows.push(row.clone()),
                Err(reason) => refuse(local, *position, reason).await?,
            }
        }
        match self.apply(postgres, rows, last).await {
            Ok(()) => return Ok(last),
            Err(Error::Statement(error)) if postgres::verdict(&error) == Verdict::Refuse => {}
            Err(error) => return Err(error.into()),
        }
        for Journalled { position, row } in journalled {
            let Ok(row) = row else { continue };
            match self.apply(postgres, vec![row], position).await {
                Ok(()) => {}
                Err(Error::Statement(error)) if postgres::verdict(&error) == Verdict::Refuse => {
                    refuse(local, position, &error.to_string()).await?;
                    self.apply(postgres, Vec::new(), position).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(last)
    }

    async fn apply(&self, postgres: &mut PgConnection, rows: Vec<Row>, position: i64) -> Result<(), Error> {
        within(postgres::apply::apply(postgres, rows, self.journal, position)).await
    }

    async fn prune(&mut self, local: &mut SqliteConnection, position: i64) -> Result<(), sqlx::Error> {
        if self.pruned_at.is_some_and(|at| at.elapsed() < PRUNE_PERIOD) {
            return Ok(());
        }
        // Longer than the calendar: for ever.
        let before =
            Span::try_from(self.keep).ok().and_then(|keep| OffsetDateTime::now_utc().checked_sub(keep));
        let Some(before) = before else { return Ok(()) };
        if journal::prune(local, position, Stamp(before)).await? == 0 {
            self.pruned_at = Some(Instant::now());
        }
        Ok(())
    }
}

/// A statement of a database that may hang.
async fn within<T>(statement: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Error> {
    Ok(timeout(APPLY_TIMEOUT, statement).await.map_err(|_| Error::Timeout(APPLY_TIMEOUT))??)
}

async fn refuse(local: &mut SqliteConnection, position: i64, reason: &str) -> Result<(), sqlx::Error> {
    tracing::error!(position, reason, "Postgres refuses a record: it is put aside in journal_refused");
    journal::refuse(local, position, reason).await
}
