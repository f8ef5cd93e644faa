//! Why a question has no answer.

use std::path::PathBuf;

use crate::store::postgres;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no call log at {}: it is made when the server runs", path.display())]
    Missing { path: PathBuf },
    #[error("{} is not a call log of patchcord", path.display())]
    Foreign { path: PathBuf },
    #[error("the database is not a call log of patchcord: its tables are made when the server runs")]
    Empty,
    #[error(
        "the call log has an older schema ({found}) than this program reads ({wanted}): start the server once, \
         it brings the log up to date"
    )]
    Older { found: i64, wanted: i64 },
    #[error(transparent)]
    Address(#[from] postgres::Error),
    /// The database cannot be reached or is too busy; another time it may answer.
    #[error("the call log cannot be reached: {0}")]
    Away(sqlx::Error),
    #[error("the call log cannot be reached: {0}")]
    Unreachable(postgres::Error),
    #[error("the call log cannot be reached: every connection is in use")]
    Busy,
    #[error("the question takes too long; ask for less, for example for fewer days")]
    TooSlow,
    #[error("cannot read the call log: {0}")]
    Read(sqlx::Error),
}

impl Error {
    /// Whether asking again later may help.
    pub const fn is_away(&self) -> bool {
        match self {
            Self::Away(_)
            | Self::Unreachable(_)
            | Self::Busy
            | Self::TooSlow
            | Self::Missing { .. }
            | Self::Empty
            | Self::Older { .. } => true,
            Self::Foreign { .. } | Self::Address(_) | Self::Read(_) => false,
        }
    }

    /// Whether the file is no database at all.
    pub(super) fn is_foreign(&self) -> bool {
        matches!(self, Self::Read(error) if code(error) == Some(NOT_A_DATABASE))
    }
}

/// `SQLITE_NOTADB` (<https://sqlite.org/rescode.html>).
const NOT_A_DATABASE: i32 = 26;
/// `SQLITE_INTERRUPT`: the time is over.
const INTERRUPTED: i32 = 9;
/// `SQLITE_BUSY`, `SQLITE_LOCKED`, `SQLITE_NOMEM`, `SQLITE_IOERR`, `SQLITE_FULL`, `SQLITE_CANTOPEN`.
const UNAVAILABLE: [i32; 6] = [5, 6, 7, 10, 13, 14];
/// `query_canceled`: the time is over (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
const CANCELLED: &str = "57014";
/// Classes of codes: connections, authorisation, no such database, resources, an operator, the system.
const AWAY: [&str; 6] = ["08", "28", "3D", "53", "57", "58"];
/// `undefined_table`: nobody has made the tables yet.
const NO_TABLE: &str = "42P01";
/// A snapshot that a standby could not keep.
const CONFLICT: &str = "40001";

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let is_away = matches!(
            error,
            sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed
        );
        if is_away {
            return Self::Away(error);
        }
        if let Some(code) = code(&error) {
            return match code {
                INTERRUPTED => Self::TooSlow,
                code if UNAVAILABLE.contains(&code) => Self::Away(error),
                _ => Self::Read(error),
            };
        }
        let state = error.as_database_error().and_then(|error| Some(error.code()?.into_owned()));
        match state.as_deref() {
            Some(CANCELLED) => Self::TooSlow,
            Some(NO_TABLE) => Self::Empty,
            Some(CONFLICT) => Self::Away(error),
            Some(state) if AWAY.iter().any(|class| state.starts_with(class)) => Self::Away(error),
            Some(_) | None => Self::Read(error),
        }
    }
}

/// The primary result code of SQLite.
fn code(error: &sqlx::Error) -> Option<i32> {
    let error = error.as_database_error()?.try_downcast_ref::<sqlx::sqlite::SqliteError>()?;
    let code: i32 = sqlx::error::DatabaseError::code(error)?.parse().ok()?;
    Some(code & 0xff)
}
