//! Files and folders: whether this user may write where calls are kept, and who else may.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::fs::{Access, access};

use super::part::Part;
use crate::config::Config;

/// Write permission of everybody, and read permission of everybody (POSIX `S_IWOTH`, `S_IROTH`).
const OTHERS_WRITE: u32 = 0o002;
const OTHERS_READ: u32 = 0o004;

pub(super) fn check(config: &Config) -> Part {
    let mut part = Part::new(config);
    let log = &config.store.path;
    let parent =
        log.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    writable("store.path", parent, &mut part);
    exposed("store.path", parent, &mut part);
    file("store.path", log, &mut part);
    let is_recording = config.agents.iter().any(|agent| agent.keep.recording.is_some());
    let is_keeping = config.agents.iter().any(|agent| agent.keep.inputs);
    let folders = [
        ("recordings.folder", &config.recordings.folder, is_recording),
        ("captures.folder", &config.captures.folder, is_keeping),
    ];
    for (key, folder, is_used) in folders {
        if is_used {
            writable(key, folder, &mut part);
        }
        exposed(key, folder, &mut part);
    }
    part
}

/// A folder that is missing is made in the nearest one above it that is there.
fn writable(key: &str, folder: &Path, part: &mut Part) {
    let there = folder.ancestors().find(|folder| folder.as_os_str().is_empty() || folder.exists());
    let there = there.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    if !there.is_dir() {
        let message = format!("{} is not a folder", there.display());
        return part.error(key, message, "write a path whose folders are folders");
    }
    if access(there, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let message = format!("this user may not write in {}", there.display());
        part.error(key, message, "give the folder to the user that runs `serve`, or write another path");
    }
}

/// What is said on the telephone is for the owner alone.
fn exposed(key: &str, folder: &Path, part: &mut Part) {
    let Ok(state) = fs::symlink_metadata(folder) else { return };
    if state.is_symlink() {
        followed(key, folder, part);
    }
    let Ok(state) = fs::metadata(folder) else { return };
    let mode = state.permissions().mode() & 0o7777;
    if mode & OTHERS_WRITE != 0 {
        let message =
            format!("every user of this machine may write in {} (mode {mode:04o})", folder.display());
        part.warning(key, message, "chmod 700 the folder");
    }
}

fn file(key: &str, path: &Path, part: &mut Part) {
    let Ok(state) = fs::symlink_metadata(path) else { return };
    if state.is_symlink() {
        followed(key, path, part);
    }
    let Ok(state) = fs::metadata(path) else { return };
    let mode = state.permissions().mode() & 0o7777;
    if mode & (OTHERS_READ | OTHERS_WRITE) != 0 {
        let message = format!("every user of this machine may open {} (mode {mode:04o})", path.display());
        part.warning(key, message, "chmod 600 the file");
    }
    if access(path, Access::READ_OK | Access::WRITE_OK).is_err() {
        let message = format!("this user may not read and write {}", path.display());
        part.error(key, message, "give the file to the user that runs `serve`");
    }
}

fn followed(key: &str, path: &Path, part: &mut Part) {
    let end = fs::canonicalize(path).map_or_else(|_| "nothing".to_owned(), |end| end.display().to_string());
    let message = format!("{} is a link to {end}, and it is followed", path.display());
    part.warning(key, message, "write where it leads, unless the link is meant");
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rstest::rstest;
    use tempfile::TempDir;

    use super::*;
    use crate::config::Severity;

    fn config(folder: &Path) -> Config {
        let mut config = Config::default();
        config.store.path = folder.join("data/log.db");
        config.recordings.folder = folder.join("data/recordings");
        config.captures.folder = folder.join("data/captures");
        config
    }

    fn findings(config: &Config) -> Vec<(Severity, String)> {
        check(config).all().iter().map(|it| (it.severity, format!("{}: {}", it.key, it.message))).collect()
    }

    #[test]
    fn folders_that_are_missing_are_no_finding() {
        let folder = TempDir::new().unwrap();
        assert_eq!(findings(&config(folder.path())), []);
    }

    #[rstest]
    #[case::folder_of_the_log(0o777, "data", "store.path: every user")]
    #[case::sticky(0o1777, "data", "store.path: every user")]
    #[case::recordings(0o777, "data/recordings", "recordings.folder: every user")]
    #[case::captures(0o703, "data/captures", "captures.folder: every user")]
    #[case::the_log(0o644, "data/log.db", "store.path: every user of this machine may open")]
    #[case::the_log_to_all(0o666, "data/log.db", "store.path: every user of this machine may open")]
    fn what_is_open_to_everybody_is_a_warning(#[case] mode: u32, #[case] what: &str, #[case] words: &str) {
        let folder = TempDir::new().unwrap();
        for made in ["data", "data/recordings", "data/captures"] {
            fs::create_dir(folder.path().join(made)).unwrap();
            fs::set_permissions(folder.path().join(made), fs::Permissions::from_mode(0o700)).unwrap();
        }
        let log = folder.path().join("data/log.db");
        fs::write(&log, "").unwrap();
        fs::set_permissions(&log, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(findings(&config(folder.path())), []);
        fs::set_permissions(folder.path().join(what), fs::Permissions::from_mode(mode)).unwrap();
        let found = findings(&config(folder.path()));
        let [(Severity::Warning, message)] = found.as_slice() else { panic!("{found:?}") };
        assert!(message.starts_with(words), "{message}");
    }

    #[rstest]
    #[case::folder("data", "store.path: ")]
    #[case::recordings("data/recordings", "recordings.folder: ")]
    #[case::log("data/log.db", "store.path: ")]
    fn a_link_is_named_with_its_end(#[case] what: &str, #[case] key: &str) {
        let folder = TempDir::new().unwrap();
        let end = folder.path().join("end");
        let link = folder.path().join(what);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        if what.ends_with(".db") {
            fs::write(&end, "").unwrap();
            fs::set_permissions(&end, fs::Permissions::from_mode(0o600)).unwrap();
        } else {
            fs::create_dir(&end).unwrap();
        }
        symlink(&end, &link).unwrap();
        let found = findings(&config(folder.path()));
        let message = found.iter().find(|(_, message)| message.contains("is a link to")).unwrap();
        assert!(message.0 == Severity::Warning && message.1.starts_with(key), "{found:?}");
    }

    #[test]
    fn a_file_in_the_place_of_a_folder_is_an_error() {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("data"), "").unwrap();
        let found = findings(&config(folder.path()));
        assert!(
            found
                .iter()
                .any(|(severity, text)| *severity == Severity::Error && text.contains("is not a folder"))
        );
    }
}
