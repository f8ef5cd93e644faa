//! What a carrier says and what it is told, whichever carrier it is.
//!
//! Knows nothing of the model. A dialect turns one carrier's frames into [`Event`]s and [`Command`]s into its
//! frames; media is decoded to PCM on the way in, so that nothing above knows about mu-law or base64.

pub mod answer;
mod follow_up;
mod overflow;
pub mod party;
pub mod signature;
pub mod twilio;
pub mod webhook;

use std::collections::BTreeMap;

pub use self::follow_up::FollowUp;
pub use self::overflow::{Overflow, Then};
use crate::audio::{Frame, Rate};
use crate::id::MarkId;

/// What came from the carrier. Borrows from the dialect's scratch buffers.
#[derive(Debug, PartialEq)]
pub enum Event<'a> {
    /// The greeting of the protocol; says nothing about a call yet.
    Connected,
    /// The stream begins. Sent once.
    Start(Box<Start>),
    /// Audio of the caller.
    Media(Media<'a>),
    /// A mark came back: everything before it was played *or cleared*. `None`: not one of ours.
    Mark(Option<MarkId>),
    /// A key press: `0`–`9`, `*`, `#`, `A`–`D`.
    Dtmf(char),
    /// The stream was stopped or the call ended.
    Stop,
    /// An event of a kind this dialect does not know: ignored.
    Unknown,
    /// A frame that could not be read: counted, never fatal.
    Malformed(Malformed),
    /// The carrier has sent more than it may for too long.
    Flooded,
    /// The carrier has not read for too long.
    Stalled,
    /// The socket ended, with the peer's close code if it sent one.
    Closed(Option<u16>),
}

/// The start of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    pub stream_sid: String,
    pub call_sid: String,
    pub account_sid: String,
    pub format: MediaFormat,
    /// The `<Parameter>`s of the answer document, returned by the carrier.
    pub parameters: BTreeMap<String, String>,
}

/// The encoding of the line, as announced by the carrier.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct MediaFormat {
    pub encoding: String,
    /// Samples per second.
    pub sample_rate: u32,
    pub channels: u32,
}

/// One chunk of caller audio, already decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Media<'a> {
    pub numbers: Numbers,
    pub rate: Rate,
    pub samples: &'a [i16],
}

/// What the carrier says about a chunk's place; `None` for what is missing or no number. Nothing says that it is true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Counts media messages.
    pub chunk: Option<u64>,
    /// Milliseconds since the stream began.
    pub timestamp: Option<u64>,
    /// Counts all messages.
    pub sequence: Option<u64>,
}

impl Numbers {
    /// Of a carrier that numbers its chunks and says nothing more.
    pub const fn of_chunk(chunk: Option<u64>) -> Self {
        Self { chunk, timestamp: None, sequence: None }
    }
}

/// What the carrier is told.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a frame is owned by value: no allocation per frame")]
pub enum Command {
    /// Append to the caller's playout buffer.
    Media(Frame),
    /// Echo this when everything before it was played or cleared.
    Mark(MarkId),
    /// Empty the playout buffer now.
    Clear,
    /// End the stream; the carrier goes on with the verb after it.
    Close(Close),
}

/// Why the stream is closed by us; becomes the WebSocket close code (RFC 6455 section 7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// 1000: the call is over.
    Normal,
    /// 1001: this process shuts down.
    GoingAway,
    /// 1008: the stream is not the one that was admitted, or cannot be carried.
    Policy,
    /// 1011: a fault of ours.
    Internal,
}

impl Close {
    pub const fn code(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::GoingAway => 1001,
            Self::Policy => 1008,
            Self::Internal => 1011,
        }
    }
}

/// A frame from the carrier that could not be read. Content is never echoed: it may be personal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("not a JSON object of the protocol")]
    Json,
    #[error("a required field is missing or has the wrong type")]
    Field,
    #[error("payload is not base64")]
    Base64,
    #[error("empty or oversized payload")]
    Length,
    #[error("stream id of another stream")]
    ForeignStream,
    #[error("a track other than the caller's")]
    Track,
    #[error("not a DTMF digit")]
    Digit,
    #[error("more messages than a carrier sends")]
    Flood,
}

impl Malformed {
    /// Stable name for the call log.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Field => "field",
            Self::Base64 => "base64",
            Self::Length => "length",
            Self::ForeignStream => "foreign_stream",
            Self::Track => "track",
            Self::Digit => "digit",
            Self::Flood => "flood",
        }
    }
}
