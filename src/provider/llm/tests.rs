//! Tests without a socket: what each vendor is asked, and what is made of its frames.

use rstest::rstest;
use serde_json::json;

use super::super::pool::Item;
use super::piece::{End, Progress, Short, Stage, Usage};
use super::*;
use crate::dialogue::{Dialogue, Speaker};

fn prompt(lines: &[(Speaker, &str)]) -> Prompt {
    let mut dialogue = Dialogue::default();
    for (speaker, text) in lines {
        dialogue.push(*speaker, text);
    }
    Prompt { instruction: "You are a phone agent.".into(), dialogue, temperature: Some(1.5) }
}

/// What a whole stream says: its words, its end, what was billed.
fn read(kind: Kind, stream: &str) -> (Vec<String>, Result<Stage, Failure>, Option<Item>) {
    let (mut framing, mut progress, mut words) = (kind.framing(), Progress::default(), Vec::new());
    framing.push(stream.as_bytes());
    while let Some(frame) = framing.next_frame().unwrap() {
        let piece = match kind.decode(&frame) {
            Ok(piece) => piece,
            Err(Fault::Failed(failure)) => return (words, Err(failure), None),
            Err(Fault::Unreadable(_)) => {
                return (words, Err(Failure::Unreadable { message: String::new() }), None);
            }
        };
        match progress.take(piece) {
            Ok(text) => words.extend(text),
            Err(failure) => return (words, Err(failure), None),
        }
    }
    (words, Ok(progress.stage), progress.take_usage())
}

#[test]
fn gemini_is_asked_as_documented() {
    let prompt =
        prompt(&[(Speaker::Caller, "Hi"), (Speaker::Agent, "Hello."), (Speaker::Caller, "Where is 17?")]);
    let expected = json!({
        "systemInstruction": {"parts": [{"text": "You are a phone agent."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Hi"}]},
            {"role": "model", "parts": [{"text": "Hello."}]},
            {"role": "user", "parts": [{"text": "Where is 17?"}]},
        ],
        "generationConfig": {
            "temperature": 1.5, "maxOutputTokens": 812, "thinkingConfig": {"thinkingLevel": "LOW"},
        },
    });
    assert_eq!(Kind::Gemini.body("gemini-3.8-flash", 300, &prompt), expected);
    let old = Kind::Gemini.body("gemini-2.5-flash", 300, &Prompt { temperature: None, ..prompt });
    assert_eq!(old["generationConfig"], json!({"maxOutputTokens": 300}));
}

#[rstest]
#[case(Kind::OpenAi, json!({
    "model": "m", "stream": true, "stream_options": {"include_usage": true}, "max_completion_tokens": 300,
    "temperature": 1.5,
    "messages": [
        {"role": "system", "content": "You are a phone agent."}, {"role": "user", "content": "Hi"},
    ],
}))]
#[case(Kind::Anthropic, json!({
    "model": "m", "stream": true, "max_tokens": 300, "temperature": 1.0, "system": "You are a phone agent.",
    "messages": [{"role": "user", "content": "Hi"}],
}))]
#[case(Kind::Ollama, json!({
    "model": "m", "stream": true, "think": false, "options": {"num_predict": 300, "temperature": 1.5},
    "messages": [
        {"role": "system", "content": "You are a phone agent."}, {"role": "user", "content": "Hi"},
    ],
}))]
fn the_others_are_asked_as_documented(#[case] kind: Kind, #[case] expected: Value) {
    assert_eq!(kind.body("m", 300, &prompt(&[(Speaker::Caller, "Hi")])), expected);
}

#[rstest]
#[case::an_empty_dialogue(&[], &["user [The call is connected. Greet the caller.]"])]
#[case::the_caller_speaks_last(&[(Speaker::Caller, "Hi")], &["user Hi"])]
#[case::the_agent_alone(
    &[(Speaker::Agent, "Hello.")],
    &["user [The call is connected.]", "assistant Hello.", "user [The caller is silent. Go on.]"]
)]
#[case::the_agent_speaks_last(
    &[(Speaker::Caller, "Hi"), (Speaker::Agent, "Hello.")],
    &["user Hi", "assistant Hello.", "user [The caller is silent. Go on.]"]
)]
fn the_first_and_the_last_turn_are_the_users(#[case] lines: &[(Speaker, &str)], #[case] expected: &[&str]) {
    let prompt = prompt(lines);
    let messages = turns::messages(&prompt.dialogue);
    let shown = messages.map(|it| format!("{} {}", it["role"], it["content"]).replace('"', ""));
    assert_eq!(shown.collect::<Vec<_>>(), expected);
}

const GEMINI: &str = concat!(
    r#"data: {"candidates":[{"content":{"role":"model","parts":[{"text":"Hm.","thought":true}]},"index":0}],"usageMetadata":{"promptTokenCount":9},"modelVersion":"gemini-3.8-flash"}"#,
    "\r\n\r\n",
    r#"data: {"candidates":[{"content":{"role":"model","parts":[{"text":"It "},{"text":"shipped","thoughtSignature":"c2ln"}]},"index":0}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":2,"thoughtsTokenCount":3}}"#,
    "\r\n\r\n",
    r#"data: {"candidates":[{"content":{"role":"model","parts":[{"text":"."}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":4,"thoughtsTokenCount":3,"totalTokenCount":16},"responseId":"abc"}"#,
    "\r\n\r\n",
);

const OPENAI: &str = concat!(
    r#"data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-x","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}"#,
    "\n\n: keep-alive\n\n",
    r#"data: {"id":"c1","choices":[{"index":0,"delta":{"content":"It shipped"},"finish_reason":null}]}"#,
    "\n\n",
    r#"data: {"id":"c1","choices":[{"index":0,"delta":{"content":"."},"finish_reason":null}]}"#,
    "\n\n",
    r#"data: {"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
    "\n\n",
    r#"data: {"id":"c1","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16}}"#,
    "\n\ndata: [DONE]\n\n",
);

const ANTHROPIC: &str = concat!(
    "event: message_start\n",
    r#"data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","content":[],"model":"claude-haiku-4-5","stop_reason":null,"usage":{"input_tokens":9,"output_tokens":1}}}"#,
    "\n\nevent: content_block_start\n",
    r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
    "\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\n",
    r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm."}}"#,
    "\n\n",
    r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"It shipped"}}"#,
    "\n\n",
    r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"."}}"#,
    "\n\n",
    r#"data: {"type":"content_block_stop","index":0}"#,
    "\n\n",
    r#"data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":7}}"#,
    "\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
);

const OLLAMA: &str = concat!(
    r#"{"model":"gemma4","created_at":"2026-08-07T03:57:33Z","message":{"role":"assistant","content":"","thinking":"Hm."},"done":false}"#,
    "\n",
    r#"{"model":"gemma4","message":{"role":"assistant","content":"It shipped"},"done":false}"#,
    "\n",
    r#"{"model":"gemma4","message":{"role":"assistant","content":"."},"done":false}"#,
    "\n",
    r#"{"model":"gemma4","message":{"role":"assistant","content":""},"done_reason":"stop","done":true,"total_duration":43,"prompt_eval_count":9,"eval_count":7}"#,
    "\n",
);

#[rstest]
#[case(Kind::Gemini, GEMINI, Stage::Spoken)]
#[case(Kind::OpenAi, OPENAI, Stage::Over)]
#[case(Kind::Anthropic, ANTHROPIC, Stage::Over)]
#[case(Kind::Ollama, OLLAMA, Stage::Over)]
fn a_whole_answer_is_words_and_counts(#[case] kind: Kind, #[case] stream: &str, #[case] stage: Stage) {
    let (words, end, usage) = read(kind, stream);
    assert_eq!((words.concat().as_str(), end), ("It shipped.", Ok(stage)));
    assert_eq!(usage, Some(Item::Usage { prompt_tokens: 9, response_tokens: 7 }));
}

#[rstest]
#[case::gemini_prompt(Kind::Gemini, r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#, Some("SAFETY"))]
#[case::gemini_answer(
    Kind::Gemini,
    r#"{"candidates":[{"finishReason":"PROHIBITED_CONTENT"}]}"#,
    Some("PROHIBITED_CONTENT")
)]
#[case::gemini_thoughts_took_it_all(
    Kind::Gemini,
    r#"{"candidates":[{"content":{},"finishReason":"MAX_TOKENS"}]}"#,
    None
)]
#[case::gemini_accident(Kind::Gemini, r#"{"candidates":[{"finishReason":"OTHER"}]}"#, None)]
#[case::openai_filter(
    Kind::OpenAi,
    r#"{"choices":[{"delta":{},"finish_reason":"content_filter"}]}"#,
    Some("content_filter")
)]
#[case::openai_length(Kind::OpenAi, r#"{"choices":[{"delta":{},"finish_reason":"length"}]}"#, None)]
#[case::anthropic(
    Kind::Anthropic,
    r#"{"type":"message_delta","delta":{"stop_reason":"refusal"}}"#,
    Some("refusal")
)]
fn an_answer_without_a_word_is_blocked_or_just_ends(
    #[case] kind: Kind,
    #[case] frame: &str,
    #[case] reason: Option<&str>,
) {
    let expected = reason.map_or(Ok(Stage::Spoken), |reason| Err(Failure::Blocked { reason: reason.into() }));
    assert_eq!(read(kind, &format!("data: {frame}\n\n")), (vec![], expected, None));
}

/// What a stream says that ends like this after its first words.
fn breaks_off(kind: Kind, end: &str) -> (String, Option<Failure>) {
    let (words, last) = match kind {
        Kind::Gemini => (r#"{"candidates":[{"content":{"parts":[{"text":"It shipped. Now"}]}}]}"#, ""),
        Kind::OpenAi => (r#"{"choices":[{"delta":{"content":"It shipped. Now"}}]}"#, "data: [DONE]\n\n"),
        Kind::Anthropic => (
            r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"It shipped. Now"}}"#,
            "data: {\"type\":\"message_stop\"}\n\n",
        ),
        Kind::Ollama => (r#"{"message":{"content":"It shipped. Now"},"done":false}"#, ""),
    };
    let stream = format!("data: {words}\n\ndata: {end}\n\n{last}");
    let (mut framing, mut progress, mut all) = (kind.framing(), Progress::default(), String::new());
    framing.push(stream.as_bytes());
    while let Some(frame) = framing.next_frame().unwrap() {
        let piece = kind.decode(&frame).unwrap();
        all.extend(progress.take(piece).unwrap());
    }
    assert!(matches!(progress.stage, Stage::Spoken | Stage::Over), "no more is waited for");
    (all, progress.take_failure(true))
}

#[rstest]
#[case::gemini(Kind::Gemini, r#"{"candidates":[{"finishReason":"MAX_TOKENS"}]}"#, "MAX_TOKENS")]
#[case::gemini_in_the_same_frame(
    Kind::Gemini,
    r#"{"candidates":[{"content":{"parts":[{"text":""}]},"finishReason":"MAX_TOKENS","index":0}],"usageMetadata":{}}"#,
    "MAX_TOKENS"
)]
#[case::openai(Kind::OpenAi, r#"{"choices":[{"delta":{},"finish_reason":"length"}]}"#, "length")]
#[case::openai_of_others(
    Kind::OpenAi,
    r#"{"choices":[{"delta":{"content":""},"finish_reason":"max_tokens"}]}"#,
    "max_tokens"
)]
#[case::mistral(Kind::OpenAi, r#"{"choices":[{"delta":{},"finish_reason":"model_length"}]}"#, "model_length")]
#[case::anthropic(
    Kind::Anthropic,
    r#"{"type":"message_delta","delta":{"stop_reason":"max_tokens"}}"#,
    "max_tokens"
)]
#[case::anthropic_window(
    Kind::Anthropic,
    r#"{"type":"message_delta","delta":{"stop_reason":"model_context_window_exceeded"}}"#,
    "model_context_window_exceeded"
)]
#[case::ollama(Kind::Ollama, r#"{"message":{"content":""},"done":true,"done_reason":"length"}"#, "length")]
fn an_answer_that_is_too_long_is_unfinished(#[case] kind: Kind, #[case] end: &str, #[case] reason: &str) {
    let unfinished = Failure::Unfinished { reason: reason.into() };
    assert_eq!(breaks_off(kind, end), ("It shipped. Now".into(), Some(unfinished)));
}

#[rstest]
#[case::gemini(Kind::Gemini, r#"{"candidates":[{"finishReason":"SAFETY"}]}"#, "SAFETY")]
#[case::gemini_prompt(
    Kind::Gemini,
    r#"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"}}"#,
    "PROHIBITED_CONTENT"
)]
#[case::openai(
    Kind::OpenAi,
    r#"{"choices":[{"delta":{},"finish_reason":"content_filter"}]}"#,
    "content_filter"
)]
#[case::openai_refusal(Kind::OpenAi, r#"{"choices":[{"delta":{"refusal":"I cannot."}}]}"#, "refusal")]
#[case::zhipu(Kind::OpenAi, r#"{"choices":[{"delta":{},"finish_reason":"sensitive"}]}"#, "sensitive")]
#[case::anthropic(
    Kind::Anthropic,
    r#"{"type":"message_delta","delta":{"stop_reason":"refusal"}}"#,
    "refusal"
)]
fn an_answer_whose_rest_is_withheld_is_blocked(#[case] kind: Kind, #[case] end: &str, #[case] reason: &str) {
    let blocked = Failure::Blocked { reason: reason.into() };
    assert_eq!(breaks_off(kind, end), ("It shipped. Now".into(), Some(blocked)));
}

#[rstest]
#[case::gemini(Kind::Gemini, r#"{"candidates":[{"finishReason":"OTHER"}]}"#)]
#[case::openrouter(Kind::OpenAi, r#"{"choices":[{"delta":{},"finish_reason":"error"}]}"#)]
#[case::deepseek(
    Kind::OpenAi,
    r#"{"choices":[{"delta":{},"finish_reason":"insufficient_system_resource"}]}"#
)]
#[case::vllm(Kind::OpenAi, r#"{"choices":[{"delta":{},"finish_reason":"abort"}]}"#)]
fn an_answer_that_the_service_gave_up_is_cut(#[case] kind: Kind, #[case] end: &str) {
    let (words, failure) = breaks_off(kind, end);
    assert_eq!((&*words, failure.map(|failure| failure.code())), ("It shipped. Now", Some("cut")));
}

#[rstest]
#[case::gemini(Kind::Gemini, r#"{"candidates":[{"finishReason":"STOP"}]}"#)]
#[case::openai(Kind::OpenAi, r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#)]
#[case::openai_tools(Kind::OpenAi, r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#)]
#[case::of_tomorrow(Kind::OpenAi, r#"{"choices":[{"delta":{},"finish_reason":"eos_token"}]}"#)]
#[case::anthropic(Kind::Anthropic, r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#)]
#[case::anthropic_sequence(
    Kind::Anthropic,
    r#"{"type":"message_delta","delta":{"stop_reason":"stop_sequence"}}"#
)]
#[case::ollama(Kind::Ollama, r#"{"message":{"content":""},"done":true,"done_reason":"stop"}"#)]
#[case::ollama_old(Kind::Ollama, r#"{"message":{"content":""},"done":true}"#)]
fn an_answer_that_was_said_is_whole(#[case] kind: Kind, #[case] end: &str) {
    assert_eq!(breaks_off(kind, end), ("It shipped. Now".into(), None));
}

#[test]
fn a_last_document_in_the_same_frame_does_not_hide_that_it_broke_off() {
    let frame = "{\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"length\"}]}\n{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}";
    let mut progress = Progress::default();
    assert_eq!(progress.take(Kind::OpenAi.decode(frame).unwrap()), Ok(Some("a".into())));
    assert_eq!(progress.take_failure(true), Some(Failure::Unfinished { reason: "length".into() }));
    assert_eq!(progress.take_failure(true), None, "told once");
}

#[test]
fn an_answer_of_thoughts_alone_is_empty_whatever_ended_it() {
    let frame = r#"{"choices":[{"delta":{"content":"<think>Hm."},"finish_reason":"length"}]}"#;
    let mut progress = Progress::default();
    let _ = progress.take(Kind::OpenAi.decode(frame).unwrap());
    assert_eq!(progress.take_failure(false), None);
}

#[rstest]
#[case(Kind::Gemini, r#"{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}"#)]
#[case(Kind::OpenAi, r#"{"error":{"message":"overloaded","type":"server_error","param":null,"code":null}}"#)]
#[case(Kind::Anthropic, r#"{"type":"error","error":{"type":"overloaded_error","message":"overloaded"}}"#)]
#[case(Kind::Ollama, r#"{"error":"overloaded"}"#)]
fn an_error_inside_an_answer_is_reported(#[case] kind: Kind, #[case] frame: &str) {
    let stream = if kind == Kind::Ollama { format!("{frame}\n") } else { format!("data: {frame}\n\n") };
    assert_eq!(read(kind, &stream).1, Err(Failure::Reported { message: "overloaded".into() }));
}

#[rstest]
fn garbage_is_unreadable_and_strange_frames_say_nothing(
    #[values(Kind::Gemini, Kind::OpenAi, Kind::Anthropic, Kind::Ollama)] kind: Kind,
) {
    for garbage in ["{", "7", "\"\"", "[]", "<html>"] {
        assert!(matches!(kind.decode(garbage), Err(Fault::Unreadable(_))), "{garbage}");
    }
    let strange = r#"{"type":"from_the_future","x":[null,{"y":1}]}"#;
    assert_eq!(kind.decode(strange).unwrap(), Piece::default());
}

/// Deltas of chat completions as other servers than OpenAI write them.
#[rstest]
#[case::parts(
    r#"{"choices":[{"delta":{"content":[{"type":"text","text":"a"},{"type":"thinking","text":"b"}]}}]}"#,
    "a"
)]
#[case::null(r#"{"choices":[{"delta":{"content":null,"reasoning_content":"b"}}]}"#, "")]
#[case::reasoning(
    r#"{"choices":[{"delta":{"content":"","reasoning":"b","reasoning_details":[{"text":"b"}]}}]}"#,
    ""
)]
#[case::no_choices(r#"{"choices":[],"prompt_filter_results":[]}"#, "")]
#[case::null_choices(r#"{"choices":null,"usage":null,"error":null}"#, "")]
#[case::a_null_delta(r#"{"choices":[{"delta":null,"finish_reason":""}]}"#, "")]
#[case::another_choice(r#"{"choices":[{"index":1,"delta":{"content":"b"}}]}"#, "")]
#[case::two_choices(
    r#"{"choices":[{"index":1,"delta":{"content":"b"}},{"index":0,"delta":{"content":"a"}}]}"#,
    "a"
)]
#[case::an_index_in_words(r#"{"choices":[{"index":"0","delta":{"content":"a"}}]}"#, "a")]
#[case::a_message(
    r#"{"choices":[{"message":{"role":"assistant","content":"a"},"finish_reason":null}]}"#,
    "a"
)]
#[case::a_completion(r#"{"choices":[{"text":"a"}]}"#, "a")]
#[case::half_a_character(r#"{"choices":[{"delta":{"content":"a\ud83d"}}]}"#, "a")]
#[case::two_documents(
    "{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n{\"choices\":[{\"delta\":{\"content\":\"b\"}}]}",
    "ab"
)]
#[case::mistyped_counts(r#"{"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":"many"}}"#, "a")]
fn a_delta_is_its_words(#[case] frame: &str, #[case] words: &str) {
    let piece = Kind::OpenAi.decode(frame).unwrap();
    assert_eq!((piece.text.as_str(), piece.end, piece.usage), (words, None, Usage::default()));
}

#[rstest]
#[case::done("[DONE]", Some(End::Last))]
#[case::quoted("\"[DONE]\"", Some(End::Last))]
#[case::small(" [done] ", Some(End::Last))]
#[case::stop(r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#, Some(End::Spoken))]
#[case::length(r#"{"choices":[{"delta":{},"finish_reason":"length"}]}"#, Some(End::Short(Short::Limit("length".into()))))]
#[case::tools(
    r#"{"choices":[{"delta":{"tool_calls":[{"index":0}]},"finish_reason":"tool_calls"}]}"#,
    Some(End::Spoken)
)]
#[case::refused(r#"{"choices":[{"delta":{"refusal":"I cannot."}}]}"#, Some(End::Short(Short::Withheld("refusal".into()))))]
#[case::not_refused(r#"{"choices":[{"delta":{"refusal":null}}]}"#, None)]
fn a_frame_ends_an_answer_or_not(#[case] frame: &str, #[case] end: Option<End>) {
    assert_eq!(Kind::OpenAi.decode(frame).unwrap().end, end);
}

#[rstest]
#[case::text(r#"{"error":"model not loaded"}"#, "reported")]
#[case::a_list(r#"{"errors":[{"message":"no"}]}"#, "reported")]
#[case::an_object(r#"{"object":"error","message":"no","code":400}"#, "reported")]
#[case::beside_a_choice(r#"{"error":{"code":502,"message":"Provider disconnected"},"choices":[{"delta":{"content":""},"finish_reason":"error"}]}"#, "reported")]
#[case::a_wait(r#"{"error":{"code":429,"details":[{"retryDelay":"2s"}]}}"#, "limited")]
#[case::a_filter(r#"{"error":{"code":"content_filter"}}"#, "blocked")]
fn an_error_in_any_shape_is_a_failure(#[case] frame: &str, #[case] code: &str) {
    let Err(Fault::Failed(failure)) = Kind::OpenAi.decode(frame) else { panic!("no failure") };
    assert_eq!(failure.code(), code);
}

#[rstest]
#[case::anthropic_whole(Kind::Anthropic, r#"{"type":"message","content":[{"type":"thinking","thinking":"b"},{"type":"text","text":"a"}],"stop_reason":"end_turn"}"#)]
#[case::anthropic_in_the_block(
    Kind::Anthropic,
    r#"{"type":"content_block_start","content_block":{"type":"text","text":"a"}}"#
)]
#[case::gemini_in_a_list(Kind::Gemini, r#"[{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}]"#)]
#[case::gemini_nulls(Kind::Gemini, r#"{"candidates":[{"content":{"parts":[null,{"text":"a","thought":null}]},"finishReason":null}],"promptFeedback":null,"usageMetadata":[]}"#)]
#[case::gemini_unspecified(
    Kind::Gemini,
    r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"FINISH_REASON_UNSPECIFIED"}]}"#
)]
#[case::ollama_generate(Kind::Ollama, r#"{"response":"a","done":false}"#)]
#[case::ollama_nulls(
    Kind::Ollama,
    r#"{"message":{"content":"a","thinking":null,"tool_calls":null},"done":null,"eval_count":"7"}"#
)]
fn side_fields_of_the_others_decide_nothing(#[case] kind: Kind, #[case] frame: &str) {
    assert_eq!(kind.decode(frame).unwrap().text, "a");
}

#[rstest]
#[case::a_document(Kind::OpenAi, "\n {\n \"choices\": [{\"message\": {\"content\": \"a\"}}]\n}\n")]
#[case::lines(Kind::OpenAi, "{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n{\"choices\":[]}\n")]
#[case::a_list(Kind::Gemini, "[{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}]}\n,{}]")]
#[case::no_end_of_line(Kind::Ollama, "{\"message\":{\"content\":\"a\"}}")]
#[case::events(Kind::Ollama, ": ping\n\nevent: x\ndata: {\"message\":{\"content\":\"a\"}}\n\n")]
fn an_answer_in_another_framing_is_read(#[case] kind: Kind, #[case] stream: &str) {
    for piece in [1, 1000] {
        let (mut framing, mut frames) = (kind.framing(), Vec::new());
        for piece in stream.as_bytes().chunks(piece) {
            framing.push(piece);
            frames.extend(std::iter::from_fn(|| framing.next_frame().unwrap()));
        }
        frames.extend(framing.finish().unwrap());
        let words: Vec<_> = frames.iter().map(|frame| kind.decode(frame).unwrap().text).collect();
        assert_eq!(words.concat(), "a");
    }
}

#[test]
fn an_entry_of_the_configuration_needs_its_kind_only() {
    let config: Config = toml::from_str("kind = \"openai\"").unwrap();
    assert_eq!(config, Config::new(Kind::OpenAi));
    assert_eq!((config.name(), config.key_env()), ("openai", Some("OPENAI_API_KEY")));
    let text = "kind = \"ollama\"\nname = \"den\"\nmodel = \"m\"\ntimeouts = { first_byte_ms = 9000 }";
    let config: Config = toml::from_str(text).unwrap();
    assert_eq!((config.name(), config.model(), config.key_env()), ("den", "m", None));
    let deadlines = config.timeouts.over(Deadlines::default());
    assert_eq!((deadlines.first_byte.as_secs(), deadlines.connect.as_secs()), (9, 2));
    assert!(toml::from_str::<Config>("kind = \"openai\"\nkey = \"x\"").is_err());
    assert!(toml::from_str::<Config>("kind = \"other\"").is_err());
}
