//! `patchcord calls`: the call log as a table, one call as a story, what many calls come to; also as JSON and CSV.

mod follow;
mod stream;

use std::path::{Path, PathBuf};

use ::time::OffsetDateTime;
use anyhow::{Context as _, anyhow, bail};

use super::{csv, erase, render, render_stats, text};
use crate::carrier::party::Party;
use crate::config::{self, Config};
use crate::store;
use crate::store::query::stats::Scope;
use crate::store::query::{CallPage, Filter, Invalid, Page, Query};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    log: Log,
    #[command(flatten)]
    list: List,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show one call: who said what and when, and how it ended.
    Show {
        /// The carrier's SID of the call, or its call id; of several calls with one SID the newest.
        sid: String,
        #[command(flatten)]
        format: Format,
    },
    /// Write the recording of a call to a file.
    Export {
        #[command(flatten)]
        export: super::export::Args,
    },
    /// Remove what is personal in calls, everywhere and for ever; what is accounted for stays.
    Erase {
        #[command(flatten)]
        which: erase::Args,
    },
    /// What calls come to by day, agent and model; the longest waits, and what failed.
    Stats {
        #[command(flatten)]
        range: Range,
        #[command(flatten)]
        format: Format,
    },
}

/// Which calls.
#[derive(Debug, Default, PartialEq, Eq, clap::Args)]
struct List {
    #[command(flatten)]
    range: Range,
    /// Of the caller, or dialled.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    number: Option<String>,
    /// How it ended: a code, or `failed` for all that the caller or an operator did not end.
    #[arg(long, value_name = "CODE|failed")]
    ending: Option<String>,
    /// The fallback had to answer.
    #[arg(long)]
    had_fallback: bool,
    /// All these words in one turn, in any case; `book*` stands for every word that begins like that.
    #[arg(long, value_name = "WORDS")]
    search: Option<String>,
    #[command(flatten)]
    part: Part,
}

#[derive(Debug, Default, PartialEq, Eq, clap::Args)]
struct Range {
    /// Began then or later: 2026-11-01, 2026-11-01T09:30:00Z, or how long ago, like 30m, 2h, 7d. UTC.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Began before.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Answered by this agent.
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Accounted to this business.
    #[arg(long, value_name = "ID")]
    business: Option<String>,
}

/// How much of the list.
#[derive(Debug, Default, PartialEq, Eq, clap::Args)]
struct Part {
    /// How many calls, the newest first; 20 if left out, 200 at most. CSV has all calls if left out, and no most.
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Go on where an answer before this one ended.
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// Print calls as they begin, and again as they end, until interrupted.
    #[arg(long, conflicts_with_all = ["cursor", "search", "until"])]
    follow: bool,
}

/// Which call log: before a subcommand or after it.
#[derive(Debug, clap::Args)]
struct Log {
    /// The configuration that names the call log.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// A call log in SQLite; otherwise the one DATABASE_URL names, otherwise the configuration's.
    #[arg(long, value_name = "FILE", global = true)]
    db: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Format {
    /// Print JSON.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    #[command(flatten)]
    table: Table,
}

#[derive(Debug, clap::Args)]
struct Table {
    /// Print CSV.
    #[arg(long)]
    csv: bool,
}

/// How an answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Text,
    Json,
    Csv,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let now = OffsetDateTime::now_utc();
    let Args { action, log, list, format } = args;
    let Some(action) = action else { return self::list(&list, &log, format.style(), now).await };
    if list != List::default() {
        bail!(
            "options of the list before a subcommand have no meaning: write them after it, or leave them out"
        );
    }
    let before = format;
    match action {
        Action::Show { sid, format } => show(&sid, &log, format.or(&before)).await,
        Action::Stats { range, format } => stats(&range, &log, format.or(&before), now).await,
        Action::Export { .. } | Action::Erase { .. } if before.style() != Style::Text => {
            bail!("--json and --csv have no meaning for this subcommand")
        }
        Action::Export { export } => {
            let query = log.open().await?;
            let written = super::export::run(export, &query, log.config.as_deref()).await?;
            query.close().await;
            Ok(text::print(&written)?)
        }
        Action::Erase { which } => erase::run(which, &log.config()?).await,
    }
}

async fn list(list: &List, log: &Log, style: Style, now: OffsetDateTime) -> anyhow::Result<()> {
    let filter = list.filter(now)?;
    let cursor = list.part.cursor.as_deref();
    let after = cursor.map(str::parse).transpose().map_err(|error| wrong("--cursor", &error))?;
    let limit = list.part.limit;
    let is_stream = style == Style::Csv && !list.part.follow;
    let first = if is_stream { limit.map(|limit| limit.min(Page::LIMIT_MAX)) } else { limit };
    let page = Page::new(first.unwrap_or(Page::LIMIT), after).map_err(|error| wrong("--limit", &error))?;
    let query = log.open().await?;
    if list.part.follow {
        return follow::follow(&query, filter, &page, style).await;
    }
    if is_stream {
        stream::csv(&query, &filter, after, limit).await?;
        query.close().await;
        return Ok(());
    }
    let page = query.calls(&filter, &page).await?;
    query.close().await;
    Ok(text::print(&listed(&page, style, filter == Filter::default())?)?)
}

fn listed(page: &CallPage, style: Style, is_all: bool) -> anyhow::Result<String> {
    Ok(match style {
        Style::Json => text::json(page)? + "\n",
        Style::Csv => csv::calls(&page.calls)?,
        Style::Text if page.calls.is_empty() && is_all => "The call log is empty.\n".to_owned(),
        Style::Text if page.calls.is_empty() => "No such calls.\n".to_owned(),
        Style::Text => {
            let more = page.next.map(|cursor| format!("More with --cursor {cursor}\n")).unwrap_or_default();
            render::calls(&page.calls) + &more
        }
    })
}

async fn show(sid: &str, log: &Log, style: Style) -> anyhow::Result<()> {
    let query = log.open().await?;
    let call = query.call(sid).await?;
    query.close().await;
    let call = call.with_context(|| unknown(sid))?;
    let shown = match style {
        Style::Json => text::json(&call)? + "\n",
        Style::Csv => csv::turns(&call.turns)?,
        Style::Text => render::call(&call),
    };
    Ok(text::print(&shown)?)
}

/// Why there may be no such call, and how to find it.
fn unknown(sid: &str) -> String {
    let shown = text::line(sid);
    match Party::parse(sid) {
        Party::Withheld => {
            "write the SID of a call (CA...) or its call id; `patchcord calls` lists them".to_owned()
        }
        Party::Number(_) | Party::Digits(_) | Party::Sip { .. } => {
            format!(
                "{shown} is a number, not the SID or the id of a call; `patchcord calls --number {shown}` lists its calls"
            )
        }
        Party::ShortCode(_) | Party::Client(_) | Party::Other(_) => {
            format!(
                "the call log has no call with the SID or id {shown}; `patchcord calls` lists the newest, --db names another log"
            )
        }
    }
}

async fn stats(range: &Range, log: &Log, style: Style, now: OffsetDateTime) -> anyhow::Result<()> {
    let mut scope = Scope::default();
    for (name, value) in range.pairs() {
        scope.set(name, value, now).map_err(|error| wrong(&format!("--{name}"), &error))?;
    }
    let query = log.open().await?;
    let stats = query.stats(&scope).await?;
    query.close().await;
    let shown = match style {
        Style::Json => text::json(&stats)? + "\n",
        Style::Csv => csv::stats(&stats)?,
        Style::Text => render_stats::stats(&stats),
    };
    Ok(text::print(&shown)?)
}

impl List {
    fn filter(&self, now: OffsetDateTime) -> anyhow::Result<Filter> {
        let ending = self.ending.as_deref();
        let (failed, ending) = match ending {
            Some("failed") => (Some("true"), None),
            _ => (None, ending),
        };
        let others = [
            ("number", self.number.as_deref(), "--number"),
            ("failed", failed, "--ending"),
            ("ending", ending, "--ending"),
            ("had_fallback", self.had_fallback.then_some("true"), "--had-fallback"),
            ("search", self.search.as_deref(), "--search"),
        ];
        let mut filter = Filter::default();
        for (name, value) in self.range.pairs() {
            filter.set(name, value, now).map_err(|error| wrong(&format!("--{name}"), &error))?;
        }
        for (name, value, option) in others {
            if let Some(value) = value {
                filter.set(name, value, now).map_err(|error| wrong(option, &error))?;
            }
        }
        Ok(filter)
    }
}

impl Range {
    fn pairs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let values = [&self.since, &self.until, &self.agent, &self.business];
        Scope::NAMES.into_iter().zip(values).filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}

fn wrong(option: &str, error: &Invalid) -> anyhow::Error {
    anyhow!("{option}: {error}")
}

impl Format {
    const fn style(&self) -> Style {
        match (self.json, self.table.csv) {
            (true, _) => Style::Json,
            (false, true) => Style::Csv,
            (false, false) => Style::Text,
        }
    }

    /// The style after the subcommand, or else the one before it.
    fn or(&self, before: &Self) -> Style {
        match self.style() {
            Style::Text => before.style(),
            style @ (Style::Json | Style::Csv) => style,
        }
    }
}

impl Log {
    async fn open(&self) -> anyhow::Result<Query> {
        Ok(Query::open(self.config()?.log()).await?)
    }

    /// Of a file that is named nothing else is known.
    fn config(&self) -> anyhow::Result<Config> {
        match &self.db {
            Some(path) => {
                let store = store::Config { path: file(path)?.to_owned(), ..Default::default() };
                Ok(Config { store, ..Default::default() })
            }
            None => Ok(Config::load(self.config.as_deref(), &config::environment)?),
        }
    }
}

/// The file that `--db` names. The URL of a database is refused and not printed: it may have a password.
pub(super) fn file(path: &Path) -> anyhow::Result<&Path> {
    if path.to_string_lossy().contains("://") {
        bail!("--db names a file of SQLite: write the URL of Postgres into DATABASE_URL, and leave --db out");
    }
    Ok(path)
}
