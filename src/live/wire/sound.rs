//! The model's sound, whichever media type it comes with, as mono samples of 24 kHz.

use std::borrow::Cow;

use super::super::Malformed;
use super::message::Blob;
use crate::audio::resample::Resampler;
use crate::audio::{Rate, g711, wav};
use crate::base64;
use crate::media_type::{Kind, MediaType};

/// Samples that are handed over together: 100 ms.
const PIECE: usize = Rate::MODEL_OUT.frame_len() * 5;

/// Bytes of a data URL before its data.
const DATA_URL_HEAD_MAX: usize = 256;

/// Channels that are mixed into one.
const CHANNELS_MAX: u16 = 8;

/// Keeps what must survive between messages: a part of a sample, and what a conversion holds.
#[derive(Debug, Default)]
pub(super) struct Sound {
    /// The first bytes of a sample whose others have not come yet.
    rest: Vec<u8>,
    /// For sound of another rate than the usual one.
    converter: Option<Converter>,
}

#[derive(Debug)]
struct Converter {
    from: Rate,
    resampler: Resampler,
    /// Something was pushed since the last flush.
    is_fed: bool,
}

/// How bytes are samples.
#[derive(Clone, Copy, Debug)]
struct Format {
    is_mulaw: bool,
    is_big_endian: bool,
    rate: Rate,
    channels: u16,
}

/// `audio/pcm;rate=24000` on the developer service, `audio/pcm` on Vertex: 24 kHz in both cases, and without a type too.
const USUAL: Format = Format { is_mulaw: false, is_big_endian: false, rate: Rate::MODEL_OUT, channels: 1 };

impl Sound {
    /// Hands the samples that are whole now to `hand`, piece by piece. The usual format takes one allocation.
    pub(super) fn take(&mut self, blob: &Blob<'_>, mut hand: impl FnMut(&[i16])) -> Result<(), Malformed> {
        let (data, labelled) = data_url(blob.data.as_deref().unwrap_or_default());
        let format = format(blob.mime_type.as_deref().or(labelled).unwrap_or_default())?;
        // Not kept until the next message: a few times a second, and as much as the audio of every call.
        let mut bytes = Vec::with_capacity(data.len() / 4 * 3 + 4 + self.rest.len());
        bytes.append(&mut self.rest);
        let is_whole = bytes.is_empty();
        base64::decode_into(data, &mut bytes).map_err(|_| Malformed::Base64)?;
        if is_whole && bytes.starts_with(b"RIFF") {
            let wav = wav::read(&bytes).map_err(|_| Malformed::MimeType)?;
            let samples = mixed(&wav.samples, wav.channels)?;
            return self.convert(&samples, wav.rate, &mut hand);
        }
        if format.is_mulaw {
            let mut samples = Vec::with_capacity(bytes.len());
            g711::decode_into(&bytes, &mut samples);
            let samples = mixed(&samples, format.channels)?;
            return self.convert(&samples, format.rate, &mut hand);
        }
        let whole = bytes.len() - bytes.len() % (2 * usize::from(format.channels));
        self.rest.extend_from_slice(&bytes[whole..]);
        let pairs = bytes[..whole].as_chunks::<2>().0;
        if format.channels == 1 && format.rate == Rate::MODEL_OUT && !format.is_big_endian {
            for pairs in pairs.chunks(PIECE) {
                let mut samples = [0; PIECE];
                for (slot, &pair) in samples.iter_mut().zip(pairs) {
                    *slot = i16::from_le_bytes(pair);
                }
                hand(&samples[..pairs.len()]);
            }
            return Ok(());
        }
        let sample = if format.is_big_endian { i16::from_be_bytes } else { i16::from_le_bytes };
        let samples: Vec<_> = pairs.iter().map(|&pair| sample(pair)).collect();
        self.convert(&mixed(&samples, format.channels)?, format.rate, &mut hand)
    }

    /// The turn has no more sound: hands over what a conversion still holds. Half a sample is nothing.
    pub(super) fn finish(&mut self, mut hand: impl FnMut(&[i16])) {
        self.rest.clear();
        if let Some(converter) = self.converter.as_mut().filter(|converter| converter.is_fed) {
            let mut out = Vec::new();
            converter.resampler.flush(&mut out);
            converter.is_fed = false;
            out.chunks(PIECE).for_each(&mut hand);
        }
    }

    /// What came so far is stale.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    fn convert(
        &mut self,
        samples: &[i16],
        from: Rate,
        hand: &mut impl FnMut(&[i16]),
    ) -> Result<(), Malformed> {
        if from == Rate::MODEL_OUT {
            samples.chunks(PIECE).for_each(hand);
            return Ok(());
        }
        if !is_convertible(from) {
            return Err(Malformed::MimeType);
        }
        let converter = match self.converter.take().filter(|converter| converter.from == from) {
            Some(converter) => self.converter.insert(converter),
            None => {
                let resampler = Resampler::any(from, Rate::MODEL_OUT);
                self.converter.insert(Converter { from, resampler, is_fed: false })
            }
        };
        let mut out = Vec::new();
        converter.resampler.push(samples, &mut out);
        converter.is_fed |= !samples.is_empty();
        out.chunks(PIECE).for_each(hand);
        Ok(())
    }
}

/// The data and the media type of `data:audio/pcm;rate=24000;base64,…` (RFC 2397); other text is data alone.
fn data_url(text: &[u8]) -> (&[u8], Option<&str>) {
    let is_url = text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"data:"));
    let comma = text.iter().take(DATA_URL_HEAD_MAX).position(|byte| *byte == b',');
    match comma.filter(|_| is_url) {
        Some(comma) => (&text[comma + 1..], std::str::from_utf8(&text[5..comma]).ok()),
        None => (text, None),
    }
}

/// Rates that speech has.
fn is_convertible(rate: Rate) -> bool {
    (8_000..=96_000).contains(&rate.0)
}

/// Gemini says `audio/L16;codec=pcm;rate=24000` in other interfaces and means little-endian, as everywhere; so only what
/// is called big-endian is.
fn format(mime_type: &str) -> Result<Format, Malformed> {
    if matches!(mime_type, "" | "audio/pcm;rate=24000" | "audio/pcm" | "application/octet-stream") {
        return Ok(USUAL);
    }
    let media = MediaType::parse(mime_type);
    let channels = media.channels.unwrap_or(1);
    let is_mulaw = media.kind == Kind::Mulaw;
    let usual_rate = if is_mulaw { Rate::LINE } else { USUAL.rate };
    match media.kind {
        Kind::Pcm | Kind::L16 | Kind::Mulaw | Kind::Wav if channels <= CHANNELS_MAX => Ok(Format {
            is_mulaw,
            is_big_endian: media.is_big_endian.unwrap_or(false),
            rate: media.rate.map_or(usual_rate, Rate),
            channels,
        }),
        Kind::Pcm | Kind::L16 | Kind::Mulaw | Kind::Wav | Kind::Alaw | Kind::Other => {
            Err(Malformed::MimeType)
        }
    }
}

/// One channel of several.
fn mixed(samples: &[i16], channels: u16) -> Result<Cow<'_, [i16]>, Malformed> {
    match channels {
        1 => Ok(samples.into()),
        2..=CHANNELS_MAX => {
            let mean = |frame: &[i16]| {
                let sum: i32 = frame.iter().map(|&sample| i32::from(sample)).sum();
                (sum / i32::from(channels)) as i16
            };
            Ok(samples.chunks_exact(channels.into()).map(mean).collect())
        }
        _ => Err(Malformed::MimeType),
    }
}
