//! What is done to a call, and what may become of it.

use std::time::Duration;

use crate::cli::demo::caller::{self, Caller};
use crate::sim::gemini::{Behaviour, Defect, Fault, Moment, Scenario, SetupReply};
use crate::sim::providers::Schedule;

/// One fault, or two at once.
pub(super) struct Case {
    /// What is done.
    pub(super) what: &'static str,
    pub(super) live: Live,
    /// The first provider of the fallback; the second is always well.
    pub(super) providers: Vec<Schedule>,
    pub(super) seconds: Seconds,
    pub(super) caller: Questions,
    pub(super) bars: Bars,
    /// Any of these will do.
    pub(super) expected: &'static [Recovery],
}

/// The live service of a case.
pub(super) enum Live {
    /// Nobody listens at its address.
    Absent,
    Simulated {
        behaviour: Box<Behaviour>,
        /// Done at this time of the call.
        inflicted: Vec<(Duration, Defect)>,
    },
}

/// Whether there is a second provider of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seconds {
    Present,
    Missing,
}

/// How patient the caller has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Questions {
    /// Two, the second after an answer of usual length.
    Two,
    /// One, with time for an answer that comes late.
    One,
}

/// How the call goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recovery {
    /// The connection that it had.
    Unharmed,
    /// Another connection, before the first was lost.
    Moved,
    /// Another connection to the same session.
    Resumed,
    /// A new session.
    Fresh,
    Fallback,
    Apology,
}

/// What is asked of a case.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bars {
    pub(super) dead_air: Duration,
    /// Whether the time from the loss of a session to the next one counts: over all such faults together.
    pub(super) gap: Gap,
    /// How much longer than an answer without a hand-over the one after it takes.
    pub(super) hand_over: Option<Duration>,
}

/// Whether the gap of a case is held to the bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    Counts,
    Free,
}

/// The longest stretch in which the agent owes something and nothing is heard: of one fault, and of two at once.
const DEAD_AIR: Duration = Duration::from_secs(3);
const DEAD_AIR_OF_TWO: Duration = Duration::from_secs(5);
/// Audible, when a connection is left in good time.
const HAND_OVER: Duration = Duration::from_millis(300);

impl Case {
    pub(super) fn new(what: &'static str, expected: &'static [Recovery]) -> Self {
        Self {
            what,
            live: Live::Simulated { behaviour: Box::default(), inflicted: Vec::new() },
            providers: Vec::new(),
            seconds: Seconds::Present,
            caller: Questions::Two,
            bars: Bars { dead_air: DEAD_AIR, gap: Gap::Free, hand_over: None },
            expected,
        }
    }

    pub(super) fn absent(self) -> Self {
        Self { live: Live::Absent, ..self }
    }

    /// On the first connections.
    pub(super) fn fault(mut self, connections: u32, at: Moment, what: Defect) -> Self {
        if let Live::Simulated { behaviour, .. } = &mut self.live {
            behaviour.faults.push(Fault::of_first(connections, at, what));
        }
        self
    }

    /// On this connection alone.
    pub(super) fn fault_on(mut self, connection: u32, at: Moment, what: Defect) -> Self {
        if let Live::Simulated { behaviour, .. } = &mut self.live {
            behaviour.faults.push(Fault { connections: connection..=connection, at, what });
        }
        self
    }

    pub(super) fn refused(self, status: u16) -> Self {
        self.fault(u32::MAX, Moment::Upgrade, Defect::Status(status))
    }

    pub(super) fn unconfirmed(mut self) -> Self {
        if let Live::Simulated { behaviour, .. } = &mut self.live {
            behaviour.setup = SetupReply::Never;
        }
        self
    }

    pub(super) fn inflict(mut self, at: Duration, defect: Defect) -> Self {
        if let Live::Simulated { inflicted, .. } = &mut self.live {
            inflicted.push((at, defect));
        }
        self
    }

    /// Something goes wrong with the fallback as well.
    pub(super) fn and(mut self, schedule: Schedule) -> Self {
        self.providers.push(schedule);
        self.bars.dead_air = DEAD_AIR_OF_TWO;
        self
    }

    pub(super) fn alone(self) -> Self {
        Self { seconds: Seconds::Missing, ..self }
    }

    pub(super) fn with_one_question(self) -> Self {
        Self { caller: Questions::One, ..self }
    }

    pub(super) fn gap_counts(mut self) -> Self {
        self.bars.gap = Gap::Counts;
        self
    }

    pub(super) fn hand_over_counts(mut self) -> Self {
        self.bars.hand_over = Some(HAND_OVER);
        self
    }

    pub(super) fn caller(&self) -> anyhow::Result<Caller> {
        match self.caller {
            Questions::Two => Caller::asking(&[(1_500, caller::BRIDGE), (10_000, caller::WEATHER)], 18_000),
            Questions::One => Caller::asking(&[(1_500, caller::BRIDGE)], 20_000),
        }
    }
}

impl Recovery {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Unharmed => "unharmed",
            Self::Moved => "moved",
            Self::Resumed => "resumed",
            Self::Fresh => "fresh",
            Self::Fallback => "fallback",
            Self::Apology => "apology",
        }
    }
}

/// What the model says: an answer of 3.65 s, whatever it is asked.
pub(super) fn scenario() -> anyhow::Result<Scenario> {
    let mut scenario = Scenario::shop()?;
    scenario.turns.truncate(1);
    scenario.ending = crate::sim::gemini::Ending::Repeat;
    Ok(scenario)
}
