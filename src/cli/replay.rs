//! `patchcord replay`: plays a call again that was kept, and says where it is another call now.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use uuid::Uuid;

use super::{calls, text};
use crate::call::replay::{self, Difference, End, Report, Step, Way};
use crate::config::{self, Config};
use crate::id::CallId;
use crate::store::captures;
use crate::store::query::Query;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file of the call, or its call id, or the carrier's SID.
    #[arg(value_name = "SID|FILE")]
    call: String,
    /// Stop after so many milliseconds of the call.
    #[arg(long, value_name = "MS")]
    until: Option<u64>,
    /// Print what came and what was done, line by line.
    #[arg(long)]
    show: bool,
    /// Write the file anew with what the program does now: after a change that is meant.
    #[arg(long, conflicts_with_all = ["until", "show"])]
    rewrite: bool,
    /// The configuration that names the folder of the files and the call log.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder of the files itself.
    #[arg(long, value_name = "DIR")]
    captures: Option<PathBuf>,
    /// The call log itself.
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let path = find(&args).await?;
    let content =
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    if args.rewrite {
        return rewrite(&path, &content);
    }
    let until = args.until.map(Duration::from_millis);
    let mut shown = Ok(());
    let report = replay::replay(&content, Instant::now(), until, |step| {
        if args.show && shown.is_ok() {
            shown = text::print(&(line(&step) + "\n"));
        }
    });
    let report = report.with_context(|| format!("cannot replay {}", path.display()))?;
    shown?;
    text::print(&summary(&report))?;
    ensure!(report.difference.is_none(), "the program does something else now");
    Ok(())
}

/// A file is itself; anything else names a call whose file is in the folder.
async fn find(args: &Args) -> anyhow::Result<PathBuf> {
    let named = PathBuf::from(&args.call);
    if named.is_file() {
        return Ok(named);
    }
    let config = match (&args.captures, &args.db) {
        (Some(_), Some(_)) => Config::default(),
        _ => Config::load(args.config.as_deref(), &config::environment)?,
    };
    let folder = args.captures.clone().unwrap_or(config.captures.folder);
    let call = match Uuid::parse_str(&args.call) {
        Ok(id) => id,
        Err(_) => {
            let named = args.db.as_deref().map(calls::file).transpose()?;
            call_id(named.unwrap_or(&config.store.path), &args.call).await?
        }
    };
    let path = captures::path(&folder, CallId::new(call.as_u128()));
    if !path.is_file() {
        let path = path.display();
        bail!(
            "nothing is kept of this call: there is no {path}; agents keep inputs with keep = {{ inputs = true }}"
        );
    }
    Ok(path)
}

/// Of several calls with one SID, the newest.
async fn call_id(db: &Path, sid: &str) -> anyhow::Result<Uuid> {
    let query = Query::open(db).await?;
    let call = query.call(sid).await?;
    query.close().await;
    let call = call.with_context(|| format!("there is no file and no call {}", text::line(sid)))?;
    Ok(Uuid::parse_str(&call.call.call_id)?)
}

fn rewrite(path: &Path, content: &str) -> anyhow::Result<()> {
    let fresh = replay::rewrite(content, Instant::now())
        .with_context(|| format!("cannot rewrite {}", path.display()))?;
    if fresh == content {
        return Ok(text::print("Nothing to rewrite: the program does the same.\n")?);
    }
    std::fs::write(path, fresh).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(text::print(&format!("{} has what the program does now.\n", path.display()))?)
}

fn summary(report: &Report) -> String {
    let Report { inputs, outputs, length, end, difference } = report;
    let counts = format!("{inputs} inputs, {outputs} outputs, {:.1} s of call", length.seconds());
    if let Some(difference) = difference {
        return format!("{}after {counts}\n", explain(difference));
    }
    let end = match end {
        End::Whole | End::Left => String::new(),
        End::Cut(why) => format!("; not the whole call: {}", text::line(why)),
        End::Killed => "; not the whole call: the process was killed".to_owned(),
    };
    format!("same: {counts}{end}\n")
}

fn explain(difference: &Difference) -> String {
    let Difference { at, line: number, expected, got, before } = difference;
    let mut told = format!("different: {:.3} s into the call, line {number}\n\n", at.seconds());
    for step in before {
        let _ = writeln!(told, "  {}", line(step));
    }
    let shown =
        |content: &Option<String>| content.as_deref().map_or_else(|| "nothing".to_owned(), text::line);
    let _ = writeln!(told, "\n  then  {}\n  now   {}\n", shown(expected), shown(got));
    told
}

/// One step in one line: `   1.240  <- {"carrier":…}`.
fn line(step: &Step) -> String {
    let way = match step.way {
        Way::In => "<-",
        Way::Out => "->",
    };
    format!("{:>8.3}  {way} {}", step.at.seconds(), text::line(&step.text))
}
