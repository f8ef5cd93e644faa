//! The parts of a running server put together.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustls::ClientConfig;
use tokio::net::TcpListener;

use crate::bridge::{Bridge, Offer};
use crate::config::Config;
use crate::live::session;
use crate::provider::Providers;
use crate::provider::gemini::{self, Dialer};
use crate::provider::http::Transport;
use crate::secret::Secret;
use crate::server::{self, State};
use crate::store;

/// How long calls may go on when the process is told to stop.
const DRAIN: Duration = Duration::from_secs(30);

/// A server that is bound to its address and ready to run.
pub(crate) struct Service {
    listener: TcpListener,
    state: Arc<State>,
    bridge: Arc<Bridge>,
}

impl Service {
    /// Puts the parts together; `tls` is whom the live service is trusted by.
    pub(crate) fn new(
        config: &Config,
        listener: TcpListener,
        store: store::Handle,
        tls: Arc<ClientConfig>,
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
        let bridge = Arc::new(Bridge::new(store, offer));
        let tokens: Vec<Secret> = [&secrets.twilio_auth_token, &secrets.twilio_auth_token_secondary]
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        let agents = config.agents.iter().cloned().map(Arc::new).collect();
        let state = State::new(&config.server, tokens, agents, Arc::clone(&bridge))
            .context("the configuration cannot be served")?
            .of_account(config.twilio.account_sid.clone());
        Ok(Self { listener, state: Arc::new(state), bridge })
    }

    /// Serves until `stop`, then takes no new calls and lets the running ones end in their time.
    pub(crate) async fn run(self, stop: impl Future<Output = ()>) {
        let Self { listener, state, bridge } = self;
        // While calls end, the server answers: that it is not ready, and new callers that it is busy.
        let drain = async {
            stop.await;
            tracing::info!(calls = bridge.active(), "stopping: no new calls");
            if !bridge.drain(Instant::now() + DRAIN).await {
                tracing::warn!(calls = bridge.active(), "calls were still running at the end");
            }
        };
        server::serve(listener, state, drain).await;
    }
}
