//! Speech to text and text to speech on this machine: a server that is running already, or one that the demo runs.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use reqwest::multipart::{Form, Part};
use serde::Deserialize;

use crate::provider;
use crate::provider::stt::Kind;

/// An OpenAI-compatible server for both directions.
pub(super) struct Speech {
    /// Without a slash at the end.
    url: String,
    /// Ended with the demo.
    process: Option<Child>,
}

impl Speech {
    /// The server at this address.
    pub(super) fn at(url: &str) -> Self {
        Self { url: url.trim_end_matches('/').to_owned(), process: None }
    }

    /// Runs a program that says `listening on URL`, and `ready` when it is.
    pub(super) async fn start(program: &Path) -> anyhow::Result<Self> {
        let program = PathBuf::from(program);
        tokio::task::spawn_blocking(move || start(&program)).await?
    }

    pub(super) fn stt(&self) -> provider::stt::Config {
        provider::stt::Config {
            kind: Kind::OpenAi,
            name: Some("local speech".to_owned()),
            endpoint: Some(format!("{}/v1", self.url)),
            model: None,
            language: None,
            key_env: Some(String::new()),
            timeouts: provider::http::Timeouts::default(),
        }
    }

    pub(super) fn tts(&self) -> provider::tts::Config {
        provider::tts::Config {
            kind: Kind::OpenAi,
            name: Some("local speech".to_owned()),
            endpoint: Some(format!("{}/v1", self.url)),
            model: None,
            voice: None,
            language: None,
            speed: None,
            key_env: Some(String::new()),
            timeouts: provider::http::Timeouts::default(),
        }
    }

    /// The words in a WAV file.
    pub(super) async fn transcribe(&self, wav: Vec<u8>) -> anyhow::Result<String> {
        #[derive(Deserialize)]
        struct Answer {
            text: String,
        }
        let file = Part::bytes(wav).file_name("heard.wav").mime_str("audio/wav")?;
        let form = Form::new().text("model", "whisper-1").part("file", file);
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(rustls::ClientConfig::clone(crate::net::dial::tls(None).tls()))
            .no_proxy()
            .build()?;
        let request = client.post(format!("{}/v1/audio/transcriptions", self.url)).multipart(form);
        let answer: Answer = request.send().await?.error_for_status()?.json().await?;
        Ok(answer.text.trim().to_owned())
    }
}

impl Drop for Speech {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // It may have ended by itself: at Ctrl-C it gets the signal too.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn start(program: &Path) -> anyhow::Result<Speech> {
    let mut command = Command::new(program);
    let command = command.args(["--port", "0"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut process = command.spawn().with_context(|| format!("cannot run {}", program.display()))?;
    let output = process.stdout.take().context("it has no output")?;
    let mut speech = Speech { url: String::new(), process: Some(process) };
    for line in BufReader::new(output).lines() {
        let line = line?;
        if let Some(url) = line.strip_prefix("listening on ") {
            url.trim_end_matches('/').clone_into(&mut speech.url);
        } else if line == "ready" {
            break;
        }
    }
    ensure!(!speech.url.is_empty(), "{} ended without being ready", program.display());
    Ok(speech)
}
