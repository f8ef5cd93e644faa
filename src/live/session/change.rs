//! What a session gives: connections to make and to close, and what became of them.

use std::time::Duration;

use crate::id::LinkId;
use crate::live::Command;
use crate::live::failure::{Failure, Verdict};
use crate::live::plan::Plan;

/// Something to do or to know.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Connect to this endpoint; on the last tier, whatever is known of it.
    Dial { link: LinkId, endpoint: usize, plan: Plan, attempt: usize, is_last_tier: bool },
    /// The transport is up: send the setup.
    Opened { link: LinkId, endpoint: usize, plan: Plan },
    /// The session is set up, this long after the dial began. With a transparent session, `unconsumed` are the
    /// messages that the old connection did not take in.
    Ready { link: LinkId, plan: Plan, setup: Duration, session_id: Option<String>, unconsumed: Vec<Command> },
    /// A new handle: whoever has it may go on with the session.
    Handle(String),
    /// Close this connection with a handshake: the service asked for it, or the call is over.
    Close(LinkId),
    /// Drop this connection: it has failed.
    Abort(LinkId),
    /// A connection could not be made or was lost; `next` says how it goes on, if it does.
    Lost { link: LinkId, endpoint: usize, cause: Failure, verdict: Verdict, next: Option<(usize, Plan)> },
    /// The session leaves this connection before the service ends it.
    Moved { link: LinkId, plan: Plan },
    /// The live service cannot be had: the next rung.
    Over { cause: Failure, verdict: Verdict },
}

/// How a session goes on that has lost its connection.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) endpoint: usize,
    pub(super) plan: Plan,
    /// For a quota, instead of the pause between attempts.
    pub(super) wait: Option<Duration>,
}
