//! The thread that writes.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use super::{Config, Cut, Job, State, path, sweep};
use crate::call::replay::Line;
use crate::id::CallId;

/// How long lines stay in memory: what a process that is killed loses.
const FLUSH: Duration = Duration::from_millis(250);

/// How often old files are looked for.
const SWEEP: Duration = Duration::from_secs(3600);

/// Owns the files that are open.
pub(super) struct Writer {
    folder: PathBuf,
    retention_days: u32,
    waiting: Arc<AtomicUsize>,
    files: HashMap<CallId, Open>,
    flushed: Instant,
    swept: Option<Instant>,
}

struct Open {
    file: BufWriter<File>,
    state: Arc<State>,
}

impl Writer {
    pub(super) fn new(config: &Config, waiting: Arc<AtomicUsize>) -> Self {
        let Config { folder, retention_days } = config.clone();
        Self { folder, retention_days, waiting, files: HashMap::new(), flushed: Instant::now(), swept: None }
    }

    /// Works until it is told to stop, or nobody is left who could give it something.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        let mut is_over = false;
        loop {
            self.sweep();
            let mut cut = self.cut();
            for job in jobs.try_iter() {
                is_over |= matches!(job, Job::Stop);
                self.work(job);
            }
            if is_over {
                cut = self.cut();
            }
            // What was cut off before the queue was emptied has all of its lines.
            cut.into_iter().for_each(|(call, cut)| self.end(call, cut));
            if is_over || self.flushed.elapsed() >= FLUSH {
                self.flush();
            }
            if is_over {
                return;
            }
            match jobs.recv_timeout(if self.files.is_empty() { SWEEP } else { FLUSH }) {
                Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => is_over = true,
                Ok(job) => self.work(job),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn work(&mut self, job: Job) {
        match job {
            Job::Open(call, state) => self.open(call, state),
            Job::Line(call, line) => {
                self.waiting.fetch_sub(line.len(), Ordering::AcqRel);
                self.write(call, &line);
            }
            Job::Close(call) => self.close(call),
            Job::Stop => {}
        }
    }

    fn open(&mut self, call: CallId, state: Arc<State>) {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(path(&self.folder, call)) {
            Ok(file) => drop(self.files.insert(call, Open { file: BufWriter::new(file), state })),
            Err(error) => give_up(call, &state, &error),
        }
    }

    fn write(&mut self, call: CallId, line: &str) {
        let Some(open) = self.files.get_mut(&call) else { return };
        if let Err(error) = writeln!(open.file, "{line}") {
            give_up(call, &open.state, &error);
            self.files.remove(&call);
        }
    }

    fn close(&mut self, call: CallId) {
        let Some(Open { mut file, state }) = self.files.remove(&call) else { return };
        if let Err(error) = file.flush() {
            give_up(call, &state, &error);
        }
    }

    /// Calls whose rest is not kept.
    fn cut(&self) -> Vec<(CallId, Cut)> {
        self.files.iter().filter_map(|(call, open)| Some((*call, open.state.why_cut()?))).collect()
    }

    fn end(&mut self, call: CallId, cut: Cut) {
        tracing::warn!(%call, "inputs: {}", cut.text());
        self.write(call, &Line::end(cut.text()));
        self.close(call);
    }

    fn flush(&mut self) {
        self.flushed = Instant::now();
        let failed: Vec<_> = self
            .files
            .iter_mut()
            .filter_map(|(call, open)| Some((*call, open.file.flush().err()?)))
            .collect();
        for (call, error) in failed {
            if let Some(open) = self.files.remove(&call) {
                give_up(call, &open.state, &error);
            }
        }
    }

    fn sweep(&mut self) {
        if self.swept.is_some_and(|swept| swept.elapsed() < SWEEP) {
            return;
        }
        self.swept = Some(Instant::now());
        let deleted = sweep(&self.folder, self.retention_days, SystemTime::now());
        if deleted > 0 {
            tracing::info!(deleted, folder = %self.folder.display(), "old inputs of calls deleted");
        }
    }
}

/// The disk does not take more of this call.
fn give_up(call: CallId, state: &State, error: &io::Error) {
    state.cut(Cut::DiskFailed);
    tracing::warn!(%call, %error, "inputs: {}", Cut::DiskFailed.text());
}
