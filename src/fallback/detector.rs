//! What decides whether a sound is speech.

use super::Hearing;
use crate::audio::Rate;
use crate::audio::silero::{self, Silero};
use crate::audio::vad::{self, Activity, Energy};

/// Pauses inside a word are shorter; the silence that ends an utterance is not counted here.
const HANGOVER_MS: u32 = 200;

/// One caller's detector. The network is boxed: its memory is a kilobyte.
#[derive(Debug)]
pub(super) enum Detector {
    Silero(Box<Silero>),
    Energy(Energy),
}

impl Detector {
    pub(super) fn new(hearing: Hearing) -> Self {
        match hearing {
            Hearing::Silero => {
                let config = silero::Config { silence_ms: HANGOVER_MS, ..silero::Config::default() };
                Self::Silero(Box::new(Silero::new(config)))
            }
            Hearing::Energy => {
                let config = vad::Config { silence_ms: HANGOVER_MS, ..vad::Config::default() };
                Self::Energy(Energy::new(Rate::LINE, config))
            }
        }
    }

    pub(super) fn push(&mut self, samples: &[i16]) -> Option<Activity> {
        match self {
            Self::Silero(silero) => silero.push(samples),
            Self::Energy(energy) => energy.push(samples),
        }
    }

    pub(super) const fn is_speaking(&self) -> bool {
        match self {
            Self::Silero(silero) => silero.is_speaking(),
            Self::Energy(energy) => energy.is_speaking(),
        }
    }

    pub(super) const fn last_loud(&self) -> u64 {
        match self {
            Self::Silero(silero) => silero.last_loud(),
            Self::Energy(energy) => energy.last_loud(),
        }
    }

    pub(super) const fn position(&self) -> u64 {
        match self {
            Self::Silero(silero) => silero.position(),
            Self::Energy(energy) => energy.position(),
        }
    }
}
