//! The knobs of the simulated service. Defaults are what recorded sessions of the real one show.

use std::time::Duration;

use super::farewell::GoAway;
use super::fault::Fault;
use super::handles::Handles;
use super::personality::Personality;
use crate::secret::Secret;

/// How the service behaves on every connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Behaviour {
    pub personality: Personality,
    pub setup: SetupReply,
    /// From the end of the caller's turn (as detected) to the first audio of the answer. With the time that
    /// detection takes, the default gives the 0.4 to 1.6 s of the recordings.
    pub think: Duration,
    pub delivery: Delivery,
    /// How much audio of the old turn is still sent after `interrupted`. Clients report such residues.
    pub stale: Duration,
    pub silence: SilentStart,
    /// The API keys and tokens that are taken; empty: any, but not none.
    pub keys: Vec<Secret>,
    pub handles: Handles,
    pub go_away: Option<GoAway>,
    pub faults: Vec<Fault>,
    pub hearing: Hearing,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            personality: Personality::default(),
            setup: SetupReply::After(Duration::from_millis(800)),
            think: Duration::from_millis(300),
            delivery: Delivery::default(),
            stale: Duration::ZERO,
            silence: SilentStart::default(),
            keys: Vec::new(),
            handles: Handles::default(),
            go_away: None,
            faults: Vec::new(),
            hearing: Hearing::default(),
        }
    }
}

/// When `setup` is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetupReply {
    After(Duration),
    /// As some wrong configurations of the real service.
    Never,
}

/// What speech does that begins with nothing to interrupt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SilentStart {
    #[default]
    Nothing,
    /// `interrupted`, though nothing plays: the real service does it now and then.
    Interrupted,
}

/// How closely the caller's audio is told of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hearing {
    /// At every second.
    #[default]
    Seconds,
    /// Every message with its samples, too: for tests of gaps, order and what was held back.
    Chunks,
}

/// How an answer is cut into messages and how fast they come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Delivery {
    /// Multiple of real time; 4 in recorded sessions. Below 1 the caller hears gaps.
    pub speed: f64,
    /// Audio in one message; 180 to 200 ms in recorded sessions.
    pub message: Duration,
    pub split: Split,
    /// A pause in the middle of the delivery.
    pub stall: Option<Stall>,
}

impl Default for Delivery {
    fn default() -> Self {
        Self { speed: 4.0, message: Duration::from_millis(190), split: Split::Even, stall: None }
    }
}

/// Where the messages of an answer are cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Split {
    #[default]
    Even,
    /// The first message holds one single sample, as one recorded answer did.
    SampleFirst,
    /// Messages have an odd number of bytes: samples lie across their borders.
    Odd,
}

/// After this much audio of an answer nothing comes for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    pub after: Duration,
    pub length: Duration,
}
