//! Faults on demand: every close at every moment, and everything else that goes wrong.

use std::collections::HashSet;

use super::super::super::{
    CLOSES, Defect, Fault, Garbage, GoAway, Hearing, Leave, Moment, Spoil, Term, TimeLeft,
};
use super::*;

const MOMENTS: [Moment; 9] = [
    Moment::SetupReceived,
    Moment::SetupComplete,
    Moment::CallerSpeaks,
    Moment::Thinking,
    Moment::Speaking,
    Moment::MidSpeech,
    Moment::Interrupted,
    Moment::ToolCall,
    Moment::AfterTurn(1),
];

fn with_fault(at: Moment, what: Defect) -> Behaviour {
    Behaviour { faults: vec![Fault::always(at, what)], ..Behaviour::default() }
}

/// A call in which every moment is reached: a greeting, a function call, a barge-in.
fn whole_call(behaviour: Behaviour) -> Story {
    let mut story = Story::of(behaviour, with_call());
    let mut setup = declared("BLOCKING");
    setup["model"] = "m".into();
    story.send(json!({ "setup": setup }));
    story.run(800);
    story.send(json!({"realtimeInput": {"text": "Greet."}}));
    story.run(2000);
    story.speak(3000, 200);
    story.speak(0, 1500);
    story.speak(3000, 60);
    story
}

#[rstest]
fn every_close_of_the_table_arrives_at_every_moment(#[values(0, 1, 2, 3, 4, 5, 6, 7, 8)] moment: usize) {
    for close in &CLOSES {
        let story = whole_call(with_fault(MOMENTS[moment], Defect::Close(close.clone())));
        let expected = format!("{} {}", close.code, close.wire_reason());
        assert_eq!(story.close_reason(), expected, "{:?}", MOMENTS[moment]);
        assert!(close.wire_reason().len() <= 123);
        assert_eq!(story.session.poll_timeout(), None, "nothing follows");
    }
}

#[test]
fn what_happened_before_the_close_is_what_its_moment_says() {
    let before = MOMENTS.map(|moment| {
        let close = Defect::Close(Close::DEADLINE);
        let story = whole_call(with_fault(moment, close));
        let entries = story.entries();
        entries.len().checked_sub(2).map_or(String::new(), |last| entries[last].to_owned())
    });
    let expected = [
        "",
        "sessionResumptionUpdate",
        "ACTIVITY_START 0s",
        "sessionResumptionUpdate",
        "A",
        "A",
        "interrupted",
        "toolCall",
        "turnComplete",
    ];
    assert_eq!(before, expected);
}

#[test]
fn a_fault_is_told_and_happens_only_on_its_connections() {
    let fault = Fault::of_first(2, Moment::SetupComplete, Defect::Reset);
    let behaviour = Behaviour { faults: vec![fault], ..Behaviour::default() };
    for (connection, is_broken) in [(1, true), (2, true), (3, false)] {
        let mut story = Story::arriving(Arrival { connection, ..arrival(behaviour.clone(), scenario()) });
        story.send(json!({"setup": {"model": "m"}}));
        story.run(800);
        let told = story.seen.contains(&Observation::FaultFired("SetupComplete: Reset".to_owned()));
        assert_eq!((told, story.close_reason() == "Reset"), (is_broken, is_broken));
    }
}

#[test]
fn the_same_fault_twice_happens_at_the_first_two_times() {
    let fault = Fault::always(Moment::Thinking, Defect::Spoil(Spoil::Empty));
    let behaviour = Behaviour { faults: vec![fault.clone(), fault], ..Behaviour::default() };
    let sound = Scenario::echoing("beep", vec![7_i16; 2400]);
    let mut story = Story::ready(behaviour, sound, json!({}));
    let mut lens = Vec::new();
    for _ in 0..3 {
        story.speak(3000, 200);
        story.speak(0, 1500);
        lens.push(story.audio.len());
    }
    assert_eq!(lens, [0, 0, 4800]);
    let turns = story.entries().iter().filter(|entry| **entry == "turnComplete").count();
    assert_eq!(turns, 3, "empty turns are complete");
}

#[test]
fn a_stalled_service_hears_and_answers_nothing() {
    let mut story = whole_call(with_fault(Moment::AfterTurn(1), Defect::Stall));
    assert_eq!(story.close_reason(), "turnComplete");
    assert!(story.seen.contains(&Observation::SpeechStart), "it still listens");
    assert!(!story.seen.iter().any(|seen| matches!(seen, Observation::ToolCalled(_))));
    story.run(60_000);
    assert_eq!(story.close_reason(), "turnComplete");
}

#[test]
fn a_stall_at_setup_is_a_setup_that_is_never_answered() {
    let story = whole_call(with_fault(Moment::SetupReceived, Defect::Stall));
    assert_eq!(story.log, []);
}

#[rstest]
#[case(Defect::HalfOpen, "HalfOpen")]
#[case(Defect::StopReading, "StopReading")]
#[case(Defect::LatePongs(Duration::from_secs(8)), "LatePongs(8s)")]
fn the_socket_is_told_what_it_has_to_suffer(#[case] defect: Defect, #[case] expected: &str) {
    let story = whole_call(with_fault(Moment::SetupComplete, defect));
    assert_eq!(story.entries()[2], expected);
    assert_eq!(story.entries().len() == 3, expected == "HalfOpen", "half-open, nothing follows");
}

#[rstest]
#[case::mute(Spoil::Mute, 380 * 48)]
#[case::empty(Spoil::Empty, 0)]
#[case::flood(Spoil::Flood, 60_000 * 48)]
fn an_answer_can_be_spoiled(#[case] spoil: Spoil, #[case] bytes: usize) {
    let mut story = Story::of(with_fault(Moment::Thinking, Defect::Spoil(spoil)), scenario());
    story.send(json!({"setup": {"model": "m"}}));
    story.run(800);
    story.send(json!({"realtimeInput": {"text": "Greet."}}));
    story.run(1300);
    assert_eq!(story.audio.len(), bytes, "within a second");
    if spoil == Spoil::Mute {
        assert!(story.audio.chunks(2).all(|sample| sample[0] < 2 && sample[1] == 0));
    }
}

#[test]
fn audio_without_end_goes_on_until_somebody_interrupts() {
    let mut story = Story::live(Personality::Live38);
    story.send(json!({"realtimeInput": {"text": "Greet."}}));
    story.run(310);
    story.session.handle_defect(Defect::Spoil(Spoil::Endless), story.instant());
    story.run(60_000);
    assert!(story.audio.len() > 200 * 48_000, "{} bytes", story.audio.len());
    assert!(!story.entries().contains(&"generationComplete"));
    story.speak(3000, 60);
    assert_eq!(story.close_reason(), "turnComplete");
}

#[test]
fn stale_audio_can_follow_one_interruption() {
    let stale = Defect::Stale(Duration::from_millis(300));
    let mut story = Story::ready(with_fault(Moment::Speaking, stale), scenario(), json!({}));
    story.speak(3000, 200);
    story.speak(0, 820);
    story.speak(3000, 60);
    assert_eq!(story.entries()[3..], ["A", "ACTIVITY_START 1.020s", "interrupted", "A", "turnComplete"]);
}

#[rstest]
#[case(Garbage::NotJson, 24)]
#[case(Garbage::Empty, 2)]
#[case(Garbage::Oversize(5_000_000), 5_000_000)]
fn garbage_goes_out_as_it_is(#[case] garbage: Garbage, #[case] len: usize) {
    let mut session = Session::new(arrival(Behaviour::default(), scenario()));
    session.handle_defect(Defect::Garbage(garbage), Instant::now());
    let sent = std::iter::from_fn(|| session.poll_output()).find_map(|output| match output {
        Output::Message(text) => Some(text.len()),
        Output::Close { .. } | Output::Break(_) | Output::Observed(_) => None,
    });
    assert_eq!(sent, Some(len));
}

#[rstest]
#[case(Defect::Garbage(Garbage::UnknownFields), "/futureMessage/of")]
#[case(Defect::Garbage(Garbage::WrongBase64), "/serverContent/modelTurn/parts/0/inlineData/data")]
#[case(Defect::ErrorMessage, "/error/status")]
fn garbage_may_be_json(#[case] defect: Defect, #[case] pointer: &str) {
    let mut session = Session::new(arrival(Behaviour::default(), scenario()));
    session.handle_defect(defect, Instant::now());
    let sent = std::iter::from_fn(|| session.poll_output()).find_map(|output| match output {
        Output::Message(text) => serde_json::from_str::<Value>(&text).ok(),
        Output::Close { .. } | Output::Break(_) | Output::Observed(_) => None,
    });
    assert!(sent.unwrap().pointer(pointer).is_some_and(Value::is_string));
}

#[test]
fn impossible_faults_are_known() {
    let possible = |at, what| Fault::always(at, what).is_possible();
    assert!(possible(Moment::Upgrade, Defect::Status(503)));
    assert!(!possible(Moment::Speaking, Defect::Status(503)));
    assert!(possible(Moment::Accepted, Defect::Reset));
    assert!(possible(Moment::Upgrade, Defect::Close(Close::NO_FRAME)));
    assert!(!possible(Moment::Upgrade, Defect::Stall));
}

fn leaving(leave: Leave) -> Behaviour {
    let go_away = GoAway { leave, ..GoAway::after(Duration::from_secs(10)) };
    Behaviour { go_away: Some(go_away), ..Behaviour::default() }
}

#[rstest]
#[case(TimeLeft::Lead, json!({"timeLeft": "20s"}))]
#[case(TimeLeft::Wrong(Duration::from_millis(49_500)), json!({"timeLeft": "49.500s"}))]
#[case(TimeLeft::Missing, json!({}))]
#[case(TimeLeft::Garbage("soon".to_owned()), json!({"timeLeft": "soon"}))]
fn go_away_comes_in_time_and_the_end_after_it(#[case] told: TimeLeft, #[case] content: Value) {
    let leave = Leave { lead: Duration::from_secs(20), told, ..Leave::default() };
    let mut story = Story::ready(leaving(leave), scenario(), json!({}));
    story.run(60_000);
    let expected = [(10_800, "goAway".to_owned()), (30_800, "1008 The operation was aborted.".to_owned())];
    assert_eq!(story.log, expected);
    assert_eq!(story.messages.last().unwrap()["goAway"], content);
}

#[test]
fn after_go_away_the_service_may_fall_silent() {
    let close = Close::DEADLINE;
    let lead = Duration::from_secs(20);
    let leave = Leave { lead, silence: Some(Duration::ZERO), close, ..Leave::default() };
    let mut story = Story::ready(leaving(leave), scenario(), json!({}));
    story.run(10_000);
    story.speak(3000, 200);
    story.speak(0, 3000);
    assert_eq!(story.entries(), ["goAway"], "accepts input, answers nothing");
    assert!(story.seen.contains(&Observation::SpeechEnd));
    story.run(20_000);
    assert_eq!(story.entries()[1..], ["1011 Deadline expired before operation could complete."]);
}

#[test]
fn go_away_may_come_after_a_number_of_turns_on_some_connections() {
    let go_away = GoAway { connections: 1..=1, after: Term::Turns(1), leave: Leave::default() };
    let behaviour = Behaviour { go_away: Some(go_away), ..Behaviour::default() };
    let mut ends = HashSet::new();
    for connection in [1, 2] {
        let mut story = Story::arriving(Arrival { connection, ..arrival(behaviour.clone(), scenario()) });
        story.send(json!({"setup": {"model": "m"}}));
        story.run(800);
        story.send(json!({"realtimeInput": {"text": "Greet."}}));
        story.run(2000);
        ends.insert(story.close_reason().to_owned());
    }
    assert_eq!(ends, ["goAway", "turnComplete"].map(str::to_owned).into());
}

#[test]
fn every_chunk_of_audio_can_be_told_with_its_place() {
    let behaviour = Behaviour { hearing: Hearing::Chunks, ..Behaviour::default() };
    let mut story = Story::ready(behaviour, scenario(), json!({}));
    story.speak(5, 60);
    let mut chunks = Vec::new();
    for seen in &story.seen {
        if let Observation::AudioChunk { at_ms, samples } = seen {
            chunks.push((*at_ms, samples.len(), samples[0]));
        }
    }
    assert_eq!(chunks, [(0, 320, 5), (20, 320, 5), (40, 320, 5)]);
}
