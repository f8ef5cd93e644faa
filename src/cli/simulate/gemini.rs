//! `patchcord simulate gemini`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;

use super::faults;
use crate::sim::gemini::{
    Behaviour, Close, Config, Delivery, Fault, Frames, GoAway, Handles, Issue, Leave, Personality, Scenario,
    Server, SetupReply, Term, Tls, UnknownHandle, WhileOpen,
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
    #[command(flatten)]
    troubles: Troubles,
}

/// What makes it an unreliable peer.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Troubles")]
struct Troubles {
    /// Something that goes wrong; may be given more than once.
    #[arg(long = "fault", value_name = "FAULT", value_parser = faults::fault, long_help = faults::HELP)]
    faults: Vec<Fault>,
    /// Send goAway this long after setupComplete, on every connection.
    #[arg(long, value_name = "TIME", value_parser = faults::duration)]
    go_away_after: Option<Duration>,
    /// Send goAway after this many turns, on every connection.
    #[arg(long, value_name = "TURNS", conflicts_with = "go_away_after")]
    go_away_after_turns: Option<u32>,
    /// How long a connection lives after goAway, and what `timeLeft` says.
    #[arg(long, value_name = "TIME", default_value = "50s", value_parser = faults::duration)]
    go_away_lead: Duration,
    /// Answer nothing from this long after goAway on.
    #[arg(long, value_name = "TIME", value_parser = faults::duration)]
    go_away_silence: Option<Duration>,
    /// How the connection ends when the time is over.
    #[arg(long, value_enum, default_value = "aborted")]
    go_away_end: End,
    /// Issue no resumption handles.
    #[arg(long)]
    no_handles: bool,
    /// How long a resumption handle is good after its connection has ended.
    #[arg(long, value_name = "TIME", default_value = "2h", value_parser = faults::duration)]
    handle_life: Duration,
    /// What an unknown or expired handle meets.
    #[arg(long, value_enum, default_value = "invalid")]
    unknown_handle: Unknown,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum End {
    /// 1008 The operation was aborted.
    Aborted,
    /// 1011 Deadline expired before operation could complete.
    Deadline,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Unknown {
    /// 1007 Invalid session handle
    Invalid,
    /// 1008 BidiGenerateContent session not found
    NotFound,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let listener =
        TcpListener::bind(&args.listen).await.with_context(|| format!("cannot listen on {}", args.listen))?;
    let server = Server::start(listener, args.config()?)?;
    let mut observations = server.observations();
    if let (Some(path), Some(pem)) = (&args.ca_out, server.ca_pem()) {
        std::fs::write(path, pem).with_context(|| format!("cannot write {}", path.display()))?;
    }
    outln!("{}", server.local_url());
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => break,
            sighting = observations.recv() => match sighting {
                Ok(sighting) => outln!("{} {}", sighting.connection, sighting.observation),
                Err(RecvError::Lagged(missed)) => outln!("({missed} observations missed)"),
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
            handles: self.troubles.handles(),
            go_away: self.troubles.go_away(),
            faults: self.troubles.faults.clone(),
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

impl Troubles {
    const fn handles(&self) -> Handles {
        Handles {
            issue: if self.no_handles { Issue::Never } else { Issue::AsFamily },
            life: self.handle_life,
            unknown: match self.unknown_handle {
                Unknown::Invalid => UnknownHandle::Invalid,
                Unknown::NotFound => UnknownHandle::NotFound,
            },
            while_open: WhileOpen::Refused,
            first_index: 0,
        }
    }

    fn go_away(&self) -> Option<GoAway> {
        let turns = self.go_away_after_turns.map(Term::Turns);
        let close = match self.go_away_end {
            End::Aborted => Close::ABORTED,
            End::Deadline => Close::DEADLINE,
        };
        let (lead, silence) = (self.go_away_lead, self.go_away_silence);
        Some(GoAway {
            connections: 1..=u32::MAX,
            after: turns.or_else(|| self.go_away_after.map(Term::Time))?,
            leave: Leave { lead, silence, close, ..Leave::default() },
        })
    }
}

fn speed(text: &str) -> Result<f64, String> {
    let speed = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.05..=1000.0).contains(&speed) { Ok(speed) } else { Err("between 0.05 and 1000".to_owned()) }
}
