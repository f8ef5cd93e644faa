//! A PgBouncer of our own in front of a cluster.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use tempfile::TempDir;

use super::{Cluster, PATIENCE};
use crate::postgres::programs::Programs;

/// `pool_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PoolMode {
    Session,
    Transaction,
}

/// Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Pooler {
    folder: TempDir,
    process: Child,
    log: Receiver<String>,
}

impl Pooler {
    /// Settings as Debian's package has them: parameters of the session that it does not know are refused. Server
    /// connections are used in turn, so that two transactions of one client seldom share one.
    pub(crate) fn start(cluster: &Cluster, mode: PoolMode) -> Self {
        let folder = tempfile::Builder::new().prefix("bouncer-").tempdir().unwrap();
        let programs = Programs::find(folder.path());
        let mode = match mode {
            PoolMode::Session => "session",
            PoolMode::Transaction => "transaction",
        };
        let settings = format!(
            "[databases]\n* = host={cluster} port=5432 user=patchcord\n[pgbouncer]\nlisten_port = 6432\n\
             unix_socket_dir = {own}\nauth_type = any\npool_mode = {mode}\ndefault_pool_size = 4\n\
             server_round_robin = 1\n",
            cluster = cluster.folder().display(),
            own = folder.path().display(),
        );
        let file = folder.path().join("bouncer.ini");
        fs::write(&file, settings).unwrap();
        let words = programs.words(program().to_str().unwrap());
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let (sender, log) = channel();
        let lines = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
        std::thread::spawn(move || lines.for_each(|line| drop(sender.send(line))));
        let pooler = Self { folder, process, log };
        pooler.wait_until_ready();
        pooler
    }

    /// For `DATABASE_URL`.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://patchcord@localhost:6432/{database}?host={}", self.folder.path().display())
    }

    fn wait_until_ready(&self) {
        let mut seen = Vec::new();
        while let Ok(line) = self.log.recv_timeout(PATIENCE) {
            if line.contains("process up") {
                return;
            }
            seen.push(line);
        }
        panic!("PgBouncer does not start:\n{}", seen.join("\n"));
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program() -> PathBuf {
    let installed = Path::new("/usr/sbin/pgbouncer");
    let on_path = || {
        let folders = std::env::var_os("PATH")?;
        std::env::split_paths(&folders).map(|folder| folder.join("pgbouncer")).find(|file| file.is_file())
    };
    let found = if installed.is_file() { Some(installed.to_owned()) } else { on_path() };
    found.expect("no PgBouncer is installed; `make deps-pgbouncer` installs Debian's")
}
