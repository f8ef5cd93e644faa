//! One thread of the recorder: encodes what comes from its queue and writes the pages of its files.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use ::time::Date;
use tracing::warn;

use super::{Config, EXPIRES, Failure, QUEUE, path};
use crate::audio::opus::{self, Writer};
use crate::audio::tape::Block;
use crate::id::CallId;

/// How often the free space is asked for, and files are ended whose calls are gone without a word.
const LOOK_AROUND: Duration = Duration::from_secs(1);

/// What a call wants.
#[derive(Debug)]
pub(super) enum Job {
    Begin { call: CallId, expires: Option<Date>, failure: Arc<OnceLock<Failure>> },
    Block { call: CallId, block: Box<Block> },
    End { call: CallId },
}

#[derive(Debug)]
pub(super) struct Thread {
    config: Config,
    jobs: Receiver<Job>,
    files: HashMap<CallId, Recording>,
    written: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    looked: Option<Instant>,
    is_full: bool,
}

impl Thread {
    pub(super) fn new(
        config: Config,
        jobs: Receiver<Job>,
        written: Arc<AtomicU64>,
        stop: Arc<AtomicBool>,
    ) -> Self {
        Self { config, jobs, files: HashMap::new(), written, stop, looked: None, is_full: false }
    }

    /// Until it is told to stop, or nobody can want anything more; then all files are ended.
    pub(super) fn run(mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            self.look_around();
            match self.jobs.recv_timeout(LOOK_AROUND) {
                Ok(job) => self.handle(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        while let Ok(job) = self.jobs.try_recv() {
            self.handle(job);
        }
        for (call, recording) in self.files.drain() {
            finish(call, recording, &self.written);
        }
    }

    pub(super) fn handle(&mut self, job: Job) {
        match job {
            Job::Begin { call, expires, failure } => self.begin(call, expires, failure),
            Job::Block { call, block } => self.write(call, &block),
            Job::End { call } => self.end(call),
        }
    }

    fn look_around(&mut self) {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK_AROUND) {
            return;
        }
        self.looked = Some(Instant::now());
        let free =
            rustix::fs::statvfs(&self.config.folder).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        self.is_full = free.is_ok_and(|free| free < self.config.free_bytes_min);
        self.end_left();
    }

    /// Ends the files whose calls are gone, after what they had put into the queue.
    pub(super) fn end_left(&mut self) {
        let left = self.files.iter().filter(|(_, recording)| Arc::strong_count(&recording.failure) == 1);
        let left: Vec<CallId> = left.map(|(call, _)| *call).collect();
        if left.is_empty() {
            return;
        }
        for _ in 0..QUEUE {
            let Ok(job) = self.jobs.try_recv() else { break };
            self.handle(job);
        }
        for call in left {
            self.end(call);
        }
    }

    fn begin(&mut self, call: CallId, expires: Option<Date>, failure: Arc<OnceLock<Failure>>) {
        if self.is_full {
            return fail(call, &failure, Failure::NoSpace);
        }
        match Recording::create(&self.config, call, expires, Arc::clone(&failure)) {
            Ok(recording) => drop(self.files.insert(call, recording)),
            Err(cause) => fail(call, &failure, cause),
        }
    }

    fn write(&mut self, call: CallId, block: &Block) {
        let Some(recording) = self.files.get_mut(&call) else { return };
        let outcome =
            if self.is_full { Err(Failure::NoSpace) } else { recording.write(block, &self.written) };
        if let Err(cause) = outcome
            && let Some(recording) = self.files.remove(&call)
        {
            fail(call, &recording.failure, cause);
        }
    }

    fn end(&mut self, call: CallId) {
        if let Some(recording) = self.files.remove(&call) {
            finish(call, recording, &self.written);
        }
    }
}

/// A recording that goes on.
#[derive(Debug)]
struct Recording {
    file: File,
    /// Length of the file up to its last whole page.
    len: u64,
    writer: Writer,
    failure: Arc<OnceLock<Failure>>,
}

impl Recording {
    fn create(
        config: &Config,
        call: CallId,
        expires: Option<Date>,
        failure: Arc<OnceLock<Failure>>,
    ) -> Result<Self, Failure> {
        let comments: Vec<String> = expires.map(|day| format!("{EXPIRES}{day}")).into_iter().collect();
        // Files are not put together with others; any number does.
        let serial = call.as_u128() as u32;
        let writer = Writer::new(serial, &comments)?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path(&config.folder, &call.to_string()))?;
        Ok(Self { file, len: 0, writer, failure })
    }

    fn write(&mut self, block: &Block, written: &AtomicU64) -> Result<(), Failure> {
        self.writer.push(&block.caller, &block.agent)?;
        let pages = self.writer.take();
        self.put(&pages, written)
    }

    fn put(&mut self, pages: &[u8], written: &AtomicU64) -> Result<(), Failure> {
        if pages.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.file.write_all(pages) {
            // Half a page is no use to anybody.
            let _ = self.file.set_len(self.len);
            return Err(error.into());
        }
        self.len += pages.len() as u64;
        written.fetch_add(pages.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn finish(self, written: &AtomicU64) -> Result<(), Failure> {
        let Self { file, len, writer, failure } = self;
        let pages = writer.finish()?;
        let writer = Writer::new(0, &[])?;
        Self { file, len, writer, failure }.put(&pages, written)
    }
}

fn finish(call: CallId, recording: Recording, written: &AtomicU64) {
    if let Err(failure) = recording.finish(written) {
        warn!(%call, "the end of a recording is missing: {failure}");
    }
}

fn fail(call: CallId, told: &OnceLock<Failure>, failure: Failure) {
    warn!(%call, "a recording ends: {failure}");
    let _ = told.set(failure);
}

impl From<opus::Error> for Failure {
    fn from(error: opus::Error) -> Self {
        Self::Codec(error.to_string())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::StorageFull { Self::NoSpace } else { Self::File(error.to_string()) }
    }
}
