//! A caller who measures: faint line noise with loud short bursts, each the start of a stopwatch. Pure.

use std::time::Duration;

use super::fixture::{FRAME_LEN, Fixture};
use super::timeline::{samples_in, span};
use crate::audio::g711;

/// When bursts come. Their place within a 20 ms frame is pseudo-random, so that framing cannot flatter the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    pub count: usize,
    /// Distance of two probes; must be longer than any delay to be measured.
    pub period: Duration,
    /// Quiet before the first probe, while the call settles.
    pub settle: Duration,
    pub seed: u64,
}

impl Default for Plan {
    /// Tuned for an echo through a bridge with a simulated model: delays below 900 ms.
    fn default() -> Self {
        Self { count: 20, period: Duration::from_secs(1), settle: Duration::from_secs(1), seed: 1 }
    }
}

/// 25 ms: heard through every codec, too short to be taken for speech.
const BURST_LEN: usize = 200;
/// Peak of the line noise: -66 dB of full scale.
const NOISE: u64 = 16;

impl Fixture {
    /// A caller who sends the bursts of this plan and hangs up one period after the last.
    pub fn probes(plan: Plan) -> Self {
        let mut dice = Dice(plan.seed);
        let (settle, period) = (samples_in(plan.settle), samples_in(plan.period).max(FRAME_LEN));
        let onset = |index: usize, dice: &mut Dice| {
            let frame = (settle + index * period) / FRAME_LEN * FRAME_LEN;
            frame + dice.below(FRAME_LEN as u64) as usize
        };
        let onsets: Vec<_> = (0..plan.count).map(|index| onset(index, &mut dice)).collect();
        let len = (settle + plan.count * period).next_multiple_of(FRAME_LEN) + FRAME_LEN;
        let mut audio: Vec<u8> = (0..len).map(|_| noise(&mut dice)).collect();
        for &onset in &onsets {
            for (index, byte) in audio[onset..].iter_mut().take(BURST_LEN).enumerate() {
                *byte = burst(index);
            }
        }
        let probes = onsets.into_iter().map(span).collect();
        Self { description: format!("{} probes", plan.count), probes, ..Self::from_mulaw(&audio) }
    }
}

/// 1 kHz at full level, loud from its first sample on.
fn burst(index: usize) -> u8 {
    const WAVE: [i16; 8] = [28_000, 30_000, 12_000, -12_000, -28_000, -30_000, -12_000, 12_000];
    g711::encode(WAVE[index % WAVE.len()])
}

fn noise(dice: &mut Dice) -> u8 {
    g711::encode(dice.below(2 * NOISE + 1) as i16 - NOISE as i16)
}

/// A linear congruential generator (Knuth, MMIX).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::fixture::Act;
    use super::super::latency::{delays, onsets};
    use super::super::timeline::Timeline;
    use super::*;

    fn said(fixture: &Fixture, origin: Instant) -> Timeline {
        let mut timeline = Timeline::default();
        for step in &fixture.steps {
            if let Act::Speak(bytes) = &step.act {
                timeline.push(origin + step.at - span(bytes.len()), bytes);
            }
        }
        timeline
    }

    #[test]
    fn the_ear_finds_every_probe_at_its_sample() {
        let origin = Instant::now();
        let fixture = Fixture::probes(Plan { count: 7, ..Plan::default() });
        let sent: Vec<_> = fixture.probes.iter().map(|&probe| origin + probe).collect();
        let line = said(&fixture, origin);
        assert_eq!(onsets(&line), sent);
        assert_eq!(delays(&sent, &line), [Some(Duration::ZERO); 7]);
    }

    #[test]
    fn probes_fall_on_different_samples_of_their_frame_and_a_seed_repeats_them() {
        let plan = Plan { count: 50, ..Plan::default() };
        let fixture = Fixture::probes(plan);
        let offset = |probe: &Duration| samples_in(*probe) % FRAME_LEN;
        let mut offsets: Vec<_> = fixture.probes.iter().map(offset).collect();
        offsets.sort_unstable();
        offsets.dedup();
        assert!(offsets.len() > 30, "{offsets:?}");
        assert_eq!(fixture, Fixture::probes(plan));
    }
}
