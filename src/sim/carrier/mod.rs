//! A simulated carrier: places a call from a recorded caller to a server, as Twilio would.
//!
//! It posts the signed voice webhook, follows the TwiML, opens the signed media WebSocket, speaks at real time, keeps
//! the playout buffer, echoes marks and reports what the caller heard, sample-exact. An honest peer: it has its own
//! wire and signature code and knows nothing of the server's.
//!
//! | part | |
//! |---|---|
//! | [`fixture`] [`probe`] [`script`] | what the caller says and when |
//! | [`wire`] [`playout`] [`stream`] | the media stream as a machine |
//! | [`twiml`] [`signature`] | the call around it |
//! | [`timeline`] [`latency`] [`report`] | what was heard, and how late |
//! | `web` `line` `phone` | the sockets |

pub mod fixture;
pub mod latency;
mod line;
mod phone;
pub mod playout;
pub mod probe;
pub mod report;
pub mod script;
pub mod signature;
pub mod stream;
pub mod timeline;
pub mod twiml;
mod web;
pub mod wire;

use std::time::{Duration, Instant};

use rustls_pki_types::CertificateDer;
use tokio::sync::mpsc;

pub use self::fixture::Fixture;
pub use self::line::{End, HangUp};
pub use self::report::{Ending, Report};
pub use self::signature::Signing;
pub use self::stream::Event;
use crate::secret::Secret;

/// A call to place.
#[derive(Clone, Debug)]
pub struct Config {
    /// The voice webhook; http or https.
    pub webhook_url: String,
    /// Gets a signed form when the call is over.
    pub status_callback: Option<String>,
    /// Signs every request.
    pub auth_token: Secret,
    pub account_sid: String,
    pub fixture: Fixture,
    /// Trusted besides the public roots.
    pub ca: Option<CertificateDer<'static>>,
    pub knobs: Knobs,
    /// Gets what happens, with its instant, while the call goes on. A full channel misses events.
    pub events: Option<mpsc::Sender<(Instant, Event)>>,
}

impl Config {
    /// A well-behaved call to this webhook.
    pub fn new(webhook_url: impl Into<String>, auth_token: Secret, fixture: Fixture) -> Self {
        Self {
            webhook_url: webhook_url.into(),
            status_callback: None,
            auth_token,
            account_sid: ACCOUNT_SID.to_owned(),
            fixture,
            ca: None,
            knobs: Knobs::default(),
            events: None,
        }
    }
}

/// The account that calls are of when nothing else is said.
pub const ACCOUNT_SID: &str = "AC0123456789abcdef0123456789abcdef";

/// What the carrier does otherwise than it should. The default is good behaviour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Knobs {
    pub webhook_signature: Signing,
    pub upgrade_signature: Signing,
    /// Bytes of one media message, if not those of the recording.
    pub chunk_len: Option<usize>,
    /// Time between the open socket and `connected`.
    pub start_delay: Duration,
    /// A second socket for the same stream, opened this long after the first; it only listens.
    pub second_socket_after: Option<Duration>,
    pub hang_up: HangUp,
    /// From this time after `start` on nothing is read, not even pings.
    pub stops_reading_after: Option<Duration>,
}

/// The simulator itself could not run; what the server does wrong is in the [`Report`].
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(#[from] web::Error);

/// Places a call and follows it to its end.
///
/// # Errors
///
/// When TLS or the HTTP client cannot be set up. Every failure of the server is part of the report.
pub async fn place(config: Config) -> Result<Report, Error> {
    Ok(phone::Phone::new(config)?.call().await)
}
