//! Recorded words that the program itself says: they need no service and are there at once.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

use crate::audio::Rate;
use crate::audio::wav::{self, Wav};
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
    /// A mono WAV file at 8 kHz; relative to the configuration.
    pub file: PathBuf,
    /// What is said in it.
    pub text: String,
}

/// A recording that cannot be played as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Wav(#[from] wav::Error),
    #[error("{channels} channel(s) at {rate} Hz; use one channel at 8000 Hz")]
    Format { channels: u16, rate: u32 },
}

impl Clip {
    /// A mono WAV file at the line's rate, mu-law or 16-bit PCM, with its words.
    pub fn read(file: &[u8], text: &str) -> Result<Self, Error> {
        let Wav { rate, channels, samples } = wav::read(file)?;
        if (rate, channels) != (Rate::LINE, 1) {
            return Err(Error::Format { channels, rate: rate.0 });
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
