//! A caller who asks recorded questions at set times.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::audio::wav;
use crate::sim::carrier::timeline::samples_in;
use crate::sim::carrier::{Fixture, Report};

/// A question of a person.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clip {
    pub(super) said: &'static str,
    wav: &'static [u8],
    /// From the first to the last moment above -32 dBFS, in the recording.
    speech_ms: (u64, u64),
}

const CHROMECAST_CALLER: &[u8] =
    include_bytes!("../../../fixtures/audio/human-caller-side-buys-a-chromecast.wav");

pub(super) const BRIDGE: Clip = Clip {
    said: "How old is the Brooklyn Bridge?",
    wav: include_bytes!("../../../fixtures/audio/human-how-old-is-the-brooklyn-bridge.wav"),
    speech_ms: (420, 1980),
};
pub(super) const WEATHER: Clip = Clip {
    said: "What's the weather like?",
    wav: include_bytes!("../../../fixtures/audio/human-whats-the-weather-like.wav"),
    speech_ms: (420, 1380),
};
pub(super) const CHROMECAST: Clip = Clip {
    said: "Hi, I'd like to buy a Chromecast and I was wondering whether you could help me with that.",
    wav: CHROMECAST_CALLER,
    speech_ms: (1200, 5240),
};
pub(super) const BLACK: Clip =
    Clip { said: "Let's go with the black one.", wav: CHROMECAST_CALLER, speech_ms: (9000, 10080) };
pub(super) const REGULAR: Clip = Clip {
    said: "Um, regular Chromecast is fine, thank you.",
    wav: CHROMECAST_CALLER,
    speech_ms: (14420, 16640),
};
pub(super) const EXPRESS: Clip =
    Clip { said: "Express, please.", wav: CHROMECAST_CALLER, speech_ms: (20420, 21180) };

/// Kept of the recording before and after the speech: soft consonants, and the noise of the line.
const MARGIN_MS: u64 = 200;

/// Mu-law of zero.
const QUIET: u8 = 0xff;

impl Clip {
    pub(super) const fn length(&self) -> Duration {
        Duration::from_millis(self.speech_ms.1 - self.speech_ms.0)
    }
}

/// A question in a call: when it is asked, on the caller's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    pub(super) clip: Clip,
    pub(super) begins: Duration,
}

impl Question {
    pub(super) fn ends(&self) -> Duration {
        self.begins + self.clip.length()
    }
}

#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) fixture: Fixture,
    pub(super) questions: Vec<Question>,
    length: Duration,
}

/// From the end of a question to the next one, or to the end of the call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) from: Instant,
    pub(super) until: Instant,
}

impl Caller {
    /// The time at which each question begins, and the length of the call, in milliseconds.
    pub(super) fn asking(questions: &[(u64, Clip)], length_ms: u64) -> anyhow::Result<Self> {
        let length = Duration::from_millis(length_ms);
        let mut line = vec![QUIET; samples_in(length)];
        for &(at_ms, clip) in questions {
            let (from, until) = clip.speech_ms;
            let samples = |ms| samples_in(Duration::from_millis(ms));
            let audio = wav::read_mulaw(clip.wav)?;
            let cut = audio.get(samples(from - MARGIN_MS)..samples(until + MARGIN_MS));
            let cut = cut.context("the speech is not in its recording")?;
            let at = samples(at_ms - MARGIN_MS);
            let place = line.get_mut(at..at + cut.len()).context("the call is too short")?;
            place.copy_from_slice(cut);
        }
        let question = |&(at, clip): &(u64, Clip)| Question { clip, begins: Duration::from_millis(at) };
        let questions = questions.iter().map(question).collect();
        Ok(Self { fixture: Fixture::from_mulaw(&line), questions, length })
    }

    /// When the agent had the word, in the call that was played.
    pub(super) fn windows(&self, report: &Report) -> anyhow::Result<Vec<Window>> {
        let origin = report.spoken.runs().first().map(|run| run.at);
        let origin = origin.with_context(|| format!("the call was not connected:\n{report}"))?;
        let nexts = self.questions.iter().skip(1).map(|question| question.begins).chain([self.length]);
        let window = |(question, next): (&Question, Duration)| Window {
            from: origin + question.ends(),
            until: origin + next,
        };
        let windows: Vec<_> = self.questions.iter().zip(nexts).map(window).collect();
        ensure!(!windows.is_empty(), "nothing is asked");
        Ok(windows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_heard_when_they_are_said_to_be() {
        let caller = Caller::asking(&[(1000, BRIDGE), (5000, EXPRESS)], 8000).unwrap();
        assert_eq!(caller.fixture.duration(), Duration::from_secs(8));
        assert_eq!(caller.questions[0].ends(), Duration::from_millis(2560));
        assert_eq!(caller.questions[1].ends(), Duration::from_millis(5760));
    }

    #[test]
    fn a_question_after_the_end_of_the_call_is_an_error() {
        assert!(Caller::asking(&[(1000, BRIDGE)], 2000).is_err());
    }
}
