//! Voice activity by energy: cheap, for watchdogs, turn times and simulated models.
//!
//! Not for endpointing on noisy lines: music and tones are speech to it; see [`silero`](super::silero) for those.

use super::Rate;

/// How speech is told from silence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// Frames louder than this count as speech, dB relative to full scale. The default lies between the
    /// idle noise of a telephone line (about −66) and quiet speech (about −40).
    pub threshold_db: f32,
    /// Speech needed before it counts as begun, milliseconds.
    pub prefix_ms: u32,
    /// Silence needed before speech counts as ended, milliseconds.
    pub silence_ms: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { threshold_db: -46.0, prefix_ms: 60, silence_ms: 500 }
    }
}

/// A change of activity. Offsets count samples from the first one pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Speech began at `at` (known `prefix_ms` later).
    Start { at: u64 },
    /// Speech ended at `at` (known `silence_ms` later).
    End { at: u64 },
}

/// Detects speech in one stream, in steps of 10 ms. Does not allocate.
#[derive(Clone, Debug)]
pub struct Energy {
    step: usize,
    /// The sum of squares of a step that counts as loud.
    loud: u64,
    sum: u64,
    count: usize,
    debounce: Debounce,
}

const STEP_MS: u32 = 10;

impl Energy {
    pub fn new(rate: Rate, config: Config) -> Self {
        let step = rate.frame_len() / 2;
        let power = 32768.0_f64.powi(2) * 10.0_f64.powf(f64::from(config.threshold_db) / 10.0);
        Self {
            step,
            loud: (power * step as f64).ceil() as u64,
            sum: 0,
            count: 0,
            debounce: Debounce::new(
                step,
                config.prefix_ms.div_ceil(STEP_MS),
                config.silence_ms.div_ceil(STEP_MS),
            ),
        }
    }

    pub const fn is_speaking(&self) -> bool {
        self.debounce.is_speaking()
    }

    /// Position after the last loud step: where speech ended, if it has. 0 before any.
    pub const fn last_loud(&self) -> u64 {
        self.debounce.last_loud
    }

    /// Samples pushed so far, in whole steps.
    pub const fn position(&self) -> u64 {
        self.debounce.position
    }

    /// Takes the next samples; tells the last change of activity within them.
    pub fn push(&mut self, samples: &[i16]) -> Option<Activity> {
        let (mut change, mut rest) = (None, samples);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(self.step - self.count));
            self.sum += energy(now);
            self.count += now.len();
            rest = later;
            if self.count == self.step {
                let is_loud = self.sum >= self.loud;
                (self.sum, self.count) = (0, 0);
                change = self.debounce.push(is_loud).or(change);
            }
        }
        change
    }
}

/// The sum of squares: exact, so that it is the same however it is added up.
fn energy(samples: &[i16]) -> u64 {
    let square = |&sample: &i16| u64::from(i32::from(sample).pow(2) as u32);
    samples.iter().map(square).sum()
}

/// Makes changes of activity of steps that are speech or not.
#[derive(Clone, Debug)]
pub(super) struct Debounce {
    /// Samples in a step.
    step: u64,
    /// Steps of speech that make a start.
    start_steps: u32,
    /// Steps of silence that make an end.
    end_steps: u32,
    /// Samples so far.
    pub(super) position: u64,
    /// Position after the last step of speech.
    pub(super) last_loud: u64,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// No speech; the last `loud` steps were speech.
    Silent { loud: u32 },
    /// Speech; the last `quiet` steps were none.
    Speaking { quiet: u32 },
}

impl Debounce {
    pub(super) const fn new(step: usize, start_steps: u32, end_steps: u32) -> Self {
        let state = State::Silent { loud: 0 };
        Self { step: step as u64, start_steps, end_steps, position: 0, last_loud: 0, state }
    }

    pub(super) const fn is_speaking(&self) -> bool {
        matches!(self.state, State::Speaking { .. })
    }

    pub(super) fn push(&mut self, is_loud: bool) -> Option<Activity> {
        self.position += self.step;
        if is_loud {
            self.last_loud = self.position;
        }
        match (&mut self.state, is_loud) {
            (State::Silent { loud }, true) => {
                *loud += 1;
                let steps = *loud;
                (steps >= self.start_steps).then(|| {
                    self.state = State::Speaking { quiet: 0 };
                    Activity::Start { at: self.steps_ago(steps) }
                })
            }
            (State::Silent { loud }, false) => {
                *loud = 0;
                None
            }
            (State::Speaking { quiet }, true) => {
                *quiet = 0;
                None
            }
            (State::Speaking { quiet }, false) => {
                *quiet += 1;
                let steps = *quiet;
                (steps >= self.end_steps).then(|| {
                    self.state = State::Silent { loud: 0 };
                    Activity::End { at: self.steps_ago(steps) }
                })
            }
        }
    }

    const fn steps_ago(&self, steps: u32) -> u64 {
        self.position.saturating_sub(steps as u64 * self.step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(parts: &[(i16, usize)]) -> Vec<i16> {
        parts
            .iter()
            .flat_map(|&(level, ms)| (0..ms * 8).map(move |n| if n % 2 == 0 { level } else { -level }))
            .collect()
    }

    fn changes(samples: &[i16], chunk: usize) -> Vec<Activity> {
        let mut vad = Energy::new(Rate::LINE, Config::default());
        samples.chunks(chunk).filter_map(|chunk| vad.push(chunk)).collect()
    }

    #[test]
    fn speech_begins_and_ends_where_it_did() {
        let samples = signal(&[(10, 300), (3000, 1000), (10, 1000)]);
        let expected = vec![Activity::Start { at: 2400 }, Activity::End { at: 10400 }];
        assert_eq!(changes(&samples, 160), expected);
        assert_eq!(changes(&samples, 37), expected);
    }

    #[test]
    fn a_click_is_not_speech_and_a_pause_does_not_end_it() {
        let samples =
            signal(&[(10, 300), (3000, 40), (10, 300), (3000, 500), (10, 400), (3000, 500), (10, 600)]);
        let found = changes(&samples, 160);
        assert_eq!(found, [Activity::Start { at: 640 * 8 }, Activity::End { at: 2040 * 8 }]);
    }
}
