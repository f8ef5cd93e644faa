//! A process beside a test program that signals the processes of a cluster, and cleans up behind it even when the test
//! program is killed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const SCRIPT: &str = include_str!("keeper.sh");

#[derive(Debug)]
pub(crate) struct Keeper {
    process: Child,
    /// `None` when it is to end.
    signals: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Keeper {
    pub(crate) fn start(folder: &Path) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "sh"]).arg(folder);
        // What interrupts the tests from a keyboard goes to their process group, and not to another.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let (signals, answers) = (process.stdin.take(), process.stdout.take().unwrap());
        Self { process, signals, answers: BufReader::new(answers) }
    }

    /// Sends this to the server and its children.
    pub(crate) fn signal(&mut self, name: &str) {
        let signals = self.signals.as_mut().expect("it has not ended");
        signals.write_all(format!("{name}\n").as_bytes()).unwrap();
        self.answers.read_line(&mut String::new()).unwrap();
    }

    /// Waits until it has killed the server and removed the folder.
    pub(crate) fn end(&mut self) {
        self.signals = None;
        let _ = self.process.wait();
    }
}
