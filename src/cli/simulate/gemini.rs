//! `patchcord simulate gemini`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;

use crate::sim::gemini::{
    Behaviour, Config, Delivery, Frames, Personality, Scenario, Server, SetupReply, Tls,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8443")]
    listen: String,
    /// Take TLS too, by a CA made at the start.
    #[arg(long)]
    tls: bool,
    /// Write the CA's certificate to this file.
    #[arg(long, requires = "tls")]
    ca_out: Option<PathBuf>,
    /// The model family to behave like.
    #[arg(long, value_enum, default_value = "live38")]
    personality: Personality,
    /// What to say; without it the embedded shop scenario.
    #[arg(long)]
    scenario: Option<PathBuf>,
    /// Answer every burst of sound at once with a burst of tone.
    #[arg(long, conflicts_with = "scenario")]
    probe: bool,
    /// From `setup` to `setupComplete`.
    #[arg(long, default_value_t = 800)]
    setup_delay_ms: u64,
    /// Send text frames instead of binary ones.
    #[arg(long)]
    text_frames: bool,
    /// How much faster than real time answers come.
    #[arg(long, default_value_t = 4.0, value_parser = speed)]
    speed: f64,
    /// How much audio of the old turn still comes after `interrupted`.
    #[arg(long, default_value_t = 0)]
    stale_ms: u64,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let listener =
        TcpListener::bind(&args.listen).await.with_context(|| format!("cannot listen on {}", args.listen))?;
    let server = Server::start(listener, args.config()?)?;
    let mut observations = server.observations();
    if let (Some(path), Some(pem)) = (&args.ca_out, server.ca_pem()) {
        std::fs::write(path, pem).with_context(|| format!("cannot write {}", path.display()))?;
    }
    println!("{}", server.local_url());
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => break,
            sighting = observations.recv() => match sighting {
                Ok(sighting) => println!("{} {}", sighting.connection, sighting.observation),
                Err(RecvError::Lagged(missed)) => println!("({missed} observations missed)"),
                Err(RecvError::Closed) => break,
            },
        }
    }
    server.shutdown().await;
    Ok(())
}

impl Args {
    fn config(&self) -> anyhow::Result<Config> {
        let scenario = match &self.scenario {
            Some(path) => Scenario::load(path)?,
            None if self.probe => Scenario::probe(),
            None => Scenario::shop()?,
        };
        let behaviour = Behaviour {
            personality: self.personality,
            setup: SetupReply::After(Duration::from_millis(self.setup_delay_ms)),
            delivery: Delivery { speed: self.speed, ..Delivery::default() },
            stale: Duration::from_millis(self.stale_ms),
            ..Behaviour::default()
        };
        Ok(Config {
            behaviour,
            scenario: Arc::new(scenario),
            frames: if self.text_frames { Frames::Text } else { Frames::Binary },
            tls: if self.tls { Tls::OwnCa } else { Tls::Off },
        })
    }
}

fn speed(text: &str) -> Result<f64, String> {
    let speed = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.05..=1000.0).contains(&speed) { Ok(speed) } else { Err("between 0.05 and 1000".to_owned()) }
}
