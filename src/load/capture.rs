//! A recorded caller made from a call that was kept: what the caller said and pressed, and nothing else of it. Pure.
//!
//! The audio is put in the order of its chunks, whenever they came: one that came twice is taken once, one that is
//! missing is silence. A key and the hang-up come at their times, and never on another side of a chunk than in the
//! call. Numbers, ids, parameters and words stay behind.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::call::intake::Input;
use crate::call::replay::{Line, Offset, WHOLE};
use crate::sim::carrier::Fixture;
use crate::sim::carrier::fixture::{Act, FRAME_LEN, Step};

/// Mu-law of a silent line.
const SILENCE: u8 = 0xFF;

/// Bytes of a millisecond.
const BYTES_A_MS: u64 = 8;

/// Longer calls, in bytes of audio, are taken for a damaged file: four hours.
const LEN_MAX: u64 = 4 * 3600 * 1000 * BYTES_A_MS;

/// Keys of a telephone.
const KEYS: &str = "0123456789*#ABCD";

/// What was made of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// The caller, with numbers that are nobody's.
    pub fixture: Fixture,
    pub counts: Counts,
    /// The file has the call up to its end.
    pub is_whole: bool,
}

/// What the audio is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Chunks of audio that came.
    pub chunks: u64,
    /// Missing, and silence now.
    pub missing: u64,
    /// Came once more.
    pub doubled: u64,
    /// Messages that cannot be read, and keys that no telephone has.
    pub skipped: u64,
    pub keys: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("line {line}: {source}; name a file of data/captures, as an agent with keep.inputs writes it")]
    Line { line: usize, source: serde_json::Error },
    #[error(
        "the first line is no header; name a file of data/captures, as an agent with keep.inputs writes it"
    )]
    Header,
    #[error("line {line}: with chunk {chunk} the call would be longer than four hours; the line is damaged")]
    TooLong { line: usize, chunk: u64 },
    #[error("the caller sent no audio in this call")]
    Silent,
}

/// Reads a kept call. The description is for those who look at the recording later.
pub fn capture(content: &str, description: &str) -> Result<Capture, Error> {
    let mut heard = Heard::default();
    let mut is_whole = false;
    let mut lines = content.lines().enumerate().map(|(index, text)| (index + 1, text));
    match lines.next().map(|(_, text)| Line::parse(text)) {
        Some(Ok(Line::Header(_))) => {}
        Some(Err(source)) => return Err(Error::Line { line: 1, source }),
        Some(Ok(Line::Input(..) | Line::Output(_) | Line::End(_))) | None => return Err(Error::Header),
    }
    for (line, text) in lines {
        match Line::parse(text) {
            Ok(Line::Input(at, Input::Carrier(message))) => heard.take(line, at, message.bytes())?,
            Ok(Line::Input(at, Input::CarrierClosed { .. })) => heard.end(at),
            Ok(Line::End(end)) => is_whole = end == WHOLE,
            Ok(_) => {}
            // The last line of a process that was killed.
            Err(_) if !content.ends_with('\n') && content.lines().count() == line => {}
            Err(source) => return Err(Error::Line { line, source }),
        }
    }
    let (steps, counts) = heard.steps()?;
    let fixture = Fixture { description: description.to_owned(), steps, ..Fixture::from_mulaw(&[]) };
    Ok(Capture { fixture, counts, is_whole })
}

/// A message of the carrier, as far as it is the caller's.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Message {
    Media {
        media: Media,
    },
    Dtmf {
        dtmf: Dtmf,
    },
    Stop {},
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Media {
    #[serde(default)]
    track: Option<String>,
    chunk: String,
    payload: String,
}

#[derive(Deserialize)]
struct Dtmf {
    digit: String,
}

/// What was heard of the caller, in the order in which it came.
#[derive(Default)]
struct Heard {
    /// By number.
    chunks: BTreeMap<u64, Chunk>,
    events: Vec<Event>,
    counts: Counts,
    is_over: bool,
}

struct Chunk {
    line: usize,
    at_us: i64,
    bytes: Vec<u8>,
}

/// A key or the hang-up.
struct Event {
    line: usize,
    at_us: i64,
    act: Act,
}

/// When a chunk sounds, in bytes since the start.
struct Place {
    line: usize,
    end: u64,
}

impl Heard {
    fn take(&mut self, line: usize, at: Offset, message: &[u8]) -> Result<(), Error> {
        if self.is_over {
            return Ok(());
        }
        let at_us = micros(at);
        match serde_json::from_slice(message) {
            Ok(Message::Media { media }) => self.media(line, at_us, media)?,
            Ok(Message::Dtmf { dtmf: Dtmf { digit } }) => {
                if digit.chars().count() == 1 && KEYS.contains(&digit) {
                    self.counts.keys += 1;
                    self.events.push(Event { line, at_us, act: Act::Press(digit) });
                } else {
                    self.counts.skipped += 1;
                }
            }
            Ok(Message::Stop {}) => self.hang_up(line, at_us),
            Ok(Message::Other) => {}
            Err(_) => self.counts.skipped += 1,
        }
        Ok(())
    }

    fn media(&mut self, line: usize, at_us: i64, media: Media) -> Result<(), Error> {
        let Media { track, chunk, payload } = media;
        if track.is_some_and(|track| track != "inbound") {
            return Ok(());
        }
        let bytes = STANDARD.decode(payload).ok().filter(|bytes| !bytes.is_empty());
        let (Ok(number), Some(bytes)) = (chunk.parse(), bytes) else {
            self.counts.skipped += 1;
            return Ok(());
        };
        if number > LEN_MAX / FRAME_LEN as u64 {
            return Err(Error::TooLong { line, chunk: number });
        }
        if self.chunks.contains_key(&number) {
            self.counts.doubled += 1;
        } else {
            self.counts.chunks += 1;
            self.chunks.insert(number, Chunk { line, at_us, bytes });
        }
        Ok(())
    }

    /// The carrier is gone, at a time.
    fn end(&mut self, at: Offset) {
        self.hang_up(usize::MAX, micros(at));
    }

    fn hang_up(&mut self, line: usize, at_us: i64) {
        if !self.is_over {
            self.is_over = true;
            self.events.push(Event { line, at_us, act: Act::HangUp });
        }
    }

    fn steps(mut self) -> Result<(Vec<Step>, Counts), Error> {
        let (spoken, places) = self.spoken()?;
        let len = places.last().map_or(0, |place| place.end);
        // The chunk that came with the least delay tells when the audio began.
        let delays = self.chunks.values().zip(&places);
        let began_us = delays.map(|(chunk, place)| chunk.at_us - us(place.end)).min().unwrap_or_default();
        let mut events: Vec<_> = self.events.iter().map(|event| event.step(began_us, &places)).collect();
        if !self.is_over {
            events.push(Step { at: span(len), act: Act::HangUp });
        }
        let mut steps = spoken;
        steps.extend(events);
        // Stable: what is said until then comes before a key, and keys stay in order.
        steps.sort_by_key(|step| (step.act == Act::HangUp, step.at));
        Ok((steps, self.counts))
    }

    /// The audio with silence for what is missing, and where each chunk is.
    fn spoken(&mut self) -> Result<(Vec<Step>, Vec<Place>), Error> {
        let (mut steps, mut places) = (Vec::new(), Vec::new());
        let first = *self.chunks.keys().next().ok_or(Error::Silent)?;
        // The carrier counts from 1.
        let (mut next, mut end) = (first.min(1), 0);
        for (&number, Chunk { line, bytes, .. }) in &self.chunks {
            let missing = number - next;
            let silence = (0..missing).map(|_| vec![SILENCE; FRAME_LEN]);
            for bytes in silence.chain([bytes.clone()]) {
                end += bytes.len() as u64;
                steps.push(Step { at: span(end), act: Act::Speak(bytes) });
            }
            if end > LEN_MAX {
                return Err(Error::TooLong { line: *line, chunk: number });
            }
            self.counts.missing += missing;
            next = number + 1;
            places.push(Place { line: *line, end });
        }
        Ok((steps, places))
    }
}

impl Event {
    /// At its time, but after all audio that came before it and before all that came after it.
    fn step(&self, began_us: i64, places: &[Place]) -> Step {
        let before = places.iter().filter(|place| place.line < self.line).map(|place| place.end).max();
        let after = places.iter().filter(|place| place.line > self.line).map(|place| place.end).min();
        let (earliest, latest) = (before.unwrap_or(0), after.unwrap_or(LEN_MAX));
        let at = u64::try_from(self.at_us - began_us).unwrap_or(0) * BYTES_A_MS / 1000;
        let at = at.min(latest).max(earliest);
        Step { at: span(at), act: self.act.clone() }
    }
}

fn micros(at: Offset) -> i64 {
    (at.seconds() * 1e6).round() as i64
}

/// Microseconds of so many bytes.
fn us(bytes: u64) -> i64 {
    i64::try_from(bytes * 1000 / BYTES_A_MS).unwrap_or(i64::MAX)
}

/// How long so many bytes sound, in whole milliseconds, as recordings count.
fn span(bytes: u64) -> Duration {
    Duration::from_millis(bytes / BYTES_A_MS)
}

#[cfg(test)]
mod tests;
