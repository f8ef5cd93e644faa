//! What 20,000 short calls leave behind in a server: tasks, descriptors, heap. Prints; asserts nothing.
//!
//! `make bench-leaks`, or `cargo bench --bench leaks -- [--calls 20000]`. The model is a process of its own; the callers
//! are here and leave nothing either, or it shows.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints, and may panic")]

#[path = "../tests/world/mod.rs"]
mod world;

use std::alloc::System;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use patchcord::bridge::Offer;
use patchcord::net::dial;
use patchcord::provider::gemini::{Config, Dialer};
use patchcord::secret::Secret;
use patchcord::store::Handle;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tempfile::TempDir;
use world::phone::Phone;
use world::{Front, agent};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Calls before the base line is taken, of more than [`FORGOTTEN`]: tables have grown to what a minute of calls needs.
const WARM_UP: usize = 10_000;

/// At the same time.
const BATCH: usize = 20;

/// From one batch to the next, at least.
const PACE: Duration = Duration::from_millis(150);

/// The answers of webhooks, and what becomes of callers, are remembered for a minute.
const FORGOTTEN: Duration = Duration::from_secs(65);

fn main() {
    let calls = std::env::args().skip_while(|argument| argument != "--calls").nth(1);
    let calls = calls.map_or(20_000, |text| text.parse().unwrap());
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(measure(calls));
}

async fn measure(calls: usize) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = TempDir::new().unwrap();
    let model = Model::start(folder.path());
    let (store, mut log) = Handle::pair(1 << 16);
    tokio::spawn(async move { while log.recv().await.is_some() {} });
    let front = Front::start(agent(), Offer::live(model.dialer(folder.path())), store).await;
    println!("# {calls} short calls, {BATCH} at a time, after {WARM_UP} others");
    run(&front, 0..WARM_UP).await;
    let before = Held::now(&front).await;
    let started = Instant::now();
    run(&front, WARM_UP..WARM_UP + calls).await;
    let took = started.elapsed();
    let after = Held::now(&front).await;
    println!("{:>12} {:>10} {:>10} {:>10}", "", "before", "after", "more");
    for (name, before, after) in [
        ("tasks", before.tasks, after.tasks),
        ("descriptors", before.descriptors, after.descriptors),
        ("heap, KiB", before.heap >> 10, after.heap >> 10),
    ] {
        println!("{name:>12} {before:>10} {after:>10} {:>10}", after as i64 - before as i64);
    }
    println!("{:.0} calls/s", calls as f64 / took.as_secs_f64());
}

async fn run(front: &Front, calls: std::ops::Range<usize>) {
    let mut pace = tokio::time::interval(PACE);
    for first in calls.step_by(BATCH) {
        pace.tick().await;
        let batch = (first..first + BATCH).map(|call| async move {
            let mut phone = Phone::call(front, &format!("CA{call}")).await;
            phone.speak().await;
            phone.hang_up().await;
        });
        futures_util::future::join_all(batch).await;
    }
}

struct Held {
    tasks: usize,
    descriptors: usize,
    heap: usize,
}

impl Held {
    /// When nothing runs and what is remembered for a while is forgotten.
    async fn now(front: &Front) -> Self {
        tokio::time::sleep(FORGOTTEN).await;
        assert_eq!(front.bridge.active(), 0, "calls run");
        let stats = ALLOCATOR.stats();
        Self {
            tasks: tokio::runtime::Handle::current().metrics().num_alive_tasks(),
            descriptors: std::fs::read_dir("/proc/self/fd").unwrap().count(),
            heap: stats.bytes_allocated - stats.bytes_deallocated,
        }
    }
}

/// `patchcord simulate load-model`.
struct Model {
    child: Child,
    endpoint: String,
}

impl Model {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_patchcord"))
            .args([
                "simulate",
                "load-model",
                "--listen",
                "127.0.0.1:0",
                "--control",
                "127.0.0.1:0",
                "--ca-out",
            ])
            .arg(folder.join("ca.pem"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut about = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut about).unwrap();
        let about: serde_json::Value = serde_json::from_str(&about).unwrap();
        Self { child, endpoint: about["endpoint"].as_str().unwrap().to_owned() }
    }

    fn dialer(&self, folder: &Path) -> Dialer {
        let authority = CertificateDer::from_pem_file(folder.join("ca.pem")).unwrap();
        let config = Config { endpoint: self.endpoint.clone(), ..Config::default() };
        Dialer::new(&config, &Secret::new("key"), dial::tls([authority])).unwrap()
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
