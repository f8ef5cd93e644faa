//! The command line: one binary, a subcommand for each thing a person does with it.

#[macro_use]
mod text;

mod calls;
mod capture;
mod check;
mod csv;
mod demo;
mod erase;
mod export;
mod load;
mod logging;
mod mask;
mod migrate;
mod network;
mod path;
mod render;
mod render_stats;
mod replay;
mod serve;
mod service;
mod signals;
mod simulate;
mod story;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime::{self, Runtime};

use crate::diagnostics;
use crate::machine::Machine;

#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve(serve::Args),
    /// Play recorded calls through a server and simulated peers, all in this process.
    Demo(demo::Args),
    /// Ask the call log.
    Calls(Box<calls::Args>),
    /// Play a call again that was kept, and compare what the program does now.
    Replay(replay::Args),
    /// Make a recorded caller for load tests from a call that was kept.
    Capture(capture::Args),
    /// Place many recorded calls at once, and measure what the callers hear and what the server costs.
    Load(Box<load::Args>),
    /// Read the configuration and say what is missing or wrong.
    Check(check::Args),
    /// Bring the database of the call log to the schema of this program. `serve` does so by itself.
    Migrate(migrate::Args),
    /// Run a simulated peer.
    #[command(subcommand)]
    Simulate(simulate::Peer),
}

/// Runs the command line of this process, from its arguments to its exit code.
pub fn main() -> ExitCode {
    let code = runtime().and_then(|runtime| runtime.block_on(run())).unwrap_or_else(|error| {
        diagnostics::say(&format!("Error: {}", explain(&error)));
        ExitCode::FAILURE
    });
    diagnostics::finish();
    code
}

fn runtime() -> anyhow::Result<Runtime> {
    rustls::crypto::ring::default_provider().install_default().ok();
    let mut builder = runtime::Builder::new_multi_thread();
    // The variable is tokio's own.
    if std::env::var_os("TOKIO_WORKER_THREADS").is_none() {
        builder.worker_threads(Machine::this().workers());
    }
    Ok(builder.enable_all().build()?)
}

async fn run() -> anyhow::Result<ExitCode> {
    let done = match Arguments::parse().command {
        Command::Load(args) => return load::run(*args).await,
        Command::Serve(args) => serve::run(args).await,
        Command::Demo(args) => Box::pin(demo::run(args)).await,
        Command::Calls(args) => calls::run(*args).await,
        Command::Replay(args) => replay::run(args).await,
        Command::Capture(args) => capture::run(&args),
        Command::Check(args) => check::run(args).await,
        Command::Migrate(args) => migrate::run(args).await,
        Command::Simulate(peer) => simulate::run(peer).await,
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// An error and its causes in one line; a cause that the words before it name already is left out.
fn explain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn no_two_options_of_a_command_have_one_name() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn an_error_is_explained_once_with_all_its_causes() {
        let error = anyhow!("no such file").context("cannot read x: no such file").context("cannot start");
        assert_eq!(explain(&error), "cannot start: cannot read x: no such file");
    }
}
