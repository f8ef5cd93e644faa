//! A server, a simulated model and a simulated carrier on free loopback ports.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::call::agent::Agent;
use crate::cli::service::Service;
use crate::config::{Config, environment};
use crate::net::dial;
use crate::provider;
use crate::secret::Secret;
use crate::server::config::VOICE_PATH;
use crate::sim::carrier::{self, Fixture, Report};
use crate::sim::gemini::{self, Observation, Scenario};
use crate::store;

/// Known to both sides of the demo and to nobody else that matters.
const AUTH_TOKEN: &str = "demo-auth-token";

/// A free port of this machine.
const LOOPBACK: &str = "127.0.0.1:0";

/// What the carrier tells of one call: a few starts and clears.
const EVENTS_MAX: usize = 1024;

/// Who answers.
pub(super) enum Model {
    Simulated(Box<gemini::Behaviour>, Scenario),
    /// Nobody listens at its address.
    Absent,
    /// The real service.
    Real(Secret),
}

impl Model {
    /// A well-behaved one.
    pub(super) fn simulated(scenario: Scenario) -> Self {
        Self::Simulated(Box::default(), scenario)
    }

    /// The real service with the key of the environment.
    pub(super) fn real() -> anyhow::Result<Self> {
        let key = environment("GEMINI_API_KEY").filter(|key| !key.is_empty());
        key.map(|key| Self::Real(Secret::new(key))).context("--live needs the key in GEMINI_API_KEY")
    }
}

/// Who takes part in a scene beside the caller.
pub(super) struct Cast {
    pub(super) model: Model,
    pub(super) agent: Agent,
    /// Who answers when the model does not.
    pub(super) fallback: provider::Config,
    /// Keys of the fallback's providers, by the variable that holds them.
    pub(super) keys: BTreeMap<String, Secret>,
    /// Where the inputs of the calls are kept, if they are.
    pub(super) captures: Option<PathBuf>,
}

impl Cast {
    /// Nobody beside the model.
    pub(super) fn of(model: Model, agent: Agent) -> Self {
        Self { model, agent, fallback: provider::Config::default(), keys: BTreeMap::new(), captures: None }
    }
}

/// Instants of something that happened, noted by another task.
type Moments = Arc<Mutex<Vec<Instant>>>;

/// A call that was played.
pub(super) struct Played {
    pub(super) report: Report,
    /// From each `interrupted` of the model to the moment when the caller's ear fell silent.
    pub(super) barge_ins: Vec<Duration>,
}

/// Everything one scene needs, running.
pub(super) struct Stage {
    webhook: String,
    status_callback: String,
    model: Option<gemini::Server>,
    interruptions: Moments,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl Stage {
    pub(super) async fn build(store: store::Handle, cast: Cast) -> anyhow::Result<Self> {
        let mut config = Config { agents: vec![cast.agent], fallback: cast.fallback, ..Config::default() };
        config.secrets.providers = cast.keys;
        // A machine that is late is measured, not spared.
        config.limits.lag_max_ms = 0;
        if let Some(folder) = cast.captures {
            config.captures.folder = folder;
        }
        let (model, authority) = engage(cast.model, &mut config).await?;
        let interruptions = Arc::default();
        if let Some(model) = &model {
            note_interruptions(model, Arc::clone(&interruptions));
        }
        let listener = TcpListener::bind(LOOPBACK).await?;
        let url = format!("http://{}", listener.local_addr()?);
        config.server.public_url = Some(url.clone());
        config.secrets.twilio_auth_token = Some(Secret::new(AUTH_TOKEN));
        let service = Service::new(&config, listener, store, dial::tls(authority))?;
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(service.run(async {
            let _ = stopped.await;
        }));
        Ok(Self {
            webhook: format!("{url}{VOICE_PATH}"),
            status_callback: format!("{url}/twilio/status"),
            model,
            interruptions,
            stop,
            server,
        })
    }

    /// The simulated model, if it is one.
    pub(super) const fn model(&self) -> Option<&gemini::Server> {
        self.model.as_ref()
    }

    /// Plays a recorded call.
    pub(super) async fn call(&self, fixture: Fixture) -> anyhow::Result<Played> {
        let (events, mut happened) = mpsc::channel(EVENTS_MAX);
        let mut config = carrier::Config::new(self.webhook.clone(), Secret::new(AUTH_TOKEN), fixture);
        config.status_callback = Some(self.status_callback.clone());
        config.events = Some(events);
        let report = carrier::place(config).await?;
        let mut cleared = Vec::new();
        while let Ok((at, event)) = happened.try_recv() {
            if matches!(event, carrier::Event::Cleared) {
                cleared.push(at);
            }
        }
        let interruptions =
            std::mem::take(&mut *self.interruptions.lock().unwrap_or_else(PoisonError::into_inner));
        // Whatever is still in the far buffer at the `clear` is never heard: silence begins there.
        let silence =
            |at: Instant| cleared.iter().copied().find(|clear| *clear >= at).map(|clear| clear - at);
        let barge_ins = interruptions.into_iter().filter_map(silence).collect();
        Ok(Played { report, barge_ins })
    }

    /// Ends everything that runs.
    pub(super) async fn strike(self) {
        let _ = self.stop.send(());
        // A server that panicked has said so itself.
        let _ = self.server.await;
        if let Some(model) = self.model {
            model.shutdown().await;
        }
    }
}

/// Puts the model where the configuration finds it: the simulated one, and the certificate that it is known by.
async fn engage(
    model: Model,
    config: &mut Config,
) -> anyhow::Result<(Option<gemini::Server>, Option<CertificateDer<'static>>)> {
    if let Model::Real(key) = model {
        config.secrets.gemini_api_key = Some(key);
        return Ok((None, None));
    }
    config.secrets.gemini_api_key = Some(Secret::new("demo-key"));
    let Model::Simulated(behaviour, scenario) = model else {
        // Its port was free a moment ago.
        let address = TcpListener::bind(LOOPBACK).await?.local_addr()?;
        config.live.endpoint = format!("ws://{address}");
        return Ok((None, None));
    };
    let model = simulate(*behaviour, scenario).await?;
    config.live.endpoint = model.local_url().replacen("http", "ws", 1);
    let authority = model.ca_pem().context("the simulated model has no certificate")?;
    let authority = CertificateDer::from_pem_slice(authority.as_bytes())?;
    Ok((Some(model), Some(authority)))
}

async fn simulate(behaviour: gemini::Behaviour, scenario: Scenario) -> anyhow::Result<gemini::Server> {
    let config = gemini::Config {
        behaviour,
        scenario: Arc::new(scenario),
        frames: gemini::Frames::Binary,
        tls: gemini::Tls::OwnCa,
    };
    Ok(gemini::Server::start(TcpListener::bind(LOOPBACK).await?, config)?)
}

/// Ends by itself when the model is shut down.
fn note_interruptions(model: &gemini::Server, interruptions: Moments) {
    let mut sightings = model.observations();
    tokio::spawn(async move {
        loop {
            match sightings.recv().await {
                Ok(sighting) if sighting.observation == Observation::InterruptedSent => {
                    interruptions.lock().unwrap_or_else(PoisonError::into_inner).push(sighting.at);
                }
                Ok(_) | Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
            }
        }
    });
}
