//! What is kept of an output: enough to know whether it is the same.
//!
//! Audio is kept as its length and a few of its samples. Resampling is floating-point arithmetic whose last bits differ
//! between processors, so these are compared with a tolerance; everything else is the same or it is not.

use ::time::OffsetDateTime;
use serde::Serialize;
use serde_json::{Value, json};

use crate::call::Output;
use crate::call::record::{Entry, Record};
use crate::live::wire;
use crate::{carrier, job, live};

/// Samples that are kept of a block of audio, evenly spread.
const POINTS: usize = 8;

/// What rounding does to a sample, at most; far below anything that is heard.
const TOLERANCE: u16 = 4;

/// One output of the machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    pub out: Value,
    /// Points of its audio, if it has any.
    pub wave: Vec<i16>,
}

impl Trace {
    pub fn of(output: &Output) -> Self {
        match output {
            Output::Carrier(command) => of_carrier(command),
            Output::Dial { link, endpoint, is_last_tier } => {
                let dial = json!({ "link": link, "endpoint": endpoint, "is_last_tier": is_last_tier });
                Self::silent(json!({ "dial": dial }))
            }
            Output::Live(link, live::Command::Audio(frame)) => Self {
                out: json!({ "live": { "link": link, "samples": frame.samples().len() } }),
                wave: points(frame.samples()),
            },
            Output::Live(link, command) => {
                Self::silent(json!({ "live": { "link": link, "told": told(command) } }))
            }
            Output::Start(job, request) => of_request(job.0, request),
            Output::Cancel(job) => Self::silent(json!({ "cancel": job })),
            Output::FollowUp(follow_up) => Self::silent(json!({ "follow_up": follow_up })),
            Output::Tape(block) => {
                Self::silent(json!({ "tape": { "position": block.position, "samples": block.caller.len() } }))
            }
            Output::Record(entry) => Self::silent(of_entry(entry)),
        }
    }

    /// Whether the same was done.
    pub fn is_same(&self, other: &Self) -> bool {
        let is_near = |(one, two): (&i16, &i16)| one.abs_diff(*two) <= TOLERANCE;
        self.out == other.out
            && self.wave.len() == other.wave.len()
            && self.wave.iter().zip(&other.wave).all(is_near)
    }

    const fn silent(out: Value) -> Self {
        Self { out, wave: Vec::new() }
    }
}

fn points(samples: &[i16]) -> Vec<i16> {
    let step = samples.len().div_ceil(POINTS).max(1);
    samples.iter().step_by(step).copied().collect()
}

fn of_carrier(command: &carrier::Command) -> Trace {
    match command {
        carrier::Command::Media(frame) => Trace {
            out: json!({ "carrier": { "samples": frame.samples().len() } }),
            wave: points(frame.samples()),
        },
        carrier::Command::Mark(mark) => Trace::silent(json!({ "carrier": { "mark": mark.0 } })),
        carrier::Command::Clear => Trace::silent(json!({ "carrier": "clear" })),
        carrier::Command::Close(close) => Trace::silent(json!({ "carrier": { "close": close.code() } })),
    }
}

/// What goes over the wire.
fn told(command: &live::Command) -> Value {
    match command {
        live::Command::Close => json!("close"),
        live::Command::Abort => json!("abort"),
        live::Command::Setup(_)
        | live::Command::Seed(_)
        | live::Command::Audio(_)
        | live::Command::Text(_)
        | live::Command::ToolError { .. } => {
            let mut text = String::new();
            wire::encode(command, &mut text);
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        }
    }
}

fn of_request(job: u32, request: &job::Request) -> Trace {
    let (what, wave) = match request {
        job::Request::Transcribe(job::Utterance { samples, language }) => {
            (json!({ "samples": samples.len(), "language": language }), points(samples))
        }
        job::Request::Think(job::Prompt { instruction, dialogue, temperature }) => {
            let lines = dialogue.lines().map(|line| json!([line.speaker.as_str(), line.text]));
            let lines: Vec<_> = lines.collect();
            (json!({ "instruction": instruction, "dialogue": lines, "temperature": temperature }), Vec::new())
        }
        job::Request::Speak(job::Sentence { text, language }) => {
            (json!({ "text": text, "language": language }), Vec::new())
        }
    };
    let mut started = json!({ "job": job });
    started[request.kind().code()] = what;
    Trace { out: json!({ "start": started }), wave }
}

#[derive(Serialize)]
struct Stamp(#[serde(with = "::time::serde::rfc3339")] OffsetDateTime);

fn of_entry(entry: &Entry) -> Value {
    let (name, what) = match &entry.record {
        Record::Opened(context) => ("opened", json!(context)),
        Record::Answered { stream_sid, parameters } => {
            ("answered", json!({ "stream_sid": stream_sid, "parameters": parameters }))
        }
        Record::Turn(turn) => ("turn", json!(turn)),
        Record::Event(event) => ("event", json!(event)),
        Record::Ended(ending) => ("ended", json!(ending)),
    };
    let mut record = json!({ "sequence": entry.sequence, "at": Stamp(entry.at) });
    record[name] = what;
    json!({ "record": record })
}
