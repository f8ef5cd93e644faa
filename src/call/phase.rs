//! Where a call stands, what it waits for, and how its stream is closed.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::record::Ending;
use crate::carrier::Close;
use crate::time::soonest;

/// The timers of a call; the name is traced when one fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timer {
    /// The carrier has not said `start`.
    Start,
    /// The carrier sends no audio.
    MediaSilence,
    /// Speech is still to be heard before the stream is closed.
    Finish,
    /// The process shuts down.
    Drain,
    /// The live session has a deadline: to be up, to be left, to be dialled again.
    Live,
    /// The fallback has a deadline.
    Fallback,
    /// The live service is tried again from the fallback.
    Comeback,
    /// The caller waits: a cover, a nudge or the end of patience is due.
    Silence,
    /// Stale audio of an interrupted turn may still come.
    Stale,
    /// Frames of the caller's silence wait for others and must leave.
    Coalesce,
    /// The next frame is due at the caller.
    Playout,
    /// A turn of the agent will have been heard.
    TurnHeard,
    /// Late words could have come to a turn.
    LateWords,
    /// The caller has paused in pressing keys.
    Keys,
    /// Faults are to be reported.
    Faults,
}

/// From the open socket to the end.
#[derive(Debug)]
pub(super) enum Phase {
    /// The socket is open; the carrier has not said which stream it is.
    AwaitingStart {
        until: Instant,
    },
    Talking {
        media_until: Instant,
        drain_at: Option<Instant>,
    },
    /// The call is over but for the speech that is still to be heard.
    Finishing {
        ending: Ending,
        until: Instant,
    },
    Ended(Ending),
}

impl Phase {
    /// The next moment at which the phase itself changes.
    pub(super) fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        match self {
            Self::AwaitingStart { until } => Some((*until, Timer::Start)),
            Self::Talking { media_until, drain_at } => soonest([
                Some((*media_until, Timer::MediaSilence)),
                drain_at.map(|drain_at| (drain_at, Timer::Drain)),
            ]),
            Self::Finishing { until, .. } => Some((*until, Timer::Finish)),
            Self::Ended(_) => None,
        }
    }
}

/// What the carrier is told when a call ends like this.
pub(super) fn close_of(ending: &Ending) -> Close {
    match ending {
        Ending::StartTimeout
        | Ending::StreamMismatch
        | Ending::CarrierFlooded
        | Ending::FormatUnsupported { .. } => Close::Policy,
        Ending::Drained => Close::GoingAway,
        Ending::Panicked | Ending::ProcessDied => Close::Internal,
        Ending::CallerHungUp
        | Ending::CarrierClosed { .. }
        | Ending::CarrierStalled
        | Ending::CarrierSilent
        | Ending::StreamNeverCame
        | Ending::AgentUnknown
        | Ending::Overloaded { .. }
        | Ending::AllFailed { .. }
        | Ending::Superseded => Close::Normal,
    }
}
