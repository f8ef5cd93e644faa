//! The bars of what callers hear when things break, measured through the real server with real sockets.

mod case;
mod cases;
mod outage;
mod row;
mod trial;

use std::time::Duration;

use anyhow::ensure;
use futures_util::{StreamExt as _, TryStreamExt as _};

use self::case::{Bars, Case};
use self::row::{Row, p95};
use super::fallback::{self, BAR, RealModel};
use super::speech::Speech;
use crate::sim::carrier::latency::Quantiles;
use crate::store;

/// Calls at the same time: so few that they do not wait for each other on a machine with two cores.
const AT_ONCE: usize = 6;

/// Of all faults together.
const DEAD_AIR_P95: Duration = Duration::from_millis(1500);

/// Plays all faults and prints what they did to the callers.
///
/// # Errors
///
/// When a bar is missed.
pub(super) async fn run(store: store::Handle, speech: Option<&Speech>) -> anyhow::Result<()> {
    println!("── What the caller hears when something breaks (times in milliseconds) ──");
    row::print_heading();
    let trials = futures_util::stream::iter(cases::all().into_iter().map(|case| trial(case, store.clone())));
    let trials: Vec<(Row, Bars)> =
        trials.buffered(AT_ONCE).inspect_ok(|(row, bars)| row.print(bars)).try_collect().await?;
    let mut missed = trials.iter().filter(|(row, bars)| !row.misses(bars).is_empty()).count();
    println!();
    missed += usize::from(!summarise(&trials));
    let outage = outage::play(store.clone()).await?;
    outage.print();
    missed += usize::from(!outage.is_within());
    missed += usize::from(!answer(store, speech).await?);
    ensure!(missed == 0, "{missed} of the bars were missed");
    println!("   every bar was kept");
    Ok(())
}

async fn trial(mut case: Case, store: store::Handle) -> anyhow::Result<(Row, Bars)> {
    let row = trial::play(&mut case, store).await?;
    Ok((row, case.bars))
}

/// The figures of all calls together.
fn summarise(trials: &[(Row, Bars)]) -> bool {
    let one = trials.iter().map(|(row, _)| row.dead_air);
    let dead_air = p95(one);
    let gaps = trials.iter().filter(|(_, bars)| bars.gap.is_some()).filter_map(|(row, _)| row.gap);
    let is_kept = dead_air <= DEAD_AIR_P95;
    println!(
        "   dead air over all faults: p95 {} ms (bar: {})  {}",
        dead_air.as_millis(),
        DEAD_AIR_P95.as_millis(),
        if is_kept { "pass" } else { "FAIL" }
    );
    println!("   gap of lost connections: p95 {} ms (bar: 1000)", p95(gaps).as_millis());
    is_kept
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
    println!(
        "   fallback, last word to first word ({engines}): median {median_ms:.0} ms (bar: {}), max {max_ms:.0} ms, \
         {count} of {} questions  {}",
        BAR.as_millis(),
        call.answers.len(),
        if is_kept { "pass" } else { "FAIL" }
    );
    Ok(is_kept)
}
