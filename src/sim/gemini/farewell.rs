//! The end of a connection's life: `goAway`, then perhaps silence, then the close.
//!
//! Pure: the time goes in. Knows nothing of conversations but how many turns were completed.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::closes::Close;
use super::observation::Observation;
use super::outputs::Outputs;
use super::speech::seconds;

/// When the service tells a client to go, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct GoAway {
    /// On which connections, counted from 1.
    pub connections: RangeInclusive<u32>,
    pub after: Term,
    pub leave: Leave,
}

impl GoAway {
    /// On every connection, this long after `setupComplete`.
    pub fn after(time: Duration) -> Self {
        Self { connections: 1..=u32::MAX, after: Term::Time(time), leave: Leave::default() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    /// After `setupComplete`.
    Time(Duration),
    /// After this many turns.
    Turns(u32),
}

/// How a connection ends: `goAway`, and what follows.
#[derive(Clone, Debug, PartialEq)]
pub struct Leave {
    /// How long the connection still lives.
    pub lead: Duration,
    pub told: TimeLeft,
    /// From this long after `goAway` on the service answers nothing, though the socket stays open.
    pub silence: Option<Duration>,
    pub close: Close,
}

impl Default for Leave {
    /// 50 s, as logged by clients of the Developer API.
    fn default() -> Self {
        let lead = Duration::from_secs(50);
        Self { lead, told: TimeLeft::Lead, silence: None, close: Close::ABORTED }
    }
}

/// What `timeLeft` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TimeLeft {
    #[default]
    Lead,
    /// Another time than it will be.
    Wrong(Duration),
    Missing,
    /// Not a duration at all.
    Garbage(String),
}

/// The farewell of one connection.
#[derive(Debug)]
pub(super) struct Farewell {
    plan: Option<(Term, Leave)>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// No end in sight.
    Living,
    /// `goAway` at this time.
    Waiting(Instant),
    /// `goAway` after this many turns.
    Counting(u32),
    /// `goAway` was sent.
    Told { silent_at: Option<Instant>, end: Instant, close: Close },
}

impl Farewell {
    pub(super) fn new(go_away: Option<&GoAway>, connection: u32) -> Self {
        let plan = go_away.filter(|go_away| go_away.connections.contains(&connection));
        Self { plan: plan.map(|plan| (plan.after, plan.leave.clone())), stage: Stage::Living }
    }

    /// `setupComplete` is being sent.
    pub(super) fn start(&mut self, now: Instant) {
        if !matches!(self.stage, Stage::Living) {
            return;
        }
        self.stage = match self.plan {
            None => Stage::Living,
            Some((Term::Time(time), _)) => Stage::Waiting(now + time),
            Some((Term::Turns(turns), _)) => Stage::Counting(turns),
        };
    }

    /// Sends `goAway`.
    pub(super) fn tell(&mut self, leave: &Leave, now: Instant, outputs: &mut Outputs) {
        let content = match &leave.told {
            TimeLeft::Lead => json!({ "timeLeft": seconds(leave.lead) }),
            TimeLeft::Wrong(time) => json!({ "timeLeft": seconds(*time) }),
            TimeLeft::Missing => json!({}),
            TimeLeft::Garbage(text) => json!({ "timeLeft": text }),
        };
        let time_left = content.get("timeLeft").and_then(Value::as_str).map(str::to_owned);
        outputs.send(&json!({ "goAway": content }));
        outputs.observe(Observation::GoAwaySent { time_left });
        self.stage = Stage::Told {
            silent_at: leave.silence.map(|silence| now + silence),
            end: now + leave.lead,
            close: leave.close.clone(),
        };
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, outputs: &mut Outputs) {
        let is_due = match self.stage {
            Stage::Waiting(at) => at <= now,
            Stage::Counting(turns) => outputs.turns() >= turns,
            Stage::Living | Stage::Told { .. } => false,
        };
        if is_due && let Some((_, leave)) = self.plan.take() {
            self.tell(&leave, now, outputs);
        }
        let Stage::Told { silent_at, end, close } = &mut self.stage else { return };
        if silent_at.take_if(|at| *at <= now).is_some() {
            outputs.fall_silent();
        }
        if *end <= now {
            outputs.close(close);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Living | Stage::Counting(_) => None,
            Stage::Waiting(at) => Some(*at),
            Stage::Told { silent_at, end, .. } => Some(silent_at.unwrap_or(*end).min(*end)),
        }
    }
}
