//! Calls as they begin, and again as they end.
//!
//! The log is asked again and again, so that this works for every log, from every machine, and while it is away.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::time::Duration;

use ::time::Duration as Span;
use uuid::Uuid;

use super::Style;
use crate::cli::{csv, render, text};
use crate::store::Stamp;
use crate::store::query::{self, CallRow, Filter, Page, Query};

/// Twice a second: at once for a person, nothing for a database.
const PERIOD: Duration = Duration::from_millis(500);

/// A call may come into the log later than one that began after it, most of all if servers ship their logs.
const OVERLAP: Span = Span::seconds(60);

/// Pages that one look takes at most; the next look goes on.
const PAGES_MAX: usize = 50;

/// Prints until nobody reads any more.
pub(super) async fn follow(query: &Query, filter: Filter, page: &Page, style: Style) -> anyhow::Result<()> {
    let mut follow = Follow::new(query, filter).await?;
    let mut calls = follow.newest(query, page).await?;
    out!("{}", heading(style)?);
    let mut is_away = false;
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        if !print(&calls, style)? {
            return Ok(());
        }
        ticks.tick().await;
        calls = match follow.look(query).await {
            Ok(calls) => {
                if std::mem::take(&mut is_away) {
                    errln!("The call log is back.");
                }
                calls
            }
            Err(error) if error.is_away() => {
                if !std::mem::replace(&mut is_away, true) {
                    errln!("{}; trying again", text::line(&error.to_string()));
                }
                Vec::new()
            }
            Err(error) => return Err(error.into()),
        };
    }
}

/// What was printed.
#[derive(Debug)]
struct Follow {
    filter: Filter,
    /// Calls that began before are not looked for.
    since: Option<Stamp>,
    /// Calls that began since, and those that go on: `None` once the end was seen.
    calls: BTreeMap<Uuid, Known>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    started_at: Stamp,
    is_over: bool,
}

impl Follow {
    /// Goes on after the calls of this moment.
    async fn new(query: &Query, filter: Filter) -> Result<Self, query::Error> {
        let begun = filter.from_the_beginning();
        let going_on = Filter { going_on: Some(true), ..begun.clone() };
        let page = Page::new(Page::LIMIT_MAX, None).unwrap_or_default();
        let mut follow = Self { filter, since: None, calls: BTreeMap::new() };
        let newest = query.calls(&begun, &page).await?.calls;
        follow.since = newest.first().map(|call| Stamp(call.started_at.0 - OVERLAP));
        let open = query.calls(&going_on, &page).await?.calls;
        follow.know(newest.iter().chain(&open));
        Ok(follow)
    }

    /// A page to begin with, and all in it is known: what comes into the log after it is news.
    async fn newest(&mut self, query: &Query, page: &Page) -> Result<Vec<CallRow>, query::Error> {
        let mut newest = query.calls(&self.filter, page).await?.calls;
        newest.reverse();
        self.know(newest.iter());
        Ok(newest)
    }

    /// Calls that began or ended since the last look, in the order in which they began.
    async fn look(&mut self, query: &Query) -> Result<Vec<CallRow>, query::Error> {
        let begun = self.begun(query).await?;
        let open: Vec<_> = self.calls.iter().filter(|(_, it)| !it.is_over).map(|(id, _)| *id).collect();
        let over = Filter { going_on: Some(false), ..Filter::default() };
        let ended = query.among(&open, &over).await?;
        let changed: Vec<_> = begun.iter().chain(&ended).filter_map(id).collect();
        let mut shown = query.among(&changed, &self.filter).await?;
        shown.reverse();
        self.know(begun.iter().chain(&ended).chain(&shown));
        self.forget();
        Ok(shown)
    }

    async fn begun(&self, query: &Query) -> Result<Vec<CallRow>, query::Error> {
        let since = self.since.max(self.filter.since);
        let filter = Filter { since, ..self.filter.from_the_beginning() };
        let (mut begun, mut after) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let page = Page::new(Page::LIMIT_MAX, after).unwrap_or_default();
            let page = query.calls(&filter, &page).await?;
            begun.extend(page.calls.into_iter().filter(|call| self.is_news(call)));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(begun)
    }

    fn is_news(&self, call: &CallRow) -> bool {
        id(call).is_some_and(|id| !self.calls.contains_key(&id))
    }

    fn know<'a>(&mut self, calls: impl Iterator<Item = &'a CallRow>) {
        for call in calls {
            let known = Known { started_at: call.started_at, is_over: call.ended_at.is_some() };
            if let Some(id) = id(call) {
                self.calls.insert(id, known);
            }
        }
    }

    fn forget(&mut self) {
        let newest = self.calls.values().map(|known| known.started_at).max();
        self.since = newest.map(|newest| Stamp(newest.0 - OVERLAP)).max(self.since);
        let since = self.since;
        self.calls.retain(|_, known| !known.is_over || Some(known.started_at) >= since);
    }
}

fn id(call: &CallRow) -> Option<Uuid> {
    Uuid::parse_str(&call.call_id).ok()
}

fn heading(style: Style) -> anyhow::Result<String> {
    Ok(match style {
        Style::Text => render::heading(),
        Style::Csv => csv::calls(&[])?,
        Style::Json => String::new(),
    })
}

/// Whether somebody still reads.
fn print(calls: &[CallRow], style: Style) -> anyhow::Result<bool> {
    let mut output = io::stdout().lock();
    for call in calls {
        let line = match style {
            Style::Text => render::followed(call),
            Style::Csv => csv::more_calls(std::slice::from_ref(call))?,
            Style::Json => text::json_line(call)? + "\n",
        };
        match output.write_all(line.as_bytes()).and_then(|()| output.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(false),
            result => result?,
        }
    }
    output.flush()?;
    Ok(true)
}
