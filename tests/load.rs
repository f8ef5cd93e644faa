//! A load test on real sockets: five callers, the server, and the load model over TLS.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use patchcord::bridge::{Bridge, Offer};
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
use patchcord::server::limits;
use patchcord::store::{Handle, Store};
use rustix::process::{Pid, Signal, kill_process};
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
        web: line::web(&tls, url).unwrap(),
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
        max_calls: None,
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
    assert!(outcome.measures.iter().all(|measure| measure.name != names::REFUSAL));
    assert_eq!(outcome.timeline.len(), seconds);
    assert!(outcome.server.is_some() && outcome.generator.model_lateness_p99_ms.is_some());
    let json = serde_json::to_string(&outcome).unwrap();
    let read: Outcome = serde_json::from_str(&json).unwrap();
    assert_eq!((read.plan, read.verdict, read.losses), (outcome.plan, outcome.verdict, losses));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_for_whom_there_is_no_room_are_refused_and_that_is_measured() {
    let (dialer, control) = model().await;
    let (store, _log) = Handle::pair(1000);
    let limits = limits::Config { max_calls: Some(2), lag_max_ms: 0, ..limits::Config::default() };
    let bridge = Bridge::new(store, Offer::live(dialer));
    let front = Front::serve_limited(Agent::default(), bridge, Some(&limits)).await;
    let exchange = exchange(&front.url);
    let plan = Plan { duration_ms: 2000, max_calls: Some(2), ..plan(&exchange.webhook) };
    let watch = Watch { server_pid: None, control: Some(control) };
    let outcome = run::run(Arc::new(exchange), plan, watch, |_, _| (), std::future::pending()).await;
    front.stop().await;

    let counts = &outcome.counts;
    assert_eq!((&counts.failed, counts.answered, counts.up_max), (&[].into(), 2, 2));
    let refused = counts.refused.get("busy").copied().unwrap_or_default();
    assert!(refused >= 3 && refused == counts.offered - 2, "{counts:?}");
    let measure = outcome.measures.iter().find(|measure| measure.name == names::REFUSAL).unwrap();
    assert_eq!((measure.count, measure.bar_p99), (refused, Some(50.0)));
    assert!(measure.max > 0.0);
    assert!(!format!("{:?}", outcome.verdict).contains("refused"), "{:?}", outcome.verdict);
}

/// The processes that this one started.
fn children(parent: u32) -> Vec<u32> {
    let processes =
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let is_child = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The parent is field 4 (proc(5)); the name in field 2 ends with the last parenthesis.
        let after_name = stat.rsplit(')').next().unwrap_or_default().to_owned();
        after_name.split_whitespace().nth(1) == Some(&parent.to_string())
    };
    processes.filter_map(|name| name.parse().ok()).filter(is_child).collect()
}

#[test]
fn an_interrupted_test_says_what_there_is_and_leaves_no_process() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("load.json");
    let arguments =
        ["load", "--calls", "2", "--ramp", "1s", "--duration", "60s", "--mix", "short=1,fallback=1"];
    let mut load = Command::new(env!("CARGO_BIN_EXE_patchcord"))
        .args(arguments)
        .arg("--json")
        .arg(&file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut progress = BufReader::new(load.stderr.take().unwrap()).lines();
    let first = progress.next().unwrap().unwrap();
    assert!(first.contains(" up "), "{first}");
    // The server, the load model, and the services of the fallback.
    let children = children(load.id());
    assert_eq!(children.len(), 3);
    kill_process(Pid::from_child(&load), Signal::INT).unwrap();
    let told: Vec<_> = progress.map(Result::unwrap).collect();
    assert!(told.iter().any(|line| line.starts_with("Interrupted: ")), "{told:?}");
    let output = load.wait_with_output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(130), "{table}");
    assert!(
        table.contains("\n2 calls at once at http://127.0.0.1:") && table.contains(", interrupted\n"),
        "{table}"
    );
    let outcome: Outcome = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!((outcome.ended, outcome.exit_code()), (Ended::Interrupted, 130));
    let left: Vec<_> = children.iter().filter(|pid| Path::new(&format!("/proc/{pid}")).exists()).collect();
    assert_eq!(left, [&0_u32; 0]);
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
