//! The queue of lines and the thread that writes them. Knows no subscriber.

use std::borrow::Cow;
use std::io;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::SigSet;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde::Serialize;

/// Lines that wait: a minute of a server that logs ten lines for each of a hundred calls a minute.
const LINES_MAX: usize = 1024;

/// The same in bytes, since a line may hold what a peer sent. Most have 250.
const BYTES_MAX: usize = 1 << 19;

/// A longer line is cut. Log drivers split them at 16 KiB.
const LINE_BYTES_MAX: usize = 1 << 16;

/// Dropped lines are reported as often as this at most.
const REPORT_PERIOD: Duration = Duration::from_secs(1);

/// How long one wait for room lasts where writing does not wait by itself.
const ROOM_PERIOD: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// The pause where there is said to be room and a write finds none.
const ROOM_PAUSE: Duration = Duration::from_millis(10);

/// What became of the lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Lines that found no room in the queue or could not be written.
    pub lines_dropped: u64,
    /// Why the last line could not be written; absent once one could.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A queue of lines to one file descriptor. [`Lines::push`] waits for nothing and cannot fail.
#[derive(Debug)]
pub struct Lines {
    queue: SyncSender<Vec<u8>>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Lines, and their bytes, that were taken and are not yet written or dropped.
    waiting: AtomicUsize,
    bytes: AtomicUsize,
    dropped: AtomicU64,
    error: Mutex<Option<Errno>>,
    /// Dropped lines are reported at once.
    is_ending: AtomicBool,
    /// Notified when no line waits any more.
    idle: (Mutex<()>, Condvar),
}

/// The line that reports so many dropped ones, with its line feed.
pub(super) type Report = fn(u64) -> Vec<u8>;

impl Lines {
    /// Starts the thread. It ends with the last sender, and takes no signal: those of the terminal or the file that
    /// it writes to would come back with each line.
    pub(super) fn start(output: impl AsFd + Send + 'static, report: Report) -> Self {
        let (queue, lines) = sync_channel(LINES_MAX);
        let shared = Arc::new(Shared::default());
        let mut writer = Writer {
            output,
            report,
            lines,
            shared: Arc::clone(&shared),
            is_torn: false,
            reported: 0,
            reported_at: None,
        };
        let thread = thread::Builder::new().name("diagnostics".to_owned());
        // Without a thread the queue is closed, and every line counts as dropped.
        let _ = thread.spawn(move || {
            let _ = SigSet::all().thread_block();
            while catch_unwind(AssertUnwindSafe(|| writer.run())).is_err() {}
        });
        Self { queue, shared }
    }

    /// Puts a line, with its line feed, into the queue if there is room.
    pub fn push(&self, line: &[u8]) {
        let line = shortened(line);
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        let bytes = self.shared.bytes.fetch_add(line.len(), Ordering::Relaxed) + line.len();
        let size = line.len();
        if bytes > BYTES_MAX || self.queue.try_send(line.into_owned()).is_err() {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            self.shared.done(size);
        }
    }

    pub fn status(&self) -> Status {
        let error = *self.shared.error.lock().unwrap_or_else(PoisonError::into_inner);
        Status {
            lines_dropped: self.shared.dropped.load(Ordering::Relaxed),
            error: error.map(|error| io::Error::from(error).to_string()),
        }
    }

    /// Waits until all lines are written or dropped and those dropped are reported; `false`: not in this time.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.shared.is_ending.store(true, Ordering::Relaxed);
        // Wakes the thread; where the queue is full, it is awake or cannot be woken.
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        if self.queue.try_send(Vec::new()).is_err() {
            self.shared.done(0);
        }
        let (lock, idle) = &self.shared.idle;
        let guard = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let is_waiting = |(): &mut ()| self.shared.waiting.load(Ordering::Relaxed) > 0;
        let waited = idle.wait_timeout_while(guard, timeout, is_waiting);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

impl Shared {
    /// A line of so many bytes waits no more.
    fn done(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        if self.waiting.fetch_sub(1, Ordering::Relaxed) == 1 {
            let _guard = self.idle.0.lock().unwrap_or_else(PoisonError::into_inner);
            self.idle.1.notify_all();
        }
    }

    fn note(&self, error: Option<Errno>) {
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }
}

/// A line within [`LINE_BYTES_MAX`], cut between two characters.
fn shortened(line: &[u8]) -> Cow<'_, [u8]> {
    const END: &[u8] = "…\n".as_bytes();
    if line.len() <= LINE_BYTES_MAX {
        return Cow::Borrowed(line);
    }
    let mut length = LINE_BYTES_MAX - END.len();
    while length > 0 && line[length] & 0xc0 == 0x80 {
        length -= 1;
    }
    Cow::Owned([&line[..length], END].concat())
}

/// The writing thread.
struct Writer<F> {
    output: F,
    report: Report,
    lines: Receiver<Vec<u8>>,
    shared: Arc<Shared>,
    /// A line was broken off in its middle.
    is_torn: bool,
    /// Dropped lines that were reported.
    reported: u64,
    reported_at: Option<Instant>,
}

impl<F: AsFd> Writer<F> {
    /// Until no more lines can come.
    fn run(&mut self) {
        loop {
            match self.lines.recv_timeout(REPORT_PERIOD) {
                Ok(line) => {
                    if !self.write(&line) {
                        self.shared.dropped.fetch_add(1, Ordering::Relaxed);
                    }
                    self.report();
                    self.shared.done(line.len());
                }
                Err(RecvTimeoutError::Timeout) => self.report(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Says how many lines were dropped since it was last said, if that can be written.
    fn report(&mut self) {
        let dropped = self.shared.dropped.load(Ordering::Relaxed);
        let is_due = self.shared.is_ending.load(Ordering::Relaxed)
            || self.reported_at.is_none_or(|at| at.elapsed() >= REPORT_PERIOD);
        if dropped > self.reported && is_due {
            self.reported_at = Some(Instant::now());
            if self.write(&(self.report)(dropped - self.reported)) {
                self.reported = dropped;
            }
        }
    }

    /// Whether the line was written. Waits while the other side has no room, if need be for ever.
    fn write(&mut self, line: &[u8]) -> bool {
        if self.is_torn && !line.is_empty() && self.write_all(b"\n").is_ok() {
            self.is_torn = false;
        }
        let written = self.write_all(line);
        if !line.is_empty() {
            self.shared.note(written.err());
        }
        written.is_ok()
    }

    fn write_all(&mut self, mut rest: &[u8]) -> Result<(), Errno> {
        let is_whole = rest.len();
        while !rest.is_empty() {
            match rustix::io::write(&self.output, rest) {
                Ok(0) => return Err(Errno::NOSPC),
                Ok(written) => rest = &rest[written..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait_for_room(),
                Err(error) => {
                    self.is_torn |= rest.len() < is_whole;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Where another process has made the descriptor non-blocking.
    fn wait_for_room(&self) {
        let mut output = [PollFd::new(&self.output, PollFlags::OUT)];
        if poll(&mut output, Some(&ROOM_PERIOD)) != Ok(0) {
            thread::sleep(ROOM_PAUSE);
        }
    }
}

#[cfg(test)]
mod tests;
