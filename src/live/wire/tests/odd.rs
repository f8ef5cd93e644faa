//! Messages as no service should write them, and as some do: what can be read of them is.

use rstest::rstest;

use super::*;

/// The part with the sound that every message here has beside its oddity.
const PART: &str = r#"{"inlineData":{"mimeType":"audio/pcm;rate=24000","data":"AAABAAIA"}}"#;

const SOUND: &str = "Audio([0, 1, 2])";

/// The events of a message in whose text `PART` stands for the part with the sound.
fn events_of(message: &str) -> Vec<String> {
    events(&message.replace("PART", PART))
}

/// A field that is odd is its default, and says so where it was not merely empty; the sound beside it is heard.
#[rstest]
#[case::null_fields(r#"{"serverContent":{"modelTurn":{"parts":[PART]},"turnComplete":null,"interrupted":null,"generationComplete":null,"inputTranscription":null,"outputTranscription":null,"groundingMetadata":null},"usageMetadata":null,"toolCall":null,"goAway":null,"setupComplete":null,"sessionResumptionUpdate":null,"error":null}"#, &[])]
#[case::null_parts(r#"{"serverContent":{"modelTurn":{"parts":[null,PART,{"inlineData":null},{"inlineData":{}},{"inlineData":{"data":null}}]}}}"#, &[])]
#[case::null_text(r#"{"serverContent":{"modelTurn":{"parts":[{"text":null,"thought":null},PART]},"outputTranscription":{"text":null}}}"#, &[])]
#[case::part_alone(r#"{"serverContent":{"modelTurn":{"parts":PART}}}"#, &[])]
#[case::turns_in_a_list(r#"{"serverContent":{"modelTurn":[{"parts":[PART]}]}}"#, &[])]
#[case::parts_that_are_none(r#"{"serverContent":{"modelTurn":{"parts":[7,"x",PART,[]]}}}"#, &["Field(\"serverContent.modelTurn.parts\")"])]
#[case::blob_is_text(r#"{"serverContent":{"modelTurn":{"parts":[{"inlineData":"AAAA"},PART]}}}"#, &["Field(\"serverContent.modelTurn.parts.inlineData\")"])]
#[case::truth_that_is_none(r#"{"serverContent":{"modelTurn":{"parts":[PART]},"turnComplete":"soon","interrupted":[]}}"#, &["Field(\"serverContent.turnComplete\")", "Field(\"serverContent.interrupted\")"])]
#[case::usage_is_text(r#"{"serverContent":{"modelTurn":{"parts":[PART]}},"usageMetadata":"none"}"#, &["Field(\"usageMetadata\")"])]
#[case::tool_call_is_text(r#"{"serverContent":{"modelTurn":{"parts":[PART]}},"toolCall":"hang_up"}"#, &["Field(\"toolCall\")"])]
#[case::words_are_a_list(r#"{"serverContent":{"modelTurn":{"parts":[PART]},"outputTranscription":[1]}}"#, &["Field(\"serverContent.outputTranscription\")"])]
#[case::unknown_and_deep(r#"{"serverContent":{"new":[[[[{"a":[{}]}]]]],"modelTurn":{"x":{},"parts":[PART]}},"newer":{"b":1e999}}"#, &[])]
#[case::huge_numbers(r#"{"serverContent":{"index":123456789012345678901234567890,"modelTurn":{"parts":[PART]}}}"#, &[])]
#[case::names_twice(r#"{"serverContent":{"modelTurn":{"parts":[PART]},"turnComplete":false,"turnComplete":false}}"#, &[])]
#[case::snake_case(r#"{"server_content":{"model_turn":{"parts":[{"inline_data":{"mime_type":"audio/pcm","data":"AAABAAIA"}}]}}}"#, &[])]
#[case::capitals(r#"{"ServerContent":{"ModelTurn":{"Parts":[{"InlineData":{"MIMEType":"audio/pcm","Data":"AAABAAIA"}}]}}}"#, &[])]
#[case::byte_order_mark("\u{FEFF}{\"serverContent\":{\"modelTurn\":{\"parts\":[PART]}}}", &[])]
#[case::nul_and_line_end("\n{\"serverContent\":{\"modelTurn\":{\"parts\":[PART]}}}\r\n\0", &[])]
#[case::words_of_other_languages(r#"{"serverContent":{"interrupted":False,"score":NaN,"x":undefined,"modelTurn":{"parts":[None,PART]}}}"#, &[])]
#[case::content_in_a_list(r#"{"serverContent":[{"modelTurn":{"parts":[PART]}}]}"#, &[])]
#[case::blob_in_a_list(r#"{"serverContent":{"modelTurn":{"parts":[{"inlineData":[{"mimeType":"audio/pcm","data":"AAABAAIA"}]}]}}}"#, &[])]
#[case::type_is_a_number(r#"{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":24000,"data":"AAABAAIA"}}]}}}"#, &["Field(\"serverContent.modelTurn.parts.inlineData.mimeType\")"])]
#[case::type_is_a_truth(r#"{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":true,"data":"AAABAAIA"}}]}}}"#, &["Field(\"serverContent.modelTurn.parts.inlineData.mimeType\")"])]
#[case::type_is_null(r#"{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":null,"data":"AAABAAIA"}}]}}}"#, &[])]
#[case::data_url(r#"{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"data":"data:audio/pcm;rate=24000;base64,AAABAAIA"}}]}}}"#, &[])]
#[case::data_url_beside_a_type(r#"{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm","data":"Data:;base64,AAABAAIA"}}]}}}"#, &[])]
#[case::vertical_tab(r#"{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm","data":"AAAB\u000bAAIA\f"}}]}}}"#, &[])]
#[case::cut_off(r#"{"serverContent":{"modelTurn":{"parts":[PART,{"inlineData":{"mimeType":"audio/"#, &["Syntax"])]
#[case::not_a_sound(r#"{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"image/png","data":"AAAA"}},PART]}}}"#, &["MimeType"])]
#[case::not_base64(r#"{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm","data":"*"}},PART]}}}"#, &["Base64"])]
fn an_odd_field_costs_itself_alone(#[case] message: &str, #[case] expected: &[&str]) {
    let (sound, rest): (Vec<_>, Vec<_>) = events_of(message).into_iter().partition(|event| event == SOUND);
    assert_eq!(sound, [SOUND]);
    let expected: Vec<_> = expected.iter().map(|malformed| format!("Malformed({malformed})")).collect();
    assert_eq!(rest, expected);
}

#[rstest]
#[case::objects(r#"{"serverContent":{"outputTranscription":{"text":"a"}}}{"serverContent":{"turnComplete":true}}"#, &["OutputTranscription(\"a\")", "TurnComplete"])]
#[case::lines("{\"serverContent\":{\"interrupted\":true}}\n{\"serverContent\":{\"turnComplete\":true}}\n", &["Interrupted", "TurnComplete"])]
#[case::list(r#"[{"setupComplete":{}},{"serverContent":{"generationComplete":true}}]"#, &["SetupComplete { session_id: None }", "GenerationComplete"])]
#[case::good_and_bad(r#"nonsense {"serverContent":{"turnComplete":true}}"#, &["TurnComplete", "Malformed(Syntax)"])]
fn several_messages_in_a_frame_are_all_read(#[case] frame: &str, #[case] expected: &[&str]) {
    assert_eq!(events(frame), expected);
}

#[rstest]
#[case::lone_surrogate(
    r#"{"serverContent":{"outputTranscription":{"text":"a\ud83d"}}}"#,
    "OutputTranscription(\"a\u{FFFD}\")"
)]
#[case::number(r#"{"serverContent":{"inputTranscription":{"text":17}}}"#, "InputTranscription(\"17\")")]
#[case::words_alone(r#"{"serverContent":{"inputTranscription":"Hello."}}"#, "InputTranscription(\"Hello.\")")]
#[case::words_in_a_list(
    r#"{"serverContent":{"inputTranscription":[{"text":"Hel"},{"text":"lo."}]}}"#,
    "InputTranscription(\"Hello.\")"
)]
#[case::words_at_the_top(r#"{"outputTranscription":{"text":"Hello."}}"#, "OutputTranscription(\"Hello.\")")]
#[case::snake(
    r#"{"server_content":{"input_transcription":{"text":"Hello."}}}"#,
    "InputTranscription(\"Hello.\")"
)]
#[case::truth_as_text(r#"{"serverContent":{"turnComplete":"True"}}"#, "TurnComplete")]
#[case::truth_as_number(r#"{"serverContent":{"interrupted":1}}"#, "Interrupted")]
#[case::handle_as_number(
    r#"{"sessionResumptionUpdate":{"newHandle":17,"resumable":"true"}}"#,
    r#"Resumption { handle: Some("17"), resumable: true, consumed: None }"#
)]
#[case::time_without_unit(r#"{"goAway":{"timeLeft":"50"}}"#, "GoAway { time_left: Some(50s) }")]
#[case::time_as_number(r#"{"goAway":{"timeLeft":1.5}}"#, "GoAway { time_left: Some(1.5s) }")]
#[case::time_as_object(
    r#"{"go_away":{"time_left":{"seconds":"3","nanos":500000000}}}"#,
    "GoAway { time_left: Some(3.5s) }"
)]
#[case::error_as_text(r#"{"error":"quota"}"#, r#"Failed(Reported { code: 0, message: "quota" })"#)]
#[case::error_code_as_text(
    r#"{"error":{"code":"RESOURCE_EXHAUSTED","message":"no"}}"#,
    r#"Failed(Reported { code: 429, message: "no" })"#
)]
#[case::error_with_a_status(
    r#"{"error":{"code":null,"status":"UNAVAILABLE"}}"#,
    r#"Failed(Reported { code: 503, message: "UNAVAILABLE" })"#
)]
#[case::error_code_as_float(
    r#"{"error":{"code":429.0}}"#,
    r#"Failed(Reported { code: 429, message: "429.0" })"#
)]
#[case::id_as_number(
    r#"{"toolCall":{"functionCalls":{"id":7,"name":"f","args":null}}}"#,
    r#"ToolCall(ToolCall { id: Some("7"), name: "f", args: "{}" })"#
)]
#[case::args_are_a_list(
    r#"{"toolCall":{"functionCalls":[{"name":"f","args":[]}]}}"#,
    r#"ToolCall(ToolCall { id: None, name: "f", args: "[]" })"#
)]
#[case::counts_as_text(
    r#"{"usageMetadata":{"promptTokenCount":"12","responseTokenCount":3.0,"totalTokenCount":null}}"#,
    "Usage(Usage { prompt_tokens: 12, response_tokens: 3, thoughts_tokens: 0, total_tokens: 0 })"
)]
fn a_field_is_read_in_every_form(#[case] message: &str, #[case] expected: &str) {
    assert_eq!(events(message), [expected]);
}

#[test]
fn a_count_that_is_none_is_named_and_the_others_stand() {
    let message = r#"{"usageMetadata":{"promptTokenCount":-1,"responseTokenCount":3,"totalTokenCount":[]}}"#;
    let expected = [
        "Usage(Usage { prompt_tokens: 0, response_tokens: 3, thoughts_tokens: 0, total_tokens: 0 })",
        r#"Malformed(Field("usageMetadata.promptTokenCount"))"#,
        r#"Malformed(Field("usageMetadata.totalTokenCount"))"#,
    ];
    assert_eq!(events(message), expected);
}

#[test]
fn content_beside_an_error_comes_first() {
    let message = r#"{"error":{"code":500,"message":"no"},"serverContent":{"modelTurn":{"parts":[PART]},"turnComplete":true}}"#;
    assert_eq!(
        events_of(message),
        [SOUND, "TurnComplete", r#"Failed(Reported { code: 500, message: "no" })"#]
    );
}

#[rstest]
#[case::empty(r#"{"error":""}"#)]
#[case::nothing(r#"{"error":false}"#)]
fn an_error_that_is_none_is_none(#[case] message: &str) {
    assert_eq!(events(message), [] as [String; 0]);
}

/// What is longer than any service needs is not kept, and says so.
#[rstest]
#[case::handle(r#"{"sessionResumptionUpdate":{"newHandle":"LONG","resumable":true}}"#, 64 * 1024, "sessionResumptionUpdate.newHandle")]
#[case::session_id(r#"{"setupComplete":{"sessionId":"LONG"}}"#, 256, "setupComplete.sessionId")]
#[case::call_id(
    r#"{"toolCall":{"functionCalls":[{"name":"f","id":"LONG"}]}}"#,
    256,
    "toolCall.functionCalls.id"
)]
#[case::cancelled_id(r#"{"toolCallCancellation":{"ids":["LONG"]}}"#, 256, "toolCallCancellation.ids")]
fn what_is_too_long_is_not_kept(#[case] message: &str, #[case] len_max: usize, #[case] field: &'static str) {
    let fits = events(&message.replace("LONG", &"x".repeat(len_max)));
    assert!(fits.iter().any(|event| event.contains("xxx")) && fits.len() == 1, "{}", fits.len());
    let events = events(&message.replace("LONG", &"x".repeat(len_max + 1)));
    assert!(!events.iter().any(|event| event.contains("xxx")));
    assert_eq!(events.last(), Some(&format!("Malformed(TooLong({field:?}))")));
}

#[test]
fn names_and_errors_are_cut_between_characters() {
    let name = events(&format!(r#"{{"toolCall":{{"functionCalls":[{{"name":"{}"}}]}}}}"#, "é".repeat(1000)));
    assert_eq!(name[0].matches('é').count(), 128);
    let error = events(&format!(r#"{{"error":{{"code":1,"message":"a{}"}}}}"#, "é".repeat(100_000)));
    assert_eq!(error[0].matches('é').count(), 511);
}

#[test]
fn a_message_has_so_many_function_calls_and_says_so_once() {
    let calls = vec![r#"{"name":"f"}"#; 40_000].join(",");
    let events = events(&format!(r#"{{"toolCall":{{"functionCalls":[{calls}]}}}}"#));
    assert_eq!(events.len(), 65);
    assert_eq!(events[64], r#"Malformed(TooLong("toolCall.functionCalls"))"#);
}
