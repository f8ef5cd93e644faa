//! `patchcord capture`: makes a recorded caller for load tests from a call that was kept.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use super::text;
use crate::load::capture::{self, Capture, Counts};

/// Takes the caller's voice and keys and the times of both from the call, no number, no id and no word. A voice is
/// personal data: take only calls whose people agree.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The kept call: CALL-ID.inputs.jsonl, in data/captures.
    #[arg(value_name = "FILE")]
    call: PathBuf,
    /// Where to write NAME.jsonl and NAME.wav; the folder is then one for `load --fixtures`.
    #[arg(long, value_name = "DIR/NAME")]
    out: PathBuf,
    /// What happens in the call, for those who look at the recording later.
    #[arg(long, value_name = "TEXT", default_value = "The caller of a real call.")]
    description: String,
    /// Write over files that exist.
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    text::print(&capture(args)?)?;
    Ok(())
}

/// Writes the files, and says what was written.
fn capture(args: &Args) -> anyhow::Result<String> {
    let call = args.call.display();
    let content = fs::read_to_string(&args.call).with_context(|| format!("cannot read {call}"))?;
    let capture = capture::capture(&content, &args.description)
        .with_context(|| format!("{call} cannot be made a recording"))?;
    let [lines, audio] = names(&args.out)?;
    let name = audio.file_name().unwrap_or_default().to_string_lossy();
    let files = capture.fixture.files(&name);
    for path in [&lines, &audio] {
        ensure!(args.force || !path.exists(), "{} exists; name another, or --force", path.display());
    }
    if let Some(folder) = audio.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    write(&audio, &files.audio, args.force)?;
    write(&lines, files.lines.as_bytes(), args.force)?;
    Ok(summary(&capture, &lines, &audio))
}

/// The paths of both files.
fn names(out: &Path) -> anyhow::Result<[PathBuf; 2]> {
    let name = out.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.with_context(|| format!("--out: {} names no file", out.display()))?;
    let name = name.strip_suffix(".jsonl").unwrap_or(&name);
    ensure!(
        !name.ends_with(".inputs"),
        "--out: {name} ends in .inputs, as kept calls do, which load tests leave out; name it otherwise"
    );
    Ok(["jsonl", "wav"].map(|extension| out.with_file_name(format!("{name}.{extension}"))))
}

/// For the owner alone: it is a person's voice.
fn write(path: &Path, content: &[u8], is_forced: bool) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(!is_forced).create(is_forced).truncate(is_forced);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| file.write_all(content));
    written.with_context(|| format!("cannot write {}", path.display()))
}

fn summary(capture: &Capture, lines: &Path, audio: &Path) -> String {
    let Capture { fixture, counts, is_whole } = capture;
    let Counts { chunks, missing, doubled, skipped, keys } = counts;
    let (lines, audio) = (lines.display().to_string(), audio.display().to_string());
    let end = if *is_whole { "" } else { "; not the whole call: its file ends before it" };
    format!(
        "{:.1} s, {keys} keys: {} and {}\n{chunks} chunks of audio; {missing} were missing and are silence, {doubled} \
         came twice, {skipped} messages were skipped{end}\n",
        fixture.duration().as_secs_f64(),
        text::line(&lines),
        text::line(&audio)
    )
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::load::recording::Recordings;
    use crate::sim::carrier::Fixture;

    fn args(out: PathBuf, force: bool) -> Args {
        let call = PathBuf::from("fixtures/calls/fallback-and-back.inputs.jsonl");
        Args { call, out, description: "Two \"questions\"".into(), force }
    }

    #[test]
    fn a_recording_is_written_once_and_read_by_a_load_test() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("callers");
        let out = folder.join("two.questions");
        let said = capture(&args(out.clone(), false)).unwrap();
        assert!(
            said.contains("two.questions.jsonl and ") && said.contains("193 chunks of audio; 0 "),
            "{said}"
        );
        let fixture = Fixture::load(&folder.join("two.questions.jsonl")).unwrap();
        assert_eq!(fixture.description, "Two \"questions\"");
        assert_eq!(fixture.from, Fixture::built_in().unwrap().from);
        assert!(!Recordings::load(&folder).unwrap().calls.is_empty());

        let again = capture(&args(out.clone(), false)).unwrap_err().to_string();
        assert!(again.ends_with("two.questions.jsonl exists; name another, or --force"), "{again}");
        fs::remove_file(folder.join("two.questions.jsonl")).unwrap();
        let half = capture(&args(out.clone(), false)).unwrap_err().to_string();
        assert!(half.ends_with("two.questions.wav exists; name another, or --force"), "{half}");
        assert!(!folder.join("two.questions.jsonl").exists());
        capture(&args(out, true)).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_voice_is_for_the_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        capture(&args(folder.path().join("call.jsonl"), false)).unwrap();
        for name in ["call.jsonl", "call.wav"] {
            let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[rstest]
    #[case("..", "--out: .. names no file")]
    #[case("calls/a.inputs", "--out: a.inputs ends in .inputs, as kept calls do")]
    #[case("calls/a.inputs.jsonl", "--out: a.inputs ends in .inputs, as kept calls do")]
    fn a_name_that_cannot_be_is_refused(#[case] out: &str, #[case] reason: &str) {
        let error = names(Path::new(out)).unwrap_err().to_string();
        assert!(error.starts_with(reason), "{error}");
    }
}
