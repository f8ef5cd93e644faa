//! How the writer comes to its connection: the file, its schema, and what an earlier process left.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use ::time::OffsetDateTime;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteConnectOptions;

use super::spill::Spill;
use super::tally::Tally;
use super::writer::Destination;
use super::{Error, Stamp, sqlite};

/// Opens one file, again and again.
#[derive(Debug)]
pub(super) struct Opener {
    path: PathBuf,
    options: SqliteConnectOptions,
    /// Since when this process has calls. The file may be opened later: those are not the calls of one that died.
    since: Stamp,
    /// Calls of the process before are ended; from then on open calls are this process's own.
    is_recovered: bool,
    file: Option<Identity>,
}

/// Which file a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Opener {
    pub(super) fn new(path: PathBuf, options: SqliteConnectOptions) -> Self {
        Self { path, options, since: Stamp(OffsetDateTime::now_utc()), is_recovered: false, file: None }
    }

    /// Makes the file where it is missing, brings its schema up to date, and the first time ends the calls that the
    /// process before left, after what that one put beside the log.
    pub(super) async fn open(
        &mut self,
        spill: &mut Spill,
        destination: &Destination,
        tally: &Tally,
    ) -> Result<SqliteConnection, Error> {
        super::refuse_foreign(&self.path).await?;
        super::create(&self.path)?;
        let mut connection = sqlite::open(&self.options, &self.path).await?;
        self.file = Identity::of(&self.path);
        if !self.is_recovered {
            let named = |source| Error::Open { path: self.path.clone(), source };
            spill.take_in(&mut connection, destination, tally).await.map_err(|error| match error {
                super::spill::Error::Sql(source) => named(source),
                super::spill::Error::File { path, source } => Error::File { path, source },
            })?;
            sqlite::recover(&mut connection, self.since).await.map_err(named)?;
            self.is_recovered = true;
        }
        Ok(connection)
    }

    /// Whether the path leads to another file than the one that was opened, or to none.
    pub(super) fn is_moved(&self) -> bool {
        self.file.is_some() && Identity::of(&self.path) != self.file
    }
}

impl Identity {
    /// `None`: there is no file.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let state = fs::metadata(path).ok()?;
        Some(Self { device: state.dev(), inode: state.ino() })
    }
}
