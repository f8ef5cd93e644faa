//! The ways in which a live connection fails, as one type.

use serde::{Deserialize, Serialize};

/// Why a live connection could not be made, or ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "failure", rename_all = "snake_case")]
pub enum Failure {
    /// DNS, TCP or TLS: no connection at all.
    #[error("cannot connect to the live service: {message}")]
    Unreachable { message: String },
    /// Connecting took longer than its deadline.
    #[error("connecting to the live service took too long")]
    ConnectTimeout,
    /// The upgrade was refused.
    #[error("the live service refused the connection with HTTP {status}")]
    Refused { status: u16 },
    /// There is no credential, or no token for it.
    #[error("cannot authenticate at the live service: {message}")]
    Unauthorised { message: String },
    /// No `setupComplete` within its deadline.
    #[error("the live service did not confirm the setup in time")]
    SetupTimeout,
    /// A close frame of the service.
    #[error("the live service closed the connection ({code}): {reason}")]
    Closed { code: u16, reason: String },
    /// The connection broke without a close frame.
    #[error("the live connection broke: {message}")]
    Broken { message: String },
    /// The service stopped reading.
    #[error("the live service stopped reading")]
    Stalled,
    /// An error object in place of a close frame.
    #[error("the live service reported an error ({code}): {message}")]
    Reported { code: i64, message: String },
}

impl Failure {
    /// Stable name for the call log.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::ConnectTimeout => "connect_timeout",
            Self::Refused { .. } => "refused",
            Self::Unauthorised { .. } => "unauthorised",
            Self::SetupTimeout => "setup_timeout",
            Self::Closed { .. } => "closed",
            Self::Broken { .. } => "broken",
            Self::Stalled => "stalled",
            Self::Reported { .. } => "reported",
        }
    }
}
