//! Lines for the operator on standard error, which decide over nothing.
//!
//! Standard error may be a pipe that has lost its reader or whose reader has stopped, a file on a full disk, a
//! terminal that has closed. So the threads that carry calls and answer requests never write to it: they put lines
//! into a bounded queue, and one thread writes them. Lines that find no room, or cannot be written, are counted;
//! the count is logged once lines can be written again, and `/readyz` shows it.
//!
//! `tracing-appender` has such a writer too. Its queue is bounded in lines and not in bytes, it does not count what
//! it fails to write, and it prints to the standard streams when it ends.

mod lines;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::RefCell;
use std::io;
use std::panic::{self, PanicHookInfo};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

pub use self::lines::{Lines, Status};

/// What the lines that are queued at the exit of the process get to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The lines of this process.
static STDERR: OnceLock<Lines> = OnceLock::new();

thread_local! {
    /// On the writing thread: the line that it formats itself.
    static OWN: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// A [`tracing_subscriber::fmt::MakeWriter`] by its closure: what a subscriber formats becomes a line.
#[derive(Clone, Copy, Debug)]
pub struct Line(&'static Lines);

impl io::Write for Line {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let is_own = OWN.with_borrow_mut(|own| own.as_mut().map(|own| own.extend_from_slice(text)).is_some());
        if !is_own {
            self.0.push(text);
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts the thread that writes to standard error, once in a process, and has panics reported by it.
pub fn start() -> Line {
    let lines = STDERR.get_or_init(|| Lines::start(io::stderr(), dropped));
    panic::set_hook(Box::new(report_panic));
    Line(lines)
}

/// What became of the lines of this process; all zero where [`start`] was not called.
pub fn status() -> Status {
    STDERR.get().map(Lines::status).unwrap_or_default()
}

/// Writes a line as it is, for errors that end the process; waits no longer than [`finish`] does.
pub fn say(text: &str) {
    let line = format!("{text}\n");
    match STDERR.get() {
        Some(lines) => lines.push(line.as_bytes()),
        // A command, not the server: the one who reads may take their time, and may be gone.
        None => drop(io::Write::write_all(&mut io::stderr(), line.as_bytes())),
    }
}

/// Waits, for a bounded time, until what was said has been written.
pub fn finish() {
    if let Some(lines) = STDERR.get() {
        lines.flush(FLUSH_TIMEOUT);
    }
}

/// The line that reports dropped ones, as the subscriber of this process formats it.
fn dropped(lines: u64) -> Vec<u8> {
    OWN.set(Some(Vec::new()));
    tracing::warn!(lines, "diagnostic lines dropped: standard error did not take them");
    OWN.take().unwrap_or_default()
}

/// The hook of the standard library writes to standard error itself, and would wait for its reader.
fn report_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("(no message)");
    let place = panic.location().map(ToString::to_string);
    let current = thread::current();
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(panic = message, place, thread = current.name(), backtrace, "a thread panicked");
}
