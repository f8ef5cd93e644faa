//! The ways in which a live connection fails, and what is to be done about each.
//!
//! The table is the Gemini Live API's close codes and reasons as clients have met them. Reasons are cut at the
//! 123 bytes of a close frame and their wording drifts: they are matched by a piece of their text, in any case,
//! before the code is looked at.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::Verdict::{Fatal, Fresh, Resume, Wait};
use crate::time::wait;

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
    /// No access token could be had.
    #[error("cannot authenticate with the live service: {message}")]
    Unauthorised { message: String },
    /// The upgrade was refused; the service may have said how long it is not to be tried.
    #[error("the live service refused the connection with HTTP {status}")]
    Refused {
        status: u16,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
    /// The service failed too often of late, in whatever call: it was not tried.
    #[error("the live service was not tried: it failed too often of late")]
    BreakerOpen,
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
    /// Connected, and no answer to what the caller said.
    #[error("the live service did not answer the caller")]
    Mute,
    /// Messages that could not be read, too many of them.
    #[error("the live service sends what cannot be read")]
    Garbled,
    /// More messages than any service has use for, for seconds.
    #[error("the live service sends far too much")]
    Flooded,
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
            Self::Unauthorised { .. } => "unauthorised",
            Self::Refused { .. } => "refused",
            Self::BreakerOpen => "breaker_open",
            Self::SetupTimeout => "setup_timeout",
            Self::Closed { .. } => "closed",
            Self::Broken { .. } => "broken",
            Self::Stalled => "stalled",
            Self::Mute => "mute",
            Self::Garbled => "garbled",
            Self::Flooded => "flooded",
            Self::Reported { .. } => "reported",
        }
    }

    /// The upgrade was refused with this status.
    pub const fn refused(status: u16) -> Self {
        Self::Refused { status, retry_after_ms: None }
    }

    /// How long the service asks not to be tried, if it says so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after_ms, .. } => retry_after_ms.map(Duration::from_millis),
            Self::Closed { reason: text, .. } | Self::Reported { message: text, .. } => wait::in_text(text),
            Self::Unreachable { .. }
            | Self::ConnectTimeout
            | Self::Unauthorised { .. }
            | Self::BreakerOpen
            | Self::SetupTimeout
            | Self::Broken { .. }
            | Self::Stalled
            | Self::Mute
            | Self::Garbled
            | Self::Flooded => None,
        }
    }

    /// What is to be done, in this situation.
    pub fn verdict(&self, situation: Situation) -> Verdict {
        let Situation { is_set_up, has_handle, repeats } = situation;
        let row = self.row();
        let verdicts = if is_set_up { row.after } else { row.before };
        match verdicts[repeats.min(verdicts.len() - 1)] {
            // A setup that is refused with a handle in it may be refused for the handle.
            Fatal if !is_set_up && has_handle && row.blames_setup => Fresh,
            verdict @ (Resume | Fresh | Wait | Fatal) => verdict,
        }
    }

    /// Whether `other` has the same cause, so that one after the other is a repetition.
    pub fn is_like(&self, other: &Self) -> bool {
        std::ptr::eq(self.row(), other.row())
    }

    fn row(&self) -> &'static Row {
        match self {
            Self::Unreachable { .. } | Self::ConnectTimeout | Self::Broken { .. } | Self::Stalled => &RETRY,
            Self::Unauthorised { .. } => &NEVER,
            Self::BreakerOpen | Self::Flooded => &LATER,
            Self::SetupTimeout => &UNCONFIRMED,
            Self::Mute | Self::Garbled => &SICK,
            Self::Refused { status, .. } => refused(*status),
            Self::Closed { code, reason } => by_reason(reason).unwrap_or_else(|| by_close_code(*code)),
            Self::Reported { code, message } => by_reason(message).unwrap_or_else(|| by_error_code(*code)),
        }
    }
}

/// What to do about a failure, if the call goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Connect again, with the same handle if there is one.
    Resume,
    /// Forget the handle and open a new session, told what was said so far.
    Fresh,
    /// Quota or an outage: this endpoint is of no use for a minute; go elsewhere now.
    Wait,
    /// Configuration or credentials: trying again cannot help; go elsewhere, and somebody must be told.
    Fatal,
}

impl Verdict {
    /// Stable name for the call log.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Resume => "resume",
            Self::Fresh => "fresh",
            Self::Wait => "wait",
            Self::Fatal => "fatal",
        }
    }
}

/// When a failure happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Situation {
    /// `setupComplete` had come.
    pub is_set_up: bool,
    /// The session was, or was to be, resumed by a handle.
    pub has_handle: bool,
    /// How many failures of the same cause came directly before, without a completed turn in between.
    pub repeats: usize,
}

/// One cause of failures.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    /// A piece of the reason, lower case; empty in rows that are found otherwise.
    reason: &'static str,
    /// Before `setupComplete`: the first time, the second in a row, the third and later.
    before: [Verdict; 3],
    /// The same after `setupComplete`.
    after: [Verdict; 3],
    /// The setup as a whole is blamed, and so perhaps its handle.
    blames_setup: bool,
}

const fn always(reason: &'static str, verdict: Verdict) -> Row {
    Row { reason, before: [verdict; 3], after: [verdict; 3], blames_setup: false }
}

const fn stepwise(reason: &'static str, verdicts: [Verdict; 3]) -> Row {
    Row { reason, before: verdicts, after: verdicts, blames_setup: false }
}

static RETRY: Row = always("", Resume);
static NEVER: Row = always("", Fatal);
static LATER: Row = always("", Wait);
/// No answer to the setup: once more without the handle, or not at all.
static UNCONFIRMED: Row = Row { reason: "", before: [Fatal; 3], after: [Fatal; 3], blames_setup: true };
/// Connected and of no use.
static SICK: Row = stepwise("", [Resume, Fresh, Fatal]);
/// An error of the service's own: healed by a resume, or by a new session, or not.
static INTERNAL: Row = stepwise("internal error", [Resume, Fresh, Fatal]);
/// Something in what was sent is wrong; it may be the handle, or one passing message.
static INVALID: Row = Row {
    reason: "request contains an invalid argument",
    before: [Fatal; 3],
    after: [Fresh, Fatal, Fatal],
    blames_setup: true,
};

/// By a piece of the reason; the first that matches counts (Gemini Live API, close codes and reasons).
static REASONS: [Row; 45] = [
    // The project that is billed is not named or not allowed; no wait helps.
    always("quota project", Fatal),
    always("quota_project", Fatal),
    always("quota", Wait),
    always("exhausted", Wait),
    always("billing", Wait),
    always("rate limit", Wait),
    always("rate-limit", Wait),
    always("rate_limit", Wait),
    always("ratelimit", Wait),
    always("too many requests", Wait),
    always("too many concurrent", Wait),
    always("too many sessions", Wait),
    always("concurrent session", Wait),
    always("spend limit", Wait),
    always("spending cap", Wait),
    always("throttl", Wait),
    always("invalid session handle", Fresh),
    always("session not found", Fresh),
    always("requested entity was not found", Fresh),
    always("unknown name", Fatal),
    always("invalid json payload", Fatal),
    always("api key not valid", Fatal),
    always("user location is not supported", Fatal),
    always("response modalities", Fatal),
    always("thinking level", Fatal),
    always("blocking function calls are not supported", Fatal),
    always("function response scheduling is not supported", Fatal),
    always("code execution tool is not supported", Fatal),
    always("media_chunks is deprecated", Fatal),
    always("setup must be the first message", Fatal),
    Row {
        reason: "precondition check failed",
        before: [Fatal; 3],
        after: [Fresh, Fatal, Fatal],
        blames_setup: false,
    },
    always("content_type_audio", Fatal),
    stepwise("16khz s16le pcm", [Resume, Fatal, Fatal]),
    always("is not found for api version", Fatal),
    always("not supported for bidigeneratecontent", Fatal),
    stepwise("operation is not implemented, or supported, or enabled", [Resume, Fresh, Fatal]),
    always("the operation was aborted", Resume),
    always("unregistered callers", Fatal),
    always("permission", Fatal),
    always("denied", Fatal),
    always("api key", Fatal),
    always("deadline expired", Resume),
    always("service is currently unavailable", Resume),
    always("thread was cancelled when writing startstep status", Resume),
    // A client's own ping time-out, in the words of its library.
    always("keepalive ping timeout", Resume),
];

fn by_reason(reason: &str) -> Option<&'static Row> {
    let reason = reason.to_ascii_lowercase();
    let matches = |row: &&Row| reason.contains(row.reason);
    REASONS.iter().chain([&INTERNAL, &INVALID]).find(matches)
}

/// WebSocket close codes (RFC 6455 section 7.4.1 and the IANA registry) with a reason that says nothing known.
fn by_close_code(code: u16) -> &'static Row {
    match code {
        // Normal, going away, no code, no close frame, service restart, try again later.
        1000 | 1001 | 1005 | 1006 | 1012 | 1013 => &RETRY,
        // What was sent cannot be read, or is not allowed.
        1007 | 1008 => &INVALID,
        // A message of ours was too big.
        1009 => &NEVER,
        _ => &INTERNAL,
    }
}

/// HTTP at the upgrade. Access tokens have been refreshed once by then.
fn refused(status: u16) -> &'static Row {
    match status {
        408 | 500..=599 => &RETRY,
        429 => &LATER,
        _ => &NEVER,
    }
}

/// Error objects carry HTTP statuses or canonical codes (google.rpc.Code).
fn by_error_code(code: i64) -> &'static Row {
    match code {
        8 | 429 => &LATER,
        3 | 5 | 7 | 9 | 16 | 400 | 401 | 403 | 404 => &NEVER,
        4 | 14 | 408 | 502..=504 => &RETRY,
        _ => &INTERNAL,
    }
}

#[cfg(test)]
mod tests;
