//! Sound out of replies: raw PCM in pieces of any length, or a WAV file, at the rate the reply states.

use crate::audio::resample::Resampler;
use crate::audio::{Rate, wav};
use crate::job::Failure;

/// Rates that are converted: each has whole 5 ms blocks, which the resampler needs, and is one that speech is made
/// at. A rate is a number from the wire, so nothing else reaches the resampler.
const RATES: [Rate; 6] =
    [Rate(8_000), Rate(12_000), Rate(16_000), Rate::MODEL_OUT, Rate(32_000), Rate(48_000)];

/// Turns the bytes of one stream into samples at [`Rate::MODEL_OUT`].
#[derive(Debug)]
pub(super) struct Decoder {
    rate: Rate,
    /// `None`: the rate is right already.
    resampler: Option<Resampler>,
    /// The first byte of a sample whose second one has not come yet.
    odd: Option<u8>,
}

impl Decoder {
    /// For 16-bit little-endian mono PCM at `rate`.
    pub(super) fn new(rate: Rate) -> Result<Self, Failure> {
        if !RATES.contains(&rate) {
            let message = format!("audio at {} Hz, which cannot be converted", rate.0);
            return Err(Failure::Unreadable { message });
        }
        let resampler = (rate != Rate::MODEL_OUT).then(|| Resampler::new(rate, Rate::MODEL_OUT));
        Ok(Self { rate, resampler, odd: None })
    }

    pub(super) const fn rate(&self) -> Rate {
        self.rate
    }

    /// The samples that are whole now; half a sample waits for the next bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<i16> {
        let mut samples = Vec::with_capacity(bytes.len() / 2 + 1);
        let mut bytes = bytes;
        if let (Some(low), Some((&high, rest))) = (self.odd, bytes.split_first()) {
            samples.push(i16::from_le_bytes([low, high]));
            self.odd = None;
            bytes = rest;
        }
        let (pairs, rest) = bytes.as_chunks::<2>();
        samples.extend(pairs.iter().map(|&pair| i16::from_le_bytes(pair)));
        self.odd = rest.first().copied().or(self.odd);
        self.convert(samples)
    }

    /// What the resampler still holds; half a sample is nothing.
    pub(super) fn finish(mut self) -> Vec<i16> {
        let mut out = Vec::new();
        if let Some(resampler) = &mut self.resampler {
            resampler.flush(&mut out);
        }
        out
    }

    fn convert(&mut self, samples: Vec<i16>) -> Vec<i16> {
        let Some(resampler) = &mut self.resampler else { return samples };
        let mut out = Vec::new();
        resampler.push(&samples, &mut out);
        out
    }
}

/// The samples of a whole reply: a WAV file if it begins like one, otherwise raw PCM at [`Rate::MODEL_OUT`].
pub(super) fn whole(bytes: &[u8]) -> Result<Vec<i16>, Failure> {
    if !bytes.starts_with(b"RIFF") {
        return Decoder::new(Rate::MODEL_OUT).map(|mut decoder| decoder.push(bytes));
    }
    let file = wav::read(bytes).map_err(|error| Failure::Unreadable { message: error.to_string() })?;
    if file.channels != 1 {
        return Err(Failure::Unreadable { message: format!("audio of {} channels", file.channels) });
    }
    let mut decoder = Decoder::new(file.rate)?;
    let mut samples = decoder.convert(file.samples);
    if !samples.is_empty() || decoder.resampler.is_some() {
        samples.extend(decoder.finish());
    }
    Ok(samples)
}

/// The rate of a media type that is raw PCM, [`Rate::MODEL_OUT`] if it states none. Gemini says
/// `audio/L16;codec=pcm;rate=24000` and means little-endian; other spellings of the same are taken too.
pub(super) fn rate_of(mime_type: &str) -> Result<Rate, Failure> {
    let unreadable = || Failure::Unreadable { message: format!("{} in place of PCM", shown(mime_type)) };
    let mut fields = mime_type.split(';').map(|field| field.trim().to_ascii_lowercase());
    let is_pcm = fields.next().is_some_and(|essence| PCM_TYPES.contains(&essence.as_str()));
    if !is_pcm {
        return Err(unreadable());
    }
    let mut rate = Rate::MODEL_OUT;
    for field in fields {
        match field.split_once('=').map(|(name, value)| (name.trim(), value.trim().trim_matches('"'))) {
            Some(("rate", value)) => rate = Rate(value.parse().map_err(|_| unreadable())?),
            Some(("channels", value)) if value != "1" => return Err(unreadable()),
            Some(_) | None => {}
        }
    }
    Ok(rate)
}

const PCM_TYPES: [&str; 5] =
    ["audio/l16", "audio/pcm", "audio/x-pcm", "audio/raw", "application/octet-stream"];

/// A media type for a message: as much as the longest sensible one has.
fn shown(mime_type: &str) -> String {
    const SHOWN_MAX: usize = 80;
    if mime_type.is_empty() {
        "no media type".to_owned()
    } else {
        mime_type.chars().take(SHOWN_MAX).collect()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::audio::wav::Wav;

    fn bytes(samples: &[i16]) -> Vec<u8> {
        samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
    }

    #[rstest]
    #[case(1)]
    #[case(2)]
    #[case(3)]
    #[case(7)]
    #[case(1000)]
    fn the_cut_of_the_pieces_changes_nothing(#[case] len: usize) {
        let samples: Vec<i16> = (-50..50).map(|n| n * 300).collect();
        let mut decoder = Decoder::new(Rate::MODEL_OUT).unwrap();
        let out: Vec<i16> = bytes(&samples).chunks(len).flat_map(|piece| decoder.push(piece)).collect();
        assert_eq!(out, samples);
        assert!(decoder.push(&[]).is_empty());
    }

    #[rstest]
    #[case(8_000)]
    #[case(16_000)]
    #[case(48_000)]
    fn another_rate_is_converted(#[case] hertz: u32) {
        let samples = vec![1000; hertz as usize / 10];
        let mut decoder = Decoder::new(Rate(hertz)).unwrap();
        let mut out = decoder.push(&bytes(&samples));
        out.extend(decoder.finish());
        assert!((2400..=2640).contains(&out.len()), "100 ms are {} samples", out.len());
        let file = Wav { rate: Rate(hertz), channels: 1, samples };
        assert_eq!(whole(&wav::write(&file)).unwrap(), out);
    }

    #[test]
    fn a_whole_reply_is_a_file_or_raw() {
        let file = Wav { rate: Rate::MODEL_OUT, channels: 1, samples: vec![1, -2, 3] };
        assert_eq!(whole(&wav::write(&file)).unwrap(), [1, -2, 3]);
        assert_eq!(whole(&bytes(&[1, -2, 3])).unwrap(), [1, -2, 3]);
        assert!(whole(&[]).unwrap().is_empty());
    }

    #[rstest]
    #[case(Wav { rate: Rate(22_050), channels: 1, samples: vec![1] }, "22050 Hz")]
    #[case(Wav { rate: Rate(0), channels: 1, samples: vec![1] }, "0 Hz")]
    #[case(Wav { rate: Rate(u32::MAX / 4), channels: 1, samples: vec![1] }, "Hz")]
    #[case(Wav { rate: Rate::MODEL_OUT, channels: 2, samples: vec![1, 2] }, "2 channels")]
    fn a_file_of_another_kind_is_unreadable_and_says_why(#[case] file: Wav, #[case] reason: &str) {
        let failure = whole(&wav::write(&file)).unwrap_err();
        assert!(failure.to_string().contains(reason), "{failure}");
    }

    #[rstest]
    #[case("audio/L16;codec=pcm;rate=24000", 24_000)]
    #[case("audio/pcm", 24_000)]
    #[case("Audio/PCM; Rate=\"16000\"; channels=1", 16_000)]
    #[case("application/octet-stream", 24_000)]
    fn pcm_is_known_by_many_names(#[case] mime_type: &str, #[case] hertz: u32) {
        assert_eq!(rate_of(mime_type), Ok(Rate(hertz)));
    }

    #[rstest]
    #[case("")]
    #[case("audio/mpeg")]
    #[case("text/html; charset=utf-8")]
    #[case("application/json")]
    #[case("audio/pcm;rate=fast")]
    #[case("audio/L16;rate=24000;channels=2")]
    fn what_is_no_mono_pcm_is_unreadable(#[case] mime_type: &str) {
        assert!(matches!(rate_of(mime_type), Err(Failure::Unreadable { .. })));
    }
}
