//! Many calls lose their live sessions at once: how often the endpoint is tried.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and says what it saw"
)]

mod world;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use patchcord::breaker::{FAILURES_MAX, PROBE_INTERVAL, PROBES_MAX};
use patchcord::provider::Providers;
use patchcord::sim::gemini::{Behaviour, Close, Defect, Fault, Moment, Observation, Scenario};
use patchcord::store::Handle;
use tokio::time::{Instant, timeout_at};
use world::phone::Phone;
use world::{Front, agent, endpoint, fallback, helper, model, offer, quick};

/// How long the outage is watched.
const WATCHED: Duration = Duration::from_secs(12);

/// The attempts to connect of so many calls that lose their sessions at once, and call again when they are given up.
async fn attempts(calls: usize, providers: Providers) -> usize {
    let model = model(quick(), Scenario::default()).await;
    let mut watch = model.observations();
    let (store, _log) = Handle::pair(1 << 16);
    let front = Arc::new(Front::start(agent(), offer(&[endpoint(&model)], providers), store).await);
    let mut phones = Vec::new();
    for n in 0..calls {
        phones.push(Phone::call(&front, &format!("CA{n}")).await);
    }
    let mut ready = 0;
    while ready < calls {
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
    attempts
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_fallback_an_outage_sees_what_opens_the_breaker_and_a_few_probes_every_five_seconds() {
    let helper = helper(&[]).await;
    let attempts = attempts(200, fallback(&[&helper])).await;
    let intervals = (WATCHED.as_secs() / PROBE_INTERVAL.as_secs()) as usize;
    let allowed = FAILURES_MAX + intervals * PROBES_MAX;
    eprintln!("{attempts} attempts of 200 calls in {WATCHED:?}, allowed {allowed}");
    assert!((1..=allowed).contains(&attempts), "{attempts} attempts");
}

/// A refused attempt costs less than a lost caller: each call makes the attempts that it may make, and no more.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_fallback_each_call_makes_a_few_attempts() {
    let attempts = attempts(40, Providers::default()).await;
    eprintln!("{attempts} attempts of 40 calls and 40 more in {WATCHED:?}");
    assert!((40 * 3..=2 * 40 * 4).contains(&attempts), "{attempts} attempts");
}
