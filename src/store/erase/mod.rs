//! Removing the personal fields and the words of calls everywhere, and leaving what is accounted for.
//!
//! What remains of a call: its ids, agent, times, ending, counts and costs. What was removed is overwritten in the
//! local file, its write-ahead log is emptied, and rows that are on their way to Postgres lose it too. Postgres
//! itself overwrites when it vacuums; its own write-ahead log and its backups are not reached from here.

mod local;
mod remote;
mod scrub;

use std::collections::BTreeSet;

use sqlx::{ConnectOptions as _, Connection as _};

pub(super) use self::scrub::{ERASED, scrub, scrub_event};
use super::escape::escape;
use super::postgres::{self, Target};
use super::{Config, sqlite};
use crate::carrier::party::Party;

/// Whose calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// One call: its id, or the carrier's SID, which may have several.
    Call(String),
    /// All calls of this number: from it, and to it where we called.
    Caller(String),
}

/// Calls that were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Ids of calls that can be erased.
    pub calls: BTreeSet<String>,
    /// Ids of calls that go on: they can be erased when they are over.
    pub going_on: BTreeSet<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the local call log: {0}")]
    Local(#[from] sqlx::Error),
    #[error(transparent)]
    Open(#[from] super::Error),
    #[error(transparent)]
    Postgres(#[from] postgres::Error),
    #[error(
        "what was erased is still in the write-ahead log of the local file, because another process reads it: \
         end that one and erase again"
    )]
    Reader,
    #[error(
        "lines of an earlier process wait beside the call log, and may be of these calls: start the server until it \
         has taken them in, and erase again"
    )]
    Waiting,
}

/// Looks for the calls of a subject, locally and in Postgres.
pub async fn find(config: &Config, target: Option<&Target>, subject: &Subject) -> Result<Found, Error> {
    let asked = wanted(subject);
    if !super::spill::files(&config.path).is_empty() {
        return Err(Error::Waiting);
    }
    let mut found = Found::default();
    let mut connection = sqlite::open(&sqlite::options(&config.path), &config.path).await?;
    for wanted in &asked {
        local::find(&mut connection, wanted, &mut found).await?;
    }
    connection.close().await?;
    if let Some(target) = target {
        let mut connection = target.open().await?;
        for wanted in &asked {
            remote::find(&mut connection, wanted, &mut found).await.map_err(postgres::Error::Statement)?;
        }
        connection.close().await?;
    }
    let Found { calls, going_on } = &mut found;
    calls.retain(|call| !going_on.contains(call));
    Ok(found)
}

/// What is looked for, as the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Call(String),
    /// This party, exactly.
    Party(String),
    /// Parties whose text begins so.
    Beginning(String),
}

/// Everything under which the log may have a subject: earlier versions wrote parties as the carrier did.
fn wanted(subject: &Subject) -> Vec<Wanted> {
    match subject {
        Subject::Call(id) => vec![Wanted::Call(escape(id))],
        Subject::Caller(asked) => {
            let party = Party::parse(asked);
            // Withheld callers are no one person: only the text that was asked for.
            let texts = if party.is_withheld() { vec![asked.clone()] } else { party.logged_as(asked) };
            let texts = texts.iter().map(|text| Wanted::Party(escape(text)));
            let beginnings = party.logged_prefixes();
            texts.chain(beginnings.iter().map(|text| Wanted::Beginning(escape(text)))).collect()
        }
    }
}

/// Erases these calls. May be done again, and must be when it failed.
pub async fn erase(config: &Config, target: Option<&Target>, calls: &BTreeSet<String>) -> Result<(), Error> {
    // The journal first: what is shipped from now on is clean, and Postgres is told of what was read before.
    let mut connection = sqlite::options(&config.path).connect().await?;
    local::erase(&mut connection, calls).await?;
    if let Some(target) = target {
        let mut connection = target.open().await?;
        remote::erase(&mut connection, calls).await.map_err(postgres::Error::Statement)?;
        connection.close().await?;
    }
    let is_clean = local::forget(&mut connection).await?;
    connection.close().await?;
    if is_clean { Ok(()) } else { Err(Error::Reader) }
}
