//! Streaming sample-rate conversion between the line and the model.
//!
//! rubato's FFT resampler with 5 ms blocks and a Hann window: 2.5 ms of delay and more than 60 dB of image and
//! alias rejection at 8→16 kHz and 24→8 kHz. Squared windows run into denormals, the polynomial modes do not
//! filter at all, and the default block is four times as late.

use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Fft, FixedSync, Indexing, Resampler as _, WindowFunction};

use super::Rate;

/// Blocks per second: the resampler works on 5 ms at a time.
const BLOCKS_PER_SECOND: usize = 200;

/// Converts one mono stream. State is kept across calls, so that chunk borders are inaudible.
pub struct Resampler {
    fft: Fft<f32>,
    input: Vec<f32>,
    output: Vec<f32>,
    /// How many samples of `input` are waiting for a full block.
    filled: usize,
}

impl Resampler {
    /// # Panics
    ///
    /// If a rate is not a multiple of 200 Hz: rates come from this program, never from a peer.
    pub fn new(from: Rate, to: Rate) -> Self {
        let (block_in, block_out) = (block(from), block(to));
        let fft = Fft::new_custom(
            from.0 as usize,
            to.0 as usize,
            block_in,
            1,
            1,
            WindowFunction::Hann,
            FixedSync::Input,
        )
        .expect("rates and block length are constants of this program");
        Self { fft, input: vec![0.0; block_in], output: vec![0.0; block_out], filled: 0 }
    }

    /// Appends the converted samples to `out`: for every full 5 ms that came in exactly 5 ms go out. What does
    /// not fill a block waits for the next call. Allocates only where `out` must grow.
    pub fn push(&mut self, mut samples: &[i16], out: &mut Vec<i16>) {
        while !samples.is_empty() {
            let taken = samples.len().min(self.input.len() - self.filled);
            let (now, later) = samples.split_at(taken);
            for (slot, &sample) in self.input[self.filled..].iter_mut().zip(now) {
                *slot = f32::from(sample);
            }
            self.filled += taken;
            samples = later;
            if self.filled == self.input.len() {
                self.convert(out);
            }
        }
    }

    /// Ends the stream: pads with silence until everything that was pushed has come out, and starts afresh.
    /// Gives between 5 and 10 ms.
    pub fn flush(&mut self, out: &mut Vec<i16>) {
        if self.filled > 0 {
            self.input[self.filled..].fill(0.0);
            self.convert(out);
        }
        self.input.fill(0.0);
        self.convert(out);
        self.reset();
    }

    /// Forgets everything that was pushed and has not come out.
    pub fn reset(&mut self) {
        self.fft.reset();
        self.filled = 0;
    }

    fn convert(&mut self, out: &mut Vec<i16>) {
        let (frames_in, frames_out) = (self.input.len(), self.output.len());
        let input = SequentialSlice::new(&self.input[..], 1, frames_in).expect("one channel of one block");
        let mut output =
            SequentialSlice::new_mut(&mut self.output[..], 1, frames_out).expect("one channel of one block");
        let (_, written) = self
            .fft
            .process_into_buffer(&input, &mut output, None::<&Indexing>)
            .expect("buffers have the length that the resampler asks for");
        out.extend(self.output[..written].iter().map(|&sample| to_i16(sample)));
        self.filled = 0;
    }
}

impl std::fmt::Debug for Resampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Resampler({} → {} samples per block)", self.input.len(), self.output.len())
    }
}

fn block(rate: Rate) -> usize {
    let rate = rate.0 as usize;
    assert!(rate.is_multiple_of(BLOCKS_PER_SECOND), "a rate of {rate} Hz has no whole 5 ms blocks");
    rate / BLOCKS_PER_SECOND
}

/// Rounds to nearest by adding and removing 1.5·2²³, several times as fast as `round`; `as` saturates.
fn to_i16(sample: f32) -> i16 {
    const MAGIC: f32 = 12_582_912.0;
    ((sample.clamp(-32768.0, 32767.0) + MAGIC) - MAGIC) as i16
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const UP: (Rate, Rate) = (Rate::LINE, Rate::MODEL_IN);
    const DOWN: (Rate, Rate) = (Rate::MODEL_OUT, Rate::LINE);

    fn tone(rate: Rate, hertz: f64, amplitude: f64, seconds: f64) -> Vec<i16> {
        (0..(f64::from(rate.0) * seconds) as usize)
            .map(|n| {
                (amplitude * (std::f64::consts::TAU * hertz * n as f64 / f64::from(rate.0)).sin()) as i16
            })
            .collect()
    }

    fn convert((from, to): (Rate, Rate), samples: &[i16], chunk: usize) -> Vec<i16> {
        let mut resampler = Resampler::new(from, to);
        let mut out = Vec::new();
        for chunk in samples.chunks(chunk) {
            resampler.push(chunk, &mut out);
        }
        resampler.flush(&mut out);
        out
    }

    /// Power of one frequency, by correlation, in dB relative to full scale.
    fn level(samples: &[i16], rate: Rate, hertz: f64) -> f64 {
        let (mut re, mut im) = (0.0, 0.0);
        for (n, &sample) in samples.iter().enumerate() {
            let phase = std::f64::consts::TAU * hertz * n as f64 / f64::from(rate.0);
            re += f64::from(sample) * phase.cos();
            im += f64::from(sample) * phase.sin();
        }
        20.0 * (2.0 * re.hypot(im) / samples.len() as f64 / 32768.0).log10()
    }

    #[rstest]
    #[case(UP, 160)]
    #[case(UP, 1)]
    #[case(UP, 7)]
    #[case(DOWN, 480)]
    #[case(DOWN, 1)]
    #[case(DOWN, 4801)]
    fn chunk_size_changes_nothing(#[case] rates: (Rate, Rate), #[case] chunk: usize) {
        let samples = tone(rates.0, 700.0, 8000.0, 0.5);
        assert_eq!(convert(rates, &samples, chunk), convert(rates, &samples, samples.len()));
    }

    #[rstest]
    #[case(UP, 160, 320)]
    #[case(DOWN, 480, 160)]
    fn twenty_milliseconds_in_are_twenty_out(
        #[case] (from, to): (Rate, Rate),
        #[case] len_in: usize,
        #[case] len_out: usize,
    ) {
        let mut resampler = Resampler::new(from, to);
        let mut out = Vec::new();
        for count in 1..=50 {
            resampler.push(&vec![0; len_in], &mut out);
            assert_eq!(out.len(), count * len_out);
        }
    }

    #[rstest]
    #[case(UP)]
    #[case(DOWN)]
    fn content_is_delayed_by_two_and_a_half_milliseconds(#[case] (from, to): (Rate, Rate)) {
        let mut samples = vec![0; from.frame_len() * 5];
        samples[from.frame_len()] = 30000;
        let out = convert((from, to), &samples, 480);
        let peak = (0..out.len()).max_by_key(|&n| out[n].unsigned_abs()).unwrap();
        let delay_ms = peak as f64 * 1000.0 / f64::from(to.0) - 20.0;
        assert!((2.3..=2.7).contains(&delay_ms), "{delay_ms} ms");
    }

    /// Upsampling leaves an image at 8 kHz − f; downsampling folds f above 4 kHz onto 8 kHz − f and its like.
    #[rstest]
    #[case(UP, 1000.0, 7000.0)]
    #[case(UP, 3000.0, 5000.0)]
    #[case(DOWN, 6500.0, 1500.0)]
    #[case(DOWN, 5000.0, 3000.0)]
    #[case(DOWN, 11000.0, 3000.0)]
    fn images_and_aliases_are_sixty_db_down(
        #[case] rates: (Rate, Rate),
        #[case] hertz: f64,
        #[case] ghost: f64,
    ) {
        let out = convert(rates, &tone(rates.0, hertz, 16000.0, 1.0), 480);
        let sent = 20.0 * (16000.0_f64 / 32768.0).log10();
        let rejection = sent - level(&out[800..out.len() - 800], rates.1, ghost);
        assert!(rejection >= 60.0, "{hertz} Hz leaves a ghost only {rejection:.1} dB down at {ghost} Hz");
    }

    #[rstest]
    #[case(UP, 300.0)]
    #[case(UP, 3000.0)]
    #[case(DOWN, 300.0)]
    #[case(DOWN, 3000.0)]
    fn the_telephone_band_passes_within_a_decibel(#[case] rates: (Rate, Rate), #[case] hertz: f64) {
        let out = convert(rates, &tone(rates.0, hertz, 16000.0, 1.0), 480);
        let gain = level(&out[800..out.len() - 800], rates.1, hertz) - 20.0 * (16000.0_f64 / 32768.0).log10();
        assert!(gain.abs() < 1.0, "{gain:.2} dB at {hertz} Hz");
    }

    #[test]
    fn loud_input_saturates_and_does_not_wrap() {
        let square: Vec<i16> =
            (0..24000).map(|n| if n / 12 % 2 == 0 { i16::MAX } else { i16::MIN }).collect();
        let out = convert(DOWN, &square, 480);
        assert!(out.windows(2).filter(|pair| pair[0] == i16::MAX && pair[1] == i16::MIN).count() == 0);
    }
}
