//! Function calls: parallel ones, ones that the model does not wait for, results that nobody asked for.

use super::*;

/// The caller has said the first thing, which makes the model call.
fn called(personality: Personality, scenario: Scenario, behavior: &str) -> Story {
    let behaviour = Behaviour { personality, ..Behaviour::default() };
    let mut story = Story::ready(behaviour, scenario, declared(behavior));
    story.speak(3000, 200);
    story.speak(0, 840);
    story
}

impl Story {
    fn calls(&self) -> Vec<Value> {
        let called = self.messages.iter().filter_map(|message| message.pointer("/toolCall/functionCalls"));
        called.flat_map(|calls| calls.as_array().unwrap().clone()).collect()
    }

    fn result(&mut self, call: usize, scheduling: &str) {
        let id = self.calls()[call]["id"].clone();
        let response = json!({"id": id, "name": "lookup", "response": {}, "scheduling": scheduling});
        self.log.clear();
        self.send(json!({"toolResponse": {"functionResponses": [response]}}));
    }
}

fn with_filler() -> Scenario {
    let mut scenario = with_call();
    scenario.turns[0].filler = Some(utterance("Let me see.", 3000));
    scenario
}

#[rstest]
#[case::silent("SILENT", &["A", "generationComplete", "turnComplete"], 3000)]
#[case::when_idle("WHEN_IDLE", &["A", "generationComplete", "turnComplete", "A", "generationComplete", "turnComplete"], 4900)]
#[case::interrupt("INTERRUPT", &["interrupted", "turnComplete", "A", "generationComplete", "turnComplete"], 2000)]
fn a_result_is_spoken_of_when_its_scheduling_says(
    #[case] scheduling: &str,
    #[case] expected: &[&str],
    #[case] spoken_ms: usize,
) {
    let mut story = called(Personality::Live38, with_filler(), "NON_BLOCKING");
    assert!(story.entries().contains(&"A"), "the model talks on: {:?}", story.log);
    story.result(0, scheduling);
    story.run(6000);
    assert_eq!(story.entries(), expected);
    let spoken = story.audio.len() / 48;
    assert!(spoken >= spoken_ms && spoken < spoken_ms + 800, "{spoken} ms");
}

#[rstest]
#[case::v3_8_by_default(Personality::Live38, "UNSPECIFIED", false)]
#[case::v3_8_blocking(Personality::Live38, "BLOCKING", true)]
#[case::v3_1_waits_anyway(Personality::Flash31, "NON_BLOCKING", true)]
#[case::v2_5_by_default(Personality::Native25, "UNSPECIFIED", true)]
#[case::v2_5_non_blocking(Personality::Native25, "NON_BLOCKING", false)]
#[case::vertex(Personality::VertexHalfCascade, "NON_BLOCKING", true)]
fn a_family_waits_for_results_or_not(
    #[case] personality: Personality,
    #[case] behavior: &str,
    #[case] waits: bool,
) {
    let mut story = called(personality, with_call(), behavior);
    story.run(60_000);
    assert_eq!(story.entries().contains(&"turnComplete"), !waits, "{:?}", story.log);
}

#[test]
fn parallel_calls_are_answered_when_all_results_are_there() {
    let mut scenario = with_call();
    let call = scenario.turns[0].calls[0].clone();
    scenario.turns[0].calls = vec![call.clone(), call.clone(), call];
    let mut story = called(Personality::Native25, scenario, "BLOCKING");
    assert_eq!(story.calls().len(), 3);
    for call in [2, 0] {
        story.result(call, "WHEN_IDLE");
        story.run(2000);
        assert_eq!(story.log, []);
    }
    story.result(1, "WHEN_IDLE");
    story.run(4000);
    assert_eq!(story.entries(), ["modelTurn", "A", "generationComplete", "turnComplete"]);
}

#[test]
fn a_result_that_will_continue_is_not_the_last() {
    let mut story = called(Personality::Live38, with_call(), "NON_BLOCKING");
    let id = story.calls()[0]["id"].clone();
    story.run(1000);
    story.log.clear();
    let response = json!({"id": id, "name": "lookup", "response": {}, "willContinue": true});
    story.send(json!({"toolResponse": {"functionResponses": [response]}}));
    story.run(3000);
    assert_eq!(story.log, []);
    story.result(0, "WHEN_IDLE");
    story.run(4000);
    assert_eq!(story.entries(), ["A", "generationComplete", "turnComplete"]);
}

#[test]
fn a_result_of_a_call_that_was_never_made_is_an_error() {
    let mut story = called(Personality::Live38, with_call(), "BLOCKING");
    let response = json!({"id": "another", "name": "lookup", "response": {}});
    story.send(json!({"toolResponse": {"functionResponses": [response]}}));
    assert_eq!(story.close_reason(), "1007 Request contains an invalid argument.");
}

#[test]
fn a_result_of_a_cancelled_call_is_ignored() {
    let mut story = called(Personality::Flash31, with_call(), "BLOCKING");
    story.speak(3000, 60);
    assert!(story.entries().contains(&"toolCallCancellation"));
    story.result(0, "WHEN_IDLE");
    assert_eq!(story.log, []);
}

#[test]
fn code_execution_is_refused() {
    let mut story = Story::of(Behaviour::default(), scenario());
    story.send(json!({"setup": {"model": "m", "tools": [{"codeExecution": {}}]}}));
    assert_eq!(story.close_reason(), "1007 Code Execution tool is not supported for this model.");
}
