//! The delay that the bridge adds: a caller who sends bursts, a model that answers in the same breath.

use std::time::Duration;

use anyhow::ensure;
use futures_util::future::try_join_all;

use super::stage::{Cast, Model, Stage};
use crate::call::agent::{Agent, Greeting};
use crate::sim::carrier::latency::Quantiles;
use crate::sim::carrier::{Fixture, probe};
use crate::sim::gemini::Scenario;
use crate::store;

/// Calls at the same time, and probes in each: enough for a 99th percentile, few enough to be no load.
const CALLS: u64 = 4;
const PROBES: usize = 25;

/// Longer than any delay that is measured, and no multiple of the frame.
const PERIOD: Duration = Duration::from_millis(290);

/// Before the first probe: the session has to be set up.
const SETTLE: Duration = Duration::from_millis(1500);

/// Measures and prints.
pub(super) async fn delay(store: store::Handle) -> anyhow::Result<()> {
    outln!("── The delay that the bridge adds ──");
    outln!("   {CALLS} calls of {PROBES} bursts each, against a model that answers in the same breath …");
    let agent = Agent { name: "probe".to_owned(), greeting: Greeting::None, ..Agent::default() };
    let stage = Stage::build(store, Cast::of(Model::simulated(Scenario::probe()), agent)).await?;
    let calls = (1..=CALLS).map(|seed| {
        stage.call(Fixture::probes(probe::Plan { count: PROBES, period: PERIOD, settle: SETTLE, seed }))
    });
    let calls = try_join_all(calls).await?;
    stage.strike().await;
    let delays: Vec<Duration> =
        calls.iter().flat_map(|call| call.report.probes.delays.iter().copied().flatten()).collect();
    let sent: usize = calls.iter().map(|call| call.report.probes.sent).sum();
    ensure!(!delays.is_empty(), "no probe came back");
    let Quantiles { median_ms, p99_ms, max_ms, .. } = Quantiles::of(&delays);
    let late = calls.iter().map(|call| call.report.lateness.max_ms).fold(0.0, f64::max);
    outln!("   {} of {sent} probes came back", delays.len());
    outln!(
        "   mouth to ear and back: median {median_ms:.1} ms (bar: 20), p99 {p99_ms:.1} ms (bar: 35), max {max_ms:.1} ms"
    );
    outln!(
        "   of which 20 ms frames 0 to 20 ms, resampling 2.6 ms; the measuring caller was late by {late:.1} ms at most\n"
    );
    Ok(())
}
