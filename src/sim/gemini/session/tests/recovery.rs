//! Handles, resumption and seeds: stories of several connections that share a registry.

use super::super::super::{ContentUse, HandleFault, Handles, SeedTurn, UnknownHandle, WhileOpen};
use super::*;

/// What the connections of one server share.
struct World {
    behaviour: Behaviour,
    scenario: Scenario,
    registry: Registry,
    model: &'static str,
}

impl World {
    fn of(personality: Personality) -> Self {
        Self {
            behaviour: Behaviour { personality, ..Behaviour::default() },
            scenario: scenario(),
            registry: Registry::default(),
            model: "m",
        }
    }

    /// A connection with this resumption in its setup, `later` than the beginning of `before`.
    fn connect(&self, connection: u32, resumption: Value, before: Option<&Story>) -> Story {
        let mut story = Story::arriving(Arrival {
            registry: self.registry.clone(),
            connection,
            seed: u64::from(connection),
            ..arrival(self.behaviour.clone(), self.scenario.clone())
        });
        if let Some(before) = before {
            (story.start, story.now) = (before.start, before.now);
        }
        let mut setup = json!({"model": self.model, "sessionResumption": resumption});
        setup["tools"] = declared("UNSPECIFIED")["tools"].clone();
        story.send(json!({ "setup": setup }));
        story.run(800);
        story
    }
}

impl Story {
    fn handle(&self) -> String {
        let updates = self.messages.iter().rev();
        let handle = updates.filter_map(|message| message["sessionResumptionUpdate"]["newHandle"].as_str());
        handle.take(1).collect()
    }

    fn hang_up(&mut self) {
        self.session.handle_closed(Closing::Lost, self.instant());
    }

    fn take_turn(&mut self) {
        self.log.clear();
        self.speak(3000, 200);
        self.speak(0, 3000);
    }
}

#[rstest]
fn a_resumed_conversation_goes_on_where_it_was(
    #[values(
        Personality::Native25,
        Personality::Flash31,
        Personality::Live38,
        Personality::VertexHalfCascade
    )]
    personality: Personality,
) {
    let world = World::of(personality);
    let mut first = world.connect(1, json!({}), None);
    first.take_turn();
    assert_eq!(first.close_reason(), "sessionResumptionUpdate");
    first.hang_up();
    let mut second = world.connect(2, json!({"handle": first.handle()}), Some(&first));
    assert!(second.seen.contains(&Observation::HandleUsed(first.handle())));
    second.take_turn();
    assert_eq!(second.audio.len(), 380 * 48, "the second answer");
}

#[test]
fn a_resumed_conversation_is_not_greeted_again() {
    let world = World::of(Personality::Live38);
    let mut first = world.connect(1, json!({}), None);
    first.send(json!({"realtimeInput": {"text": "Greet."}}));
    first.run(2000);
    first.hang_up();
    let mut second = world.connect(2, json!({"handle": first.handle()}), Some(&first));
    second.run(5000);
    assert_eq!(second.audio.len(), 0, "it waits for input");
    second.send(json!({"realtimeInput": {"text": "Go on."}}));
    second.run(5000);
    assert_eq!(second.audio.len(), 1900 * 48, "the first answer, no greeting");
}

#[test]
fn an_answer_that_was_being_given_is_lost_with_its_end() {
    let world = World::of(Personality::Live38);
    let mut first = world.connect(1, json!({}), None);
    first.speak(3000, 200);
    first.speak(0, 820);
    assert_eq!(first.entries().last(), Some(&"A"));
    first.hang_up();
    let mut second = world.connect(2, json!({"handle": first.handle()}), Some(&first));
    second.log.clear();
    second.run(10_000);
    assert_eq!(second.log, []);
    second.take_turn();
    assert!(second.entries().contains(&"heard:First thing."), "the handle is older than that sentence");
}

#[rstest]
#[case::unknown(UnknownHandle::Invalid, "nonsense", 0, "1007 Invalid session handle")]
#[case::not_found(UnknownHandle::NotFound, "nonsense", 0, "1008 BidiGenerateContent session not found")]
#[case::expired(UnknownHandle::Invalid, "", 7_200_000, "1007 Invalid session handle")]
#[case::still_good(UnknownHandle::Invalid, "", 7_190_000, "sessionResumptionUpdate")]
fn a_handle_is_good_for_two_hours(
    #[case] unknown: UnknownHandle,
    #[case] handle: &str,
    #[case] later: u64,
    #[case] expected: &str,
) {
    let mut world = World::of(Personality::Live38);
    world.behaviour.handles = Handles { unknown, ..Handles::default() };
    let mut first = world.connect(1, json!({}), None);
    first.hang_up();
    first.now += later;
    let own = first.handle();
    let handle = if handle.is_empty() { own } else { handle.to_owned() };
    let second = world.connect(2, json!({"handle": handle}), Some(&first));
    assert_eq!(second.close_reason(), expected);
}

#[test]
fn a_handle_of_another_model_gets_setup_complete_and_1011_again_and_again() {
    let mut world = World::of(Personality::Native25);
    let mut first = world.connect(1, json!({}), None);
    first.hang_up();
    world.model = "another";
    for connection in 2..5 {
        let second = world.connect(connection, json!({"handle": first.handle()}), Some(&first));
        let entries = second.entries();
        assert_eq!(
            (entries[0], second.close_reason()),
            ("setupComplete", "1011 Internal error encountered.")
        );
        let refused = |seen: &Observation| {
            matches!(seen, Observation::HandleRefused { why: HandleFault::ForeignModel, .. })
        };
        assert!(second.seen.iter().any(refused));
    }
}

#[rstest]
#[case(WhileOpen::Refused, "1011 Internal error encountered.")]
#[case(WhileOpen::Taken, "sessionResumptionUpdate")]
fn a_handle_may_be_refused_while_its_connection_is_open(
    #[case] while_open: WhileOpen,
    #[case] expected: &str,
) {
    let mut world = World::of(Personality::Live38);
    world.behaviour.handles.while_open = while_open;
    let mut first = world.connect(1, json!({}), None);
    let second = world.connect(2, json!({"handle": first.handle()}), Some(&first));
    assert_eq!(second.close_reason(), expected);
    first.hang_up();
    let third = world.connect(3, json!({"handle": first.handle()}), Some(&first));
    assert_eq!(third.close_reason(), "sessionResumptionUpdate");
}

#[test]
fn a_half_open_connection_does_not_keep_its_handle() {
    let world = World::of(Personality::Live38);
    let mut first = world.connect(1, json!({}), None);
    first.session.handle_defect(Defect::HalfOpen, first.instant());
    let second = world.connect(2, json!({"handle": first.handle()}), Some(&first));
    assert_eq!(second.close_reason(), "sessionResumptionUpdate");
}

#[test]
fn no_handle_is_issued_while_2_5_speaks() {
    let world = World::of(Personality::Native25);
    let mut story = world.connect(1, json!({}), None);
    story.take_turn();
    let updates = story.messages.iter().filter_map(|message| message.get("sessionResumptionUpdate"));
    let updates: Vec<_> = updates.collect();
    assert_eq!((updates.len(), updates[1]), (3, &json!({})));
    let expected = ["sessionResumptionUpdate", "modelTurn", "A", "generationComplete", "turnComplete"];
    assert_eq!(story.entries()[..5], expected);
}

#[rstest]
#[case::answered_with_an_error(true, &["ACTIVITY_START 0s", "heard:Second thing.", "ACTIVITY_END 0.200s", "A", "generationComplete"])]
#[case::left_alone(false, &["ACTIVITY_START 0s", "heard:Second thing.", "ACTIVITY_END 0.200s", "turnComplete", "sessionResumptionUpdate"])]
fn a_resumed_3_8_is_stuck_on_the_calls_that_were_open(#[case] is_answered: bool, #[case] expected: &[&str]) {
    let mut world = World::of(Personality::Live38);
    world.scenario = with_call();
    let mut first = world.connect(1, json!({}), None);
    first.take_turn();
    let call = first.messages.iter().find_map(|message| message.pointer("/toolCall/functionCalls/0/id"));
    let call = call.unwrap().clone();
    let handle = first.handle();
    first.hang_up();
    let mut second = world.connect(2, json!({"handle": handle}), Some(&first));
    if is_answered {
        let response = json!({"id": call, "name": "lookup", "response": {"error": "lost"}});
        second.send(json!({"toolResponse": {"functionResponses": [response]}}));
    }
    second.take_turn();
    assert_eq!(second.entries()[..5], *expected);
}

#[rstest]
#[case(0, "2")]
#[case(1, "3")]
fn transparent_updates_number_the_messages_of_the_client(#[case] first_index: u64, #[case] last: &str) {
    let mut world = World::of(Personality::VertexHalfCascade);
    world.behaviour.handles.first_index = first_index;
    let mut story = world.connect(1, json!({"transparent": true}), None);
    story.send(json!({"realtimeInput": {"audioStreamEnd": true}}));
    story.send(json!({"realtimeInput": {"text": "Greet."}}));
    story.run(2000);
    let update = &story.messages.last().unwrap()["sessionResumptionUpdate"];
    assert_eq!(update["lastConsumedClientMessageIndex"], last);
}

#[test]
fn transparent_resumption_is_for_vertex_only() {
    let story = World::of(Personality::Live38).connect(1, json!({"transparent": true}), None);
    assert_eq!(story.close_reason(), "1007 Request contains an invalid argument.");
}

#[test]
fn a_seed_is_told_and_moves_the_script_to_where_it_ends() {
    let config = json!({"historyConfig": {"initialHistoryInClientContent": true}});
    let mut story = Story::ready(Behaviour::default(), scenario(), config);
    let said = |role: &str, text: &str| json!({"role": role, "parts": [{"text": text}]});
    let turns = [said("user", "First thing."), said("model", "One two.")];
    story.send(json!({"clientContent": {"turns": turns}}));
    story.send(json!({"clientContent": {"turns": [said("user", "Second thing.")], "turnComplete": true}}));
    story.run(3000);
    assert_eq!(story.log, [], "silent");
    let told = |role: &str, text: &str| SeedTurn { role: role.to_owned(), text: text.to_owned() };
    let first = vec![told("user", "First thing."), told("model", "One two.")];
    let last = vec![told("user", "Second thing.")];
    let (begin, end) = (ContentUse::History, ContentUse::EndOfHistory);
    for (usage, turns) in [(begin, first), (end, last)] {
        assert!(story.seen.contains(&Observation::ContentReceived { usage, turns }));
    }
    story.send(json!({"realtimeInput": {"text": " "}}));
    story.run(3000);
    assert_eq!(story.audio.len(), 380 * 48, "the second answer, no greeting");
}

#[rstest]
#[case(json!([{"role": "user", "parts": [{"text": "a"}]}, {"role": "model", "parts": [{"text": "b"}]}]))]
#[case(json!([{"role": "user", "parts": [{"functionCall": {"name": "f"}}]}]))]
fn a_seed_of_2_5_ends_with_the_user_and_has_no_calls(#[case] turns: Value) {
    let config = json!({"historyConfig": {"initialHistoryInClientContent": true}});
    let behaviour = Behaviour { personality: Personality::Native25, ..Behaviour::default() };
    let mut story = Story::ready(behaviour, scenario(), config);
    story.send(json!({"clientContent": {"turns": turns, "turnComplete": true}}));
    assert_eq!(story.close_reason(), "1007 Request contains an invalid argument.");
}
