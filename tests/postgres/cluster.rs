//! A PostgreSQL server of our own in a temporary folder, which can be made to fail.
//!
//! Reachable through a Unix socket in that folder alone, by whoever may enter the folder.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::PATIENCE;
use super::keeper::Keeper;
use super::programs::Programs;

const USER: &str = "patchcord";

/// The file that holds the process id of the server, in the cluster's folder.
const PID_FILE: &str = "server.pid";

/// Whether what is committed would survive a loss of power. It survives [`Cluster::kill`] either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fsync {
    On,
    Off,
}

/// Stopped and removed when it is dropped. Its functions wait for what they do, some up to a second: a test whose
/// runtime has something else to do meanwhile calls them from another thread.
#[derive(Debug)]
pub(crate) struct Cluster {
    folder: PathBuf,
    programs: Programs,
    fsync: Fsync,
    processes: Mutex<Processes>,
}

#[derive(Debug)]
struct Processes {
    keeper: Keeper,
    server: Option<Server>,
}

impl Cluster {
    /// A server that does not wait for the disk.
    pub(crate) fn start() -> Self {
        Self::start_with(Fsync::Off)
    }

    pub(crate) fn start_with(fsync: Fsync) -> Self {
        let folder = tempfile::Builder::new().prefix("pg-").tempdir().unwrap();
        let programs = Programs::find(folder.path());
        let keeper = Keeper::start(folder.path());
        let processes = Mutex::new(Processes { keeper, server: None });
        let cluster = Self { folder: folder.keep(), programs, fsync, processes };
        cluster.init();
        cluster.restart();
        cluster
    }

    /// For sqlx, and for `DATABASE_URL` of a program under test. There is `postgres` to begin with.
    pub(crate) fn url(&self, database: &str) -> String {
        let folder = self.folder.to_str().unwrap();
        format!("postgres://{USER}@localhost:5432/{database}?host={folder}")
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Process ids of the server, itself first, and of its children.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let server = self.processes().server.as_ref().map(|server| server.process.id());
        let running = fs::read_dir("/proc").unwrap();
        let running = running.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
        let is_child = |pid: &u32| server.is_some() && parent(*pid) == server;
        server.into_iter().chain(running.filter(is_child)).collect()
    }

    /// A crash: all processes of the server are gone at once.
    pub(crate) fn kill(&self) {
        let mut processes = self.processes();
        processes.keeper.signal("KILL");
        self.end(&mut processes);
    }

    /// An orderly stop, which does not wait for clients.
    pub(crate) fn stop(&self) {
        let mut processes = self.processes();
        if let Some(server) = &processes.server {
            // Fast shutdown: https://www.postgresql.org/docs/15/server-shutdown.html
            run(Command::new("sh").args(["-c", &format!("kill -INT {}", server.process.id())]));
            processes.keeper.signal("CONT");
        }
        self.end(&mut processes);
    }

    /// From now on nothing is answered and nothing refused: connections can be made, and hang.
    pub(crate) fn stop_silently(&self) {
        self.processes().keeper.signal("STOP");
    }

    /// Goes on as if it had not been stopped silently.
    pub(crate) fn resume(&self) {
        self.processes().keeper.signal("CONT");
    }

    /// Starts the server on what it had committed; if it runs, stops it before.
    pub(crate) fn restart(&self) {
        self.stop();
        self.processes().server = Some(self.serve());
    }

    /// Kills the server and starts one that knows of nothing in its place.
    pub(crate) fn wipe(&self) {
        self.kill();
        fs::remove_dir_all(self.folder.join("data")).unwrap();
        self.init();
        self.restart();
    }

    fn init(&self) {
        let arguments = [
            "--pgdata=data",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
            &format!("--username={USER}"),
        ];
        let words = self.programs.words("initdb");
        run(Command::new(&words[0]).args(&words[1..]).args(arguments).current_dir(&self.folder));
    }

    fn serve(&self) -> Server {
        let fsync = match self.fsync {
            Fsync::On => "on",
            Fsync::Off => "off",
        };
        let settings = [
            format!("unix_socket_directories={}", self.folder.display()),
            "listen_addresses=".to_owned(),
            // In the folder, to be removed with it.
            "dynamic_shared_memory_type=mmap".to_owned(),
            "lc_messages=C".to_owned(),
            format!("fsync={fsync}"),
            format!("full_page_writes={fsync}"),
        ];
        let mut command = Command::new("sh");
        // The process writes its id itself: whenever a test program dies, the keeper knows whom to kill.
        command.args(["-c", &format!("echo $$ > {PID_FILE} && exec \"$@\""), "sh"]);
        command.args(self.programs.words("postgres")).args(["-D", "data", "-p", "5432"]);
        command.args(settings.iter().flat_map(|setting| ["-c", setting]));
        let server = Server::start(command.current_dir(&self.folder));
        server.wait_until_ready();
        server
    }

    fn end(&self, processes: &mut Processes) {
        if let Some(server) = processes.server.take() {
            server.wait_until_gone();
            fs::remove_file(self.folder.join(PID_FILE)).unwrap();
        }
    }

    fn processes(&self) -> MutexGuard<'_, Processes> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let processes = self.processes.get_mut().unwrap_or_else(PoisonError::into_inner);
        processes.keeper.end();
        if let Some(server) = processes.server.take() {
            server.wait_until_gone();
        }
    }
}

#[derive(Debug)]
struct Server {
    process: Child,
    /// Its log. Ends when the last of its processes does.
    log: Receiver<String>,
}

impl Server {
    fn start(command: &mut Command) -> Self {
        // The standard output is ours, and nothing is written to it: who reads ours to its end knows of this end too.
        command.process_group(0).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let (sender, log) = channel();
        let lines = BufReader::new(process.stderr.take().unwrap()).split(b'\n').map_while(Result::ok);
        std::thread::spawn(move || {
            // To the end even if nobody wants it any more: a server that cannot write its log hangs.
            lines.for_each(|line| drop(sender.send(String::from_utf8_lossy(&line).into_owned())));
        });
        Self { process, log }
    }

    fn wait_until_ready(&self) {
        let mut seen = Vec::new();
        while let Ok(line) = self.log.recv_timeout(PATIENCE) {
            if line.ends_with("database system is ready to accept connections") {
                return;
            }
            seen.push(line);
        }
        panic!("the server does not start:\n{}", seen.join("\n"));
    }

    fn wait_until_gone(mut self) {
        let end = loop {
            if let Err(end) = self.log.recv_timeout(PATIENCE) {
                break end;
            }
        };
        if end == RecvTimeoutError::Disconnected {
            let _ = self.process.wait();
        } else if !std::thread::panicking() {
            panic!("the server does not end");
        }
    }
}

/// Runs it to its end.
#[track_caller]
fn run(command: &mut Command) {
    let output = command.env("LC_ALL", "C.UTF-8").output().unwrap();
    assert!(output.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&output.stderr));
}

/// Whose child a process is; `None` if it has ended, whether or not the kernel and its parent are through with it.
pub(crate) fn parent(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    // Memory is what an ending process gives back first.
    field("VmSize:")?;
    field("PPid:")?.parse().ok()
}
