//! Streaming sample-rate conversion between the line and the model.
//!
//! Between the rates of a call by the filters of `fir`, in less than half the time and half the delay of the FFT.
//! Other rates are those of fallback services and files: rubato's FFT resampler with 5 ms blocks and a Hann window,
//! 2.5 ms late. Both suppress images and aliases by more than 60 dB. (Squared windows run into denormals, the
//! polynomial modes of rubato do not filter at all, and its default block is four times as late.)

mod fir;

use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Fft, FixedSync, Indexing, WindowFunction};

use self::fir::Fir;
use super::Rate;

/// Blocks per second: the resampler works on 5 ms at a time.
const BLOCKS_PER_SECOND: usize = 200;

/// The longest block of a rate that has none of 5 ms: 100 ms at 44.1 kHz.
const BLOCK_MAX: usize = 4410;

/// Converts one mono stream. State is kept across calls, so that chunk borders are inaudible.
#[derive(Debug)]
pub struct Resampler(Method);

#[derive(Debug)]
enum Method {
    Up(Box<Blocks<Fir<1, 2>>>),
    Down(Box<Blocks<Fir<3, 1>>>),
    Fft(Box<Blocks<Fft<f32>>>),
}

impl Resampler {
    /// # Panics
    ///
    /// If a rate is not a multiple of 200 Hz: rates come from this program, never from a peer.
    pub fn new(from: Rate, to: Rate) -> Self {
        match (from, to) {
            Fir::<1, 2>::RATES => Self(Method::Up(Box::new(Blocks::new(Fir::up())))),
            Fir::<3, 1>::RATES => Self(Method::Down(Box::new(Blocks::new(Fir::down())))),
            _ => Self::fft(from, to),
        }
    }

    /// Between rates that come from a file or a service. One that has no short common block with `to` is taken for
    /// the nearest that has one, which is off by 0.1 % at most.
    pub fn any(from: Rate, to: Rate) -> Self {
        let unit = |rate: u32| (rate / gcd(rate, to.0)) as usize;
        let rate = if unit(from.0) > BLOCK_MAX { (from.0 + 25) / 50 * 50 } else { from.0 };
        if rate.is_multiple_of(BLOCKS_PER_SECOND as u32) && to.0.is_multiple_of(BLOCKS_PER_SECOND as u32) {
            return Self::new(Rate(rate), to);
        }
        let block = (rate as usize / BLOCKS_PER_SECOND).next_multiple_of(unit(rate));
        let fft = Fft::new_custom(
            rate as usize,
            to.0 as usize,
            block,
            1,
            1,
            WindowFunction::Hann,
            FixedSync::Input,
        );
        let fft = fft.expect("neither rate is 0, and the block fits both");
        Self(Method::Fft(Box::new(Blocks::new(fft))))
    }

    /// As [`Resampler::new`], by the FFT in any case.
    pub fn fft(from: Rate, to: Rate) -> Self {
        let fft = Fft::new_custom(
            from.0 as usize,
            to.0 as usize,
            block(from),
            1,
            1,
            WindowFunction::Hann,
            FixedSync::Input,
        );
        let fft = fft.expect("rates and block length are constants of this program");
        assert_eq!(rubato::Resampler::output_frames_next(&fft), block(to), "every block gives 5 ms");
        Self(Method::Fft(Box::new(Blocks::new(fft))))
    }

    /// Appends the converted samples to `out`: for every full 5 ms that came in exactly 5 ms go out. What does
    /// not fill a block waits for the next call. Allocates only where `out` must grow.
    pub fn push(&mut self, samples: &[i16], out: &mut Vec<i16>) {
        match &mut self.0 {
            Method::Up(blocks) => blocks.push(samples, out),
            Method::Down(blocks) => blocks.push(samples, out),
            Method::Fft(blocks) => blocks.push(samples, out),
        }
    }

    /// Ends the stream: pads with silence until everything that was pushed has come out, and starts afresh.
    /// Gives between 5 and 10 ms.
    pub fn flush(&mut self, out: &mut Vec<i16>) {
        match &mut self.0 {
            Method::Up(blocks) => blocks.flush(out),
            Method::Down(blocks) => blocks.flush(out),
            Method::Fft(blocks) => blocks.flush(out),
        }
    }

    /// Forgets everything that was pushed and has not come out.
    pub fn reset(&mut self) {
        match &mut self.0 {
            Method::Up(blocks) => blocks.reset(),
            Method::Down(blocks) => blocks.reset(),
            Method::Fft(blocks) => blocks.reset(),
        }
    }
}

/// Feeds a resampler with blocks of its length, whatever the length of what is pushed.
struct Blocks<R> {
    resampler: R,
    input: Vec<f32>,
    output: Vec<f32>,
    /// How many samples of `input` are waiting for a full block.
    filled: usize,
}

impl<R: rubato::Resampler<f32>> Blocks<R> {
    fn new(resampler: R) -> Self {
        let input = vec![0.0; resampler.input_frames_next()];
        let output = vec![0.0; resampler.output_frames_next()];
        Self { resampler, input, output, filled: 0 }
    }

    fn push(&mut self, mut samples: &[i16], out: &mut Vec<i16>) {
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

    fn flush(&mut self, out: &mut Vec<i16>) {
        if self.filled > 0 {
            self.input[self.filled..].fill(0.0);
            self.convert(out);
        }
        self.input.fill(0.0);
        self.convert(out);
        self.reset();
    }

    fn reset(&mut self) {
        self.resampler.reset();
        self.filled = 0;
    }

    fn convert(&mut self, out: &mut Vec<i16>) {
        let (frames_in, frames_out) = (self.input.len(), self.output.len());
        let input = SequentialSlice::new(&self.input[..], 1, frames_in).expect("one channel of one block");
        let mut output =
            SequentialSlice::new_mut(&mut self.output[..], 1, frames_out).expect("one channel of one block");
        let (_, written) = self
            .resampler
            .process_into_buffer(&input, &mut output, None::<&Indexing>)
            .expect("buffers have the length that the resampler asks for");
        out.extend(self.output[..written].iter().map(|&sample| to_i16(sample)));
        self.filled = 0;
    }
}

impl<R> std::fmt::Debug for Blocks<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} → {} samples per block", self.input.len(), self.output.len())
    }
}

const fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn block(rate: Rate) -> usize {
    let rate = rate.0 as usize;
    assert!(rate.is_multiple_of(BLOCKS_PER_SECOND), "a rate of {rate} Hz has no whole 5 ms blocks");
    rate / BLOCKS_PER_SECOND
}

/// Rounds to nearest: after adding 1.5·2²³ the lowest bits of the float are the integer. Vectorised, and several
/// times as fast as `round`.
fn to_i16(sample: f32) -> i16 {
    const MAGIC: f32 = 12_582_912.0;
    (sample.clamp(-32768.0, 32767.0) + MAGIC).to_bits() as i16
}

#[cfg(test)]
mod tests;
