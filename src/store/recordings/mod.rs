//! Recordings of calls: one Ogg Opus file each, written as the call goes on by threads of their own.
//!
//! A call only puts blocks into a bounded queue. A full queue or a full disk ends the recording, never the call, and
//! is told once. A file is playable up to its last page, about a second before a process is killed; when it may be
//! deleted is in its comments. Knows nothing of who is recorded and why.

mod thread;

use std::fs;
use std::io;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use ::time::{Date, OffsetDateTime, macros::format_description};
use serde::Deserialize;
use tracing::{info, warn};

use self::thread::{Job, Thread};
use crate::audio::opus;
use crate::audio::tape::Block;
use crate::id::CallId;

/// `[recordings]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where recordings are kept; made if it is missing, for its owner alone.
    pub folder: PathBuf,
    /// Recordings end when less than this is free on the disk: others need it too.
    pub free_bytes_min: u64,
}

impl Default for Config {
    /// Beside the call log. A gigabyte is the call log of a million calls.
    fn default() -> Self {
        Self { folder: PathBuf::from("data/recordings"), free_bytes_min: 1 << 30 }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot make the folder for recordings {}: {source}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("cannot start a thread for recordings: {0}")]
    Thread(io::Error),
}

/// Why nothing more of a call is recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("the disk or the processor is too slow")]
    Slow,
    #[error("the disk is nearly full")]
    NoSpace,
    #[error("the file cannot be written: {0}")]
    File(String),
    #[error("the encoder failed: {0}")]
    Codec(String),
    #[error("nobody keeps recordings")]
    Closed,
}

/// Encoding takes 3 ms of CPU per second of a call: two threads carry several hundred calls, and one slow disk
/// operation does not hold up all of them.
const THREADS: usize = 2;

/// Blocks that wait for one thread: two hundred calls for four seconds of a stuck disk, 13 MB.
const QUEUE: usize = 8192;

/// How often files are looked through for those that may be deleted.
const SWEEP: Duration = Duration::from_secs(3600);

/// The begin of a file that surely holds its comments.
const HEAD_LEN: u64 = 4096;

/// The comment that names the first day on which a recording is deleted.
const EXPIRES: &str = "EXPIRES=";

/// Takes the recordings of all calls of a process.
#[derive(Debug)]
pub struct Recorder {
    queues: Mutex<Vec<SyncSender<Job>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    written: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Recorder {
    /// Makes the folder and starts the threads.
    pub fn start(config: &Config) -> Result<Self, Error> {
        Self::with_queue(config, QUEUE)
    }

    fn with_queue(config: &Config, capacity: usize) -> Result<Self, Error> {
        make_folder(&config.folder)
            .map_err(|source| Error::Folder { path: config.folder.clone(), source })?;
        let (written, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (mut queues, mut threads) = (Vec::new(), Vec::new());
        for n in 0..THREADS {
            let (queue, jobs) = sync_channel(capacity);
            let thread = Thread::new(config.clone(), jobs, Arc::clone(&written), Arc::clone(&stop));
            let builder = std::thread::Builder::new().name(format!("recorder {n}"));
            threads.push(builder.spawn(move || thread.run()).map_err(Error::Thread)?);
            queues.push(queue);
        }
        let (queues, threads) = (Mutex::new(queues), Mutex::new(threads));
        Ok(Self { queues, threads, written, stop })
    }

    /// Begins the recording of a call. Never waits.
    pub fn begin(&self, call: CallId, retention_days: Option<u32>) -> Track {
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let index = usize::try_from(call.as_u128() % THREADS as u128).unwrap_or(0);
        let Some(queue) = queues.get(index).cloned() else {
            return Track::refused();
        };
        let expires = retention_days.map(|days| expiry(OffsetDateTime::now_utc().date(), days));
        let failure = Arc::default();
        let mut track = Track { call, queue: Some(queue), failure, is_told: false };
        track.put(Job::Begin { call, expires, failure: Arc::clone(&track.failure) });
        track
    }

    /// Bytes that went to the disk.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Writes everything that is queued and ends the files, of calls that go on too. Waits for the disk.
    pub fn close(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            let _ = thread.join();
        }
    }
}

/// The recording of one call. Dropping it ends the file.
#[derive(Debug)]
pub struct Track {
    call: CallId,
    queue: Option<SyncSender<Job>>,
    failure: Arc<OnceLock<Failure>>,
    is_told: bool,
}

impl Track {
    /// Of a call that nobody can record.
    pub fn refused() -> Self {
        let failure = Arc::new(OnceLock::from(Failure::Closed));
        Self { call: CallId::new(0), queue: None, failure, is_told: false }
    }

    /// Appends a block. Never waits. Why the recording has ended, once.
    pub fn write(&mut self, block: Box<Block>) -> Result<(), Failure> {
        if self.failure.get().is_none() {
            self.put(Job::Block { call: self.call, block });
        }
        match self.failure.get() {
            Some(failure) if !self.is_told => {
                self.is_told = true;
                self.queue = None;
                Err(failure.clone())
            }
            Some(_) | None => Ok(()),
        }
    }

    fn put(&mut self, job: Job) {
        let failure = match self.queue.as_ref().map(|queue| queue.try_send(job)) {
            Some(Ok(())) => return,
            Some(Err(TrySendError::Full(_))) => Failure::Slow,
            Some(Err(TrySendError::Disconnected(_))) | None => Failure::Closed,
        };
        let _ = self.failure.set(failure);
    }
}

impl Drop for Track {
    fn drop(&mut self) {
        // If it does not fit, the thread finds out that nobody holds the track any more.
        if let Some(queue) = &self.queue {
            let _ = queue.try_send(Job::End { call: self.call });
        }
    }
}

/// The file of a call, whether there is one or not.
pub fn path(folder: &Path, call: &str) -> PathBuf {
    folder.join(format!("{call}.opus"))
}

/// Deletes the recording of a call; `false` if there is none.
pub fn erase(folder: &Path, call: CallId) -> io::Result<bool> {
    match fs::remove_file(path(folder, &call.to_string())) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Deletes what has expired, now and every hour, for ever.
pub async fn keep_clean(folder: PathBuf) {
    loop {
        let folder = folder.clone();
        let today = OffsetDateTime::now_utc().date();
        match tokio::task::spawn_blocking(move || sweep(&folder, today)).await {
            Ok(Ok(0)) => {}
            Ok(Ok(deleted)) => info!(deleted, "recordings were deleted: their time is over"),
            Ok(Err(error)) => warn!("cannot look through the recordings: {error}"),
            Err(error) => warn!("cannot look through the recordings: {error}"),
        }
        tokio::time::sleep(SWEEP).await;
    }
}

/// Deletes the recordings in a folder that have expired; how many.
fn sweep(folder: &Path, today: Date) -> io::Result<usize> {
    let mut deleted = 0;
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        other => other?,
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "opus")
            && expires(&path).is_some_and(|expires| expires <= today)
        {
            match fs::remove_file(&path) {
                Ok(()) => deleted += 1,
                Err(error) => warn!(path = %path.display(), "cannot delete a recording: {error}"),
            }
        }
    }
    Ok(deleted)
}

/// The first day on which a recording is deleted, as its file says.
fn expires(path: &Path) -> Option<Date> {
    let mut head = Vec::new();
    fs::File::open(path).ok()?.take(HEAD_LEN).read_to_end(&mut head).ok()?;
    let comments = opus::comments(&head).ok()?;
    let day = comments.iter().find_map(|comment| comment.strip_prefix(EXPIRES))?;
    Date::parse(day, format_description!("[year]-[month]-[day]")).ok()
}

/// Kept for so many whole days after the day of the call.
fn expiry(today: Date, days: u32) -> Date {
    let days = ::time::Duration::days(i64::from(days) + 1);
    today.checked_add(days).unwrap_or(Date::MAX)
}

/// Makes the folder where it is missing, for the owner alone. What exists keeps its permissions.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(test)]
mod tests;
