//! The call log: appends without waiting, keeps on the local disk first, answers queries.
//!
//! A [`Handle`] puts lines into a bounded queue; one writer task owns the connection to the local SQLite file and
//! commits what has gathered in one transaction. While another program holds the file, lines wait beside it. Without Postgres that file is the log. With it the file is a
//! journal, which another task brings to Postgres: calls never wait for either. [`query`] reads the log through
//! connections of its own, also from another process. Knows the vocabulary of the log and nothing of how a call runs.

pub mod captures;
pub mod erase;
pub mod inspect;
pub mod load;
pub mod postgres;
pub mod query;
pub mod recordings;

mod escape;
mod opener;
mod refold;
mod responders;
mod rows;
mod shipper;
mod space;
mod spill;
mod sqlite;
mod stamp;
mod summary;
mod tally;
mod usage;
mod words;
mod writer;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Deserialize;
use sqlx::Connection as _;
use sqlx::migrate::MigrateError;
use tokio::sync::{Notify, broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;

use self::opener::Opener;
use self::postgres::Target;
use self::shipper::Shipper;
use self::space::Space;
use self::spill::Spill;
pub use self::stamp::Stamp;
use self::tally::Tally;
use self::writer::{Destination, Shared, Writer};
use crate::call::record::{Annotation, Entry, Event, Record};

/// A record as the journal keeps it: the JSON of its row.
pub fn encode(entry: &Entry) -> serde_json::Result<String> {
    serde_json::to_string(&rows::Row::of_entry(entry)?)
}

/// `[store]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The SQLite file; its folder is made if it is missing.
    pub path: PathBuf,
    /// Below this much free space on its disk new calls are refused.
    pub free_bytes_min: u64,
    /// How long records stay in the journal after Postgres has them, hours.
    pub keep_shipped_hours: u32,
}

impl Default for Config {
    /// A file below the working directory: nothing to set up for a first run. A quarter of a gigabyte is minutes of
    /// log for a thousand calls; a day is the time in which a lost Postgres is restored from a backup.
    fn default() -> Self {
        Self { path: PathBuf::from("data/patchcord.db"), free_bytes_min: 256 << 20, keep_shipped_hours: 24 }
    }
}

/// The open call log of a process.
#[derive(Debug)]
pub struct Store {
    handle: Handle,
    writer: Task,
    shipper: Option<Task>,
    watcher: JoinHandle<()>,
    /// The lock on the file: one process writes it.
    _lock: File,
}

/// A task that ends when it is told to.
#[derive(Debug)]
struct Task {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot make the folder {}: {source}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("cannot make the call log {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("another process writes the call log {}: give this one a path of its own", path.display())]
    Locked { path: PathBuf },
    #[error("cannot open the call log {}: {source}", path.display())]
    Open { path: PathBuf, source: sqlx::Error },
    #[error("cannot bring the call log {} to the current schema: {source}", path.display())]
    Migrate { path: PathBuf, source: Box<MigrateError> },
    #[error("the call log {} was written by a newer version of patchcord (schema {version})", path.display())]
    Newer { path: PathBuf, version: i64 },
    #[error(
        "{} is not a call log of patchcord and is left alone: write the path of another file (store.path)",
        path.display()
    )]
    Foreign { path: PathBuf },
    #[error("{left} lines of the call log could not be written in time")]
    Unflushed { left: u64 },
}

impl Error {
    /// Whether another program holds the file: it can be written when that one is through.
    fn is_held(&self) -> bool {
        self.away() == Some(Away::Locked)
    }

    /// Why the file cannot be written now, if that may pass without a change of the configuration.
    fn away(&self) -> Option<Away> {
        match self {
            Self::Open { source, .. } => sqlite::away(source),
            Self::Migrate { source, .. } => sqlite::away(source.as_ref()),
            Self::Folder { .. }
            | Self::File { .. }
            | Self::Locked { .. }
            | Self::Newer { .. }
            | Self::Foreign { .. }
            | Self::Unflushed { .. } => None,
        }
    }
}

/// Whether trying the same again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The file, the disk, the network or another process: wait and try again.
    Retry,
    /// The disk is full: make room and try again.
    Full,
    /// The line itself: it will never be taken.
    Refuse,
}

/// Lines waiting for the writer. A call makes about two a second: a thousand calls fill this in eight seconds
/// of a stuck disk, at a few hundred bytes a line.
const QUEUE: usize = 16_384;

/// And in bytes: a turn may have a megabyte of text. A thousand calls make less than a megabyte a second.
const QUEUE_BYTES: u64 = 64 << 20;

/// Time for everything queued to reach the disk when the process ends. A full queue takes about a second; a
/// supervisor usually kills after ten.
const CLOSE_DEADLINE: Duration = Duration::from_secs(5);

/// Time for the journal to reach Postgres after that: what does not is shipped at the next start.
const SHIP_DEADLINE: Duration = Duration::from_secs(2);

impl Store {
    /// Opens the file at `path` as the call log, making it and its folder (readable by the owner alone) and bringing
    /// an older schema up to date. Calls that a process left without an end are ended.
    pub async fn open(path: &Path) -> Result<Self, Error> {
        Self::open_with(&Config { path: path.to_owned(), ..Config::default() }, None).await
    }

    /// The same; with a target the file is the journal of what is brought there. The target need not be up.
    pub async fn open_with(config: &Config, target: Option<Target>) -> Result<Self, Error> {
        let path = &config.path;
        create(path)?;
        let lock = lock(path).await?;
        let options = sqlite::options(path);
        let written = Arc::new(Notify::new());
        let destination = match &target {
            Some(_) => Destination::Journal(Arc::clone(&written)),
            None => Destination::Tables,
        };
        let space = Arc::new(Space::new(path, config.free_bytes_min));
        let spill = Spill::of(path);
        let (mut handle, lines) = Handle::pair(QUEUE);
        handle.space = Some(Arc::clone(&space));
        handle.aside = spill.bytes();
        let shared = Shared { tally: Arc::clone(&handle.tally), space: Arc::clone(&space) };
        let opener = Opener::new(path.clone(), options.clone());
        let mut writer = Writer::new(opener, lines, destination, spill, shared);
        writer.open().await?;
        let shipper = target.map(|target| {
            let keep = Duration::from_secs(u64::from(config.keep_shipped_hours) * 3600);
            let shipper = Shipper::new(target, path.clone(), options, keep, written);
            Task::spawn(|stop| shipper.run(stop))
        });
        let watcher = tokio::spawn(space.watch());
        Ok(Self { handle, writer: Task::spawn(|stop| writer.run(stop)), shipper, watcher, _lock: lock })
    }

    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Writes everything appended so far and closes the file, in five seconds at most; then ships what it can in two
    /// more. What a handle appends afterwards is counted as lost.
    pub async fn close(self) -> Result<(), Error> {
        self.close_within(CLOSE_DEADLINE).await
    }

    async fn close_within(self, deadline: Duration) -> Result<(), Error> {
        self.watcher.abort();
        self.writer.close_within(deadline).await;
        if let Some(shipper) = self.shipper {
            shipper.close_within(SHIP_DEADLINE).await;
        }
        match self.handle.tally.left() {
            0 => Ok(()),
            left => Err(Error::Unflushed { left }),
        }
    }
}

impl Task {
    fn spawn<F>(run: impl FnOnce(oneshot::Receiver<()>) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (stop, stopped) = oneshot::channel();
        Self { stop, task: tokio::spawn(run(stopped)) }
    }

    async fn close_within(mut self, deadline: Duration) {
        let _ = self.stop.send(());
        if tokio::time::timeout(deadline, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

/// How long a lock may outlive its log: a program that the same process was starting when the log was closed holds it
/// until it runs, and a server that ends holds it until it is gone.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(1);
const LOCK_RETRY: Duration = Duration::from_millis(20);

/// Locks the log for this process. The lock goes with the process, however it ends.
async fn lock(path: &Path) -> Result<File, Error> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let named = |source| Error::File { path: PathBuf::from(&name), source };
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&name).map_err(named)?;
    let until = Instant::now() + LOCK_WAIT_MAX;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) if Instant::now() < until => {
                tokio::time::sleep(LOCK_RETRY).await;
            }
            Err(fs::TryLockError::WouldBlock) => return Err(Error::Locked { path: path.to_owned() }),
            Err(fs::TryLockError::Error(source)) => return Err(named(source)),
        }
    }
}

/// Whether the file at `path` is another program's or a newer one's: nothing of it is changed.
pub async fn refuse_foreign(path: &Path) -> Result<(), Error> {
    match inspect::identify(path).await {
        Err(inspect::Fault::Foreign(path)) => Err(Error::Foreign { path }),
        Err(inspect::Fault::Newer { path, version, .. }) => Err(Error::Newer { path, version }),
        // Whether it can be used shows when it is opened to write.
        Ok(_) | Err(inspect::Fault::Unreadable { .. }) => Ok(()),
    }
}

/// Brings the file at `path` to the current schema, making it if it is missing; a server may be running.
pub async fn migrate(path: &Path) -> Result<(), Error> {
    refuse_foreign(path).await?;
    create(path)?;
    let connection = sqlite::open(&sqlite::options(path), path).await?;
    connection.close().await.map_err(|source| Error::Open { path: path.to_owned(), source })
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
    space: Option<Arc<Space>>,
    /// Bytes in the files beside the log.
    aside: Arc<AtomicU64>,
}

/// Whether the log takes lines, for those who watch the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Health {
    /// The last attempt to write the file failed.
    pub is_away: bool,
    /// Why it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Away>,
    /// Lines in memory.
    pub waiting: u64,
    /// Bytes of lines in files beside the log.
    pub aside_bytes: u64,
    /// Lines that will never be in the log.
    pub lost: u64,
}

/// Why the file of the log cannot be written now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Away {
    /// Another program holds a lock on it.
    Locked,
    /// Its disk is full.
    DiskFull,
    /// The system refuses to read or write it: a limit on the size of files (`ulimit -f`), a disk that fails, or a file
    /// that is not the log any more.
    Unwritable,
}

#[derive(Clone, Debug)]
pub enum Line {
    Entry(Arc<Entry>),
    Annotation(Annotation),
}

impl Line {
    /// Whether somebody is likely to wait until it is kept: the webhook, with a call that begins.
    fn is_awaited(&self) -> bool {
        matches!(self, Self::Entry(entry) if matches!(entry.record, Record::Opened(_)))
    }

    /// Memory that it takes while it waits, about.
    fn bytes(&self) -> u64 {
        const FIXED: usize = 512;
        let text = match self {
            Self::Annotation(_) => FIXED,
            Self::Entry(entry) => match &entry.record {
                Record::Opened(context) => context.prompt.len() + pairs(&context.parameters),
                Record::Answered { parameters, .. } => {
                    pairs(parameters.iter().map(|(name, value)| (name, value)))
                }
                Record::Turn(turn) => turn.text.len(),
                Record::Event(Event::SessionHandle { handle, .. }) => handle.len(),
                Record::Event(_) | Record::Ended(_) => FIXED,
            },
        };
        (FIXED + text) as u64
    }
}

fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a String, &'a String)>) -> usize {
    pairs.into_iter().map(|(name, value)| name.len() + value.len() + 64).sum()
}

/// Entries a slow watcher may be behind: it feeds a display, which can do without some.
const WATCHED: usize = 1024;

impl Handle {
    /// A handle and the other end of its queue.
    pub fn pair(capacity: usize) -> (Self, mpsc::Receiver<Line>) {
        let (lines, receiver) = mpsc::channel(capacity);
        let (watchers, _) = broadcast::channel(WATCHED);
        (Self { lines, watchers, tally: Arc::default(), space: None, aside: Arc::default() }, receiver)
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

    /// What waits and what was lost.
    pub fn health(&self) -> Health {
        Health {
            is_away: self.tally.away().is_some(),
            cause: self.tally.away(),
            waiting: self.tally.left(),
            aside_bytes: self.aside.load(Ordering::Relaxed),
            lost: self.tally.lost(),
        }
    }

    /// Whether the disk has room for the log of more calls.
    pub fn has_room(&self) -> bool {
        self.space.as_ref().is_none_or(|space| !space.is_short())
    }

    /// Whether the queue is less than half full. What can be done without is not appended to one that is fuller, so
    /// that it takes no room from what cannot.
    pub fn has_slack(&self) -> bool {
        self.lines.capacity() * 2 > self.lines.max_capacity()
    }

    /// Waits until everything that was appended before is on the disk or lost, `deadline` at most. For those who
    /// have the time: no call waits. Where there is no writer ([`Handle::pair`]) there is nobody to wait for.
    pub async fn settled(&self, deadline: Duration) {
        if self.space.is_none() {
            return;
        }
        let _ = tokio::time::timeout(deadline, self.tally.settled()).await;
    }

    fn push(&self, line: Line) {
        // Counted before the writer can count it as done.
        self.tally.accepted(1);
        let bytes = line.bytes();
        if !self.tally.hold(bytes, QUEUE_BYTES) {
            return self.tally.lose(1, "the queue is full");
        }
        if let Err(error) = self.lines.try_send(line) {
            let reason = match error {
                mpsc::error::TrySendError::Full(_) => "the queue is full",
                mpsc::error::TrySendError::Closed(_) => "the log is closed",
            };
            self.tally.release(bytes);
            self.tally.lose(1, reason);
        }
    }
}

#[cfg(test)]
mod tests;
