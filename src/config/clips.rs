//! The recordings that the agents of a configuration name, read from their files.

use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Finding, Place, Severity};
use crate::call::agent::{Agent, Greeting};
use crate::call::clip::{Clip, ClipFile};
use crate::machine::file;

const REMEDY: &str = "write the path of a WAV file (PCM, float, A-law or mu-law), relative to the \
                      configuration file";

/// The part of a configuration that names recordings.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Named {
    agents: Vec<Names>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Names {
    greeting: Option<Value>,
    keep: Kept,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Kept {
    recording: Option<Recorded>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Recorded {
    announcement: Option<ClipFile>,
}

/// A recording, or something that names none.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Value {
    Clip(ClipFile),
    Other(IgnoredAny),
}

/// Gives each of `agents` the recording that `text`, the configuration in `path`, names for it; and tells of each that cannot
/// be played.
pub(super) fn read(text: &str, path: &Path, agents: &mut [Agent]) -> Vec<Finding> {
    // The text was read as a whole before: what is read of it here is well formed.
    let named: Named = toml::from_str(text).unwrap_or_default();
    let mut findings = Vec::new();
    for (index, (agent, names)) in agents.iter_mut().zip(named.agents).enumerate() {
        let mut load = |named: &ClipFile, key: &str| {
            let file = path.parent().unwrap_or_else(|| Path::new("")).join(&named.file);
            load(&file, &named.text).map_err(|fault| findings.push(fault.finding(index, key, path))).ok()
        };
        if let Some(Value::Clip(named)) = &names.greeting
            && let Some(clip) = load(named, "greeting")
        {
            agent.greeting = Greeting::Clip(clip);
        }
        let announcement = names.keep.recording.and_then(|recording| recording.announcement);
        if let (Some(named), Some(recording)) = (&announcement, &mut agent.keep.recording) {
            recording.announcement = load(named, "keep.recording.announcement");
        }
    }
    findings
}

/// Why a recording cannot be played.
struct Fault {
    field: &'static str,
    message: String,
    remedy: &'static str,
}

impl Fault {
    fn finding(self, agent: usize, key: &str, path: &Path) -> Finding {
        let Self { field, message, remedy } = self;
        Finding {
            severity: Severity::Error,
            key: format!("agents[{agent}].{key}.{field}"),
            place: Place::File(path.to_owned()),
            message,
            remedy: remedy.to_owned(),
        }
    }
}

fn load(file: &Path, text: &str) -> Result<Clip, Fault> {
    let fault = |message: String| Fault {
        field: "file",
        message: format!("{} {message}", file.display()),
        remedy: REMEDY,
    };
    if text.trim().is_empty() {
        let message = format!("the words of {} are missing", file.display());
        return Err(Fault { field: "text", message, remedy: "write what is said in the recording" });
    }
    let bytes = file::read(file).map_err(|error| fault(error.to_string()))?;
    let clip = Clip::read(&bytes, text).map_err(|error| fault(format!("cannot be played: {error}")))?;
    if clip.samples.is_empty() {
        return Err(fault("has no sound".to_owned()));
    }
    Ok(clip)
}
