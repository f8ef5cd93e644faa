//! `patchcord calls export`: the recording of a call as a file to listen to.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::text;
use crate::audio::{Rate, opus, wav};
use crate::config::{self, Config};
use crate::store::query::Query;
use crate::store::recordings;

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("to").required(true).multiple(true))]
pub(crate) struct Args {
    /// The carrier's SID of the call, or its call id; of several calls with one SID the newest.
    sid: String,
    /// Write a WAV file: 16 bits, 8000 Hz, left the caller, right the agent.
    #[arg(long, value_name = "FILE", group = "to")]
    wav: Option<PathBuf>,
    /// Write a copy of the recording as it is, Ogg Opus.
    #[arg(long, value_name = "FILE", group = "to")]
    opus: Option<PathBuf>,
    /// Where the recordings are; otherwise as configured.
    #[arg(long, value_name = "FOLDER")]
    recordings: Option<PathBuf>,
}

pub(crate) async fn run(args: Args, query: &Query, config: Option<&Path>) -> anyhow::Result<String> {
    let call = query.call(&args.sid).await?;
    let call =
        call.with_context(|| format!("there is no call with the SID or id {}", text::line(&args.sid)))?;
    let folder = match &args.recordings {
        Some(folder) => folder.clone(),
        None => Config::load(config, &config::environment)?.recordings.folder,
    };
    let path = recordings::path(&folder, &call.call.call_id);
    let file = fs::read(&path)
        .with_context(|| format!("cannot read the recording {}; was the call recorded?", path.display()))?;
    let sound = opus::read(&file).with_context(|| format!("cannot read {}", path.display()))?;
    let mut written = Vec::new();
    for (to, content) in [(&args.wav, wav::write(&sound)), (&args.opus, file)] {
        if let Some(to) = to {
            write(to, &content)?;
            written.push(to.display().to_string());
        }
    }
    let ms = Rate::LINE.millis(sound.samples.len() as u64 / 2);
    let (seconds, files) = (text::seconds(i64::try_from(ms).unwrap_or(i64::MAX)), written.join(" and "));
    Ok(format!("{seconds} s, left the caller, right the agent: {}\n", text::line(&files)))
}

/// For the owner alone: it is what people said. A file that exists is not written over.
fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    use std::io::Write as _;

    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = match options.open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            bail!("{} exists; name another file", path.display());
        }
        other => other.with_context(|| format!("cannot make {}", path.display()))?,
    };
    file.write_all(content).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use ::time::OffsetDateTime;
    use std::time::Instant;

    use super::*;
    use crate::call::context::Context;
    use crate::call::record::{Ledger, Record};
    use crate::id::CallId;
    use crate::store::Store;
    use crate::time::WallClock;

    #[tokio::test]
    async fn a_recording_is_found_by_the_sid_of_its_call_and_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (call, wall, now) = (CallId::new(7), OffsetDateTime::UNIX_EPOCH, Instant::now());
        let store = Store::open(&at("calls.db")).await.unwrap();
        let context = Context { call_sid: "CA1".into(), ..Context::unknown(wall) };
        let entry = Ledger::new(call, WallClock::new(now, wall)).entry(Record::Opened(context.into()), now);
        store.handle().append(entry);
        store.close().await.unwrap();
        let mut writer = opus::Writer::new(1, &[]).unwrap();
        writer.push(&[0xFF; 8000], &[0xFF; 8000]).unwrap();
        let recording = writer.finish().unwrap();
        fs::write(at(&format!("{call}.opus")), &recording).unwrap();

        let query = Query::open(&at("calls.db")).await.unwrap();
        let args = |sid: &str| Args {
            sid: sid.into(),
            wav: Some(at("a.wav")),
            opus: Some(at("a.opus")),
            recordings: Some(folder.path().to_owned()),
        };
        let said = run(args("CA1"), &query, None).await.unwrap();
        assert!(said.starts_with("1.00 s, left the caller, right the agent: "), "{said}");
        let sound = wav::read(&fs::read(at("a.wav")).unwrap()).unwrap();
        assert_eq!((sound.rate, sound.channels, sound.samples.len()), (Rate::LINE, 2, 16_000));
        assert_eq!(fs::read(at("a.opus")).unwrap(), recording);
        let again = run(args("CA1"), &query, None).await.unwrap_err().to_string();
        assert!(again.ends_with("a.wav exists; name another file"), "{again}");
        let other = run(args("CA2"), &query, None).await.unwrap_err().to_string();
        assert_eq!(other, "there is no call with the SID or id CA2");
    }
}
