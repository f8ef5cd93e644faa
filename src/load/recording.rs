//! What callers say: the turns of recorded calls, cut out and made ready to be sent by any number of calls at once. Pure
//! but for reading files.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::sound::{self, Dice, FRAME, PLACES, PROBE_FRAMES, SPEECH, SPEECH_PEAK};
use crate::audio::g711;
use crate::sim::carrier::Fixture;
use crate::sim::carrier::fixture::{self, Act};

/// Different frames of a quiet line.
const NOISES: usize = 16;

/// Frames without speech that part two turns. The load model waits half as long.
const PAUSE: usize = 50;
/// Longer pauses within a turn are cut to this, so that the model does not take a breath for the end.
const BREATH: usize = 15;
/// Kept before and after the speech of a turn: soft consonants.
const MARGIN: usize = 5;
/// A turn has so many frames of speech at least; what is shorter is a click.
const TURN_MIN: usize = 10;

/// Sound that callers send: frames as base64.
#[derive(Debug)]
pub struct Recordings {
    /// The turns of each recorded call; none is empty.
    pub calls: Vec<Vec<Turn>>,
    noise: Vec<String>,
    probes: Vec<[String; PROBE_FRAMES]>,
}

/// A turn of a caller.
#[derive(Debug)]
pub struct Turn {
    pub frames: Vec<String>,
    /// Samples from its begin to the first that is speech, and to the last.
    pub onset: usize,
    pub end: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the folder {folder}: {source}")]
    Folder { folder: String, source: std::io::Error },
    #[error(transparent)]
    Fixture(#[from] fixture::Error),
    #[error(
        "nobody speaks in the recorded calls of {0}; name a folder with calls such as those in fixtures/calls"
    )]
    Silence(String),
}

impl Recordings {
    /// The recorded calls (`*.jsonl`, see [`fixture`]) of a folder.
    pub fn load(folder: &Path) -> Result<Self, Error> {
        let name = folder.display().to_string();
        let failed = |source| Error::Folder { folder: name.clone(), source };
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // Inputs that calls kept lie beside them.
            if file.ends_with(".jsonl") && !file.ends_with(".inputs.jsonl") {
                paths.push(path);
            }
        }
        paths.sort();
        let fixtures = paths.iter().map(|path| Fixture::load(path)).collect::<Result<Vec<_>, _>>()?;
        Self::of(&fixtures).ok_or(Error::Silence(name))
    }

    /// The recorded calls that come with the program.
    pub fn built_in() -> Result<Self, Error> {
        let fixtures = [Fixture::built_in()?, Fixture::barge_in()?];
        Self::of(&fixtures).ok_or_else(|| Error::Silence("the program".to_owned()))
    }

    fn of(fixtures: &[Fixture]) -> Option<Self> {
        let calls: Vec<_> = fixtures.iter().map(turns).filter(|turns| !turns.is_empty()).collect();
        let dice = &mut Dice::new(1);
        let noise = (0..NOISES).map(|_| STANDARD.encode(sound::noise(dice))).collect();
        let probe = |place| sound::probe(place, dice).map(|frame| STANDARD.encode(frame));
        let probes = (0..PLACES).map(probe).collect();
        (!calls.is_empty()).then_some(Self { calls, noise, probes })
    }

    /// A frame of a quiet line; any number will do.
    pub fn noise(&self, number: u64) -> &str {
        &self.noise[number as usize % NOISES]
    }

    /// A frame of the probe at this place.
    pub fn probe(&self, place: usize, frame: usize) -> &str {
        &self.probes[place][frame]
    }
}

/// The turns of a recorded call, as loud as they are to be.
fn turns(fixture: &Fixture) -> Vec<Turn> {
    let mut samples = Vec::new();
    for step in &fixture.steps {
        if let Act::Speak(bytes) = &step.act {
            g711::decode_into(bytes, &mut samples);
        }
    }
    let peak = samples.iter().map(|sample| i32::from(sample.saturating_abs())).max().unwrap_or_default();
    for sample in &mut samples {
        *sample = (i32::from(*sample) * i32::from(SPEECH_PEAK) / peak.max(1)) as i16;
    }
    let frames: Vec<&[i16]> = samples.chunks_exact(FRAME).collect();
    cut(&frames.iter().map(|frame| is_speech(frame)).collect::<Vec<_>>())
        .into_iter()
        .map(|indices| Turn::of(indices.into_iter().map(|index| frames[index])))
        .collect()
}

/// The filters on the way change levels a little: what is speech here is speech there, too.
const fn is_loud(sample: i16) -> bool {
    sample.saturating_abs() > SPEECH / 4 * 5
}

fn is_speech(frame: &[i16]) -> bool {
    frame.iter().any(|&sample| is_loud(sample))
}

/// The frames of each turn, by their index, given which of all are speech.
fn cut(speech: &[bool]) -> Vec<Vec<usize>> {
    let mut turns: Vec<Vec<usize>> = Vec::new();
    for index in (0..speech.len()).filter(|&index| speech[index]) {
        match turns.last_mut() {
            Some(turn) if turn.last().is_some_and(|last| index - last <= PAUSE) => turn.push(index),
            _ => turns.push(vec![index]),
        }
    }
    turns.retain(|turn| turn.len() >= TURN_MIN);
    turns.iter().map(|turn| with_pauses(turn, speech.len())).collect()
}

/// The frames of a turn with what is between them and a margin.
fn with_pauses(speech: &[usize], len: usize) -> Vec<usize> {
    let (first, last) = (speech[0], speech[speech.len() - 1]);
    let mut frames: Vec<_> = (first.saturating_sub(MARGIN)..first).collect();
    let mut at = first;
    for &index in speech {
        frames.extend((at..index).take(BREATH));
        frames.push(index);
        at = index + 1;
    }
    frames.extend(last + 1..(last + 1 + MARGIN).min(len));
    frames
}

impl Turn {
    fn of<'a>(frames: impl Iterator<Item = &'a [i16]>) -> Self {
        let frames: Vec<_> = frames.collect();
        let loud = |(_, sample): &(usize, i16)| is_loud(*sample);
        let samples: Vec<_> = frames.concat().into_iter().enumerate().collect();
        let onset = samples.iter().find(|sample| loud(sample)).map_or(0, |(at, _)| *at);
        let end = samples.iter().rev().find(|sample| loud(sample)).map_or(0, |(at, _)| *at);
        let encode = |frame: &&[i16]| {
            let mut bytes = Vec::with_capacity(FRAME);
            g711::encode_into(frame, &mut bytes);
            STANDARD.encode(bytes)
        };
        Self { frames: frames.iter().map(encode).collect(), onset, end }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn the_recorded_callers_speak_in_turns_that_the_model_does_not_split() {
        let recordings = Recordings::built_in().unwrap();
        let turns: Vec<_> = recordings.calls.iter().map(Vec::len).collect();
        assert_eq!(turns, [4, 2]);
        for turn in recordings.calls.iter().flatten() {
            assert!(turn.frames.len() < 400 && turn.onset < turn.end, "{turn:?}");
        }
    }

    #[rstest]
    #[case::one(&[(20, false), (30, true), (20, false)], &[40])]
    #[case::a_click(&[(20, false), (2, true), (20, false)], &[])]
    #[case::two(&[(20, false), (30, true), (60, false), (10, true)], &[40, 15])]
    #[case::a_long_breath(&[(30, true), (40, false), (30, true)], &[75])]
    #[case::a_short_breath(&[(30, true), (10, false), (30, true), (9, false)], &[75])]
    #[case::nothing(&[], &[])]
    fn turns_are_parted_by_pauses(#[case] sound: &[(usize, bool)], #[case] expected: &[usize]) {
        let speech: Vec<_> = sound.iter().flat_map(|&(frames, speech)| vec![speech; frames]).collect();
        assert_eq!(cut(&speech).iter().map(Vec::len).collect::<Vec<_>>(), expected);
    }
}
