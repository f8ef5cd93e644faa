//! Calls that break off at every moment leave no task, no descriptor and no connection behind. One test at a time:
//! descriptors are counted for the whole process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod world;

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use patchcord::bridge::Offer;
use patchcord::call::record::{Event, Record, Rung};
use patchcord::provider::Providers;
use patchcord::sim::gemini::{
    self, Behaviour, Close, Defect, Ending, Fault, Moment, Observation, Scenario, SetupReply, Sighting, tone,
};
use patchcord::sim::providers::{self, Observation as Seen};
use patchcord::store::{Handle, Line};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;
use world::phone::Phone;
use world::{Front, agent, dialer, endpoint, fallback, helper, model, offer, quick};

const CALLS: usize = 200;

/// Calls at a time.
const BATCH: usize = 20;

/// As many attempts as an endpoint under suspicion sees at once.
const BATCH_UNDER_SUSPICION: usize = 5;

/// Upstream is closed this soon after the carrier is gone.
const CLOSED_MAX: Duration = Duration::from_secs(1);

/// Everything of a call is gone this soon.
const RELEASED_MAX: Duration = Duration::from_secs(2);

/// Nothing else takes this long; what hangs is a failure.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs while no other test of this process holds anything.
fn alone(test: impl Future<Output = ()>) {
    static ONE: Mutex<()> = Mutex::new(());
    let _guard = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

fn held_tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// What this process holds: tasks of this runtime, descriptors.
fn held() -> (usize, usize) {
    (held_tasks(), std::fs::read_dir("/proc/self/fd").unwrap().count())
}

/// A server with its log in memory, and what it holds when nothing runs: after its first call, because one that has
/// never had a request may hold less.
struct Scene {
    front: Front,
    log: Receiver<Line>,
    base: (usize, usize),
    calls: usize,
}

impl Scene {
    async fn start(offer: Offer) -> Self {
        let (store, log) = Handle::pair(1 << 16);
        let front = Front::start(agent(), offer, store).await;
        Self { front, log, base: (0, 0), calls: 0 }
    }

    /// The first call is over: remembers what is held when everything of it is released.
    async fn rest(&mut self) {
        /// As often as this nothing changes any more.
        const TURNS: usize = 10_000;
        let mut turns = 0;
        while self.front.bridge.active() > 0 || turns < TURNS {
            tokio::task::yield_now().await;
            let is_stable = held_tasks() == self.base.0;
            turns = if is_stable { turns + 1 } else { 0 };
            self.base.0 = held_tasks();
        }
        self.base = held();
    }

    async fn phones(&mut self, count: usize) -> Vec<Phone> {
        let mut phones = Vec::new();
        for _ in 0..count {
            self.calls += 1;
            phones.push(Phone::call(&self.front, &format!("CA{}", self.calls)).await);
        }
        phones
    }

    /// Nothing more is held than before.
    async fn settle(&self) {
        let settled = async {
            while held() != self.base {
                tokio::task::yield_now().await;
            }
        };
        let is_settled = timeout(RELEASED_MAX, settled).await.is_ok();
        assert!(is_settled, "held {:?}, before {:?}", held(), self.base);
    }

    /// Waits until the fallback answers so many calls.
    async fn stood_in(&mut self, mut count: usize) {
        let is_rung = |line: &Line| match line {
            Line::Entry(entry) => {
                matches!(&entry.record, Record::Event(Event::Rung { rung: Rung::Fallback, .. }))
            }
            Line::Annotation(_) => false,
        };
        while count > 0 {
            let line = timeout(PATIENCE, self.log.recv()).await.expect("in time").unwrap();
            count -= usize::from(is_rung(&line));
        }
    }
}

/// Waits until something was seen so many times.
async fn seen(
    watch: &mut broadcast::Receiver<Sighting>,
    mut count: usize,
    within: Duration,
    is_it: impl Fn(&Observation) -> bool,
) {
    let wait = async {
        while count > 0 {
            count -= usize::from(is_it(&watch.recv().await.unwrap().observation));
        }
    };
    let is_seen = timeout(within, wait).await.is_ok();
    assert!(is_seen, "{count} are missing");
}

async fn asked(watch: &mut broadcast::Receiver<providers::Sighting>, mut count: usize, what: &Seen) {
    let within = if *what == Seen::Abandoned { CLOSED_MAX } else { PATIENCE };
    let wait = async {
        while count > 0 {
            count -= usize::from(watch.recv().await.unwrap().observation == *what);
        }
    };
    let is_seen = timeout(within, wait).await.is_ok();
    assert!(is_seen, "{count} times {what:?} is missing");
}

fn is_closed(seen: &Observation) -> bool {
    matches!(seen, Observation::Closed(_))
}

fn is_setup(seen: &Observation) -> bool {
    matches!(seen, Observation::SetupReceived(_))
}

fn is_ready(seen: &Observation) -> bool {
    *seen == Observation::SetupComplete
}

/// A model that answers every burst for a while.
fn talkative() -> Scenario {
    Scenario { ending: Ending::Probe(tone(440.0, 1.0)), ..Scenario::default() }
}

/// Accepts connections, reads, and never says a word; tells when one comes and when it is closed.
async fn deaf() -> (String, UnboundedReceiver<&'static str>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("ws://{}", listener.local_addr().unwrap());
    let (tell, told) = unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let tell = tell.clone();
            let _ = tell.send("accepted");
            tokio::spawn(async move {
                while socket.read(&mut [0; 1024]).await.is_ok_and(|len| len > 0) {}
                let _ = tell.send("closed");
            });
        }
    });
    (address, told)
}

async fn told(watch: &mut UnboundedReceiver<&'static str>, count: usize, what: &str, within: Duration) {
    for _ in 0..count {
        assert_eq!(timeout(within, watch.recv()).await.expect(what).unwrap(), what);
    }
}

#[test]
fn nothing_is_left_of_calls_whose_carrier_vanishes_while_the_service_is_dialled() {
    alone(async {
        let (address, mut watch) = deaf().await;
        let mut scene = Scene::start(Offer::live(dialer(&address))).await;
        let first = scene.phones(1).await;
        told(&mut watch, 1, "accepted", PATIENCE).await;
        drop(first);
        told(&mut watch, 1, "closed", PATIENCE).await;
        scene.rest().await;
        for _ in 0..CALLS / BATCH {
            let phones = scene.phones(BATCH).await;
            told(&mut watch, BATCH, "accepted", PATIENCE).await;
            drop(phones);
            told(&mut watch, BATCH, "closed", CLOSED_MAX).await;
            scene.settle().await;
        }
    });
}

/// A live service and its server, of which nothing runs.
async fn live(
    behaviour: Behaviour,
    scenario: Scenario,
) -> (gemini::Server, Scene, broadcast::Receiver<Sighting>) {
    let model = model(behaviour, scenario).await;
    let mut watch = model.observations();
    let mut scene = Scene::start(offer(&[endpoint(&model)], Providers::default())).await;
    let first = scene.phones(1).await;
    seen(&mut watch, 1, PATIENCE, is_setup).await;
    drop(first);
    seen(&mut watch, 1, PATIENCE, is_closed).await;
    scene.rest().await;
    (model, scene, watch)
}

#[test]
fn nothing_is_left_of_calls_whose_carrier_vanishes_during_the_setup() {
    alone(async {
        let never = Behaviour { setup: SetupReply::Never, ..quick() };
        let (_model, mut scene, mut watch) = live(never, Scenario::default()).await;
        for _ in 0..CALLS / BATCH {
            let phones = scene.phones(BATCH).await;
            seen(&mut watch, BATCH, PATIENCE, is_setup).await;
            drop(phones);
            seen(&mut watch, BATCH, CLOSED_MAX, is_closed).await;
            scene.settle().await;
        }
    });
}

#[test]
fn nothing_is_left_of_calls_whose_carrier_vanishes_while_the_agent_speaks() {
    alone(async {
        let (_model, mut scene, mut watch) = live(quick(), talkative()).await;
        for _ in 0..CALLS / BATCH {
            let mut phones = scene.phones(BATCH).await;
            seen(&mut watch, BATCH, PATIENCE, is_ready).await;
            for phone in &mut phones {
                // The first may come before the call knows that its session is ready; then it goes with the second.
                phone.burst().await;
                phone.burst().await;
            }
            for phone in &mut phones {
                timeout(PATIENCE, phone.hear()).await.expect("an answer");
            }
            drop(phones);
            seen(&mut watch, BATCH, CLOSED_MAX, is_closed).await;
            scene.settle().await;
        }
    });
}

#[test]
fn nothing_is_left_of_calls_whose_carrier_vanishes_while_they_reconnect() {
    alone(async {
        let (model, mut scene, mut watch) = live(quick(), Scenario::default()).await;
        for _ in 0..CALLS / BATCH_UNDER_SUSPICION {
            let phones = scene.phones(BATCH_UNDER_SUSPICION).await;
            seen(&mut watch, BATCH_UNDER_SUSPICION, PATIENCE, is_ready).await;
            model.set_behaviour(Behaviour { setup: SetupReply::Never, ..quick() });
            model.inflict(Defect::Close(Close::INTERNAL));
            seen(&mut watch, BATCH_UNDER_SUSPICION, PATIENCE, is_closed).await;
            let resumes = |seen: &Observation| matches!(seen, Observation::SetupReceived(setup) if setup.contains("handle"));
            seen(&mut watch, BATCH_UNDER_SUSPICION, PATIENCE, resumes).await;
            drop(phones);
            seen(&mut watch, BATCH_UNDER_SUSPICION, CLOSED_MAX, is_closed).await;
            scene.settle().await;
            model.set_behaviour(quick());
        }
    });
}

#[test]
fn nothing_is_left_of_calls_that_both_sides_leave_at_once() {
    alone(async {
        let (model, mut scene, mut watch) = live(quick(), Scenario::default()).await;
        for _ in 0..CALLS / BATCH {
            let phones = scene.phones(BATCH).await;
            seen(&mut watch, BATCH, PATIENCE, is_ready).await;
            model.inflict(Defect::Reset);
            drop(phones);
            seen(&mut watch, BATCH, CLOSED_MAX, is_closed).await;
            scene.settle().await;
        }
    });
}

/// A server whose live service is refused, with a fallback that has this fault.
async fn standing_in(fault: &str) -> (providers::Server, Scene, broadcast::Receiver<providers::Sighting>) {
    let helper = helper(&[fault]).await;
    let watch = helper.observations();
    let refuse = Fault::always(Moment::Upgrade, Defect::Status(401));
    let model = model(Behaviour { faults: vec![refuse], ..quick() }, Scenario::default()).await;
    let mut scene = Scene::start(offer(&[endpoint(&model)], fallback(&[&helper]))).await;
    let first = scene.phones(1).await;
    scene.stood_in(1).await;
    drop(first);
    // From here on the endpoint is not there at all, which is as good as a refusal.
    model.shutdown().await;
    scene.rest().await;
    (helper, scene, watch)
}

async fn vanishes_in_the_fallback(fault: &str) {
    let (_helper, mut scene, mut watch) = standing_in(fault).await;
    let fault = Seen::Faulted(fault.split_once('=').unwrap().1.parse().unwrap());
    for _ in 0..CALLS / BATCH {
        let mut phones = scene.phones(BATCH).await;
        scene.stood_in(BATCH).await;
        for phone in &mut phones {
            phone.ask().await;
        }
        asked(&mut watch, BATCH, &fault).await;
        drop(phones);
        asked(&mut watch, BATCH, &Seen::Abandoned).await;
        scene.settle().await;
    }
}

#[test]
fn nothing_is_left_of_calls_whose_carrier_vanishes_during_speech_to_text() {
    alone(vanishes_in_the_fallback("stt=hang"));
}

#[test]
fn nothing_is_left_of_calls_whose_carrier_vanishes_while_the_language_model_thinks() {
    alone(vanishes_in_the_fallback("llm=stall"));
}

#[test]
fn nothing_is_left_of_calls_whose_carrier_vanishes_during_text_to_speech() {
    alone(vanishes_in_the_fallback("tts=endless:tokens"));
}

/// An answer without end is closed by the caller who speaks over it, and by the caller who hangs up.
#[test]
fn a_provider_that_never_ends_is_cancelled() {
    alone(async {
        let (_helper, mut scene, mut watch) = standing_in("tts=endless:tokens").await;
        let mut phone = scene.phones(1).await.remove(0);
        scene.stood_in(1).await;
        phone.ask().await;
        timeout(PATIENCE, phone.hear()).await.expect("an answer");
        phone.speak().await;
        asked(&mut watch, 1, &Seen::Abandoned).await;
        phone.ask().await;
        let begins = Seen::Faulted("endless:tokens".parse().unwrap());
        asked(&mut watch, 1, &begins).await;
        timeout(PATIENCE, phone.hang_up()).await.expect("the end");
        asked(&mut watch, 1, &Seen::Abandoned).await;
        scene.settle().await;
    });
}

/// A service that ends its connection after every turn, a thousand times in one call.
#[test]
fn nothing_is_left_of_a_call_with_a_thousand_reconnects() {
    const RECONNECTS: usize = 1000;
    /// A carrier that is ahead of time: a burst and the quiet before it, every 20 ms.
    const EVERY: Duration = Duration::from_millis(20);
    alone(async {
        let close = Fault::always(Moment::AfterTurn(1), Defect::Close(Close::usual(1012)));
        let setup = SetupReply::After(Duration::ZERO);
        let behaviour = Behaviour { setup, faults: vec![close], ..quick() };
        let probe = Scenario { ending: Ending::Probe(tone(1000.0, 0.01)), ..Scenario::default() };
        let (_model, mut scene, mut watch) = live(behaviour, probe).await;
        let mut phone = scene.phones(1).await.remove(0);
        let mut ticks = tokio::time::interval(EVERY);
        let (mut connected, mut closed) = (0, 0);
        while closed < RECONNECTS {
            tokio::select! {
                _ = ticks.tick() => phone.burst().await,
                () = phone.listen() => panic!("the call ended after {closed} connections"),
                sighting = watch.recv() => {
                    let seen = sighting.unwrap().observation;
                    connected += usize::from(seen == Observation::Connected);
                    closed += usize::from(is_closed(&seen));
                }
            }
            assert!(connected - closed <= 1, "two connections at once");
        }
        drop(phone);
        scene.settle().await;
    });
}
