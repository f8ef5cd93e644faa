//! What happens in a call, by its kind. Pure.

use super::outcome::Kind;
use super::recording::Recordings;
use super::sound::Dice;

/// One thing that a caller does; the next follows when it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Waits for a greeting, or for a while if there is none.
    Settle,
    /// So many probes, each when the line has been quiet for a moment and the one before was answered.
    Probe(u32),
    /// Says this turn.
    Say(TurnId),
    /// Waits until an answer has begun, then speaks into it.
    Interrupt(TurnId),
    /// Waits until the answer has been heard.
    Hear,
    Press(char),
    /// The caller's line is gone in the middle of the answer.
    Vanish,
    HangUp,
}

/// A turn of a recorded call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnId {
    pub call: usize,
    pub turn: usize,
}

/// Probes between two turns.
const PROBES: u32 = 4;

/// What happens in a call of this kind; with whom, the dice decide.
pub fn script(kind: Kind, recordings: &Recordings, has_probes: bool, dice: &mut Dice) -> Vec<Act> {
    let call = dice.below(recordings.calls.len() as u64) as usize;
    let turns = recordings.calls[call].len();
    let turn = |turn: usize| TurnId { call, turn: turn % turns };
    let first = dice.below(turns as u64) as usize;
    let probes = Act::Probe(if has_probes { PROBES } else { 0 });
    let mut acts = vec![Act::Settle];
    match kind {
        Kind::Short => acts.extend([probes, Act::Say(turn(first)), Act::Hear, probes]),
        Kind::Long => {
            for index in 0..turns {
                acts.extend([probes, Act::Say(turn(index)), Act::Hear]);
            }
            acts.push(probes);
        }
        Kind::BargeIn => {
            acts.extend([Act::Say(turn(first)), Act::Interrupt(turn(first + 1)), Act::Hear, probes]);
        }
        Kind::Dtmf => {
            acts.extend([probes, Act::Press('4'), Act::Press('2'), Act::Press('#'), Act::Hear, probes]);
        }
        // Of the fallback nobody expects the answer to a probe.
        Kind::Fallback => acts.extend([Act::Say(turn(first)), Act::Hear, Act::Say(turn(first)), Act::Hear]),
        Kind::HangUp => acts.extend([probes, Act::Say(turn(first))]),
    }
    acts.push(if kind == Kind::HangUp { Act::Vanish } else { Act::HangUp });
    acts
}
