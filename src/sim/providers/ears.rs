//! Listening without understanding: finds out how long a recording is and whether there is anything in it.

use std::collections::VecDeque;
use std::time::Duration;

use super::observation::Recording;
use crate::audio::{g711, wav};

/// Below this everything is silence: the noise of a quiet line.
const QUIET: u16 = 200;

/// The transcripts that are still to come.
#[derive(Debug)]
pub(super) struct Ears {
    transcripts: VecDeque<String>,
}

impl Ears {
    pub(super) fn new(transcripts: Vec<String>) -> Self {
        Self { transcripts: transcripts.into() }
    }

    /// The next transcript, or what can be said of any recording; silence has no words.
    pub(super) fn transcribe(&mut self, recording: &Recording) -> String {
        if recording.is_silent {
            return String::new();
        }
        self.transcripts.pop_front().unwrap_or_else(|| match recording.length {
            Some(length) => format!("This is {:.1} seconds of speech.", length.as_secs_f64()),
            None => "This is speech of unknown length.".to_owned(),
        })
    }
}

/// Samples of one or more channels.
pub(super) fn pcm(samples: &[i16], rate: u32, channels: u16) -> Recording {
    let frames = samples.len() as u64 / u64::from(channels.max(1));
    Recording {
        length: Some(Duration::from_micros(frames * 1_000_000 / u64::from(rate.max(1)))),
        rate: Some(rate),
        is_silent: samples.iter().all(|sample| sample.unsigned_abs() < QUIET),
        language: None,
    }
}

/// 16-bit little-endian mono.
pub(super) fn linear16(bytes: &[u8], rate: u32) -> Recording {
    let samples: Vec<_> = bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    pcm(&samples, rate, 1)
}

pub(super) fn mulaw(bytes: &[u8], rate: u32) -> Recording {
    let mut samples = Vec::with_capacity(bytes.len());
    g711::decode_into(bytes, &mut samples);
    pcm(&samples, rate, 1)
}

/// A WAV file.
pub(super) fn wav(file: &[u8]) -> Result<Recording, wav::Error> {
    let wav = wav::read(file)?;
    Ok(pcm(&wav.samples, wav.rate.0, wav.channels))
}

/// An encoding that is not decoded here.
pub(super) const fn opaque(bytes: &[u8]) -> Recording {
    Recording { length: None, rate: None, is_silent: bytes.is_empty(), language: None }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(linear16(&[0, 64].repeat(12_000), 8000), "one", 1500)]
    #[case(mulaw(&[0x80; 4000], 8000), "one", 500)]
    #[case(mulaw(&[g711::MULAW_SILENCE; 4000], 8000), "", 500)]
    fn silence_takes_no_transcript(#[case] recording: Recording, #[case] text: &str, #[case] ms: u64) {
        let mut ears = Ears::new(vec!["one".to_owned()]);
        assert_eq!(ears.transcribe(&recording), text);
        assert_eq!(recording.length, Some(Duration::from_millis(ms)));
    }

    #[test]
    fn when_the_transcripts_are_used_up_the_length_is_told() {
        let mut ears = Ears::new(Vec::new());
        assert_eq!(ears.transcribe(&mulaw(&[0x80; 12_000], 8000)), "This is 1.5 seconds of speech.");
        assert_eq!(ears.transcribe(&opaque(b"OggS")), "This is speech of unknown length.");
    }
}
