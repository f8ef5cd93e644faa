//! Whole calls over real sockets without a live service: the fallback answers, or the caller is handed on.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod world;

use patchcord::call::agent::{Agent, Otherwise};
use patchcord::carrier::FollowUp;
use patchcord::sim::carrier::Report;
use patchcord::sim::gemini::{Behaviour, Defect, Fault, Moment, Scenario, SetupReply};
use patchcord::sim::providers;
use patchcord::store::query::CallDetail;
use rstest::rstest;
use world::{
    ANSWER, NOWHERE, QUESTION, World, agent, endpoint, event, events, fallback, helper, model, offer, quick,
    said, talker,
};

/// The question was understood, and its answer was heard to the end.
fn assert_answered(report: &Report, detail: &CallDetail) {
    assert_eq!(said(detail), [("caller", QUESTION), ("agent", ANSWER)]);
    assert!(detail.turns.iter().all(|turn| !turn.interrupted));
    let spoken = providers::speaking_time(ANSWER, 1.0).as_secs_f64();
    assert!(report.audio.heard_s >= spoken, "{} of {spoken} s", report.audio.heard_s);
    let latency = detail.turns[1].latency_ms.unwrap();
    assert!(latency <= 3000, "the caller waited {latency} ms");
    assert_eq!(detail.call.ending.as_deref(), Some("caller_hung_up"));
}

async fn place(behaviour: Behaviour) -> (Report, CallDetail) {
    let (model, helper) = (model(behaviour, Scenario::default()).await, helper(&[]).await);
    let world = World::start(agent(), offer(&[endpoint(&model)], fallback(&[&helper]))).await;
    world.place(talker(&[1000], 3500)).await
}

#[rstest]
#[case::unavailable(503, 3)]
#[case::unauthorised(401, 1)]
#[case::quota(429, 1)]
#[tokio::test(flavor = "multi_thread")]
async fn a_live_service_that_refuses_the_upgrade_is_stood_in_for(
    #[case] status: u16,
    #[case] attempts: usize,
) {
    let refuse = Fault::always(Moment::Upgrade, Defect::Status(status));
    let (report, detail) = place(Behaviour { faults: vec![refuse], ..quick() }).await;
    assert_answered(&report, &detail);
    let rung = event(&detail, "rung");
    assert!(rung.contains("fallback") && rung.contains(&format!(r#""status":{status}"#)), "{rung}");
    assert_eq!(events(&detail, "live_lost").len(), attempts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_service_that_is_not_there_is_stood_in_for() {
    let helper = helper(&[]).await;
    let world = World::start(agent(), offer(&[NOWHERE.to_owned()], fallback(&[&helper]))).await;
    let (report, detail) = world.place(talker(&[1000], 3500)).await;
    assert_answered(&report, &detail);
    assert!(event(&detail, "rung").contains("unreachable"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_service_that_never_answers_the_setup_is_stood_in_for() {
    let (report, detail) = place(Behaviour { setup: SetupReply::Never, ..quick() }).await;
    assert_answered(&report, &detail);
    assert!(event(&detail, "rung").contains("setup_timeout"));
}

#[rstest]
#[case::hangs("llm=hang", "first_byte_timeout")]
#[case::over_its_quota("llm=refuse:429", "429")]
#[case::hangs_up("llm=close", "cut")]
#[tokio::test(flavor = "multi_thread")]
async fn the_second_language_model_answers_when_the_first_does_not(#[case] fault: &str, #[case] cause: &str) {
    let (bad, good) = (helper(&[fault]).await, helper(&[]).await);
    let world = World::start(agent(), offer(&[NOWHERE.to_owned()], fallback(&[&bad, &good]))).await;
    let (report, detail) = world.place(talker(&[1000], 3500)).await;
    assert_answered(&report, &detail);
    let skipped = event(&detail, "provider_skipped");
    assert!(skipped.contains("model 0") && skipped.contains(cause), "{skipped}");
    let used = events(&detail, "provider_used");
    assert!(used.iter().any(|used| used.detail["provider"] == "model 1"), "{used:#?}");
}

/// One refused answer of the only language model costs one turn.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whose_answer_fails_once_is_asked_to_say_it_again_and_answered() {
    let helper = helper(&["llm=refuse:500x2"]).await;
    let world = World::start(agent(), offer(&[NOWHERE.to_owned()], fallback(&[&helper]))).await;
    let (_, detail) = world.place(talker(&[1000, 4000], 6000)).await;
    let told = said(&detail);
    assert_eq!(told[0], ("caller", QUESTION));
    assert!(told[1].0 == "agent" && told[1].1.contains("say that again"), "{told:?}");
    assert_eq!(told[2..], [("caller", QUESTION), ("agent", ANSWER)]);
    assert_eq!(detail.call.ending.as_deref(), Some("caller_hung_up"));
    assert_eq!((events(&detail, "provider_skipped").len(), events(&detail, "job_failed").len()), (2, 2));
}

/// The caller hears an apology to its end, and the carrier is told what the agent has for that case.
#[rstest]
#[case::hang_up(FollowUp::HangUp, "Hangup")]
#[case::transfer(FollowUp::Transfer { to: "+13125550199".to_owned() }, "Dial")]
#[case::voicemail(FollowUp::Voicemail, "Record")]
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whom_nobody_can_answer_is_handed_on(#[case] last: FollowUp, #[case] verb: &str) {
    let helper = helper(&["llm=refuse:500"]).await;
    let otherwise = Otherwise { last_resort: last.clone(), ..Otherwise::default() };
    let agent = Agent { otherwise, ..agent() };
    let world = World::start(agent, offer(&[NOWHERE.to_owned()], fallback(&[&helper]))).await;
    let (report, detail) = world.place(talker(&[1000, 4000, 4000], 12_000)).await;
    assert_eq!(detail.call.ending.as_deref(), Some("all_failed"));
    let asked_again = said(&detail).iter().filter(|(_, words)| words.contains("say that again")).count();
    assert_eq!(asked_again, 2, "the third lost turn in a row is the last");
    let words = said(&detail).last().copied().unwrap();
    assert!(words.0 == "agent" && words.1.starts_with("I'm sorry"), "{words:?}");
    assert!(!detail.turns.last().unwrap().interrupted, "the apology was heard");
    let rungs: Vec<_> = events(&detail, "rung").iter().map(|rung| rung.detail["rung"].clone()).collect();
    assert_eq!(rungs, ["fallback", "last_resort"]);
    let told = format!("{:?} {:?}", report.verbs, report.violations);
    assert!(told.contains(verb), "{told}");
    let resumed = report.requests.iter().find(|request| request.url.contains("/twilio/resume"));
    assert_eq!(resumed.and_then(|request| request.status), Some(200), "{:#?}", report.requests);
}
