//! WAV files: what is written (16-bit PCM and mu-law), and what is read, which is all that recorders and speech
//! servers write: sizes that are not known yet, further chunks, `EXTENSIBLE`, RF64, 8 to 64 bits, G.711.

mod head;
mod stream;

pub use self::head::{Encoding, Format, Head};
pub use self::stream::Stream;
use super::Rate;

/// Decoded audio, channels interleaved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wav {
    pub rate: Rate,
    pub channels: u16,
    pub samples: Vec<i16>,
}

impl Wav {
    /// The mean of the channels.
    pub fn mono(self) -> Vec<i16> {
        mix(self.samples, self.channels)
    }
}

/// The mean of interleaved channels; what is no whole frame is left out.
fn mix(samples: Vec<i16>, channels: u16) -> Vec<i16> {
    if channels == 1 {
        return samples;
    }
    let mean =
        |frame: &[i16]| frame.iter().map(|&sample| i32::from(sample)).sum::<i32>() / i32::from(channels);
    samples.chunks_exact(usize::from(channels.max(1))).map(|frame| mean(frame) as i16).collect()
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("not a WAV file: the RIFF/WAVE header is missing")]
    NotWav,
    #[error("the WAV file has no `{0}` chunk, or it is cut short")]
    Chunk(&'static str),
    #[error("unsupported WAV encoding: format {format}, {bits} bits; use 16-bit PCM (1) or mu-law (7)")]
    Encoding { format: u16, bits: u16 },
    #[error("the WAV file has {channels} channel(s) at {rate} Hz")]
    Shape { channels: u16, rate: u32 },
    #[error("big-endian WAV (RIFX) is not supported")]
    BigEndian,
}

const FORMAT_PCM: u16 = 1;
const FORMAT_FLOAT: u16 = 3;
const FORMAT_ALAW: u16 = 6;
const FORMAT_MULAW: u16 = 7;
/// The encoding is in a GUID (Microsoft, "Multiple channel audio data and WAVE files").
const FORMAT_EXTENSIBLE: u16 = 0xFFFE;

/// The raw mu-law bytes of a mu-law file of one channel.
pub fn read_mulaw(file: &[u8]) -> Result<&[u8], Error> {
    let head = Head::find(file)?.ok_or(Error::Chunk("data"))?;
    match head.format {
        Format { encoding: Encoding::MuLaw, .. } => Ok(head.data(file)),
        Format { bits, .. } => Err(Error::Encoding { format: head.format.tag(), bits }),
    }
}

/// The samples of a file in any of the encodings that [`Encoding`] knows.
pub fn read(file: &[u8]) -> Result<Wav, Error> {
    let head = Head::find(file)?.ok_or(Error::Chunk("data"))?;
    let mut samples = Vec::new();
    head.format.decode(head.data(file), &mut samples);
    let Format { rate, channels, .. } = head.format;
    Ok(Wav { rate, channels, samples })
}

/// A 16-bit PCM file of interleaved channels. Sizes beyond 4 GiB do not fit the format and saturate.
pub fn write(wav: &Wav) -> Vec<u8> {
    const HEADER_LEN: u32 = 36;
    let data_len = u32::try_from(wav.samples.len() * 2).unwrap_or(u32::MAX - HEADER_LEN);
    let mut file = Vec::with_capacity(44 + wav.samples.len() * 2);
    file.extend(b"RIFF");
    file.extend((data_len + HEADER_LEN).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    file.extend(FORMAT_PCM.to_le_bytes());
    file.extend(wav.channels.to_le_bytes());
    file.extend(wav.rate.0.to_le_bytes());
    file.extend((wav.rate.0 * u32::from(wav.channels) * 2).to_le_bytes());
    file.extend((wav.channels * 2).to_le_bytes());
    file.extend(16_u16.to_le_bytes());
    file.extend(b"data");
    file.extend(data_len.to_le_bytes());
    file.extend(wav.samples.iter().flat_map(|sample| sample.to_le_bytes()));
    file
}

/// A mu-law file of one channel at the rate of the line. Sizes beyond 4 GiB saturate as in [`write`].
pub fn write_mulaw(audio: &[u8]) -> Vec<u8> {
    const HEADER_LEN: u32 = 50;
    const FORMAT_LEN: u32 = 18;
    let (rate, len) = (Rate::LINE.0, u32::try_from(audio.len()).unwrap_or(u32::MAX - HEADER_LEN - 1));
    let mut file = Vec::with_capacity(audio.len() + 59);
    file.extend(b"RIFF");
    file.extend((HEADER_LEN + len + len % 2).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(FORMAT_LEN.to_le_bytes());
    file.extend(FORMAT_MULAW.to_le_bytes());
    file.extend(1_u16.to_le_bytes());
    file.extend(rate.to_le_bytes());
    file.extend(rate.to_le_bytes());
    file.extend([1_u16, 8, 0].iter().flat_map(|field| field.to_le_bytes()));
    // A format other than PCM says how many samples there are.
    file.extend(b"fact");
    file.extend(4_u32.to_le_bytes());
    file.extend(len.to_le_bytes());
    file.extend(b"data");
    file.extend(len.to_le_bytes());
    file.extend(audio);
    file.extend((audio.len() % 2 == 1).then_some(0));
    file
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rstest::rstest;

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let wav = Wav { rate: Rate::LINE, channels: 2, samples: vec![1, -2, i16::MAX, i16::MIN] };
        assert_eq!(read(&write(&wav)).unwrap(), wav);
    }

    #[rstest]
    #[case(b"")]
    #[case(&[0xFF, 0x7F])]
    #[case(&[1, 2, 3])]
    fn mulaw_that_is_written_is_read_back(#[case] audio: &[u8]) {
        let file = write_mulaw(audio);
        assert_eq!(read_mulaw(&file).unwrap(), audio);
        let wav = read(&file).unwrap();
        assert_eq!((wav.rate, wav.channels), (Rate::LINE, 1));
        let size = u32::from_le_bytes([file[4], file[5], file[6], file[7]]);
        assert_eq!(size as usize + 8, file.len());
    }

    #[test]
    fn a_file_of_two_channels_is_mixed() {
        let wav =
            Wav { rate: Rate(44_100), channels: 2, samples: vec![100, 300, -7, -8, i16::MIN, i16::MIN, 5] };
        assert_eq!(wav.mono(), [200, -7, i16::MIN]);
        let wav = Wav { rate: Rate(44_100), channels: 1, samples: vec![1, 2] };
        assert_eq!(wav.mono(), [1, 2]);
    }

    #[rstest]
    #[case(b"", Error::NotWav)]
    #[case(b"RIFF\0\0\0\0WAVE", Error::Chunk("data"))]
    #[case(b"RIFF\0\0\0\0WAVEdata\xff\xff\xff\xff", Error::Chunk("fmt "))]
    #[case(b"RIFX\0\0\0\0WAVE", Error::BigEndian)]
    #[case(b"RIFF\0\0\0\0AVI LIST", Error::NotWav)]
    #[case(b"RIFF\0\0\0\0WAVEfmt \x02\0\0\0\0\0", Error::Chunk("fmt "))]
    fn a_broken_file_is_refused_with_its_reason(#[case] file: &[u8], #[case] error: Error) {
        assert_eq!(read(file), Err(error));
    }

    #[rstest]
    fn a_cover_clip_is_mulaw_speech_at_the_level_of_a_telephone(
        #[files("fixtures/cover/*.wav")] path: PathBuf,
    ) {
        let file = std::fs::read(path).unwrap();
        let wav = read(&file).unwrap();
        assert_eq!(
            (wav.rate, wav.channels, wav.samples.len()),
            (Rate::LINE, 1, read_mulaw(&file).unwrap().len())
        );
        let power = wav.samples.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>()
            / wav.samples.len() as f64;
        let level = 10.0 * (power / 32768.0_f64.powi(2)).log10();
        assert!((-26.0..-20.0).contains(&level), "{level}");
        assert!((8_000..48_000).contains(&wav.samples.len()));
    }
}
