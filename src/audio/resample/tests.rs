//! The same tables for both kinds of resampler: what comes out, when, and how clean.

use rstest::rstest;

use super::*;

type Make = fn(Rate, Rate) -> Resampler;
type Rates = (Rate, Rate);

const FIR: Make = Resampler::new;
const FFT: Make = Resampler::fft;

const UP: Rates = (Rate::LINE, Rate::MODEL_IN);
const DOWN: Rates = (Rate::MODEL_OUT, Rate::LINE);
/// Of a fallback's voice.
const OTHER: Rates = (Rate(16_000), Rate::MODEL_OUT);

fn tone(rate: Rate, hertz: f64, amplitude: f64, seconds: f64) -> Vec<i16> {
    (0..(f64::from(rate.0) * seconds) as usize)
        .map(|n| (amplitude * (std::f64::consts::TAU * hertz * n as f64 / f64::from(rate.0)).sin()) as i16)
        .collect()
}

fn convert(make: Make, (from, to): Rates, samples: &[i16], chunk: usize) -> Vec<i16> {
    let mut resampler = make(from, to);
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
#[case(UP, true)]
#[case(DOWN, true)]
#[case(OTHER, false)]
#[case((Rate::LINE, Rate::MODEL_OUT), false)]
fn calls_are_filtered_and_other_rates_are_transformed(#[case] rates: Rates, #[case] is_filtered: bool) {
    let is_fft = matches!(Resampler::new(rates.0, rates.1).0, Method::Fft(_));
    assert_eq!(!is_fft, is_filtered);
}

#[rstest]
fn chunk_size_changes_nothing(
    #[values(FIR, FFT)] make: Make,
    #[values(UP, DOWN, OTHER)] rates: Rates,
    #[values(1, 7, 160, 480, 4801)] chunk: usize,
) {
    let samples = tone(rates.0, 700.0, 8000.0, 0.5);
    let whole = convert(make, rates, &samples, samples.len());
    assert_eq!(convert(make, rates, &samples, chunk), whole);
}

#[rstest]
fn twenty_milliseconds_in_are_twenty_out(
    #[values(FIR, FFT)] make: Make,
    #[values(UP, DOWN, OTHER)] rates: Rates,
) {
    let (from, to) = rates;
    let mut resampler = make(from, to);
    let mut out = Vec::new();
    for count in 1..=50 {
        resampler.push(&vec![0; from.frame_len()], &mut out);
        assert_eq!(out.len(), count * to.frame_len());
    }
}

#[rstest]
#[case(FIR, UP, 1.4375)]
#[case(FIR, DOWN, 1.125)]
#[case(FFT, UP, 2.5)]
#[case(FFT, DOWN, 2.5)]
#[case(FFT, OTHER, 2.5)]
fn content_is_delayed_by_a_known_time(
    #[case] make: Make,
    #[case] (from, to): Rates,
    #[case] expected_ms: f64,
) {
    let mut samples = vec![0; from.frame_len() * 5];
    samples[from.frame_len()] = 30000;
    let out = convert(make, (from, to), &samples, 480);
    let peak = (0..out.len()).max_by_key(|&n| out[n].unsigned_abs()).unwrap();
    let delay_ms = peak as f64 * 1000.0 / f64::from(to.0) - 20.0;
    assert!((delay_ms - expected_ms).abs() < 0.2, "{delay_ms} ms");
}

/// Upsampling leaves an image at 8 kHz − f; downsampling folds f above 4 kHz onto 8 kHz − f and its like.
#[rstest]
#[case(UP, 300.0, 7700.0)]
#[case(UP, 1000.0, 7000.0)]
#[case(UP, 3000.0, 5000.0)]
#[case(UP, 3300.0, 4700.0)]
#[case(DOWN, 4700.0, 3300.0)]
#[case(DOWN, 5000.0, 3000.0)]
#[case(DOWN, 6500.0, 1500.0)]
#[case(DOWN, 9000.0, 1000.0)]
#[case(DOWN, 11000.0, 3000.0)]
fn images_and_aliases_are_sixty_db_down(
    #[values(FIR, FFT)] make: Make,
    #[case] rates: Rates,
    #[case] hertz: f64,
    #[case] ghost: f64,
) {
    let out = convert(make, rates, &tone(rates.0, hertz, 16000.0, 1.0), 480);
    let sent = 20.0 * (16000.0_f64 / 32768.0).log10();
    let rejection = sent - level(&out[800..out.len() - 800], rates.1, ghost);
    assert!(rejection >= 60.0, "{hertz} Hz leaves a ghost only {rejection:.1} dB down at {ghost} Hz");
}

#[rstest]
#[case(FIR, 0.3)]
#[case(FFT, 1.0)]
fn the_telephone_band_passes_evenly(
    #[case] make: Make,
    #[case] ripple_db: f64,
    #[values(UP, DOWN)] rates: Rates,
    #[values(300.0, 1000.0, 2000.0, 3000.0, 3400.0)] hertz: f64,
) {
    let out = convert(make, rates, &tone(rates.0, hertz, 16000.0, 1.0), 480);
    let gain = level(&out[800..out.len() - 800], rates.1, hertz) - 20.0 * (16000.0_f64 / 32768.0).log10();
    assert!(gain.abs() < ripple_db, "{gain:.2} dB at {hertz} Hz");
}

#[rstest]
#[case(UP, 4)]
#[case(DOWN, 12)]
fn loud_input_saturates_and_does_not_wrap(
    #[values(FIR, FFT)] make: Make,
    #[case] rates: Rates,
    #[case] half_wave: usize,
) {
    let square = |n: usize| if (n / half_wave).is_multiple_of(2) { i16::MAX } else { i16::MIN };
    let out = convert(make, rates, &(0..24000).map(square).collect::<Vec<_>>(), 480);
    assert!(out.contains(&i16::MAX) && out.contains(&i16::MIN));
    let is_wrapped = |pair: &[i16]| pair[0] == i16::MAX && pair[1] == i16::MIN;
    assert!(!out.windows(2).any(is_wrapped));
}

/// A reset leaves nothing of what was pushed, a flush all of it, and both leave a fresh stream.
#[rstest]
fn a_stream_ends_whole_or_not_at_all_and_the_next_one_is_fresh(
    #[values(FIR, FFT)] make: Make,
    #[values(UP, DOWN, OTHER)] rates: Rates,
    #[values(0, 1, 39, 40, 777)] len: usize,
) {
    let (from, to) = rates;
    let samples = tone(from, 700.0, 8000.0, 0.1);
    let fresh = convert(make, (from, to), &samples, samples.len());
    let mut resampler = make(from, to);
    let mut out = Vec::new();
    resampler.push(&samples[..len], &mut out);
    resampler.flush(&mut out);
    let (len_in, block_in) = (len as u64, u64::from(from.0) / 200);
    let blocks = len_in.div_ceil(block_in) + 1;
    assert_eq!(out.len() as u64, blocks * u64::from(to.0) / 200, "to the end of its block, and one more");
    out.clear();
    resampler.push(&samples[..len], &mut Vec::new());
    resampler.reset();
    resampler.push(&samples, &mut out);
    resampler.flush(&mut out);
    assert_eq!(out, fresh);
}

#[rstest]
#[case(0.0, 0)]
#[case(0.4, 0)]
#[case(-0.4, 0)]
#[case(0.6, 1)]
#[case(-0.6, -1)]
#[case(1.5, 2)]
#[case(-12_345.4, -12_345)]
#[case(32_767.4, i16::MAX)]
#[case(1e9, i16::MAX)]
#[case(-32_768.0, i16::MIN)]
#[case(-1e9, i16::MIN)]
fn samples_are_rounded_to_nearest_and_saturate(#[case] sample: f32, #[case] expected: i16) {
    assert_eq!(to_i16(sample), expected);
}
