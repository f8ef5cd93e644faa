//! Why a configuration cannot be read at all.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::machine::file::Fault;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "the configuration {} {source}; name a TOML file with --config or PATCHCORD_CONFIG",
        path.display()
    )]
    Unreadable { path: PathBuf, source: Fault },
    /// Not TOML, an unknown key, or a value of the wrong kind.
    #[error("{}:{position}: {key}{message}; {remedy}", path.display(), key = prefix(key))]
    Invalid {
        path: PathBuf,
        position: Position,
        /// `agents[1].voice`; `None` where the text is no TOML.
        key: Option<String>,
        message: String,
        remedy: String,
    },
    /// The value is not part of the error.
    #[error(
        "{}:{position}: {key}: a secret does not belong in this file; delete it, set the environment variable \
         {variable} instead, and replace the secret if others could read the file",
        path.display()
    )]
    SecretInFile { path: PathBuf, position: Position, key: String, variable: &'static str },
}

/// Line and column, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

impl Position {
    /// The position of a byte in a text.
    pub(super) fn of(offset: usize, text: &str) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

fn prefix(key: &Option<String>) -> String {
    key.as_ref().map(|key| format!("{key}: ")).unwrap_or_default()
}

/// An error of a text that does not know yet which file it came from.
#[derive(Debug)]
pub(super) enum Problem {
    Invalid { position: Position, key: Option<String>, message: String, remedy: String },
    Secret { position: Position, key: String, variable: &'static str },
}

impl Problem {
    pub(super) fn at(self, path: &Path) -> Error {
        let path = path.to_owned();
        match self {
            Self::Invalid { position, key, message, remedy } => {
                Error::Invalid { path, position, key, message, remedy }
            }
            Self::Secret { position, key, variable } => Error::SecretInFile { path, position, key, variable },
        }
    }
}
