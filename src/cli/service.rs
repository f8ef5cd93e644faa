//! The parts of a running server put together.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::bridge::{Bridge, Offer};
use crate::config::Config;
use crate::live::session;
use crate::net::egress::Egress;
use crate::provider::Providers;
use crate::provider::gemini::{self, Dialer};
use crate::provider::http::Transport;
use crate::secret::Secret;
use crate::server::{self, Api, Listeners, State};
use crate::store;
use crate::store::captures::Captures;
use crate::store::query::Query;
use crate::store::recordings::{self, Recorder};

/// How long calls may go on when the process is told to stop.
const DRAIN: Duration = Duration::from_secs(30);

/// A server that is bound to its address and ready to run.
pub(crate) struct Service {
    listeners: Listeners,
    state: Arc<State>,
    bridge: Arc<Bridge>,
    /// If an agent has its calls recorded.
    recorder: Option<Arc<Recorder>>,
    /// The folder of recordings, whose time may be over even if nobody records any more.
    recordings: PathBuf,
    captures: Option<Captures>,
}

impl Service {
    /// Puts the parts together; `listeners` are bound already, and `tls` is the way out of this machine.
    pub(crate) fn new(
        config: &Config,
        listeners: impl Into<Listeners>,
        store: store::Handle,
        tls: Arc<Egress>,
    ) -> anyhow::Result<Self> {
        let secrets = &config.secrets;
        let keys = gemini::Keys {
            developer: secrets.gemini_api_key.clone().unwrap_or_default(),
            vertex: secrets.vertex_api_key.clone().unwrap_or_default(),
        };
        let dialers: Vec<Dialer> = gemini::dialers(&config.live, &keys, &tls)?;
        let transport = Transport { config: config.http.clone(), tls };
        let key = |name: &str| secrets.providers.get(name).cloned();
        let providers = Providers::new(&config.fallback, key, &transport)?;
        let patience = session::Config {
            connect_timeout: Duration::from_millis(config.live.connect_timeout_ms),
            setup_timeout: Duration::from_millis(config.live.setup_timeout_ms),
            ..session::Config::default()
        };
        let offer = Offer::new(patience, dialers, providers);
        let recorder = recorder(config)?;
        let captures = captures(config)?;
        let bridge = Bridge::new(store, offer);
        let bridge = match &captures {
            Some(captures) => bridge.with_captures(captures.handle()),
            None => bridge,
        };
        let bridge = Arc::new(match &recorder {
            Some(recorder) => bridge.recording(Arc::clone(recorder)),
            None => bridge,
        });
        let tokens: Vec<Secret> = [&secrets.twilio_auth_token, &secrets.twilio_auth_token_secondary]
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        let agents = config.agents.iter().cloned().map(Arc::new).collect();
        let state = State::new(&config.server, tokens, agents, Arc::clone(&bridge))
            .context("the configuration cannot be served")?
            .limited(&config.limits)
            .of_account(config.twilio.account_sid.clone())
            .with_api(api(config)?);
        Ok(Self {
            listeners: listeners.into(),
            state: Arc::new(state),
            bridge,
            recorder,
            recordings: config.recordings.folder.clone(),
            captures,
        })
    }

    /// Serves until `stop`, then takes no new calls and lets the running ones end in their time.
    pub(crate) async fn run(self, stop: impl Future<Output = ()>) {
        let Self { listeners, state, bridge, recorder, recordings, captures } = self;
        // While calls end, the server answers: that it is not ready, and new callers that it is busy.
        let drain = async {
            stop.await;
            tracing::info!(calls = bridge.active(), "stopping: no new calls");
            if !bridge.drain(Instant::now() + DRAIN).await {
                tracing::warn!(calls = bridge.active(), "calls were still running at the end");
            }
        };
        tokio::select! {
            () = server::serve(listeners, state, drain) => {}
            () = recordings::keep_clean(recordings) => {}
        }
        if let Some(recorder) = recorder {
            let _ = tokio::task::spawn_blocking(move || recorder.close()).await;
        }
        if let Some(captures) = captures
            && !captures.close().await
        {
            tracing::warn!("some of the inputs that calls keep could not be written in time");
        }
    }
}

fn api(config: &Config) -> anyhow::Result<Api> {
    let api = Api::new(Query::lazy(config.log())?, config.secrets.api_token.clone());
    Ok(api.asked_as(config.admin.hosts.clone()))
}

/// Somebody who keeps recordings, if any agent has its calls recorded.
fn recorder(config: &Config) -> anyhow::Result<Option<Arc<Recorder>>> {
    let is_wanted = config.agents.iter().any(|agent| agent.keep.recording.is_some());
    Ok(if is_wanted { Some(Arc::new(Recorder::start(&config.recordings)?)) } else { None })
}

/// Needed if an agent keeps inputs; or if one once did, so that what is old is deleted.
fn captures(config: &Config) -> anyhow::Result<Option<Captures>> {
    let is_needed = config.agents.iter().any(|agent| agent.keep.inputs) || config.captures.folder.is_dir();
    Ok(if is_needed { Some(Captures::start(&config.captures)?) } else { None })
}
