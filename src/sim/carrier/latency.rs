//! What the caller's ear measures: how long an answer takes, and when the talking stops. Pure.

use std::time::{Duration, Instant};

use super::timeline::{SAMPLE, Timeline};

/// A sample louder than this is speech or a probe, not line noise (-18 dB of full scale).
pub const AUDIBLE: i16 = 4_000;

/// Quiet that ends a sound; shorter quiet belongs to it (a tone crosses zero, speech has pauses between words).
pub const QUIET: Duration = Duration::from_millis(50);

/// Spread of some durations, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Quantiles {
    pub count: usize,
    pub median_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

impl Quantiles {
    /// Nearest-rank quantiles; all zero when there is nothing.
    pub fn of(durations: &[Duration]) -> Self {
        let mut sorted = durations.to_vec();
        sorted.sort_unstable();
        let at = |quantile: f64| {
            let rank = (quantile * sorted.len() as f64).ceil() as usize;
            sorted.get(rank.saturating_sub(1)).map_or(0.0, |duration| duration.as_secs_f64() * 1e3)
        };
        Self { count: sorted.len(), median_ms: at(0.5), p99_ms: at(0.99), max_ms: at(1.0) }
    }
}

/// The first audible sample of each sound: one that follows [`QUIET`].
pub fn onsets(heard: &Timeline) -> Vec<Instant> {
    let mut onsets = Vec::new();
    let mut last: Option<Instant> = None;
    for at in heard.audible(AUDIBLE) {
        if last.is_none_or(|last| at.saturating_duration_since(last) >= QUIET) {
            onsets.push(at);
        }
        last = Some(at);
    }
    onsets
}

/// For each probe, sent at these instants, the time to the first sound before the next probe.
///
/// Right as long as delays stay below the distance of two probes.
pub fn delays(sent: &[Instant], heard: &Timeline) -> Vec<Option<Duration>> {
    let onsets = onsets(heard);
    let next = sent.iter().skip(1).map(|&at| Some(at)).chain([None]);
    sent.iter()
        .zip(next)
        .map(|(&from, until)| {
            let onset = onsets.get(onsets.partition_point(|&onset| onset < from))?;
            until.is_none_or(|until| *onset < until).then(|| onset.duration_since(from))
        })
        .collect()
}

/// How long after `at` the ear still heard the sound of that moment, its quiet parts up to `pause` included.
///
/// Zero when it was quiet then. Sound that begins after `pause` of quiet is another answer.
pub fn silence_after(heard: &Timeline, at: Instant, pause: Duration) -> Duration {
    let mut silent_from = at;
    for sample in heard.audible(AUDIBLE).filter(|&sample| sample >= at) {
        if sample.saturating_duration_since(silent_from) >= pause {
            break;
        }
        silent_from = sample + SAMPLE;
    }
    silent_from.duration_since(at)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::timeline::span;
    use super::*;
    use crate::audio::g711;

    const MS: Duration = Duration::from_millis(1);

    fn heard(origin: Instant, sounds: &[(usize, usize)]) -> Timeline {
        let mut timeline = Timeline::default();
        for &(at, len) in sounds {
            timeline.push(origin + span(at), &vec![g711::encode(20_000); len]);
        }
        timeline
    }

    #[test]
    fn a_delay_is_exact_to_the_sample() {
        let origin = Instant::now();
        let sent = [origin, origin + 500 * MS, origin + 1_000 * MS];
        let heard = heard(origin, &[(801, 200), (8_000 + 1_602, 200)]);
        assert_eq!(delays(&sent, &heard), [Some(span(801)), None, Some(span(1_602))]);
    }

    #[test]
    fn quiet_noise_and_the_zero_crossings_of_a_tone_begin_no_sound() {
        let origin = Instant::now();
        let mut timeline = Timeline::default();
        timeline.push(origin, &[g711::encode(100); 800]);
        for _ in 0..25 {
            timeline.push(origin, &[g711::encode(20_000), g711::MULAW_SILENCE, g711::encode(-20_000)]);
        }
        assert_eq!(onsets(&timeline), [origin + span(800)]);
    }

    #[rstest]
    #[case(10, 90)]
    #[case(100, 0)]
    #[case(390, 0)]
    #[case(450, 50)]
    fn silence_falls_when_the_sound_of_that_moment_ends(#[case] at_ms: u32, #[case] silent_ms: u32) {
        let origin = Instant::now();
        let heard = heard(origin, &[(0, 800), (3_200, 800)]);
        let pause = if at_ms == 390 { 5 * MS } else { 200 * MS };
        assert_eq!(silence_after(&heard, origin + at_ms * MS, pause), silent_ms * MS);
    }

    #[test]
    fn quantiles_are_nearest_ranks() {
        let durations: Vec<_> = (1..=100).map(|n| n * MS).collect();
        let quantiles = Quantiles::of(&durations);
        assert_eq!((quantiles.median_ms, quantiles.p99_ms, quantiles.max_ms), (50.0, 99.0, 100.0));
        assert_eq!(Quantiles::of(&[]), Quantiles::default());
    }
}
