//! Calls as files: what came to a call and what it did, kept for `patchcord replay`.
//!
//! One thread writes for the process. A call gives it lines through a bounded queue and never waits: when the queue is
//! full or the disk fails, the rest of that call is not kept, and its file says so. Files are readable by the owner
//! alone and are deleted when they are old enough. Knows nothing of what is in the lines but the last one.

mod writer;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use serde::Deserialize;

use self::writer::Writer;
use crate::call::replay::{Line, WHOLE};
use crate::id::CallId;

/// `[captures]` of the configuration: calls whose agents keep their inputs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The folder of the files; it is made if it is missing.
    pub folder: PathBuf,
    /// Older files are deleted.
    pub retention_days: u32,
}

impl Default for Config {
    /// Beside the call log; a month is enough to look into what went wrong.
    fn default() -> Self {
        Self { folder: PathBuf::from("data/captures"), retention_days: 30 }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot make the folder {}: {source}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("cannot start the thread that writes {}: {source}", path.display())]
    Thread { path: PathBuf, source: io::Error },
    #[error("cannot delete {}: {source}", path.display())]
    Delete { path: PathBuf, source: io::Error },
}

/// Lines that may wait. A call makes two hundred a second: fifty calls fill this in three seconds of a stuck disk.
const QUEUE: usize = 32_768;

/// Text that may wait, bytes: the messages of a model are tens of kilobytes.
const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Time for everything queued to reach the disk when the process ends.
const CLOSE_DEADLINE: Duration = Duration::from_secs(3);

/// How the names of the files end.
const SUFFIX: &str = ".inputs.jsonl";

/// The captures of a process.
#[derive(Debug)]
pub struct Captures {
    handle: Handle,
    thread: JoinHandle<()>,
}

/// Begins captures. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    jobs: SyncSender<Job>,
    /// Bytes in the queue.
    waiting: Arc<AtomicUsize>,
    waiting_max: usize,
}

/// The capture of one call. Dropping it closes the file.
#[derive(Debug)]
pub struct Capture {
    call: CallId,
    handle: Handle,
    state: Arc<State>,
}

/// What the writer is to do.
#[derive(Debug)]
enum Job {
    Open(CallId, Arc<State>),
    /// A line without its end.
    Line(CallId, String),
    Close(CallId),
    /// The process ends.
    Stop,
}

/// Whether a call is still kept; the first reason why not stays.
#[derive(Debug, Default)]
struct State(AtomicU8);

/// Why the rest of a call is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Cut {
    QueueFull = 1,
    DiskFailed = 2,
}

impl Cut {
    const fn text(self) -> &'static str {
        match self {
            Self::QueueFull => "the rest was not kept: the disk was too slow",
            Self::DiskFailed => "the rest was not kept: the disk failed",
        }
    }
}

impl State {
    fn cut(&self, cut: Cut) {
        let _ = self.0.compare_exchange(0, cut as u8, Ordering::AcqRel, Ordering::Acquire);
    }

    fn why_cut(&self) -> Option<Cut> {
        match self.0.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Cut::QueueFull),
            _ => Some(Cut::DiskFailed),
        }
    }
}

impl Captures {
    /// Makes the folder, deletes what is too old in it, and waits for calls.
    pub fn start(config: &Config) -> Result<Self, Error> {
        make_folder(&config.folder)?;
        let (handle, jobs) = Handle::pair(QUEUE, QUEUE_BYTES_MAX);
        let writer = Writer::new(config, Arc::clone(&handle.waiting));
        let thread = std::thread::Builder::new().name("captures".to_owned());
        let thread = thread
            .spawn(move || writer.run(&jobs))
            .map_err(|source| Error::Thread { path: config.folder.clone(), source })?;
        Ok(Self { handle, thread })
    }

    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Writes what is queued and closes all files, in three seconds at most. `false` if some of it is lost.
    pub async fn close(self) -> bool {
        let Self { handle, thread } = self;
        let closed = tokio::task::spawn_blocking(move || {
            // The queue has room again as soon as the writer has taken something from it.
            let _ = handle.jobs.send(Job::Stop);
            thread.join().is_ok()
        });
        matches!(tokio::time::timeout(CLOSE_DEADLINE, closed).await, Ok(Ok(true)))
    }
}

impl Handle {
    fn pair(lines: usize, waiting_max: usize) -> (Self, Receiver<Job>) {
        let (jobs, receiver) = sync_channel(lines);
        (Self { jobs, waiting: Arc::default(), waiting_max }, receiver)
    }

    /// One whose queue nobody empties.
    #[cfg(test)]
    pub(crate) fn without_writer(lines: usize) -> Self {
        let (handle, jobs) = Self::pair(lines, QUEUE_BYTES_MAX);
        // The other end has to stay for the queue to be full rather than closed.
        std::mem::forget(jobs);
        handle
    }

    /// A capture whose first line is `head`. Never waits.
    pub fn begin(&self, call: CallId, head: String) -> Capture {
        let mut capture = Capture { call, handle: self.clone(), state: Arc::default() };
        capture.push(Job::Open(call, Arc::clone(&capture.state)));
        capture.write(head);
        capture
    }
}

impl Capture {
    /// Adds a line, given without its end. Never waits.
    pub fn write(&mut self, line: String) {
        let len = line.len();
        if self.handle.waiting.fetch_add(len, Ordering::AcqRel) + len > self.handle.waiting_max {
            self.handle.waiting.fetch_sub(len, Ordering::AcqRel);
            self.state.cut(Cut::QueueFull);
        } else if !self.push(Job::Line(self.call, line)) {
            self.handle.waiting.fetch_sub(len, Ordering::AcqRel);
        }
    }

    /// Whether what is written will be kept.
    pub fn is_running(&self) -> bool {
        self.state.why_cut().is_none()
    }

    /// Everything of the call is written.
    pub fn finish(self) {
        self.cut_off(WHOLE);
    }

    /// Ends the file here, with this reason as its last line.
    pub fn cut_off(mut self, reason: &str) {
        self.write(Line::end(reason));
    }

    fn push(&mut self, job: Job) -> bool {
        if !self.is_running() {
            return false;
        }
        match self.handle.jobs.try_send(job) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                self.state.cut(Cut::QueueFull);
                false
            }
            // The process ends.
            Err(TrySendError::Disconnected(_)) => false,
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.push(Job::Close(self.call));
    }
}

/// The file of a call, whether it exists or not.
pub fn path(folder: &Path, call: CallId) -> PathBuf {
    folder.join(format!("{call}{SUFFIX}"))
}

/// Deletes what is kept of a call; `false` if there is nothing.
pub fn erase(folder: &Path, call: CallId) -> Result<bool, Error> {
    let path = path(folder, call);
    match fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::Delete { path, source }),
    }
}

/// Deletes the files that are older than so many days. A file that cannot be deleted is left for the next time.
pub fn sweep(folder: &Path, retention_days: u32, now: SystemTime) -> usize {
    let kept = Duration::from_secs(u64::from(retention_days) * 24 * 3600);
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let is_old = |path: &Path| {
        let modified = fs::metadata(path).and_then(|data| data.modified());
        modified.is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age > kept))
    };
    let files = entries.flatten().map(|entry| entry.path());
    files
        .filter(|path| path.to_string_lossy().ends_with(SUFFIX) && is_old(path))
        .filter(|path| fs::remove_file(path).is_ok())
        .count()
}

/// For the owner alone. One that exists keeps its permissions.
fn make_folder(path: &Path) -> Result<(), Error> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|source| Error::Folder { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
