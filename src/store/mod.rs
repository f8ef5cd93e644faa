//! The call log: appends without waiting, keeps in SQLite, answers queries.
//!
//! A [`Handle`] puts lines into a bounded queue; one writer task owns the connection and commits what has
//! gathered in one transaction. [`query`] reads the same file through connections of its own, also from another
//! process. Knows the vocabulary of the log and nothing of how a call runs.

pub mod query;

mod sqlite;
mod stamp;
mod tally;
mod writer;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use sqlx::migrate::MigrateError;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;

pub use self::stamp::Stamp;
use self::tally::Tally;
use self::writer::Writer;
use crate::call::record::{Annotation, Entry};

/// `[store]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The SQLite file; its folder is made if it is missing.
    pub path: PathBuf,
}

impl Default for Config {
    /// A file below the working directory: nothing to set up for a first run.
    fn default() -> Self {
        Self { path: PathBuf::from("data/patchcord.db") }
    }
}

/// The open call log of a process.
#[derive(Debug)]
pub struct Store {
    handle: Handle,
    stop: oneshot::Sender<()>,
    writer: JoinHandle<()>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot make the folder {}: {source}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("cannot make the call log {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("cannot open the call log {}: {source}", path.display())]
    Open { path: PathBuf, source: sqlx::Error },
    #[error("cannot bring the call log {} to the current schema: {source}", path.display())]
    Migrate { path: PathBuf, source: Box<MigrateError> },
    #[error("the call log {} was written by a newer version of patchcord (schema {version})", path.display())]
    Newer { path: PathBuf, version: i64 },
    #[error("{left} lines of the call log could not be written in time")]
    Unflushed { left: u64 },
}

/// Lines waiting for the writer. A call makes about two a second: a thousand calls fill this in eight seconds
/// of a stuck disk, at a few hundred bytes a line.
const QUEUE: usize = 16_384;

/// Time for everything queued to reach the disk when the process ends. A full queue takes about a second; a
/// supervisor usually kills after ten.
const CLOSE_DEADLINE: Duration = Duration::from_secs(5);

impl Store {
    /// Opens the file at `path`, making it and its folder (readable by the owner alone) and bringing an older
    /// schema up to date.
    pub async fn open(path: &Path) -> Result<Self, Error> {
        create(path)?;
        let options = sqlite::options(path);
        let connection = sqlite::open(&options, path).await?;
        let (handle, lines) = Handle::pair(QUEUE);
        let (stop, stopped) = oneshot::channel();
        let writer = Writer::new(options, connection, lines, Arc::clone(&handle.tally));
        Ok(Self { handle, stop, writer: tokio::spawn(writer.run(stopped)) })
    }

    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Writes everything appended so far and closes the file, in five seconds at most. What a handle appends
    /// afterwards is counted as lost.
    pub async fn close(self) -> Result<(), Error> {
        self.close_within(CLOSE_DEADLINE).await
    }

    async fn close_within(mut self, deadline: Duration) -> Result<(), Error> {
        let _ = self.stop.send(());
        if tokio::time::timeout(deadline, &mut self.writer).await.is_err() {
            self.writer.abort();
        }
        match self.handle.tally.left() {
            0 => Ok(()),
            left => Err(Error::Unflushed { left }),
        }
    }
}

/// Makes the folder and the file where they are missing, for the owner alone. What exists keeps its permissions.
///
/// An existing file is not opened here: closing it would drop the locks that another connection of this process
/// holds (<https://sqlite.org/howtocorrupt.html>, section 2.2).
fn create(path: &Path) -> Result<(), Error> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder).map_err(|source| Error::Folder { path: folder.to_owned(), source })?;
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            Err(Error::File { path: path.to_owned(), source })
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Appends to the call log. Cheap to clone; never waits for a disk.
#[derive(Clone, Debug)]
pub struct Handle {
    lines: mpsc::Sender<Line>,
    watchers: broadcast::Sender<Arc<Entry>>,
    tally: Arc<Tally>,
}

#[derive(Clone, Debug)]
pub enum Line {
    Entry(Arc<Entry>),
    Annotation(Annotation),
}

/// Entries a slow watcher may be behind: it feeds a display, which can do without some.
const WATCHED: usize = 1024;

impl Handle {
    /// A handle and the other end of its queue.
    pub fn pair(capacity: usize) -> (Self, mpsc::Receiver<Line>) {
        let (lines, receiver) = mpsc::channel(capacity);
        let (watchers, _) = broadcast::channel(WATCHED);
        (Self { lines, watchers, tally: Arc::default() }, receiver)
    }

    /// Puts an entry into the queue; if the queue is full the entry is lost and counted.
    pub fn append(&self, entry: Entry) {
        let entry = Arc::new(entry);
        let _ = self.watchers.send(Arc::clone(&entry));
        self.push(Line::Entry(entry));
    }

    /// Puts an annotation into the queue; if the queue is full it is lost and counted.
    pub fn annotate(&self, annotation: Annotation) {
        self.push(Line::Annotation(annotation));
    }

    /// Entries as they are appended, for a display; a slow watcher misses some.
    pub fn watch(&self) -> broadcast::Receiver<Arc<Entry>> {
        self.watchers.subscribe()
    }

    /// Lines that will never be in the log: the queue was full or closed, or the database refused them.
    pub fn lost(&self) -> u64 {
        self.tally.lost()
    }

    /// Transactions that failed; their lines were tried again.
    pub fn failures(&self) -> u64 {
        self.tally.failures()
    }

    fn push(&self, line: Line) {
        // Counted before the writer can count it as done.
        self.tally.accepted(1);
        if let Err(error) = self.lines.try_send(line) {
            let reason = match error {
                mpsc::error::TrySendError::Full(_) => "the queue is full",
                mpsc::error::TrySendError::Closed(_) => "the log is closed",
            };
            self.tally.lose(1, reason);
        }
    }
}

#[cfg(test)]
mod tests;
