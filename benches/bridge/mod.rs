//! What calls cost the bridge: `patchcord load` with a server on the first core and everything else on the others.

use std::path::Path;
use std::process::{Command, Stdio};

use patchcord::load::outcome::{Outcome, Verdict, names};

/// After the first call until all are up, seconds.
const RAMP: u64 = 5;

/// Conversations with everything on: resampling, JSON, base64, TLS, transcripts, the call log. The reasons of a test
/// without a pass are printed below its row.
pub(crate) fn row(calls: u16, seconds: u64, folder: &Path, relay_ms: f64) {
    let file = folder.join("outcome.json");
    let (ramp, duration) = (format!("{RAMP}s"), format!("{seconds}s"));
    let arguments = ["load", "--pin", "--mix", "long=1", "--ramp", &ramp, "--duration", &duration, "--json"];
    let status = Command::new(env!("CARGO_BIN_EXE_patchcord"))
        .args(arguments)
        .arg(&file)
        .args(["--calls", &calls.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    let outcome: Outcome = match std::fs::read_to_string(&file) {
        Ok(text) => serde_json::from_str(&text).unwrap(),
        Err(error) => panic!("the load test has no outcome ({status}): {error}"),
    };
    let cost = outcome.server.expect("a server of this machine");
    let delay = outcome.measures.iter().find(|measure| measure.name == names::ADDED_DELAY);
    let delay = delay.expect("the delay is measured");
    let lost = outcome.losses.uplink_lost_samples + outcome.losses.downlink_lost_samples;
    println!(
        "{calls:>6} {:>18.3} {:>8.2} {:>9} {:>8.0} {:>9.1} {:>9.1} {lost:>8}",
        cost.cpu_ms_per_call_second,
        cost.cpu_ms_per_call_second / relay_ms,
        cost.rss_per_call_bytes >> 10,
        cost.cpu_share_mean * 100.0,
        delay.p50,
        delay.p99,
    );
    match outcome.verdict {
        Verdict::Passed => {}
        Verdict::Failed { reasons } | Verdict::Refused { reasons } => {
            reasons.iter().for_each(|reason| println!("       {reason}"));
        }
    }
}

pub(crate) fn head() {
    println!(
        "# The bridge, one core: replies fill a third of the time, where the relay's peers send without a pause"
    );
    println!(
        "{:>6} {:>18} {:>8} {:>9} {:>8} {:>9} {:>9} {:>8}",
        "calls", "CPU ms/call-second", "x relay", "KiB/call", "core %", "p50 ms", "p99 ms", "lost"
    );
}
