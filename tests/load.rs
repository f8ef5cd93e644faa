//! A load test on real sockets: five callers, the server, and the load model over TLS.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use std::sync::Arc;
use std::time::Duration;

use patchcord::bridge::Offer;
use patchcord::call::agent::Agent;
use patchcord::load::line::{self, Exchange};
use patchcord::load::model;
use patchcord::load::outcome::{Arrivals, Ended, Kind, Model, Outcome, Plan, Share, names};
use patchcord::load::recording::Recordings;
use patchcord::load::run::{self, Watch};
use patchcord::load::tally::Board;
use patchcord::net::dial;
use patchcord::provider::gemini::{Config as LiveConfig, Dialer};
use patchcord::secret::Secret;
use patchcord::store::Store;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use world::{AUTH_TOKEN, Front};

const CALLS: u32 = 5;

/// A call of each kind, most of which are cut short.
const MIX: [Kind; 5] = [Kind::Short, Kind::Long, Kind::BargeIn, Kind::Dtmf, Kind::HangUp];

const TO: &str = "+13125550142";

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// A model that runs until the test ends: its dialer, and where it tells about itself.
async fn model() -> (Dialer, std::net::SocketAddr) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let model = model::Model::new(listener().await, listener().await).unwrap();
    let endpoint = format!("wss://localhost:{}", model.local_addr().unwrap().port());
    let live = LiveConfig { endpoint, ..LiveConfig::default() };
    let ca = CertificateDer::from_pem_slice(model.ca_pem().as_bytes()).unwrap();
    let dialer = Dialer::new(&live, &Secret::new("key"), dial::tls([ca])).unwrap();
    let control = model.control_addr().unwrap();
    tokio::spawn(model.run());
    (dialer, control)
}

fn exchange(url: &str) -> Exchange {
    let tls = dial::tls([]);
    Exchange {
        webhook: format!("{url}/twilio/voice"),
        token: Secret::new(AUTH_TOKEN),
        to: TO.to_owned(),
        fallback_to: TO.to_owned(),
        web: line::web(&tls).unwrap(),
        tls,
        recordings: Arc::new(Recordings::built_in().unwrap()),
        has_probes: true,
        board: Board::default(),
    }
}

fn plan(target: &str) -> Plan {
    Plan {
        target: target.to_owned(),
        command: "a test".to_owned(),
        started_at: OffsetDateTime::UNIX_EPOCH,
        calls: CALLS,
        ramp_ms: 200,
        duration_ms: 4800,
        arrivals: Arrivals::Steady,
        mix: MIX.map(|kind| Share { kind, weight: 1 }).to_vec(),
        seed: 1,
        model: Model::Simulated,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_callers_are_served_and_nothing_is_lost() {
    let (dialer, control) = model().await;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("calls.db")).await.unwrap();
    let front = Front::start(Agent::default(), Offer::live(dialer), store.handle()).await;
    let exchange = exchange(&front.url);
    let plan = plan(&exchange.webhook);
    let watch = Watch { server_pid: Some(std::process::id()), control: Some(control) };
    let mut seconds = 0;
    let progress = |_: &_, _: &_| seconds += 1;
    let outcome = run::run(Arc::new(exchange), plan, watch, progress, std::future::pending()).await;
    front.stop().await;
    store.close().await.unwrap();

    assert_eq!(outcome.ended, Ended::Completed);
    let counts = &outcome.counts;
    assert_eq!((&counts.failed, &counts.refused), (&[].into(), &[].into()));
    assert_eq!((counts.offered, counts.answered, counts.up_max), (5, 5, 5));
    assert_eq!(counts.completed + counts.cut_short, 5);
    let count = |name| outcome.measures.iter().find(|measure| measure.name == name).unwrap().count;
    let losses = outcome.losses;
    assert!(losses.probes >= 5 && count(names::ADDED_DELAY) == losses.probes, "{losses:?}");
    assert!(losses.uplink_samples > 0 && losses.replies >= 5, "{losses:?}");
    let samples = [losses.uplink_lost_samples, losses.uplink_doubled_samples];
    assert_eq!((samples, losses.probes_lost, losses.violations), ([0, 0], 0, 0));
    assert_eq!((losses.downlink_lost_samples, losses.downlink_doubled_samples), (0, 0));
    assert_eq!(outcome.timeline.len(), seconds);
    assert!(outcome.server.is_some() && outcome.generator.model_lateness_p99_ms.is_some());
    let json = serde_json::to_string(&outcome).unwrap();
    let read: Outcome = serde_json::from_str(&json).unwrap();
    assert_eq!((read.plan, read.verdict, read.losses), (outcome.plan, outcome.verdict, losses));
}

#[tokio::test]
async fn a_server_that_is_not_there_fails_every_call() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Its port was free a moment ago.
    let address = listener().await.local_addr().unwrap();
    let exchange = exchange(&format!("http://{address}"));
    let plan = Plan { duration_ms: 300, ..plan(&exchange.webhook) };
    let run = run::run(Arc::new(exchange), plan, Watch::default(), |_, _| (), std::future::pending());
    let outcome = tokio::time::timeout(Duration::from_secs(10), run).await.unwrap();
    assert!(outcome.counts.offered > 0 && outcome.counts.answered == 0);
    assert_eq!(outcome.counts.failed.values().sum::<u64>(), outcome.counts.offered);
    assert_eq!(outcome.verdict.exit_code(), 1);
}
