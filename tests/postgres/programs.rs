//! The installed server: where its programs are, and as whom they run.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Root may not run the server; this is who does instead. Debian's packages make this user.
const USER: &str = "postgres";

/// Where Debian installs a folder for each major version.
const VERSIONS: &str = "/usr/lib/postgresql";

#[derive(Debug)]
pub(crate) struct Programs {
    bin: PathBuf,
    is_root: bool,
}

impl Programs {
    /// Those of the newest version, to be run in `folder`, which is handed to the user whom they run as.
    pub(crate) fn find(folder: &Path) -> Self {
        let bin = newest().or_else(on_path).or_else(configured);
        let bin = bin.expect("no PostgreSQL server is installed; `make deps-postgres` installs Debian's");
        let is_root = std::os::unix::fs::MetadataExt::uid(&fs::metadata(folder).unwrap()) == 0;
        if is_root {
            let status = Command::new("chown").arg(format!("{USER}:")).arg(folder).status().unwrap();
            assert!(status.success(), "root needs a user {USER} to run the server as");
        }
        Self { bin, is_root }
    }

    /// The words that run a program, without changing its process id.
    pub(crate) fn words(&self, program: &str) -> Vec<String> {
        let user =
            [format!("--reuid={USER}"), format!("--regid={USER}"), "--init-groups".into(), "--".into()];
        let become_user = || std::iter::once("setpriv".to_owned()).chain(user);
        let mut words: Vec<_> = if self.is_root { become_user().collect() } else { Vec::new() };
        words.push(self.bin.join(program).to_str().unwrap().to_owned());
        words
    }
}

fn newest() -> Option<PathBuf> {
    let versions = fs::read_dir(VERSIONS).ok()?.map(|entry| entry.unwrap().path());
    let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    versions.filter(|path| is_complete(&path.join("bin"))).max_by_key(number).map(|path| path.join("bin"))
}

fn on_path() -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).find(|folder| is_complete(folder))
}

fn configured() -> Option<PathBuf> {
    let answer = Command::new("pg_config").arg("--bindir").output().ok()?;
    let folder = PathBuf::from(String::from_utf8(answer.stdout).ok()?.trim());
    is_complete(&folder).then_some(folder)
}

fn is_complete(folder: &Path) -> bool {
    ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file())
}
