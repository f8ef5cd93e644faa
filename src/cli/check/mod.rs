//! `patchcord check`: what is wrong, what would run, and whether what it needs is there.
//!
//! Each [`Part`] looks at one thing and gives facts for the summary and findings. A part asks no peer: the database of
//! the call log is the only thing that is connected to, within a deadline. A new part is a module of its own and one
//! line in [`parts`].

mod address;
mod folders;
mod levels;
mod log;
mod part;
mod sessions;
mod summary;

use std::path::PathBuf;

use anyhow::bail;

use self::part::Part;
use super::mask::masked;
use super::{logging, text};
use crate::config::{self, Config, Finding, Severity};
use crate::machine::Machine;
use crate::net::trust::Found;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration; otherwise the one PATCHCORD_CONFIG names, otherwise patchcord.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let config = Config::load(args.config.as_deref(), &config::environment)?;
    let parts = parts(&config).await;
    let findings: Vec<_> = parts.iter().flat_map(Part::all).collect();
    text::print(&(list(&findings) + &parts.iter().map(Part::summary).collect::<String>()))?;
    match findings.iter().filter(|finding| finding.severity == Severity::Error).count() {
        0 => Ok(()),
        1 => bail!("there is an error"),
        errors => bail!("there are {errors} errors"),
    }
}

/// In the order in which they are printed.
async fn parts(config: &Config) -> Vec<Part> {
    vec![
        summary::settings(config, Machine::this()),
        address::check(config),
        log::check(config).await,
        folders::check(config),
        summary::network(config, &Found::on_this_machine()),
        levels::check(config, logging::unreadable()),
        summary::agents(config),
        sessions::check(config),
    ]
}

fn list(findings: &[&Finding]) -> String {
    if findings.is_empty() {
        return "No findings.\n\n".to_owned();
    }
    let mut lines: Vec<String> = Vec::with_capacity(findings.len());
    for finding in findings {
        let line = text::line(&masked(&finding.to_string())) + "\n";
        // Two parts may find the same.
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines.concat() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Place;

    #[test]
    fn a_finding_is_one_line() {
        let finding = Finding {
            severity: Severity::Error,
            key: "agents[1].voice".to_owned(),
            place: Place::File("patchcord.toml".into()),
            message: "the service has no voice \"\u{1b}\n\"".to_owned(),
            remedy: "did you mean \"Kore\"?".to_owned(),
        };
        assert_eq!(
            list(&[&finding]),
            "error: agents[1].voice (patchcord.toml): the service has no voice \"\\u{1b} \"; did you mean \"Kore\"?\n\n"
        );
    }
}
