//! The one task that writes the local file.
//!
//! What gathers in the queue during one commit, and for a moment after it, is the next transaction (group commit): a
//! commit costs as much as hundreds of lines. A line that somebody waits for is committed at once. A failure of the database
//! keeps the batch and tries again on a new connection; a line the database will never take is given up alone. While
//! another program holds the file, lines are put aside into a file beside it ([`Spill`]), and taken in afterwards.

use std::slice;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection, SqliteConnection};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use super::opener::Opener;
use super::refold;
use super::rows::{Batch, Row};
use super::space::Space;
use super::spill::{self, Spill};
use super::sqlite::{self, journal};
use super::tally::Tally;
use super::{Away, Line, Verdict};

#[derive(Debug)]
pub(super) struct Writer {
    opener: Opener,
    connection: Option<SqliteConnection>,
    durability: Durability,
    lines: mpsc::Receiver<Line>,
    destination: Destination,
    shared: Shared,
    spill: Spill,
    outage: Option<Outage>,
    /// Older turns are cut into words anew.
    is_refolding: bool,
}

/// The log could not be written at the last attempt.
#[derive(Clone, Copy, Debug)]
struct Outage {
    since: Instant,
    pause: Duration,
    retry_at: Instant,
}

/// What the writer tells others.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) tally: Arc<Tally>,
    pub(super) space: Arc<Space>,
}

/// Where rows go.
#[derive(Clone, Debug)]
pub(super) enum Destination {
    /// Into the tables that answer questions.
    Tables,
    /// Into the journal; who ships it is told.
    Journal(Arc<Notify>),
}

/// `PRAGMA synchronous`: what a commit survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Durability {
    /// The end of the process. As a connection is opened.
    Normal,
    /// The end of the power.
    Full,
}

/// The database will never take one of the lines.
#[derive(Debug)]
struct Refused;

/// Why a batch was not committed.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    #[error(transparent)]
    Open(#[from] super::Error),
    #[error(transparent)]
    Spill(#[from] spill::Error),
}

/// Lines in one transaction: enough that the cost of a commit vanishes, few enough that readers of the file see
/// progress and another process gets its turn.
const BATCH: usize = 1024;

/// How long lines wait for others: what the end of the process may take with it. A commit writes some forty pages,
/// and most of them are the same ones again for the next line.
const GATHER: Duration = Duration::from_millis(50);

/// Between attempts: doubled from the first to the last. A lock is gone at once, a full disk after minutes.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How long lines wait in memory for the file before they are put aside: as long as one statement waits for a lock.
const SPILL_AFTER: Duration = Duration::from_secs(1);

impl Writer {
    pub(super) fn new(
        opener: Opener,
        lines: mpsc::Receiver<Line>,
        destination: Destination,
        spill: Spill,
        shared: Shared,
    ) -> Self {
        let durability = Durability::Normal;
        Self {
            opener,
            connection: None,
            durability,
            lines,
            destination,
            shared,
            spill,
            outage: None,
            is_refolding: true,
        }
    }

    /// Opens the log and takes in what waits beside it. `Ok` too while the file cannot be written for a reason that may
    /// pass, as a lock of another program or a limit on the size of files: lines wait.
    pub(super) async fn open(&mut self) -> Result<(), super::Error> {
        let began = Instant::now();
        let Err(fault) = self.commit(&[]).await else {
            self.warn_of_journal().await;
            return Ok(());
        };
        match fault {
            Fault::Open(error) if error.away().is_none() => Err(error),
            Fault::Open(_) | Fault::Sql(_) | Fault::Spill(_) => {
                tracing::warn!(error = %fault, "the call log cannot be written; lines wait until it can");
                self.fail(began, &fault);
                Ok(())
            }
        }
    }

    async fn warn_of_journal(&mut self) {
        if let (Destination::Tables, Some(connection)) = (&self.destination, &mut self.connection)
            && let Ok(records @ 1..) = journal::len(connection).await
        {
            tracing::warn!(records, "the journal has records for a Postgres, and there is no DATABASE_URL");
        }
    }

    /// Writes until every handle is gone, or until `stop`; either way the queue is empty at the end.
    pub(super) async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let count = tokio::select! {
                biased;
                _ = &mut stop => break,
                count = self.lines.recv_many(&mut batch, BATCH) => count,
                () = until(self.outage) => {
                    // Nothing new came: what waits beside the log is brought in.
                    let _ = self.persist(&[]).await;
                    continue;
                }
                () = std::future::ready(()), if self.is_refolding && self.outage.is_none() => {
                    self.refold().await;
                    continue;
                }
            };
            if count == 0 {
                break;
            }
            let is_stopped = tokio::select! {
                biased;
                _ = &mut stop => true,
                () = gather(&mut self.lines, &mut batch) => false,
            };
            self.keep(&mut batch).await;
            if is_stopped {
                break;
            }
        }
        self.lines.close();
        while self.lines.recv_many(&mut batch, BATCH).await > 0 {
            self.keep(&mut batch).await;
        }
        self.close().await;
    }

    /// One step of what is done while nothing else is.
    async fn refold(&mut self) {
        let Some(connection) = &mut self.connection else {
            self.is_refolding = false;
            return;
        };
        match refold::sqlite(connection).await {
            Ok(is_refolding) => self.is_refolding = is_refolding,
            Err(error) => {
                tracing::warn!(%error, "older turns are not cut into words anew before the next start");
                self.is_refolding = false;
                self.disconnect();
            }
        }
    }

    /// Writes the batch, however long the database takes to accept it, and empties it.
    async fn keep(&mut self, batch: &mut Vec<Line>) {
        let mut rows = Vec::with_capacity(batch.len());
        for line in batch.drain(..) {
            self.shared.tally.release(line.bytes());
            match Row::of(&line) {
                Ok(row) => rows.push(row),
                Err(error) => self.shared.tally.lose(1, &error.to_string()),
            }
        }
        if self.persist(&rows).await.is_err() {
            for row in &rows {
                self.keep_alone(row).await;
            }
        }
        if let Destination::Journal(written) = &self.destination {
            written.notify_one();
        }
    }

    async fn keep_alone(&mut self, row: &Row) {
        if self.persist(slice::from_ref(row)).await.is_err() {
            self.shared.tally.lose(1, "the database refused it");
        }
    }

    /// Commits the rows or puts them aside, trying again until it is done or the database refuses one of them.
    async fn persist(&mut self, rows: &[Row]) -> Result<(), Refused> {
        loop {
            if self.outage.is_some_and(|outage| Instant::now() < outage.retry_at)
                && self.put_aside(rows).await
            {
                return Ok(());
            }
            let began = Instant::now();
            let Err(fault) = self.commit(rows).await else {
                self.recovered();
                self.shared.tally.keep(rows.len() as u64);
                return Ok(());
            };
            self.disconnect();
            self.shared.tally.fail();
            match fault.verdict() {
                Verdict::Refuse => {
                    tracing::warn!(error = %fault, rows = rows.len(), "the database refuses a line of the call log");
                    return Err(Refused);
                }
                Verdict::Full => self.shared.space.release(),
                Verdict::Retry => {}
            }
            tracing::warn!(error = %fault, rows = rows.len(), "the call log cannot be written, trying again");
            let pause = self.fail(began, &fault);
            if self.put_aside(rows).await {
                return Ok(());
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Puts rows into the file beside the log; `false`: the outage is young, or that cannot be written either.
    async fn put_aside(&mut self, rows: &[Row]) -> bool {
        let is_long = self.outage.is_some_and(|outage| outage.since.elapsed() >= SPILL_AFTER);
        if !is_long || rows.is_empty() {
            return is_long;
        }
        match self.spill.append(rows).await {
            Ok(()) => {
                self.shared.tally.keep(rows.len() as u64);
                true
            }
            Err(error) => {
                tracing::warn!(%error, "lines cannot be put beside the call log; they wait in memory");
                false
            }
        }
    }

    /// One transaction with these rows, after those that waited.
    async fn commit(&mut self, rows: &[Row]) -> Result<(), Fault> {
        if self.connection.is_some() && self.opener.is_moved() {
            tracing::error!("the file of the call log was replaced or deleted; opening what is there now");
            if let Some(connection) = self.connection.take() {
                let _ = connection.close().await;
            }
            self.disconnect();
        }
        let connection = match &mut self.connection {
            Some(connection) => connection,
            closed @ None => {
                let opened = self.opener.open(&mut self.spill, &self.destination, &self.shared.tally).await?;
                closed.insert(opened)
            }
        };
        if !self.spill.is_empty() {
            self.spill.take_in(connection, &self.destination, &self.shared.tally).await?;
        }
        if rows.is_empty() {
            if self.outage.is_some() {
                // Whether a lock is still held shows when one is asked for.
                connection.begin_with("BEGIN IMMEDIATE").await?.rollback().await?;
            }
            return Ok(());
        }
        let is_precious = rows.iter().any(|row| matches!(row, Row::Ended(_)));
        let wanted = if is_precious { Durability::Full } else { Durability::Normal };
        if self.durability != wanted {
            // Outside the transaction: inside SQLite does not allow it.
            sqlx::query(wanted.pragma()).execute(&mut *connection).await?;
            self.durability = wanted;
        }
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        self.destination.write(&mut transaction, rows).await?;
        Ok(transaction.commit().await?)
    }

    /// Notes the failure of an attempt that began then, and tells how long to wait.
    fn fail(&mut self, began: Instant, fault: &Fault) -> Duration {
        let since = self.outage.map_or(began, |outage| outage.since);
        let pause = self.outage.map_or(PAUSE_MIN, |outage| PAUSE_MAX.min(outage.pause * 2));
        self.outage = Some(Outage { since, pause, retry_at: Instant::now() + pause });
        self.shared.tally.set_away(Some(fault.away()));
        pause
    }

    fn recovered(&mut self) {
        if let Some(outage) = self.outage.take() {
            self.shared.tally.set_away(None);
            tracing::info!(seconds = outage.since.elapsed().as_secs(), "the call log can be written again");
        }
    }

    /// After a failure the state of the connection is anybody's guess.
    fn disconnect(&mut self) {
        self.connection = None;
        self.durability = Durability::Normal;
    }

    async fn close(self) {
        if let Some(connection) = self.connection
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "the call log was not closed cleanly");
        }
    }
}

/// Lets the batch grow for a moment, unless it is large or somebody waits for one of its lines.
async fn gather(lines: &mut mpsc::Receiver<Line>, batch: &mut Vec<Line>) {
    let more = async {
        while batch.len() < BATCH && !batch.iter().any(Line::is_awaited) {
            if lines.recv_many(batch, BATCH - batch.len()).await == 0 {
                return;
            }
        }
    };
    // Both are cancel-safe: what was received is in the batch.
    let _ = tokio::time::timeout(GATHER, more).await;
}

/// The next attempt at a log that could not be written.
async fn until(outage: Option<Outage>) {
    match outage {
        Some(outage) => tokio::time::sleep_until(outage.retry_at).await,
        None => std::future::pending().await,
    }
}

impl Destination {
    /// Writes rows within the transaction that is open on `connection`.
    pub(super) async fn write(
        &self,
        connection: &mut SqliteConnection,
        rows: &[Row],
    ) -> Result<(), sqlx::Error> {
        match self {
            Self::Tables => sqlite::apply::apply(connection, &Batch::of(rows.iter().cloned())).await?,
            Self::Journal(_) => journal::append(connection, rows).await?,
        }
        journal::note(connection, rows).await
    }
}

impl Fault {
    fn away(&self) -> Away {
        let away = match self {
            Self::Open(error) => error.away(),
            Self::Sql(error) | Self::Spill(spill::Error::Sql(error)) => sqlite::away(error),
            Self::Spill(spill::Error::File { .. }) => None,
        };
        away.unwrap_or(Away::Unwritable)
    }

    fn verdict(&self) -> Verdict {
        match self {
            Self::Sql(error) | Self::Spill(spill::Error::Sql(error)) => sqlite::verdict(error),
            Self::Open(_) | Self::Spill(spill::Error::File { .. }) => Verdict::Retry,
        }
    }
}

impl Durability {
    const fn pragma(self) -> &'static str {
        match self {
            Self::Normal => "PRAGMA synchronous = NORMAL",
            Self::Full => "PRAGMA synchronous = FULL",
        }
    }
}
