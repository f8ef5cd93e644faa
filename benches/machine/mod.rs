//! The processes of a bench: one program in several roles, each on a core of its own, and what they use of it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The core of what is measured.
pub(crate) const SUBJECT: usize = 0;
/// The core of those who keep it busy.
pub(crate) const DRIVERS: usize = 1;

/// Another process of this program. Ends when it is dropped, or when this one ends.
pub(crate) struct Process {
    child: Child,
    /// What it said when it was ready.
    pub(crate) word: String,
}

impl Process {
    /// On one core (`taskset` of util-linux). Waits until it is ready.
    pub(crate) fn start(core: usize, role: &str, arguments: &[&str]) -> Self {
        let program = std::env::current_exe().unwrap();
        let mut command = Command::new("taskset");
        command
            .arg("--cpu-list")
            .arg(core.to_string())
            .arg(program)
            .arg("--role")
            .arg(role)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut word = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut word).unwrap();
        assert!(!word.is_empty(), "the {role} did not become ready");
        Self { child, word: word.trim().to_owned() }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it; what it said at last.
    pub(crate) fn finish(mut self) -> String {
        drop(self.child.stdin.take());
        let mut text = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        text.trim().to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In a role: tells that it is ready.
pub(crate) fn ready(word: &str) {
    println!("{word}");
}

/// In a role: waits until it is to end.
pub(crate) async fn dismissed() {
    let _ = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await;
}

/// In a role: runs work as a server does, with a thread for each core it may use.
pub(crate) fn run(work: impl Future<Output = ()>) {
    rustls::crypto::ring::default_provider().install_default().unwrap();
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(work);
}

/// CPU time of a process: utime and stime (proc(5)), in ticks of 10 ms.
pub(crate) fn cpu(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    Duration::from_millis((fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) * 10)
}

/// Resident memory of a process, bytes.
pub(crate) fn memory(process: u32) -> u64 {
    let pages = std::fs::read_to_string(format!("/proc/{process}/statm")).unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// How much of a core each process uses from now on for so long.
pub(crate) fn usage<const N: usize>(processes: [u32; N], duration: Duration) -> [f64; N] {
    let (started, before) = (Instant::now(), processes.map(cpu));
    std::thread::sleep(duration);
    let (after, elapsed) = (processes.map(cpu), started.elapsed().as_secs_f64());
    std::array::from_fn(|index| (after[index] - before[index]).as_secs_f64() / elapsed)
}
