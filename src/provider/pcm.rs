//! Sound out of replies. What it is, its first bytes say: a WAV file, raw samples, or something that cannot be
//! played; what the media type says counts for raw samples only. Where it leaves the order of their bytes open, their
//! sound tells it. Silence is no answer either.

mod kind;
mod media;
mod order;

use self::kind::Kind;
use self::media::Declaration;
pub(super) use self::media::Declared;
use self::order::Order;
use super::refusal;
use crate::audio::Rate;
use crate::audio::resample::Resampler;
use crate::audio::wav::{self, Encoding, Format};
use crate::job::Failure;

/// Quieter samples are silence, about −60 dBFS: dither, and the noise of a voice that says nothing.
const QUIET: u16 = 32;

/// An answer that begins with so much silence is none: 3 s.
const SILENCE_MAX: usize = 3 * Rate::MODEL_OUT.0 as usize;

/// Turns the bytes of one stream into samples at [`Rate::MODEL_OUT`].
#[derive(Debug)]
pub(super) struct Decoder {
    declared: Declared,
    stage: Stage,
    /// Silence at the beginning; `None`: there was a sound.
    silence: Option<Vec<i16>>,
}

#[derive(Debug)]
enum Stage {
    /// It is not known yet what this is, or in which order its bytes are.
    Begin(Vec<u8>),
    Raw(Raw, Converter),
    Wav(wav::Stream, Option<Converter>),
}

/// Samples without a head; bytes that are no whole frame wait for the next ones.
#[derive(Debug)]
struct Raw {
    format: Format,
    order: Order,
    rest: Vec<u8>,
}

/// To [`Rate::MODEL_OUT`]; `None`: the rate is right already.
#[derive(Debug)]
struct Converter(Option<Resampler>);

impl Decoder {
    pub(super) const fn new(declared: Declared) -> Self {
        Self { declared, stage: Stage::Begin(Vec::new()), silence: Some(Vec::new()) }
    }

    pub(super) const fn declared(&self) -> &Declared {
        &self.declared
    }

    /// The samples that are whole now, from the first sound on.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<i16>, Failure> {
        let samples = match &mut self.stage {
            Stage::Begin(begin) => {
                begin.extend_from_slice(bytes);
                match kind::of(begin, false) {
                    None => Vec::new(),
                    Some(kind) => self.begin(kind, false)?,
                }
            }
            Stage::Raw(..) | Stage::Wav(..) => self.stage.decode(bytes)?,
        };
        self.pass(samples)
    }

    /// What is still held; half a sample is nothing.
    pub(super) fn finish(mut self) -> Result<Vec<i16>, Failure> {
        let mut samples = Vec::new();
        if let Stage::Begin(begin) = &self.stage {
            let kind = kind::of(begin, true).filter(|_| !begin.is_empty()).ok_or(Failure::Empty)?;
            samples = self.begin(kind, true)?;
        }
        if samples.is_empty() && self.silence.as_ref().is_some_and(Vec::is_empty) {
            return Err(Failure::Empty);
        }
        match &mut self.stage {
            Stage::Raw(_, converter) | Stage::Wav(_, Some(converter)) => converter.flush(&mut samples),
            Stage::Begin(_) | Stage::Wav(_, None) => {}
        }
        let samples = self.pass(samples)?;
        if self.silence.is_some() { Err(Failure::Silent) } else { Ok(samples) }
    }

    /// The first samples, if it is known now how to read them.
    fn begin(&mut self, kind: Kind, is_over: bool) -> Result<Vec<i16>, Failure> {
        let Stage::Begin(begin) = &mut self.stage else { return Ok(Vec::new()) };
        let stage = match (kind, &self.declared.other) {
            (Kind::Wav, _) => Stage::Wav(wav::Stream::default(), None),
            (Kind::Text, _) => return Err(refusal::in_place_of_audio(begin)),
            (Kind::Foreign(name), _) => return Err(foreign(name)),
            (Kind::Raw, Some(other)) => return Err(foreign(other)),
            (Kind::Raw, None) => {
                let format = self.declared.format;
                let Some(order) = self.declared.order(begin, is_over) else { return Ok(Vec::new()) };
                Stage::Raw(Raw { format, order, rest: Vec::new() }, Converter::new(format.rate))
            }
        };
        let begin = std::mem::take(begin);
        self.stage = stage;
        self.stage.decode(&begin)
    }

    /// Holds silence back until there is a sound.
    fn pass(&mut self, samples: Vec<i16>) -> Result<Vec<i16>, Failure> {
        let Some(silence) = &mut self.silence else { return Ok(samples) };
        let is_sound = samples.iter().any(|sample| sample.unsigned_abs() > QUIET);
        silence.extend(samples);
        if is_sound {
            return Ok(self.silence.take().unwrap_or_default());
        }
        if silence.len() > SILENCE_MAX { Err(Failure::Silent) } else { Ok(Vec::new()) }
    }
}

impl Declared {
    /// The order of the bytes of raw samples that begin like this; `None`: more bytes will tell.
    fn order(&self, begin: &[u8], is_over: bool) -> Option<Order> {
        match self.order {
            Declaration::Known(order) => Some(order),
            Declaration::Ambiguous => order::of(begin, self.format, is_over),
        }
    }
}

impl Stage {
    fn decode(&mut self, bytes: &[u8]) -> Result<Vec<i16>, Failure> {
        match self {
            Self::Begin(_) => Ok(Vec::new()),
            Self::Raw(raw, converter) => Ok(converter.push(raw.push(bytes))),
            Self::Wav(stream, converter) => {
                let samples = stream.push(bytes).map_err(|error| unreadable(error.to_string()))?;
                let Some(format) = stream.format() else { return Ok(samples) };
                let converter = converter.get_or_insert_with(|| Converter::new(format.rate));
                Ok(converter.push(samples))
            }
        }
    }
}

impl Raw {
    fn push(&mut self, bytes: &[u8]) -> Vec<i16> {
        self.rest.extend_from_slice(bytes);
        let frame = self.format.encoding.len() * usize::from(self.format.channels);
        let whole = self.rest.len() - self.rest.len() % frame;
        if self.order == Order::Big && self.format.encoding == Encoding::Signed16 {
            self.rest[..whole].as_chunks_mut::<2>().0.iter_mut().for_each(|pair| pair.reverse());
        }
        let samples = self.format.decode_mono(&self.rest[..whole]);
        self.rest.drain(..whole);
        samples
    }
}

impl Converter {
    fn new(rate: Rate) -> Self {
        Self((rate != Rate::MODEL_OUT).then(|| Resampler::any(rate, Rate::MODEL_OUT)))
    }

    fn push(&mut self, samples: Vec<i16>) -> Vec<i16> {
        let Some(resampler) = &mut self.0 else { return samples };
        let mut out = Vec::new();
        resampler.push(&samples, &mut out);
        out
    }

    fn flush(&mut self, out: &mut Vec<i16>) {
        if let Some(resampler) = &mut self.0 {
            resampler.flush(out);
        }
    }
}

/// The samples of a whole reply.
pub(super) fn whole(bytes: &[u8]) -> Result<Vec<i16>, Failure> {
    let mut decoder = Decoder::new(Declared::of(""));
    let mut samples = decoder.push(bytes)?;
    samples.extend(decoder.finish()?);
    Ok(samples)
}

fn foreign(name: &str) -> Failure {
    unreadable(format!("{name} in place of PCM or WAV"))
}

fn unreadable(message: String) -> Failure {
    Failure::Unreadable { message }
}

#[cfg(test)]
mod tests;
