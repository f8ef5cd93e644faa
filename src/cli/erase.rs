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
    let subject = match (filled("--call", args.subject.call)?, filled("--caller", args.subject.caller)?) {
        (Some(call), _) => Subject::Call(call),
        (None, Some(caller)) => Subject::Caller(caller),
        (None, None) => bail!("say whose calls: --call SID or --caller NUMBER"),
    };
    if !config.store.path.is_file() && target.is_none() {
        bail!("there is no call log at {}; name it with --db or --config", config.store.path.display());
    }
    let found = erase::find(&config.store, target.as_ref(), &subject).await?;
    let Found { calls, going_on } = &found;
    if calls.is_empty() && going_on.is_empty() {
        bail!("{}", nothing(&subject));
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

/// A variable of a script that is not set leaves an option empty: that is nobody.
fn filled(option: &str, value: Option<String>) -> anyhow::Result<Option<String>> {
    if value.as_ref().is_some_and(|value| value.trim().is_empty()) {
        bail!("{option} is empty; write the SID of a call, or the number of a caller");
    }
    Ok(value)
}

fn nothing(subject: &Subject) -> String {
    match subject {
        Subject::Call(id) => format!(
            "nothing to erase: the call log has no call with the SID or id {}; `patchcord calls` lists the newest",
            text::line(id)
        ),
        Subject::Caller(number) => format!(
            "nothing to erase: the call log has no call of {0}; `patchcord calls --number {0}` also finds other spellings",
            text::line(number)
        ),
    }
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

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(None, true)]
    #[case(Some("+14155550123"), true)]
    #[case(Some(""), false)]
    #[case(Some("  "), false)]
    fn an_empty_option_is_nobody(#[case] value: Option<&str>, #[case] is_good: bool) {
        assert_eq!(filled("--caller", value.map(str::to_owned)).is_ok(), is_good);
    }

    #[rstest]
    #[case(Subject::Call("CA1\u{1b}".to_owned()), "no call with the SID or id CA1\\u{1b};")]
    #[case(Subject::Caller("+14155550123".to_owned()), "no call of +14155550123;")]
    fn who_was_not_found_is_named(#[case] subject: Subject, #[case] expected: &str) {
        assert!(nothing(&subject).contains(expected), "{}", nothing(&subject));
    }
}
