//! `patchcord migrate`: the schema of the call log, for those who want it there before the server.

use std::path::PathBuf;

use sqlx::Connection as _;

use super::text;
use crate::config::{self, Config};
use crate::store;
use crate::store::postgres::Target;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration that names the call log.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let config = Config::load(args.config.as_deref(), &config::environment)?;
    store::migrate(&config.store.path).await?;
    let mut done = format!("{} has the current schema\n", config.store.path.display());
    if let Some(url) = &config.secrets.database_url {
        let target = Target::parse(url)?;
        target.open().await?.close().await?;
        done.push_str(&format!("{target} has the current schema\n"));
    }
    Ok(text::print(&done)?)
}
