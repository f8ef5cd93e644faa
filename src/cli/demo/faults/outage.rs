//! An outage with many calls: the service is asked a few times, not by everybody.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;

use super::trial;
use crate::breaker::{FAILURES_MAX, PROBE_INTERVAL, PROBES_MAX};
use crate::call::agent::{Agent, Greeting};
use crate::cli::demo::caller::{self, Caller};
use crate::cli::demo::notes::Notes;
use crate::cli::demo::stage::{Cast, Model, Stage};
use crate::cli::demo::{fallback, hearing};
use crate::sim::gemini::{Observation, Scenario, Sighting};
use crate::store;

const CALLS: u32 = 12;

/// From one call to the next: longer than the service takes to refuse, so that each knows of the one before.
const APART: Duration = Duration::from_millis(200);

/// What the outage looked like.
pub(super) struct Outage {
    pub(super) attempts: usize,
    pub(super) budget: usize,
    dead_air: Duration,
}

/// Enough failures to know, and a few probes in each interval from then on.
const fn budget(lasted: Duration) -> usize {
    let intervals = (lasted.as_secs() / PROBE_INTERVAL.as_secs()) as usize + 1;
    FAILURES_MAX + intervals * PROBES_MAX
}

/// Many callers, while the live service refuses with 503.
pub(super) async fn play(store: store::Handle) -> anyhow::Result<Outage> {
    let caller = Caller::asking(&[(1_500, caller::BRIDGE)], 9_000)?;
    let answers = fallback::simulate(vec![caller::BRIDGE.said.to_owned(); CALLS as usize]).await?;
    let model = Model::Simulated(Box::new(trial::refusing(503)), Scenario::default());
    let agent = Agent { name: "outage".to_owned(), greeting: Greeting::None, ..Agent::default() };
    let mut cast = Cast::of(model, agent);
    cast.keys = fallback::keys();
    cast.fallback = fallback::simulated_providers(&answers);
    let stage = Stage::build(store, cast).await?;
    let sightings = stage.model().map(|model| Notes::keep(model.observations()));
    let began = Instant::now();
    let call = async |number: u32| {
        tokio::time::sleep(APART * number).await;
        stage.call(caller.fixture.clone()).await
    };
    let calls = try_join_all((0..CALLS).map(call)).await?;
    let lasted = began.elapsed();
    stage.strike().await;
    let mut dead_air = Duration::ZERO;
    for call in &calls {
        for window in caller.windows(&call.report)? {
            dead_air = dead_air.max(hearing::dead_air(&call.report.played.timeline, window));
        }
    }
    let is_refusal = |sighting: &Sighting| matches!(sighting.observation, Observation::UpgradeRefused(_));
    let sightings = sightings.map(|sightings| sightings.all()).unwrap_or_default();
    let attempts = sightings.iter().filter(|sighting| is_refusal(sighting)).count();
    Ok(Outage { attempts, budget: budget(lasted), dead_air })
}

impl Outage {
    pub(super) const fn is_within(&self) -> bool {
        self.attempts > 0 && self.attempts <= self.budget
    }

    pub(super) fn print(&self) {
        let verdict = if self.is_within() { "pass" } else { "FAIL" };
        outln!(
            "   outage (503) with {CALLS} calls, {} ms apart: {} attempts to connect (budget: {}), dead air {} ms at \
             most  {verdict}",
            APART.as_millis(),
            self.attempts,
            self.budget,
            self.dead_air.as_millis()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_what_opens_the_breaker_and_a_probe_now_and_then() {
        assert_eq!(budget(Duration::from_secs(9)), 16);
    }
}
