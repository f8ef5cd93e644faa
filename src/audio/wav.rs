//! WAV files in memory: PCM 16-bit and mu-law.

use super::{Rate, g711};

/// Decoded audio, channels interleaved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wav {
    pub rate: Rate,
    pub channels: u16,
    pub samples: Vec<i16>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("not a WAV file: the RIFF/WAVE header is missing")]
    NotWav,
    #[error("the WAV file has no `{0}` chunk, or it is cut short")]
    Chunk(&'static str),
    #[error("unsupported WAV encoding: format {format}, {bits} bits; use 16-bit PCM (1) or mu-law (7)")]
    Encoding { format: u16, bits: u16 },
}

const FORMAT_PCM: u16 = 1;
const FORMAT_MULAW: u16 = 7;

/// The raw mu-law bytes of a mu-law file.
pub fn read_mulaw(file: &[u8]) -> Result<&[u8], Error> {
    let (format, data) = chunks(file)?;
    match format.encoding {
        (FORMAT_MULAW, 8) => Ok(data),
        (format, bits) => Err(Error::Encoding { format, bits }),
    }
}

/// The samples of a PCM or mu-law file.
pub fn read(file: &[u8]) -> Result<Wav, Error> {
    let (format, data) = chunks(file)?;
    let mut samples = Vec::new();
    match format.encoding {
        (FORMAT_PCM, 16) => {
            samples.extend(data.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
        }
        (FORMAT_MULAW, 8) => g711::decode_into(data, &mut samples),
        (format, bits) => return Err(Error::Encoding { format, bits }),
    }
    Ok(Wav { rate: format.rate, channels: format.channels, samples })
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

struct Format {
    encoding: (u16, u16),
    channels: u16,
    rate: Rate,
}

/// Finds the `fmt ` and `data` chunks (RIFF: id, length, body padded to an even length).
fn chunks(file: &[u8]) -> Result<(Format, &[u8]), Error> {
    if file.len() < 12 || &file[..4] != b"RIFF" || &file[8..12] != b"WAVE" {
        return Err(Error::NotWav);
    }
    let mut format = None;
    let mut rest = &file[12..];
    while let Some((header, body)) = rest.split_first_chunk::<8>() {
        let len = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
        match &header[..4] {
            b"fmt " => format = Some(read_format(body.get(..len).ok_or(Error::Chunk("fmt "))?)?),
            b"data" => {
                let data = body.get(..len).ok_or(Error::Chunk("data"))?;
                return Ok((format.ok_or(Error::Chunk("fmt "))?, data));
            }
            _ => {}
        }
        rest = body.get(len + len % 2..).unwrap_or_default();
    }
    Err(Error::Chunk("data"))
}

fn read_format(body: &[u8]) -> Result<Format, Error> {
    let field = |at: usize| body.get(at..at + 2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let missing = Error::Chunk("fmt ");
    let (Some(format), Some(channels), Some(low), Some(high), Some(bits)) =
        (field(0), field(2), field(4), field(6), field(14))
    else {
        return Err(missing);
    };
    Ok(Format { encoding: (format, bits), channels, rate: Rate(u32::from(high) << 16 | u32::from(low)) })
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

    #[rstest]
    #[case(b"", Error::NotWav)]
    #[case(b"RIFF\0\0\0\0WAVE", Error::Chunk("data"))]
    #[case(b"RIFF\0\0\0\0WAVEdata\xff\xff\xff\xff", Error::Chunk("data"))]
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
