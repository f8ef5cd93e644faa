//! `patchcord serve` as a process of its own, with its journal in a temporary folder.
#![allow(dead_code, reason = "not every test needs all of it")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::ops::Range;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use crate::postgres::PATIENCE;
use crate::world::AUTH_TOKEN;

/// Runs the program, and kills it when its standard input ends: so it does not outlive a test that dies. A line names
/// a signal to send to it; after one that ends it, its end is waited for.
const SCRIPT: &str = r#"
"$@" <&- & process=$!
while read -r name; do
    kill -"$name" $process
    case $name in KILL | TERM) wait $process; exit ;; esac
done
kill -KILL $process
wait $process
"#;

/// What a shell makes of the end by SIGKILL.
const KILLED: i32 = 128 + 9;

/// Below the ports that the system gives to clients, which would take that of a server while it is dead.
const PORTS: Range<u16> = 20_000..32_000;

/// Kept of what the program complained about.
const COMPLAINTS_MAX: usize = 1000;

#[derive(Debug)]
pub(crate) struct Program {
    folder: TempDir,
    port: u16,
    database_url: Option<String>,
    /// `RUST_LOG`.
    level: &'static str,
    process: Option<Child>,
    /// Lines of its log above INFO.
    complaints: Arc<Mutex<Vec<String>>>,
}

impl Program {
    /// Not started yet. `seed` chooses the port.
    pub(crate) fn new(live_endpoint: &str, database_url: Option<String>, seed: u64) -> Self {
        let folder = TempDir::new().unwrap();
        let port = free_port(seed);
        let (program, path) = (Self::journal_in(&folder), folder.path().join("patchcord.toml"));
        let config = format!(
            "admin.listen = 'off'\n[server]\nlisten = '127.0.0.1:{port}'\npublic_url = 'http://127.0.0.1:{port}'\n\
             [store]\npath = '{}'\nfree_bytes_min = 0\n\
             [limits]\nlag_max_ms = 0\nmax_calls = 10000\n\
             [live]\nendpoint = '{live_endpoint}'\n\
             [[agents]]\nname = 'chaos'\ngreeting = ''\n",
            program.display()
        );
        fs::write(path, config).unwrap();
        Self { folder, port, database_url, level: "info", process: None, complaints: Arc::default() }
    }

    /// Logs at this level.
    pub(crate) fn logging(mut self, level: &'static str) -> Self {
        self.level = level;
        self
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn journal(&self) -> PathBuf {
        Self::journal_in(&self.folder)
    }

    fn journal_in(folder: &TempDir) -> PathBuf {
        folder.path().join("patchcord.db")
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn start(&mut self) {
        let mut process = self.spawn(Stdio::piped());
        let (ready, is_ready) = channel();
        let lines = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
        let complaints = Arc::clone(&self.complaints);
        std::thread::spawn(move || {
            for line in lines {
                if line.contains(r#""message":"ready""#) {
                    let _ = ready.send(());
                } else if !line.contains(r#""level":"INFO""#) {
                    let mut complaints = complaints.lock().unwrap();
                    if complaints.len() < COMPLAINTS_MAX {
                        complaints.push(line);
                    }
                }
            }
        });
        self.process = Some(process);
        if is_ready.recv_timeout(PATIENCE).is_err() {
            panic!("the server does not start:\n{}", self.complaints());
        }
    }

    /// Starts it with this standard error, on which nothing is looked for.
    pub(crate) fn start_with(&mut self, stderr: Stdio) {
        self.process = Some(self.spawn(stderr));
    }

    fn spawn(&self, stderr: Stdio) -> Child {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "sh", env!("CARGO_BIN_EXE_patchcord"), "serve", "--config"]);
        command.arg(self.folder.path().join("patchcord.toml"));
        command.env_clear().current_dir(self.folder.path());
        command.envs([
            ("GEMINI_API_KEY", "test-api-key"),
            ("TWILIO_AUTH_TOKEN", AUTH_TOKEN),
            ("RUST_LOG", self.level),
        ]);
        command.envs(self.database_url.iter().map(|url| ("DATABASE_URL", url)));
        // What interrupts the tests from a keyboard goes to their process group; this process sees its pipe end.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(stderr);
        command.spawn().unwrap()
    }

    /// Sends a signal that is not to end it.
    pub(crate) fn signal(&mut self, name: &str) {
        let stdin = self.process.as_mut().expect("the server runs").stdin.as_mut().unwrap();
        stdin.write_all(format!("{name}\n").as_bytes()).unwrap();
    }

    /// A crash: the process is gone at once.
    pub(crate) fn kill(&mut self) {
        let status = self.end("KILL");
        assert_eq!(status, Some(KILLED), "the server ended by itself:\n{}", self.complaints());
    }

    /// Ends it in an orderly way.
    pub(crate) fn stop(&mut self) {
        let status = self.end("TERM");
        assert_eq!(status, Some(0), "the server did not end well:\n{}", self.complaints());
    }

    pub(crate) fn complaints(&self) -> String {
        self.complaints.lock().unwrap().join("\n")
    }

    fn end(&mut self, signal: &str) -> Option<i32> {
        let mut process = self.process.take().expect("the server runs");
        process.stdin.take().unwrap().write_all(format!("{signal}\n").as_bytes()).unwrap();
        process.wait().unwrap().code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            drop(process.stdin.take());
            let _ = process.wait();
        }
    }
}

fn free_port(seed: u64) -> u16 {
    let count = u64::from(PORTS.end - PORTS.start);
    let ports = (0..count).map(|n| PORTS.start + u16::try_from((seed + n) % count).unwrap());
    let mut free = ports.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.next().expect("a free port")
}
