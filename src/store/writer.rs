//! The one task that writes the local file.
//!
//! What gathers in the queue during one commit, and for a moment after it, is the next transaction (group commit): a
//! commit costs as much as hundreds of lines. A line that somebody waits for is committed at once. A failure of the database
//! keeps the batch and tries again on a new connection; a line the database will never take is given up alone.

use std::slice;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::sync::{Notify, mpsc, oneshot};

use super::rows::{Batch, Row};
use super::space::Space;
use super::sqlite::{self, journal};
use super::tally::Tally;
use super::{Line, Verdict};

#[derive(Debug)]
pub(super) struct Writer {
    options: SqliteConnectOptions,
    connection: Option<SqliteConnection>,
    durability: Durability,
    lines: mpsc::Receiver<Line>,
    destination: Destination,
    shared: Shared,
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

/// Lines in one transaction: enough that the cost of a commit vanishes, few enough that readers of the file see
/// progress and another process gets its turn.
const BATCH: usize = 1024;

/// How long lines wait for others: what the end of the process may take with it. A commit writes some forty pages,
/// and most of them are the same ones again for the next line.
const GATHER: Duration = Duration::from_millis(50);

/// Between attempts: doubled from the first to the last. A lock is gone at once, a full disk after minutes.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(2);

impl Writer {
    pub(super) fn new(
        options: SqliteConnectOptions,
        connection: SqliteConnection,
        lines: mpsc::Receiver<Line>,
        destination: Destination,
        shared: Shared,
    ) -> Self {
        let durability = Durability::Normal;
        Self { options, connection: Some(connection), durability, lines, destination, shared }
    }

    /// Writes until every handle is gone, or until `stop`; either way the queue is empty at the end.
    pub(super) async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let count = tokio::select! {
                biased;
                _ = &mut stop => break,
                count = self.lines.recv_many(&mut batch, BATCH) => count,
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

    /// Writes the batch, however long the database takes to accept it, and empties it.
    async fn keep(&mut self, batch: &mut Vec<Line>) {
        let mut rows = Vec::with_capacity(batch.len());
        for line in batch.drain(..) {
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

    /// Commits the rows, trying again until it is done or the database refuses one of them.
    async fn persist(&mut self, rows: &[Row]) -> Result<(), Refused> {
        let mut pause = PAUSE_MIN;
        loop {
            let Err(error) = self.commit(rows).await else {
                self.shared.tally.keep(rows.len() as u64);
                return Ok(());
            };
            self.disconnect();
            self.shared.tally.fail();
            match sqlite::verdict(&error) {
                Verdict::Refuse => {
                    tracing::warn!(%error, rows = rows.len(), "the database refuses a line of the call log");
                    return Err(Refused);
                }
                Verdict::Full => self.shared.space.release(),
                Verdict::Retry => {}
            }
            tracing::warn!(%error, rows = rows.len(), "the call log cannot be written, trying again");
            tokio::time::sleep(pause).await;
            pause = PAUSE_MAX.min(pause * 2);
        }
    }

    /// One transaction with these rows.
    async fn commit(&mut self, rows: &[Row]) -> Result<(), sqlx::Error> {
        let is_precious = rows.iter().any(|row| matches!(row, Row::Ended(_)));
        let wanted = if is_precious { Durability::Full } else { Durability::Normal };
        let connection = match &mut self.connection {
            Some(connection) => connection,
            closed @ None => closed.insert(self.options.connect().await?),
        };
        if self.durability != wanted {
            // Outside the transaction: inside SQLite does not allow it.
            sqlx::query(wanted.pragma()).execute(&mut *connection).await?;
            self.durability = wanted;
        }
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        match &self.destination {
            Destination::Tables => {
                sqlite::apply::apply(&mut transaction, &Batch::of(rows.iter().cloned())).await?;
            }
            Destination::Journal(_) => journal::append(&mut transaction, rows).await?,
        }
        journal::note(&mut transaction, rows).await?;
        transaction.commit().await
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

impl Durability {
    const fn pragma(self) -> &'static str {
        match self {
            Self::Normal => "PRAGMA synchronous = NORMAL",
            Self::Full => "PRAGMA synchronous = FULL",
        }
    }
}
