//! Files and folders: whether this user may write where calls are kept, and who else may.

use std::fs;
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{Access, access};
use rustix::process::{Resource, getrlimit};

use super::part::Part;
use crate::config::Config;
use crate::machine::file::other_kind;

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
    limited(getrlimit(Resource::Fsize).current, &mut part);
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
    } else if let Err(error) = try_out(there) {
        let message = format!("no file can be made in {} ({error})", there.display());
        part.error(key, message, "write a path on a disk of this machine");
    }
}

/// Makes a file and removes it: not every folder can hold one, as those of `/proc`, whatever their permissions say.
fn try_out(folder: &Path) -> io::Result<()> {
    let path = folder.join(format!(".patchcord-check-{}", std::process::id()));
    let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    match made {
        Ok(_) => fs::remove_file(&path),
        // A check that was killed had the same number.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Below this the limit on the size of files ends the log within days: a busy call takes some hundred kilobytes.
const FILE_BYTES_MIN: u64 = 1 << 30;

/// Beyond a limit on the size of files (`ulimit -f`) nothing is written any more.
fn limited(bytes_max: Option<u64>, part: &mut Part) {
    if let Some(bytes) = bytes_max.filter(|bytes| *bytes < FILE_BYTES_MIN) {
        let message = format!("no file of this user may have more than {bytes} bytes (ulimit -f)");
        part.warning("store.path", message, "raise the limit: what is beyond it waits in memory and is lost");
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
    // A folder is a finding of the settings.
    if let Some(kind) = other_kind(state.file_type()) {
        if !state.is_dir() {
            let message = format!("{} is {kind}, not a file", path.display());
            part.error(key, message, "write the path of a file, for example \"data/patchcord.db\"");
        }
        return;
    }
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

    #[rstest]
    #[case::proc("/proc/patchcord.db", "store.path: ")]
    #[case::missing_below_proc("/proc/patchcord/data/log.db", "store.path: ")]
    #[case::a_process("/proc/self/log.db", "store.path: ")]
    #[case::a_file_of_proc("/proc/version", "store.path: ")]
    #[case::a_device("/dev/null", "store.path: /dev/null is a device, not a file")]
    #[case::endless("/dev/zero", "store.path: /dev/zero is a device, not a file")]
    fn a_place_that_cannot_hold_the_log_is_an_error(#[case] path: &str, #[case] message: &str) {
        let folder = TempDir::new().unwrap();
        let mut config = config(folder.path());
        config.store.path = path.into();
        let found = findings(&config);
        let is_meant =
            |(severity, text): &(Severity, String)| *severity == Severity::Error && text.starts_with(message);
        assert!(found.iter().any(is_meant), "{found:?}");
    }

    #[test]
    fn a_folder_of_recordings_that_cannot_hold_any_is_an_error() {
        let folder = TempDir::new().unwrap();
        let mut config = config(folder.path());
        config.recordings.folder = "/proc/recordings".into();
        assert_eq!(findings(&config), [], "nobody records");
        let mut agent = crate::call::agent::Agent::default();
        agent.keep.recording = Some(crate::call::agent::Recording::default());
        config.agents = vec![agent];
        assert!(findings(&config).iter().any(|(severity, text)| {
            *severity == Severity::Error && text.starts_with("recordings.folder: ")
        }));
    }

    #[test]
    fn nothing_is_left_of_a_trial() {
        let folder = TempDir::new().unwrap();
        assert_eq!(findings(&config(folder.path())), []);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[rstest]
    #[case(None, 0)]
    #[case(Some(u64::MAX), 0)]
    #[case(Some(FILE_BYTES_MIN), 0)]
    #[case(Some(8192), 1)]
    #[case(Some(0), 1)]
    fn a_limit_on_the_size_of_files_is_told(#[case] bytes: Option<u64>, #[case] count: usize) {
        let mut part = Part::new(&Config::default());
        limited(bytes, &mut part);
        assert_eq!(part.all().len(), count);
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
