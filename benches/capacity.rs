//! What calls cost the bridge, and a plain relay with the same sockets, the floor of any bridge. Prints; asserts nothing.
//!
//! `make bench-capacity`, or `cargo bench --bench capacity -- [--calls 10,100,300,400] [--seconds 10]`. Both ends of
//! the calls are processes of their own on another core. Wants a machine with two cores and nothing else to do.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints, and may panic")]

mod bridge;
mod drivers;
mod machine;
mod relay;

use std::path::{Path, PathBuf};
use std::time::Duration;

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
            machine::run(drivers::model(&certificate, &key));
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
    let calls = text("--calls").unwrap_or_else(|| "10,100,300,400".to_owned());
    let seconds = text("--seconds").map_or(10, |text| text.parse().unwrap());
    let folder = TempDir::new().unwrap();
    let identity = Identity::generate(folder.path());
    println!(
        "# A plain relay, one core: two WebSockets per call, one over TLS, 50 messages/s each way on both"
    );
    println!(
        "{:>6} {:>18} {:>12} {:>9} {:>8} {:>9} {:>7} {:>10} {:>7}",
        "calls",
        "CPU ms/call-second",
        "us per 20 ms",
        "KiB/call",
        "relay %",
        "callers %",
        "model %",
        "received %",
        "sent %"
    );
    let calls: Vec<u16> = calls.split(',').map(|calls| calls.parse().unwrap()).collect();
    let relay: Vec<_> = calls.iter().map(|calls| row(*calls, seconds, &identity)).collect();
    relay.iter().for_each(Row::print);
    println!();
    bridge::head();
    for row in relay {
        bridge::row(row.calls, 2 * seconds, folder.path(), row.cpu_ms);
    }
}

fn row(calls: u16, seconds: u64, identity: &Identity) -> Row {
    let (certificate, key) = (identity.certificate.to_str().unwrap(), identity.key.to_str().unwrap());
    let model = Process::start(machine::DRIVERS, "model", &["--certificate", certificate, "--key", key]);
    let subject =
        Process::start(machine::SUBJECT, "relay", &["--port", &model.word, "--certificate", certificate]);
    let empty = machine::memory(subject.id());
    let callers = Process::start(
        machine::DRIVERS,
        "callers",
        &["--port", &subject.word, "--count", &calls.to_string()],
    );
    let counted = Duration::from_secs(seconds.max(CALL_SECONDS_MIN / u64::from(calls)));
    std::thread::sleep(SETTLE);
    let cores = machine::usage([subject.id(), callers.id(), model.id()], counted);
    let memory = machine::memory(subject.id()).saturating_sub(empty);
    let counts = callers.finish();
    let (received, sent) = counts.split_once(' ').unwrap();
    let expected = f64::from(calls) * 50.0 * (SETTLE + counted).as_secs_f64();
    Row {
        calls,
        cpu_ms: cores[0] * 1000.0 / f64::from(calls),
        memory_per_call: memory / u64::from(calls),
        cores,
        received: received.parse::<f64>().unwrap() / expected,
        sent: sent.parse::<f64>().unwrap() / expected,
    }
}

impl Row {
    fn print(&self) {
        let Self { calls, cpu_ms, memory_per_call, cores, received, sent } = self;
        let [subject, callers, model] = cores.map(|share| share * 100.0);
        let is_valid = received.min(*sent) >= KEPT_UP_MIN;
        let verdict = if is_valid { "" } else { "  did not keep up: says nothing" };
        println!(
            "{calls:>6} {cpu_ms:>18.3} {:>12.1} {:>9} {subject:>8.1} {callers:>9.1} {model:>7.1} {:>10.1} {:>7.1}{verdict}",
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
