//! Sessions of the load model by a clock of their own: what they answer, and what they count.

use base64::engine::general_purpose::STANDARD;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::audio::resample::Resampler;
use crate::audio::{Rate, g711};
use crate::load::model::Snapshot;
use crate::load::sound::{self, Dice, FRAME, FRAME_TIME, PLACES, SPEECH};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// A session, the time, and what it said so far.
struct Connection {
    house: Arc<House>,
    session: Session,
    resampler: Resampler,
    start: Instant,
    now: Instant,
    said: Vec<(Duration, Value)>,
    closed: Option<(u16, &'static str)>,
}

impl Connection {
    fn new() -> Self {
        let (house, start) = (Arc::new(House::new()), Instant::now());
        Self {
            session: Session::new(Arc::clone(&house)),
            house,
            resampler: Resampler::new(Rate::LINE, Rate::MODEL_IN),
            start,
            now: start,
            said: Vec::new(),
            closed: None,
        }
    }

    fn set_up(model: &str) -> Self {
        let mut connection = Self::new();
        connection.tell(&json!({ "setup": { "model": model, "generationConfig": {} } }));
        assert_eq!(connection.words(), ["setupComplete", "sessionResumptionUpdate"]);
        connection.said.clear();
        connection
    }

    fn tell(&mut self, message: &Value) {
        self.session.handle_message(message.to_string().as_bytes(), self.now);
        self.listen();
    }

    fn listen(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Send(bytes) => {
                    self.said.push((self.now - self.start, serde_json::from_slice(&bytes).unwrap()));
                }
                Output::Close(code, reason) => {
                    self.closed.get_or_insert((code, reason));
                }
            }
        }
    }

    /// Time goes on for so long; what is due is said.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.session.poll_timeout().filter(|due| *due <= end) {
            self.now = due;
            self.session.handle_timeout(due);
            self.listen();
        }
        self.now = end;
    }

    /// 20 ms later this frame of the line has come so many times.
    fn send(&mut self, frame: &[u8; FRAME], copies: usize) {
        self.pass(FRAME_TIME);
        let line: Vec<_> = frame.iter().map(|&byte| g711::decode(byte)).collect();
        for _ in 0..copies {
            let mut samples = Vec::new();
            self.resampler.push(&line, &mut samples);
            let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
            let blob = json!({ "mimeType": "audio/pcm;rate=16000", "data": STANDARD.encode(bytes) });
            self.tell(&json!({ "realtimeInput": { "audio": blob } }));
        }
    }

    fn quiet(&mut self, frames: usize) {
        (0..frames).for_each(|number| self.send(&sound::noise(&mut Dice::new(number as u64)), 1));
    }

    fn speak(&mut self, frames: usize) {
        let loud = [(); FRAME].map(|()| g711::encode(SPEECH * 3));
        (0..frames).for_each(|_| self.send(&loud, 1));
    }

    fn probe(&mut self, place: usize) {
        for frame in sound::probe(place, &mut Dice::new(7)) {
            self.send(&frame, 1);
        }
    }

    /// What was said, in a word each.
    fn words(&self) -> Vec<&str> {
        self.said.iter().map(|(_, message)| word(message)).collect()
    }

    /// When this was said first.
    fn when(&self, what: &str) -> Option<Duration> {
        self.said.iter().find(|(_, message)| word(message) == what).map(|(at, _)| *at)
    }

    /// How much sound was said.
    fn sounded(&self) -> Duration {
        let samples = self.said.iter().filter_map(|(_, message)| {
            let part = &message["serverContent"]["modelTurn"]["parts"][0];
            Some(STANDARD.decode(part["inlineData"]["data"].as_str()?).unwrap().len() as u32 / 2)
        });
        Duration::from_secs(1) * samples.sum::<u32>() / 24_000
    }

    fn counts(&self) -> Snapshot {
        self.house.stats.snapshot()
    }
}

/// The part of a message that says what it is.
fn word(message: &Value) -> &str {
    let content = &message["serverContent"];
    let parts = ["modelTurn", "inputTranscription", "interrupted", "generationComplete", "turnComplete"];
    if let Some(part) = parts.into_iter().find(|part| !content[*part].is_null()) {
        return part;
    }
    if let Some(kind) = message["voiceActivity"]["type"].as_str() {
        return kind;
    }
    message.as_object().unwrap().keys().next().unwrap()
}

#[test]
fn a_session_is_set_up_once() {
    let mut connection = Connection::set_up("models/load");
    assert_eq!((connection.counts().sessions, connection.closed), (1, None));
    connection.tell(&json!({ "setup": { "model": "models/load" } }));
    assert_eq!(connection.closed.unwrap().0, 1007);
    assert_eq!(connection.counts().sessions, 1);
}

#[rstest]
#[case::no_json("hello", "Invalid JSON payload received.")]
#[case::audio_first(r#"{"realtimeInput":{"audio":{"data":""}}}"#, "setup must be the first message")]
#[case::content_first(r#"{"clientContent":{"turns":[]}}"#, "setup must be the first message")]
#[case::nothing("{}", "setup must be the first message")]
fn a_session_without_a_setup_is_closed(#[case] message: &str, #[case] reason: &str) {
    let mut connection = Connection::new();
    connection.session.handle_message(message.as_bytes(), connection.now);
    connection.listen();
    let (code, found) = connection.closed.unwrap();
    assert!(code == 1007 && found.starts_with(reason), "{code} {found}");
    assert_eq!((connection.said.len(), connection.counts().sessions), (0, 0));
}

#[test]
fn sound_that_is_no_base64_closes_the_session_and_content_does_not() {
    let mut connection = Connection::set_up("models/load");
    connection.tell(&json!({ "clientContent": { "turns": [], "turnComplete": true } }));
    assert_eq!(connection.closed, None);
    connection.tell(&json!({ "realtimeInput": { "audio": { "data": "*" } } }));
    assert_eq!(connection.closed.unwrap(), (1007, "Base64 decoding failed"));
    assert_eq!(connection.counts().frames, 0);
}

#[test]
fn a_text_is_greeted_as_the_real_service_would() {
    let mut connection = Connection::set_up("models/load");
    connection.tell(&json!({ "realtimeInput": { "text": "The call is connected." } }));
    connection.pass(THINK - MS(1));
    assert_eq!(connection.said.len(), 0);
    connection.pass(MS(3000));
    assert_eq!((connection.when("modelTurn"), connection.sounded()), (Some(THINK), MS(1000)));
    let words: Vec<_> = connection.words().into_iter().filter(|word| *word != "modelTurn").collect();
    assert_eq!(words, ["generationComplete", "turnComplete", "sessionResumptionUpdate"]);
    // The first two come together, the others at four times real time; the turn is over when it has been heard.
    let steps: Vec<_> = connection.said.iter().map(|(at, _)| (*at - THINK).as_millis()).collect();
    assert_eq!(steps, [0, 0, 50, 100, 150, 150, 800, 800]);
    assert_eq!((connection.counts().replies, connection.session.poll_timeout()), (1, None));
}

#[test]
fn a_turn_is_answered_when_it_is_over() {
    let mut connection = Connection::set_up("models/load");
    connection.quiet(10);
    connection.speak(30);
    assert_eq!(connection.words(), ["ACTIVITY_START"]);
    // Of 500 ms of quiet.
    connection.quiet(24);
    assert_eq!(connection.words().len(), 1);
    connection.quiet(2);
    assert_eq!(connection.words()[1..], ["inputTranscription", "ACTIVITY_END"]);
    let over = connection.when("ACTIVITY_END").unwrap();
    connection.quiet(200);
    assert_eq!(connection.when("modelTurn"), Some(over + THINK));
    assert_eq!((connection.sounded(), connection.closed), (MS(3000), None));
    let Snapshot { frames, probes, replies, interrupted, .. } = connection.counts();
    assert_eq!((frames, probes, replies, interrupted), (266, 0, 1, 0));
}

#[rstest]
#[case::given(600, &["ACTIVITY_START", "interrupted", "turnComplete"], 1)]
#[case::thought_of(100, &["ACTIVITY_START"], 0)]
#[case::given_to_its_end(3500, &["ACTIVITY_START"], 0)]
fn speech_interrupts_an_answer_that_is_given(
    #[case] after: u64,
    #[case] expected: &[&str],
    #[case] interrupted: u64,
) {
    let mut connection = Connection::set_up("models/load");
    connection.quiet(10);
    connection.speak(20);
    while connection.when("ACTIVITY_END").is_none() {
        connection.quiet(1);
    }
    connection.quiet(after as usize / 20);
    connection.said.clear();
    connection.speak(4);
    let words: Vec<_> = connection.words().into_iter().filter(|word| *word != "modelTurn").collect();
    assert_eq!((words, connection.counts().interrupted), (expected.to_vec(), interrupted));
    // Nothing more of it comes.
    assert_eq!(connection.session.poll_timeout(), None);
}

#[test]
fn a_probe_is_answered_in_the_same_breath_and_is_no_turn() {
    let mut connection = Connection::set_up("models/load");
    connection.quiet(10);
    connection.probe(7);
    assert_eq!(connection.words(), ["modelTurn", "generationComplete", "turnComplete"]);
    assert_eq!((connection.said[0].0, connection.sounded()), (FRAME_TIME * 11, MS(40)));
    connection.quiet(100);
    assert_eq!((connection.said.len(), connection.counts().probes, connection.counts().replies), (3, 1, 0));
}

#[rstest]
#[case::whole(1, 0, 0)]
#[case::lost(0, 160, 0)]
#[case::doubled(2, 0, 160)]
fn what_becomes_of_a_frame_of_the_caller_is_counted(
    #[case] copies: usize,
    #[case] lost: u64,
    #[case] doubled: u64,
) {
    let mut connection = Connection::set_up("models/load");
    connection.quiet(20);
    connection.probe(2);
    connection.quiet(40);
    connection.send(&sound::noise(&mut Dice::new(1)), copies);
    // Of 140 frames, 14 tenths.
    connection.quiet(96);
    let nothing = connection.counts();
    assert_eq!((nothing.uplink_samples, nothing.uplink_lost_samples), (0, 0));
    connection.probe((2 + 14) % PLACES);
    connection.quiet(10);
    let counts = connection.counts();
    assert_eq!((counts.probes, counts.uplink_samples), (2, 140 * 160));
    assert_eq!((counts.uplink_lost_samples, counts.uplink_doubled_samples), (lost, doubled));
}

#[test]
fn a_session_of_the_refused_model_is_closed_after_the_first_turn() {
    let mut connection = Connection::set_up(&format!("models/{REFUSED_MODEL}"));
    connection.quiet(10);
    connection.speak(20);
    assert_eq!(connection.closed, None);
    connection.quiet(30);
    assert_eq!(connection.closed, Some(REFUSAL));
    assert_eq!(connection.session.poll_timeout(), None);
    assert_eq!((connection.when("inputTranscription"), connection.counts().sessions), (None, 1));
}

#[test]
fn a_model_that_is_late_says_all_that_is_due_and_how_late_it_was() {
    let mut connection = Connection::set_up("models/load");
    connection.tell(&json!({ "realtimeInput": { "text": "The call is connected." } }));
    connection.now = connection.start + THINK + MS(55);
    connection.session.handle_timeout(connection.now);
    connection.listen();
    assert_eq!(connection.words(), ["modelTurn"; 3]);
    let late: Vec<_> = connection.counts().lateness;
    let late: Vec<_> = late.iter().map(|(us, count)| (us / 1000, *count)).collect();
    assert_eq!(late, [(5, 1), (55, 2)]);
    // Told once.
    assert_eq!(connection.counts().lateness, []);
}
