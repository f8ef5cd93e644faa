//! Stories on the machine with a virtual clock.
#![allow(clippy::wildcard_enum_match_arm, reason = "what is not expected is printed")]

use crate::call::agent::Greeting;
use std::collections::BTreeMap;

use ::time::OffsetDateTime;
use rstest::rstest;

use super::record::{Entry, Turn};
use super::services::Endpoint;
use super::*;
use crate::audio::resample::Resampler;
use crate::audio::{Frame, Rate, g711};
use crate::carrier::{Close, Command, Malformed, Media, Numbers};
use crate::dialogue::Speaker;
use crate::id::LinkId;
use crate::live::failure::Failure;
use crate::time::WallClock;

mod floods;
mod invariants;
mod matrix;
mod recording;
mod recovery;
mod words;

/// The first connection of a call.
const LINK: LinkId = LinkId(1);

/// A call, its clock, and everything that came out of it.
struct World {
    call: Call,
    /// The newest connection that was dialled.
    link: LinkId,
    start: Instant,
    now: Instant,
    chunk: u64,
    outputs: Vec<(u64, Output)>,
}

impl World {
    fn new() -> Self {
        Self::with_agent(Agent { greeting: Greeting::None, ..Agent::default() })
    }

    fn with_agent(agent: Agent) -> Self {
        Self::with(agent, Services { endpoints: vec![Endpoint::default()], ..Services::default() })
    }

    fn with(agent: Agent, services: Services) -> Self {
        let start = Instant::now();
        let mut context = Context::unknown(OffsetDateTime::UNIX_EPOCH);
        context.call_sid = "CA1".into();
        context.account_sid = "AC1".into();
        context.prompt.clone_from(&agent.prompt);
        let mut ledger = Ledger::new(CallId::new(7), WallClock::new(start, OffsetDateTime::UNIX_EPOCH));
        ledger.entry(Record::Opened(Box::new(context.clone())), start);
        let admission = Admission { context, agent: Arc::new(agent), ledger };
        let call = Call::answer(admission, Arc::new(services), start);
        Self { call, link: LINK, start, now: start, chunk: 0, outputs: Vec::new() }
    }

    /// The stream has begun.
    fn started() -> Self {
        let mut world = Self::new();
        world.start_stream(start());
        world
    }

    /// The live session is set up; what led there is forgotten.
    fn ready() -> Self {
        let mut world = Self::started();
        world.live(live::Event::Opened);
        world.live(live::Event::SetupComplete { session_id: None });
        world.outputs.clear();
        world
    }

    fn start_stream(&mut self, start: Start) {
        self.carrier(carrier::Event::Connected);
        self.carrier(carrier::Event::Start(Box::new(start)));
    }

    fn carrier(&mut self, event: carrier::Event<'_>) {
        self.call.handle_carrier(event, self.now);
        self.collect();
    }

    fn live(&mut self, event: live::Event<'_>) {
        self.call.handle_live(self.link, event, self.now);
        self.collect();
    }

    /// A reply of this many milliseconds, all at once.
    fn speech(&mut self, ms: usize) {
        self.live(live::Event::Audio(&tone(ms * 24)));
    }

    /// 20 ms of the caller.
    fn caller(&mut self, samples: &[i16]) {
        self.chunk += 1;
        self.pass(20);
        let numbers = Numbers::of_chunk(Some(self.chunk));
        self.carrier(carrier::Event::Media(Media { numbers, rate: Rate::LINE, samples }));
    }

    /// Lets time pass: every timer fires when it is due.
    fn pass(&mut self, ms: u64) {
        let until = self.now + Duration::from_millis(ms);
        while let Some((at, _)) = self.call.poll_timeout().filter(|(at, _)| *at <= until) {
            self.now = self.now.max(at);
            self.call.handle_timeout(self.now);
            self.collect();
        }
        self.now = until;
    }

    fn collect(&mut self) {
        let ms = millis(self.now - self.start);
        while let Some(output) = self.call.poll_output() {
            if let Output::Dial { link, .. } = &output {
                self.link = *link;
            }
            self.outputs.push((ms, output));
        }
    }

    fn take(&mut self) -> Vec<(u64, Output)> {
        std::mem::take(&mut self.outputs)
    }

    fn records(&self) -> Vec<&Entry> {
        let record = |(_, output): &'_ (u64, Output)| matches!(output, Output::Record(_));
        self.outputs
            .iter()
            .filter(|output| record(output))
            .filter_map(|(_, output)| if let Output::Record(entry) = output { Some(entry) } else { None })
            .collect()
    }

    fn turns(&self) -> Vec<Turn> {
        self.records()
            .into_iter()
            .filter_map(
                |entry| if let Record::Turn(turn) = &entry.record { Some(turn.clone()) } else { None },
            )
            .collect()
    }

    fn events(&self) -> Vec<Event> {
        self.records()
            .into_iter()
            .filter_map(
                |entry| if let Record::Event(event) = &entry.record { Some(event.clone()) } else { None },
            )
            .collect()
    }

    /// The samples that went to the caller, with the time of each frame.
    fn heard(&self) -> Vec<i16> {
        self.frames().flat_map(|(_, frame)| frame.samples().to_vec()).collect()
    }

    fn frames(&self) -> impl Iterator<Item = (u64, &Frame)> {
        self.outputs.iter().filter_map(|(ms, output)| match output {
            Output::Carrier(Command::Media(frame)) => Some((*ms, frame)),
            _ => None,
        })
    }

    fn told_carrier(&self) -> Vec<&Command> {
        self.outputs
            .iter()
            .filter_map(
                |(_, output)| if let Output::Carrier(command) = output { Some(command) } else { None },
            )
            .collect()
    }

    fn told_live(&self) -> Vec<&live::Command> {
        self.outputs
            .iter()
            .filter_map(
                |(_, output)| if let Output::Live(_, command) = output { Some(command) } else { None },
            )
            .collect()
    }
}

fn start() -> Start {
    Start {
        stream_sid: "MZ1".into(),
        call_sid: "CA1".into(),
        account_sid: "AC1".into(),
        format: MediaFormat { encoding: "audio/x-mulaw".into(), sample_rate: 8000, channels: 1 },
        parameters: BTreeMap::from([("agent".into(), "default".into())]),
    }
}

fn tone(len: usize) -> Vec<i16> {
    (0..len).map(|n| (8000.0 * (n as f64 * 0.11).sin()) as i16).collect()
}

fn loud() -> Vec<i16> {
    (0..160).map(|n| if n % 8 < 4 { 5000 } else { -5000 }).collect()
}

fn closed(code: u16) -> live::Event<'static> {
    live::Event::Closed(Failure::Closed { code, reason: "x".into() })
}

#[test]
fn a_stream_that_starts_is_answered_and_the_model_is_dialled() {
    let world = World::started();
    let kinds: Vec<String> = world
        .outputs
        .iter()
        .map(|(_, output)| match output {
            Output::Record(entry) => match &entry.record {
                Record::Answered { stream_sid, parameters } => format!("{stream_sid} {parameters:?}"),
                Record::Event(event) => event.kind().to_owned(),
                other => format!("{other:?}"),
            },
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(
        kinds,
        [
            r#"MZ1 [("agent", "default")]"#,
            "live_dialled",
            "Dial { link: LinkId(1), endpoint: 0, is_last_tier: true }"
        ]
    );
}

#[test]
fn the_pipeline_prints_itself() {
    assert_eq!(
        World::new().call.pipeline(),
        "unknown(mulaw/8000) -> resample(8000->16000) -> live(gemini-3.8-live) -> resample(24000->8000) -> playout -> unknown"
    );
}

#[test]
fn the_model_greets_first_if_the_agent_says_so() {
    let mut world =
        World::with_agent(Agent { greeting: Greeting::Instruction("Greet.".into()), ..Agent::default() });
    world.start_stream(start());
    world.live(live::Event::Opened);
    assert!(matches!(world.told_live()[..], [live::Command::Setup(_)]), "nothing before setupComplete");
    world.caller(&loud());
    world.take();
    world.live(live::Event::SetupComplete { session_id: Some("s") });
    assert_eq!(world.told_live(), [&live::Command::Text("Greet.".into())]);
    let ready = Event::LiveReady {
        link: LINK,
        plan: "fresh",
        setup_ms: 20,
        gap_ms: None,
        session_id: Some("s".into()),
    };
    assert_eq!(world.events(), [ready, Event::AudioHeld { held_ms: 20 }]);
}

/// Whatever fails during the set-up: the carrier is told goodbye, the live side is closed, and the log ends with
/// the one terminal record, without a gap.
#[rstest]
#[case::no_start(|w: &mut World| w.pass(5000), "start_timeout", Close::Policy)]
#[case::stop_before_start(|w: &mut World| w.carrier(carrier::Event::Stop), "caller_hung_up", Close::Normal)]
#[case::gone_before_start(|w: &mut World| w.carrier(carrier::Event::Closed(None)), "carrier_closed", Close::Normal)]
#[case::another_call(|w: &mut World| w.start_stream(Start { call_sid: "CA2".into(), ..start() }), "stream_mismatch", Close::Policy)]
#[case::another_account(|w: &mut World| w.start_stream(Start { account_sid: "AC2".into(), ..start() }), "stream_mismatch", Close::Policy)]
#[case::another_format(
    |w: &mut World| w.start_stream(Start { format: MediaFormat { encoding: "audio/x-l16".into(), sample_rate: 16000, channels: 1 }, ..start() }),
    "format_unsupported", Close::Policy)]
#[case::hang_up_while_dialling(|w: &mut World| { w.start_stream(start()); w.carrier(carrier::Event::Stop) }, "caller_hung_up", Close::Normal)]
#[case::no_media_at_all(|w: &mut World| { w.start_stream(start()); w.live(live::Event::Opened); w.live(live::Event::SetupComplete { session_id: None }); w.pass(30_000) }, "carrier_silent", Close::Normal)]
#[case::shutdown_before_start(|w: &mut World| { let deadline = w.now; w.call.handle_control(Control::Drain { deadline }, w.now); w.collect() }, "drained", Close::GoingAway)]
#[case::defect(|w: &mut World| { w.call.abort(Ending::Panicked, w.now); w.collect() }, "panicked", Close::Internal)]
fn every_failure_of_the_set_up_leaves_a_complete_log(
    #[case] fail: fn(&mut World),
    #[case] code: &str,
    #[case] close: Close,
) {
    let mut world = World::new();
    fail(&mut world);
    assert_eq!(world.call.ending().map(Ending::code), Some(code));
    assert_eq!(world.call.poll_timeout(), None);
    let sequences: Vec<u32> = world.records().iter().map(|entry| entry.sequence).collect();
    assert_eq!(sequences, (1..=sequences.len() as u32).collect::<Vec<_>>());
    let ended: Vec<_> =
        world.records().iter().map(|entry| matches!(entry.record, Record::Ended(_))).collect();
    assert_eq!(ended.iter().filter(|is_end| **is_end).count(), 1);
    assert_eq!(ended.last(), Some(&true));
    assert_eq!(world.told_carrier(), [&Command::Close(close)]);
    let dialled = world.outputs.iter().any(|(_, output)| matches!(output, Output::Dial { .. }));
    assert_eq!(world.told_live().last() == Some(&&live::Command::Close), dialled, "dialled means closed");
}

#[test]
fn what_the_caller_says_reaches_the_model_and_the_log() {
    let mut world = World::ready();
    for n in 0..100 {
        world.caller(&if (25..60).contains(&n) { loud() } else { vec![0; 160] });
    }
    assert_eq!(world.told_live().len(), 100, "a frame for a frame");
    world.live(live::Event::InputTranscription(" Where is"));
    world.live(live::Event::InputTranscription(" my order?"));
    world.take();
    world.speech(200);
    world.pass(3000);
    let [turn] = &world.turns()[..] else { panic!("{:?}", world.turns()) };
    assert_eq!((turn.speaker, turn.text.as_str()), (Speaker::Caller, "Where is my order?"));
    let offset = |at: OffsetDateTime| (at - OffsetDateTime::UNIX_EPOCH).whole_milliseconds();
    assert_eq!((offset(turn.started_at), offset(turn.ended_at)), (500, 1200));
}

#[test]
fn an_answer_is_heard_in_real_time_and_logged_when_it_was_heard() {
    let mut world = World::ready();
    for n in 0..60 {
        world.caller(&if n < 25 { loud() } else { vec![0; 160] });
    }
    world.take();
    world.live(live::Event::OutputTranscription("Hello there."));
    world.speech(1000);
    world.live(live::Event::GenerationComplete);
    assert_eq!(world.frames().count(), 12, "240 ms at once");
    world.pass(790);
    assert_eq!(world.turns(), [], "not heard yet");
    world.live(live::Event::TurnComplete);
    world.pass(3000);
    let [turn] = &world.turns()[..] else { panic!("{:?}", world.turns()) };
    assert_eq!((turn.text.as_str(), turn.interrupted), ("Hello there.", false));
    assert_eq!(turn.latency_ms, Some(700), "speech ended at 0.5 s, the answer came at 1.2 s");
    assert_eq!((turn.ended_at - turn.started_at).whole_milliseconds(), 1005, "with the resampler's tail");
    assert!(matches!(world.told_carrier().last(), Some(Command::Mark(_))), "the end is marked");
}

/// When each frame of the caller left for the model, milliseconds.
fn left_for_model(world: &mut World) -> Vec<u64> {
    let audio = |(ms, output): (u64, Output)| {
        matches!(output, Output::Live(_, live::Command::Audio(_))).then_some(ms)
    };
    world.take().into_iter().filter_map(audio).collect()
}

/// A call in which nothing was said for long enough that silence may wait.
fn quiet() -> World {
    let mut world = World::ready();
    (0..6).for_each(|_| world.caller(&[0; 160]));
    world.take();
    world
}

#[test]
fn silence_leaves_four_frames_at_a_time_and_speech_at_once() {
    let mut world = quiet();
    (0..5).for_each(|_| world.caller(&[0; 160]));
    assert_eq!(left_for_model(&mut world), [200; 4]);
    world.caller(&loud());
    world.caller(&loud());
    assert_eq!(left_for_model(&mut world), [240, 240, 260], "with what waited before it");
}

#[test]
fn silence_that_waits_leaves_although_the_carrier_stops_sending() {
    let mut world = quiet();
    world.caller(&[0; 160]);
    world.caller(&[0; 160]);
    world.pass(1000);
    assert_eq!(left_for_model(&mut world), [220, 220]);
}

#[test]
fn silence_that_waits_leaves_before_what_the_model_is_told() {
    let mut world = quiet();
    world.caller(&[0; 160]);
    world.call.tell_live(live::Command::Text("Hello?".into()));
    world.collect();
    let told: Vec<_> = world.take().into_iter().map(|(_, output)| output).collect();
    assert!(
        matches!(
            told[..],
            [Output::Live(_, live::Command::Audio(_)), Output::Live(_, live::Command::Text(_))]
        ),
        "{told:?}"
    );
}

#[test]
fn silence_that_waits_is_not_sent_to_another_session() {
    let mut world = quiet();
    world.caller(&[0; 160]);
    world.live(live::Event::Closed(Failure::Closed { code: 1011, reason: "x".into() }));
    world.pass(200);
    assert_eq!(left_for_model(&mut world), [] as [u64; 0]);
}

#[test]
fn every_sample_of_an_answer_reaches_the_caller_whatever_the_message_sizes() {
    let mut world = World::ready();
    let samples = tone(24_000 * 3 + 7);
    let mut reference = Vec::new();
    let mut resampler = Resampler::new(Rate::MODEL_OUT, Rate::LINE);
    resampler.push(&samples, &mut reference);
    resampler.flush(&mut reference);
    // It waits as it will be on the line.
    let reference: Vec<_> = reference.iter().map(|sample| g711::decode(g711::encode(*sample))).collect();
    let mut rest = &samples[..];
    for len in [1, 479, 2, 4561, 10_000, 33, 480, 20_000].into_iter().cycle() {
        let (message, later) = rest.split_at(rest.len().min(len));
        world.live(live::Event::Audio(message));
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    world.live(live::Event::GenerationComplete);
    world.live(live::Event::TurnComplete);
    world.pass(5000);
    assert_eq!(world.heard(), reference);
}

#[test]
fn an_interruption_clears_at_once_and_nothing_stale_follows() {
    let mut world = World::ready();
    world.live(live::Event::OutputTranscription("One two three four five six seven eight nine ten."));
    world.speech(4000);
    world.live(live::Event::GenerationComplete);
    world.pass(1000);
    world.take();
    world.live(live::Event::Interrupted);
    assert_eq!(world.told_carrier(), [&Command::Clear]);
    assert_eq!(world.events(), [Event::Interrupted { heard_ms: 1000, cleared_ms: 3005 }]);

    world.take();
    world.live(live::Event::OutputTranscription(" stale words"));
    world.speech(500);
    world.live(live::Event::Interrupted);
    world.live(live::Event::TurnComplete);
    world.pass(1000);
    assert_eq!(world.take(), [], "stale audio, words and repetitions change nothing");

    world.live(live::Event::OutputTranscription("A new answer."));
    world.speech(100);
    world.live(live::Event::GenerationComplete);
    world.live(live::Event::TurnComplete);
    assert!(world.frames().count() > 0);
    world.pass(5000);
    let [cut, answer] = &world.turns()[..] else { panic!("{:?}", world.turns()) };
    assert!(cut.text.starts_with("One two") && !cut.text.contains("four") && cut.interrupted, "{cut:?}");
    assert_eq!((answer.text.as_str(), answer.interrupted), ("A new answer.", false));
}

#[test]
fn an_interruption_after_the_turn_or_without_one_does_not_swallow_the_next_answer() {
    let mut world = World::ready();
    world.speech(1000);
    world.live(live::Event::GenerationComplete);
    world.live(live::Event::TurnComplete);
    world.pass(500);
    world.take();
    world.live(live::Event::Interrupted);
    assert_eq!(world.told_carrier(), [&Command::Clear], "its last half second was still playing");
    world.live(live::Event::Interrupted);
    world.speech(100);
    assert!(world.frames().count() > 0);
}

#[test]
fn an_interrupted_turn_that_is_never_completed_is_given_up_after_two_and_a_half_seconds() {
    let mut world = World::ready();
    world.speech(1000);
    world.live(live::Event::Interrupted);
    world.take();
    world.pass(2499);
    world.speech(100);
    assert_eq!(world.frames().count(), 0);
    world.pass(1);
    world.speech(100);
    assert!(world.frames().count() > 0);
}

#[test]
fn events_of_another_connection_are_dropped_at_the_door() {
    let mut world = World::ready();
    let now = world.now;
    world.call.handle_live(LinkId(2), live::Event::Audio(&tone(4800)), now);
    world.call.handle_live(LinkId(2), closed(1011), now);
    world.collect();
    assert_eq!(world.take(), []);
}

#[test]
fn a_tool_call_is_answered_with_a_clear_error() {
    let mut world = World::ready();
    world.live(live::Event::ToolCall(live::ToolCall { id: Some("fc_1"), name: "lookup", args: "{}" }));
    let message = r#"There is no tool "lookup". Go on without it."#.to_owned();
    let error = live::Command::ToolError { id: Some("fc_1".into()), name: "lookup".into(), message };
    assert_eq!(world.told_live(), [&error]);
    assert_eq!(world.events(), [Event::ToolRefused { name: "lookup".into() }]);
}

#[test]
fn keys_are_logged_one_by_one_and_told_to_the_model_as_one_entry() {
    let mut world = World::ready();
    for digit in "4152#".chars() {
        world.carrier(carrier::Event::Dtmf(digit));
    }
    assert_eq!(world.events().len(), 5);
    assert_eq!(world.told_live(), [&live::Command::Text("The caller pressed 4152# on the keypad.".into())]);
}

#[test]
fn keys_pressed_before_the_session_is_ready_are_told_when_it_is() {
    let mut world = World::started();
    world.carrier(carrier::Event::Dtmf('5'));
    world.pass(3000);
    world.live(live::Event::Opened);
    world.take();
    world.live(live::Event::SetupComplete { session_id: None });
    assert_eq!(world.told_live(), [&live::Command::Text("The caller pressed 5 on the keypad.".into())]);
}

#[test]
fn input_that_cannot_be_used_is_counted_once_a_second_and_harms_nothing() {
    let mut world = World::new();
    let numbers = Numbers::default();
    world.carrier(carrier::Event::Media(Media { numbers, rate: Rate::LINE, samples: &[0; 160] }));
    world.start_stream(start());
    for _ in 0..10 {
        world.carrier(carrier::Event::Malformed(Malformed::Json));
        world.carrier(carrier::Event::Start(Box::new(start())));
        world.carrier(carrier::Event::Mark(None));
    }
    world.pass(1000);
    let faults: Vec<_> = world
        .events()
        .into_iter()
        .filter_map(
            |event| if let Event::Fault { fault, count, .. } = event { Some((fault, count)) } else { None },
        )
        .collect();
    let expected = [("media_before_start", 1), ("json", 10), ("second_start", 10), ("foreign_mark", 10)];
    assert_eq!(faults, expected);
    assert_eq!(world.call.ending(), None);
}

#[test]
fn two_minutes_of_speech_hold_the_service_back() {
    let mut world = World::ready();
    world.speech(120_000);
    assert!(world.call.wants_live());
    world.speech(1000);
    assert!(!world.call.wants_live(), "what was sent ahead does not count");
    world.pass(2000);
    assert!(world.call.wants_live());
    world.live(live::Event::Interrupted);
    assert!(world.call.wants_live());
}

#[test]
fn a_drained_call_goes_on_until_the_deadline() {
    let mut world = World::ready();
    let deadline = world.now + Duration::from_secs(2);
    world.call.handle_control(Control::Drain { deadline }, world.now);
    world.caller(&loud());
    world.pass(1900);
    assert_eq!(world.call.ending(), None);
    world.pass(100);
    assert_eq!(world.call.ending(), Some(&Ending::Drained));
    assert_eq!(world.told_carrier(), [&Command::Close(Close::GoingAway)]);
}

#[test]
fn a_newer_stream_takes_over() {
    let mut world = World::ready();
    world.call.handle_control(Control::Supersede, world.now);
    assert_eq!(world.call.ending(), Some(&Ending::Superseded));
}

#[test]
fn frames_that_a_slow_peer_loses_were_neither_played_nor_sent() {
    let mut world = World::ready();
    for _ in 0..50 {
        world.caller(&loud());
    }
    world.speech(1000);
    world.live(live::Event::GenerationComplete);
    world.pass(2000);
    for _ in 0..5 {
        world.call.handle_overflow(Peer::Carrier);
    }
    world.call.handle_overflow(Peer::Live);
    world.carrier(carrier::Event::Stop);
    let events = world.events();
    let Some(Event::AudioTotals(totals)) = events.last() else { panic!("{events:?}") };
    assert_eq!((totals.uplink_received_ms, totals.uplink_sent_ms, totals.uplink_dropped_ms), (1000, 980, 20));
    assert_eq!((totals.downlink_played_ms, totals.downlink_dropped_ms), (905, 100));
    let fault = |peer, count| Event::Fault { peer, fault: "frame_dropped", field: None, count };
    assert!(events.contains(&fault(Peer::Carrier, 5)) && events.contains(&fault(Peer::Live, 1)));
}

#[test]
fn the_account_of_the_audio_adds_up() {
    let mut world = World::ready();
    for _ in 0..50 {
        world.caller(&loud());
    }
    world.speech(2000);
    world.live(live::Event::GenerationComplete);
    world.pass(500);
    world.live(live::Event::Interrupted);
    world.speech(300);
    world.carrier(carrier::Event::Stop);
    let events = world.events();
    let Some(Event::AudioTotals(totals)) = events.last() else { panic!("{events:?}") };
    let expected = AudioTotals {
        uplink_received_ms: 1000,
        uplink_sent_ms: 1000,
        uplink_dropped_ms: 0,
        downlink_received_ms: 2300,
        downlink_played_ms: 500,
        downlink_cleared_ms: 1505,
        downlink_dropped_ms: 300,
        cover_ms: 0,
        dead_air_max_ms: 0,
    };
    assert_eq!(*totals, expected);
}
