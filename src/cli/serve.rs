//! `patchcord serve`: the server.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::TcpListener;

use super::mask::masked;
use super::service::Service;
use super::signals::{self, Stop};
use super::{logging, network, text};
use crate::config::{self, Config, Severity};
use crate::server::Listeners;
use crate::server::admin::reach;
use crate::store::postgres::Target;
use crate::store::{self, Store};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration; otherwise the one PATCHCORD_CONFIG names, otherwise patchcord.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    logging::start("info");
    signals::outlive()?;
    let config = Config::load(args.config.as_deref(), &config::environment)?;
    check(&config)?;
    // A caller is not kept waiting for a server that cannot start.
    store::refuse_foreign(&config.store.path).await?;
    allow_sockets();
    let listen = config.server.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    let admin = config.admin.listen.bind().await;
    let admin = admin.with_context(|| format!("cannot listen on {} (admin.listen)", config.admin.listen))?;
    let listeners = Listeners { carrier: listener, admin };
    tell_reach(&config, &listeners);
    let target = config.secrets.database_url.as_ref().map(Target::parse).transpose()?;
    let store = Store::open_with(&config.store, target).await?;
    let service = Service::new(&config, listeners, store.handle(), network::egress(&config)?)?;
    tracing::info!(%listen, agents = config.agents.len(), log = %config.store.path.display(), "ready");

    let mut stop = Stop::new()?;
    let stopped = {
        let (told, wait) = tokio::sync::oneshot::channel();
        let running = service.run(async {
            let _ = wait.await;
        });
        tokio::pin!(running);
        tokio::select! {
            () = &mut running => true,
            () = stop.wait() => {
                let _ = told.send(());
                tokio::select! {
                    () = &mut running => true,
                    () = stop.wait() => false,
                }
            }
        }
    };
    store.close().await?;
    if !stopped {
        bail!("stopped at once by a second signal: running calls were cut off");
    }
    Ok(())
}

/// Says what can be reached from where.
fn tell_reach(config: &Config, listeners: &Listeners) {
    let has_token = config.secrets.api_token.is_some();
    let carrier = config.server.listen;
    let api = if has_token { ", API with its token" } else { "" };
    tracing::info!(address = %carrier, reach = reach(carrier), "listening: webhooks and media streams{api}");
    if let Some(Ok(admin)) = listeners.admin.as_ref().map(TcpListener::local_addr) {
        let access = if has_token { "with its token" } else { "without a token, direct connections only" };
        tracing::info!(address = %admin, reach = reach(admin), "listening: API {access}");
    }
}

/// A call has two sockets, and more while it moves; many systems start a process with leave for 1024.
fn allow_sockets() {
    const ENOUGH: u64 = 1 << 20;
    let mut limit = getrlimit(Resource::Nofile);
    let allowed = limit.maximum.map_or(ENOUGH, |maximum| maximum.min(ENOUGH));
    if limit.current.is_some_and(|current| current < allowed) {
        limit.current = Some(allowed);
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "the number of open sockets stays limited");
        }
    }
}

/// The server does not start with a configuration that cannot work.
fn check(config: &Config) -> anyhow::Result<()> {
    let findings = config.validate();
    for finding in &findings {
        let text = text::line(&masked(&finding.to_string()));
        match finding.severity {
            Severity::Error => tracing::error!("{text}"),
            Severity::Warning => tracing::warn!("{text}"),
        }
    }
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        bail!("the configuration has errors; `patchcord check` shows them with what would run");
    }
    Ok(())
}
