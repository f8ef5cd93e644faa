//! Files written and played.

use std::collections::BTreeMap;

use ::time::OffsetDateTime;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rstest::rstest;

use super::*;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use crate::audio::g711;
use crate::call::agent::{Agent, Greeting};
use crate::call::clip::Clip;
use crate::call::context::Context;
use crate::call::intake::Input;
use crate::call::record::{Ledger, Peer};
use crate::call::services::{Endpoint, Services};
use crate::call::{Admission, Timer};
use crate::id::{CallId, JobId, LinkId};
use crate::job;
use crate::live::failure::Failure;
use crate::time::WallClock;

fn admission(now: Instant) -> Admission {
    let wall = OffsetDateTime::from_unix_timestamp_nanos(1_790_000_000_123_456_789).unwrap();
    let greeting = Clip { text: "Good day.".to_owned(), samples: vec![900; 800].into() };
    let agent = Agent { greeting: Greeting::Clip(greeting), temperature: Some(0.7), ..Agent::default() };
    let context = Context {
        call_sid: "CA1".to_owned(),
        prompt: agent.prompt.clone(),
        parameters: BTreeMap::from([("tenant".to_owned(), "acme".to_owned())]),
        ..Context::unknown(wall)
    };
    let ledger = Ledger::resumed(CallId::new(7), WallClock::new(now, wall), 1);
    Admission { context, agent: Arc::new(agent), ledger }
}

fn header() -> Header {
    let now = Instant::now();
    let place = |name: &str| Endpoint { name: name.to_owned(), ..Endpoint::default() };
    let services = Services { endpoints: vec![place("one")], has_fallback: true, ..Services::default() };
    Header::new(&admission(now), &services, now)
}

fn after(ms: u64) -> Offset {
    let origin = Instant::now();
    Offset::between(origin, origin + Duration::from_millis(ms))
}

fn raw(text: &str) -> Message<'_> {
    Message::new(text.as_bytes())
}

const START: &str = r#"{"event":"start","start":{"streamSid":"MZ1","callSid":"CA1","mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}},"streamSid":"MZ1"}"#;

fn media(chunk: u64) -> String {
    let level = |n: u64| if (chunk / 25).is_multiple_of(2) { 0 } else { 6000 - 100 * (n as i16 % 120) };
    let audio: Vec<u8> = (0..160).map(|n| g711::encode(level(n))).collect();
    let payload = STANDARD.encode(audio);
    format!(r#"{{"event":"media","media":{{"chunk":"{chunk}","payload":"{payload}"}},"streamSid":"MZ1"}}"#)
}

fn speech() -> String {
    let bytes: Vec<u8> = (0..24_000_i16).flat_map(|n| (n % 200 * 50).to_le_bytes()).collect();
    let data = STANDARD.encode(bytes);
    format!(
        r#"{{"serverContent":{{"modelTurn":{{"parts":[{{"inlineData":{{"mimeType":"audio/pcm;rate=24000","data":"{data}"}}}}]}}}}}}"#
    )
}

/// A call of two seconds: a carrier that stalls, a session that answers and is lost, and a fallback that fails.
fn inputs() -> String {
    let link = LinkId(1);
    let mut told: Vec<(u64, Input<'_>)> = vec![
        (1, Input::Carrier(raw(r#"{"event":"connected"}"#))),
        (2, Input::Carrier(raw(START))),
        (30, Input::LiveOpened { link }),
        (55, Input::Live { link, message: raw(r#"{"setupComplete":{}}"#) }),
        (
            1701,
            Input::LiveEnded { link, failure: Failure::Closed { code: 1011, reason: "quota".to_owned() } },
        ),
        (1950, Input::Job { job: JobId(1), event: job::Event::Failed(job::Failure::NoProvider) }),
        (2010, Input::Carrier(raw(r#"{"event":"stop","streamSid":"MZ1"}"#))),
    ];
    let (frames, reply) = ((1..=99).map(media).collect::<Vec<_>>(), speech());
    let frames = frames.iter().zip(1..).filter(|(_, n)| !(61..=69).contains(n));
    told.extend(frames.map(|(frame, n)| (n * 20, Input::Carrier(raw(frame)))));
    told.push((1203, Input::Live { link, message: raw(&reply) }));
    told.push((
        1210,
        Input::Live {
            link,
            message: raw(r#"{"serverContent":{"generationComplete":true,"turnComplete":true}}"#),
        },
    ));
    told.sort_by_key(|(at, _)| *at);
    let lines = told.iter().map(|(at, input)| Line::input(after(*at), input) + "\n");
    lines.chain([Line::end(WHOLE) + "\n"]).collect()
}

/// The file of that call.
fn file() -> String {
    file_of(&header())
}

fn file_of(header: &Header) -> String {
    rewrite(&format!("{}\n{}", Line::header(header), inputs()), Instant::now()).unwrap()
}

fn play(text: &str) -> Report {
    replay(text, Instant::now(), None, |_| {}).unwrap()
}

#[test]
fn a_call_that_is_played_again_does_the_same() {
    let file = file();
    let mut steps = Vec::new();
    let report = replay(&file, Instant::now(), None, |step| steps.push(step)).unwrap();
    assert_eq!((&report.difference, &report.end), (&None, &End::Whole));
    assert_eq!(report.inputs + report.outputs, steps.len());
    for kind in [r#""told":{"setup""#, r#""rung":"fallback""#, r#""start":{"#, r#""ended""#, r#""wave":["#] {
        assert!(file.contains(kind), "the call has no {kind}");
    }
    assert_eq!(rewrite(&file, Instant::now()).unwrap(), file, "and written again it is the same");
}

#[test]
fn an_agent_that_is_told_something_else_differs_at_the_setup() {
    let changed = file().replacen("\"temperature\":0.7", "\"temperature\":0.9", 1);
    let difference = play(&changed).difference.unwrap();
    let (expected, got) = (difference.expected.unwrap(), difference.got.unwrap());
    assert!(expected.contains("0.69") && got.contains("0.89"), "{expected} {got}");
    assert_eq!(difference.at, after(30));
    assert_eq!(
        difference.before.last().map(|step| step.text.as_str()),
        Some(r#"{"live_opened":{"link":1}}"#)
    );
}

#[test]
fn a_frame_that_is_missing_is_missed_where_it_was() {
    let file = file();
    let (number, frame) =
        file.lines().enumerate().find(|(_, line)| line.contains(r#""chunk":"33""#)).unwrap();
    let difference = play(&file.replacen(&format!("{frame}\n"), "", 1)).difference.unwrap();
    assert!((number + 1..number + 4).contains(&difference.line), "{number} {difference:?}");
    assert_eq!(difference.got, None, "nothing came, so nothing is sent");
}

#[test]
fn an_output_that_was_not_there_is_a_difference() {
    let file = file();
    let mark = file.lines().find(|line| line.starts_with(r#"{"out":{"record""#)).unwrap();
    let difference = play(&file.replacen(&format!("{mark}\n"), "", 1)).difference.unwrap();
    assert!(difference.got.unwrap().contains("\"sequence\":1"));
}

#[test]
fn a_file_of_a_process_that_was_killed_is_played_to_its_end() {
    let file = file();
    for len in [file.len() / 3, file.len() / 2, file.len() - 3] {
        let report = play(&file[..len]);
        assert_eq!((report.difference, report.end), (None, End::Killed), "{len} bytes");
    }
}

#[test]
fn a_file_that_was_cut_off_says_why() {
    let file = file();
    let lines: Vec<_> = file.lines().take(80).map(str::to_owned).chain([Line::end("no room")]).collect();
    let report = play(&(lines.join("\n") + "\n"));
    assert_eq!((report.difference, report.end), (None, End::Cut("no room".to_owned())));
}

#[test]
fn a_part_of_a_call_can_be_played() {
    let report = replay(&file(), Instant::now(), Some(Duration::from_millis(500)), |_| {}).unwrap();
    assert_eq!((report.difference, report.end, report.length), (None, End::Left, after(500)));
}

#[test]
fn a_call_that_a_defect_ended_is_played_with_its_end() {
    let inputs = inputs();
    let head: Vec<_> = inputs.lines().take(60).collect();
    let file =
        rewrite(&format!("{}\n{}\n", Line::header(&header()), head.join("\n")), Instant::now()).unwrap();
    let panicked = Line::input(after(1300), &Input::Panicked);
    let difference = play(&format!("{file}{panicked}\n{}\n", Line::end(WHOLE))).difference.unwrap();
    assert_eq!(difference.at, after(1300));
    assert_eq!(rewrite(&format!("{file}{panicked}\n"), Instant::now()).unwrap(), file, "it is not repeated");
}

#[test]
fn timers_that_the_machine_wants_now_are_fired_when_a_file_is_rewritten() {
    let file = file();
    let is_timer = |line: &&str| line.contains(r#""in":{"timeout""#);
    assert!(file.lines().any(|line| is_timer(&line)));
    let without: String =
        file.lines().filter(|line| !is_timer(line)).map(|line| format!("{line}\n")).collect();
    assert_eq!(rewrite(&without, Instant::now()).unwrap(), file);
    let superfluous = Line::input(after(3), &Input::Timeout { timer: Some(Timer::Drain) });
    let first = file.lines().nth(2).unwrap();
    let with = file.replacen(first, &format!("{superfluous}\n{first}"), 1);
    assert!(!rewrite(&with, Instant::now()).unwrap().contains("drain"));
}

#[rstest]
#[case::nothing("", "the file is empty")]
#[case::something_else("hello\n", "the first line is not the head of a call")]
#[case::no_head("{\"end\":\"whole\"}\n", "the first line is not the head of a call")]
#[case::of_a_later_program(
    "{\"header\":{\"format\":99}}\n",
    "the file has the format 99; this program reads 1"
)]
fn what_is_no_call_is_refused(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(replay(text, Instant::now(), None, |_| {}).unwrap_err().to_string(), expected);
}

#[test]
fn a_line_that_cannot_be_read_is_named() {
    let file = file().replacen("\"live_opened\"", "\"live_obened\"", 1);
    let error = replay(&file, Instant::now(), None, |_| {}).unwrap_err().to_string();
    assert!(error.starts_with("line ") && error.contains("live_obened"), "{error}");
}

#[rstest]
#[case(Input::Carrier(raw(r#"{"event": "x", "n": 1.50}"#)))]
#[case(Input::Carrier(raw("{\"event\":\n\"x\"}")))]
#[case(Input::Carrier(raw(" {}")))]
#[case(Input::Carrier(raw("no JSON \u{1} \"at all\"")))]
#[case(Input::Carrier(Message::new(b"\xff\x00")))]
#[case(Input::Carrier(raw("")))]
#[case(Input::CarrierFlood)]
#[case(Input::CarrierFlooded)]
#[case(Input::CarrierStalled)]
#[case(Input::CarrierClosed { code: Some(1006) })]
#[case(Input::LiveOpened { link: LinkId(3) })]
#[case(Input::Live { link: LinkId(3), message: raw(r#"{"a":[1,{"b":"\u00e4"}]}"#) })]
#[case(Input::LiveEnded { link: LinkId(3), failure: Failure::refused(503) })]
#[case(Input::LiveReleased { link: LinkId(3) })]
#[case(Input::Job { job: JobId(2), event: job::Event::Audio(vec![-1, 0, 32_767]) })]
#[case(Input::Job { job: JobId(2), event: job::Event::Text(" yes".to_owned()) })]
#[case(Input::Job { job: JobId(2), event: job::Event::Started { provider: "local".into() } })]
#[case(Input::Job { job: JobId(2), event: job::Event::Skipped { provider: "local".into(), failure: job::Failure::Empty } })]
#[case(Input::Job { job: JobId(2), event: job::Event::Usage { prompt_tokens: 1, response_tokens: 2 } })]
#[case(Input::Job { job: JobId(2), event: job::Event::Done })]
#[case(Input::Drain { deadline: after(30_000) })]
#[case(Input::Supersede)]
#[case(Input::Timeout { timer: Some(Timer::Playout) })]
#[case(Input::Timeout { timer: None })]
#[case(Input::Overflow { peer: Peer::Live })]
#[case(Input::Panicked)]
fn an_input_comes_out_of_a_file_as_it_went_in(#[case] input: Input<'_>) {
    let line = Line::input(after(1234), &input);
    assert!(!line.contains('\n'));
    assert_eq!(Line::parse(&line).unwrap(), Line::Input(after(1234), input));
}

#[test]
fn a_head_comes_out_of_a_file_as_it_went_in() {
    let header = header();
    let line = Line::header(&header);
    let Line::Header(read) = Line::parse(&line).unwrap() else { panic!("{line}") };
    let (admission, services) = read.admission(Instant::now());
    let original = self::admission(Instant::now());
    assert_eq!((admission.context, admission.agent), (original.context, original.agent));
    assert_eq!(*services, header.services);
    assert_eq!((read.answered_at, read.call_id), (header.answered_at, header.call_id));
}

#[rstest]
#[case(0)]
#[case(1)]
#[case(999_999_999)]
#[case(12_345_678_901)]
#[case(86_399_999_999_999)]
#[case(863_999_999_999_999)]
fn a_time_is_kept_to_the_nanosecond(#[case] nanos: u64) {
    let origin = Instant::now();
    let at = origin + Duration::from_nanos(nanos);
    let text = serde_json::to_string(&Offset::between(origin, at)).unwrap();
    let read: Offset = serde_json::from_str(&text).unwrap();
    assert_eq!(read.after(origin), at, "{text}");
}

#[rstest]
#[case::equal(&[100, -100], true)]
#[case::rounded(&[104, -96], true)]
#[case::other(&[105, -100], false)]
#[case::shorter(&[100], false)]
fn audio_is_the_same_within_the_rounding_of_processors(#[case] wave: &[i16], #[case] expected: bool) {
    let trace = |wave: &[i16]| Trace { out: serde_json::Value::Null, wave: wave.to_vec() };
    assert_eq!(trace(wave).is_same(&trace(&[100, -100])), expected);
}
