//! The files of an outcome: opened before the test, so that none runs for an hour and then cannot be kept.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::load::outcome::Outcome;
use crate::load::page;

/// What is written of the outcome.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Targets {
    /// Write the outcome as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the outcome as a page to read, with plots.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Files that can be written.
#[derive(Debug)]
pub(super) struct Files {
    json: Option<Output>,
    html: Option<Output>,
}

/// What a page of a long test needs.
const ROOM: usize = 1 << 18;

#[derive(Debug)]
struct Output {
    file: File,
    path: PathBuf,
    /// It was not there before; deleted if there is nothing to write.
    is_new: bool,
    is_written: bool,
}

impl Files {
    /// Fails where a file cannot be written: its place, its rights, the room on its disk. What a file holds stays until
    /// [`Files::write`].
    pub(super) fn open(targets: &Targets) -> anyhow::Result<Self> {
        let open = |path: &Option<PathBuf>| path.as_deref().map(Output::open).transpose();
        Ok(Self { json: open(&targets.json)?, html: open(&targets.html)? })
    }

    pub(super) fn write(&mut self, outcome: &Outcome) -> anyhow::Result<()> {
        let json = self.json.as_mut();
        let json = json.map_or(Ok(()), |file| file.write(&(serde_json::to_string_pretty(outcome)? + "\n")));
        // One that cannot be written does not keep the other from being.
        let html = self.html.as_mut().map_or(Ok(()), |file| file.write(&page::page(outcome)));
        json.and(html)
    }
}

impl Output {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let is_new = !path.exists();
        let mut options = OpenOptions::new();
        let opened = options.write(true).create(true).truncate(false).open(path);
        let file = opened.with_context(|| cannot_write(path))?;
        let mut output = Self { file, path: path.to_owned(), is_new, is_written: false };
        output.try_out().with_context(|| cannot_write(path))?;
        Ok(output)
    }

    /// A full disk is found now. A line feed before the outcome is none that a reader minds.
    fn try_out(&mut self) -> std::io::Result<()> {
        let about = self.file.metadata()?;
        if !about.is_file() {
            return self.file.write_all(b"\n");
        }
        let length = self.file.seek(std::io::SeekFrom::End(0))?;
        let tried = self.file.write_all(&vec![b' '; ROOM]);
        self.file.set_len(length)?;
        tried
    }

    fn write(&mut self, content: &str) -> anyhow::Result<()> {
        self.is_written = true;
        let write = |file: &mut File| {
            if file.metadata()?.is_file() {
                file.set_len(0)?;
                file.rewind()?;
            }
            file.write_all(content.as_bytes())?;
            file.flush()
        };
        write(&mut self.file).with_context(|| cannot_write(&self.path))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.is_new && !self.is_written {
            // An empty file that stays behind harms no one.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::no_folder("no/such/folder/a.json")]
    #[case::a_folder(".")]
    #[case::a_full_device("/dev/full")]
    #[case::a_folder_that_takes_no_files("/proc/a.json")]
    #[case::a_file_as_folder("Cargo.toml/a.json")]
    fn what_cannot_be_written_is_told_before_the_test(#[case] path: &str) {
        for is_page in [false, true] {
            let name = Some(PathBuf::from(path));
            let (json, html) = if is_page { (None, name) } else { (name, None) };
            let error = Files::open(&Targets { json, html }).unwrap_err().to_string();
            assert_eq!(error, format!("cannot write {path}"));
        }
    }

    #[test]
    fn a_file_keeps_what_it_holds_until_there_is_an_outcome() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old.json"), folder.path().join("new.html"));
        fs::write(&old, "an outcome of yesterday").unwrap();
        let files = Files::open(&Targets { json: Some(old.clone()), html: Some(new.clone()) }).unwrap();
        assert_eq!(fs::read_to_string(&old).unwrap(), "an outcome of yesterday");
        drop(files);
        assert_eq!(fs::read_to_string(&old).unwrap(), "an outcome of yesterday");
        assert!(!new.exists(), "there is no outcome");

        let mut output = Output::open(&old).unwrap();
        output.write("{}\n").unwrap();
        drop(output);
        assert_eq!(fs::read_to_string(&old).unwrap(), "{}\n");
    }
}
