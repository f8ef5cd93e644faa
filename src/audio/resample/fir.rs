//! Polyphase FIR filters between the line's 8 kHz and the rates of the model, behind rubato's trait.
//!
//! Both filters are equiripple, linear-phase and symmetric; they pass up to 3.4 kHz, where a telephone ends (ITU-T
//! G.712), and stop from 4.6 kHz, whose images and aliases would come to lie below that. Outputs of the same phase
//! have the same coefficients: input is sorted into lanes of 8 kHz, in which what one coefficient meets for
//! successive outputs lies side by side, so that a coefficient is applied to many outputs at once by vector
//! instructions, and only once to the two inputs that share it.

use rubato::audioadapter::{Adapter, AdapterMut};
use rubato::{Adjustable, Indexing, ResampleError, ResampleResult, Resampler, Resizable};

use crate::audio::Rate;

/// Frames at 8 kHz in 5 ms, the block of both filters: as many sums as fit into the vector registers of x86-64.
const BLOCK: usize = 40;

/// 8 to 16 kHz: 47 taps of which every other one is zero but for the one in the middle, so that every other output
/// is an input. Images are 63.5 dB down, the ripple is 0.006 dB, the delay 1.44 ms. Made with the Parks-McClellan
/// algorithm from a filter of half the length (Vaidyanathan and Nguyen, "A 'trick' for the design of FIR half-band
/// filters", 1987); from the outside in.
const UP_TAPS: [f32; 12] = [
    -0.001_664_348,
    0.003_019_264_7,
    -0.005_593_699_4,
    0.009_458_936,
    -0.015_036_692,
    0.022_905_055,
    -0.033_956_643,
    0.049_780_536,
    -0.073_720_984,
    0.114_496_29,
    -0.204_292_39,
    0.633_944_7,
];

/// 24 to 8 kHz: 55 taps, from the inside out. Aliases are 65.5 dB down, the ripple is 0.14 dB, the delay 1.125 ms.
/// Made with the Parks-McClellan algorithm, errors above 4.6 kHz counting thirty times those below 3.4 kHz.
const DOWN_TAPS: [f32; 28] = [
    0.322_855_92,
    0.269_659_3,
    0.141_477_5,
    0.010_283_039,
    -0.060_788_29,
    -0.056_315_213,
    -0.009_717_106,
    0.029_480_996,
    0.033_217_26,
    0.008_828_212_5,
    -0.016_327_685,
    -0.021_573_223,
    -0.007_691_801,
    0.009_103_684,
    0.014_250_607,
    0.006_397_876,
    -0.004_751_33,
    -0.009_213_308,
    -0.005_037_133_6,
    0.002_148_626_1,
    0.005_730_294,
    0.003_731_207,
    -0.000_922_061_2,
    -0.004_168_805,
    -0.004_307_429,
    -0.002_453_633_6,
    -0.000_634_266,
    0.000_280_573_56,
];

/// Frames of a lane that are kept for the next block, at least as many as the oldest tap reaches back.
const HISTORY: usize = 24;
/// One of the lanes: its history, then the block.
type Lane = [f32; HISTORY + BLOCK];

/// For an even output and the one after it.
static UP: [Phase; 2] = [
    Phase { middle: None, pairs: &up_pairs() },
    Phase { middle: Some(Tap { coefficient: 1.0, at: Place::new(-11, 1) }), pairs: &[] },
];

static DOWN: [Phase; 1] =
    [Phase { middle: Some(Tap { coefficient: DOWN_TAPS[0], at: Place::new(-27, 3) }), pairs: &down_pairs() }];

/// What is added up for one of the outputs that there are for a frame at 8 kHz.
#[derive(Debug)]
struct Phase {
    middle: Option<Tap>,
    pairs: &'static [Pair],
}

#[derive(Debug)]
struct Tap {
    coefficient: f32,
    at: Place,
}

/// Two taps with the same coefficient.
#[derive(Clone, Copy, Debug)]
struct Pair {
    coefficient: f32,
    at: [Place; 2],
}

/// What a tap meets for the first output of a block.
#[derive(Clone, Copy, Debug)]
struct Place {
    lane: usize,
    frame: usize,
}

impl Place {
    /// Of the sample that came so long after the first one of the block.
    const fn new(time: isize, lanes: isize) -> Self {
        let frame = HISTORY.strict_add_signed(time.div_euclid(lanes));
        Self { lane: time.rem_euclid(lanes) as usize, frame }
    }
}

const fn up_pairs() -> [Pair; 12] {
    let mut pairs = [Pair { coefficient: 0.0, at: [Place::new(0, 1); 2] }; 12];
    let mut index = 0;
    while index < pairs.len() {
        let late = -(index as isize);
        pairs[index] =
            Pair { coefficient: UP_TAPS[index], at: [Place::new(-23 - late, 1), Place::new(late, 1)] };
        index += 1;
    }
    pairs
}

const fn down_pairs() -> [Pair; 27] {
    let mut pairs = [Pair { coefficient: 0.0, at: [Place::new(0, 3); 2] }; 27];
    let mut index = 0;
    while index < pairs.len() {
        let far = index as isize + 1;
        let at = [Place::new(-27 - far, 3), Place::new(-27 + far, 3)];
        pairs[index] = Pair { coefficient: DOWN_TAPS[index + 1], at };
        index += 1;
    }
    pairs
}

/// Resamples one channel, 5 ms at a time: `OUT` samples for every `IN`. Does not allocate.
#[derive(Debug)]
pub(super) struct Fir<const IN: usize, const OUT: usize> {
    phases: &'static [Phase; OUT],
    lanes: [Lane; IN],
    /// In samples of the output.
    delay: usize,
}

impl Fir<1, 2> {
    pub(super) const RATES: (Rate, Rate) = (Rate::LINE, Rate::MODEL_IN);

    pub(super) const fn up() -> Self {
        Self { phases: &UP, lanes: [[0.0; HISTORY + BLOCK]; 1], delay: 23 }
    }
}

impl Fir<3, 1> {
    pub(super) const RATES: (Rate, Rate) = (Rate::MODEL_OUT, Rate::LINE);

    pub(super) const fn down() -> Self {
        Self { phases: &DOWN, lanes: [[0.0; HISTORY + BLOCK]; 3], delay: 9 }
    }
}

impl<const IN: usize, const OUT: usize> Fir<IN, OUT> {
    fn sort_into_lanes(&mut self, block: &[[f32; IN]; BLOCK]) {
        for (n, samples) in block.iter().enumerate() {
            for (lane, &sample) in self.lanes.iter_mut().zip(samples) {
                lane[HISTORY + n] = sample;
            }
        }
    }

    fn filter(&self, block: &mut [[f32; OUT]; BLOCK]) {
        for (index, phase) in self.phases.iter().enumerate() {
            let sums = phase.sums(&self.lanes);
            for (slot, sum) in block.iter_mut().zip(sums) {
                slot[index] = sum;
            }
        }
    }

    /// How much is to be read, if buffers and indexing fit.
    fn check(
        &self,
        input: &dyn Adapter<f32>,
        output: &dyn AdapterMut<f32>,
        indexing: &Indexing,
    ) -> ResampleResult<usize> {
        let len = self.input_frames_next();
        let read = indexing.partial_len.map_or(len, |partial| partial.min(len));
        let (expected_in, expected_out) =
            (read + indexing.input_offset, self.output_frames_next() + indexing.output_offset);
        let (channels_in, channels_out) = (input.channels(), output.channels());
        let (frames_in, frames_out) = (input.frames(), output.frames());
        let mask_len = indexing.active_channels_mask.as_ref().map_or(1, Vec::len);
        if mask_len != 1 {
            Err(ResampleError::WrongNumberOfMaskChannels { expected: 1, actual: mask_len })
        } else if channels_in != 1 {
            Err(ResampleError::WrongNumberOfInputChannels { expected: 1, actual: channels_in })
        } else if channels_out != 1 {
            Err(ResampleError::WrongNumberOfOutputChannels { expected: 1, actual: channels_out })
        } else if frames_in < expected_in {
            Err(ResampleError::InsufficientInputBufferSize { expected: expected_in, actual: frames_in })
        } else if frames_out < expected_out {
            Err(ResampleError::InsufficientOutputBufferSize { expected: expected_out, actual: frames_out })
        } else {
            Ok(read)
        }
    }
}

impl Phase {
    /// All outputs of a block: loops over whole arrays, for the compiler to vectorise.
    fn sums(&self, lanes: &[Lane]) -> [f32; BLOCK] {
        let samples = |at: Place| {
            let samples = lanes[at.lane][at.frame..].first_chunk::<BLOCK>();
            samples.expect("a tap of the last output is within the block")
        };
        let mut sums = [0.0; BLOCK];
        if let Some(Tap { coefficient, at }) = self.middle {
            let samples = samples(at);
            for (sum, sample) in sums.iter_mut().zip(samples) {
                *sum = coefficient * sample;
            }
        }
        for &Pair { coefficient, at: [early, late] } in self.pairs {
            let pairs = samples(early).iter().zip(samples(late));
            for (sum, (early, late)) in sums.iter_mut().zip(pairs) {
                *sum += coefficient * (early + late);
            }
        }
        sums
    }
}

impl<const IN: usize, const OUT: usize> Resampler<f32> for Fir<IN, OUT> {
    fn process_into_buffer(
        &mut self,
        input: &dyn Adapter<f32>,
        output: &mut dyn AdapterMut<f32>,
        indexing: Option<&Indexing>,
    ) -> ResampleResult<(usize, usize)> {
        let whole = Indexing::new();
        let indexing = indexing.unwrap_or(&whole);
        let read = self.check(input, output, indexing)?;
        let is_active = indexing.active_channels_mask.as_ref().is_none_or(|mask| mask == &[true]);
        if is_active {
            let (mut samples, mut out) = ([[0.0; IN]; BLOCK], [[0.0; OUT]; BLOCK]);
            let slots = &mut samples.as_flattened_mut()[..read];
            input.copy_from_channel_to_slice(0, indexing.input_offset, slots);
            self.sort_into_lanes(&samples);
            self.filter(&mut out);
            output.copy_from_slice_to_channel(0, indexing.output_offset, out.as_flattened());
            self.lanes.iter_mut().for_each(|lane| lane.copy_within(BLOCK.., 0));
        }
        Ok((IN * BLOCK, OUT * BLOCK))
    }

    fn input_frames_max(&self) -> usize {
        IN * BLOCK
    }

    fn input_frames_next(&self) -> usize {
        IN * BLOCK
    }

    fn nbr_channels(&self) -> usize {
        1
    }

    fn output_frames_max(&self) -> usize {
        OUT * BLOCK
    }

    fn output_frames_next(&self) -> usize {
        OUT * BLOCK
    }

    fn output_delay(&self) -> usize {
        self.delay
    }

    fn resample_ratio(&self) -> f64 {
        OUT as f64 / IN as f64
    }

    fn reset(&mut self) {
        self.lanes.as_flattened_mut().fill(0.0);
    }

    fn as_adjustable(&mut self) -> Option<&mut dyn Adjustable<f32>> {
        None
    }

    fn as_resizable(&mut self) -> Option<&mut dyn Resizable<f32>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use rstest::rstest;
    use rubato::audioadapter_buffers::direct::SequentialSlice;
    use rubato::audioadapter_buffers::owned::InterleavedOwned;

    use super::*;

    fn process<const IN: usize, const OUT: usize>(fir: &mut Fir<IN, OUT>, input: &[f32]) -> Vec<f32> {
        let input = SequentialSlice::new(input, 1, input.len()).unwrap();
        fir.process(&input, None).unwrap().take_data()
    }

    /// The taps, by impulses: each gives every so-many-th of them, beginning with another.
    fn taps<const IN: usize, const OUT: usize>(mut fir: Fir<IN, OUT>) -> Vec<f64> {
        let mut taps = vec![0.0; BLOCK * IN * OUT];
        for at in 0..IN {
            let mut impulse = vec![0.0; BLOCK * IN];
            impulse[at] = 1.0;
            fir.reset();
            for (n, sample) in process(&mut fir, &impulse).into_iter().enumerate() {
                if let Some(tap) = (n * IN).checked_sub(at * OUT) {
                    taps[tap] = f64::from(sample);
                }
            }
        }
        taps
    }

    /// Gain in dB at a frequency, by the taps.
    fn gain(taps: &[f64], rate: f64, hertz: f64) -> f64 {
        let angle = |n: usize| TAU * hertz * n as f64 / rate;
        let re: f64 = taps.iter().enumerate().map(|(n, tap)| tap * angle(n).cos()).sum();
        let im: f64 = taps.iter().enumerate().map(|(n, tap)| tap * angle(n).sin()).sum();
        20.0 * re.hypot(im).log10()
    }

    /// What the constants promise, at every 10 Hz. The taps are spread over the higher of the two rates; stuffing
    /// zeros halves the level, which the filter upwards makes good.
    #[rstest]
    #[case::up(taps(Fir::up()), (47, 16_000, 2.0), 0.006, 63.5)]
    #[case::down(taps(Fir::down()), (55, 24_000, 1.0), 0.14, 65.4)]
    fn the_response_is_that_of_the_design(
        #[case] taps: Vec<f64>,
        #[case] (count, rate, level): (usize, u32, f64),
        #[case] ripple_db: f64,
        #[case] rejection_db: f64,
    ) {
        assert_eq!(taps.iter().rposition(|&tap| tap != 0.0), Some(count - 1));
        assert_eq!(taps[..count].iter().rev().collect::<Vec<_>>(), taps[..count].iter().collect::<Vec<_>>());
        let unity = 20.0 * level.log10();
        let gain = |hertz: u32| gain(&taps, f64::from(rate), f64::from(hertz)) - unity;
        for hertz in (0..=3400).step_by(10) {
            assert!(gain(hertz).abs() <= ripple_db, "{} dB at {hertz} Hz", gain(hertz));
        }
        for hertz in (4600..=rate / 2).step_by(10) {
            assert!(gain(hertz) <= -rejection_db, "{} dB at {hertz} Hz", gain(hertz));
        }
    }

    #[rstest]
    #[case(Fir::up(), 2.0)]
    #[case(Fir::down(), 1.0 / 3.0)]
    fn a_clip_comes_out_in_its_place(#[case] mut fir: impl Resampler<f32>, #[case] ratio: f64) {
        let mut clip = vec![0.0; 1500];
        clip[300] = 1.0;
        let input = SequentialSlice::new(&clip, 1, clip.len()).unwrap();
        let out = fir.process_all(&input, clip.len(), None).unwrap().take_data();
        assert_eq!(out.len(), (1500.0 * ratio) as usize);
        let peak = out.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
        assert_eq!(peak, (300.0 * ratio) as usize);
    }

    #[test]
    fn every_other_sample_at_sixteen_kilohertz_is_one_of_the_line() {
        let line: Vec<f32> = (0..40).map(|n| (n * n * 31 % 4001) as f32).collect();
        let out = process(&mut Fir::up(), &line);
        let kept: Vec<f32> = out.into_iter().skip(23).step_by(2).collect();
        assert_eq!(kept, line[..kept.len()]);
    }

    #[rstest]
    #[case::short_input((1, 119), (1, 40), None, Err(short_input(120, 119)))]
    #[case::short_output((1, 120), (1, 39), None, Err(short_output(40, 39)))]
    #[case::input_offset((1, 120), (1, 40), Some(Indexing::new().input_offset(1)), Err(short_input(121, 120)))]
    #[case::output_offset((1, 120), (1, 40), Some(Indexing::new().output_offset(1)), Err(short_output(41, 40)))]
    #[case::two_inputs(
        (2, 120),
        (1, 40),
        None,
        Err(ResampleError::WrongNumberOfInputChannels { expected: 1, actual: 2 })
    )]
    #[case::two_outputs(
        (1, 120),
        (2, 40),
        None,
        Err(ResampleError::WrongNumberOfOutputChannels { expected: 1, actual: 2 })
    )]
    #[case::long_mask(
        (1, 120),
        (1, 40),
        Some(Indexing::new().active_channels_mask(vec![true; 2])),
        Err(ResampleError::WrongNumberOfMaskChannels { expected: 1, actual: 2 })
    )]
    #[case::no_input((1, 0), (1, 40), Some(Indexing::new().partial_len(0)), Ok(true))]
    #[case::partial(
        (1, 8),
        (1, 41),
        Some(Indexing::new().partial_len(7).input_offset(1).output_offset(1)),
        Ok(true)
    )]
    #[case::inactive((1, 120), (1, 40), Some(Indexing::new().active_channels_mask(vec![false])), Ok(false))]
    fn buffers_and_indexing_are_those_of_the_trait(
        #[case] (channels_in, frames_in): (usize, usize),
        #[case] (channels_out, frames_out): (usize, usize),
        #[case] indexing: Option<Indexing>,
        #[case] expected: ResampleResult<bool>,
    ) {
        let input = InterleavedOwned::new(1.0_f32, channels_in, frames_in);
        let mut output = InterleavedOwned::new(7.0_f32, channels_out, frames_out);
        let result = Fir::down().process_into_buffer(&input, &mut output, indexing.as_ref());
        assert_eq!(result, expected.map(|_| (120, 40)));
        if let Ok(is_written) = expected {
            let kept = output.take_data().iter().filter(|&&sample| sample == 7.0).count();
            assert_eq!(kept, if is_written { frames_out - 40 } else { frames_out });
        }
    }

    fn short_input(expected: usize, actual: usize) -> ResampleError {
        ResampleError::InsufficientInputBufferSize { expected, actual }
    }

    fn short_output(expected: usize, actual: usize) -> ResampleError {
        ResampleError::InsufficientOutputBufferSize { expected, actual }
    }
}
