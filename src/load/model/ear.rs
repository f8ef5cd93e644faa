//! What the load model hears: probes, when somebody speaks, and what is missing between two probes. Pure.

use std::time::Instant;

use crate::load::sound::{self, GRID, PROBE, QUIET, ROUND, SPEECH};

/// Samples of a millisecond of input: 16 kHz.
const PER_MS: u64 = 16;

/// So much speech makes a turn.
const ONSET_MS: u64 = 60;

/// So much quiet ends it.
const HANGOVER_MS: u64 = 500;

/// A step in the count that is smaller comes from the filters on the way, not from sound that is missing.
const SLACK: i64 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The first loud sample of a probe.
    Probe,
    SpeechStart,
    SpeechEnd,
    /// Between two probes: samples of the line that were to come and that came.
    Counted {
        due: u64,
        came: u64,
    },
}

/// The ear of one connection.
#[derive(Debug, Default)]
pub(super) struct Ear {
    /// Samples that came on this connection.
    position: u64,
    burst: Option<Burst>,
    last: Option<Spot>,
    speech: Speech,
}

/// A probe that is being heard: its first and its last loud sample, and when the first came.
#[derive(Clone, Copy, Debug)]
struct Burst {
    first: u64,
    last: u64,
    at: Instant,
}

/// Where a probe was in the samples of the line, where it says that it is, and when it came.
#[derive(Clone, Copy, Debug)]
struct Spot {
    begin: i64,
    place: usize,
    at: Instant,
}

#[derive(Clone, Copy, Debug, Default)]
struct Speech {
    is_on: bool,
    /// How much of the last sound was loud, samples.
    loud: u64,
    /// How long it has been quiet.
    quiet: u64,
}

impl Ear {
    /// Takes samples at 16 kHz that came at `now`; appends what was heard in them.
    pub(super) fn handle(&mut self, samples: &[i16], now: Instant, heard: &mut Vec<Heard>) {
        let peak = samples.iter().fold(0, |peak, sample| sample.saturating_abs().max(peak));
        if peak > PROBE {
            self.listen_for_probe(samples, now, heard);
        }
        let begin = self.position;
        self.position += samples.len() as u64;
        let is_probe = self.burst.is_some_and(|burst| begin < burst.last + quiet());
        self.close_burst(heard);
        let event = self.speech.push(samples.len() as u64, peak > SPEECH && !is_probe);
        heard.extend(event);
    }

    fn listen_for_probe(&mut self, samples: &[i16], now: Instant, heard: &mut Vec<Heard>) {
        for (index, _) in samples.iter().enumerate().filter(|(_, sample)| sample.saturating_abs() > PROBE) {
            let at = self.position + index as u64;
            match &mut self.burst {
                Some(burst) => burst.last = at,
                None => {
                    self.burst = Some(Burst { first: at, last: at, at: now });
                    heard.push(Heard::Probe);
                }
            }
        }
    }

    /// A probe is over after some quiet; its length tells its place.
    fn close_burst(&mut self, heard: &mut Vec<Heard>) {
        let position = self.position;
        let Some(burst) = self.burst.take_if(|burst| position > burst.last + quiet()) else { return };
        let loud = (burst.last - burst.first + 1).div_ceil(2) as usize;
        let Some(place) = sound::place(loud) else { return };
        let begin = (burst.first / 2) as i64 - sound::offset(place) as i64;
        let spot = Spot { begin, place, at: burst.at };
        if let Some(last) = self.last.replace(spot) {
            heard.push(count(last, spot));
        }
    }
}

const fn quiet() -> u64 {
    QUIET.as_millis() as u64 * PER_MS
}

/// Their places tell how far two probes are apart, but for whole rounds; those the time between them tells.
fn count(last: Spot, spot: Spot) -> Heard {
    let round = ROUND as i64;
    let came = spot.begin - last.begin;
    let elapsed = spot.at.saturating_duration_since(last.at);
    let by_clock = elapsed.as_micros() as i64 / 125;
    let apart = (spot.place as i64 - last.place as i64) * GRID as i64;
    let step = (came - apart + round / 2).rem_euclid(round) - round / 2;
    let rounds = ((came - by_clock - step) as f64 / round as f64).round() as i64;
    let surplus = step + rounds * round;
    let surplus = if surplus.abs() <= SLACK { 0 } else { surplus };
    Heard::Counted { due: (came - surplus).max(0).unsigned_abs(), came: came.max(0).unsigned_abs() }
}

impl Speech {
    fn push(&mut self, samples: u64, is_loud: bool) -> Option<Heard> {
        if is_loud {
            self.loud += samples;
            self.quiet = 0;
        } else {
            self.quiet += samples;
        }
        if !self.is_on && self.quiet > ONSET_MS * PER_MS {
            self.loud = 0;
        }
        if !self.is_on && self.loud >= ONSET_MS * PER_MS {
            self.is_on = true;
            return Some(Heard::SpeechStart);
        }
        if self.is_on && self.quiet >= HANGOVER_MS * PER_MS {
            *self = Self::default();
            return Some(Heard::SpeechEnd);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::audio::resample::Resampler;
    use crate::audio::{Rate, g711};
    use crate::load::sound::{Dice, FRAME, FRAME_TIME};

    /// A line that sends these frames of mu-law, one after the other, resampled as on the way to the model.
    struct Line {
        resampler: Resampler,
        ear: Ear,
        start: Instant,
        frames: u32,
        heard: Vec<Heard>,
    }

    impl Line {
        fn new() -> Self {
            let resampler = Resampler::new(Rate::LINE, Rate::MODEL_IN);
            Self { resampler, ear: Ear::default(), start: Instant::now(), frames: 0, heard: Vec::new() }
        }

        /// Time goes on; whether the frame comes out `copies` times or not at all.
        fn send(&mut self, frame: &[u8; FRAME], copies: usize) {
            self.frames += 1;
            let now = self.start + FRAME_TIME * self.frames;
            let line: Vec<_> = frame.iter().map(|&byte| g711::decode(byte)).collect();
            for _ in 0..copies {
                let mut samples = Vec::new();
                self.resampler.push(&line, &mut samples);
                self.ear.handle(&samples, now, &mut self.heard);
            }
        }

        fn quiet(&mut self, frames: usize, copies: usize) {
            let frame = sound::noise(&mut Dice::new(u64::from(self.frames)));
            (0..frames).for_each(|_| self.send(&frame, copies));
        }

        fn probe(&mut self, place: usize) {
            for frame in sound::probe(place, &mut Dice::new(7)) {
                self.send(&frame, 1);
            }
        }
    }

    #[rstest]
    #[case::whole(0, 1, 0)]
    #[case::a_frame_is_lost(1, 0, -160)]
    #[case::a_frame_is_doubled(1, 2, 160)]
    #[case::half_a_second_is_lost(25, 0, -4000)]
    #[case::a_step_of_the_grid_is_lost(10, 0, -1600)]
    #[case::a_round_is_lost(80, 0, -12800)]
    #[case::more_than_a_second_is_doubled(57, 2, 9120)]
    fn what_is_missing_between_two_probes_is_counted(
        #[case] frames: usize,
        #[case] copies: usize,
        #[case] surplus: i64,
    ) {
        for first in [0, 3, 7] {
            // Of 140 frames, 14 tenths.
            let second = (first + 14) % sound::PLACES;
            let mut line = Line::new();
            line.quiet(20, 1);
            line.probe(first);
            line.quiet(20, 1);
            line.quiet(frames, copies);
            line.quiet(117 - frames, 1);
            line.probe(second);
            line.quiet(10, 1);
            let [Heard::Probe, Heard::Probe, Heard::Counted { due, came }] = line.heard[..] else {
                panic!("{:?}", line.heard);
            };
            assert_eq!((due, came as i64 - due as i64), (140 * 160, surplus));
        }
    }

    #[test]
    fn speech_is_a_turn_and_a_probe_is_none() {
        let mut line = Line::new();
        let hum = [(); FRAME].map(|()| g711::encode(SPEECH * 3));
        line.quiet(10, 1);
        line.probe(7);
        line.quiet(30, 1);
        (0..3).for_each(|_| line.send(&hum, 1));
        assert_eq!(line.heard, [Heard::Probe, Heard::SpeechStart]);
        line.quiet(24, 1);
        assert_eq!(line.heard.len(), 2);
        line.quiet(2, 1);
        assert_eq!(line.heard[2..], [Heard::SpeechEnd]);
    }
}
