//! Speech services over real sockets: what they are sent, what is made of their answers, and what of their faults.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod speech_peer;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::StreamExt as _;
use patchcord::audio::Rate;
use patchcord::audio::wav::{self, Wav};
use patchcord::job::{Event, Failure, Request, Sentence, Utterance};
use patchcord::provider::Providers;
use rstest::rstest;

use speech_peer::{END, KEY, Peer, Then, all, answer, chunks, head, providers};

const JSON: &str = "application/json; charset=UTF-8";

fn transcribe() -> Request {
    Request::Transcribe(Utterance { samples: Arc::new([1, -2, 3]), language: None })
}

fn speak(text: &str) -> Request {
    Request::Speak(Sentence { text: text.to_owned(), language: None })
}

fn request(list: &str) -> Request {
    if list == "stt" { transcribe() } else { speak("Your order has shipped.") }
}

fn started(provider: &str) -> Event {
    Event::Started { provider: provider.into() }
}

fn pcm(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// A tenth of a second, from which the order of its bytes can be told.
fn voice() -> Vec<i16> {
    (0..2400).map(|n| 700 + 10 * (n % 40)).collect()
}

/// One event of Gemini with sound and, for the last one, a reason.
fn sound(samples: &[i16], finish: Option<&str>) -> String {
    let data = BASE64.encode(pcm(samples));
    let finish = finish.map(|reason| format!(r#","finishReason":"{reason}""#)).unwrap_or_default();
    format!(
        "data: {{\"candidates\":[{{\"content\":{{\"parts\":[{{\"inlineData\":{{\"mimeType\":\
         \"audio/L16;codec=pcm;rate=24000\",\"data\":\"{data}\"}}}}]}}{finish}}}]}}\r\n\r\n"
    )
}

#[rstest]
#[case(
    "google",
    "/v1/speech:recognize",
    r#"{"results":[{"alternatives":[{"transcript":"Hi there"}]}]}"#,
    "LINEAR16"
)]
#[case(
    "gemini",
    "/v1/models/gemini-3.8-flash:generateContent",
    r#"{"candidates":[{"content":{"parts":[{"text":" Hi there\n"}]},"finishReason":"STOP"}]}"#,
    "audio/wav"
)]
#[case("openai", "/v1/audio/transcriptions", r#"{"text":" Hi there "}"#, "audio.wav")]
#[tokio::test]
async fn an_utterance_becomes_its_words(
    #[case] kind: &str,
    #[case] path: &str,
    #[case] reply: &str,
    #[case] sent: &str,
) {
    let mut peer = Peer::start(answer(JSON, reply), Then::Wait);
    let events = all(providers("stt", &[(kind, peer.port, "")]).job(transcribe())).await;
    assert_eq!(events, [started(kind), Event::Text("Hi there".to_owned()), Event::Done]);
    let (head, body) = peer.requests.recv().await.unwrap();
    assert!(head.starts_with(&format!("POST {path} HTTP/1.1\r\n")), "{head}");
    assert_eq!(head.matches(KEY).count(), 1, "in a header: {head}");
    let body = String::from_utf8_lossy(&body);
    assert!(body.contains(sent) && !body.contains(KEY), "{body}");
    peer.closed.recv().await.unwrap();
}

#[tokio::test]
async fn an_openai_transcription_is_a_form_with_a_file() {
    let mut peer = Peer::start(answer(JSON, r#"{"text":""}"#), Then::Wait);
    let events = all(providers("stt", &[("openai", peer.port, "model = 'whisper'")]).job(transcribe())).await;
    assert_eq!(events, [started("openai"), Event::Done], "silence has no text");
    let (head, body) = peer.requests.recv().await.unwrap();
    assert!(head.contains("multipart/form-data; boundary="), "{head}");
    let wav = wav::write(&Wav { rate: Rate::LINE, channels: 1, samples: vec![1, -2, 3] });
    assert!(body.windows(wav.len()).any(|window| window == wav));
    let text = String::from_utf8_lossy(&body);
    for field in ["name=\"model\"\r\n\r\nwhisper\r\n", "name=\"response_format\"\r\n\r\njson\r\n"] {
        assert!(text.contains(field), "{text}");
    }
    assert!(text.contains("name=\"language\"\r\n\r\nen\r\n"), "{text}");
}

fn google_speech() -> Vec<u8> {
    let file =
        wav::write(&Wav { rate: Rate::MODEL_OUT, channels: 1, samples: vec![1000, -2000, 3000, -4000] });
    answer(JSON, format!(r#"{{"audioContent":"{}"}}"#, BASE64.encode(file)))
}

/// Seven bytes at a time, so that every line is cut.
fn gemini_speech() -> Vec<u8> {
    let stream = [sound(&[1000, -2000], None), sound(&[3000, -4000], Some("STOP"))].concat();
    [head("text/event-stream"), chunks(stream.as_bytes().chunks(7)), END.to_vec()].concat()
}

/// Three bytes at a time, so that samples are cut.
fn openai_speech() -> Vec<u8> {
    [head("audio/pcm"), chunks(pcm(&[1000, -2000, 3000, -4000]).chunks(3)), END.to_vec()].concat()
}

#[rstest]
#[case("google", "/v1/text:synthesize", google_speech())]
#[case("gemini", "/v1/models/gemini-3.1-flash-tts-preview:streamGenerateContent?alt=sse", gemini_speech())]
#[case("openai", "/v1/audio/speech", openai_speech())]
#[tokio::test]
async fn a_sentence_becomes_sound(#[case] kind: &str, #[case] path: &str, #[case] reply: Vec<u8>) {
    let mut peer = Peer::start(reply, Then::Wait);
    let events = all(providers("tts", &[(kind, peer.port, "")]).job(request("tts"))).await;
    assert_eq!((events.first(), events.last()), (Some(&started(kind)), Some(&Event::Done)));
    let Event::Billed(bill) = &events[1] else { panic!("{events:?}") };
    assert_eq!((bill.provider.as_str(), bill.characters), (kind, 23));
    let middle = &events[2..events.len() - 1];
    let samples = middle.iter().flat_map(|event| {
        let Event::Audio(samples) = event else { panic!("{event:?}") };
        samples.clone()
    });
    assert_eq!(samples.collect::<Vec<_>>(), [1000, -2000, 3000, -4000]);
    let (head, body) = peer.requests.recv().await.unwrap();
    assert!(head.starts_with(&format!("POST {path} HTTP/1.1\r\n")), "{head}");
    assert_eq!(head.matches(KEY).count(), 1, "in a header: {head}");
    assert!(String::from_utf8_lossy(&body).contains("Your order has shipped."));
    peer.closed.recv().await.unwrap();
}

#[rstest]
#[case("gemini", head("text/event-stream"), sound(&voice(), None).into_bytes(), sound(&[900], Some("STOP")).into_bytes())]
#[case("openai", head("audio/pcm"), [pcm(&voice()), vec![0x84]].concat(), vec![3])]
#[tokio::test]
async fn the_first_sound_does_not_wait_for_the_rest(
    #[case] kind: &str,
    #[case] head: Vec<u8>,
    #[case] first: Vec<u8>,
    #[case] rest: Vec<u8>,
) {
    let first = [head, chunks([&first[..]])].concat();
    let rest = [chunks([&rest[..]]), END.to_vec()].concat();
    let peer = Peer::gated(vec![first, rest], Then::Wait);
    let mut job = providers("tts", &[(kind, peer.port, "")]).job(request("tts"));
    assert_eq!(job.next().await, Some(started(kind)));
    assert!(matches!(job.next().await, Some(Event::Billed(_))));
    assert_eq!(job.next().await, Some(Event::Audio(voice())));
    peer.gate.send(()).unwrap();
    assert_eq!(all(job).await, [Event::Audio(vec![900]), Event::Done]);
}

/// Two bytes of a hundred.
fn begun(content_type: &str) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: 100\r\n\r\n");
    [head.as_bytes(), b"{\""].concat()
}

const TOO_MANY: &str = "HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\ncontent-length: 51\r\n\r\n\
    {\"error\":{\"message\":\"slow down, dear planted-key\"}}";

#[rstest]
#[case::silent(Vec::new(), Then::Wait, "first_byte_timeout")]
#[case::no_body(head("audio/pcm"), Then::Wait, "first_byte_timeout")]
#[case::stops(begun("audio/pcm"), Then::Wait, "stalled")]
#[case::cut(begun("audio/pcm"), Then::Close, "cut")]
#[case::closed(Vec::new(), Then::Close, "cut")]
#[case::too_many(TOO_MANY.into(), Then::Wait, "refused")]
#[case::page(answer("text/html", "<html>"), Then::Wait, "unreadable")]
#[case::no_http("SSH-2.0-OpenSSH_9.9\r\n\r\n".into(), Then::Close, "unreadable")]
#[tokio::test]
async fn a_fault_of_a_service_is_told_and_its_connection_closed(
    #[values("stt", "tts")] list: &str,
    #[values("google", "gemini", "openai")] kind: &str,
    #[case] reply: Vec<u8>,
    #[case] then: Then,
    #[case] code: &str,
) {
    let is_event_stream = (list, kind) == ("tts", "gemini");
    let code =
        if is_event_stream && code == "unreadable" && reply.ends_with(b"<html>") { "cut" } else { code };
    let mut peer = Peer::start(reply, then);
    let impatient = "timeouts = { first_byte_ms = 150, between_bytes_ms = 150 }";
    let providers = providers(list, &[(kind, peer.port, impatient)]);
    let events = all(providers.job(request(list))).await;
    let failure = events.iter().find_map(|event| {
        let (Event::Skipped { failure, .. } | Event::Failed(failure)) = event else { return None };
        Some(failure)
    });
    assert_eq!(failure.map(Failure::code), Some(code), "{events:?}");
    assert!(matches!(events.last(), Some(Event::Failed(_))), "{events:?}");
    assert!(!format!("{events:?}").contains(KEY), "{events:?}");
    if then == Then::Wait {
        peer.closed.recv().await.unwrap();
    }
}

#[rstest]
#[case(answer(JSON, "{}"))]
#[case(answer("text/plain", "sorry"))]
#[case(answer("audio/mpeg", "ID3"))]
#[case(answer("audio/pcm", "OggS\0\u{2}\0\0\0\0\0\0\0\0\0\0"))]
#[tokio::test]
async fn what_openai_sends_in_place_of_pcm_is_never_played(#[case] reply: Vec<u8>) {
    let peer = Peer::start(reply, Then::Wait);
    let events = all(providers("tts", &[("openai", peer.port, "")]).job(request("tts"))).await;
    assert!(
        matches!(&events[..], [Event::Skipped { failure: Failure::Unreadable { .. }, .. }, Event::Failed(_)]),
        "{events:?}"
    );
}

#[rstest]
#[case("google", answer(JSON, "{}"))]
#[case("gemini", answer("text/event-stream", "data: {\"candidates\":[{\"finishReason\":\"OTHER\"}]}\n\n"))]
#[case("openai", answer("audio/pcm", ""))]
#[tokio::test]
async fn an_answer_without_sound_is_empty_and_the_next_service_speaks(
    #[case] kind: &str,
    #[case] reply: Vec<u8>,
) {
    let mute = Peer::start(reply, Then::Wait);
    let good = Peer::start(openai_speech(), Then::Wait);
    let second = ("openai", good.port, "name = 'second'");
    let events = all(providers("tts", &[(kind, mute.port, ""), second]).job(request("tts"))).await;
    assert_eq!(events[0], Event::Skipped { provider: kind.into(), failure: Failure::Empty });
    assert_eq!((&events[1], events.last()), (&started("second"), Some(&Event::Done)));
}

#[rstest]
#[case("gemini", [head("text/event-stream"), chunks([sound(&voice(), None).as_bytes()])].concat())]
#[case("openai", [head("audio/pcm"), chunks([&pcm(&voice())[..]])].concat())]
#[tokio::test]
async fn a_job_that_is_dropped_in_the_middle_closes_its_connection(
    #[case] kind: &str,
    #[case] reply: Vec<u8>,
) {
    let mut peer = Peer::start(reply, Then::Wait);
    let mut job = providers("tts", &[(kind, peer.port, "")]).job(request("tts"));
    assert_eq!(job.next().await, Some(started(kind)));
    assert!(matches!(job.next().await, Some(Event::Billed(_))));
    assert_eq!(job.next().await, Some(Event::Audio(voice())));
    drop(job);
    peer.closed.recv().await.unwrap();
}

#[tokio::test]
async fn a_sentence_that_is_too_long_is_sent_to_nobody() {
    let mut peer = Peer::start(openai_speech(), Then::Wait);
    let providers = providers("tts", &[("openai", peer.port, "")]);
    let events = all(providers.job(speak(&"é".repeat(4097)))).await;
    let [Event::Failed(failure)] = &events[..] else { panic!("{events:?}") };
    assert!(failure.to_string().contains("4097 characters was not sent"), "{failure}");
    assert!(peer.requests.try_recv().is_err());
    assert_eq!(all(providers.job(speak(&"é".repeat(4096)))).await.last(), Some(&Event::Done));
}

#[rstest]
#[case("stt")]
#[case("tts")]
#[tokio::test]
async fn where_nothing_is_configured_every_job_fails(#[case] list: &str) {
    let providers = Providers::none();
    assert!(!providers.is_available(request(list).kind()));
    assert_eq!(all(providers.job(request(list))).await, [Event::Failed(Failure::NoProvider)]);
}
