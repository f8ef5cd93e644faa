//! The sounds that callers and the load model agree on, so that each can measure what came of the other's. Pure.
//!
//! They are told apart by level alone, which is cheap: recorded speech is scaled to [`SPEECH_PEAK`], a reply of the
//! model is a tone of [`REPLY_PEAK`], and only probes and their answers are louder than [`PROBE`].
//!
//! A probe says where it is: it begins in every tenth frame at most, and its length tells how many samples into that
//! frame and, because places follow each other from one tenth frame to the next, in which of eight such frames. So the
//! model knows every probe's place in the call's sound to the sample, modulo 1.6 s, and counts what came between two of
//! them. Likewise a reply lasts a whole number of half seconds.

use std::time::Duration;

use crate::audio::g711;

/// Samples of one frame of the line: 20 ms.
pub const FRAME: usize = 160;

pub const FRAME_TIME: Duration = Duration::from_millis(20);

/// One sample of the line.
pub const SAMPLE: Duration = Duration::from_micros(125);

/// Callers' recordings are scaled to this peak.
pub const SPEECH_PEAK: i16 = 12_000;

/// A sample of the caller that is louder is speech, or a probe; not the noise of the line.
pub const SPEECH: i16 = 1_500;

/// A sample that is louder is a probe, or the answer to one.
pub const PROBE: i16 = 20_000;

/// The level of a reply.
pub const REPLY_PEAK: i16 = 3_000;

/// A sample in the caller's ear that is louder belongs to a reply; comfort tones reach half of it.
pub const REPLY: i16 = 1_500;

/// Quiet that ends a sound.
pub const QUIET: Duration = Duration::from_millis(60);

/// Replies last a multiple of this.
pub const REPLY_UNIT: Duration = Duration::from_millis(500);

/// Probes begin in every tenth frame of a call, samples of the line.
pub const GRID: usize = 10 * FRAME;

/// Places of a probe within its frame, so that framing cannot flatter the result.
pub const PLACES: usize = 8;

/// The frames a probe is in.
pub const PROBE_FRAMES: usize = 3;

/// Probes at the same place are a multiple of this many samples of the line apart.
pub const ROUND: usize = GRID * PLACES;

/// Samples from one place to the next.
const PLACE_STEP: usize = 20;
/// How much longer the probe of the next place is: two periods.
const LENGTH_STEP: usize = 16;
/// The shortest probe: 25 ms, heard through every codec, too short to be taken for speech.
const LENGTH_MIN: usize = 200;

/// 1 kHz at full level, loud from its first sample on, at 8 kHz.
const WAVE: [i16; 8] = [28_000, 30_000, 12_000, -12_000, -28_000, -30_000, -12_000, 12_000];
/// Samples at the end of the wave that are not louder than [`PROBE`].
const TAIL: usize = 2;

/// Peak of the line's noise: -66 dB of full scale.
const NOISE: u64 = 16;

/// Samples from the beginning of its first frame to the probe at this place.
pub const fn offset(place: usize) -> usize {
    place * PLACE_STEP
}

/// The place of a probe that begins in this frame of a call.
pub const fn place_in(frame: u64) -> usize {
    (frame / (GRID / FRAME) as u64) as usize % PLACES
}

/// The place of a probe of which this many samples lie from its first loud to its last, at the line's rate.
pub fn place(loud_samples: usize) -> Option<usize> {
    let len = (loud_samples + TAIL + LENGTH_STEP / 2).checked_sub(LENGTH_MIN)?;
    Some(len / LENGTH_STEP).filter(|place| *place < PLACES)
}

/// The frames of the probe at `place`, in mu-law; the rest is line noise.
pub fn probe(place: usize, dice: &mut Dice) -> [[u8; FRAME]; PROBE_FRAMES] {
    let mut frames = [(); PROBE_FRAMES].map(|()| noise(dice));
    let len = LENGTH_MIN + place * LENGTH_STEP;
    for index in 0..len {
        let at = offset(place) + index;
        frames[at / FRAME][at % FRAME] = g711::encode(WAVE[index % WAVE.len()]);
    }
    frames
}

/// A frame of a quiet line, in mu-law.
pub fn noise(dice: &mut Dice) -> [u8; FRAME] {
    [(); FRAME].map(|()| g711::encode(dice.below(2 * NOISE + 1) as i16 - NOISE as i16))
}

/// A tone of 1 kHz at 24 kHz that begins at its peak.
pub fn tone(peak: i16, length: Duration) -> Vec<i16> {
    let samples = length.as_micros() as usize * 24 / 1000;
    let phase = |n: usize| (n % 24) as f32 / 24.0 * std::f32::consts::TAU;
    (0..samples).map(|n| (phase(n).cos() * f32::from(peak)) as i16).collect()
}

/// Whether a byte of mu-law is louder than the level this was made for.
#[derive(Clone, Copy, Debug)]
pub struct Threshold(u8);

impl Threshold {
    /// Mu-law is ordered: the lower seven bits fall as the level rises.
    pub fn above(level: i16) -> Self {
        let limit = (0..=0x7f).rev().find(|&byte| g711::decode(byte | 0x80) > level);
        Self(limit.unwrap_or(0))
    }

    pub const fn is_met(self, byte: u8) -> bool {
        byte & 0x7f <= self.0
    }
}

/// A linear congruential generator (Knuth, MMIX).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub const fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// From 0 to 1, 1 excluded.
    pub fn share(&mut self) -> f64 {
        self.below(1 << 31) as f64 / f64::from(1_u32 << 31)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_probe_tells_its_place_by_its_length() {
        for at in 0..PLACES {
            let frames = probe(at, &mut Dice::new(1)).concat();
            let loud: Vec<_> = (0..frames.len()).filter(|&n| g711::decode(frames[n]).abs() > PROBE).collect();
            assert_eq!(loud[0], offset(at));
            let length = loud[loud.len() - 1] - loud[0] + 1;
            for tolerated in length - 4..=length + 4 {
                assert_eq!(place(tolerated), Some(at));
            }
        }
        assert_eq!((place(0), place(10_000)), (None, None));
    }

    #[rstest]
    #[case(SPEECH)]
    #[case(PROBE)]
    #[case(4_000)]
    fn a_threshold_is_that_of_the_decoded_sample(#[case] level: i16) {
        let threshold = Threshold::above(level);
        for byte in 0..=255 {
            assert_eq!(threshold.is_met(byte), g711::decode(byte).saturating_abs() > level, "{byte}");
        }
    }
}
