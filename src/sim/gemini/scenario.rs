//! What the simulated model says: a greeting, and an answer to each turn of the caller.
//!
//! It understands nothing. A turn's `heard` is what it claims to have heard, whatever was said.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::audio::resample::Resampler;
use crate::audio::{Rate, wav};

/// A script, or the probe.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scenario {
    /// Said when a text message comes before the caller has spoken; without one such a message is not
    /// answered.
    pub greeting: Option<Utterance>,
    pub turns: Vec<Turn>,
    pub ending: Ending,
}

/// What follows the last turn.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Ending {
    #[default]
    Silence,
    Repeat,
    /// No script: every burst of sound is answered at once with these samples at 24 kHz.
    Probe(Arc<[i16]>),
}

/// One turn of the caller and the answer to it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Turn {
    pub heard: String,
    /// Functions that are called first, all at once; the answer waits for their results.
    pub calls: Vec<Call>,
    /// Said while functions run that the model does not wait for.
    pub filler: Option<Utterance>,
    /// Nothing: the turn is not answered.
    pub say: Vec<Utterance>,
}

/// Something said: its words and its samples at 24 kHz.
#[derive(Clone, Debug, PartialEq)]
pub struct Utterance {
    pub text: String,
    pub samples: Arc<[i16]>,
}

/// A function call with its arguments.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    pub name: String,
    #[serde(default)]
    pub args: Map<String, Value>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {0}: {1}")]
    Read(PathBuf, std::io::Error),
    #[error("{0} is not a scenario: {1}")]
    Json(PathBuf, serde_json::Error),
    #[error("cannot use the sound {0}: {1}")]
    Sound(String, wav::Error),
    #[error("cannot use the sound {0}: it must be mono, at a rate that is a multiple of 200 Hz")]
    Format(String),
    #[error("cannot use the sound {0}: the cut from {1} to {2} ms is not in it")]
    Cut(String, u32, u32),
    #[error("there is no embedded sound {0}")]
    NotEmbedded(String),
}

impl Scenario {
    /// Reads a scenario file and the sounds it names, relative to it.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read(path).map_err(|error| Error::Read(path.to_owned(), error))?;
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        Self::parse(path, &text, |name| {
            let path = folder.join(name);
            std::fs::read(&path).map(Cow::Owned).map_err(|error| Error::Read(path, error))
        })
    }

    /// The embedded scenario of a shop that sells a Chromecast, in three answers.
    pub fn shop() -> Result<Self, Error> {
        Self::embedded("shop.json", include_bytes!("../../../fixtures/gemini/shop.json"))
    }

    /// The embedded scenario of an answer that is much too long, and a short one after it.
    pub fn long_answer() -> Result<Self, Error> {
        Self::embedded("barge-in.json", include_bytes!("../../../fixtures/gemini/barge-in.json"))
    }

    fn embedded(name: &str, text: &[u8]) -> Result<Self, Error> {
        const SOUNDS: [(&str, &[u8]); 3] = [
            (
                "shop-side-sells-a-chromecast",
                include_bytes!("../../../fixtures/audio/human-shop-side-sells-a-chromecast.wav"),
            ),
            ("jfk-ask-not", include_bytes!("../../../fixtures/audio/human-jfk-ask-not.wav")),
            (
                "two-party-katie-and-steve",
                include_bytes!("../../../fixtures/audio/human-two-party-katie-and-steve.wav"),
            ),
        ];
        Self::parse(Path::new(name), text, |file| {
            let sound = SOUNDS.iter().find(|(sound, _)| file.ends_with(&format!("human-{sound}.wav")));
            sound.map(|(_, bytes)| Cow::Borrowed(*bytes)).ok_or_else(|| Error::NotEmbedded(file.to_owned()))
        })
    }

    /// Answers every burst of caller audio (a loud sample after 60 ms of quiet) in the same breath with a
    /// burst of 40 ms that begins at full level: what passes between the two is delay that others add.
    pub fn probe() -> Self {
        Self { ending: Ending::Probe(tone(1000.0, 0.04)), ..Self::default() }
    }

    /// Answers every turn with these samples at 24 kHz, for ever.
    pub fn echoing(text: impl Into<String>, samples: impl Into<Arc<[i16]>>) -> Self {
        let say = vec![Utterance { text: text.into(), samples: samples.into() }];
        let turn = Turn { heard: "(sound)".to_owned(), say, ..Turn::default() };
        Self { greeting: None, turns: vec![turn], ending: Ending::Repeat }
    }

    fn parse<'a>(
        path: &Path,
        text: &[u8],
        mut open: impl FnMut(&str) -> Result<Cow<'a, [u8]>, Error>,
    ) -> Result<Self, Error> {
        let file: File = serde_json::from_slice(text).map_err(|error| Error::Json(path.to_owned(), error))?;
        let mut read = |line: Line| line.read(&mut open);
        let greeting = file.greeting.map(&mut read).transpose()?;
        let mut turns = Vec::with_capacity(file.turns.len());
        for turn in file.turns {
            let say = turn.say.into_iter().map(&mut read).collect::<Result<_, _>>()?;
            let filler = turn.filler.map(&mut read).transpose()?;
            let calls = turn.call.into_iter().chain(turn.calls).collect();
            turns.push(Turn { heard: turn.heard, calls, filler, say });
        }
        let ending = if file.repeats { Ending::Repeat } else { Ending::Silence };
        Ok(Self { greeting, turns, ending })
    }
}

/// A loud tone at 24 kHz that begins at full level.
pub fn tone(hertz: f64, seconds: f64) -> Arc<[i16]> {
    const LEVEL: f64 = 24_000.0;
    let rate = f64::from(Rate::MODEL_OUT.0);
    let samples = (0..(rate * seconds).round() as usize)
        .map(|n| (LEVEL * (std::f64::consts::TAU * hertz * n as f64 / rate).cos()) as i16);
    samples.collect()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    greeting: Option<Line>,
    turns: Vec<FileTurn>,
    #[serde(default, rename = "loop")]
    repeats: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileTurn {
    heard: String,
    #[serde(default)]
    call: Option<Call>,
    #[serde(default)]
    calls: Vec<Call>,
    #[serde(default)]
    filler: Option<Line>,
    say: Vec<Line>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    text: String,
    /// A WAV file, relative to the scenario.
    audio: String,
    #[serde(default)]
    start_ms: u32,
    #[serde(default)]
    end_ms: Option<u32>,
}

impl Line {
    fn read<'a>(
        self,
        open: &mut impl FnMut(&str) -> Result<Cow<'a, [u8]>, Error>,
    ) -> Result<Utterance, Error> {
        let sound = match wav::read(&open(&self.audio)?) {
            Ok(sound) => sound,
            Err(error) => return Err(Error::Sound(self.audio, error)),
        };
        if sound.channels != 1 || sound.rate.0 == 0 || !sound.rate.0.is_multiple_of(200) {
            return Err(Error::Format(self.audio));
        }
        let length_ms = sound.rate.millis(sound.samples.len() as u64) as u32;
        let end_ms = self.end_ms.unwrap_or(length_ms);
        let at = |ms: u32| (u64::from(ms) * u64::from(sound.rate.0) / 1000) as usize;
        let Some(cut) = sound.samples.get(at(self.start_ms)..at(end_ms)) else {
            return Err(Error::Cut(self.audio, self.start_ms, end_ms));
        };
        Ok(Utterance { text: self.text, samples: to_output_rate(sound.rate, cut) })
    }
}

fn to_output_rate(rate: Rate, samples: &[i16]) -> Arc<[i16]> {
    if rate == Rate::MODEL_OUT {
        return samples.into();
    }
    let mut resampler = Resampler::new(rate, Rate::MODEL_OUT);
    let mut out = Vec::with_capacity(samples.len() * Rate::MODEL_OUT.0 as usize / rate.0 as usize + 480);
    resampler.push(samples, &mut out);
    resampler.flush(&mut out);
    out.into()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn the_embedded_shop_answers_three_of_four_turns() {
        let shop = Scenario::shop().unwrap();
        let seconds: Vec<f64> = shop
            .turns
            .iter()
            .map(|turn| turn.say.iter().map(|line| line.samples.len() as f64 / 24_000.0).sum())
            .collect();
        assert_eq!(seconds.len(), 4);
        for (found, expected) in seconds.iter().zip([3.65, 5.1, 3.65, 0.0]) {
            assert!((found - expected).abs() < 0.02, "{seconds:?}");
        }
    }

    #[rstest]
    #[case("fixtures/gemini/shop.json", 4)]
    #[case("fixtures/gemini/barge-in.json", 2)]
    fn the_shipped_scenarios_load(#[case] path: &str, #[case] turns: usize) {
        assert_eq!(Scenario::load(Path::new(path)).unwrap().turns.len(), turns);
    }

    #[rstest]
    #[case(r#"{"turns": [], "lop": true}"#, "unknown field `lop`")]
    #[case(r#"{"turns": [{"heard": "a", "say": [{"text": "b"}]}]}"#, "missing field `audio`")]
    #[case(r#"{"turns": [{"heard": "a", "say": [{"text": "b", "audio": "no.wav"}]}]}"#, "cannot read")]
    #[case(
        r#"{"turns": [{"heard": "a", "say": [{"text": "b", "audio": "x.wav", "end_ms": 90000}]}]}"#,
        "the cut from 0 to 90000 ms"
    )]
    fn a_wrong_scenario_says_what_is_wrong(#[case] text: &str, #[case] message: &str) {
        let error = Scenario::parse(Path::new("s.json"), text.as_bytes(), |name| match name {
            "x.wav" => {
                Ok(wav::write(&wav::Wav { rate: Rate::LINE, channels: 1, samples: vec![0; 8] }).into())
            }
            _ => Err(Error::Read(name.into(), std::io::ErrorKind::NotFound.into())),
        })
        .unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }

    #[test]
    fn the_probe_burst_begins_at_full_level() {
        let Ending::Probe(burst) = Scenario::probe().ending else { panic!("no probe") };
        assert_eq!((burst.len(), burst[0]), (960, 24_000));
    }
}
