//! A server and a load model as processes of this machine, so that one command shows what the machine can do.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::pin;
use crate::load::model::REFUSED_MODEL;
use crate::secret::Secret;
use crate::server::config::VOICE_PATH;

/// Numbers that are dialled (reserved for fiction).
pub(super) const TO: &str = "+13125550142";
pub(super) const FALLBACK_TO: &str = "+13125550199";

/// How long a process may take to begin, and to end.
const START_MAX: Duration = Duration::from_secs(20);
const STOP_MAX: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Host {
    server: Child,
    model: Child,
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
    /// Starts both, and waits until they are ready.
    pub(super) async fn start(is_pinned: bool) -> anyhow::Result<Self> {
        let folder = Folder::new()?;
        let ca_file = folder.0.join("ca.pem");
        let (model, about) = start_model(&ca_file).await?;
        // Its port was free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
        let config = folder.0.join("patchcord.toml");
        std::fs::write(&config, configuration(address, &about, &folder.0))?;
        let token = Secret::new(Uuid::new_v4().simple().to_string());
        let cores = if is_pinned { Some(pin::first()?) } else { None };
        let server = start_server(&config, &token, cores)?;
        let mut host = Self { server, model, address, about, token, folder };
        host.wait().await?;
        Ok(host)
    }

    pub(super) fn webhook(&self) -> String {
        format!("http://{}{VOICE_PATH}", self.address)
    }

    pub(super) fn token(&self) -> Secret {
        self.token.clone()
    }

    pub(super) fn server_pid(&self) -> u32 {
        self.server.id().unwrap_or_default()
    }

    pub(super) const fn control(&self) -> SocketAddr {
        self.about.control
    }

    /// Until the server takes calls.
    async fn wait(&mut self) -> anyhow::Result<()> {
        let url = format!("http://{}/readyz", self.address);
        let ready = async {
            while !reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success()) {
                sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            ready = timeout(START_MAX, ready) => ready.context("the server does not begin to take calls"),
            status = self.server.wait() => bail!("the server ended at once: {}", status?),
        }
    }

    /// Ends both in an orderly way.
    pub(super) async fn stop(mut self) {
        for child in [&mut self.server, &mut self.model] {
            if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw)
            {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
            }
            // One that does not end is killed when it is dropped.
            let _ = timeout(STOP_MAX, child.wait()).await;
        }
        drop(self.folder);
    }
}

async fn start_model(ca_file: &Path) -> anyhow::Result<(Child, About)> {
    let mut command = program()?;
    command.args(["simulate", "load-model", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--ca-out"]);
    let mut model = command.arg(ca_file).stdout(Stdio::piped()).spawn().context("cannot start the load model")?;
    let output = model.stdout.take().context("the load model has no output")?;
    let mut lines = BufReader::new(output).lines();
    let first = timeout(START_MAX, lines.next_line()).await.context("the load model does not begin")??;
    let first = first.context("the load model ended at once")?;
    let about = serde_json::from_str(&first).with_context(|| format!("the load model said `{first}`"))?;
    Ok((model, about))
}

fn start_server(config: &Path, token: &Secret, cores: Option<BTreeSet<u32>>) -> anyhow::Result<Child> {
    let mut command = program()?;
    command.args(["serve", "--config"]).arg(config).env("TWILIO_AUTH_TOKEN", token.expose());
    command.env("GEMINI_API_KEY", "load-test").env_remove("DATABASE_URL").env("RUST_LOG", "error");
    // A process runs where the thread that starts it runs.
    let runtime = tokio::runtime::Handle::current();
    let start = move || {
        let _inside = runtime.enter();
        if let Some(cores) = cores {
            pin::this_thread(&cores)?;
        }
        command.spawn().context("cannot start the server")
    };
    let started = std::thread::spawn(start).join();
    started.map_err(|_| anyhow::anyhow!("cannot start the server"))?
}

/// This program. What is typed at the keyboard to end the test must not end its processes.
fn program() -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("this program cannot be found")?);
    command.stdin(Stdio::null()).kill_on_drop(true).process_group(0);
    Ok(command)
}

fn configuration(address: SocketAddr, about: &About, folder: &Path) -> String {
    let endpoint = &about.endpoint;
    let folder = folder.display();
    format!(
        "[server]\nlisten = '{address}'\npublic_url = 'http://{address}'\n\
         [store]\npath = '{folder}/patchcord.db'\n\
         [live]\nendpoint = '{endpoint}'\nca_file = '{folder}/ca.pem'\n\
         [[agents]]\nname = 'load'\n\
         [[agents]]\nname = 'load-fallback'\nnumber = '{FALLBACK_TO}'\nmodel = '{REFUSED_MODEL}'\n"
    )
}

/// A folder of its own that is deleted at the end.
#[derive(Debug)]
struct Folder(std::path::PathBuf);

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
