//! Lines that the log cannot take now, in files beside it: `patchcord.db.unwritten.1.jsonl` and so on.
//!
//! Another program may hold a lock on the log for hours, and the process may be told to stop meanwhile. A file has a
//! name of its own in its first line, and then a row a line. The log takes it in within one transaction that notes the
//! name, so that a file which outlives that transaction is not taken in again.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use sqlx::{Connection as _, SqliteConnection};
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use uuid::Uuid;

use super::Verdict;
use super::rows::Row;
use super::sqlite;
use super::tally::Tally;
use super::writer::Destination;

/// The files of one log.
#[derive(Debug)]
pub(super) struct Spill {
    log: PathBuf,
    /// Of this process and of those before it, in their order.
    files: Vec<PathBuf>,
    open: Option<Open>,
    bytes: Arc<AtomicU64>,
}

/// The file that is being written.
#[derive(Debug)]
struct Open {
    file: File,
    bytes: u64,
}

/// The first line of a file.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    unwritten: String,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("cannot read {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
}

/// Days of a busy server; beyond it the lines wait in memory until that is full too.
const BYTES_MAX: u64 = 1 << 30;

/// Rows taken in at once.
const ROWS: usize = 512;

impl Spill {
    /// What is beside the log at `path`.
    pub(super) fn of(path: &Path) -> Self {
        let files = files(path);
        let bytes = files.iter().filter_map(|file| fs::metadata(file).ok()).map(|state| state.len()).sum();
        Self { log: path.to_owned(), files, open: None, bytes: Arc::new(AtomicU64::new(bytes)) }
    }

    /// Bytes that wait beside the log.
    pub(super) fn bytes(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.bytes)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Adds rows to the newest file; they are on the disk when it returns.
    pub(super) async fn append(&mut self, rows: &[Row]) -> io::Result<()> {
        let mut text = String::new();
        for row in rows {
            text.push_str(&serde_json::to_string(row)?);
            text.push('\n');
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.begin().await?,
        };
        if open.bytes + text.len() as u64 > BYTES_MAX {
            self.open = Some(open);
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        // A file of which a part was written is left as it is: its last line is not read, and the next append
        // begins another.
        open.file.write_all(text.as_bytes()).await?;
        open.file.flush().await?;
        open.file.sync_data().await?;
        open.bytes += text.len() as u64;
        self.bytes.fetch_add(text.len() as u64, Ordering::Relaxed);
        self.open = Some(open);
        Ok(())
    }

    async fn begin(&mut self) -> io::Result<Open> {
        let number = self.files.iter().filter_map(|file| number(&self.log, file)).max().unwrap_or(0) + 1;
        let path = named(&self.log, number);
        let mut options = tokio::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        options.mode(0o600);
        let mut file = options.open(&path).await?;
        self.files.push(path);
        let header =
            serde_json::to_string(&Header { unwritten: Uuid::new_v4().hyphenated().to_string() })? + "\n";
        file.write_all(header.as_bytes()).await?;
        self.bytes.fetch_add(header.len() as u64, Ordering::Relaxed);
        Ok(Open { file, bytes: 0 })
    }

    /// Takes everything into the log, a file a transaction, and removes the files.
    pub(super) async fn take_in(
        &mut self,
        connection: &mut SqliteConnection,
        destination: &Destination,
        tally: &Tally,
    ) -> Result<(), Error> {
        self.open = None;
        while let Some(path) = self.files.first().cloned() {
            let rows = take(&path, connection, destination, tally).await?;
            tracing::info!(rows, file = %path.display(), "lines that waited beside the call log are in it");
            let size = fs::metadata(&path).map_or(0, |state| state.len());
            let named = |source| Error::File { path: path.clone(), source };
            match tokio::fs::remove_file(&path).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(named(error)),
                Ok(()) | Err(_) => {}
            }
            self.files.remove(0);
            let left = self.bytes.load(Ordering::Relaxed).saturating_sub(size);
            self.bytes.store(if self.files.is_empty() { 0 } else { left }, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// One file within one transaction; the number of its rows.
async fn take(
    path: &Path,
    connection: &mut SqliteConnection,
    destination: &Destination,
    tally: &Tally,
) -> Result<usize, Error> {
    let named = |source| Error::File { path: path.to_owned(), source };
    let file = match File::open(path).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        file => file.map_err(named)?,
    };
    let mut lines = BufReader::new(file).split(b'\n');
    let first = lines.next_segment().await.map_err(named)?.unwrap_or_default();
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    if let Ok(Header { unwritten }) = serde_json::from_slice(&first) {
        let noted = sqlx::query("INSERT INTO taken_in (file, at) VALUES (?, ?) ON CONFLICT DO NOTHING")
            .bind(unwritten)
            .bind(super::Stamp(::time::OffsetDateTime::now_utc()))
            .execute(&mut *transaction)
            .await?;
        if noted.rows_affected() == 0 {
            return Ok(0);
        }
    }
    let mut rows = Vec::with_capacity(ROWS);
    let mut count = 0;
    while let Some(line) = lines.next_segment().await.map_err(named)? {
        match serde_json::from_slice(&line) {
            Ok(row) => rows.push(row),
            // The process or the power ended while it was written, or a newer program wrote it.
            Err(error) => tally.lose_late(&error.to_string()),
        }
        if rows.len() == ROWS {
            count += rows.len();
            write(&mut transaction, destination, &std::mem::take(&mut rows), tally).await?;
        }
    }
    count += rows.len();
    write(&mut transaction, destination, &rows, tally).await?;
    transaction.commit().await?;
    Ok(count)
}

/// Together if that is possible; a row that the database refuses is lost alone.
async fn write(
    connection: &mut SqliteConnection,
    destination: &Destination,
    rows: &[Row],
    tally: &Tally,
) -> Result<(), sqlx::Error> {
    match within(connection, destination, rows).await {
        Err(error) if sqlite::verdict(&error) == Verdict::Refuse => {}
        result => return result,
    }
    for row in rows {
        match within(connection, destination, std::slice::from_ref(row)).await {
            Err(error) if sqlite::verdict(&error) == Verdict::Refuse => tally.lose_late(&error.to_string()),
            result => result?,
        }
    }
    Ok(())
}

async fn within(
    connection: &mut SqliteConnection,
    destination: &Destination,
    rows: &[Row],
) -> Result<(), sqlx::Error> {
    let mut savepoint = connection.begin().await?;
    destination.write(&mut savepoint, rows).await?;
    savepoint.commit().await
}

/// The files beside the log at `path`, in the order in which they were written.
pub(super) fn files(path: &Path) -> Vec<PathBuf> {
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<_> = entries
        .map(|entry| folder.join(entry.file_name()))
        .filter_map(|file| Some((number(path, &file)?, file)))
        .collect();
    found.sort();
    found.into_iter().map(|(_, file)| file).collect()
}

fn named(log: &Path, number: u32) -> PathBuf {
    let mut name: OsString = log.as_os_str().to_owned();
    name.push(format!(".unwritten.{number}.jsonl"));
    PathBuf::from(name)
}

fn number(log: &Path, file: &Path) -> Option<u32> {
    let prefix = format!("{}.unwritten.", log.file_name()?.to_str()?);
    file.file_name()?.to_str()?.strip_prefix(&prefix)?.strip_suffix(".jsonl")?.parse().ok()
}
