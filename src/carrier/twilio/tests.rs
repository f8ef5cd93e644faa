//! Stories of the media stream: what Twilio and its likes send, and what they are sent.

use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::carrier::{Close, MediaFormat};

const SID: &str = "MZffeeddccbbaa99887766554433221100";

macro_rules! frames {
    ($name:expr, $($file:literal)*) => {
        match $name {
            $($file => include_str!(concat!("../../../fixtures/twilio/frames/", $file)).to_owned(),)*
            other => panic!("no fixture {other}"),
        }
    };
}

fn fixture(name: &str) -> String {
    frames!(name,
        "bad-extra-field.json" "bad-mark-without-name.json" "bad-missing-stream-sid.json" "bad-not-json.json"
        "bad-unknown-event.json" "bad-wrong-stream-sid.json" "connected.json" "dtmf.json" "mark-echo.json"
        "media-inbound-next.json" "media-inbound-silence.json" "media-inbound.json" "media-outbound-track.json"
        "scenario-barge-in.json" "send-clear.json" "send-mark.json" "send-media-1s.json" "send-media.json"
        "start-connect-no-parameters.json" "start-connect.json" "start-fork-both-tracks.json" "stop.json"
    )
}

/// A codec whose stream has begun.
fn started() -> Codec {
    let mut codec = Codec::new();
    codec.decode(fixture("start-connect.json").as_bytes()).unwrap();
    codec
}

/// What an event is, with samples counted.
fn outline(event: &Event<'_>) -> String {
    match event {
        Event::Connected => "connected".to_owned(),
        Event::Start(start) => format!("start {} {:?}", start.call_sid, start.parameters),
        Event::Media(media) => format!("media {:?} {}", media.numbers.chunk, media.samples.len()),
        Event::Mark(mark) => format!("mark {mark:?}"),
        Event::Dtmf(digit) => format!("dtmf {digit}"),
        Event::Stop => "stop".to_owned(),
        Event::Unknown => "unknown".to_owned(),
        Event::Malformed(_) | Event::Flooded | Event::Stalled | Event::Closed(_) => {
            unreachable!("made by the shell: {event:?}")
        }
    }
}

#[rstest]
#[case("connected.json", "connected")]
#[case(
    "start-connect.json",
    r#"start CA00112233445566778899aabbccddeeff {"callToken": "6hV3zQ2yS0mK", "tenant": "42"}"#
)]
#[case("start-connect-no-parameters.json", "start CA00112233445566778899aabbccddeeff {}")]
#[case("start-fork-both-tracks.json", "start CA00112233445566778899aabbccddeeff {}")]
#[case("media-inbound.json", "media Some(1) 160")]
#[case("media-inbound-next.json", "media Some(2) 160")]
#[case("media-inbound-silence.json", "media Some(3) 160")]
#[case("dtmf.json", "dtmf 5")]
#[case("mark-echo.json", "mark None")]
#[case("stop.json", "stop")]
// Wrong towards the carrier, harmless from it: a mark that is not ours, an id that is implied, an unknown event.
#[case("bad-mark-without-name.json", "mark None")]
#[case("bad-missing-stream-sid.json", "media None 160")]
#[case("bad-unknown-event.json", "unknown")]
fn a_documented_frame_is_the_right_event(#[case] name: &str, #[case] expected: &str) {
    assert_eq!(
        started().decode(fixture(name).as_bytes()).map(|event| outline(&event)),
        Ok(expected.to_owned())
    );
}

#[rstest]
#[case("media-outbound-track.json", Malformed::Track)]
#[case("bad-extra-field.json", Malformed::Track)]
#[case("bad-wrong-stream-sid.json", Malformed::ForeignStream)]
#[case("bad-not-json.json", Malformed::Json)]
fn a_bad_frame_is_refused_for_the_right_reason(#[case] name: &str, #[case] expected: Malformed) {
    assert_eq!(started().decode(fixture(name).as_bytes()), Err(expected));
}

#[test]
fn the_text_of_the_frame_that_is_not_json_is_refused() {
    let fixture: Value = serde_json::from_str(&fixture("bad-not-json.json")).unwrap();
    assert_eq!(started().decode(fixture["text"].as_str().unwrap().as_bytes()), Err(Malformed::Json));
}

#[rstest]
#[case(r#"{"event":"media","media":{"payload":"/////w=="}}"#, Ok("media None 4"))]
#[case::no_padding(r#"{"event":"media","media":{"payload":"/////w"}}"#, Ok("media None 4"))]
#[case::escaped_slashes(r#"{"event":"media","media":{"payload":"\/\/\/\/\/w=="}}"#, Ok("media None 4"))]
#[case::number(r#"{"event":"media","media":{"chunk":7,"payload":"/w=="}}"#, Ok("media Some(7) 1"))]
#[case::largest(
    r#"{"event":"media","media":{"chunk":"18446744073709551615","payload":"/w=="}}"#,
    Ok("media Some(18446744073709551615) 1")
)]
#[case::too_large(
    r#"{"event":"media","media":{"chunk":"18446744073709551616","payload":"/w=="}}"#,
    Ok("media None 1")
)]
#[case::too_large_number(
    r#"{"event":"media","media":{"chunk":99999999999999999999,"payload":"/w=="}}"#,
    Ok("media None 1")
)]
#[case::negative(r#"{"event":"media","media":{"chunk":-1,"payload":"/w=="}}"#, Ok("media None 1"))]
#[case::nonsense(r#"{"event":"media","media":{"chunk":[{"a":[]}],"payload":"/w=="}}"#, Ok("media None 1"))]
#[case::null(r#"{"event":"media","media":{"chunk":null,"track":null,"payload":"/w=="}}"#, Ok("media None 1"))]
#[case::other_track_name(
    r#"{"event":"media","media":{"track":"inbound_track","payload":"/w=="}}"#,
    Ok("media None 1")
)]
#[case::no_media(r#"{"event":"media"}"#, Err(Malformed::Field))]
#[case::no_payload(r#"{"event":"media","media":{}}"#, Err(Malformed::Field))]
#[case::payload_is_a_number(r#"{"event":"media","media":{"payload":1}}"#, Err(Malformed::Field))]
#[case::payload_twice(r#"{"event":"media","media":{"payload":"/w==","payload":"/w=="}}"#, Ok("media None 1"))]
#[case::chunk_twice(
    r#"{"event":"media","media":{"chunk":1,"chunk":"2","payload":"/w=="}}"#,
    Ok("media Some(2) 1")
)]
#[case::capitals(r#"{"event":"Media","media":{"payload":"/w=="}}"#, Ok("media None 1"))]
#[case::spaces(r#"{"event":" media ","media":{"payload":"/w=="}}"#, Ok("media None 1"))]
#[case::shouted(r#"{"event":"STOP"}"#, Ok("stop"))]
#[case::byte_order_mark("\u{FEFF}{\"event\":\"media\",\"media\":{\"payload\":\"/w==\"}}", Ok("media None 1"))]
#[case::zero_at_the_end("{\"event\":\"media\",\"media\":{\"payload\":\"/w==\"}}\n\0", Ok("media None 1"))]
#[case::track_of_another_type(
    r#"{"event":"media","media":{"track":[],"payload":"/w=="}}"#,
    Ok("media None 1")
)]
#[case::track_as_a_number(r#"{"event":"media","media":{"track":0,"payload":"/w=="}}"#, Ok("media None 1"))]
#[case::unknown_track(r#"{"event":"media","media":{"track":"caller","payload":"/w=="}}"#, Ok("media None 1"))]
#[case::outbound(
    r#"{"event":"media","media":{"track":"Outbound_Track","payload":"/w=="}}"#,
    Err(Malformed::Track)
)]
#[case::stream_id_of_another_type(
    r#"{"event":"media","streamSid":{"a":1},"sequenceNumber":{},"media":{"payload":"/w=="}}"#,
    Ok("media None 1")
)]
#[case::other_bodies(
    r#"{"event":"media","mark":7,"dtmf":null,"start":"","stop":[],"media":{"payload":"/w=="}}"#,
    Ok("media None 1")
)]
#[case::digit_as_a_number(r#"{"event":"dtmf","dtmf":{"digit":5}}"#, Ok("dtmf 5"))]
#[case::small_digit(r#"{"event":"dtmf","dtmf":{"digit":" d"}}"#, Ok("dtmf D"))]
#[case::mark_is_a_text(r#"{"event":"mark","mark":"m1"}"#, Ok("mark None"))]
#[case::media_is_a_list(r#"{"event":"media","media":"x"}"#, Err(Malformed::Field))]
#[case::empty(r#"{"event":"media","media":{"payload":""}}"#, Err(Malformed::Length))]
#[case::url_alphabet(r#"{"event":"media","media":{"payload":"____"}}"#, Ok("media None 3"))]
#[case::space(r#"{"event":"media","media":{"payload":" /w=="}}"#, Ok("media None 1"))]
#[case::one_letter(r#"{"event":"media","media":{"payload":"A"}}"#, Err(Malformed::Base64))]
#[case::only_padding(r#"{"event":"media","media":{"payload":"===="}}"#, Err(Malformed::Base64))]
#[case(r#"{"event":"mark","mark":{"name":"m17"}}"#, Ok("mark Some(MarkId(17))"))]
#[case(r#"{"event":"mark","mark":{"name":"m0"}}"#, Ok("mark Some(MarkId(0))"))]
#[case(r#"{"event":"mark","mark":{"name":"m017"}}"#, Ok("mark None"))]
#[case(r#"{"event":"mark","mark":{"name":"m+17"}}"#, Ok("mark None"))]
#[case(r#"{"event":"mark","mark":{"name":"m4294967296"}}"#, Ok("mark None"))]
#[case(r#"{"event":"mark","mark":{"name":"m"}}"#, Ok("mark None"))]
#[case(r#"{"event":"mark"}"#, Ok("mark None"))]
#[case(r##"{"event":"dtmf","dtmf":{"digit":"#"}}"##, Ok("dtmf #"))]
#[case(r#"{"event":"dtmf","dtmf":{"digit":"D"}}"#, Ok("dtmf D"))]
#[case(r#"{"event":"dtmf","dtmf":{"digit":"E"}}"#, Err(Malformed::Digit))]
#[case(r#"{"event":"dtmf","dtmf":{"digit":"12"}}"#, Err(Malformed::Digit))]
#[case(r#"{"event":"dtmf","dtmf":{"digit":""}}"#, Err(Malformed::Digit))]
#[case(r#"{"event":"dtmf","dtmf":{"digit":"٣"}}"#, Err(Malformed::Digit))]
#[case(r#"{"event":"dtmf","dtmf":{}}"#, Err(Malformed::Field))]
#[case::stop_may_carry_anything(r#"{"event":"stop","stop":7,"mark":7}"#, Ok("stop"))]
#[case::unknown_event_with_known_fields(r#"{"event":"ping","media":7}"#, Ok("unknown"))]
#[case::unknown_fields(r#"{"event":"connected","x":{"y":[1,2]}}"#, Ok("connected"))]
#[case::leading_space("  {\"event\":\"connected\"}\n", Ok("connected"))]
#[case::no_event("{}", Err(Malformed::Json))]
#[case::event_is_a_number(r#"{"event":7}"#, Err(Malformed::Json))]
#[case::list(r#"["connected"]"#, Err(Malformed::Json))]
#[case::two_objects(r#"{"event":"stop"}{"event":"stop"}"#, Ok("stop"))]
#[case::cut_off(r#"{"event":"stop""#, Ok("stop"))]
#[case::in_a_list(r#"[{"event":"media","media":[{"payload":"/w=="}]}]"#, Ok("media None 1"))]
#[case::surrogate_in_a_track(
    r#"{"event":"media","media":{"track":"\ud800","payload":"/w=="}}"#,
    Ok("media None 1")
)]
#[case::surrogate_in_a_name(
    r#"{"\udfff":1,"event":"media","media":{"\ud83d":0,"payload":"/w=="}}"#,
    Ok("media None 1")
)]
#[case::escaped_bytes(r#"{"event":"media","media":{"payload":"\x2fw=="}}"#, Ok("media None 1"))]
#[case::control_characters(
    "{\"event\":\"media\",\"x\":\"\u{1}\u{7}\t\",\"media\":{\"payload\":\"/w==\"}}",
    Ok("media None 1")
)]
#[case::not_a_number(
    r#"{"event":"media","media":{"chunk":NaN,"level":-Infinity,"payload":"/w=="}}"#,
    Ok("media None 1")
)]
#[case::trailing_commas(r#"{"event":"media","media":{"payload":"/w==",},}"#, Ok("media None 1"))]
#[case::single_words(r#"{"event":"media","x":None,"y":True,"media":{"payload":"/w=="}}"#, Ok("media None 1"))]
#[case::snake_case(r#"{"event":"media","stream_sid":"MZffeeddccbbaa99887766554433221100","sequence_number":3,"media":{"payload":"/w=="}}"#, Ok("media None 1"))]
#[case::stream_id_as_a_number(
    r#"{"event":"media","streamSid":17,"media":{"payload":"/w=="}}"#,
    Ok("media None 1")
)]
#[case::second_body_without_anything(
    r#"{"event":"media","media":{"payload":"/w=="},"media":null}"#,
    Ok("media None 1")
)]
#[case::no_event_but_a_body(
    r#"{"streamSid":"MZffeeddccbbaa99887766554433221100","media":{"payload":"/w=="}}"#,
    Ok("media None 1")
)]
#[case::event_is_null(r#"{"event":null,"dtmf":{"digit":"5"}}"#, Ok("dtmf 5"))]
#[case::nothing("", Err(Malformed::Json))]
fn a_frame_is_read_leniently_where_nothing_is_lost(
    #[case] text: &str,
    #[case] expected: Result<&str, Malformed>,
) {
    let got = started().decode(text.as_bytes()).map(|event| outline(&event));
    assert_eq!(got, expected.map(str::to_owned));
}

#[rstest]
#[case::one_second(8_000, Ok(8_000))]
#[case::more(8_001, Err(Malformed::Length))]
#[case::much_more(40_000, Err(Malformed::Length))]
fn a_payload_is_at_most_one_second(#[case] bytes: usize, #[case] expected: Result<usize, Malformed>) {
    let payload = base64::encode(&vec![0xFF; bytes]);
    let text = json!({"event": "media", "media": {"payload": payload}}).to_string();
    let samples = started().decode(text.as_bytes()).map(|event| {
        let Event::Media(media) = event else { panic!("{event:?}") };
        media.samples.len()
    });
    assert_eq!(samples, expected);
}

#[test]
fn media_is_the_mu_law_of_its_payload() {
    let text = fixture("media-inbound.json");
    let payload: Value = serde_json::from_str(&text).unwrap();
    let bytes = base64::decode(payload["media"]["payload"].as_str().unwrap()).unwrap();
    let expected: Vec<_> = bytes.into_iter().map(g711::decode).collect();
    let mut codec = started();
    let event = codec.decode(text.as_bytes()).unwrap();
    let numbers = Numbers { chunk: Some(1), timestamp: Some(20), sequence: Some(2) };
    assert_eq!(event, Event::Media(Media { numbers, rate: Rate::LINE, samples: &expected }));
}

fn start(change: impl FnOnce(&mut Value)) -> String {
    let mut frame: Value = serde_json::from_str(&fixture("start-connect.json")).unwrap();
    change(&mut frame);
    frame.to_string()
}

fn remove(frame: &mut Value, name: &str) {
    frame["start"].as_object_mut().unwrap().remove(name);
}

#[rstest]
#[case::no_parameters(start(|frame| remove(frame, "customParameters")), Ok("{}"))]
#[case::null_parameters(start(|frame| frame["start"]["customParameters"] = Value::Null), Ok("{}"))]
#[case::odd_parameters(
    start(|frame| frame["start"]["customParameters"] = json!({"a": 1, "b": null, "c": {"d": []}, "e": "f"})),
    Ok(r#"{"a": "1", "e": "f"}"#)
)]
#[case::no_account(start(|frame| remove(frame, "accountSid")), Ok(r#"{"callToken": "6hV3zQ2yS0mK", "tenant": "42"}"#))]
#[case::rate_as_text(
    start(|frame| frame["start"]["mediaFormat"]["sampleRate"] = json!("8000")),
    Ok(r#"{"callToken": "6hV3zQ2yS0mK", "tenant": "42"}"#)
)]
#[case::no_inner_stream(
    start(|frame| remove(frame, "streamSid")),
    Ok(r#"{"callToken": "6hV3zQ2yS0mK", "tenant": "42"}"#)
)]
#[case::two_streams(start(|frame| frame["streamSid"] = json!("MZ0")), Err(Malformed::ForeignStream))]
#[case::no_call(
    start(|frame| remove(frame, "callSid")),
    Ok(r#"{"callToken": "6hV3zQ2yS0mK", "tenant": "42"}"#)
)]
#[case::no_format(
    start(|frame| remove(frame, "mediaFormat")),
    Ok(r#"{"callToken": "6hV3zQ2yS0mK", "tenant": "42"}"#)
)]
#[case::parameters_as_a_list(
    start(|frame| frame["start"]["customParameters"] = json!([{"name": "a", "value": 1}, {"name": "b"}, 7])),
    Ok(r#"{"a": "1"}"#)
)]
#[case::surrogate_in_a_parameter(
    start(|frame| frame["start"]["customParameters"] = json!({"a": "SURROGATE", "SURROGATE": "b"})).replace("SURROGATE", "x\\ud800"),
    Ok("{\"a\": \"x\u{FFFD}\", \"x\u{FFFD}\": \"b\"}")
)]
#[case::start_in_a_list(
    start(|frame| frame["start"] = json!([frame["start"].clone()])),
    Ok(r#"{"callToken": "6hV3zQ2yS0mK", "tenant": "42"}"#)
)]
#[case::parameters_as_a_text(start(|frame| frame["start"]["customParameters"] = json!("x")), Ok("{}"))]
#[case::odd_ids(
    start(|frame| { frame["start"]["accountSid"] = json!([]); frame["start"]["tracks"] = json!(1) }),
    Ok(r#"{"callToken": "6hV3zQ2yS0mK", "tenant": "42"}"#)
)]
#[case::endless_stream(
    start(|frame| { remove(frame, "streamSid"); frame["streamSid"] = json!("M".repeat(65)) }),
    Err(Malformed::Field)
)]
#[case::no_start(start(|frame| frame["start"] = Value::Null), Err(Malformed::Field))]
fn a_start_needs_a_stream_a_call_and_a_format(
    #[case] text: String,
    #[case] expected: Result<&str, Malformed>,
) {
    let parameters = Codec::new().decode(text.as_bytes()).map(|event| {
        let Event::Start(start) = event else { panic!("{event:?}") };
        format!("{:?}", start.parameters)
    });
    assert_eq!(parameters, expected.map(str::to_owned));
}

#[rstest]
#[case::documented(json!({"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}), 8000)]
#[case::nothing(json!({}), 8000)]
#[case::null(Value::Null, 8000)]
#[case::rtp_name(json!({"encoding": "audio/PCMU", "sampleRate": "8000", "channels": "1"}), 8000)]
#[case::short_name(json!({"encoding": "mulaw"}), 8000)]
#[case::rate_in_the_name(json!({"encoding": "audio/x-mulaw;rate=8000", "channels": null}), 8000)]
#[case::odd_types(json!({"encoding": "ULAW", "sampleRate": "fast", "channels": []}), 8000)]
#[case::another_rate(json!({"encoding": "PCMU", "sampleRate": 16000}), 16000)]
fn mu_law_has_many_names(#[case] format: Value, #[case] rate: u32) {
    let text = start(|frame| frame["start"]["mediaFormat"] = format);
    let mut codec = Codec::new();
    let Ok(Event::Start(start)) = codec.decode(text.as_bytes()) else { panic!("{text}") };
    let MediaFormat { encoding, sample_rate, channels } = start.format;
    assert_eq!((encoding.as_str(), sample_rate, channels), ("audio/x-mulaw", rate, 1));
}

#[test]
fn another_encoding_is_told_as_it_is() {
    let text = start(|frame| frame["start"]["mediaFormat"] = json!({"encoding": "audio/x-L16"}));
    let mut codec = Codec::new();
    let Ok(Event::Start(start)) = codec.decode(text.as_bytes()) else { panic!("{text}") };
    assert_eq!((start.format.encoding.as_str(), start.format.sample_rate), ("audio/x-L16", 0));
}

#[test]
fn a_stream_without_an_id_is_answered_without_one() {
    let mut codec = Codec::new();
    codec.decode(br#"{"event":"start","start":{}}"#).unwrap();
    assert!(codec.decode(br#"{"event":"media","streamSid":"x","media":{"payload":"/w=="}}"#).is_ok());
    let mut out = String::new();
    codec.encode(&Command::Clear, &mut out);
    assert_eq!(out, r#"{"event":"clear"}"#);
}

#[rstest]
#[case(r#"{"event":"media","media":{"track":7,"payload":"/w=="}}"#, Some("odd_track"))]
#[case(r#"{"event":"media","streamSid":[],"media":{"payload":"/w=="}}"#, Some("odd_stream_sid"))]
#[case(r#"{"event":"MEDIA","media":{"payload":"/w=="}}"#, Some("odd_message"))]
#[case(r#"{"event":"media","media":{"payload":"/w=="}}"#, None)]
fn what_was_odd_is_told_once(#[case] text: &str, #[case] expected: Option<&str>) {
    let mut codec = started();
    codec.decode(text.as_bytes()).unwrap();
    assert_eq!((codec.take_oddity(), codec.take_oddity()), (expected, None));
}

#[test]
fn the_stream_is_the_one_of_the_first_start() {
    let mut codec = started();
    let other = start(|frame| {
        frame["streamSid"] = json!("MZ0");
        frame["start"]["streamSid"] = json!("MZ0");
    });
    assert_eq!(codec.decode(other.as_bytes()), Err(Malformed::ForeignStream));
    assert_eq!(codec.decode(br#"{"event":"stop","streamSid":"MZ0"}"#), Err(Malformed::ForeignStream));
    assert!(matches!(codec.decode(fixture("start-connect.json").as_bytes()), Ok(Event::Start(_))));
    assert_eq!(codec.decode(fixture("stop.json").as_bytes()), Ok(Event::Stop));
}

#[test]
fn the_frames_of_a_whole_call_are_read() {
    let scenario: Vec<Value> = serde_json::from_str(&fixture("scenario-barge-in.json")).unwrap();
    let mut codec = Codec::new();
    let from_carrier: Vec<_> = scenario.iter().filter(|step| step["from"] == "carrier").collect();
    assert!(from_carrier.len() > 5);
    for step in from_carrier {
        let text = step["message"].to_string();
        assert_ne!(codec.decode(text.as_bytes()).map(|event| event == Event::Unknown), Ok(true), "{text}");
        assert!(codec.decode(text.as_bytes()).is_ok(), "{text}");
    }
}

fn encoded(command: Command) -> Option<Value> {
    let mut out = String::new();
    started().encode(&command, &mut out);
    (!out.is_empty()).then(|| serde_json::from_str(&out).unwrap())
}

/// The samples of a fixture's payload.
fn samples(fixture: &Value) -> Vec<i16> {
    let payload = fixture["media"]["payload"].as_str().unwrap();
    let bytes = base64::decode(payload).unwrap();
    bytes.into_iter().map(g711::decode).collect()
}

#[test]
fn commands_are_the_documented_frames() {
    let media: Value = serde_json::from_str(&fixture("send-media.json")).unwrap();
    let mut mark: Value = serde_json::from_str(&fixture("send-mark.json")).unwrap();
    let clear: Value = serde_json::from_str(&fixture("send-clear.json")).unwrap();
    mark["mark"]["name"] = json!("m17");
    let frame = Frame::new(Rate::LINE, &samples(&media));
    assert_eq!(encoded(Command::Media(frame)), Some(media));
    assert_eq!(encoded(Command::Mark(MarkId(17))), Some(mark));
    assert_eq!(encoded(Command::Clear), Some(clear));
}

#[rstest]
#[case(Command::Close(Close::Normal))]
#[case(Command::Media(Frame::new(Rate::MODEL_OUT, &[0; 480])))]
#[case(Command::Media(Frame::new(Rate::LINE, &[])))]
fn a_command_without_a_frame_encodes_nothing(#[case] command: Command) {
    assert_eq!(encoded(command), None);
}

#[test]
fn nothing_is_sent_before_the_stream_began() {
    let mut out = String::new();
    Codec::new().encode(&Command::Clear, &mut out);
    assert_eq!(out, "");
}

#[test]
fn a_hostile_stream_id_stays_a_string() {
    let sid = "\",\"x\":\"\u{1}";
    let text = start(|frame| {
        frame["streamSid"] = json!(sid);
        frame["start"]["streamSid"] = json!(sid);
    });
    let mut codec = Codec::new();
    codec.decode(text.as_bytes()).unwrap();
    let mut out = String::new();
    codec.encode(&Command::Clear, &mut out);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), json!({"event": "clear", "streamSid": sid}));
}

#[test]
fn a_mark_comes_back_as_itself() {
    let mut codec = started();
    for number in [0, 9, 10, u32::MAX] {
        let mut out = String::new();
        codec.encode(&Command::Mark(MarkId(number)), &mut out);
        assert_eq!(codec.decode(out.as_bytes()), Ok(Event::Mark(Some(MarkId(number)))));
    }
}

#[test]
fn the_buffer_does_not_grow_from_one_media_frame_to_the_next() {
    let (mut codec, text) = (started(), fixture("media-inbound.json"));
    codec.decode(text.as_bytes()).unwrap();
    let capacity = codec.samples.capacity();
    for _ in 0..100 {
        codec.decode(text.as_bytes()).unwrap();
    }
    assert_eq!(codec.samples.capacity(), capacity);
}

#[rstest]
#[case(1)]
#[case(160)]
fn a_media_frame_is_allocated_once(#[case] len: usize) {
    let mut out = String::new();
    started().encode(&Command::Media(Frame::new(Rate::LINE, &vec![1234; len])), &mut out);
    assert_eq!(out.capacity(), MEDIA_ENVELOPE + SID.len() + 2 + len.div_ceil(3) * 4);
}

const FRAMES: [&str; 6] = [
    "connected.json",
    "start-connect.json",
    "media-inbound.json",
    "dtmf.json",
    "mark-echo.json",
    "stop.json",
];

proptest! {
    #[test]
    fn no_bytes_can_panic_the_decoder(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        let _ = started().decode(&bytes);
    }

    #[test]
    fn no_mutation_of_a_real_frame_can_panic_the_decoder(
        frame in prop::sample::select(&FRAMES[..]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 1..8),
    ) {
        let mut bytes = fixture(frame).into_bytes();
        for (at, byte, kind) in changes {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => { bytes.truncate(at.max(1)); }
            }
        }
        let mut codec = started();
        let _ = codec.decode(&bytes);
        let mut out = String::new();
        codec.encode(&Command::Clear, &mut out);
        prop_assert!(serde_json::from_str::<Value>(&out).is_ok());
    }

    #[test]
    fn what_is_sent_is_what_is_heard(samples in prop::collection::vec(any::<i16>(), 1..160)) {
        let mut codec = started();
        let mut out = String::new();
        codec.encode(&Command::Media(Frame::new(Rate::LINE, &samples)), &mut out);
        let heard: Vec<_> = samples.iter().map(|&sample| g711::decode(g711::encode(sample))).collect();
        let event = codec.decode(out.as_bytes());
        prop_assert_eq!(event, Ok(Event::Media(Media { numbers: Numbers::default(), rate: Rate::LINE, samples: &heard })));
    }
}

#[test]
fn the_stream_id_of_the_fixtures_is_remembered() {
    assert_eq!(started().stream.map(|stream| stream.sid), Some(SID.to_owned()));
}
