//! The vocabulary of the call log.
//!
//! A call's [`Entry`]s are numbered from 0 without a gap: [`Record::Opened`] first, exactly one
//! [`Record::Ended`] last. Knows nothing of where they are kept.

use std::time::Instant;

use ::time::OffsetDateTime;
use serde::{Deserialize, Serialize, Serializer};

use super::context::Context;
use crate::carrier::{FollowUp, MediaFormat};
use crate::dialogue::Speaker;
use crate::id::{CallId, LinkId};
use crate::job;
use crate::live::Usage;
use crate::live::failure::{Failure, Verdict};
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
    /// A live connection is being made: where, by which plan (`resume`, `fresh`, `reduced`), and which attempt of
    /// that endpoint it is.
    LiveDialled {
        link: LinkId,
        endpoint: String,
        plan: &'static str,
        attempt: usize,
    },
    /// The live session is set up; `setup_ms` since the dial began. `gap_ms` since the one before it was lost.
    LiveReady {
        link: LinkId,
        plan: &'static str,
        setup_ms: u64,
        gap_ms: Option<u64>,
        session_id: Option<String>,
    },
    /// The live session failed or ended: what is made of it and how it goes on, `None` if not on this service.
    LiveLost {
        link: LinkId,
        endpoint: String,
        cause: Failure,
        verdict: Verdict,
        next: Option<&'static str>,
    },
    /// The session leaves a connection that the service is about to end.
    LiveMoved {
        link: LinkId,
        plan: &'static str,
    },
    /// With this handle any process may go on with the session.
    SessionHandle {
        handle: String,
    },
    /// Who answers the caller from now on, and why it changed.
    Rung {
        rung: Rung,
        cause: Option<Cause>,
    },
    /// A provider of the fallback was not used, and why.
    ProviderSkipped {
        job: job::Kind,
        provider: String,
        failure: job::Failure,
    },
    /// A provider of the fallback began to answer, so long after it was asked.
    ProviderUsed {
        job: job::Kind,
        provider: String,
        first_ms: u64,
    },
    /// A provider of the fallback began to answer and failed before the end of its answer.
    ProviderFailed {
        job: job::Kind,
        provider: String,
        failure: job::Failure,
    },
    /// A piece of work of the fallback could not be done by any provider, or not to its end.
    JobFailed {
        job: job::Kind,
        failure: job::Failure,
    },
    /// Speech of the caller was thrown away, because transcribing it is too slow.
    SpeechLost {
        lost_ms: u64,
    },
    /// The caller waited this long and heard a cover: a comfort tone, or these words.
    Cover {
        waited_ms: u64,
        words: Option<String>,
    },
    /// The model said nothing for this long and was asked again.
    Nudged {
        waited_ms: u64,
    },
    /// The model completed a turn without a sound.
    EmptyTurn,
    /// The service announced the end of the connection.
    GoAway {
        link: LinkId,
        time_left_ms: Option<u64>,
    },
    /// The caller interrupted the agent: how much of the turn was heard and how much thrown away.
    Interrupted {
        heard_ms: u64,
        cleared_ms: u64,
    },
    /// A key press.
    Dtmf {
        digit: char,
    },
    /// The model asked for a tool that there is not, and was told so.
    ToolRefused {
        name: String,
    },
    /// Token counts of a turn of the live model.
    Usage(Usage),
    /// What a provider of the fallback counts for its work.
    ProviderBilled {
        job: job::Kind,
        #[serde(flatten)]
        bill: job::Bill,
    },
    /// Input of a peer that could not be used, `count` times since the last such event.
    Fault {
        peer: Peer,
        fault: &'static str,
        /// The field concerned, as the peer's protocol names it.
        #[serde(skip_serializing_if = "Option::is_none")]
        field: Option<&'static str>,
        count: u64,
    },
    /// Caller audio was held while nobody listened, and is sent now.
    AudioHeld {
        held_ms: u64,
    },
    /// Both sides are recorded from here on.
    RecordingStarted,
    /// From here on what is said and pressed is not kept: in no recording, and in no words.
    RecordingPaused,
    RecordingResumed,
    /// Nothing is recorded any more: why. What was recorded is there.
    RecordingFailed {
        reason: String,
    },
    /// The recording is complete.
    RecordingEnded {
        duration_ms: u64,
    },
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
            Self::LiveMoved { .. } => "live_moved",
            Self::SessionHandle { .. } => "session_handle",
            Self::Rung { .. } => "rung",
            Self::ProviderSkipped { .. } => "provider_skipped",
            Self::ProviderUsed { .. } => "provider_used",
            Self::ProviderFailed { .. } => "provider_failed",
            Self::JobFailed { .. } => "job_failed",
            Self::SpeechLost { .. } => "speech_lost",
            Self::Cover { .. } => "cover",
            Self::Nudged { .. } => "nudged",
            Self::EmptyTurn => "empty_turn",
            Self::GoAway { .. } => "go_away",
            Self::Interrupted { .. } => "interrupted",
            Self::Dtmf { .. } => "dtmf",
            Self::ToolRefused { .. } => "tool_refused",
            Self::Usage(_) => "usage",
            Self::ProviderBilled { .. } => "provider_billed",
            Self::Fault { .. } => "fault",
            Self::AudioHeld { .. } => "audio_held",
            Self::RecordingStarted => "recording_started",
            Self::RecordingPaused => "recording_paused",
            Self::RecordingResumed => "recording_resumed",
            Self::RecordingFailed { .. } => "recording_failed",
            Self::RecordingEnded { .. } => "recording_ended",
            Self::AudioTotals(_) => "audio_totals",
        }
    }
}

/// Who answers a caller, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// The live model.
    Live,
    /// Speech to text, a language model, text to speech.
    Fallback,
    /// A recorded apology, and what the agent has for that case.
    LastResort,
}

impl Rung {
    /// Stable name for the call log.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Fallback => "fallback",
            Self::LastResort => "last_resort",
        }
    }
}

/// Why one who answered could not go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "of", rename_all = "snake_case")]
pub enum Cause {
    Live { cause: Failure },
    Fallback { job: job::Kind, cause: job::Failure },
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Live { cause } => cause.fmt(f),
            Self::Fallback { job, cause } => write!(f, "{}: {cause}", job.code()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Covers that the caller heard; not part of the downlink.
    pub cover_ms: u64,
    /// The longest stretch in which it was the agent's turn and the caller heard nothing.
    pub dead_air_max_ms: u64,
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
    #[error("the carrier sent more than a call can, for too long")]
    CarrierFlooded,
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
    #[error("the process had no room for another call: {cause}")]
    Overloaded { cause: Limit },
    /// Nobody could answer the caller any more: who failed last, and what the caller was handed to.
    #[error("nobody could answer any more: {cause}")]
    AllFailed { cause: Cause, follow_up: FollowUp },
    #[error("a newer stream of the same call took over")]
    Superseded,
    #[error("the process shut down")]
    Drained,
    #[error("a defect of the bridge ended the call")]
    Panicked,
    /// Written for it by the process that came after.
    #[error("the process that carried the call died")]
    ProcessDied,
}

impl Ending {
    /// Every [`Ending::code`].
    pub const CODES: [&str; 16] = [
        "caller_hung_up",
        "carrier_closed",
        "carrier_stalled",
        "carrier_flooded",
        "carrier_silent",
        "start_timeout",
        "stream_mismatch",
        "format_unsupported",
        "stream_never_came",
        "agent_unknown",
        "overloaded",
        "all_failed",
        "superseded",
        "drained",
        "panicked",
        "process_died",
    ];

    /// Stable name for the call log.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::CallerHungUp => "caller_hung_up",
            Self::CarrierClosed { .. } => "carrier_closed",
            Self::CarrierStalled => "carrier_stalled",
            Self::CarrierFlooded => "carrier_flooded",
            Self::CarrierSilent => "carrier_silent",
            Self::StartTimeout => "start_timeout",
            Self::StreamMismatch => "stream_mismatch",
            Self::FormatUnsupported { .. } => "format_unsupported",
            Self::StreamNeverCame => "stream_never_came",
            Self::AgentUnknown => "agent_unknown",
            Self::Overloaded { .. } => "overloaded",
            Self::AllFailed { .. } => "all_failed",
            Self::Superseded => "superseded",
            Self::Drained => "drained",
            Self::Panicked => "panicked",
            Self::ProcessDied => "process_died",
        }
    }

    /// Whether the caller was not served to the end: neither the caller ended the call nor an operator.
    pub const fn is_failure(&self) -> bool {
        !matches!(self, Self::CallerHungUp | Self::Superseded | Self::Drained)
    }
}

/// The limit at which a call was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Limit {
    #[error("as many calls as limits.max_calls were admitted")]
    MaxCalls,
    #[error("the caller called more often than limits.calls_per_minute_per_caller")]
    CallerRate,
    #[error("the number was called more often than limits.calls_per_minute_per_number")]
    NumberRate,
    #[error("the process was late by more than limits.lag_max_ms")]
    Lag,
    #[error("more calls came within a minute than the process remembers")]
    Tokens,
}

impl Limit {
    /// Stable name for the call log.
    pub const fn code(self) -> &'static str {
        match self {
            Self::MaxCalls => "max_calls",
            Self::CallerRate => "caller_rate",
            Self::NumberRate => "number_rate",
            Self::Lag => "lag",
            Self::Tokens => "tokens",
        }
    }
}

/// Of the form of the other causes, so that the column `cause` has it: `limits.max_calls`.
impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Cause {
            of: &'static str,
            cause: Failure,
        }
        #[derive(Serialize)]
        struct Failure {
            failure: &'static str,
        }
        Cause { of: "limits", cause: Failure { failure: self.code() } }.serialize(serializer)
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
        Self::resumed(call, clock, 0)
    }

    /// A ledger that has given out entries before.
    pub const fn resumed(call: CallId, clock: WallClock, next_sequence: u32) -> Self {
        Self { call, clock, next_sequence }
    }

    /// The number of the next entry.
    pub const fn next_sequence(&self) -> u32 {
        self.next_sequence
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
