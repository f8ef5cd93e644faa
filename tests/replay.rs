//! Whole calls over real sockets whose inputs are kept: played again they are the same calls.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod world;

use std::time::{Duration, Instant};

use patchcord::call::agent::{Agent, Keep};
use patchcord::call::replay::{End, Report, replay, rewrite};
use patchcord::provider::Providers;
use patchcord::sim::gemini::{
    Behaviour, Close, Defect, Fault, Hearing, Moment, Scenario, Turn, Utterance, tone,
};
use patchcord::store::query::CallDetail;
use world::{World, agent, caller, endpoint, events, fallback, helper, model, offer, quick, said, talker};

fn keeping(agent: Agent) -> Agent {
    Agent { keep: Keep { inputs: true, recording: None }, ..agent }
}

/// Two answers of this length.
fn scenario(seconds: f64) -> Scenario {
    let utterance = |text: &str| Utterance { text: text.to_owned(), samples: tone(440.0, seconds) };
    let turn =
        |heard: &str, text: &str| Turn { heard: heard.into(), say: vec![utterance(text)], ..Turn::default() };
    Scenario { turns: vec![turn("First?", "One."), turn("Second?", "Two.")], ..Scenario::default() }
}

fn listening(faults: Vec<Fault>) -> Behaviour {
    Behaviour { faults, hearing: Hearing::Chunks, ..quick() }
}

/// A call of which everything was kept.
async fn keep(
    behaviour: Behaviour,
    seconds: f64,
    pauses_ms: &[usize],
    listens_ms: usize,
) -> (CallDetail, String) {
    let model = model(behaviour, scenario(seconds)).await;
    let world = World::start(keeping(agent()), offer(&[endpoint(&model)], Providers::default())).await;
    let (_, detail, kept) = world.place_and_keep(caller(pauses_ms, listens_ms)).await;
    model.shutdown().await;
    (detail, kept.unwrap())
}

fn play(kept: &str) -> Report {
    replay(kept, Instant::now(), None, |_| {}).unwrap()
}

#[track_caller]
fn assert_same(kept: &str) {
    let report = play(kept);
    assert_eq!((&report.difference, &report.end), (&None, &End::Whole));
    let lines = kept.lines().count();
    assert_eq!(report.inputs + report.outputs, lines - 2, "every line but the first and the last");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_which_the_caller_interrupts_is_the_same_call_again() {
    let (detail, kept) = keep(listening(Vec::new()), 3.0, &[300, 1200], 1500).await;
    assert_eq!(events(&detail, "interrupted").len(), 1);
    assert_same(&kept);
    assert!(!kept.contains("test-api-key") && !kept.contains(world::AUTH_TOKEN), "no secret is kept");
    assert_eq!(rewrite(&kept, Instant::now()).unwrap().lines().last(), kept.lines().last());

    // A frame that is missing is missed where it was.
    let is_speech = |line: &&str| line.contains(r#""in":{"carrier":{"event":"media""#);
    let frame = kept.lines().filter(is_speech).nth(30).unwrap();
    let number = kept.lines().position(|line| line == frame).unwrap() + 1;
    let changed = kept.replacen(&format!("{frame}\n"), "", 1);
    let difference = play(&changed).difference.unwrap();
    assert!((number..number + 5).contains(&difference.line), "{number}: {difference:?}");

    // A process that is killed leaves a part of a line.
    let cut = &kept[..kept.len() * 2 / 3];
    let report = play(cut);
    assert_eq!((report.difference, report.end), (None, End::Killed));

    let first_second = replay(&kept, Instant::now(), Some(Duration::from_secs(1)), |_| {}).unwrap();
    assert_eq!((first_second.difference, first_second.end), (None, End::Left));
    assert!(first_second.length.seconds() <= 1.0 && first_second.inputs > 45, "{}", first_second.inputs);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_loses_its_session_is_the_same_call_again() {
    let close = Fault::of_first(1, Moment::CallerSpeaks, Defect::Close(Close::INTERNAL));
    let (detail, kept) = keep(listening(vec![close]), 0.4, &[300], 2000).await;
    assert_eq!(events(&detail, "live_lost").len(), 1);
    assert_eq!(said(&detail), [("caller", "First?"), ("agent", "One.")]);
    assert_same(&kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_falls_back_and_returns_is_the_same_call_again() {
    let refuse = Fault::of_first(1, Moment::Upgrade, Defect::Status(429));
    let (model, helper) = (model(listening(vec![refuse]), scenario(0.4)).await, helper(&[]).await);
    let world = World::start(keeping(agent()), offer(&[endpoint(&model)], fallback(&[&helper]))).await;
    let (_, detail, kept) = world.place_and_keep(talker(&[1000, 10_000], 2000)).await;
    let rungs: Vec<_> = events(&detail, "rung").iter().map(|rung| rung.detail["rung"].clone()).collect();
    assert_eq!(rungs, ["fallback", "live"]);
    assert_same(&kept.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_kept_unless_the_agent_says_so() {
    let model = model(quick(), scenario(0.4)).await;
    let world = World::start(agent(), offer(&[endpoint(&model)], Providers::default())).await;
    let (_, _, kept) = world.place_and_keep(caller(&[300], 300)).await;
    assert_eq!(kept, None);
}
