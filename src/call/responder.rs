//! Who answers the caller.

use crate::id::LinkId;
use crate::live::session::Session;

/// The source of the agent's speech. The fallback path will stand beside the live one.
#[derive(Debug)]
pub(super) enum Responder {
    /// The live model.
    Live(Session),
    /// Nobody: before the start, and when everything failed.
    Silent,
}

impl Responder {
    /// The live session, if `link` is its connection; events of any other link are late and dropped.
    pub(super) fn live(&mut self, link: LinkId) -> Option<&mut Session> {
        match self {
            Self::Live(session) if session.link() == link => Some(session),
            Self::Live(_) | Self::Silent => None,
        }
    }

    /// The connection that caller audio may be sent on now.
    pub(super) fn ready_link(&self) -> Option<LinkId> {
        match self {
            Self::Live(session) if session.is_ready() => Some(session.link()),
            Self::Live(_) | Self::Silent => None,
        }
    }

    /// Gives up the session; tells the connection that is to be closed.
    pub(super) fn silence(&mut self) -> Option<LinkId> {
        match std::mem::replace(self, Self::Silent) {
            Self::Live(session) => Some(session.link()),
            Self::Silent => None,
        }
    }
}
