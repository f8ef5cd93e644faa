//! The local speech server, started as a developer starts it: recorded people are understood, and so is what it says.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use patchcord::audio::{Rate, wav};
use serde_json::{Value, json};

/// The server in a process of its own, ended with the test.
struct Server {
    process: Child,
    url: String,
}

impl Server {
    /// Returns when the models are loaded: the server says so on its output.
    fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/local-speech/run.sh");
        let mut process = Command::new(script).args(["--port", "0"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
        let url = lines.find_map(|line| line.strip_prefix("listening on ").map(str::to_owned)).unwrap();
        assert_eq!(lines.next().as_deref(), Some("ready"));
        Self { process, url }
    }

    async fn transcribe(&self, wav: &[u8]) -> String {
        let mut body = b"--part\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n\
            --part\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\
            Content-Type: audio/wav\r\n\r\n"
            .to_vec();
        body.extend(wav);
        body.extend(b"\r\n--part--\r\n");
        let request = reqwest::Client::new()
            .post(format!("{}/v1/audio/transcriptions", self.url))
            .header("content-type", "multipart/form-data; boundary=part")
            .body(body);
        let answer = request.send().await.unwrap().error_for_status().unwrap().bytes().await.unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        answer["text"].as_str().unwrap().to_owned()
    }

    async fn speech(&self, request: Value) -> reqwest::Response {
        let url = format!("{}/v1/audio/speech", self.url);
        reqwest::Client::new().post(url).body(request.to_string()).send().await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn words(text: &str) -> Vec<String> {
    let letters = text.to_lowercase().replace(|c: char| !c.is_alphanumeric() && c != '\'', " ");
    letters.split_whitespace().map(str::to_owned).collect()
}

/// At most every eighth word is wrong, missing or too much.
#[track_caller]
fn assert_says(heard: &str, said: &str) {
    let (heard_words, said_words) = (words(heard), words(said));
    let errors = strsim::generic_levenshtein(&heard_words, &said_words);
    assert!(errors * 8 <= said_words.len(), "{heard:?} instead of {said:?}");
}

#[tokio::test]
async fn people_are_understood_and_so_is_what_the_server_says() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = Server::start();
    let health = reqwest::get(format!("{}/health", server.url)).await.unwrap();
    assert!(health.status().is_success());

    for (clip, said) in [
        ("human-whats-the-weather-like", "What's the weather like?"),
        ("human-how-old-is-the-brooklyn-bridge", "How old is the Brooklyn Bridge?"),
        (
            "human-jfk-ask-not",
            "And so, my fellow Americans, ask not what your country can do for you; \
             ask what you can do for your country.",
        ),
    ] {
        let path = format!("{}/fixtures/audio/{clip}.wav", env!("CARGO_MANIFEST_DIR"));
        assert_says(&server.transcribe(&std::fs::read(path).unwrap()).await, said);
    }
    let silence = wav::write(&wav::Wav { rate: Rate::LINE, channels: 1, samples: vec![0; 8] });
    assert!(words(&server.transcribe(&silence).await).len() <= 2);

    let said = "The table for two is booked for Friday evening. We look forward to seeing you.";
    let answer = server.speech(json!({"input": said, "voice": "heart", "response_format": "pcm"})).await;
    assert!(answer.status().is_success());
    let pcm = answer.bytes().await.unwrap();
    let samples = pcm.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    let heard =
        server.transcribe(&wav::write(&wav::Wav { rate: Rate::MODEL_OUT, channels: 1, samples })).await;
    assert_says(&heard, said);

    let refused = server.speech(json!({"input": ""})).await;
    assert_eq!(refused.status(), 400);
}
