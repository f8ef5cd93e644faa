//! The bars of what callers hear when things break, measured through the real server with real sockets.

mod case;
mod cases;
mod outage;
mod row;
mod trial;

use std::time::Duration;

use anyhow::ensure;
use futures_util::{StreamExt as _, TryStreamExt as _};

use self::case::{Bars, Case, Gap};
use self::row::{Row, p95};
use super::fallback::{self, BAR, RealModel};
use super::speech::Speech;
use crate::sim::carrier::latency::Quantiles;
use crate::store;

/// Calls at the same time: so few that they do not wait for each other on a machine with two cores.
const AT_ONCE: usize = 8;

/// Of all faults together.
const DEAD_AIR_P95: Duration = Duration::from_millis(1500);

/// Without a session when a connection is lost in the middle of a call, of all such faults together.
const GAP_P95: Duration = Duration::from_secs(1);

/// Plays all faults and prints what they did to the callers.
///
/// # Errors
///
/// When a bar is missed.
pub(super) async fn run(store: store::Handle, speech: Option<&Speech>) -> anyhow::Result<()> {
    outln!("── What the caller hears when something breaks (times in milliseconds) ──");
    row::print_heading();
    let trials = futures_util::stream::iter(cases::all().into_iter().map(|case| trial(case, store.clone())));
    let trials: Vec<(Row, Bars)> =
        trials.buffered(AT_ONCE).inspect_ok(|(row, bars)| row.print(bars)).try_collect().await?;
    let mut missed = trials.iter().filter(|(row, bars)| !row.misses(bars).is_empty()).count();
    outln!();
    missed += summarise(&trials);
    let outage = outage::play(store.clone()).await?;
    outage.print();
    missed += usize::from(!outage.is_within());
    missed += usize::from(!answer(store, speech).await?);
    ensure!(missed == 0, "{missed} of the bars were missed");
    outln!("   every bar was kept");
    Ok(())
}

async fn trial(mut case: Case, store: store::Handle) -> anyhow::Result<(Row, Bars)> {
    let row = trial::play(&mut case, store).await?;
    Ok((row, case.bars))
}

/// The figures of all calls together: how many bars they missed.
fn summarise(trials: &[(Row, Bars)]) -> usize {
    let dead_air = p95(trials.iter().map(|(row, _)| row.dead_air));
    let losses = trials.iter().filter(|(_, bars)| bars.gap == Gap::Counts);
    let gap = p95(losses.filter_map(|(row, _)| row.gap));
    let figures = [
        ("dead air over all faults", dead_air, DEAD_AIR_P95),
        ("without a session after a lost connection", gap, GAP_P95),
    ];
    for (what, value, bar) in figures {
        let verdict = if value <= bar { "pass" } else { "FAIL" };
        outln!("   {what}: p95 {} ms (bar: {})  {verdict}", value.as_millis(), bar.as_millis());
    }
    figures.into_iter().filter(|(_, value, bar)| value > bar).count()
}

/// How soon the fallback answers.
async fn answer(store: store::Handle, speech: Option<&Speech>) -> anyhow::Result<bool> {
    let engines = match speech {
        Some(_) => "speech engines of this machine",
        None => "simulated speech engines: for real ones give --speech or --speech-server",
    };
    let call = fallback::call(store, speech, &RealModel::default()).await?;
    let Quantiles { count, median_ms, max_ms, .. } = fallback::spread(&call.answers);
    let is_kept = count == call.answers.len() && median_ms <= BAR.as_secs_f64() * 1000.0;
    outln!(
        "   fallback, last word to first word ({engines}): median {median_ms:.0} ms (bar: {}), max {max_ms:.0} ms, \
         {count} of {} questions  {}",
        BAR.as_millis(),
        call.answers.len(),
        if is_kept { "pass" } else { "FAIL" }
    );
    Ok(is_kept)
}
