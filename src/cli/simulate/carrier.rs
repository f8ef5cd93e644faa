//! `patchcord simulate carrier`: a recorded caller rings a server.

use std::path::PathBuf;

use anyhow::Context as _;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::secret::Secret;
use crate::sim::carrier::{self, Fixture, Report};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Voice webhook of the server, e.g. https://voice.example.com/twilio/voice.
    #[arg(long, value_name = "URL")]
    webhook: String,
    /// Recorded call (JSON lines); the built-in one buys a Chromecast.
    #[arg(long, value_name = "FILE")]
    fixture: Option<PathBuf>,
    /// Write the call as a two-channel WAV file: left the caller, right what the caller heard.
    #[arg(long, value_name = "FILE")]
    wav: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    /// Number of the caller, instead of the recorded one.
    #[arg(long, value_name = "NUMBER")]
    from: Option<String>,
    /// Number called, instead of the recorded one.
    #[arg(long, value_name = "NUMBER")]
    to: Option<String>,
    /// Certificate (PEM) to trust besides the public roots.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// The token that signs the requests; in the environment, where no list of processes shows it.
const AUTH_TOKEN: &str = "TWILIO_AUTH_TOKEN";

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let token = std::env::var(AUTH_TOKEN).unwrap_or_default();
    anyhow::ensure!(!token.is_empty(), "{AUTH_TOKEN} is not set; it signs the requests to the server");
    let fixture = match &args.fixture {
        Some(path) => Fixture::load(path)?,
        None => Fixture::built_in()?,
    };
    let fixture = fixture.numbers(args.from, args.to);
    let ca = args.ca.map(|path| {
        CertificateDer::from_pem_file(&path).with_context(|| format!("no certificate in {}", path.display()))
    });
    let config = carrier::Config {
        ca: ca.transpose()?,
        ..carrier::Config::new(args.webhook, Secret::new(token), fixture)
    };
    let report = Box::pin(carrier::place(config)).await?;
    if let Some(path) = &args.wav {
        std::fs::write(path, report.wav()).with_context(|| format!("cannot write {}", path.display()))?;
    }
    print(&report, args.json)?;
    let failed = matches!(report.ending, carrier::Ending::NoDocument { .. });
    anyhow::ensure!(!failed, "the server gave no usable instructions");
    Ok(())
}

fn print(report: &Report, json: bool) -> anyhow::Result<()> {
    if json {
        outln!("{}", serde_json::to_string_pretty(report)?);
    } else {
        out!("{report}");
    }
    Ok(())
}
