//! `patchcord calls erase`: what is personal in calls, removed everywhere.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};
use uuid::Uuid;

use super::text;
use crate::config::Config;
use crate::id::CallId;
use crate::store::erase::{self, Found, Subject};
use crate::store::postgres::Target;
use crate::store::{captures, recordings};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    subject: Which,
    /// Do it. Without this the calls are only listed.
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// The carrier's SID of the call, or its call id.
    #[arg(long, value_name = "SID")]
    call: Option<String>,
    /// The number or SIP address of a caller, in any usual spelling; or of a person we called.
    #[arg(long, value_name = "NUMBER")]
    caller: Option<String>,
}

pub(crate) async fn run(args: Args, config: &Config) -> anyhow::Result<()> {
    let target = config.secrets.database_url.as_ref().map(Target::parse).transpose()?;
    let subject = match (args.subject.call, args.subject.caller) {
        (Some(call), _) => Subject::Call(call),
        (None, Some(caller)) => Subject::Caller(caller),
        (None, None) => bail!("say whose calls: --call SID or --caller NUMBER"),
    };
    if !config.store.path.is_file() && target.is_none() {
        bail!("there is no call log at {}", config.store.path.display());
    }
    let found = erase::find(&config.store, target.as_ref(), &subject).await?;
    let Found { calls, going_on } = &found;
    if calls.is_empty() && going_on.is_empty() {
        bail!("no call was found: nothing to erase");
    }
    let mut report = String::new();
    for call in going_on {
        report.push_str(&format!("{call}  goes on: erase it when it is over\n"));
    }
    if !args.yes {
        for call in calls {
            report.push_str(&format!("{call}\n"));
        }
        report.push_str(&format!("{} would be erased for ever; --yes does it\n", count(calls)));
        return Ok(text::print(&report)?);
    }
    erase::erase(&config.store, target.as_ref(), calls).await.context("not everything was erased")?;
    delete_files(config, calls)?;
    report.push_str(&format!("{} erased; what is accounted for stays\n", count(calls)));
    Ok(text::print(&report)?)
}

/// The recordings and the kept inputs of these calls.
fn delete_files(config: &Config, calls: &BTreeSet<String>) -> anyhow::Result<()> {
    for call in calls {
        let id = CallId::new(Uuid::parse_str(call).context("a call id of the log is none")?.as_u128());
        recordings::erase(&config.recordings.folder, id).context("a recording was not deleted")?;
        captures::erase(&config.captures.folder, id)?;
    }
    Ok(())
}

fn count(calls: &BTreeSet<String>) -> String {
    match calls.len() {
        1 => "1 call".to_owned(),
        count => format!("{count} calls"),
    }
}
