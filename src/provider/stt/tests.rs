//! Tables of what each service is sent and of what is made of its replies.

use rstest::rstest;
use serde_json::json;

use super::*;
use crate::base64;

const TASK: Task<'static> = Task { samples: &[1, -2], language: "de-DE", model: "gemini-3.8-flash" };

#[test]
fn google_is_sent_the_samples_as_they_are() {
    assert_eq!(
        google::body(&TASK),
        json!({
            "config": {
                "encoding": "LINEAR16", "sampleRateHertz": 8000, "audioChannelCount": 1, "languageCode": "de-DE",
                "model": "gemini-3.8-flash", "useEnhanced": true, "enableAutomaticPunctuation": true,
                "maxAlternatives": 1,
            },
            "audio": { "content": "AQD+/w==" },
        })
    );
}

#[test]
fn gemini_is_sent_a_file_and_told_to_write_it_down() {
    let body = gemini::body(&TASK);
    let blob = &body["contents"][0]["parts"][0]["inlineData"];
    assert_eq!(blob["mimeType"], "audio/wav");
    let file = wav::read(&base64::decode(blob["data"].as_str().unwrap()).unwrap()).unwrap();
    assert_eq!(file, Wav { rate: Rate::LINE, channels: 1, samples: vec![1, -2] });
    let instruction = body["systemInstruction"]["parts"][0]["text"].as_str().unwrap();
    assert!(instruction.contains("verbatim") && instruction.contains("de-DE"), "{instruction}");
    assert_eq!(body["generationConfig"]["thinkingConfig"]["thinkingLevel"], "LOW");
    let older = gemini::body(&Task { model: "gemini-2.5-flash", ..TASK });
    assert!(older["generationConfig"].get("thinkingConfig").is_none());
}

#[rstest]
#[case("en-US", Some("en"))]
#[case("PT_br", Some("pt"))]
#[case("de", Some("de"))]
#[case("cmn-Hans-CN", None)]
#[case("", None)]
fn openai_is_told_the_language_in_two_letters_or_not(#[case] tag: &str, #[case] language: Option<&str>) {
    assert_eq!(openai::iso_639_1(tag).as_deref(), language);
}

type Parser = fn(&[u8]) -> Result<String, Failure>;

#[rstest]
#[case::google(google::transcript, r#"{"results":[{"alternatives":[{"transcript":"where is my order","confidence":0.9},{"transcript":"no"}]},{"alternatives":[{"transcript":" please "}]}]}"#, "where is my order please")]
#[case::google_silence(google::transcript, r#"{"totalBilledTime":"2s","requestId":"1"}"#, "")]
#[case::google_without_alternatives(google::transcript, r#"{"results":[{"resultEndTime":"1.8s"}]}"#, "")]
#[case::gemini(gemini::transcript, r#"{"candidates":[{"content":{"parts":[{"text":"Well,","thought":true},{"text":"Hel"},{"text":"lo.\n"}]},"finishReason":"STOP"}]}"#, "Hello.\n")]
#[case::gemini_silence(
    gemini::transcript,
    r#"{"candidates":[{"content":{"role":"model"},"finishReason":"STOP"}]}"#,
    ""
)]
#[case::gemini_without_reason(
    gemini::transcript,
    r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}]}}]}"#,
    "Hi"
)]
#[case::openai(openai::transcript, r#"{"text":" Hello.","usage":{"type":"tokens"}}"#, " Hello.")]
#[case::openai_silence(openai::transcript, r#"{"text":""}"#, "")]
#[case::openai_null(openai::transcript, r#"{"text":null,"error":null,"usage":"none"}"#, "")]
#[case::openai_null_and_another_place(openai::transcript, r#"{"text":null,"transcript":"Hello."}"#, "Hello.")]
#[case::openai_plain_text(openai::transcript, "Hello.\n", "Hello.")]
#[case::openai_quoted(openai::transcript, "\"Hello.\"", "Hello.")]
#[case::openai_plain_remark(openai::transcript, " [BLANK_AUDIO]\n", "[BLANK_AUDIO]")]
#[case::openai_plain_times(
    openai::transcript,
    "[00:00.000 --> 00:04.000] Hello.",
    "[00:00.000 --> 00:04.000] Hello."
)]
#[case::openai_plain_tokens(openai::transcript, "<|en|> Hello.", "<|en|> Hello.")]
#[case::openai_plain_number(openai::transcript, "42", "42")]
#[case::openai_byte_order_mark(openai::transcript, "\u{FEFF}{\"text\":\"Hello.\"}", "Hello.")]
#[case::a_transcript(openai::transcript, r#"{"transcript":"Hello."}"#, "Hello.")]
#[case::a_transcription(openai::transcript, r#"{"transcription":"Hello."}"#, "Hello.")]
#[case::a_nested_one(openai::transcript, r#"{"result":{"text":"Hello."}}"#, "Hello.")]
#[case::deepgram(
    openai::transcript,
    r#"{"results":{"channels":[{"alternatives":[{"transcript":"Hello."}]}]}}"#,
    "Hello."
)]
#[case::results(
    openai::transcript,
    r#"{"results":[{"alternatives":[{"transcript":"Hello."}]},{"transcript":"Yes."}]}"#,
    "Hello. Yes."
)]
#[case::segments_alone(
    openai::transcript,
    r#"{"segments":[{"text":"Hello."},{"text":"Yes."}]}"#,
    "Hello. Yes."
)]
#[case::verbose(openai::transcript, r#"{"text":"x","segments":[{"text":"Hello.","no_speech_prob":0.01,"avg_logprob":-0.2},{"text":"Thank you for watching.","no_speech_prob":0.9,"avg_logprob":-1.4}]}"#, "Hello.")]
#[case::verbose_and_unsure(
    openai::transcript,
    r#"{"segments":[{"text":"Thank you.","no_speech_prob":0.7,"avg_logprob":-0.3}]}"#,
    "Thank you."
)]
#[case::a_list_of_texts(openai::transcript, r#"{"text":["Hello.","Yes."]}"#, "Hello. Yes.")]
#[case::a_list_with_spaces(
    openai::transcript,
    r#"{"text":["Hello."," Yes ","please."]}"#,
    "Hello. Yes please."
)]
#[case::a_list_of_stretches(
    openai::transcript,
    r#"{"transcript":[{"text":"Hello."},{"text":"Yes."}]}"#,
    "Hello. Yes."
)]
#[case::a_bare_list(openai::transcript, r#"["Hello.","Yes."]"#, "Hello. Yes.")]
#[case::several_documents(openai::transcript, "{\"text\":\"Hello.\"}\n{\"text\":\"Yes.\"}\n", "Hello. Yes.")]
#[case::a_list_of_documents(openai::transcript, r#"[{"text":"Hello."},{"text":"Yes."}]"#, "Hello. Yes.")]
#[case::no_number(
    openai::transcript,
    r#"{"text":"Hello.","segments":[{"text":"Hello.","no_speech_prob":0.01,"avg_logprob":NaN}]}"#,
    "Hello."
)]
#[case::infinite(
    openai::transcript,
    r#"{"text":"Hello.","segments":[{"text":"Hello.","no_speech_prob":0.9,"avg_logprob":-Infinity}]}"#,
    "Hello."
)]
#[case::null(
    openai::transcript,
    r#"{"text":"Hello.","segments":[{"text":"Hello.","no_speech_prob":null,"avg_logprob":null}]}"#,
    "Hello."
)]
#[case::infinite_without_text(
    openai::transcript,
    r#"{"segments":[{"text":" Hello.","avg_logprob":-inf},{"text":" Yes.","avg_logprob":"NaN"}]}"#,
    " Hello. Yes."
)]
#[case::an_empty_text_beside_segments(
    openai::transcript,
    r#"{"text":"","segments":[{"text":"Hello."},{"text":"Yes."}]}"#,
    "Hello. Yes."
)]
#[case::segments_without_words_of_their_own(
    openai::transcript,
    r#"{"text":"Hello.","segments":[{"id":0,"no_speech_prob":0.9,"avg_logprob":-2.0}]}"#,
    "Hello."
)]
#[case::segments_of_words(
    openai::transcript,
    r#"{"segments":[{"words":[{"word":"Hello."},{"word":"Yes."}]}]}"#,
    "Hello. Yes."
)]
#[case::words_alone(openai::transcript, r#"{"words":[{"word":"Hello."},{"word":"Yes."}]}"#, "Hello. Yes.")]
#[case::chunks(openai::transcript, r#"{"chunks":[{"text":" Hello.","timestamp":[0,1]}]}"#, " Hello.")]
#[case::noise_alone(
    openai::transcript,
    r#"{"text":"Thank you.","segments":[{"text":"Thank you.","no_speech_prob":0.9,"avg_logprob":-1.4}]}"#,
    ""
)]
#[case::google_null(google::transcript, r#"{"results":null,"error":null}"#, "")]
#[case::google_mistyped(
    google::transcript,
    r#"{"results":[{"alternatives":[{"transcript":"Hello","confidence":"high"}],"languageCode":7}]}"#,
    "Hello"
)]
fn a_good_reply_is_its_words(#[case] parse: Parser, #[case] reply: &str, #[case] transcript: &str) {
    assert_eq!(parse(reply.as_bytes()).as_deref(), Ok(transcript));
}

#[rstest]
#[case::gemini_cut(
    gemini::transcript,
    r#"{"candidates":[{"content":{"parts":[{"text":"a a a"}]},"finishReason":"MAX_TOKENS"}]}"#,
    "cut"
)]
#[case::gemini_thoughts_only(gemini::transcript, r#"{"candidates":[{"finishReason":"MAX_TOKENS"}]}"#, "cut")]
#[case::gemini_other(gemini::transcript, r#"{"candidates":[{"finishReason":"OTHER"}]}"#, "empty")]
#[case::gemini_nothing(gemini::transcript, "{}", "empty")]
#[case::gemini_blocked(gemini::transcript, r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#, "blocked")]
#[case::gemini_error(gemini::transcript, r#"{"error":{"message":"no"}}"#, "reported")]
#[case::google_error(google::transcript, r#"{"error":{"code":500}}"#, "reported")]
#[case::google_list(google::transcript, "[]", "unreadable")]
#[case::google_wrong_type(google::transcript, r#"{"results":"none"}"#, "unreadable")]
#[case::openai_error(openai::transcript, r#"{"error":{"message":"no"}}"#, "reported")]
#[case::openai_without_text(openai::transcript, "{}", "unreadable")]
#[case::openai_page(openai::transcript, "<html>Sign in</html>", "unreadable")]
#[case::openai_nothing(openai::transcript, "", "unreadable")]
#[case::openai_error_in_words(openai::transcript, r#"{"error":"no"}"#, "reported")]
#[case::openai_error_of_a_server(openai::transcript, r#"{"detail":"no"}"#, "reported")]
#[case::openai_broken(openai::transcript, r#"{"text":"He"#, "unreadable")]
fn a_reply_without_a_transcript_is_a_failure(#[case] parse: Parser, #[case] reply: &str, #[case] code: &str) {
    assert_eq!(parse(reply.as_bytes()).unwrap_err().code(), code);
}
