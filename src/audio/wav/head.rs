//! What comes before the samples of a WAV file: its chunks and its format.

use super::super::{Rate, g711};
use super::{Error, FORMAT_ALAW, FORMAT_EXTENSIBLE, FORMAT_FLOAT, FORMAT_MULAW, FORMAT_PCM};

/// From this size on a length stands for "not known yet": ffmpeg writes all ones, others the largest that a signed
/// reader takes, or that less the header.
const UNKNOWN_LEN: u64 = 0x7FFF_0000;

/// Speech with more channels than an orchestra is a broken header.
const CHANNELS_MAX: u16 = 32;

/// Rates beyond these are a broken header.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=384_000;

/// How one sample is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// 8 bits, without a sign.
    Unsigned8,
    Signed16,
    Signed24,
    Signed32,
    Float32,
    Float64,
    ALaw,
    MuLaw,
}

impl Encoding {
    /// Bytes of one sample.
    #[allow(clippy::len_without_is_empty, reason = "no sample is empty")]
    pub const fn len(self) -> usize {
        match self {
            Self::Unsigned8 | Self::ALaw | Self::MuLaw => 1,
            Self::Signed16 => 2,
            Self::Signed24 => 3,
            Self::Signed32 | Self::Float32 => 4,
            Self::Float64 => 8,
        }
    }

    fn of(tag: u16, len: usize) -> Option<Self> {
        Some(match (tag, len) {
            (FORMAT_PCM, 1) => Self::Unsigned8,
            (FORMAT_PCM, 2) => Self::Signed16,
            (FORMAT_PCM, 3) => Self::Signed24,
            (FORMAT_PCM, 4) => Self::Signed32,
            (FORMAT_FLOAT, 4) => Self::Float32,
            (FORMAT_FLOAT, 8) => Self::Float64,
            (FORMAT_ALAW, 1) => Self::ALaw,
            (FORMAT_MULAW, 1) => Self::MuLaw,
            _ => return None,
        })
    }

    /// One sample of [`Encoding::len`] bytes.
    fn sample(self, bytes: &[u8]) -> i16 {
        match (self, bytes) {
            (Self::Unsigned8, &[byte]) => (i16::from(byte) - 128) << 8,
            (Self::Signed16, &[low, high])
            | (Self::Signed24, &[_, low, high])
            | (Self::Signed32, &[_, _, low, high]) => i16::from_le_bytes([low, high]),
            (Self::Float32, &[a, b, c, d]) => scaled(f64::from(f32::from_le_bytes([a, b, c, d]))),
            (Self::Float64, &[a, b, c, d, e, f, g, h]) => {
                scaled(f64::from_le_bytes([a, b, c, d, e, f, g, h]))
            }
            (Self::ALaw, &[byte]) => g711::decode_alaw(byte),
            (Self::MuLaw, &[byte]) => g711::decode(byte),
            _ => 0,
        }
    }
}

/// What is no number is silence.
fn scaled(sample: f64) -> i16 {
    (sample * 32768.0).round().clamp(-32768.0, 32767.0) as i16
}

/// The format of the samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    pub encoding: Encoding,
    pub channels: u16,
    pub rate: Rate,
    pub bits: u16,
}

impl Format {
    pub(super) const fn tag(self) -> u16 {
        match self.encoding {
            Encoding::Unsigned8 | Encoding::Signed16 | Encoding::Signed24 | Encoding::Signed32 => FORMAT_PCM,
            Encoding::Float32 | Encoding::Float64 => FORMAT_FLOAT,
            Encoding::ALaw => FORMAT_ALAW,
            Encoding::MuLaw => FORMAT_MULAW,
        }
    }

    /// Appends the samples of `data`; what is no whole sample is left out.
    pub fn decode(self, data: &[u8], out: &mut Vec<i16>) {
        if self.encoding == Encoding::MuLaw {
            return g711::decode_into(data, out);
        }
        let samples = data.chunks_exact(self.encoding.len());
        out.extend(samples.map(|bytes| self.encoding.sample(bytes)));
    }

    /// The samples of `data`, its channels mixed.
    pub fn decode_mono(self, data: &[u8]) -> Vec<i16> {
        let mut samples = Vec::with_capacity(data.len() / self.encoding.len());
        self.decode(data, &mut samples);
        super::mix(samples, self.channels)
    }

    fn read(body: &[u8]) -> Result<Self, Error> {
        let missing = Error::Chunk("fmt ");
        let field = |at: usize| body.get(at..at + 2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        let (Some(tag), Some(channels), Some(low), Some(high), Some(align), Some(bits)) =
            (field(0), field(2), field(4), field(6), field(12), field(14))
        else {
            return Err(missing);
        };
        let rate = u32::from(high) << 16 | u32::from(low);
        if !(1..=CHANNELS_MAX).contains(&channels) || !RATES.contains(&rate) {
            return Err(Error::Shape { channels, rate });
        }
        let tag = if tag == FORMAT_EXTENSIBLE { field(24).ok_or(missing)? } else { tag };
        // 20 bits in 3 bytes and 24 in 4 are as well read as what fills its bytes.
        let of_bits = usize::from(bits.div_ceil(8));
        let of_align = usize::from(align / channels);
        let len = if of_align < of_bits { of_bits } else { of_align };
        let encoding = Encoding::of(tag, len).or_else(|| Encoding::of(tag, of_bits));
        let encoding = encoding.ok_or(Error::Encoding { format: tag, bits })?;
        Ok(Self { encoding, channels, rate: Rate(rate), bits })
    }
}

/// The head of a file, and where its samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub format: Format,
    /// Where the samples begin.
    pub data_at: usize,
    /// How many bytes they are; `None`: all that come.
    pub data_len: Option<u64>,
}

impl Head {
    /// Whether a file may begin like this.
    pub fn is_begun_by(bytes: &[u8]) -> bool {
        [b"RIFF", b"RF64", b"BW64", b"RIFX"].iter().any(|id| bytes.starts_with(*id))
    }

    /// The head of a file that begins like this; `None`: its samples have not begun yet.
    pub fn find(file: &[u8]) -> Result<Option<Self>, Error> {
        let is_wave = file.get(8..12).is_some_and(|kind| kind == b"WAVE");
        match file.get(..4) {
            Some(b"RIFF" | b"RF64" | b"BW64") if is_wave => {}
            Some(b"RIFX") if is_wave => return Err(Error::BigEndian),
            _ => return Err(Error::NotWav),
        }
        let (mut format, mut long_len, mut at) = (None, None, 12);
        while let Some((header, body)) = file.get(at..).and_then(|rest| rest.split_first_chunk::<8>()) {
            let len = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
            let body_at = at + 8;
            let whole = body.get(..len as usize);
            match &header[..4] {
                b"data" => {
                    let format = format.ok_or(Error::Chunk("fmt "))?;
                    let len = long_len.unwrap_or_else(|| u64::from(len));
                    let is_known = len > 0 && len < UNKNOWN_LEN;
                    return Ok(Some(Self { format, data_at: body_at, data_len: is_known.then_some(len) }));
                }
                b"fmt " => match whole {
                    Some(body) => format = Some(Format::read(body)?),
                    None => return Ok(None),
                },
                // RF64: the lengths that did not fit into 32 bits (EBU Tech 3306).
                b"ds64" => {
                    long_len = body.get(8..16).and_then(|len| Some(u64::from_le_bytes(len.try_into().ok()?)))
                }
                _ => {}
            }
            let Some(next) = next_chunk(file, body_at.saturating_add(len as usize), len) else {
                return Ok(None);
            };
            at = next;
        }
        Ok(None)
    }

    /// The samples of a whole file: as many as it has, where it promises more.
    pub(super) fn data<'a>(&self, file: &'a [u8]) -> &'a [u8] {
        let data = file.get(self.data_at..).unwrap_or_default();
        let len = self.data_len.and_then(|len| usize::try_from(len).ok());
        &data[..len.unwrap_or(data.len()).min(data.len())]
    }
}

/// Where the chunk after one that ends at `end` begins: at an even place, but for writers that forget it.
fn next_chunk(file: &[u8], end: usize, len: u32) -> Option<usize> {
    if len.is_multiple_of(2) {
        return Some(end);
    }
    let id = file.get(end..end + 4)?;
    let is_known =
        [b"fmt ", b"data", b"LIST", b"fact", b"bext", b"JUNK", b"ds64"].iter().any(|known| id == *known);
    Some(if is_known { end } else { end + 1 })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::audio::wav;

    fn chunk(id: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let pad = if body.len().is_multiple_of(2) { &[][..] } else { &[0] };
        [&id[..], &(body.len() as u32).to_le_bytes(), body, pad].concat()
    }

    fn format(tag: u16, channels: u16, rate: u32, bits: u16) -> Vec<u8> {
        let align = channels * bits.div_ceil(8);
        let fields = [tag.to_le_bytes(), channels.to_le_bytes()].concat();
        let rates = [rate.to_le_bytes(), (rate * u32::from(align)).to_le_bytes()].concat();
        [fields, rates, [align.to_le_bytes(), bits.to_le_bytes()].concat()].concat()
    }

    fn extensible(tag: u16, bits: u16, valid: u16) -> Vec<u8> {
        let guid = [&tag.to_le_bytes()[..], b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"].concat();
        [
            format(0xFFFE, 1, 16_000, bits),
            [22_u16.to_le_bytes(), valid.to_le_bytes()].concat(),
            vec![4, 0, 0, 0],
            guid,
        ]
        .concat()
    }

    fn riff(chunks: &[Vec<u8>]) -> Vec<u8> {
        [&b"RIFF\0\0\0\0WAVE"[..], &chunks.concat()].concat()
    }

    fn samples(file: &[u8]) -> Vec<i16> {
        wav::read(file).unwrap().samples
    }

    #[rstest]
    #[case::eight(1, 8, &[0, 128, 255], &[-32768, 0, 32512])]
    #[case::sixteen(1, 16, &[1, 0, 255, 255], &[1, -1])]
    #[case::twenty_four(1, 24, &[9, 1, 0, 9, 255, 255], &[1, -1])]
    #[case::thirty_two(1, 32, &[9, 9, 1, 0, 9, 9, 255, 255], &[1, -1])]
    #[case::float(3, 32, &[0, 0, 0, 63, 0, 0, 128, 191, 0, 0, 192, 127], &[16384, -32768, 0])]
    #[case::double(3, 64, &[0, 0, 0, 0, 0, 0, 0xE0, 0x3F], &[16384])]
    #[case::a_law(6, 8, &[0xD5, 0x55, 0x2A], &[8, -8, -32256])]
    #[case::mu_law(7, 8, &[0xFF, 0x00], &[0, -32124])]
    fn every_encoding_is_read(
        #[case] tag: u16,
        #[case] bits: u16,
        #[case] data: &[u8],
        #[case] expected: &[i16],
    ) {
        let plain = riff(&[chunk(b"fmt ", &format(tag, 1, 16_000, bits)), chunk(b"data", data)]);
        assert_eq!(samples(&plain), expected);
        let longer = riff(&[chunk(b"fmt ", &extensible(tag, bits, bits)), chunk(b"data", data)]);
        assert_eq!(samples(&longer), expected, "EXTENSIBLE");
    }

    #[rstest]
    #[case::known(&[4, 0, 0, 0], &[1, 2])]
    #[case::zero(&[0, 0, 0, 0], &[1, 2, 3])]
    #[case::all_ones(&[255, 255, 255, 255], &[1, 2, 3])]
    #[case::the_largest_with_a_sign(&[255, 255, 255, 127], &[1, 2, 3])]
    #[case::less_the_header(&[219, 255, 255, 127], &[1, 2, 3])]
    #[case::more_than_there_is(&[100, 0, 0, 0], &[1, 2, 3])]
    fn a_length_is_believed_as_far_as_there_are_samples(#[case] len: &[u8], #[case] expected: &[i16]) {
        let data = [b"data", len, &[1, 0, 2, 0, 3, 0, 9]].concat();
        assert_eq!(samples(&riff(&[chunk(b"fmt ", &format(1, 1, 8000, 16)), data])), expected);
    }

    #[rstest]
    #[case::list(chunk(b"LIST", b"INFOISFT\x05\0\0\0Lavf\0\0"))]
    #[case::bext(chunk(b"bext", &[7; 602]))]
    #[case::fact(chunk(b"fact", &[2, 0, 0, 0]))]
    #[case::odd(chunk(b"JUNK", b"12345"))]
    #[case::odd_and_not_filled(chunk(b"JUNK", b"12345")[..13].to_vec())]
    #[case::empty(chunk(b"PAD ", b""))]
    fn other_chunks_are_passed_over(#[case] other: Vec<u8>) {
        let fmt = chunk(b"fmt ", &format(1, 1, 8000, 16));
        let data = chunk(b"data", &[1, 0, 2, 0]);
        for chunks in [[other.clone(), fmt.clone(), data.clone()], [fmt.clone(), other.clone(), data.clone()]]
        {
            assert_eq!(samples(&riff(&chunks)), [1, 2]);
        }
        assert_eq!(samples(&riff(&[fmt, data, other])), [1, 2], "behind the samples");
    }

    #[test]
    fn a_long_file_has_its_lengths_elsewhere() {
        let mut ds64 = vec![0; 28];
        ds64[8] = 4;
        let fmt = chunk(b"fmt ", &format(1, 1, 48_000, 16));
        let chunks = [chunk(b"ds64", &ds64), fmt, b"data\xff\xff\xff\xff\x01\0\x02\0LIST".to_vec()];
        for id in [b"RF64", b"BW64"] {
            let mut file = riff(&chunks);
            file[..4].copy_from_slice(id);
            assert_eq!(samples(&file), [1, 2]);
        }
    }

    #[test]
    fn twenty_bits_are_read_from_their_bytes() {
        let data = chunk(b"data", &[0x10, 1, 0, 0xF0, 255, 255]);
        assert_eq!(samples(&riff(&[chunk(b"fmt ", &extensible(1, 24, 20)), data])), [1, -1]);
    }

    #[rstest]
    #[case::adpcm(format(2, 1, 8000, 4), Error::Encoding { format: 2, bits: 4 })]
    #[case::mp3(format(85, 1, 8000, 0), Error::Encoding { format: 85, bits: 0 })]
    #[case::no_channel(format(1, 0, 8000, 16), Error::Shape { channels: 0, rate: 8000 })]
    #[case::no_rate(format(1, 1, 0, 16), Error::Shape { channels: 1, rate: 0 })]
    #[case::a_short_format(format(1, 1, 8000, 16)[..10].to_vec(), Error::Chunk("fmt "))]
    #[case::extensible_without_a_guid(format(0xFFFE, 1, 8000, 16), Error::Chunk("fmt "))]
    fn what_cannot_be_read_says_why(#[case] fmt: Vec<u8>, #[case] error: Error) {
        assert_eq!(wav::read(&riff(&[chunk(b"fmt ", &fmt), chunk(b"data", &[0, 0])])), Err(error));
    }
}
