//! Answers that are not as they should be: empty, mute, without end, or far too fast.
//!
//! Pure, like [`super::plan`], whose plans it bends.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::behaviour::Delivery;
use super::fault::Spoil;
use super::personality::Personality;
use super::plan::{self, Form, Part, Step};
use super::scenario::{Utterance, tone};

/// What an answer is made of and how it is given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub(super) form: Form,
    pub(super) personality: Personality,
    pub(super) delivery: Delivery,
}

type Plan = (Vec<Utterance>, VecDeque<Step>);

impl Manner {
    /// An answer as it should be.
    pub(super) fn plan(&self, lines: Vec<Utterance>) -> Plan {
        let steps = plan::plan(&lines, self.form, self.personality, &self.delivery);
        (lines, steps)
    }

    /// An answer that is spoiled from the beginning.
    pub(super) fn spoiled(&self, spoil: Spoil, lines: Vec<Utterance>) -> Plan {
        match spoil {
            Spoil::Empty => self.plan(Vec::new()),
            Spoil::Mute => self.plan(lines.into_iter().map(mute).collect()),
            Spoil::Endless => self.endless(vec![stretched(lines, Duration::from_secs(1))]),
            Spoil::Flood => {
                /// A minute within a second.
                const SPEED: f64 = 60.0;
                let delivery = Delivery { speed: SPEED, ..self.delivery };
                let flood = vec![stretched(lines, Duration::from_secs(60))];
                Self { delivery, ..*self }.plan(flood)
            }
        }
    }

    /// One round of an answer without end.
    pub(super) fn endless(&self, lines: Vec<Utterance>) -> Plan {
        /// Audio without end must come at a rate at which a client can take it for a while.
        const SPEED_MAX: f64 = 4.0;
        let speed = self.delivery.speed.min(SPEED_MAX);
        let delivery = Delivery { speed, stall: None, ..self.delivery };
        let (lines, mut steps) = Self { delivery, form: Form::Audio, ..*self }.plan(lines);
        steps.retain(|step| step.part.is_speech());
        let bytes = lines.iter().map(|line| line.samples.len() * 2).sum();
        let at = plan::playing_time(bytes).div_f64(speed);
        steps.push_back(Step { at, part: Part::Again });
        (lines, steps)
    }
}

/// The same words in samples that nobody can hear.
fn mute(line: Utterance) -> Utterance {
    let samples = (0..line.samples.len()).map(|at| (at % 2) as i16).collect();
    Utterance { samples, ..line }
}

/// All lines as one, repeated until it is at least this long.
fn stretched(lines: Vec<Utterance>, length: Duration) -> Utterance {
    let text = lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join(" ");
    let mut round: Vec<i16> = lines.iter().flat_map(|line| line.samples.iter().copied()).collect();
    if round.is_empty() {
        round = tone(440.0, 1.0).to_vec();
    }
    let len = (length.as_millis() * 24) as usize;
    let samples: Arc<[i16]> = round.iter().copied().cycle().take(len.max(round.len())).collect();
    Utterance { text, samples }
}
