//! `patchcord calls`: the call log as a table, one call as a story, either as JSON.

use std::path::PathBuf;

use anyhow::Context as _;

use super::{render, text};
use crate::config::{self, Config};
use crate::store::query::Query;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    source: Source,
    /// How many calls, the newest first.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show one call: who said what and when, and how it ended.
    Show {
        /// The carrier's SID of the call, or its call id; of several calls with one SID the newest.
        sid: String,
    },
}

/// Which call log.
#[derive(Debug, clap::Args)]
struct Source {
    /// The configuration that names the call log.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The call log itself.
    #[arg(long, global = true, value_name = "FILE")]
    db: Option<PathBuf>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let query = Query::open(&args.source.path()?).await?;
    let output = match args.action {
        None => list(&query, args.limit, args.json).await?,
        Some(Action::Show { sid }) => show(&query, &sid, args.json).await?,
    };
    query.close().await;
    Ok(text::print(&output)?)
}

impl Source {
    fn path(self) -> anyhow::Result<PathBuf> {
        match self.db {
            Some(path) => Ok(path),
            None => Ok(Config::load(self.config.as_deref(), &config::environment)?.store.path),
        }
    }
}

async fn list(query: &Query, limit: u32, json: bool) -> anyhow::Result<String> {
    let calls = query.calls(limit).await?;
    Ok(if json { text::json(&calls)? + "\n" } else { render::calls(&calls) })
}

async fn show(query: &Query, sid: &str, json: bool) -> anyhow::Result<String> {
    let call = query.call(sid).await?;
    let call = call.with_context(|| format!("there is no call with the SID or id {}", text::line(sid)))?;
    Ok(if json { text::json(&call)? + "\n" } else { render::call(&call) })
}
