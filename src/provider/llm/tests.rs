//! Tests without a socket: what each vendor is asked, and what is made of its frames.

use rstest::rstest;
use serde_json::json;

use super::super::pool::Item;
use super::piece::{Progress, Stage};
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
            Err(Fault::Reported(message)) => return (words, Err(Failure::Reported { message }), None),
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

#[rstest]
#[case(Kind::Gemini, r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"SAFETY"}]}"#)]
#[case(Kind::OpenAi, r#"{"choices":[{"delta":{"content":"a"},"finish_reason":"content_filter"}]}"#)]
fn what_was_said_before_the_rest_was_withheld_is_an_answer(#[case] kind: Kind, #[case] frame: &str) {
    assert_eq!(read(kind, &format!("data: {frame}\n\n")), (vec!["a".into()], Ok(Stage::Spoken), None));
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
