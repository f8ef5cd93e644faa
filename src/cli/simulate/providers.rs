//! `patchcord simulate providers`.

use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;

use crate::secret::Secret;
use crate::sim::providers::{Config, Pace, Schedule, Script, Server};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The port of this machine to listen on; 0: any that is free.
    #[arg(long, default_value_t = 8091)]
    port: u16,
    /// What goes wrong: WHO=FAULT[@FROM][xCOUNT], such as `llm=hang` or `openai=refuse:429@2x3` (from the second
    /// request on, three times). WHO: all, llm, stt, tts, catalogue, openai, gemini, google, anthropic, ollama, or a
    /// route. FAULT: refuse:STATUS, close, hang, stall, slow:FACTOR, cut, garbage, endless, endless:tokens, empty,
    /// block, error.
    #[arg(long = "fault", value_name = "WHO=FAULT")]
    faults: Vec<Schedule>,
    /// Milliseconds between tokens, or pieces of speech of 200 ms; the first takes ten times as long.
    #[arg(long, default_value_t = 20)]
    pace: u32,
    /// What the next recording says; may be given for several.
    #[arg(long = "transcript", value_name = "TEXT")]
    transcripts: Vec<String>,
    /// The only key that is taken; without it any is.
    #[arg(long)]
    key: Option<String>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", args.port))
        .await
        .with_context(|| format!("cannot listen on port {}", args.port))?;
    let server = Server::start(listener, args.config())?;
    let mut observations = server.observations();
    print_addresses(&server.url());
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => break,
            sighting = observations.recv() => match sighting {
                Ok(sighting) => outln!("{} {} {}", sighting.request, sighting.route, sighting.observation),
                Err(RecvError::Lagged(missed)) => outln!("({missed} observations missed)"),
                Err(RecvError::Closed) => break,
            },
        }
    }
    server.shutdown().await;
    Ok(())
}

/// The first line is the address alone, for scripts.
fn print_addresses(url: &str) {
    outln!("{url}");
    outln!();
    outln!("Use these addresses as the base URLs of providers; any key will do unless --key was given:");
    outln!(
        "  OpenAI-compatible  {url}/v1       chat/completions, audio/transcriptions, audio/speech, models"
    );
    outln!("  Gemini             {url}/v1beta   models/MODEL:generateContent, :streamGenerateContent");
    outln!("  Google Speech      {url}/v1       speech:recognize");
    outln!("  Google TTS         {url}/v1       text:synthesize");
    outln!("  Anthropic          {url}/v1       messages");
    outln!("  Ollama             {url}/api      chat");
    outln!();
}

impl Args {
    fn config(self) -> Config {
        let piece = Duration::from_millis(self.pace.into());
        Config {
            script: Script::default(),
            transcripts: self.transcripts,
            pace: Pace { first: piece * 10, piece },
            key: self.key.map(Secret::new),
            faults: self.faults,
        }
    }
}
