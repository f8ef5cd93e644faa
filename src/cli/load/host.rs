//! A server, a load model and, where calls need it, services for the fallback, as processes of this machine, so that one
//! command shows what the machine can do.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::pin;
use crate::load::model::REFUSED_MODEL;
use crate::load::process;
use crate::secret::Secret;
use crate::server::config::VOICE_PATH;

/// Numbers that are dialled (reserved for fiction).
pub(super) const TO: &str = "+13125550142";
pub(super) const FALLBACK_TO: &str = "+13125550199";

/// The variable of the key that all simulated services are shown; they take any.
const KEY_VARIABLE: &str = "GEMINI_API_KEY";

/// How long a process may take to begin, and to end.
const START_MAX: Duration = Duration::from_secs(20);
const STOP_MAX: Duration = Duration::from_secs(10);

/// A port that was free a moment ago may be another program's now, if two tests begin at once.
const PORTS_MAX: u32 = 3;

/// How often it is looked whether it has.
const POLL: Duration = Duration::from_millis(50);

/// What they are to be like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    /// The server alone on the first core.
    pub(super) is_pinned: bool,
    /// With services for the fallback.
    pub(super) has_fallback: bool,
    /// Calls that the server admits; `None`: all of them.
    pub(super) max_calls: Option<u32>,
}

/// Where the fallback's services would be if a test has no use for them: nobody listens at port 9 (RFC 863).
const NOBODY: &str = "http://127.0.0.1:9";

/// More than any test places.
const MAX_CALLS: u32 = 100_000;

#[derive(Debug)]
pub(super) struct Host {
    server: Process,
    model: Process,
    providers: Option<Process>,
    address: SocketAddr,
    about: About,
    token: Secret,
    /// Deleted at the end.
    folder: Folder,
}

/// The first line of the load model.
#[derive(Debug, Deserialize)]
struct About {
    endpoint: String,
    control: SocketAddr,
}

impl Host {
    /// Starts them, and waits until they are ready.
    pub(super) async fn start(setting: Setting) -> anyhow::Result<Self> {
        let folder = Folder::new()?;
        let ca_file = folder.0.join("ca.pem");
        let (model, about) = start_model(&ca_file).await?;
        let (providers, helper) = if setting.has_fallback {
            let (process, url) = start_providers().await?;
            (Some(process), url)
        } else {
            (None, NOBODY.to_owned())
        };
        let config = folder.0.join("patchcord.toml");
        let max_calls = setting.max_calls.unwrap_or(MAX_CALLS);
        let token = Secret::new(Uuid::new_v4().simple().to_string());
        let mut tries_left = PORTS_MAX;
        loop {
            let address = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
            let configuration = configuration(address, &about, &folder.0, max_calls) + &fallback(&helper);
            std::fs::write(&config, configuration)?;
            let cores = if setting.is_pinned { Some(pin::first()?) } else { None };
            let mut server = start_server(&config, &token, cores)?;
            tries_left -= 1;
            match server.wait(address).await {
                Ok(()) => return Ok(Self { server, model, providers, address, about, token, folder }),
                Err(error) if tries_left == 0 => return Err(error),
                Err(_) => {}
            }
        }
    }

    pub(super) fn webhook(&self) -> String {
        format!("http://{}{VOICE_PATH}", self.address)
    }

    pub(super) fn token(&self) -> Secret {
        self.token.clone()
    }

    pub(super) fn server_pid(&self) -> u32 {
        self.server.0.id()
    }

    pub(super) const fn control(&self) -> SocketAddr {
        self.about.control
    }

    /// Ends them in an orderly way.
    pub(super) async fn stop(self) {
        self.server.stop().await;
        self.model.stop().await;
        if let Some(providers) = self.providers {
            providers.stop().await;
        }
        drop(self.folder);
    }
}

/// A process that is killed when it is dropped.
#[derive(Debug)]
struct Process(Child);

impl Process {
    /// Until this server takes calls at the address, and not another that was quicker to take the port.
    async fn wait(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        let url = format!("http://{address}/readyz");
        let began = Instant::now();
        loop {
            let is_ready = reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success());
            if let Some(status) = self.0.try_wait()? {
                bail!("the server ended at once: {status}");
            }
            let listener = process::listening_on(address.port());
            if is_ready && listener.is_none_or(|pid| pid == self.0.id()) {
                return Ok(());
            }
            ensure!(began.elapsed() < START_MAX, "the server does not begin to take calls");
            sleep(POLL).await;
        }
    }

    /// Interrupts it, and gives it time to end.
    async fn stop(mut self) {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::INT);
        }
        let began = Instant::now();
        while matches!(self.0.try_wait(), Ok(None)) && began.elapsed() < STOP_MAX {
            sleep(POLL).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended cannot be killed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn start_model(ca_file: &Path) -> anyhow::Result<(Process, About)> {
    let mut command = program()?;
    command.args([
        "simulate",
        "load-model",
        "--listen",
        "127.0.0.1:0",
        "--control",
        "127.0.0.1:0",
        "--ca-out",
    ]);
    command.arg(ca_file);
    let (model, first) = start_talking(command).await.context("the load model does not begin")?;
    let about = serde_json::from_str(&first).with_context(|| format!("the load model said `{first}`"))?;
    Ok((model, about))
}

/// Simulated services for the fallback, and their address.
async fn start_providers() -> anyhow::Result<(Process, String)> {
    let mut command = program()?;
    command.args(["simulate", "providers", "--port", "0"]);
    let (providers, first) =
        start_talking(command).await.context("the simulated services of the fallback do not begin")?;
    Ok((providers, first.trim().to_owned()))
}

/// A process, and its first line; what it says later is read and forgotten, so that it never waits for a reader.
async fn start_talking(mut command: Command) -> anyhow::Result<(Process, String)> {
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().context("it has no output")?;
    let process = Process(child);
    let (said, first) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut line = String::new();
        // Nobody waits any more if it took too long; it ends with the process.
        let _ = said.send(output.read_line(&mut line).map(|_| line));
        let _ = std::io::copy(&mut output, &mut std::io::sink());
    });
    let first = timeout(START_MAX, first).await.context("it said nothing")?.context("it said nothing")?;
    let first = first?;
    ensure!(!first.is_empty(), "it ended at once");
    Ok((process, first))
}

fn start_server(config: &Path, token: &Secret, cores: Option<BTreeSet<u32>>) -> anyhow::Result<Process> {
    let mut command = program()?;
    command.args(["serve", "--config"]).arg(config).env("TWILIO_AUTH_TOKEN", token.expose());
    command.env(KEY_VARIABLE, "load-test").env_remove("DATABASE_URL").env("RUST_LOG", "error");
    // A process runs where the thread that starts it runs.
    let start = move || {
        if let Some(cores) = cores {
            pin::this_thread(&cores)?;
        }
        command.spawn().map(Process).context("cannot start the server")
    };
    let started = std::thread::spawn(start).join();
    started.map_err(|_| anyhow::anyhow!("cannot start the server"))?
}

/// This program. What is typed at the keyboard to end the test must not end its processes.
fn program() -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("this program cannot be found")?);
    command.stdin(Stdio::null()).process_group(0);
    Ok(command)
}

fn configuration(address: SocketAddr, about: &About, folder: &Path, max_calls: u32) -> String {
    let endpoint = &about.endpoint;
    let folder = folder.display();
    format!(
        "admin.listen = 'off'\n[server]\nlisten = '{address}'\npublic_url = 'http://{address}'\n\
         [limits]\nmax_calls = {max_calls}\ncalls_per_minute_per_caller = 0\nlag_max_ms = 0\n\
         [store]\npath = '{folder}/patchcord.db'\n\
         [live]\nendpoint = '{endpoint}'\nca_file = '{folder}/ca.pem'\n\
         [[agents]]\nname = 'load'\n\
         [[agents]]\nname = 'load-fallback'\nnumber = '{FALLBACK_TO}'\nmodel = '{REFUSED_MODEL}'\n"
    )
}

/// The services of the fallback at this address.
fn fallback(url: &str) -> String {
    let service = |of: &str| {
        format!(
            "[[fallback.{of}]]\nkind = 'openai'\nname = 'simulated'\nendpoint = '{url}/v1'\nkey_env = '{KEY_VARIABLE}'\n"
        )
    };
    ["stt", "llm", "tts"].map(service).concat()
}

/// A folder of its own that is deleted at the end.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("patchcord-load-{}", Uuid::new_v4().simple()));
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be deleted is left in the folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
