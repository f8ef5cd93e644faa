//! Stories of one connection, on a clock that only moves when told.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rstest::rstest;
use serde_json::{Value, json};

use super::super::behaviour::{SilentStart, Split};
use super::super::{Call, Credential, Ending, Service, Turn, Utterance};
use super::*;
use crate::secret::Secret;

mod faults;
mod recovery;
mod tools;

/// A client and the machine, with what came out: the millisecond and what it was.
struct Story {
    session: Session,
    start: Instant,
    now: u64,
    log: Vec<(u64, String)>,
    audio: Vec<u8>,
    messages: Vec<Value>,
    seen: Vec<Observation>,
}

fn arrival(behaviour: Behaviour, scenario: Scenario) -> Arrival {
    Arrival {
        behaviour: behaviour.into(),
        scenario: scenario.into(),
        admission: admission(),
        registry: Registry::default(),
        connection: 1,
        seed: 1,
    }
}

fn admission() -> Admission {
    let credential = Credential::Key(Secret::new("k"));
    Admission { service: Service::Dev, version: "v1beta".to_owned(), credential }
}

fn utterance(text: &str, ms: usize) -> Utterance {
    Utterance { text: text.to_owned(), samples: (0..ms * 24).map(|n| n as i16).collect() }
}

fn turn(heard: &str, text: &str, ms: usize) -> Turn {
    Turn { heard: heard.to_owned(), say: vec![utterance(text, ms)], ..Turn::default() }
}

fn scenario() -> Scenario {
    Scenario {
        greeting: Some(utterance("Good day.", 380)),
        turns: vec![turn("First thing.", "One two.", 1900), turn("Second thing.", "Three.", 380)],
        ending: Ending::Silence,
    }
}

impl Story {
    fn of(behaviour: Behaviour, scenario: Scenario) -> Self {
        Self::arriving(arrival(behaviour, scenario))
    }

    fn arriving(arrival: Arrival) -> Self {
        let session = Session::new(arrival);
        let (log, audio, messages, seen) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut story = Self { session, start: Instant::now(), now: 0, log, audio, messages, seen };
        story.drain();
        story
    }

    /// A conversation of this family at the time of its `setupComplete`, with an empty log.
    fn live(personality: Personality) -> Self {
        Self::ready(Behaviour { personality, ..Behaviour::default() }, scenario(), json!({}))
    }

    fn ready(behaviour: Behaviour, scenario: Scenario, config: Value) -> Self {
        let mut story = Self::of(behaviour, scenario);
        let mut setup = json!({"setup": {"model": "models/gemini-3.8-live"}});
        for (name, value) in config.as_object().unwrap() {
            setup["setup"][name] = value.clone();
        }
        story.send(setup);
        story.run(800);
        assert!(matches!(story.session.phase, Phase::Live(_)), "{:?}", story.log);
        story.log.clear();
        story
    }

    fn send(&mut self, message: Value) {
        self.session.handle_message(message.to_string().as_bytes(), self.instant());
        self.drain();
    }

    /// Real-time audio in 20 ms chunks.
    fn speak(&mut self, level: i16, ms: u64) {
        for _ in 0..ms / 20 {
            let bytes: Vec<u8> = (0..320).flat_map(|n| (level * [1, -1][n % 2]).to_le_bytes()).collect();
            let data = STANDARD.encode(bytes);
            self.send(
                json!({"realtimeInput": {"audio": {"mimeType": "audio/pcm;rate=16000", "data": data}}}),
            );
            self.run(20);
        }
    }

    /// Lets time pass.
    fn run(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some(due) = self.session.poll_timeout().map(|due| due - self.start) {
            // Like a real timer it fires at the next whole millisecond.
            let due = due.as_micros().div_ceil(1000) as u64;
            if due > end {
                break;
            }
            self.now = due.max(self.now);
            self.session.handle_timeout(self.instant());
            self.drain();
        }
        self.now = end;
    }

    fn instant(&self) -> Instant {
        self.start + Duration::from_millis(self.now)
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Message(text) => {
                    let message: Value = serde_json::from_str(&text).unwrap();
                    let entry = self.summary(&message);
                    self.messages.push(message);
                    self.log.push((self.now, entry));
                }
                Output::Close { code, reason } => self.log.push((self.now, format!("{code} {reason}"))),
                Output::Break(how) => self.log.push((self.now, format!("{how:?}"))),
                Output::Observed(observation) => self.seen.push(observation),
            }
        }
    }

    fn summary(&mut self, message: &Value) -> String {
        let content = &message["serverContent"];
        if let Some(data) = content.pointer("/modelTurn/parts/0/inlineData/data") {
            self.audio.extend(STANDARD.decode(data.as_str().unwrap()).unwrap());
            let words = content["outputTranscription"]["text"].as_str();
            return words.map_or_else(|| "A".to_owned(), |words| format!("A[{words}]"));
        }
        for (field, short) in [("inputTranscription", "heard"), ("outputTranscription", "says")] {
            if let Some(transcription) = content.get(field) {
                let text = transcription.get("text").and_then(Value::as_str);
                return format!("{short}:{}", text.map_or_else(|| transcription.to_string(), str::to_owned));
            }
        }
        if let Some(activity) = message.get("voiceActivity") {
            return format!("{} {}", activity["type"].as_str().unwrap(), activity["audioOffset"])
                .replace('"', "");
        }
        let (name, value) = match message.as_object().unwrap().iter().next() {
            None => return "{}".to_owned(),
            Some((name, value)) => (name, value),
        };
        match (name.as_str(), value.as_object().and_then(|value| value.keys().next())) {
            ("serverContent", Some(field)) if field == "groundingMetadata" => "turnComplete".to_owned(),
            ("serverContent", Some(field)) => field.clone(),
            (name, _) => name.to_owned(),
        }
    }

    /// The entries without their times, `{}` left out and audio messages in a row as one.
    fn entries(&self) -> Vec<&str> {
        let is_noise = |entry: &&str| matches!(*entry, "{}" | "serverContent");
        let entries = self.log.iter().map(|(_, entry)| entry.as_str()).filter(|entry| !is_noise(entry));
        let mut entries: Vec<_> = entries.collect();
        entries.dedup_by(|next, before| next == before && *next == "A");
        entries
    }

    fn at(&self, entry: &str) -> u64 {
        self.log
            .iter()
            .find(|(_, found)| found == entry)
            .unwrap_or_else(|| panic!("{entry}: {:?}", self.log))
            .0
    }

    fn close_reason(&self) -> &str {
        self.log.last().map_or("", |(_, entry)| entry.as_str())
    }
}

#[rstest]
#[case::live38(Personality::Live38, json!({}), &["setupComplete", "sessionResumptionUpdate"])]
#[case::native25(Personality::Native25, json!({}), &["setupComplete"])]
#[case::native25_asked(Personality::Native25, json!({"sessionResumption": {}}), &["setupComplete", "sessionResumptionUpdate"])]
#[case::vertex(Personality::VertexHalfCascade, json!({}), &["setupComplete"])]
fn setup_is_answered_after_the_delay(
    #[case] personality: Personality,
    #[case] config: Value,
    #[case] expected: &[&str],
) {
    let mut story = Story::of(Behaviour { personality, ..Behaviour::default() }, scenario());
    let mut setup = json!({"model": "m"});
    setup.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    story.send(json!({ "setup": setup }));
    story.run(799);
    assert_eq!(story.log, []);
    story.run(1);
    assert_eq!(story.entries(), expected);
    let has_id = story.messages[0]["setupComplete"].get("sessionId").is_some();
    assert_eq!(has_id, personality == Personality::VertexHalfCascade);
}

#[test]
fn setup_may_never_be_answered() {
    let mut story = Story::of(Behaviour { setup: SetupReply::Never, ..Behaviour::default() }, scenario());
    story.send(json!({"setup": {"model": "m"}}));
    story.run(600_000);
    assert_eq!(story.log, []);
}

const VOICE: &str = r#"{"generationConfig": {"speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Bob"}}}}}"#;
const TEXT: &str = r#"{"generationConfig": {"responseModalities": ["TEXT"]}}"#;
const LEVEL: &str = r#"{"generationConfig": {"thinkingConfig": {"thinkingLevel": "MINIMAL"}}}"#;
const BUDGET: &str = r#"{"generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}}"#;
const AFFECTIVE: &str = r#"{"generationConfig": {"enableAffectiveDialog": true}}"#;
const PROACTIVE: &str = r#"{"proactivity": {"proactiveAudio": true}}"#;

#[rstest]
#[case(Personality::Live38, VOICE, "1007 Requested voice 'Bob' is not available.")]
#[case(
    Personality::Live38,
    TEXT,
    "1007 The requested combination of response modalities (TEXT) is not supported by the model. m"
)]
#[case(Personality::VertexHalfCascade, TEXT, "setupComplete")]
#[case(Personality::Live38, LEVEL, "1007 Thinking level is not supported for this model.")]
#[case(Personality::Flash31, LEVEL, "setupComplete")]
#[case(Personality::VertexHalfCascade, BUDGET, "1007 Thinking level is not supported for this model.")]
#[case(Personality::Native25, BUDGET, "setupComplete")]
#[case(Personality::Flash31, AFFECTIVE, "1007 Request contains an invalid argument.")]
#[case(Personality::Native25, AFFECTIVE, "setupComplete")]
#[case(
    Personality::Live38,
    PROACTIVE,
    "1007 Invalid JSON payload received. Unknown name \"proactivity\" at 'setup': Cannot find field."
)]
#[case(
    Personality::Live38,
    r#"{"toolConfig": {}}"#,
    "1007 Invalid JSON payload received. Unknown name \"toolConfig\" at 'setup': Cannot find field."
)]
fn a_family_refuses_what_it_cannot_do(
    #[case] personality: Personality,
    #[case] config: &str,
    #[case] expected: &str,
) {
    let mut story = Story::of(Behaviour { personality, ..Behaviour::default() }, scenario());
    let mut setup: Value = serde_json::from_str(config).unwrap();
    setup["model"] = "m".into();
    story.send(json!({ "setup": setup }));
    story.run(800);
    assert_eq!(story.log[0].1, expected);
}

#[rstest]
#[case::none(Service::Dev, Credential::None, "1008 Method doesn't allow unregistered callers")]
#[case::wrong(Service::Dev, Credential::Key(Secret::new("x")), "1007 API key not valid.")]
#[case::right(Service::Dev, Credential::Key(Secret::new("k")), "setupComplete")]
#[case::vertex(Service::Vertex, Credential::Bearer(Secret::new("k")), "setupComplete")]
#[case::token(Service::Constrained, Credential::Token(Secret::new("k")), "setupComplete")]
#[case::token_on_the_wrong_path(Service::Dev, Credential::Token(Secret::new("k")), "1008")]
#[case::key_on_the_token_path(Service::Constrained, Credential::Key(Secret::new("k")), "1008")]
fn credentials_are_judged_after_setup(
    #[case] service: Service,
    #[case] credential: Credential,
    #[case] expected: &str,
) {
    let behaviour = Behaviour { keys: vec![Secret::new("k")], ..Behaviour::default() };
    let admission = Admission { service, version: "v1".to_owned(), credential };
    let mut story = Story::of(behaviour.clone(), scenario());
    story.session = Session::new(Arrival { admission, ..arrival(behaviour, scenario()) });
    story.run(1000);
    assert_eq!(story.log, [], "the socket opens");
    story.send(json!({"setup": {"model": "m"}}));
    story.run(800);
    assert!(story.log[0].1.starts_with(expected), "{:?}", story.log);
    assert!(story.log[0].1.len() <= 128);
}

#[rstest]
#[case::before_setup(&[json!({"realtimeInput": {"text": "a"}})], "1007 setup must be the first message and only the first")]
#[case::before_complete(&[json!({"setup": {"model": "m"}}), json!({"realtimeInput": {"text": "a"}})], "1007 Request contains an invalid argument.")]
#[case::two_setups(&[json!({"setup": {"model": "m"}}), json!({"setup": {"model": "m"}})], "1007 setup must be the first message and only the first")]
#[case::no_model(&[json!({"setup": {}})], "1007 Request contains an invalid argument.")]
#[case::no_json(&[json!(7)], "1007 Invalid value (TYPE_MESSAGE), 7")]
fn the_order_of_messages_is_enforced(#[case] messages: &[Value], #[case] expected: &str) {
    let mut story = Story::of(Behaviour::default(), scenario());
    for message in messages {
        story.send(message.clone());
    }
    story.send(json!({"nothing": "more is read"}));
    story.run(1000);
    assert_eq!(story.log, [(0, expected.to_owned())]);
}

#[rstest]
#[case(Personality::Live38, json!({"setup": {"model": "m"}}), "1007 setup must be the first message and only the first")]
#[case(Personality::Flash31, json!({"realtimeInput": {"mediaChunks": [{"mimeType": "audio/pcm", "data": ""}]}}), "1007 realtime_input.media_chunks is deprecated. Use audio, video, or text instead.")]
#[case(Personality::Native25, json!({"realtimeInput": {"mediaChunks": [{"mimeType": "audio/pcm", "data": ""}]}}), "")]
#[case(Personality::Live38, json!({"realtimeInput": {"activityStart": {}}}), "1007 Explicit activity control is not supported when automatic activity detection is enabled.")]
#[case(Personality::Live38, json!({"realtimeInput": {"audio": {"mimeType": "audio/ogg", "data": ""}}}), "1007 Invalid audio: expected 16khz s16le pcm, mono channel, or audio/pcm with its rate.")]
#[case(Personality::Live38, json!({"clientContent": {"turns": [{"parts": [{"text": "a"}]}]}}), "1007 Request contains an invalid argument.")]
#[case(Personality::Native25, json!({"clientContent": {"turns": [{"parts": [{"text": "a"}]}]}}), "")]
#[case(Personality::Native25, json!({"clientContent": {"turns": [{"role": "system"}]}}), "1007 Request contains an invalid argument.")]
#[case(Personality::Live38, json!({"contextUpdate": {"tools": {"tools": []}}}), "")]
fn a_running_session_refuses_what_it_cannot_take(
    #[case] personality: Personality,
    #[case] message: Value,
    #[case] expected: &str,
) {
    let mut story = Story::live(personality);
    story.send(message);
    assert_eq!(story.close_reason(), expected);
}

#[test]
fn affective_dialogue_on_3_8_opens_and_closes_at_the_first_message() {
    let mut story = Story::of(Behaviour::default(), scenario());
    story.send(json!({"setup": {"model": "m", "generationConfig": {"enableAffectiveDialog": true}}}));
    story.run(800);
    story.send(json!({"realtimeInput": {"text": "a"}}));
    assert_eq!(story.entries()[0], "setupComplete");
    assert_eq!(story.close_reason(), "1007 Request contains an invalid argument.");
}

#[test]
fn a_spoken_turn_of_3_8_is_answered_as_in_the_recordings() {
    let transcription = json!({"outputAudioTranscription": {}});
    let mut story = Story::ready(Behaviour::default(), scenario(), transcription);
    story.speak(0, 300);
    story.speak(3000, 1000);
    story.speak(0, 3000);
    let expected = [
        "ACTIVITY_START 0.300s",
        "heard:First thing.",
        "ACTIVITY_END 1.300s",
        // The words travel with the messages in the middle of which they are said.
        "A",
    ];
    assert_eq!(story.entries()[..4], expected);
    let first = story.at("A");
    assert_eq!(story.at("generationComplete") - first, 428, "10 messages at 47.5 ms");
    assert_eq!(story.at("turnComplete") - first, 1700, "1.9 s less 0.2 s");
    let expected: Vec<u8> = (0..1900 * 24).flat_map(|n| (n as i16).to_le_bytes()).collect();
    assert_eq!(story.audio, expected, "bit by bit");
    let spoken: String = story
        .messages
        .iter()
        .filter_map(|m| m["serverContent"]["outputTranscription"]["text"].as_str())
        .collect();
    assert_eq!(spoken, "One two.");
    let usage = &story.messages.iter().find(|message| message.get("usageMetadata").is_some()).unwrap()["usageMetadata"];
    assert_eq!(usage["responseTokenCount"], 47);
    assert!(story.log.iter().any(|(_, entry)| entry == "{}"), "{:?}", story.log);
}

#[rstest]
#[case::native25(Personality::Native25, &["heard: First", "heard: thing.", "modelTurn", "says:One two.", "A", "generationComplete", "turnComplete"])]
#[case::flash31(Personality::Flash31, &["ACTIVITY_START 0s", "heard:First thing.", "ACTIVITY_END 0.200s", "A", "A[One ]", "A", "A[two.]", "generationComplete", "turnComplete"])]
#[case::vertex(
    Personality::VertexHalfCascade,
    &["heard:{}", "heard: First", "heard: thing.", "heard:{\"finished\":true}", "says:{}", "says:One", "says: two.", "says:{\"finished\":true}", "A", "generationComplete", "turnComplete"]
)]
fn each_family_tells_words_in_its_own_way(#[case] personality: Personality, #[case] expected: &[&str]) {
    let config = json!({"inputAudioTranscription": {}, "outputAudioTranscription": {}});
    let mut story = Story::ready(Behaviour { personality, ..Behaviour::default() }, scenario(), config);
    story.speak(3000, 200);
    story.speak(0, 3000);
    assert_eq!(story.entries(), expected);
}

#[rstest]
#[case(Personality::Native25, None, "audio/pcm;rate=24000")]
#[case(Personality::Live38, Some("model"), "audio/pcm;rate=24000")]
#[case(Personality::VertexHalfCascade, Some("model"), "audio/pcm")]
fn each_family_labels_audio_in_its_own_way(
    #[case] personality: Personality,
    #[case] role: Option<&str>,
    #[case] mime_type: &str,
) {
    let mut story = Story::live(personality);
    story.send(json!({"realtimeInput": {"text": "Greet."}}));
    story.run(2000);
    let is_audio =
        |message: &&Value| message.pointer("/serverContent/modelTurn/parts/0/inlineData").is_some();
    let turn = &story.messages.iter().find(is_audio).unwrap()["serverContent"]["modelTurn"];
    assert_eq!(turn.get("role").and_then(Value::as_str), role);
    assert_eq!(turn["parts"][0]["inlineData"]["mimeType"], mime_type);
}

#[test]
fn a_barge_in_while_generating_skips_generation_complete() {
    let mut story = Story::live(Personality::Live38);
    story.send(json!({"clientContent": {"turns": [{"role": "user", "parts": [{"text": "Hi"}]}], "turnComplete": true}}));
    story.speak(0, 300);
    // The greeting is over in 0.38 s; the caller comes in at once.
    let mut story = story.after_first_turn_begins();
    story.speak(3000, 60);
    assert_eq!(story.entries(), ["A", "ACTIVITY_START 1.220s", "interrupted", "turnComplete"]);
    story.speak(3000, 600);
    story.speak(0, 1500);
    assert_eq!(
        story.entries()[4..],
        ["heard:Second thing.", "ACTIVITY_END 1.880s", "A", "generationComplete", "turnComplete"]
    );
}

impl Story {
    /// The caller has said the first thing and the answer has just begun; the log starts there.
    fn after_first_turn_begins(self) -> Self {
        let mut story = Self::live(self.session.arrival.behaviour.personality);
        story.speak(3000, 420);
        story.speak(0, 800);
        let begun = story.log.iter().position(|(_, entry)| entry == "A").expect("the answer has begun");
        story.log.drain(..begun);
        story
    }
}

#[test]
fn a_barge_in_during_the_playback_wait_comes_after_generation_complete() {
    let mut story = Story::live(Personality::Live38).after_first_turn_begins();
    story.speak(0, 600);
    story.speak(3000, 60);
    let expected = ["A", "generationComplete", "ACTIVITY_START 1.820s", "interrupted", "turnComplete"];
    assert_eq!(story.entries(), expected);
}

#[rstest]
#[case(SilentStart::Nothing, &["ACTIVITY_START 0s"])]
#[case(SilentStart::Interrupted, &["ACTIVITY_START 0s", "interrupted"])]
fn speech_with_nothing_to_interrupt_may_still_be_called_an_interruption(
    #[case] silence: SilentStart,
    #[case] expected: &[&str],
) {
    let behaviour = Behaviour { silence, ..Behaviour::default() };
    let mut story = Story::ready(behaviour, scenario(), json!({}));
    story.speak(3000, 60);
    assert_eq!(story.entries(), expected);
}

#[test]
fn stale_audio_may_follow_an_interruption() {
    let behaviour = Behaviour { stale: Duration::from_millis(300), ..Behaviour::default() };
    let mut story = Story::ready(behaviour, scenario(), json!({}));
    story.speak(3000, 200);
    story.speak(0, 820);
    story.speak(3000, 60);
    assert_eq!(story.entries()[3..], ["A", "ACTIVITY_START 1.020s", "interrupted", "A", "turnComplete"]);
}

#[test]
fn a_pause_in_the_middle_of_a_sentence_does_not_use_up_a_turn() {
    let mut story = Story::live(Personality::Live38);
    story.speak(3000, 200);
    story.speak(0, 600);
    story.speak(3000, 200);
    story.speak(0, 2500);
    let heard = story.entries().iter().filter(|entry| entry.starts_with("heard")).count();
    let turns = story.entries().iter().filter(|entry| **entry == "turnComplete").count();
    assert_eq!((heard, turns), (1, 1), "{:?}", story.log);
    assert!(!story.entries().contains(&"interrupted"), "there was nothing to interrupt");
}

#[test]
fn without_interruption_the_next_turn_is_answered_afterwards() {
    let config = json!({"realtimeInputConfig": {"activityHandling": "NO_INTERRUPTION"}});
    let mut story = Story::ready(Behaviour::default(), scenario(), config);
    story.speak(3000, 200);
    story.speak(0, 900);
    story.speak(3000, 200);
    story.speak(0, 4000);
    let expected = [
        "ACTIVITY_START 0s",
        "heard:First thing.",
        "ACTIVITY_END 0.200s",
        "A",
        "ACTIVITY_START 1.100s",
        "A",
        "generationComplete",
        "heard:Second thing.",
        "ACTIVITY_END 1.300s",
        "turnComplete",
        "A",
        "generationComplete",
        "turnComplete",
    ];
    assert_eq!(story.entries(), expected);
}

#[test]
fn with_manual_activity_only_the_window_counts() {
    let config = json!({"realtimeInputConfig": {"automaticActivityDetection": {"disabled": true}}});
    let mut story = Story::ready(Behaviour::default(), scenario(), config);
    story.speak(9000, 1000);
    assert_eq!(story.entries(), [""; 0], "audio outside the window is discarded");
    story.send(json!({"realtimeInput": {"activityStart": {}}}));
    story.speak(3000, 400);
    story.send(json!({"realtimeInput": {"activityEnd": {}}}));
    story.run(400);
    let expected = ["ACTIVITY_START 1s", "heard:First thing.", "ACTIVITY_END 1.400s", "A"];
    assert_eq!(story.entries(), expected);
    story.send(json!({"realtimeInput": {"activityStart": {}}}));
    assert_eq!(story.entries()[4..], ["ACTIVITY_START 1.400s", "interrupted", "turnComplete"]);
}

#[test]
fn the_end_of_the_audio_stream_ends_the_turn() {
    let mut story = Story::live(Personality::Live38);
    story.speak(3000, 400);
    story.send(json!({"realtimeInput": {"audioStreamEnd": true}}));
    story.run(300);
    assert_eq!(story.entries()[1..], ["heard:First thing.", "ACTIVITY_END 0.400s", "A"]);
}

#[rstest]
#[case::cuts(Personality::Live38, &["A", "interrupted", "turnComplete", "A"])]
#[case::waits(Personality::Native25, &["A"])]
fn text_in_mid_speech_cuts_or_waits(#[case] personality: Personality, #[case] expected: &[&str]) {
    let mut story = Story::live(personality).after_first_turn_begins();
    story.send(json!({"realtimeInput": {"text": "The caller pressed 1."}}));
    story.run(320);
    let found: Vec<_> = story.entries().into_iter().filter(|entry| *entry != "modelTurn").collect();
    assert_eq!(found, expected);
    story.run(4000);
    let turns = story.entries().iter().filter(|entry| **entry == "turnComplete").count();
    assert_eq!(turns, 2, "both are answered");
}

#[test]
fn text_before_the_caller_speaks_is_greeted_and_only_once() {
    let mut story = Story::live(Personality::Live38);
    story.send(json!({"realtimeInput": {"text": "Greet."}}));
    story.run(2000);
    assert_eq!(story.audio.len(), 380 * 48);
    let mut silent = Story::ready(Behaviour::default(), Scenario { greeting: None, ..scenario() }, json!({}));
    silent.send(json!({"realtimeInput": {"text": "Greet."}}));
    silent.run(2000);
    assert_eq!(silent.log, []);
    silent.speak(3000, 200);
    silent.speak(0, 1000);
    assert!(silent.entries().contains(&"heard:First thing."), "the script has not moved on");
}

#[rstest]
#[case::three(Personality::Live38, 0)]
#[case::two_five(Personality::Native25, 380 * 48)]
fn seeded_history_starts_a_reply_only_on_2_5(#[case] personality: Personality, #[case] bytes: usize) {
    let config = json!({"historyConfig": {"initialHistoryInClientContent": true}});
    let mut story = Story::ready(Behaviour { personality, ..Behaviour::default() }, scenario(), config);
    let turns = json!([{"role": "user", "parts": [{"text": "Hi"}]}]);
    story.send(json!({"clientContent": {"turns": turns}}));
    story.run(1000);
    story.send(json!({"clientContent": {"turns": turns, "turnComplete": true}}));
    story.run(1000);
    assert_eq!(story.audio.len(), bytes);
}

#[test]
fn content_on_3_1_is_refused_once_the_model_has_spoken() {
    let mut story = Story::live(Personality::Flash31);
    let content = json!({"clientContent": {"turns": [{"role": "user", "parts": [{"text": "Hi"}]}], "turnComplete": true}});
    story.send(content.clone());
    story.run(2000);
    assert_eq!(story.close_reason(), "turnComplete");
    story.send(content);
    assert_eq!(story.close_reason(), "1007 Request contains an invalid argument.");
}

#[test]
fn content_that_is_not_complete_stops_the_model() {
    let mut story = Story::live(Personality::Live38).after_first_turn_begins();
    story.send(json!({"clientContent": {"turnComplete": false}}));
    story.run(3000);
    assert_eq!(story.entries(), ["A", "interrupted", "turnComplete"]);
}

/// A setup that declares the function like this.
fn declared(behavior: &str) -> Value {
    json!({"tools": [{"functionDeclarations": [{"name": "lookup", "behavior": behavior}]}]})
}

fn with_call() -> Scenario {
    let args = json!({"order": 17}).as_object().unwrap().clone();
    let mut scenario = scenario();
    scenario.turns[0].calls = vec![Call { name: "lookup".to_owned(), args }];
    scenario
}

#[rstest]
#[case(Personality::Native25, &["toolCall", "modelTurn", "A", "generationComplete", "turnComplete"])]
#[case(Personality::Flash31, &["toolCall", "sessionResumptionUpdate", "A", "generationComplete", "turnComplete"])]
#[case(Personality::VertexHalfCascade, &["toolCall", "generationComplete", "turnComplete", "A", "generationComplete", "turnComplete"])]
fn an_answer_waits_for_the_result_of_its_call(#[case] personality: Personality, #[case] expected: &[&str]) {
    let behaviour = Behaviour { personality, ..Behaviour::default() };
    let mut story = Story::ready(behaviour, with_call(), json!({}));
    story.speak(3000, 200);
    story.speak(0, 5000);
    assert_eq!(story.close_reason(), "toolCall");
    let call = story.messages.last().unwrap()["toolCall"]["functionCalls"][0].clone();
    assert_eq!((&call["name"], &call["args"]), (&json!("lookup"), &json!({"order": 17})));
    let answer = |id: &Value| json!({"tool_response": {"function_responses": [{"id": id, "name": "lookup", "response": {}}]}});
    story.send(answer(&call["id"]));
    story.run(3000);
    let called = story.entries().iter().position(|entry| *entry == "toolCall").unwrap();
    assert_eq!(story.entries()[called..], *expected);
}

#[test]
fn a_barge_in_cancels_a_pending_call() {
    let mut story = Story::ready(Behaviour::default(), with_call(), declared("BLOCKING"));
    story.speak(3000, 200);
    story.speak(0, 2000);
    story.speak(3000, 60);
    let found = story.entries();
    assert_eq!(found[found.len() - 3..], ["toolCallCancellation", "interrupted", "turnComplete"]);
}

#[rstest]
#[case(Split::SampleFirst)]
#[case(Split::Odd)]
fn however_it_is_cut_the_audio_is_whole(#[case] split: Split) {
    let mut behaviour = Behaviour::default();
    behaviour.delivery.split = split;
    let mut story = Story::ready(behaviour, scenario(), json!({}));
    story.send(json!({"realtimeInput": {"text": "Greet."}}));
    story.run(2000);
    let expected: Vec<u8> = (0..380 * 24).flat_map(|n: i32| (n as i16).to_le_bytes()).collect();
    assert_eq!(story.audio, expected);
}

#[test]
fn a_text_model_answers_in_text() {
    let behaviour = Behaviour { personality: Personality::VertexHalfCascade, ..Behaviour::default() };
    let config = json!({"generationConfig": {"responseModalities": ["TEXT"]}});
    let mut story = Story::ready(behaviour, scenario(), config);
    story.send(json!({"realtimeInput": {"text": "Greet."}}));
    story.run(1000);
    assert_eq!(story.entries(), ["modelTurn", "modelTurn", "generationComplete", "turnComplete"]);
}

#[test]
fn the_probe_answers_in_the_same_breath() {
    let mut story = Story::ready(Behaviour::default(), Scenario::probe(), json!({}));
    story.speak(0, 100);
    let at = story.now;
    story.speak(9000, 40);
    let expected = ["A", "generationComplete", "turnComplete"].map(|entry| (at, entry.to_owned()));
    assert_eq!(story.log, expected);
    assert_eq!(story.audio.len(), 40 * 48);
}

#[test]
fn given_samples_are_said_at_every_turn() {
    let scenario = Scenario::echoing("beep", vec![7_i16; 2400]);
    let mut story = Story::ready(Behaviour::default(), scenario, json!({}));
    for _ in 0..3 {
        story.speak(3000, 200);
        story.speak(0, 1500);
    }
    assert_eq!(story.audio, [7, 0].repeat(3 * 2400));
}

#[test]
fn after_the_last_turn_it_listens_and_keeps_silent() {
    let mut story = Story::live(Personality::Live38);
    for _ in 0..2 {
        story.speak(3000, 200);
        story.speak(0, 3000);
    }
    story.log.clear();
    story.speak(3000, 200);
    story.speak(0, 3000);
    assert_eq!(story.entries(), ["ACTIVITY_START 6.400s", "ACTIVITY_END 6.600s"]);
}

#[test]
fn observations_follow_what_they_tell_of() {
    let mut session = Session::new(arrival(Behaviour::default(), scenario()));
    let now = Instant::now();
    session.handle_message(br#"{"setup": {"model": "m"}}"#, now);
    session.handle_timeout(now + Duration::from_secs(1));
    session.handle_message(br#"{"realtimeInput": {"text": "Hi"}}"#, now + Duration::from_secs(1));
    for _ in 0..20 {
        if let Some(due) = session.poll_timeout() {
            session.handle_timeout(due);
        }
    }
    session.handle_closed(Closing::Lost, now + Duration::from_secs(9));
    let is_handle = |text: &String| text.starts_with("handle issued");
    let observed: Vec<_> = std::iter::from_fn(|| session.poll_output())
        .filter_map(|output| match output {
            Output::Observed(observation) => Some(observation.to_string()),
            Output::Message(_) | Output::Close { .. } | Output::Break(_) => None,
        })
        .filter(|text| !is_handle(text))
        .collect();
    let expected = [
        "connected",
        r#"setup received: {"setup": {"model": "m"}}"#,
        "setup complete",
        "text received: Hi",
        "answer started",
        "generation complete",
        "turn complete",
        "audio received: 0 samples",
        "closed by the client without a close frame",
    ];
    assert_eq!(observed, expected);
}
