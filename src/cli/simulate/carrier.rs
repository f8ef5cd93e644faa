//! `patchcord simulate carrier`: a recorded caller rings a server.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::cli::text;
use crate::config;
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
    place_signed(args, token).await
}

async fn place_signed(args: Args, token: String) -> anyhow::Result<()> {
    let url = reqwest::Url::parse(&args.webhook);
    let is_web = url.as_ref().is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    anyhow::ensure!(
        is_web,
        "--webhook: {} is not an http or https URL; write one like https://voice.example.com/twilio/voice",
        text::line(&args.webhook)
    );
    let fixture = match &args.fixture {
        Some(path) => Fixture::load(path)
            .with_context(|| format!("--fixture: {} is not a recorded call", path.display()))?,
        None => Fixture::built_in()?,
    };
    let fixture = fixture.numbers(args.from, args.to);
    let ca = args.ca.map(|path| {
        let found = config::certificates(&path).map_err(anyhow::Error::msg);
        let found = found.with_context(|| format!("--ca: {}", path.display()))?;
        found.into_iter().next().context("--ca: no certificate")
    });
    let webhook = text::line(&args.webhook);
    let config = carrier::Config {
        ca: ca.transpose()?,
        ..carrier::Config::new(args.webhook, Secret::new(token), fixture)
    };
    let report = Box::pin(carrier::place(config)).await?;
    if let Some(path) = &args.wav {
        std::fs::write(path, report.wav()).with_context(|| format!("cannot write {}", path.display()))?;
    }
    print(&report, args.json)?;
    if let carrier::Ending::NoDocument { what, .. } = &report.ending {
        anyhow::bail!("{webhook} gave no usable instructions: {what}; {}", remedy(what));
    }
    Ok(())
}

/// What to do about a server that gave no instructions.
fn remedy(what: &str) -> &'static str {
    if what.contains("403") {
        "set TWILIO_AUTH_TOKEN to that of the server, and write its public_url with /twilio/voice as --webhook"
    } else if what.contains("404") {
        "the path of the webhook is /twilio/voice"
    } else {
        "see that the server runs at that address, and what its log says"
    }
}

fn print(report: &Report, json: bool) -> anyhow::Result<()> {
    if json {
        outln!("{}", serde_json::to_string_pretty(report)?);
    } else {
        out!("{report}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("the server answered 403", "TWILIO_AUTH_TOKEN")]
    #[case("the server answered 404", "/twilio/voice")]
    #[case("the server answered 500", "log")]
    #[case("connection refused", "runs")]
    fn what_to_do_fits_what_was_wrong(#[case] what: &str, #[case] word: &str) {
        assert!(remedy(what).contains(word));
    }

    #[rstest]
    #[case("nonsense")]
    #[case("ftp://a.example/b")]
    #[case("/twilio/voice")]
    #[case("http://")]
    #[tokio::test]
    async fn a_webhook_that_is_no_url_is_named(#[case] webhook: &str) {
        let args = Args {
            webhook: webhook.to_owned(),
            fixture: None,
            wav: None,
            json: false,
            from: None,
            to: None,
            ca: None,
        };
        let error = place_signed(args, "token".to_owned()).await.unwrap_err().to_string();
        assert!(error.starts_with("--webhook: ") && error.contains("write one like"), "{error}");
    }
}
