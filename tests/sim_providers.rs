//! The simulated HTTP providers on real sockets: each route byte by byte, each refusal, each fault.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use patchcord::audio::{Rate, g711, wav};
use patchcord::secret::Secret;
use patchcord::sim::providers::{
    Asked, Config, Delivery, Dialogue, Observation, Pace, Recording, Route, Server, Sighting, Subject,
    speaking_time,
};
use rstest::rstest;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast::Receiver;

/// Nothing here takes long; what hangs is a failure.
const PATIENCE: Duration = Duration::from_secs(20);

const QUESTION: &str = "I would like to know how old is the Brooklyn Bridge?";
const ANSWER: &str = "The Brooklyn Bridge was opened in eighteen eighty three, so it is more than one hundred and \
                      forty years old. Would you like to know anything else?";

/// At no pace at all, with one transcript and these faults.
async fn server(faults: &[&str]) -> Server {
    let faults = faults.iter().map(|text| text.parse().unwrap()).collect();
    let transcripts = vec!["Where is my order?".to_owned()];
    let key = Some(Secret::new("right"));
    let config = Config { transcripts, pace: Pace::NONE, key, faults, ..Config::default() };
    Server::start(TcpListener::bind("127.0.0.1:0").await.unwrap(), config).unwrap()
}

/// A request of every service that is right.
struct Request {
    path: &'static str,
    headers: String,
    body: Vec<u8>,
}

impl Request {
    fn json(path: &'static str, body: &Value) -> Self {
        let headers = "authorization: Bearer right\r\nx-goog-api-key: right\r\nx-api-key: right\r\n\
                       anthropic-version: 2023-06-01\r\ncontent-type: application/json\r\n";
        Self { path, headers: headers.to_owned(), body: body.to_string().into_bytes() }
    }

    fn get(path: &'static str) -> Self {
        Self { path, headers: "authorization: Bearer right\r\n".to_owned(), body: Vec::new() }
    }

    /// A recording with the other fields of its form.
    fn form(file: &[u8], fields: &[(&str, &str)]) -> Self {
        let mut body = Vec::new();
        for (name, value) in fields {
            let field = format!("--xx\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
            body.extend(field.as_bytes());
        }
        let disposition = "--xx\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n";
        body.extend(disposition.as_bytes());
        body.extend(file);
        body.extend(b"\r\n--xx--\r\n");
        let headers = "authorization: Bearer right\r\ncontent-type: multipart/form-data; boundary=xx\r\n";
        Self { path: "/v1/audio/transcriptions", headers: headers.to_owned(), body }
    }

    async fn send(&self, server: &Server) -> TcpStream {
        let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
        let method = if self.body.is_empty() { "GET" } else { "POST" };
        let head = format!(
            "{method} {} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n{}\r\n",
            self.path,
            self.body.len(),
            self.headers
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&self.body).await.unwrap();
        stream
    }

    async fn answer(&self, server: &Server) -> Answer {
        let mut stream = self.send(server).await;
        let mut bytes = Vec::new();
        // A connection that is cut may be reset.
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("in time").ok();
        Answer::read(&bytes)
    }
}

/// What came over a connection to its end.
#[derive(Debug)]
struct Answer {
    /// Zero: nothing came.
    status: u16,
    head: String,
    body: Vec<u8>,
    is_whole: bool,
}

impl Answer {
    fn read(bytes: &[u8]) -> Self {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            assert_eq!(bytes, b"", "half a head");
            return Self { status: 0, head: String::new(), body: Vec::new(), is_whole: false };
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let rest = &bytes[end + 4..];
        let (body, is_whole) = if head.contains("transfer-encoding: chunked") {
            unchunk(rest)
        } else {
            let length = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
            (rest.to_vec(), rest.len() == length.parse::<usize>().unwrap())
        };
        Self { status, head, body, is_whole }
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// With what differs from run to run made equal.
    fn json(&self) -> Value {
        assert!(self.is_whole, "{self:?}");
        steady(serde_json::from_slice(&self.body).unwrap())
    }

    /// The data of events that end like this.
    fn events(&self, end: &str) -> Vec<String> {
        assert!(self.is_whole, "{self:?}");
        let text = self.text();
        let events = text.strip_suffix(end).expect("the last event is whole").split(end);
        events.map(str::to_owned).collect()
    }
}

fn steady(mut value: Value) -> Value {
    for (name, steady) in [("created", json!(0)), ("created_at", json!(""))] {
        if let Some(field) = value.get_mut(name) {
            *field = steady;
        }
    }
    value
}

fn data(event: &str) -> Value {
    steady(serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap())
}

fn unchunk(mut bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(end) = bytes.windows(2).position(|window| window == b"\r\n") {
        let size = std::str::from_utf8(&bytes[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return (body, true);
        }
        let Some(chunk) = bytes.get(end + 2..end + 2 + size) else { break };
        body.extend(chunk);
        bytes = &bytes[(end + 4 + size).min(bytes.len())..];
    }
    (body, false)
}

async fn sighting(sightings: &mut Receiver<Sighting>) -> Sighting {
    tokio::time::timeout(PATIENCE, sightings.recv()).await.expect("in time").unwrap()
}

async fn observation(sightings: &mut Receiver<Sighting>) -> Observation {
    sighting(sightings).await.observation
}

fn samples(ms: usize) -> Vec<i16> {
    (0..ms * 8).map(|n| [4000, -4000][n / 4 % 2]).collect()
}

fn recording(ms: usize) -> Vec<u8> {
    wav::write(&wav::Wav { rate: Rate::LINE, channels: 1, samples: samples(ms) })
}

fn chat(extra: &Value) -> Request {
    let messages = json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}]);
    with(Request::json("/v1/chat/completions", &json!({"model": "gpt-sim", "messages": messages})), extra)
}

fn gemini(path: &'static str) -> Request {
    let contents = json!([{"role": "user", "parts": [{"text": QUESTION}]}]);
    let instruction = json!({"parts": [{"text": "Be brief."}]});
    Request::json(path, &json!({"systemInstruction": instruction, "contents": contents}))
}

fn messages(extra: &Value) -> Request {
    let messages = json!([{"role": "user", "content": QUESTION}]);
    with(
        Request::json(
            "/v1/messages",
            &json!({"model": "claude-sim", "max_tokens": 300, "messages": messages}),
        ),
        extra,
    )
}

fn ollama(extra: &Value) -> Request {
    let messages = json!([{"role": "user", "content": QUESTION}]);
    with(Request::json("/api/chat", &json!({"model": "llama", "messages": messages})), extra)
}

fn speech(format: &str) -> Request {
    let body = json!({"model": "gpt-4o-mini-tts", "input": "Good morning.", "voice": "alloy", "response_format": format});
    Request::json("/v1/audio/speech", &body)
}

fn recognize(audio: &[u8]) -> Request {
    let config =
        json!({"encoding": "MULAW", "sampleRateHertz": 8000, "languageCode": "en-US", "model": "phone_call"});
    let audio = json!({"content": STANDARD.encode(audio)});
    Request::json("/v1/speech:recognize", &json!({"config": config, "audio": audio}))
}

fn synthesize(encoding: &str) -> Request {
    let voice = json!({"languageCode": "en-US", "name": "en-US-Neural2-F"});
    let audio = json!({"audioEncoding": encoding, "sampleRateHertz": 8000});
    let body = json!({"input": {"text": "Good morning."}, "voice": voice, "audioConfig": audio});
    Request::json("/v1/text:synthesize", &body)
}

/// The request with more, or other, fields; null takes a field away.
fn with(mut request: Request, extra: &Value) -> Request {
    let mut body: Value = serde_json::from_slice(&request.body).unwrap();
    for (name, value) in extra.as_object().unwrap() {
        body[name] = value.clone();
    }
    body.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    request.body = body.to_string().into_bytes();
    request
}

/// Samples that `Good morning.` takes at a rate.
fn morning(rate: usize) -> usize {
    speaking_time("Good morning.", 1.0).as_millis() as usize * rate / 1000
}

#[tokio::test]
async fn a_chat_completion_is_one_object() {
    let server = server(&[]).await;
    let mut sightings = server.observations();
    let answer = chat(&json!({"temperature": 0.5})).answer(&server).await;
    let message = json!({"role": "assistant", "content": ANSWER, "refusal": null});
    let choice = json!({"index": 0, "message": message, "logprobs": null, "finish_reason": "stop"});
    assert_eq!(
        answer.json(),
        json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": "gpt-sim", "choices": [choice],
            "usage": {"prompt_tokens": 17, "completion_tokens": 27, "total_tokens": 44},
        })
    );
    let dialogue = Dialogue {
        instruction: "Be brief.".to_owned(),
        lines: 1,
        last: QUESTION.to_owned(),
        temperature: Some(0.5),
        tokens_max: None,
    };
    let subject = Subject::Dialogue(dialogue);
    let asked = Asked { model: "gpt-sim".to_owned(), delivery: Delivery::Whole, subject };
    let first = sighting(&mut sightings).await;
    assert_eq!((first.request, first.route), (1, Route::ChatCompletions));
    assert_eq!(first.observation, Observation::Asked(asked));
    assert_eq!(observation(&mut sightings).await, Observation::Answered);
}

#[tokio::test]
async fn a_chat_completion_is_streamed_token_by_token_and_ends_with_its_usage() {
    let server = server(&[]).await;
    let wanted = json!({"stream": true, "stream_options": {"include_usage": true}, "max_tokens": 3});
    let answer = chat(&wanted).answer(&server).await;
    assert!(answer.head.contains("content-type: text/event-stream"));
    let chunk = |choices: Value, usage: Value| {
        json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": "gpt-sim",
            "choices": choices, "usage": usage,
        })
    };
    let delta = |delta: Value, reason: Value| {
        chunk(json!([{"index": 0, "delta": delta, "finish_reason": reason}]), Value::Null)
    };
    let events = answer.events("\n\n");
    let (done, chunks) = events.split_last().unwrap();
    assert_eq!(done, "data: [DONE]");
    assert_eq!(
        chunks.iter().map(|event| data(event)).collect::<Vec<_>>(),
        [
            delta(json!({"role": "assistant", "content": ""}), Value::Null),
            delta(json!({"content": "The"}), Value::Null),
            delta(json!({"content": " Brooklyn"}), Value::Null),
            delta(json!({"content": " Bridge"}), Value::Null),
            delta(json!({}), json!("length")),
            chunk(json!([]), json!({"prompt_tokens": 17, "completion_tokens": 3, "total_tokens": 20})),
        ]
    );
}

#[tokio::test]
async fn a_caller_who_said_nothing_is_greeted() {
    let server = server(&[]).await;
    let answer =
        chat(&json!({"messages": [{"role": "system", "content": "Be brief."}]})).answer(&server).await;
    let greeting = "Hello, this is Patchcord speaking. How can I help you?";
    assert_eq!(answer.json()["choices"][0]["message"]["content"], greeting);
}

#[tokio::test]
async fn transcripts_come_in_the_format_that_is_wanted() {
    let server = server(&[]).await;
    let mut sightings = server.observations();
    let form =
        |format| Request::form(&recording(1500), &[("model", "whisper-1"), ("response_format", format)]);
    let usage = json!({"type": "duration", "seconds": 2.0});
    let answer = form("json").answer(&server).await;
    assert_eq!(answer.json(), json!({"text": "Where is my order?", "usage": usage}));
    let recording = Recording {
        length: Some(Duration::from_millis(1500)),
        rate: Some(8000),
        is_silent: false,
        language: None,
    };
    let subject = Subject::Recording(recording);
    let asked = Asked { model: "whisper-1".to_owned(), delivery: Delivery::Whole, subject };
    assert_eq!(observation(&mut sightings).await, Observation::Asked(asked));

    let text = "This is 1.5 seconds of speech.";
    assert_eq!(form("text").answer(&server).await.text(), format!("{text}\n"));
    let verbose = form("verbose_json").answer(&server).await.json();
    let told = json!({"task": verbose["task"], "duration": verbose["duration"], "text": verbose["text"]});
    assert_eq!(told, json!({"task": "transcribe", "duration": 1.5, "text": text}));
    assert_eq!(verbose["segments"][0]["end"], 1.5);
}

#[tokio::test]
async fn speech_is_as_long_as_its_text_with_and_without_header() {
    let server = server(&[]).await;
    let pcm = speech("pcm").answer(&server).await;
    assert!(pcm.is_whole && pcm.head.contains("content-type: audio/pcm"));
    assert_eq!(pcm.body.len(), morning(24_000) * 2);
    assert!(pcm.body.chunks_exact(2).any(|pair| i16::from_le_bytes([pair[0], pair[1]]) > 5000));
    let wav = speech("wav").answer(&server).await;
    let header = b"RIFF\xFF\xFF\xFF\xFFWAVEfmt \x10\0\0\0\x01\0\x01\0\xC0\x5D\0\0\x80\xBB\0\0\x02\0\x10\0data\xFF\xFF\xFF\xFF";
    assert_eq!(wav.body[..44], header[..]);
    assert_eq!(wav.body[44..], pcm.body);
}

#[tokio::test]
async fn the_models_are_listed() {
    let server = server(&[]).await;
    let models = Request::get("/v1/models").answer(&server).await.json();
    assert_eq!((&models["object"], &models["data"][0]["id"]), (&json!("list"), &json!("gpt-sim")));
}

#[tokio::test]
async fn gemini_gives_one_reply_or_many() {
    let server = server(&[]).await;
    let whole = gemini("/v1beta/models/gemini-3.8-flash:generateContent").answer(&server).await;
    let candidate = |parts: Value| json!({"content": {"role": "model", "parts": parts}, "index": 0});
    let mut last = candidate(json!([{"text": ANSWER}]));
    last["finishReason"] = json!("STOP");
    let usage = json!({
        "promptTokenCount": 17, "candidatesTokenCount": 27, "totalTokenCount": 44,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 17}],
    });
    let reply = |candidate: &Value, usage: &Value, id: &str| {
        json!({
            "candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-3.8-flash", "responseId": id,
        })
    };
    assert_eq!(whole.json(), reply(&last, &usage, "sim-1"));

    let stream =
        gemini("/v1beta/models/gemini-3.8-flash:streamGenerateContent?alt=sse").answer(&server).await;
    let events = stream.events("\r\n\r\n");
    assert_eq!(events.len(), 28);
    let begun = json!({
        "promptTokenCount": 17, "totalTokenCount": 17,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 17}],
    });
    assert_eq!(data(&events[1]), reply(&candidate(json!([{"text": " Brooklyn"}])), &begun, "sim-2"));
    let end = json!({"content": {"role": "model"}, "finishReason": "STOP", "index": 0});
    assert_eq!(data(&events[27]), reply(&end, &usage, "sim-2"));

    let array = gemini("/v1beta/models/gemini-3.8-flash:streamGenerateContent").answer(&server).await;
    assert_eq!(array.json().as_array().unwrap().len(), 28);
}

#[rstest]
#[case("/v1beta/models/gemini-2.5-flash-preview-tts:generateContent", 1)]
#[case("/v1beta/models/gemini-2.5-flash-preview-tts:streamGenerateContent?alt=sse", 4)]
#[tokio::test]
async fn gemini_speaks_24_khz(#[case] path: &'static str, #[case] pieces: usize) {
    let server = server(&[]).await;
    let voice = json!({"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}});
    let body = json!({
        "contents": [{"parts": [{"text": "Good morning."}]}],
        "generationConfig": {"responseModalities": ["AUDIO"], "speechConfig": voice},
    });
    let answer = Request::json(path, &body).answer(&server).await;
    let replies = match pieces {
        1 => vec![answer.json()],
        _ => answer.events("\r\n\r\n").iter().map(|event| data(event)).collect(),
    };
    let mut blobs = 0;
    let mut bytes = Vec::new();
    for blob in replies.iter().filter_map(|reply| reply.pointer("/candidates/0/content/parts/0/inlineData")) {
        assert_eq!(blob["mimeType"], "audio/L16;codec=pcm;rate=24000");
        bytes.extend(STANDARD.decode(blob["data"].as_str().unwrap()).unwrap());
        blobs += 1;
    }
    assert_eq!((blobs, bytes.len()), (pieces, morning(24_000) * 2));
    assert_eq!(replies.last().unwrap()["candidates"][0]["finishReason"], "STOP");
}

#[tokio::test]
async fn gemini_transcribes_what_it_is_asked_to_transcribe() {
    let server = server(&[]).await;
    let audio = json!({"inlineData": {"mimeType": "audio/wav", "data": STANDARD.encode(recording(500))}});
    let parts = json!([{"text": "Transcribe this recording."}, audio]);
    let body = json!({"contents": [{"role": "user", "parts": parts}]});
    let answer =
        Request::json("/v1beta/models/gemini-3.8-flash:generateContent", &body).answer(&server).await;
    assert_eq!(answer.json().pointer("/candidates/0/content/parts/0/text").unwrap(), "Where is my order?");
}

#[tokio::test]
async fn google_recognizes_speech_and_has_no_results_for_silence() {
    let server = server(&[]).await;
    let mut speech = Vec::new();
    g711::encode_into(&samples(1860), &mut speech);
    let answer = recognize(&speech).answer(&server).await;
    let alternatives = json!([{"transcript": "Where is my order?", "confidence": 0.93}]);
    let result = json!({"alternatives": alternatives, "resultEndTime": "1.860s", "languageCode": "en-us"});
    let expected = json!({"results": [result], "totalBilledTime": "2s", "requestId": "7000000001"});
    assert_eq!(answer.json(), expected);
    let answer = recognize(&[g711::MULAW_SILENCE; 8000]).answer(&server).await;
    assert_eq!(answer.json(), json!({"totalBilledTime": "1s", "requestId": "7000000002"}));
}

#[tokio::test]
async fn google_speaks_with_a_wav_header_unless_pcm_is_wanted() {
    let server = server(&[]).await;
    let mut spoken = Vec::new();
    for encoding in ["PCM", "LINEAR16", "MULAW"] {
        let answer = synthesize(encoding).answer(&server).await.json();
        spoken.push(STANDARD.decode(answer["audioContent"].as_str().unwrap()).unwrap());
    }
    let [pcm, linear, mulaw] = &spoken[..] else { panic!() };
    assert_eq!(pcm.len(), morning(8000) * 2);
    let linear = wav::read(linear).unwrap();
    assert_eq!((linear.rate, linear.channels, linear.samples.len()), (Rate::LINE, 1, morning(8000)));
    let expected: Vec<_> = linear.samples.iter().map(|&sample| g711::encode(sample)).collect();
    assert_eq!(wav::read_mulaw(mulaw).unwrap(), expected);
}

#[tokio::test]
async fn anthropic_gives_a_message_or_its_events() {
    let server = server(&[]).await;
    let answer = messages(&json!({"system": "Be brief."})).answer(&server).await;
    let message = |number: u32, content: Value, reason: Value, tokens: u32| {
        json!({
            "id": format!("msg_{number:024}"), "type": "message", "role": "assistant", "model": "claude-sim",
            "content": content, "stop_reason": reason, "stop_sequence": null,
            "usage": {"input_tokens": 17, "output_tokens": tokens},
        })
    };
    let text = json!([{"type": "text", "text": ANSWER}]);
    assert_eq!(answer.json(), message(1, text, json!("end_turn"), 27));

    let wanted = json!({"system": "Be brief.", "stream": true, "max_tokens": 2});
    let stream = messages(&wanted).answer(&server).await;
    let start = message(2, json!([]), Value::Null, 1);
    let delta = |text: &str| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}});
    let block = json!({"type": "text", "text": ""});
    let end = json!({"stop_reason": "max_tokens", "stop_sequence": null});
    let expected = [
        json!({"type": "message_start", "message": start}),
        json!({"type": "content_block_start", "index": 0, "content_block": block}),
        json!({"type": "ping"}),
        delta("The"),
        delta(" Brooklyn"),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": end, "usage": {"output_tokens": 2}}),
        json!({"type": "message_stop"}),
    ];
    let expected = expected.map(|event| format!("event: {}\ndata: {event}", event["type"].as_str().unwrap()));
    assert_eq!(stream.events("\n\n"), expected);
}

#[tokio::test]
async fn ollama_gives_lines_unless_told_otherwise() {
    let server = server(&[]).await;
    let mut request = ollama(&json!({"options": {"num_predict": 2}}));
    request.headers = String::new();
    let lines = request.answer(&server).await;
    assert!(lines.head.contains("content-type: application/x-ndjson"));
    let part = |content: &str| {
        json!({
            "model": "llama", "created_at": "", "message": {"role": "assistant", "content": content}, "done": false,
        })
    };
    let lines: Vec<_> =
        lines.events("\n").iter().map(|line| steady(serde_json::from_str(line).unwrap())).collect();
    assert_eq!(lines[..2], [part("The"), part(" Brooklyn")]);
    let last = json!({
        "model": "llama", "created_at": "", "message": {"role": "assistant", "content": ""}, "done": true,
        "done_reason": "length", "total_duration": 170_000_000, "load_duration": 10_000_000,
        "prompt_eval_count": 15, "prompt_eval_duration": 150_000_000, "eval_count": 2, "eval_duration": 20_000_000,
    });
    assert_eq!(lines[2], last);
    let whole = ollama(&json!({"stream": false})).answer(&server).await.json();
    assert_eq!((&whole["message"]["content"], &whole["done_reason"]), (&json!(ANSWER), &json!("stop")));
}

fn keyless(mut request: Request) -> Request {
    request.headers = "content-type: application/json\r\nanthropic-version: 2023-06-01\r\n".to_owned();
    request
}

fn wrong_key(mut request: Request) -> Request {
    request.headers = request.headers.replace("right", "wrong");
    request
}

/// With a Google key instead of a token.
fn by_key(mut request: Request) -> Request {
    request.headers =
        request.headers.replace("authorization: Bearer right\r\n", "").replace("right", "wrong");
    request
}

#[rstest]
#[case::openai_no_key(keyless(chat(&json!({}))), 401, "/error/type", "invalid_request_error")]
#[case::openai_key(wrong_key(chat(&json!({}))), 401, "/error/code", "invalid_api_key")]
#[case::openai_model(chat(&json!({"model": null})), 400, "/error/param", "model")]
#[case::openai_messages(chat(&json!({"messages": []})), 400, "/error/code", "empty_array")]
#[case::openai_unknown(chat(&json!({"colour": 1})), 400, "/error/message", "Unknown parameter: 'colour'.")]
#[case::openai_role(chat(&json!({"messages": [{"role": "me", "content": ""}]})), 400, "/error/param", "messages[0].role")]
#[case::openai_options(chat(&json!({"stream_options": {}})), 400, "/error/param", "stream_options")]
#[case::openai_form(with(chat(&json!({})), &json!({"n": [1]})), 200, "/object", "chat.completion")]
#[case::speech_voice(with(speech("pcm"), &json!({"voice": null})), 400, "/error/param", "voice")]
#[case::speech_mp3(speech("mp3"), 400, "/error/param", "response_format")]
#[case::transcript_model(Request::form(&recording(500), &[]), 400, "/error/param", "model")]
#[case::transcript_file(Request::form(b"RIFF", &[("model", "m")]), 400, "/error/message", "Audio file might be corrupted or unsupported")]
#[case::transcript_short(Request::form(&recording(50), &[("model", "m")]), 400, "/error/code", "audio_too_short")]
#[case::gemini_no_key(
    keyless(gemini("/v1beta/models/g:generateContent")),
    403,
    "/error/status",
    "PERMISSION_DENIED"
)]
#[case::gemini_key(
    by_key(gemini("/v1beta/models/g:generateContent")),
    400,
    "/error/details/0/reason",
    "API_KEY_INVALID"
)]
#[case::google_token(wrong_key(recognize(&[0; 800])), 401, "/error/status", "UNAUTHENTICATED")]
#[case::gemini_unknown(with(gemini("/v1beta/models/g:generateContent"), &json!({"colour": 1})), 400, "/error/message", "Invalid JSON payload received. Unknown name \"colour\": Cannot find field.")]
#[case::gemini_empty(with(gemini("/v1beta/models/g:generateContent"), &json!({"contents": null})), 400, "/error/status", "INVALID_ARGUMENT")]
#[case::recognize_language(with(recognize(&[0; 800]), &json!({"config": {"encoding": "MULAW", "sampleRateHertz": 8000}})), 400, "/error/message", "Invalid recognition 'config': bad language code.")]
#[case::recognize_rate(with(recognize(&[0; 800]), &json!({"config": {"encoding": "MULAW", "languageCode": "en"}})), 400, "/error/message", "Invalid recognition 'config': bad sample rate hertz.")]
#[case::recognize_long(recognize(&[0; 8000 * 61]), 400, "/error/message", "Sync input too long. For audio longer than 1 min use LongRunningRecognize with a 'uri' parameter.")]
#[case::synthesize_unknown(with(synthesize("PCM"), &json!({"input": {"words": "a"}})), 400, "/error/message", "Invalid JSON payload received. Unknown name \"words\" at 'input': Cannot find field.")]
#[case::anthropic_no_key(keyless(messages(&json!({}))), 401, "/error/type", "authentication_error")]
#[case::anthropic_key(wrong_key(messages(&json!({}))), 401, "/error/message", "invalid x-api-key")]
#[case::anthropic_max(messages(&json!({"max_tokens": null})), 400, "/error/message", "max_tokens: Field required")]
#[case::anthropic_unknown(messages(&json!({"colour": 1})), 400, "/error/message", "colour: Extra inputs are not permitted")]
#[case::anthropic_role(messages(&json!({"messages": [{"role": "system", "content": "a"}]})), 400, "/error/message", "messages.0.role: Input should be 'user' or 'assistant'")]
#[case::ollama_model(ollama(&json!({"model": null})), 400, "/error", "model is required")]
#[tokio::test]
async fn what_is_wrong_is_refused_in_the_words_of_the_service(
    #[case] request: Request,
    #[case] status: u16,
    #[case] pointer: &str,
    #[case] text: &str,
) {
    let answer = request.answer(&server(&[]).await).await;
    let body = answer.json();
    assert_eq!(
        (answer.status, body.pointer(pointer).and_then(Value::as_str)),
        (status, Some(text)),
        "{body}"
    );
}

#[rstest]
#[case("/v1/nothing", 404)]
#[case("/v1beta/models/gemini-3.8-flash:countTokens", 404)]
#[case("/v1/chat/completions", 405)]
#[tokio::test]
async fn other_paths_and_methods_do_not_exist(#[case] path: &'static str, #[case] status: u16) {
    let mut request = Request::get(path);
    if status == 404 {
        request.body = b"{}".to_vec();
    }
    assert_eq!(request.answer(&server(&[]).await).await.status, status);
}

#[rstest]
#[case(chat(&json!({})), "/error/code", "rate_limit_exceeded")]
#[case(gemini("/v1beta/models/g:generateContent"), "/error/details/0/retryDelay", "2s")]
#[case(synthesize("PCM"), "/error/status", "RESOURCE_EXHAUSTED")]
#[case(messages(&json!({})), "/error/type", "rate_limit_error")]
#[case(ollama(&json!({})), "/error", "too many requests, please try again later")]
#[tokio::test]
async fn a_refusal_on_demand_has_the_words_of_the_service_and_says_when_to_come_again(
    #[case] request: Request,
    #[case] pointer: &str,
    #[case] text: &str,
) {
    let answer = request.answer(&server(&["all=refuse:429"]).await).await;
    assert_eq!(answer.status, 429);
    assert!(answer.head.contains("retry-after: 2"));
    assert_eq!(answer.json().pointer(pointer).unwrap(), text);
}

#[rstest]
#[case(400, "INVALID_ARGUMENT")]
#[case(401, "UNAUTHENTICATED")]
#[case(500, "INTERNAL")]
#[case(503, "UNAVAILABLE")]
#[tokio::test]
async fn every_status_has_its_code(#[case] status: u16, #[case] code: &str) {
    let server = server(&[&format!("llm=refuse:{status}")]).await;
    let answer = gemini("/v1beta/models/g:generateContent").answer(&server).await;
    assert_eq!((answer.status, answer.json()["error"]["status"].as_str()), (status, Some(code)));
}

#[tokio::test]
async fn a_fault_lasts_as_long_as_it_was_told_and_can_be_changed() {
    let server = server(&["llm=refuse:503@2x2"]).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(messages(&json!({})).answer(&server).await.status);
        assert_eq!(synthesize("PCM").answer(&server).await.status, 200);
    }
    assert_eq!(statuses, [200, 503, 503, 200]);
    server.set_faults(vec!["anthropic=refuse:500x1".parse().unwrap()]);
    assert_eq!(messages(&json!({})).answer(&server).await.status, 500);
    assert_eq!(messages(&json!({})).answer(&server).await.status, 200);
}

/// One request of each kind of answer: documents, and each kind of stream.
fn requests() -> Vec<Request> {
    let stream = json!({"stream": true});
    vec![
        chat(&json!({})),
        chat(&stream),
        gemini("/v1beta/models/g:streamGenerateContent?alt=sse"),
        gemini("/v1beta/models/g:streamGenerateContent"),
        messages(&stream),
        ollama(&json!({})),
        speech("wav"),
        synthesize("MULAW"),
        recognize(&[0; 800]),
        Request::form(&recording(500), &[("model", "m")]),
    ]
}

#[tokio::test]
async fn a_connection_is_closed_without_an_answer() {
    let server = server(&["all=close"]).await;
    let mut sightings = server.observations();
    for request in requests() {
        assert_eq!(request.answer(&server).await.status, 0);
        assert!(matches!(observation(&mut sightings).await, Observation::Asked(_)));
        assert!(matches!(observation(&mut sightings).await, Observation::Faulted(_)));
        assert_eq!(observation(&mut sightings).await, Observation::Broken);
    }
}

#[tokio::test]
async fn an_answer_is_cut_in_the_middle() {
    let server = server(&["all=cut"]).await;
    for request in requests() {
        let answer = request.answer(&server).await;
        assert_eq!((answer.status, answer.is_whole), (200, false), "{}", request.path);
        assert!(!answer.body.is_empty(), "{}", request.path);
    }
}

#[tokio::test]
async fn garbage_has_a_good_status_and_a_good_length() {
    let server = server(&["all=garbage"]).await;
    for request in requests() {
        let answer = request.answer(&server).await;
        assert_eq!((answer.status, answer.is_whole), (200, true), "{}", request.path);
        assert_eq!(answer.body, b"data: {not JSON \xFF\xFE\n\n");
    }
}

#[rstest]
#[case(chat(&json!({})), "/choices/0/message/content", json!(""))]
#[case(gemini("/v1beta/models/g:generateContent"), "/candidates/0/content", json!({"role": "model"}))]
#[case(messages(&json!({})), "/content", json!([]))]
#[case(ollama(&json!({"stream": false})), "/message/content", json!(""))]
#[case(recognize(&[0; 800]), "/totalBilledTime", json!("1s"))]
#[case(synthesize("PCM"), "/audioContent", json!(""))]
#[case(Request::form(&recording(500), &[("model", "m")]), "/text", json!(""))]
#[tokio::test]
async fn an_empty_answer_is_a_good_one(
    #[case] request: Request,
    #[case] pointer: &str,
    #[case] value: Value,
) {
    let answer = request.answer(&server(&["all=empty"]).await).await;
    assert_eq!((answer.status, answer.json().pointer(pointer)), (200, Some(&value)));
}

#[tokio::test]
async fn empty_speech_is_an_empty_body() {
    let answer = speech("pcm").answer(&server(&["tts=empty"]).await).await;
    assert_eq!((answer.status, answer.is_whole, answer.body.len()), (200, true, 0));
}

#[rstest]
#[case(chat(&json!({})), "/choices/0/finish_reason", "content_filter")]
#[case(gemini("/v1beta/models/g:generateContent"), "/promptFeedback/blockReason", "SAFETY")]
#[case(messages(&json!({})), "/stop_reason", "refusal")]
#[tokio::test]
async fn a_policy_withholds_an_answer(#[case] request: Request, #[case] pointer: &str, #[case] text: &str) {
    let answer = request.answer(&server(&["llm=block"]).await).await;
    assert_eq!(answer.json().pointer(pointer).unwrap(), text);
}

#[rstest]
#[case(chat(&json!({"stream": true})), "data: {\"error\":{\"code\":null,", "\n\n")]
#[case(
    gemini("/v1beta/models/g:streamGenerateContent?alt=sse"),
    "data: {\"error\":{\"code\":503,",
    "\r\n\r\n"
)]
#[case(messages(&json!({"stream": true})), "event: error\ndata: {\"error\":", "\n\n")]
#[case(ollama(&json!({})), "{\"error\":\"", "\n")]
#[tokio::test]
async fn an_error_comes_in_the_middle_of_a_stream(
    #[case] request: Request,
    #[case] begin: &str,
    #[case] end: &str,
) {
    let answer = request.answer(&server(&["llm=error"]).await).await;
    let events = answer.events(end);
    assert!(events.len() > 10, "{events:?}");
    assert!(events.last().unwrap().starts_with(begin), "{:?}", events.last());
}

#[tokio::test]
async fn an_error_is_a_500_where_there_is_no_stream() {
    let server = server(&["all=error"]).await;
    assert_eq!(chat(&json!({})).answer(&server).await.status, 500);
    assert_eq!(synthesize("PCM").answer(&server).await.status, 500);
    assert!(!speech("pcm").answer(&server).await.is_whole);
}

#[tokio::test]
async fn a_slow_answer_is_whole() {
    let server = server(&["all=slow:3"]).await;
    for request in requests() {
        let answer = request.answer(&server).await;
        assert_eq!((answer.status, answer.is_whole), (200, true), "{}", request.path);
    }
}

/// Reads exactly this much.
async fn read_some(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut bytes)).await.expect("in time").unwrap();
    bytes
}

#[rstest]
#[case("all=hang", 0)]
#[case("all=stall", 100)]
#[case("all=endless", 300)]
#[case("all=endless:tokens", 300)]
#[case("all=slow:100000", 0)]
#[tokio::test]
async fn everything_is_released_when_the_client_goes_away(#[case] fault: &str, #[case] len: usize) {
    let server = server(&[fault]).await;
    let mut sightings = server.observations();
    for request in requests() {
        let mut stream = request.send(&server).await;
        assert!(matches!(observation(&mut sightings).await, Observation::Asked(_)));
        assert!(matches!(observation(&mut sightings).await, Observation::Faulted(_)));
        let bytes = read_some(&mut stream, len.min(100)).await;
        assert!(bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 200 OK"));
        read_some(&mut stream, len.saturating_sub(100)).await;
        drop(stream);
        assert_eq!(observation(&mut sightings).await, Observation::Abandoned, "{}", request.path);
    }
}

#[tokio::test]
async fn a_shutdown_ends_what_hangs() {
    let server = server(&["all=hang"]).await;
    let mut sightings = server.observations();
    let mut stream = chat(&json!({})).send(&server).await;
    assert!(matches!(observation(&mut sightings).await, Observation::Asked(_)));
    server.shutdown().await;
    let mut bytes = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("in time").ok();
    assert!(bytes.is_empty());
}
