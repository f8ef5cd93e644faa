//! Kept calls and what becomes of them.

use rstest::rstest;
use serde_json::json;

use super::*;

const KEPT: &str = include_str!("../../../fixtures/calls/interrupted.inputs.jsonl");

/// A kept call of these inputs: milliseconds, and the carrier's message.
fn kept(messages: &[(u64, serde_json::Value)]) -> String {
    let mut text = KEPT.lines().next().unwrap().to_owned() + "\n";
    for (at_ms, message) in messages {
        let at = *at_ms as f64 / 1e3;
        text += &format!("{}\n", json!({ "at": at, "in": { "carrier": message } }));
    }
    text
}

/// A frame whose bytes are its number.
fn media(chunk: u8) -> serde_json::Value {
    let payload = STANDARD.encode([chunk; FRAME_LEN]);
    json!({ "event": "media", "media": { "track": "inbound", "chunk": chunk.to_string(), "payload": payload } })
}

fn key(digit: &str) -> serde_json::Value {
    json!({ "event": "dtmf", "dtmf": { "track": "inbound_track", "digit": digit } })
}

fn stop() -> serde_json::Value {
    json!({ "event": "stop", "stop": { "callSid": "CA1" } })
}

/// Each step in short: its time, and the first byte, the key or the hang-up.
fn outline(capture: &Capture) -> String {
    let act = |act: &Act| match act {
        Act::Speak(bytes) => bytes[0].to_string(),
        Act::Press(digit) => format!("key {digit}"),
        Act::HangUp => "hang-up".to_owned(),
    };
    let steps = capture.fixture.steps.iter();
    steps.map(|step| format!("{} {}", step.at.as_millis(), act(&step.act))).collect::<Vec<_>>().join(", ")
}

#[rstest]
#[case::interrupted(KEPT)]
#[case::resumed(include_str!("../../../fixtures/calls/resumed.inputs.jsonl"))]
#[case::fallback(include_str!("../../../fixtures/calls/fallback-and-back.inputs.jsonl"))]
fn a_kept_call_becomes_a_recording_with_the_same_audio_and_nothing_else(#[case] content: &str) {
    let capture = capture(content, "somebody").unwrap();
    let files = capture.fixture.files("call.wav");
    let read = Fixture::parse("call.jsonl", &files.lines, |_| Ok(files.audio.clone())).unwrap();
    assert_eq!(read, capture.fixture);
    let mut expected = Vec::new();
    for line in content.lines().filter(|line| line.contains(r#""event":"media""#)) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let payload = line["in"]["carrier"]["media"]["payload"].as_str().unwrap();
        expected.extend(STANDARD.decode(payload).unwrap());
    }
    let said = read.steps.iter().filter_map(|step| match &step.act {
        Act::Speak(bytes) => Some(bytes.clone()),
        Act::Press(_) | Act::HangUp => None,
    });
    assert_eq!(said.collect::<Vec<_>>().concat(), expected);
    assert!(capture.is_whole);
    for secret in ["acme", "AC0123", "CA", "MZ", "telephone", "attempt", "01a1fdde", "2026"] {
        assert!(content.contains(secret) && !files.lines.contains(secret), "{secret}");
    }
}

#[rstest]
#[case::in_order(&[(20, media(1)), (40, media(2)), (40, stop())], "20 1, 40 2, 40 hang-up")]
#[case::no_hang_up(&[(20, media(1))], "20 1, 20 hang-up")]
#[case::the_start_took_a_while(&[(520, media(1)), (540, media(2)), (590, stop())], "20 1, 40 2, 90 hang-up")]
#[case::a_gap(&[(20, media(1)), (60, media(3))], "20 1, 40 255, 60 3, 60 hang-up")]
#[case::a_gap_at_the_start(&[(40, media(2))], "20 255, 40 2, 40 hang-up")]
#[case::counted_from_zero(&[(20, media(0)), (40, media(1))], "20 0, 40 1, 40 hang-up")]
#[case::twice(&[(20, media(1)), (21, media(1)), (40, media(2))], "20 1, 40 2, 40 hang-up")]
#[case::out_of_order(&[(20, media(2)), (20, media(1)), (60, media(3))], "20 1, 40 2, 60 3, 60 hang-up")]
#[case::a_key(&[(20, media(1)), (32, key("5")), (40, media(2))], "20 1, 32 key 5, 40 2, 40 hang-up")]
#[case::keys_of_one_time(&[(20, media(1)), (20, key("2")), (20, key("1"))], "20 1, 20 key 2, 20 key 1, 20 hang-up")]
#[case::a_key_in_a_gap(
    &[(20, media(1)), (50, key("5")), (80, media(4))],
    "20 1, 40 255, 50 key 5, 60 255, 80 4, 80 hang-up"
)]
#[case::a_key_while_the_network_stood_still(
    &[(20, media(1)), (900, key("#")), (900, media(2)), (900, media(3))],
    "20 1, 40 2, 40 key #, 60 3, 60 hang-up"
)]
#[case::a_key_before_all(&[(0, key("*")), (20, media(1))], "0 key *, 20 1, 20 hang-up")]
#[case::the_other_side(
    &[(20, media(1)), (21, json!({"event": "media", "media": {"track": "outbound", "chunk": "9", "payload": "/w=="}}))],
    "20 1, 20 hang-up"
)]
#[case::a_late_hang_up(&[(20, media(1)), (3020, stop())], "20 1, 3020 hang-up")]
#[case::nothing_counts_after_the_first_hang_up(&[(20, media(1)), (20, stop()), (90, key("1")), (90, stop())], "20 1, 20 hang-up")]
fn audio_keys_and_the_hang_up_are_put_in_their_places(
    #[case] messages: &[(u64, serde_json::Value)],
    #[case] expected: &str,
) {
    assert_eq!(outline(&capture(&kept(messages), "").unwrap()), expected);
}

#[test]
fn what_was_done_to_the_audio_is_counted() {
    let words = json!({ "event": "dtmf", "dtmf": { "digit": "my number is 5" } });
    let broken = json!({ "event": "media", "media": { "chunk": "3", "payload": "*" } });
    let messages =
        [(20, media(1)), (20, media(1)), (50, key("5")), (60, words), (70, broken), (80, media(4))];
    let capture = capture(&kept(&messages), "").unwrap();
    let expected = Counts { chunks: 2, missing: 2, doubled: 1, skipped: 2, keys: 1 };
    assert_eq!((capture.counts, capture.is_whole), (expected, false));
}

#[test]
fn the_carrier_that_goes_without_a_word_has_hung_up_then() {
    let text = kept(&[(20, media(1))]) + r#"{"at":0.5,"in":{"carrier_closed":{"code":null}}}"# + "\n";
    assert_eq!(outline(&capture(&text, "").unwrap()), "20 1, 500 hang-up");
}

#[test]
fn half_a_line_of_a_process_that_was_killed_is_left_out() {
    let text = kept(&[(20, media(1))]) + r#"{"at":0.5,"in":{"carr"#;
    assert_eq!(outline(&capture(&text, "").unwrap()), "20 1, 20 hang-up");
}

#[rstest]
#[case::empty(String::new(), "the first line is no header; name a file")]
#[case::not_a_call("{}\n".into(), "line 1: neither a header, an input, an output nor an end; name a file")]
#[case::headless(r#"{"end":"whole"}"#.into(), "the first line is no header; name a file")]
#[case::broken(kept(&[]) + "{\n{\n", "line 2: ")]
#[case::silent(kept(&[(20, stop())]), "the caller sent no audio in this call")]
#[case::too_long(
    kept(&[(20, json!({"event": "media", "media": {"chunk": "18446744073709551615", "payload": "/w=="}}))]),
    "line 2: with chunk 18446744073709551615 the call would be longer than four hours; the line is damaged"
)]
fn a_bad_file_is_refused_with_the_reason(#[case] content: String, #[case] reason: &str) {
    let error = capture(&content, "").unwrap_err().to_string();
    assert!(error.starts_with(reason), "{error}");
}
