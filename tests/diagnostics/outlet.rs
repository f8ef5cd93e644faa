//! Standard errors of a server, and what becomes of them.

use std::fs::File;
use std::io::{PipeReader, Read as _, pipe};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use rustix::fs::{Mode, OFlags};
use rustix::pty;
use serde_json::Value;
use tokio::task::spawn_blocking;

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It is read.
    None,
    /// A pipe of one page that is not read until its writer has lost lines.
    Stops,
    /// A pipe that is read for a while, and then no more, by a process that is gone.
    Dies,
    /// A pipe that nobody reads from the start.
    Dead,
    /// A file on a full disk.
    Full,
    /// No descriptor.
    Closed,
    /// A socket, as that of a logging service, whose other end is gone.
    Socket,
    /// A terminal that has closed.
    Terminal,
    /// A descriptor that cannot be written.
    ReadOnly,
}

#[derive(Debug)]
pub(crate) struct Outlet {
    trouble: Trouble,
    reader: Option<PipeReader>,
    read: Arc<Mutex<String>>,
    reading: Option<JoinHandle<()>>,
}

impl Outlet {
    /// The outlet, and what the server writes to.
    pub(crate) fn new(trouble: Trouble) -> (Self, Stdio) {
        let (reader, stderr) = match trouble {
            Trouble::None | Trouble::Stops | Trouble::Dies => {
                let (reader, writer) = pipe().unwrap();
                if trouble == Trouble::Stops {
                    rustix::pipe::fcntl_setpipe_size(&writer, 4096).unwrap();
                }
                (Some(reader), Stdio::from(writer))
            }
            Trouble::Dead => (None, pipe().unwrap().1.into()),
            Trouble::Full => (None, File::options().write(true).open("/dev/full").unwrap().into()),
            // The server's standard library puts /dev/null in its place, as it does for what was never open.
            Trouble::Closed => (None, Stdio::null()),
            Trouble::Socket => (None, OwnedFd::from(UnixStream::pair().unwrap().0).into()),
            Trouble::Terminal => (None, closed_terminal().into()),
            Trouble::ReadOnly => (None, File::open("/dev/null").unwrap().into()),
        };
        (Self { trouble, reader, read: Arc::default(), reading: None }, stderr)
    }

    /// The trouble begins, or the reading.
    pub(crate) fn begin(&mut self) {
        if self.trouble == Trouble::None {
            self.read_on();
        } else if self.trouble == Trouble::Dies {
            drop(self.reader.take());
        }
    }

    /// Whether all lines come.
    pub(crate) fn is_lossless(&self) -> bool {
        self.trouble == Trouble::None
    }

    /// Reads on, if that is possible.
    pub(crate) fn goes_on(&mut self) -> bool {
        if self.trouble == Trouble::Stops {
            self.read_on();
        }
        self.trouble == Trouble::Stops
    }

    fn read_on(&mut self) {
        let (mut reader, read) = (self.reader.take().unwrap(), Arc::clone(&self.read));
        self.reading = Some(thread::spawn(move || {
            let mut part = vec![0; 1 << 16];
            while let Ok(size @ 1..) = reader.read(&mut part) {
                read.lock().unwrap().push_str(&String::from_utf8_lossy(&part[..size]));
            }
        }));
    }

    pub(crate) fn has(&self, text: &str) -> bool {
        self.read.lock().unwrap().contains(text)
    }

    /// How many dropped lines were reported, when the server has ended.
    pub(crate) async fn reported(&mut self) -> u64 {
        if let Some(reading) = self.reading.take() {
            spawn_blocking(move || reading.join().unwrap()).await.unwrap();
        }
        let read = self.read.lock().unwrap();
        let lines = read.lines().filter(|line| line.contains("diagnostic lines dropped"));
        let lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|line| line["fields"]["lines"].as_u64().unwrap()).sum()
    }
}

fn closed_terminal() -> OwnedFd {
    let terminal = pty::openpt(pty::OpenptFlags::RDWR | pty::OpenptFlags::NOCTTY).unwrap();
    pty::unlockpt(&terminal).unwrap();
    let name = pty::ptsname(&terminal, Vec::new()).unwrap();
    rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap()
}

/// Runs a command with both outputs in trouble: its exit code.
pub(crate) fn command(arguments: &[&str], trouble: Trouble) -> Option<i32> {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_patchcord"));
    command.args(arguments).env_clear().current_dir(folder.path()).stdin(Stdio::null());
    command.stdout(Outlet::new(trouble).1).stderr(Outlet::new(trouble).1);
    command.status().unwrap().code()
}
