//! What calls cost the bridge, and what callers hear when more come than it admits: `patchcord load` with a server on the
//! first core and everything else on the others.

use std::path::Path;
use std::process::{Command, Stdio};

use patchcord::load::outcome::{Measure, Outcome, Verdict, names};

/// After the first call until all are up, seconds.
const RAMP: u64 = 5;

/// How long the load model's answer to a probe sounds, seconds.
const BURST: f64 = 0.04;

/// Conversations with everything on: resampling, JSON, base64, TLS, transcripts, the call log.
pub(crate) fn load(calls: u32, seconds: u64, max_calls: Option<u32>, folder: &Path) -> Outcome {
    eprintln!("The bridge with {calls} calls, for {} seconds …", RAMP + seconds);
    let file = folder.join("outcome.json");
    // Not that of the test before.
    let _ = std::fs::remove_file(&file);
    let (ramp, duration) = (format!("{RAMP}s"), format!("{seconds}s"));
    let arguments = ["load", "--pin", "--mix", "long=1", "--ramp", &ramp, "--duration", &duration, "--json"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_patchcord"));
    command.args(arguments).arg(&file).args(["--calls", &calls.to_string()]);
    if let Some(max_calls) = max_calls {
        command.args(["--max-calls", &max_calls.to_string()]);
    }
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    match std::fs::read_to_string(&file) {
        Ok(text) => serde_json::from_str(&text).unwrap(),
        Err(error) => panic!("the load test has no outcome ({status}): {error}"),
    }
}

/// The share of the time in which callers were played something: replies, and answers to probes.
pub(crate) fn fill(outcome: &Outcome) -> f64 {
    let call_seconds: u64 = outcome.timeline.iter().map(|second| second.calls_up).sum();
    let replies = outcome.losses.downlink_samples as f64 / 8000.0;
    (replies + outcome.losses.probes as f64 * BURST) / call_seconds.max(1) as f64
}

pub(crate) fn cost_head() {
    println!("# The bridge, one core: each row against the relay with replies that fill as much of the time");
    println!(
        "{:>6} {:>18} {:>8} {:>9} {:>8} {:>9} {:>9} {:>8}",
        "calls", "CPU ms/call-second", "x relay", "KiB/call", "core %", "p50 ms", "p99 ms", "lost"
    );
}

/// Beside a relay that took so long; `None`: of which nothing can be said.
pub(crate) fn cost_row(outcome: &Outcome, relay_ms: Option<f64>) {
    let cost = outcome.server.as_ref().expect("a server of this machine");
    let delay = delay(outcome);
    let ratio = relay_ms.filter(|_| says_something(outcome)).map(|relay| cost.cpu_ms_per_call_second / relay);
    println!(
        "{:>6} {:>18.3} {:>8} {:>9} {:>8.0} {:>9.1} {:>9.1} {:>8}",
        outcome.plan.calls,
        cost.cpu_ms_per_call_second,
        printed(ratio),
        cost.rss_per_call_bytes >> 10,
        cost.cpu_share_mean * 100.0,
        delay.p50,
        delay.p99,
        lost(outcome),
    );
    reasons(outcome);
}

/// As many callers as are admitted, and three times as many: what those hear that are admitted, and how long the
/// others wait to be refused.
pub(crate) fn overload(limit: u32, seconds: u64, folder: &Path) {
    println!(
        "# Overload, the bridge on one core, admitting {limit} calls; refused callers call again, no more than all of them in a second"
    );
    println!(
        "{:>7} {:>6} {:>8} {:>8} {:>27} {:>12} {:>12} {:>19} {:>6}",
        "callers",
        "up",
        "placed",
        "refused",
        "refusal p99 ms (bar 50)",
        "delay p50",
        "delay p99",
        "x within (bar 1.1)",
        "lost"
    );
    let within = load(limit, seconds, Some(limit), folder);
    overload_row(&within, &within);
    let beyond = load(limit * 3, seconds, Some(limit), folder);
    overload_row(&beyond, &within);
}

fn overload_row(outcome: &Outcome, within: &Outcome) {
    let counts = &outcome.counts;
    let refusal = measure(outcome, names::REFUSAL);
    let refusal = refusal.map_or_else(|| "–".to_owned(), |refusal| format!("{:.1}", refusal.p99));
    let delay = delay(outcome);
    let are_valid = says_something(outcome) && says_something(within);
    let ratio = are_valid.then(|| delay.p99 / self::delay(within).p99);
    println!(
        "{:>7} {:>6} {:>8} {:>8} {refusal:>27} {:>12.1} {:>12.1} {:>19} {:>6}",
        outcome.plan.calls,
        counts.up_max,
        counts.offered,
        counts.refused.values().sum::<u64>(),
        delay.p50,
        delay.p99,
        printed(ratio),
        lost(outcome),
    );
    reasons(outcome);
}

fn measure<'a>(outcome: &'a Outcome, name: &str) -> Option<&'a Measure> {
    outcome.measures.iter().find(|measure| measure.name == name)
}

fn delay(outcome: &Outcome) -> &Measure {
    measure(outcome, names::ADDED_DELAY).expect("the delay is measured")
}

fn lost(outcome: &Outcome) -> u64 {
    outcome.losses.uplink_lost_samples + outcome.losses.downlink_lost_samples
}

/// Without a verdict the figures are those of a test that was too slow.
const fn says_something(outcome: &Outcome) -> bool {
    !matches!(outcome.verdict, Verdict::Refused { .. })
}

fn printed(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"))
}

/// Why a test was not passed, below its row.
fn reasons(outcome: &Outcome) {
    match &outcome.verdict {
        Verdict::Passed => {}
        Verdict::Failed { reasons } | Verdict::Refused { reasons, .. } => {
            reasons.iter().for_each(|reason| println!("       {reason}"));
        }
    }
}
