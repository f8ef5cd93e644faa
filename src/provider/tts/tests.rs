//! Tables of what each service is sent and of what is made of its replies.

use rstest::rstest;
use serde_json::json;

use super::*;
use crate::audio::Rate;
use crate::audio::wav::{self, Wav};
use crate::base64;

const TASK: Task<'static> = Task {
    text: "Where to?",
    language: "en-US",
    has_own_language: true,
    model: None,
    voice: Some("Anna"),
    speed: None,
};

#[test]
fn google_is_asked_for_a_file_at_24_khz() {
    assert_eq!(
        google::body(&TASK),
        json!({
            "input": { "text": "Where to?" },
            "voice": { "languageCode": "en-US", "name": "Anna" },
            "audioConfig": { "audioEncoding": "LINEAR16", "sampleRateHertz": 24000 },
        })
    );
    let faster = Task { speed: Some(1.5), model: Some("m"), ..TASK };
    assert_eq!(google::body(&faster)["audioConfig"]["speakingRate"], 1.5);
    assert_eq!(google::body(&faster)["voice"]["modelName"], "m");
}

#[test]
fn google_picks_the_voice_for_a_language_that_ours_does_not_speak() {
    let body = google::body(&Task { language: "fr-FR", has_own_language: false, ..TASK });
    assert_eq!(body["voice"], json!({ "languageCode": "fr-FR" }));
    assert_eq!(google::voice("fr-FR"), None);
}

#[test]
fn gemini_is_told_to_read_and_not_to_answer() {
    let body = gemini::body(&TASK);
    let prompt = body["contents"][0]["parts"][0]["text"].as_str().unwrap();
    assert!(prompt.contains("word for word") && prompt.ends_with("Where to?"), "{prompt}");
    assert_eq!(
        body["generationConfig"],
        json!({
            "responseModalities": ["AUDIO"],
            "speechConfig": { "voiceConfig": { "prebuiltVoiceConfig": { "voiceName": "Anna" } } },
        })
    );
}

#[test]
fn openai_is_asked_for_raw_audio() {
    let body = openai::body(&Task { model: Some("tts"), speed: Some(0.5), ..TASK });
    let expected = json!({
        "model": "tts", "input": "Where to?", "voice": "Anna", "response_format": "pcm", "speed": 0.5,
    });
    assert_eq!(body, expected);
    assert!(openai::body(&TASK).get("speed").is_none());
}

#[test]
fn google_sends_a_file_or_raw_audio() {
    let file = wav::write(&Wav { rate: Rate::MODEL_OUT, channels: 1, samples: vec![1000, -2000] });
    for audio in [&file[..], &[0xE8, 3, 0x30, 0xF8]] {
        let reply = json!({ "audioContent": base64::encode(audio) }).to_string();
        assert_eq!(google::samples(reply.as_bytes()).unwrap(), [1000, -2000]);
    }
    assert_eq!(google::samples(b"{}"), Err(Failure::Empty));
}

#[rstest]
#[case(r#"{"audioContent":"!"}"#, "unreadable")]
#[case(r#"{"audioContent":7}"#, "unreadable")]
#[case(r#"{"audioContent":"UklGRgAA"}"#, "empty")]
#[case(r#"{"audioContent":"T2dnUwACAAAAAAAAAAAAAAAA"}"#, "unreadable")]
#[case(r#"{"audioContent":"AAAAAAAAAAA="}"#, "silent")]
#[case("no", "unreadable")]
#[case(r#"{"error":{"message":"no"}}"#, "reported")]
fn a_reply_of_google_without_speech_is_a_failure(#[case] reply: &str, #[case] code: &str) {
    assert_eq!(google::samples(reply.as_bytes()).unwrap_err().code(), code);
}

fn sound(mime_type: &str, bytes: &[u8]) -> String {
    let blob = json!({ "mimeType": mime_type, "data": base64::encode(bytes) });
    json!({ "candidates": [{ "content": { "parts": [{ "inlineData": blob }] } }] }).to_string()
}

fn finish(reason: &str) -> String {
    json!({ "candidates": [{ "finishReason": reason }] }).to_string()
}

/// The samples of these events, or what went wrong.
fn speech(events: &[String]) -> Result<Vec<i16>, &'static str> {
    let mut speech = gemini::Speech::default();
    let mut samples = Vec::new();
    for event in events {
        samples.extend(speech.push(event).map_err(|failure| failure.code())?);
    }
    samples.extend(speech.end().map_err(|failure| failure.code())?);
    Ok(samples)
}

const L16: &str = "audio/L16;codec=pcm;rate=24000";

#[test]
fn half_a_sample_waits_for_the_next_event_of_gemini() {
    let events = [sound(L16, &[0xE8, 3, 0x30]), sound("audio/L16;rate=24000", &[0xF8]), finish("STOP")];
    assert_eq!(speech(&events), Ok(vec![1000, -2000]));
}

#[test]
fn another_rate_of_gemini_is_converted() {
    let events = [sound("audio/pcm;rate=48000", &[0x10, 0x90].repeat(4800)), finish("STOP")];
    let len = speech(&events).unwrap().len();
    assert!((2400..=2640).contains(&len), "100 ms are {len} samples");
}

#[rstest]
#[case::without_a_last_event(&[])]
#[case::for_want_of_tokens(&[finish("MAX_TOKENS")])]
fn a_stream_of_gemini_that_ends_well_after_a_sound_has_ended(#[case] end: &[String]) {
    let events = [&[sound(L16, &[0xE8, 3])], end].concat();
    assert_eq!(speech(&events), Ok(vec![1000]));
}

#[rstest]
#[case::other(&[finish("OTHER")], "empty")]
#[case::words(&[r#"{"candidates":[{"content":{"parts":[{"text":"Sure!"}]},"finishReason":"STOP"}]}"#.to_owned()], "empty")]
#[case::gave_up(&[sound(L16, &[0, 0]), finish("OTHER")], "cut")]
#[case::silence(&[sound(L16, &[0, 0])], "silent")]
#[case::nothing(&[], "cut")]
#[case::blocked(&[finish("PROHIBITED_CONTENT")], "blocked")]
#[case::error(&[r#"{"error":{"message":"no"}}"#.to_owned()], "reported")]
#[case::other_sound(&[sound("audio/mp3", &[0, 0])], "unreadable")]
#[case::changing_rate(&[sound(L16, &[0, 0]), sound("audio/L16;rate=16000", &[0, 0])], "unreadable")]
#[case::no_json(&["[DONE]".to_owned()], "unreadable")]
fn a_reply_of_gemini_without_speech_is_a_failure(#[case] events: &[String], #[case] code: &'static str) {
    assert_eq!(speech(events), Err(code));
}

#[rstest]
#[case("kind = 'openai'\nspeed = 4.5", Error::Speed)]
#[case("kind = 'google'\nspeed = nan", Error::Speed)]
#[case("kind = 'gemini'\nspeed = 1.0", Error::NoSpeed)]
fn a_speed_that_no_service_takes_is_refused(#[case] entry: &str, #[case] error: Error) {
    assert_eq!(check_speed(&toml::from_str(entry).unwrap()), Err(error));
}
