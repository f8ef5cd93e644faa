//! Files that the operator names, read whole: never one that has no end, and never a wait for a writer that does not come.
//!
//! A path may lead to a pipe, to a device or to a folder by mistake. Knows nothing of what is in a file.

use std::fs::{File, FileType, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

/// Larger than any prompt, recording or list of authorities that makes sense here.
pub const BYTES_MAX: u64 = 64 << 20;

/// Why a file cannot be used. Says nothing of what is in it.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("cannot be read ({})", .0.kind())]
    Io(#[from] io::Error),
    /// Such a path has no end, or nothing to read.
    #[error("is {0}, not a file")]
    Kind(&'static str),
    #[error("has more than {} MiB", BYTES_MAX >> 20)]
    TooLarge,
    #[error("is not UTF-8 text")]
    NotText,
}

impl Fault {
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

/// The bytes of the file at `path`, which may be a link to one.
pub fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    // One byte more than may be tells that there are more.
    open(path)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX { Err(Fault::TooLarge) } else { Ok(bytes) }
}

/// The text of the file at `path`.
pub fn read_text(path: &Path) -> Result<String, Fault> {
    String::from_utf8(read(path)?).map_err(|_| Fault::NotText)
}

fn open(path: &Path) -> Result<File, Fault> {
    // Opening a pipe otherwise waits for its writer, and a terminal becomes that of the process.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        // A socket cannot be opened at all.
        Err(error) => {
            let kind = std::fs::metadata(path).ok().and_then(|state| other_kind(state.file_type()));
            return Err(kind.map_or(Fault::Io(error), Fault::Kind));
        }
    };
    match other_kind(file.metadata()?.file_type()) {
        Some(kind) => Err(Fault::Kind(kind)),
        None => Ok(file),
    }
}

/// What is there if it is no file.
pub fn other_kind(kind: FileType) -> Option<&'static str> {
    let kinds = [
        (kind.is_dir(), "a folder"),
        (kind.is_fifo(), "a pipe"),
        (kind.is_char_device() || kind.is_block_device(), "a device"),
        (kind.is_socket(), "a socket"),
    ];
    kinds.iter().find(|(is, _)| *is).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use rstest::rstest;
    use rustix::fs::{CWD, FileType as Kind, Mode, mknodat};
    use tempfile::TempDir;

    use super::*;

    fn folder() -> TempDir {
        let folder = TempDir::new().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "text").unwrap();
        std::fs::write(at("empty"), "").unwrap();
        std::fs::write(at("latin"), b"caf\xe9").unwrap();
        File::create(at("large")).unwrap().set_len(BYTES_MAX + 1).unwrap();
        mknodat(CWD, at("pipe"), Kind::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        drop(UnixListener::bind(at("socket")).unwrap());
        symlink(at("file"), at("link")).unwrap();
        symlink(at("pipe"), at("link-to-pipe")).unwrap();
        symlink(at("nothing"), at("dangling")).unwrap();
        folder
    }

    #[rstest]
    #[case::file("file", Ok("text"))]
    #[case::empty("empty", Ok(""))]
    #[case::link("link", Ok("text"))]
    #[case::missing("missing", Err("cannot be read (entity not found)"))]
    #[case::dangling("dangling", Err("cannot be read (entity not found)"))]
    #[case::pipe("pipe", Err("is a pipe, not a file"))]
    #[case::link_to_a_pipe("link-to-pipe", Err("is a pipe, not a file"))]
    #[case::folder(".", Err("is a folder, not a file"))]
    #[case::socket("socket", Err("is a socket, not a file"))]
    #[case::endless("/dev/zero", Err("is a device, not a file"))]
    #[case::nothing_to_read("/dev/null", Err("is a device, not a file"))]
    #[case::another_encoding("latin", Err("is not UTF-8 text"))]
    #[case::large("large", Err("has more than 64 MiB"))]
    #[case::below_a_file("file/below", Err("cannot be read (not a directory)"))]
    fn only_files_are_read_and_to_their_end(#[case] name: &str, #[case] expected: Result<&str, &str>) {
        let folder = folder();
        let read = read_text(&folder.path().join(name));
        let shown = read.as_deref().map_err(ToString::to_string);
        assert_eq!(shown, expected.map_err(str::to_owned));
    }
}
