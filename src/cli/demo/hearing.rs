//! What a caller hears, in figures: when an answer begins, and how long the line is dead. Pure.

use std::time::{Duration, Instant};

use super::caller::Window;
use crate::audio::{Rate, g711, wav};
use crate::sim::carrier::latency::AUDIBLE;
use crate::sim::carrier::timeline::{SAMPLE, Timeline, samples_in, span};

/// -60 dB of full scale: below this nobody hears anything.
const SILENCE: i16 = 32;

/// The longest silence while the agent has the word. What follows the last sound is no silence that anybody waits
/// in, unless there was none at all. Covers are heard.
pub(super) fn dead_air(heard: &Timeline, window: Window) -> Duration {
    let mut quiet_since = window.from;
    let mut longest = Duration::ZERO;
    let mut is_silent = true;
    for at in heard.audible(SILENCE).filter(|&at| at >= window.from && at < window.until) {
        longest = longest.max(at.saturating_duration_since(quiet_since));
        (quiet_since, is_silent) = (at + SAMPLE, false);
    }
    if is_silent { window.until.saturating_duration_since(window.from) } else { longest }
}

/// From the beginning of the window to the first speech in it; covers without words are no speech.
pub(super) fn first_speech(heard: &Timeline, window: Window) -> Option<Duration> {
    let mut speech = heard.audible(AUDIBLE).filter(|&at| at >= window.from && at < window.until);
    speech.next().map(|at| at.duration_since(window.from))
}

/// Whether there is speech at this time or later.
pub(super) fn has_speech_after(heard: &Timeline, at: Instant) -> bool {
    heard.audible(AUDIBLE).any(|heard| heard >= at)
}

/// What was heard in this time, as a file.
pub(super) fn excerpt(heard: &Timeline, window: Window) -> Vec<u8> {
    let mut samples = vec![0; samples_in(window.until.saturating_duration_since(window.from))];
    heard.render(window.from, &mut samples);
    wav::write(&wav::Wav { rate: Rate::LINE, channels: 1, samples })
}

/// How much of this is speech: the frames of 20 ms with a sample louder than -32 dB of full scale.
pub(super) fn speech(samples: impl IntoIterator<Item = i16>, rate: Rate) -> Duration {
    const LOUD: i16 = 800;
    let samples: Vec<i16> = samples.into_iter().collect();
    let is_loud = |frame: &&[i16]| frame.iter().any(|sample| sample.saturating_abs() > LOUD);
    let frames = samples.chunks(rate.frame_len()).filter(is_loud).count();
    Duration::from_millis(20) * u32::try_from(frames).unwrap_or(u32::MAX)
}

/// How much of a time line is speech.
pub(super) fn speech_of(timeline: &Timeline) -> Duration {
    speech(timeline.bytes().iter().map(|&byte| g711::decode(byte)), Rate::LINE)
}

/// How long these samples at the model's rate last.
pub(super) fn length(samples: usize) -> Duration {
    span(samples * Rate::LINE.0 as usize / Rate::MODEL_IN.0 as usize)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A line on which these stretches (from, to, level) sound.
    fn line(origin: Instant, stretches: &[(u32, u32, i16)]) -> Timeline {
        let mut line = Timeline::default();
        for &(from, to, level) in stretches {
            line.push(origin + MS * from, &vec![g711::encode(level); (to - from) as usize * 8]);
        }
        line
    }

    #[rstest]
    #[case::nothing(&[], 4000)]
    #[case::an_answer(&[(1000, 2000, 9000)], 1000)]
    #[case::a_cover_and_then_an_answer(&[(1200, 1700, 500), (3000, 4000, 9000)], 1300)]
    #[case::a_pause_inside(&[(100, 200, 9000), (1500, 2000, 9000)], 1300)]
    #[case::digital_silence_is_no_sound(&[(0, 1500, 0), (1500, 2000, 9000)], 1500)]
    #[case::what_comes_too_late_is_not_heard(&[(4500, 5000, 9000)], 4000)]
    fn dead_air_is_the_longest_wait(#[case] stretches: &[(u32, u32, i16)], #[case] expected_ms: u32) {
        let origin = Instant::now();
        let window = Window { from: origin, until: origin + 4000 * MS };
        let longest = dead_air(&line(origin, stretches), window);
        assert!(longest.abs_diff(expected_ms * MS) <= MS, "{longest:?}");
    }

    #[test]
    fn a_comfort_tone_is_no_answer() {
        let origin = Instant::now();
        let window = Window { from: origin, until: origin + 4000 * MS };
        let heard = line(origin, &[(1200, 1700, 500), (2500, 3000, 9000)]);
        assert_eq!(first_speech(&heard, window), Some(2500 * MS));
        assert!(has_speech_after(&heard, origin + 2900 * MS));
        assert!(!has_speech_after(&heard, origin + 3100 * MS));
    }

    #[test]
    fn speech_is_counted_in_frames() {
        let samples = [vec![0; 160], vec![2000; 320], vec![0; 160]].concat();
        assert_eq!(speech(samples, Rate::LINE), 40 * MS);
        assert_eq!(length(16_000), 1000 * MS);
    }
}
