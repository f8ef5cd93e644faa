//! Recorded words that the program itself says: they need no service and are there at once.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

use crate::audio::Rate;
use crate::audio::resample::Resampler;
use crate::audio::wav;
use crate::carrier::FollowUp;

/// A recording of the agent's voice, at the line's rate.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clip {
    /// Its words, for the call log and for the model.
    pub text: String,
    #[serde(with = "crate::audio::pcm")]
    pub samples: Arc<[i16]>,
}

/// A recording as a configuration names it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipFile {
    /// A WAV file; relative to the configuration.
    pub file: PathBuf,
    /// What is said in it.
    pub text: String,
}

/// A recording that cannot be played as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Wav(#[from] wav::Error),
}

impl Clip {
    /// A WAV file with its words: its channels are mixed, and its rate is converted to the line's.
    pub fn read(file: &[u8], text: &str) -> Result<Self, Error> {
        let wav = wav::read(file)?;
        let rate = wav.rate;
        let mut samples = wav.mono();
        if rate != Rate::LINE && !samples.is_empty() {
            let (mut resampler, mut converted) = (Resampler::any(rate, Rate::LINE), Vec::new());
            resampler.push(&samples, &mut converted);
            resampler.flush(&mut converted);
            samples = converted;
        }
        Ok(Self { text: text.to_owned(), samples: samples.into() })
    }
}

impl fmt::Debug for Clip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clip({:?}, {} samples)", self.text, self.samples.len())
    }
}

macro_rules! clip {
    ($file:literal, $text:literal) => {
        (include_bytes!(concat!("../../fixtures/cover/", $file)).as_slice(), $text)
    };
}

/// The clips that come with the program.
struct Clips {
    one_moment: Clip,
    still_here: Clip,
    say_again: Clip,
    apologies: [Clip; 3],
}

static CLIPS: LazyLock<Clips> = LazyLock::new(|| Clips {
    one_moment: built_in(clip!("one-moment.wav", "One moment, please.")),
    still_here: built_in(clip!("still-here.wav", "I'm still here. Just a moment longer.")),
    say_again: built_in(clip!("sorry-repeat.wav", "Sorry, could you say that again?")),
    apologies: [
        clip!(
            "apology-goodbye.wav",
            "I'm sorry, I'm having technical difficulties. Please call again later. Goodbye."
        ),
        clip!(
            "apology-transfer.wav",
            "I'm sorry, I'm having technical difficulties. I'll connect you with a colleague."
        ),
        clip!(
            "apology-voicemail.wav",
            "I'm sorry, I'm having technical difficulties. Please leave a message after the tone."
        ),
    ]
    .map(built_in),
});

fn built_in((bytes, text): (&[u8], &str)) -> Clip {
    Clip::read(bytes, text).expect("the clips of the program are mono at 8 kHz")
}

/// Said when the caller has to wait; something else when it takes longer.
pub(super) fn wait(is_first: bool) -> &'static Clip {
    if is_first { &CLIPS.one_moment } else { &CLIPS.still_here }
}

/// Said when the caller was not understood.
pub(super) fn say_again() -> &'static Clip {
    &CLIPS.say_again
}

/// Said when nobody can answer any more, and what happens next.
pub(super) fn apology(follow_up: &FollowUp) -> &'static Clip {
    let index = match follow_up {
        FollowUp::HangUp => 0,
        FollowUp::Transfer { .. } => 1,
        FollowUp::Voicemail => 2,
    };
    &CLIPS.apologies[index]
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::audio::wav::Wav;

    #[rstest]
    #[case::as_it_is_played(8_000, 1)]
    #[case::of_a_studio(44_100, 2)]
    #[case::of_a_speech_service(24_000, 1)]
    #[case::of_a_dictaphone(11_025, 1)]
    #[case::of_a_film(48_000, 6)]
    fn a_recording_of_any_rate_and_channels_is_played_at_its_length(
        #[case] rate: u32,
        #[case] channels: u16,
    ) {
        let samples = vec![1000; (rate * u32::from(channels)) as usize];
        let file = wav::write(&Wav { rate: Rate(rate), channels, samples });
        let clip = Clip::read(&file, "Good day.").unwrap();
        // A rate with long blocks ends in up to 40 ms of silence.
        assert!((8_000..=8_320).contains(&clip.samples.len()), "{}", clip.samples.len());
        assert!((950..1050).contains(&clip.samples[4000]));
    }

    #[test]
    fn a_recording_without_samples_has_none() {
        let file = wav::write(&Wav { rate: Rate(44_100), channels: 1, samples: Vec::new() });
        assert!(Clip::read(&file, "Good day.").unwrap().samples.is_empty());
    }
}
