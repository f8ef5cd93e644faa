//! The recordings that the agents of a configuration name, read from their files.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Error;
use crate::call::agent::{Agent, Greeting};
use crate::call::clip::{Clip, ClipFile};

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

/// Gives each of `agents` the recording that `text`, the configuration in `path`, names for it.
pub(super) fn read(text: &str, path: &Path, agents: &mut [Agent]) -> Result<(), Error> {
    // The text was read as a whole before: what is read of it here is well formed.
    let named: Named = toml::from_str(text).unwrap_or_default();
    for (index, (agent, names)) in agents.iter_mut().zip(named.agents).enumerate() {
        let load = |named: &ClipFile, key: &str| {
            let file = path.parent().unwrap_or_else(|| Path::new("")).join(&named.file);
            load(&file, &named.text).map_err(|(field, message, remedy)| {
                let key = format!("agents[{index}].{key}.{field}");
                Error::Clip { path: path.to_owned(), key, file, message, remedy }
            })
        };
        if let Some(Value::Clip(named)) = &names.greeting {
            agent.greeting = Greeting::Clip(load(named, "greeting")?);
        }
        let announcement = names.keep.recording.and_then(|recording| recording.announcement);
        if let (Some(named), Some(recording)) = (&announcement, &mut agent.keep.recording) {
            recording.announcement = Some(load(named, "keep.recording.announcement")?);
        }
    }
    Ok(())
}

/// What is wrong: the field, the message, the remedy.
type Fault = (&'static str, String, &'static str);

fn load(file: &Path, text: &str) -> Result<Clip, Fault> {
    if text.trim().is_empty() {
        return Err(("text", "its words are missing".to_owned(), "write what is said in the recording"));
    }
    let bytes =
        fs::read(file).map_err(|error| ("file", format!("cannot be read ({})", error.kind()), REMEDY))?;
    let clip = Clip::read(&bytes, text).map_err(|error| ("file", error.to_string(), REMEDY))?;
    if clip.samples.is_empty() {
        return Err(("file", "has no sound".to_owned(), REMEDY));
    }
    Ok(clip)
}
