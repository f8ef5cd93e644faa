//! Two hundred calls lose their live sessions at once, and everybody calls again: how often the endpoint is tried.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and says what it saw"
)]

mod world;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use patchcord::breaker::{FAILURES_MAX, PROBE_INTERVAL};
use patchcord::provider::Providers;
use patchcord::sim::gemini::{Behaviour, Close, Defect, Fault, Moment, Observation, Scenario};
use patchcord::store::Handle;
use tokio::time::{Instant, timeout_at};
use world::phone::Phone;
use world::{Front, agent, endpoint, model, offer, quick};

const CALLS: usize = 200;

/// How long the outage is watched.
const WATCHED: Duration = Duration::from_secs(12);

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_sees_no_more_attempts_than_open_the_breaker_and_a_probe_every_five_seconds() {
    let model = model(quick(), Scenario::default()).await;
    let mut watch = model.observations();
    let (store, _log) = Handle::pair(1 << 16);
    let offer = offer(&[endpoint(&model)], Providers::default());
    let front = Arc::new(Front::start(agent(), offer, store).await);
    let mut phones = Vec::new();
    for n in 0..CALLS {
        phones.push(Phone::call(&front, &format!("CA{n}")).await);
    }
    let mut ready = 0;
    while ready < CALLS {
        ready += usize::from(watch.recv().await.unwrap().observation == Observation::SetupComplete);
    }

    let refuse = Fault::always(Moment::Upgrade, Defect::Status(503));
    model.set_behaviour(Behaviour { faults: vec![refuse], ..quick() });
    let mut watch = model.observations();
    let until = Instant::now() + WATCHED;
    model.inflict(Defect::Close(Close::INTERNAL));
    let callers = phones.into_iter().enumerate().map(|(n, mut phone)| {
        let front = Arc::clone(&front);
        tokio::spawn(async move {
            phone.listen().await;
            // The apology is over, and the caller tries again.
            Phone::call(&front, &format!("CA{n} again")).await.listen().await;
        })
    });
    let callers: Vec<_> = callers.collect();
    let stop: Vec<_> = callers.iter().map(tokio::task::JoinHandle::abort_handle).collect();
    let _ = timeout_at(until, join_all(callers)).await;
    let attempts = std::iter::from_fn(|| watch.try_recv().ok());
    let attempts = attempts.filter(|seen| seen.observation == Observation::UpgradeRefused(503)).count();
    stop.iter().for_each(tokio::task::AbortHandle::abort);

    let probes = (WATCHED.as_secs() / PROBE_INTERVAL.as_secs()) as usize;
    eprintln!("{attempts} attempts of {CALLS} calls in {WATCHED:?}, allowed {FAILURES_MAX} and {probes}");
    assert!((1..=FAILURES_MAX + probes).contains(&attempts), "{attempts} attempts");
}
