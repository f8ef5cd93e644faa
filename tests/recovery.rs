//! Whole calls over real sockets whose live service goes away: what the caller hears, what the next connection is
//! told, and what the log says.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod world;

use std::time::Duration;

use patchcord::call::agent::{Agent, Greeting};
use patchcord::provider::Providers;
use patchcord::sim::carrier::Report;
use patchcord::sim::gemini::{
    Behaviour, Close, Defect, Fault, GoAway, Handles, Hearing, Leave, Moment, Observation, Scenario,
    SeedTurn, SetupReply, Sighting, Term, TimeLeft, Turn, Utterance, tone,
};
use patchcord::store::query::CallDetail;
use rstest::rstest;
use tokio::sync::broadcast::Receiver;
use world::{World, agent, caller, endpoint, event, events, model, offer, quick, said};

/// How long an answer of the model is.
const ANSWER: Duration = Duration::from_millis(600);

/// Loud samples of the caller's half second at the model's rate: all but those near a crossing of zero.
const SPEECH_MIN: usize = 7_400;

fn utterance(text: &str) -> Utterance {
    Utterance { text: text.to_owned(), samples: tone(440.0, ANSWER.as_secs_f64()) }
}

/// A greeting on request, and two answers.
fn scenario() -> Scenario {
    let turn =
        |heard: &str, text: &str| Turn { heard: heard.into(), say: vec![utterance(text)], ..Turn::default() };
    Scenario {
        greeting: Some(utterance("Hello.")),
        turns: vec![turn("First?", "One."), turn("Second?", "Two.")],
        ..Scenario::default()
    }
}

fn listening(faults: Vec<Fault>) -> Behaviour {
    Behaviour { faults, hearing: Hearing::Chunks, ..quick() }
}

/// What became of a call: with the caller, in the log, and at the model.
struct Story {
    report: Report,
    detail: CallDetail,
    seen: Vec<Sighting>,
}

impl Story {
    async fn of(agent: Agent, behaviour: Behaviour, pauses_ms: &[usize], listens_ms: usize) -> Self {
        let model = model(behaviour, scenario()).await;
        let sightings = model.observations();
        let world = World::start(agent, offer(&[endpoint(&model)], Providers::default())).await;
        let (report, detail) = world.place(caller(pauses_ms, listens_ms)).await;
        let seen = all(sightings);
        model.shutdown().await;
        assert_eq!(detail.call.ending.as_deref(), Some("caller_hung_up"));
        Self { report, detail, seen }
    }

    fn position(&self, connection: u32, is_it: impl Fn(&Observation) -> bool) -> usize {
        let found =
            self.seen.iter().position(|seen| seen.connection == connection && is_it(&seen.observation));
        found.unwrap_or_else(|| panic!("not seen on connection {connection}: {:#?}", self.outline()))
    }

    fn count(&self, is_it: impl Fn(&Observation) -> bool) -> usize {
        self.seen.iter().filter(|seen| is_it(&seen.observation)).count()
    }

    /// Loud samples that a connection was sent.
    fn heard_by(&self, connection: u32) -> usize {
        let loud = |seen: &Sighting| {
            let Observation::AudioChunk { samples, .. } = &seen.observation else { return 0 };
            let is_loud = |sample: &&i16| sample.unsigned_abs() > 1000 && seen.connection == connection;
            samples.iter().filter(is_loud).count()
        };
        self.seen.iter().map(loud).sum()
    }

    fn outline(&self) -> Vec<(u32, &Observation)> {
        let is_chunk = |seen: &&Sighting| matches!(seen.observation, Observation::AudioChunk { .. });
        let told = self.seen.iter().filter(|seen| !is_chunk(seen));
        told.map(|seen| (seen.connection, &seen.observation)).collect()
    }

    /// The old connection is closed before the next one comes, which goes on with the newest handle.
    fn assert_resumed_after_release(&self) {
        let closed = self.position(1, |seen| matches!(seen, Observation::Closed(_)));
        let next = self.position(2, |seen| *seen == Observation::Connected);
        assert!(closed < next, "{:#?}", self.outline());
        let is_handle = |seen: &Observation| matches!(seen, Observation::HandleIssued(_));
        let last = self.seen[..closed].iter().rfind(|seen| is_handle(&seen.observation)).unwrap();
        let Observation::HandleIssued(handle) = last.observation.clone() else { unreachable!() };
        self.position(2, |seen| *seen == Observation::HandleUsed(handle.clone()));
        assert_eq!(self.count(|seen| matches!(seen, Observation::HandleRefused { .. })), 0);
        assert_eq!(self.count(|seen| *seen == Observation::Connected), 2);
    }

    /// How long the caller waited for the agent's answers.
    fn latencies(&self) -> Vec<i64> {
        self.detail.turns.iter().filter_map(|turn| turn.latency_ms).collect()
    }

    /// So many answers were heard to their end.
    fn assert_heard(&self, answers: u32) {
        let heard = Duration::from_secs_f64(self.report.audio.heard_s);
        assert!(heard >= ANSWER * answers, "{heard:?} of {answers} answers");
        assert!(self.detail.turns.iter().all(|turn| !turn.interrupted), "{:#?}", self.detail.turns);
    }
}

fn all(mut sightings: Receiver<Sighting>) -> Vec<Sighting> {
    std::iter::from_fn(|| sightings.try_recv().ok()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_closed_between_two_turns_goes_on_without_a_second_greeting() {
    let agent = Agent { greeting: Greeting::Instruction("Greet the caller.".into()), ..agent() };
    let close = Fault::of_first(1, Moment::AfterTurn(2), Defect::Close(Close::INTERNAL));
    let story = Story::of(agent, listening(vec![close]), &[1500, 2500], 2200).await;

    let expected = [
        ("agent", "Hello."),
        ("caller", "First?"),
        ("agent", "One."),
        ("caller", "Second?"),
        ("agent", "Two."),
    ];
    assert_eq!(said(&story.detail), expected);
    story.assert_heard(3);
    story.assert_resumed_after_release();
    let is_text = |seen: &Observation| matches!(seen, Observation::TextReceived(_));
    assert_eq!(story.count(is_text), 1, "the model is asked for one greeting");
    let ready = events(&story.detail, "live_ready");
    assert_eq!(ready.len(), 2);
    assert_eq!(ready[0].detail["gap_ms"], serde_json::Value::Null);
    assert!(ready[1].detail["gap_ms"].as_u64().is_some_and(|gap| gap <= 1000), "{}", ready[1].detail);
    assert!(event(&story.detail, "live_lost").contains("Internal error"));
}

/// The question that was being asked is heard whole by the connection that answers it.
#[rstest]
#[case::normal(1000)]
#[case::going_away(1001)]
#[case::no_frame(1006)]
#[case::internal(1011)]
#[case::restart(1012)]
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_closed_in_the_middle_of_a_question_answers_it_after_the_resume(#[case] code: u16) {
    let close = Fault::of_first(1, Moment::CallerSpeaks, Defect::Close(Close::usual(code)));
    let story = Story::of(agent(), listening(vec![close]), &[500], 2200).await;
    assert_eq!(said(&story.detail), [("caller", "First?"), ("agent", "One.")]);
    story.assert_heard(1);
    story.assert_resumed_after_release();
    assert!(story.heard_by(2) >= SPEECH_MIN, "{} loud samples", story.heard_by(2));
    let lost = event(&story.detail, "live_lost");
    assert!(lost.contains(r#""verdict":"resume""#) && lost.contains(r#""next":"resume""#), "{lost}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_that_is_refused_makes_room_for_a_new_session_that_knows_what_was_said() {
    let close = Fault::of_first(1, Moment::AfterTurn(1), Defect::Close(Close::INTERNAL));
    let handles = Handles { life: Duration::ZERO, ..Handles::default() };
    let behaviour = Behaviour { handles, ..listening(vec![close]) };
    let story = Story::of(agent(), behaviour, &[500, 2500], 2200).await;
    let refused = story.position(2, |seen| matches!(seen, Observation::HandleRefused { .. }));
    let seeded = story.position(3, |seen| matches!(seen, Observation::ContentReceived { .. }));
    assert!(refused < seeded);
    let Observation::ContentReceived { turns, .. } = &story.seen[seeded].observation else { unreachable!() };
    let turn = |role: &str, text: &str| SeedTurn { role: role.into(), text: text.into() };
    assert_eq!(turns[..], [turn("user", "First?"), turn("model", "One.")]);
    let expected = [("caller", "First?"), ("agent", "One."), ("caller", "Second?"), ("agent", "Two.")];
    assert_eq!(said(&story.detail), expected);
    assert_eq!(story.count(|seen| matches!(seen, Observation::HandleRefused { .. })), 1);
}

/// The second question begins while the session moves.
#[rstest]
#[case::in_good_time(Duration::from_secs(50), TimeLeft::Lead)]
#[case::in_a_second(Duration::from_secs(1), TimeLeft::Lead)]
#[case::without_a_time(Duration::from_secs(1), TimeLeft::Missing)]
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_told_to_go_moves_between_two_turns(
    #[case] lead: Duration,
    #[case] told: TimeLeft,
) {
    let leave = Leave { lead, told, ..Leave::default() };
    let go_away = Some(GoAway { connections: 1..=1, after: Term::Turns(1), leave });
    let setup = SetupReply::After(Duration::from_millis(600));
    let behaviour = Behaviour { go_away, setup, ..listening(Vec::new()) };
    let story = Story::of(agent(), behaviour, &[1000, 1500], 2400).await;
    assert_eq!(
        said(&story.detail),
        [("caller", "First?"), ("agent", "One."), ("caller", "Second?"), ("agent", "Two.")]
    );
    story.assert_heard(2);
    story.assert_resumed_after_release();
    assert_eq!(events(&story.detail, "live_moved").len(), 1);
    assert_eq!(events(&story.detail, "live_lost").len(), 0);
    let sent = story.heard_by(1) + story.heard_by(2);
    assert!(sent >= 2 * SPEECH_MIN, "nothing of what the caller said is lost: {sent}");
    let [first, second] = story.latencies()[..] else { panic!("{:?}", story.detail.turns) };
    assert!(second <= first + 300, "{second} ms after the move, {first} ms before");
}

/// The service answers no more, with its socket open: the caller hears that the line is alive, and in the end the
/// answer. A socket that is not read is found by its full buffers, if they are full before the patience is over.
#[rstest]
#[case::stalled(Defect::Stall, &["mute"])]
#[case::half_open(Defect::HalfOpen, &["mute", "stalled", "broken"])]
#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_falls_silent_is_covered_for_and_replaced(
    #[case] defect: Defect,
    #[case] causes: &[&str],
) {
    let stall = Fault::of_first(1, Moment::AfterTurn(1), defect);
    let story = Story::of(agent(), listening(vec![stall]), &[500, 2000], 11_500).await;
    let expected = [("caller", "First?"), ("agent", "One."), ("caller", "Second?"), ("agent", "Two.")];
    assert_eq!(said(&story.detail), expected);
    story.assert_heard(2);
    let cover = &events(&story.detail, "cover")[0].detail;
    assert!(cover["waited_ms"].as_u64().is_some_and(|waited| waited <= 1500), "{cover}");
    assert!(story.heard_by(2) >= SPEECH_MIN, "the question is asked again: {}", story.heard_by(2));
    let lost = event(&story.detail, "live_lost");
    assert!(causes.iter().any(|cause| lost.contains(cause)), "{lost}");
    let totals: serde_json::Value = serde_json::from_str(&event(&story.detail, "audio_totals")).unwrap();
    assert!(totals["dead_air_max_ms"].as_u64().unwrap() <= 3000, "{totals}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_one_endpoint_refuses_is_answered_live_by_the_next() {
    let refuse = Fault::always(Moment::Upgrade, Defect::Status(503));
    let (first, second) =
        (model(listening(vec![refuse]), scenario()).await, model(quick(), scenario()).await);
    let sightings = first.observations();
    let offer = offer(&[endpoint(&first), endpoint(&second)], Providers::default());
    let world = World::start(agent(), offer).await;
    let (_, detail) = world.place(caller(&[1000], 2500)).await;
    assert_eq!(said(&detail), [("caller", "First?"), ("agent", "One.")]);
    let refused = all(sightings);
    let is_refused = |seen: &&Sighting| seen.observation == Observation::UpgradeRefused(503);
    assert_eq!(refused.iter().filter(is_refused).count(), 3, "attempts");
    assert_eq!(events(&detail, "rung").len(), 0, "live all the time");
}
