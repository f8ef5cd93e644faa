//! What calls cost the bridge, and a plain relay with the same sockets, the floor of any bridge. Prints; asserts nothing.
//!
//! Then what callers hear when three times as many come as the bridge admits.
//!
//! `make bench-capacity`, or `cargo bench --bench capacity -- [--calls 10,100,300,400] [--seconds 10] [--limit 200]`;
//! `--only cost` or `--only overload` for one part. Both ends of the calls are processes of their own on another core.
//! Wants a machine with two cores and nothing else to do.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench prints, and may panic"
)]

mod bridge;
mod drivers;
mod machine;
mod relay;

use std::path::{Path, PathBuf};
use std::time::Duration;

use drivers::Rhythm;
use machine::Process;
use tempfile::TempDir;

/// After the last call has begun.
const SETTLE: Duration = Duration::from_secs(1);

/// CPU time is counted in ticks of 10 ms: with few calls it is counted for longer.
const CALL_SECONDS_MIN: u64 = 300;

/// The share of the messages that has to be there, or else less work was measured than the table says.
const KEPT_UP_MIN: f64 = 0.99;

fn main() {
    match text("--role").as_deref() {
        None => measure(),
        Some("relay") => {
            let (port, certificate) = (number("--port"), path("--certificate"));
            machine::run(relay::run(port, &certificate));
        }
        Some("model") => {
            let (certificate, key) = (path("--certificate"), path("--key"));
            let rhythm = Rhythm::new(number("--spoken").into(), number("--cycle").into());
            machine::run(drivers::model(&certificate, &key, rhythm));
        }
        Some("callers") => {
            let (port, count) = (number("--port"), usize::from(number("--count")));
            machine::run(drivers::callers(port, count));
        }
        Some(role) => panic!("there is no role {role}"),
    }
}

/// What came of one number of calls.
struct Row {
    calls: u16,
    /// The share of the time in which the model speaks.
    fill: f64,
    /// CPU time of the subject in each second of a call.
    cpu_ms: f64,
    memory_per_call: u64,
    /// How much of a core the subject, the callers and the model used.
    cores: [f64; 3],
    /// Of the messages that callers should have received and sent, how many they did.
    received: f64,
    sent: f64,
}

fn measure() {
    let seconds = text("--seconds").map_or(10, |text| text.parse().unwrap());
    let folder = TempDir::new().unwrap();
    let overload = || {
        let limit = text("--limit").map_or(200, |text| text.parse().unwrap());
        bridge::overload(limit, seconds, folder.path());
    };
    match text("--only").as_deref() {
        None => {
            cost(seconds, folder.path());
            println!();
            overload();
        }
        Some("cost") => cost(seconds, folder.path()),
        Some("overload") => overload(),
        Some(part) => panic!("--only {part}: there are `cost` and `overload`"),
    }
}

/// The relay without a pause, the bridge, and the relay with what the bridge's model said of the time.
fn cost(seconds: u64, folder: &Path) {
    let calls = text("--calls").unwrap_or_else(|| "10,100,300,400".to_owned());
    let calls: Vec<u16> = calls.split(',').map(|calls| calls.parse().unwrap()).collect();
    let identity = Identity::generate(folder);
    println!(
        "# A plain relay, one core: two WebSockets per call, one over TLS, 50 messages/s each way on both, without a pause"
    );
    head();
    for calls in &calls {
        row(*calls, seconds, None, &identity).print();
    }
    let outcomes: Vec<_> =
        calls.iter().map(|calls| bridge::load((*calls).into(), 2 * seconds, None, folder)).collect();
    println!(
        "\n# The same relay; its model speaks as much of the time as the bridge's does in the table below"
    );
    head();
    let relay: Vec<_> = calls
        .iter()
        .zip(&outcomes)
        .map(|(calls, outcome)| row(*calls, seconds, Some(bridge::fill(outcome)), &identity))
        .inspect(Row::print)
        .collect();
    println!();
    bridge::cost_head();
    for (outcome, relay) in outcomes.iter().zip(relay) {
        bridge::cost_row(outcome, relay.is_valid().then_some(relay.cpu_ms));
    }
}

fn head() {
    println!(
        "{:>6} {:>7} {:>18} {:>12} {:>9} {:>8} {:>9} {:>7} {:>10} {:>7}",
        "calls",
        "fill %",
        "CPU ms/call-second",
        "us per 20 ms",
        "KiB/call",
        "relay %",
        "callers %",
        "model %",
        "received %",
        "sent %"
    );
}

/// A relay of so many calls, to a model that speaks this share of the time; `None`: without a pause.
fn row(calls: u16, seconds: u64, fill: Option<f64>, identity: &Identity) -> Row {
    let counted = Duration::from_secs(seconds.max(CALL_SECONDS_MIN / u64::from(calls)));
    let frames = (SETTLE + counted).as_secs() * 50;
    let rhythm = fill.map_or(Rhythm::WITHOUT_A_PAUSE, |fill| Rhythm::filling(fill, frames));
    let (spoken, cycle) = (rhythm.spoken.to_string(), rhythm.cycle.to_string());
    let (certificate, key) = (identity.certificate.to_str().unwrap(), identity.key.to_str().unwrap());
    let arguments = ["--certificate", certificate, "--key", key, "--spoken", &spoken, "--cycle", &cycle];
    let model = Process::start(machine::DRIVERS, "model", &arguments);
    let subject =
        Process::start(machine::SUBJECT, "relay", &["--port", &model.word, "--certificate", certificate]);
    let empty = machine::memory(subject.id());
    let callers = Process::start(
        machine::DRIVERS,
        "callers",
        &["--port", &subject.word, "--count", &calls.to_string()],
    );
    std::thread::sleep(SETTLE);
    let cores = machine::usage([subject.id(), callers.id(), model.id()], counted);
    let memory = machine::memory(subject.id()).saturating_sub(empty);
    let counts = callers.finish();
    let (received, sent) = counts.split_once(' ').unwrap();
    let expected = f64::from(calls) * frames as f64;
    Row {
        calls,
        fill: rhythm.share(),
        cpu_ms: cores[0] * 1000.0 / f64::from(calls),
        memory_per_call: memory / u64::from(calls),
        cores,
        received: received.parse::<f64>().unwrap() / (expected * rhythm.share()),
        sent: sent.parse::<f64>().unwrap() / expected,
    }
}

impl Row {
    fn is_valid(&self) -> bool {
        self.received.min(self.sent) >= KEPT_UP_MIN
    }

    fn print(&self) {
        let Self { calls, fill, cpu_ms, memory_per_call, cores, received, sent } = self;
        let [subject, callers, model] = cores.map(|share| share * 100.0);
        let verdict = if self.is_valid() { "" } else { "  did not keep up: says nothing" };
        println!(
            "{calls:>6} {:>7.0} {cpu_ms:>18.3} {:>12.1} {:>9} {subject:>8.1} {callers:>9.1} {model:>7.1} {:>10.1} {:>7.1}{verdict}",
            fill * 100.0,
            cpu_ms * 1000.0 / 50.0,
            memory_per_call >> 10,
            received * 100.0,
            sent * 100.0,
        );
    }
}

/// The model's certificate and key, as files.
struct Identity {
    certificate: PathBuf,
    key: PathBuf,
}

impl Identity {
    fn generate(folder: &Path) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let identity = Self { certificate: folder.join("certificate.der"), key: folder.join("key.der") };
        std::fs::write(&identity.certificate, made.cert.der()).unwrap();
        std::fs::write(&identity.key, made.signing_key.serialize_der()).unwrap();
        identity
    }
}

fn text(name: &str) -> Option<String> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.next();
    arguments.next()
}

fn number(name: &str) -> u16 {
    text(name).unwrap().parse().unwrap()
}

fn path(name: &str) -> PathBuf {
    text(name).unwrap().into()
}
