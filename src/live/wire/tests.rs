//! Messages of the real service in, messages for it out.
#![allow(clippy::wildcard_enum_match_arm, reason = "what is not expected is printed")]

use rstest::rstest;

use super::*;
use crate::audio::Rate;
use crate::live::{Sensitivity, Setup, Vad};

mod odd;
mod sound;

/// The events of one message, printed.
fn events(message: &str) -> Vec<String> {
    let mut events = Vec::new();
    Decoder::default().decode(message.as_bytes(), |event| events.push(format!("{event:?}")));
    events
}

/// Messages as the real service sends them (Gemini Live API reference, section 3 and the recorded timelines).
#[rstest]
#[case("{}", &[])]
#[case(r#"{"serverContent":{}}"#, &[])]
#[case(r#"{"somethingNew":{"a":[1]}}"#, &[])]
#[case(r#"{"setupComplete":{}}"#, &["SetupComplete { session_id: None }"])]
#[case(r#"{"setupComplete":{"sessionId":"029016b7"}}"#, &[r#"SetupComplete { session_id: Some("029016b7") }"#])]
#[case(r#"{"serverContent":{"inputTranscription":{"text":"Hello, \"Marcelo\"."}}}"#,
    &[r#"InputTranscription("Hello, \"Marcelo\".")"#])]
#[case(r#"{"serverContent":{"outputTranscription":{}}}"#, &[])]
#[case(r#"{"serverContent":{"outputTranscription":{"finished":true}}}"#, &[])]
#[case(r#"{"serverContent":{"modelTurn":{"role":"model","parts":[{"inlineData":{"mimeType":"audio/pcm;rate=24000","data":"AAABAAIA"}}]},"outputTranscription":{"text":"Hi "}}}"#,
    &[r#"OutputTranscription("Hi ")"#, "Audio([0, 1, 2])"])]
#[case(r#"{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm","data":"AAABAAIA"}}]}}}"#,
    &["Audio([0, 1, 2])"])]
#[case(r#"{"serverContent":{"modelTurn":{"parts":[{"text":"**Planning**","thought":true}]}}}"#, &[])]
#[case(r#"{"serverContent":{"modelTurn":{"parts":[]}}}"#, &[])]
#[case(r#"{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm","data":"AQA="}},{"text":"a"},{"inlineData":{"mimeType":"audio/pcm","data":"AgA="}}]}}}"#,
    &["Audio([1])", "Audio([2])"])]
#[case(r#"{"serverContent":{"modelTurn":{"parts":{}}}}"#, &[])]
#[case(r#"{"serverContent":{"generationComplete":true}}"#, &["GenerationComplete"])]
#[case(r#"{"serverContent":{"interrupted":true}}"#, &["Interrupted"])]
#[case(r#"{"serverContent":{"interrupted":true,"turnComplete":true,"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm","data":"AAA="}}]}}}"#,
    &["Interrupted", "Audio([0])", "TurnComplete"])]
#[case(r#"{"serverContent":{"turnComplete":true},"usageMetadata":{"promptTokenCount":626,"responseTokenCount":63,"totalTokenCount":689}}"#,
    &["Usage(Usage { prompt_tokens: 626, response_tokens: 63, thoughts_tokens: 0, total_tokens: 689 })", "TurnComplete"])]
#[case(r#"{"serverContent":{"turnComplete":true,"groundingMetadata":{}},"usageMetadata":{"promptTokenCount":32,"candidatesTokenCount":87,"totalTokenCount":119}}"#,
    &["Usage(Usage { prompt_tokens: 32, response_tokens: 87, thoughts_tokens: 0, total_tokens: 119 })", "TurnComplete"])]
#[case(r#"{"toolCall":{"functionCalls":[{"id":"fc_3","name":"weather","args":{"city":"London"}},{"name":"b"}]}}"#,
    &[r#"ToolCall(ToolCall { id: Some("fc_3"), name: "weather", args: "{\"city\":\"London\"}" })"#,
      r#"ToolCall(ToolCall { id: None, name: "b", args: "{}" })"#])]
#[case(r#"{"toolCallCancellation":{"ids":["fc_3"]}}"#, &[r#"ToolCallCancelled { id: "fc_3" }"#])]
#[case(r#"{"sessionResumptionUpdate":{"newHandle":"h2","resumable":true,"lastConsumedClientMessageIndex":"42"}}"#,
    &[r#"Resumption { handle: Some("h2"), resumable: true, consumed: Some(42) }"#])]
#[case(r#"{"sessionResumptionUpdate":{"newHandle":"h2","resumable":true,"lastConsumedClientMessageIndex":7}}"#,
    &[r#"Resumption { handle: Some("h2"), resumable: true, consumed: Some(7) }"#])]
#[case(r#"{"sessionResumptionUpdate":{"newHandle":"h2","lastConsumedClientMessageIndex":-1.5}}"#,
    &[r#"Resumption { handle: Some("h2"), resumable: false, consumed: None }"#,
      r#"Malformed(Field("sessionResumptionUpdate.lastConsumedClientMessageIndex"))"#])]
#[case(r#"{"sessionResumptionUpdate":{}}"#, &["Resumption { handle: None, resumable: false, consumed: None }"])]
#[case(r#"{"goAway":{"timeLeft":"49.500s"}}"#, &["GoAway { time_left: Some(49.5s) }"])]
#[case(r#"{"goAway":{}}"#, &["GoAway { time_left: None }"])]
#[case(r#"{"goAway":{"timeLeft":"soon"}}"#, &["GoAway { time_left: None }", r#"Malformed(Field("goAway.timeLeft"))"#])]
#[case(r#"{"goAway":{"timeLeft":"-1e400s"}}"#, &["GoAway { time_left: None }", r#"Malformed(Field("goAway.timeLeft"))"#])]
#[case(r#"{"voiceActivity":{"type":"ACTIVITY_START","audioOffset":"1.880s"}}"#, &["VoiceActivity(Start)"])]
#[case(r#"{"voiceActivity":{"type":"ACTIVITY_PAUSE"}}"#, &[])]
#[case(r#"{"error":{"code":400,"message":"no","status":"INVALID_ARGUMENT"}}"#,
    &[r#"Failed(Reported { code: 400, message: "no" })"#])]
#[case("not json", &["Malformed(Json)"])]
#[case("", &["Malformed(Json)"])]
#[case("[]", &["Malformed(Json)"])]
#[case(r#"{"serverContent":5}"#, &[r#"Malformed(Field("serverContent"))"#])]
#[case(r#"{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm","data":"*"}}]}}}"#, &["Malformed(Base64)"])]
#[case(r#"{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/mpeg","data":"AAA="}}]}}}"#, &["Malformed(MimeType)"])]
fn messages_of_the_service(#[case] message: &str, #[case] expected: &[&str]) {
    assert_eq!(events(message), expected);
}

#[test]
fn a_sample_split_between_messages_is_put_together() {
    let mut decoder = Decoder::default();
    let mut samples = Vec::new();
    for data in ["AQ==", "AAIA", "Aw==", "AAQA"] {
        let message = format!(
            r#"{{"serverContent":{{"modelTurn":{{"parts":[{{"inlineData":{{"mimeType":"audio/pcm","data":"{data}"}}}}]}}}}}}"#
        );
        decoder.decode(message.as_bytes(), |event| match event {
            Event::Audio(audio) => samples.extend_from_slice(audio),
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(samples, [1, 2, 3, 4]);
}

#[rstest]
#[case(Rate::MODEL_IN, 1)]
#[case(Rate::MODEL_IN, 320)]
#[case(Rate(192_000), Frame::CAPACITY)]
fn an_audio_message_is_allocated_once(#[case] rate: Rate, #[case] len: usize) {
    let mut out = String::new();
    encode(&Command::Audio(Frame::new(rate, &vec![1234; len])), &mut out);
    assert_eq!(out.capacity(), AUDIO_ENVELOPE + (2 * len).div_ceil(3) * 4);
}

fn encoded(command: &Command) -> serde_json::Value {
    let mut out = String::new();
    encode(command, &mut out);
    serde_json::from_str(&out).unwrap()
}

#[test]
fn a_full_setup_says_everything_the_agent_wants() {
    let setup = Setup {
        model: "gemini-3.8-live".into(),
        voice: Some("Kore".into()),
        language: Some("en-GB".into()),
        prompt: "You answer \"the\" phone.".into(),
        temperature: Some(0.5),
        vad: Vad {
            start_sensitivity: Some(Sensitivity::Low),
            end_sensitivity: Some(Sensitivity::High),
            prefix_padding_ms: Some(100),
            silence_duration_ms: Some(500),
            no_interruption: true,
        },
        handle: Some("h-1".into()),
        is_transparent: false,
        history: None,
    };
    let text = "You answer \"the\" phone.\n\nSpeak en-GB unless the caller asks for another language.";
    assert_eq!(
        encoded(&Command::Setup(Box::new(setup))),
        serde_json::json!({"setup": {
            "model": "models/gemini-3.8-live",
            "generationConfig": {
                "responseModalities": ["AUDIO"],
                "temperature": 0.5,
                "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}},
            },
            "systemInstruction": {"parts": [{"text": text}]},
            "realtimeInputConfig": {
                "automaticActivityDetection": {
                    "startOfSpeechSensitivity": "START_SENSITIVITY_LOW",
                    "endOfSpeechSensitivity": "END_SENSITIVITY_HIGH",
                    "prefixPaddingMs": 100,
                    "silenceDurationMs": 500,
                },
                "activityHandling": "NO_INTERRUPTION",
            },
            "sessionResumption": {"handle": "h-1"},
            "contextWindowCompression": {"slidingWindow": {}},
            "inputAudioTranscription": {},
            "outputAudioTranscription": {},
        }})
    );
}

#[test]
fn only_a_half_cascade_model_gets_a_language_code() {
    let setup = Setup {
        model: "gemini-live-2.5-flash".into(),
        voice: None,
        language: Some("de-DE".into()),
        prompt: String::new(),
        temperature: None,
        vad: Vad::default(),
        handle: None,
        is_transparent: false,
        history: None,
    };
    let message = encoded(&Command::Setup(Box::new(setup)));
    assert_eq!(message["setup"]["generationConfig"]["speechConfig"]["languageCode"], "de-DE");
    assert_eq!(message["setup"].get("systemInstruction"), None);
    assert_eq!(message["setup"].get("realtimeInputConfig"), None);
}

#[test]
fn the_path_of_a_model_stays_as_it_is() {
    let model = "projects/p/locations/us/publishers/google/models/gemini-live-2.5-flash";
    let setup = Setup {
        model: model.into(),
        voice: None,
        language: Some("de-DE".into()),
        prompt: String::new(),
        temperature: None,
        vad: Vad::default(),
        handle: None,
        is_transparent: false,
        history: None,
    };
    let message = encoded(&Command::Setup(Box::new(setup)));
    assert_eq!(message["setup"]["model"], model);
    assert_eq!(message["setup"]["generationConfig"]["speechConfig"]["languageCode"], "de-DE");
}

#[rstest]
#[case(Command::Audio(Frame::new(Rate::MODEL_IN, &[0, 1, -1])),
    serde_json::json!({"realtimeInput": {"audio": {"mimeType": "audio/pcm;rate=16000", "data": "AAABAP//"}}}))]
#[case(Command::Text("say \"hi\"\n".into()), serde_json::json!({"realtimeInput": {"text": "say \"hi\"\n"}}))]
#[case(Command::ToolError { id: Some("fc-1".into()), name: "f".into(), message: "no".into() },
    serde_json::json!({"toolResponse": {"functionResponses": [{"id": "fc-1", "name": "f", "response": {"error": "no"}}]}}))]
#[case(Command::ToolError { id: None, name: "f".into(), message: "no".into() },
    serde_json::json!({"toolResponse": {"functionResponses": [{"name": "f", "response": {"error": "no"}}]}}))]
fn commands_as_the_service_wants_them(#[case] command: Command, #[case] expected: serde_json::Value) {
    assert_eq!(encoded(&command), expected);
}

proptest::proptest! {
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        Decoder::default().decode(&bytes, |_| {});
    }

    #[test]
    fn a_damaged_message_never_panics(at in 0_usize..190, byte in proptest::num::u8::ANY) {
        let message = r#"{"serverContent":{"modelTurn":{"role":"model","parts":[{"inlineData":{"mimeType":"audio/pcm;rate=24000","data":"AAABAAIA"}}]},"outputTranscription":{"text":"Hi"},"interrupted":true},"goAway":{}}"#;
        let mut bytes = message.as_bytes().to_vec();
        if let Some(slot) = bytes.get_mut(at) {
            *slot = byte;
        }
        Decoder::default().decode(&bytes, |_| {});
    }
}
