//! The vocabulary of the call log.
//!
//! A call's [`Entry`]s are numbered from 0 without a gap: [`Record::Opened`] first, exactly one
//! [`Record::Ended`] last. Knows nothing of where they are kept.

use std::time::Instant;

use ::time::OffsetDateTime;
use serde::{Deserialize, Serialize};

use super::context::Context;
use crate::carrier::MediaFormat;
use crate::dialogue::Speaker;
use crate::id::{CallId, LinkId};
use crate::live::Usage;
use crate::live::failure::Failure;
use crate::time::WallClock;

/// One line of the call log.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub call: CallId,
    /// Position within the call, from 0, without gaps.
    pub sequence: u32,
    pub at: OffsetDateTime,
    pub record: Record,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// The call is known. Always the first.
    Opened(Box<Context>),
    /// The media stream began: what the carrier said at `start`.
    Answered { stream_sid: String, parameters: Vec<(String, String)> },
    /// Somebody finished speaking.
    Turn(Turn),
    /// Something happened that an operator may want to know.
    Event(Event),
    /// The call is over. Always the last, exactly once.
    Ended(Ending),
}

/// One stretch of speech.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    pub speaker: Speaker,
    /// The words: of the caller as transcribed, of the agent cut to what was heard.
    pub text: String,
    #[serde(with = "::time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    #[serde(with = "::time::serde::rfc3339")]
    pub ended_at: OffsetDateTime,
    /// The agent was cut off by the caller.
    pub interrupted: bool,
    /// Agent: from the end of caller speech to the agent's first audio, milliseconds. Caller: `None`.
    pub latency_ms: Option<u64>,
}

/// What happened. Serialises as an object with `kind` and the fields of the variant.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// The live connection is being made.
    LiveDialled { link: LinkId },
    /// The live session is set up; `setup_ms` since the dial began.
    LiveReady { link: LinkId, setup_ms: u64, session_id: Option<String> },
    /// The live session failed or ended.
    LiveLost { link: LinkId, cause: Failure },
    /// The service announced the end of the connection.
    GoAway { link: LinkId, time_left_ms: Option<u64> },
    /// The caller interrupted the agent: how much of the turn was heard and how much thrown away.
    Interrupted { heard_ms: u64, cleared_ms: u64 },
    /// A key press.
    Dtmf { digit: char },
    /// The model asked for a tool that there is not, and was told so.
    ToolRefused { name: String },
    /// Token counts of a turn.
    Usage(Usage),
    /// Input of a peer that could not be used, `count` times since the last such event.
    Fault { peer: Peer, fault: &'static str, count: u64 },
    /// Caller audio was held while the live session was set up, and then sent.
    AudioHeld { held_ms: u64 },
    /// The account of the call's audio, at its end.
    AudioTotals(AudioTotals),
}

impl Event {
    /// The name under which the event is stored: the `kind` of its serialised form.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::LiveDialled { .. } => "live_dialled",
            Self::LiveReady { .. } => "live_ready",
            Self::LiveLost { .. } => "live_lost",
            Self::GoAway { .. } => "go_away",
            Self::Interrupted { .. } => "interrupted",
            Self::Dtmf { .. } => "dtmf",
            Self::ToolRefused { .. } => "tool_refused",
            Self::Usage(_) => "usage",
            Self::Fault { .. } => "fault",
            Self::AudioHeld { .. } => "audio_held",
            Self::AudioTotals(_) => "audio_totals",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Peer {
    Carrier,
    Live,
}

/// Where the call's audio went, in milliseconds. `downlink_received` = played + cleared + dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AudioTotals {
    pub uplink_received_ms: u64,
    pub uplink_sent_ms: u64,
    pub uplink_dropped_ms: u64,
    pub downlink_received_ms: u64,
    pub downlink_played_ms: u64,
    pub downlink_cleared_ms: u64,
    pub downlink_dropped_ms: u64,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "ending", rename_all = "snake_case")]
pub enum Ending {
    #[error("the caller hung up")]
    CallerHungUp,
    #[error("the carrier closed the stream without saying stop{}", code.map(|code| format!(" ({code})")).unwrap_or_default())]
    CarrierClosed { code: Option<u16> },
    #[error("the carrier stopped reading")]
    CarrierStalled,
    #[error("no audio from the carrier for too long")]
    CarrierSilent,
    #[error("the media stream did not say start in time")]
    StartTimeout,
    #[error("the media stream belongs to another call")]
    StreamMismatch,
    #[error("the line's format is not supported: {} {} Hz, {} channel(s)", format.encoding, format.sample_rate, format.channels)]
    FormatUnsupported { format: MediaFormat },
    #[error("the carrier never opened the media stream")]
    StreamNeverCame,
    #[error("no agent answers this number")]
    AgentUnknown,
    #[error("the process had no room for another call")]
    Overloaded,
    #[error("no live session: {cause}")]
    LiveUnavailable { cause: Failure },
    #[error("the live session was lost: {cause}")]
    LiveLost { cause: Failure },
    #[error("a newer stream of the same call took over")]
    Superseded,
    #[error("the process shut down")]
    Drained,
    #[error("a defect of the bridge ended the call")]
    Panicked,
}

impl Ending {
    /// Stable name for the call log.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::CallerHungUp => "caller_hung_up",
            Self::CarrierClosed { .. } => "carrier_closed",
            Self::CarrierStalled => "carrier_stalled",
            Self::CarrierSilent => "carrier_silent",
            Self::StartTimeout => "start_timeout",
            Self::StreamMismatch => "stream_mismatch",
            Self::FormatUnsupported { .. } => "format_unsupported",
            Self::StreamNeverCame => "stream_never_came",
            Self::AgentUnknown => "agent_unknown",
            Self::Overloaded => "overloaded",
            Self::LiveUnavailable { .. } => "live_unavailable",
            Self::LiveLost { .. } => "live_lost",
            Self::Superseded => "superseded",
            Self::Drained => "drained",
            Self::Panicked => "panicked",
        }
    }
}

/// What the carrier told about a call outside its media stream: annotates the log, ends nothing.
///
/// `key` makes repetition harmless: the same callback twice is kept once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    pub call_sid: String,
    pub key: String,
    pub at: OffsetDateTime,
    /// `call_status` or `stream_status`.
    pub kind: &'static str,
    /// Fields of the callback, by name.
    pub detail: Vec<(String, String)>,
}

/// Numbers and dates the entries of one call. Handed from the webhook to the machine, so that there is no gap.
#[derive(Debug)]
pub struct Ledger {
    call: CallId,
    clock: WallClock,
    next_sequence: u32,
}

impl Ledger {
    pub const fn new(call: CallId, clock: WallClock) -> Self {
        Self { call, clock, next_sequence: 0 }
    }

    pub const fn call(&self) -> CallId {
        self.call
    }

    /// The wall-clock time of an instant of this call.
    pub fn wall(&self, at: Instant) -> OffsetDateTime {
        self.clock.at(at)
    }

    /// The next entry.
    pub fn entry(&mut self, record: Record, now: Instant) -> Entry {
        let entry = Entry { call: self.call, sequence: self.next_sequence, at: self.clock.at(now), record };
        self.next_sequence += 1;
        entry
    }
}
