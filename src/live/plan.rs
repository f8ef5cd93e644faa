//! How a connection of a session begins.

/// How a connection begins: the rungs of the ladder within the live service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// With the handle of the session that is to go on.
    Resume(String),
    /// A new session, told what was said so far.
    Fresh,
    /// A new session, told less: without the last turn, on which the others may have failed.
    Reduced,
}

impl Plan {
    /// Stable name for the call log.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Resume(_) => "resume",
            Self::Fresh => "fresh",
            Self::Reduced => "reduced",
        }
    }
}
