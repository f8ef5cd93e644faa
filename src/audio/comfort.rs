//! What a caller hears while nobody speaks and the call goes on: two soft tones now and then over faint noise, so
//! that the line is not dead.
//!
//! A function of the position alone: no randomness, no state but the next sample. Knows nothing of why it plays.

use std::f32::consts::TAU;

use super::Rate;

/// The same two tones come again after this long: often enough to be waited for, too seldom to be a ringing line.
const PERIOD_MS: u64 = 2000;

/// One after the other, a third apart, so that nobody takes them for a ringback (440 and 480 Hz at once) or a busy
/// line (480 and 620 Hz at once; both ITU-T E.180 supplement 2, United States).
const TONES: [Tone; 2] = [Tone { start_ms: 20, hz: 440.0 }, Tone { start_ms: 220, hz: 554.0 }];

/// Long enough to have a pitch, short enough to be no signal.
const TONE_MS: u64 = 120;

/// Where a tone is loudest: well below speech (about −22), well above the noise.
const TONE_DBFS: f32 = -36.0;

/// As an idle line that is open: comfort noise is generated around here (ITU-T G.711 appendix II, RFC 3389).
const NOISE_DBFS: f32 = -60.0;

#[derive(Clone, Copy, Debug)]
struct Tone {
    start_ms: u64,
    hz: f32,
}

/// An endless sound at [`Rate::LINE`]. Does not allocate.
#[derive(Clone, Debug, Default)]
pub struct Comfort {
    position: u64,
}

impl Comfort {
    pub fn new() -> Self {
        Self::default()
    }

    /// The next samples; what was there is overwritten.
    pub fn fill(&mut self, samples: &mut [i16]) {
        for sample in samples {
            *sample = (tone(self.position) + noise(self.position)) as i16;
            self.position += 1;
        }
    }
}

const fn len(ms: u64) -> u64 {
    ms * Rate::LINE.0 as u64 / 1000
}

fn amplitude(dbfs: f32) -> f32 {
    32768.0 * 10.0_f32.powf(dbfs / 20.0)
}

fn tone(position: u64) -> f32 {
    let at = position % len(PERIOD_MS);
    let sounding = |tone: &&Tone| (len(tone.start_ms)..len(tone.start_ms + TONE_MS)).contains(&at);
    TONES.iter().find(sounding).map_or(0.0, |tone| {
        let at = (at - len(tone.start_ms)) as f32;
        let envelope = (1.0 - (TAU * at / len(TONE_MS) as f32).cos()) / 2.0;
        let peak = amplitude(TONE_DBFS) * std::f32::consts::SQRT_2;
        peak * envelope * (TAU * tone.hz * at / Rate::LINE.0 as f32).sin()
    })
}

/// White noise: the position, well mixed (the finaliser of SplitMix64), as a number between −1 and 1.
fn noise(position: u64) -> f32 {
    let mut mixed = position.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    let uniform = f32::from((mixed >> 48) as u16) / 32768.0 - 1.0;
    uniform * amplitude(NOISE_DBFS) * 3.0_f32.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: usize, chunk: usize) -> Vec<i16> {
        let mut samples = vec![i16::MAX; count * 8000];
        let mut comfort = Comfort::new();
        for chunk in samples.chunks_mut(chunk) {
            comfort.fill(chunk);
        }
        samples
    }

    fn level_db(samples: &[i16]) -> f64 {
        let sum: f64 = samples.iter().map(|&sample| f64::from(sample).powi(2)).sum();
        10.0 * (sum / samples.len() as f64 / 32768.0_f64.powi(2)).log10()
    }

    #[test]
    fn it_is_never_loud_and_never_silent() {
        let levels: Vec<f64> = seconds(20, 160).chunks(160).map(level_db).collect();
        let (low, high) = levels.iter().fold((0.0_f64, -100.0_f64), |(l, h), &x| (l.min(x), h.max(x)));
        assert!(low > -62.0, "{low}");
        assert!((-37.0..-35.0).contains(&high), "{high}");
        assert_eq!(
            levels.iter().filter(|&&level| level > -50.0).count(),
            10 * 2 * 4,
            "the middle 80 ms of two tones in 2 s"
        );
    }

    #[test]
    fn it_has_no_clicks() {
        let samples = seconds(20, 160);
        let steepest = samples.windows(2).map(|pair| (pair[1] - pair[0]).abs()).max();
        assert!(steepest.unwrap() < 450, "{steepest:?}");
    }

    #[test]
    fn it_is_the_same_in_any_chunks_and_does_not_repeat_its_noise() {
        let samples = seconds(8, 160);
        assert_eq!(samples, seconds(8, 37));
        assert_ne!(samples[..2400], samples[16_000..18_400]);
    }
}
