//! What the calls of a time come to: sums, shares, latencies, costs, the longest waits and what failed.
//!
//! Sums and latencies of whole days are read from what is added up by the day, of parts of days from the calls of
//! those hours; single calls by their indexes.

mod costs;
mod latencies;
mod range;

use ::time::OffsetDateTime;
use serde::Serialize;
use utoipa::ToSchema;

use self::range::{Parts, Source};
use super::error::Error;
use super::filter::{Filter, Invalid};
use super::list::{Position, parsed, positions};
use super::rows::restore;
use super::session::Session;
use super::sql::{Sql, Value};
use crate::store::Stamp;
use crate::store::escape::escape;

/// Which calls, by their beginning. `None`: any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Began at this time or later.
    pub since: Option<Stamp>,
    /// Began before this time.
    pub until: Option<Stamp>,
    pub agent: Option<String>,
    pub business: Option<String>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Stats {
    /// Calls that began at this time or later; null: from the beginning.
    pub since: Option<Stamp>,
    /// Calls that began before this time; null: to the end.
    pub until: Option<Stamp>,
    pub total: Group,
    /// In the order of time, the last thousand.
    pub by_day: Vec<Group>,
    /// Those with the most calls first, a thousand at most, as below.
    pub by_agent: Vec<Group>,
    /// By live model.
    pub by_model: Vec<Group>,
    /// How long answers took, by who gave them.
    pub by_responder: Vec<Responder>,
    /// What calls used of services.
    pub used: Vec<Used>,
    pub longest_dead_air: Vec<DeadAir>,
    /// Failed calls by how and why they ended, the most frequent first.
    pub failures: Vec<Failures>,
    pub newest_failures: Vec<FailedCall>,
}

/// What some ended calls come to.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Group {
    /// The day, the agent or the model; `total`.
    pub name: String,
    #[serde(flatten)]
    pub counts: Counts,
    /// Failed calls by calls; null: no calls.
    pub failed_share: Option<f64>,
    /// Calls that needed the fallback by calls; null: no calls.
    pub fallback_share: Option<f64>,
    /// How long the agent took to answer; of all, and of what live models answered themselves.
    pub latency: Option<Latency>,
    /// By the prices of the time, as far as there are some: of the calls with all that they used. Null: no price is
    /// known.
    pub cost_usd: Option<f64>,
    /// Something that the calls used had no price, and is not in `cost_usd`.
    pub is_cost_partial: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema, sqlx::FromRow)]
pub struct Counts {
    pub calls: i64,
    pub answered: i64,
    /// Ended otherwise than by the caller or an operator.
    pub failed: i64,
    pub with_fallback: i64,
    pub turns: i64,
    /// From answers to ends, milliseconds; as below.
    pub duration_ms: i64,
    pub live_ms: i64,
    pub fallback_ms: i64,
    pub dead_air_max_ms: i64,
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub tokens: TokenSums,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema, sqlx::FromRow)]
pub struct TokenSums {
    pub prompt_tokens: i64,
    pub response_tokens: i64,
    pub thoughts_tokens: i64,
    pub total_tokens: i64,
}

/// From the end of caller speech to the agent's first audio, milliseconds, within 1.6 %. So many of a hundred answers
/// took no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Latency {
    pub answers: i64,
    pub p50_ms: i64,
    pub p90_ms: i64,
    pub p95_ms: i64,
    pub p99_ms: i64,
}

/// Answers of one responder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Responder {
    /// `live`, `fallback`, or `nobody` for recorded words.
    pub responder: String,
    /// The model that answered; of the fallback its language model.
    pub model: String,
    #[serde(flatten)]
    pub latency: Latency,
}

/// What calls used of one thing that has a price.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct Used {
    /// `live`, `stt`, `llm`, `tts` or `carrier`.
    pub service: String,
    /// As configured; empty: the live service.
    pub provider: String,
    pub model: String,
    /// `text`, `audio`, `image`, `video`, `document`; `unknown`: the service did not say; of the carrier `call`.
    pub modality: String,
    /// `in`, `out` or `cached`; of the carrier the call's direction.
    pub direction: String,
    /// `tokens`, `milliseconds`, `characters`, or begun `minutes`.
    pub unit: String,
    pub quantity: i64,
    /// What of it had no price at its time.
    pub unpriced_quantity: i64,
    /// By the prices of the time; null: there was none.
    pub cost_usd: Option<f64>,
}

/// A call in which the caller heard nothing for long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema, sqlx::FromRow)]
pub struct DeadAir {
    pub call_id: String,
    pub call_sid: String,
    pub agent: String,
    pub started_at: Stamp,
    pub dead_air_max_ms: i64,
}

/// Calls that failed in one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema, sqlx::FromRow)]
pub struct Failures {
    pub ending: String,
    /// Who failed and how, like `live.closed` or `think.stalled`; null: the ending says it.
    pub cause: Option<String>,
    pub calls: i64,
    /// When the last of them began.
    pub newest_at: Stamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema, sqlx::FromRow)]
pub struct FailedCall {
    pub call_id: String,
    pub call_sid: String,
    pub agent: String,
    pub started_at: Stamp,
    pub ending: String,
    pub cause: Option<String>,
    /// The ending as a sentence.
    pub ending_text: Option<String>,
}

impl Used {
    /// By what things are told apart.
    pub(super) fn order(&self) -> [&str; 6] {
        let Self { service, provider, model, modality, direction, unit, .. } = self;
        [service, provider, model, modality, direction, unit].map(String::as_str)
    }
}

impl Scope {
    /// What [`Scope::set`] takes.
    pub const NAMES: [&str; 4] = ["since", "until", "agent", "business"];

    /// Sets the condition of this name from a text, as [`Filter::set`] does.
    pub fn set(&mut self, name: &str, text: &str, now: OffsetDateTime) -> Result<(), Invalid> {
        if !Self::NAMES.contains(&name) {
            return Err(Invalid::Scope);
        }
        let mut filter = Filter::default();
        filter.set(name, text, now)?;
        self.since = filter.since.or(self.since);
        self.until = filter.until.or(self.until);
        self.agent = filter.agent.or_else(|| self.agent.take());
        self.business = filter.business.or_else(|| self.business.take());
        Ok(())
    }

    fn parts(&self) -> Parts {
        Parts::of(self.since, self.until)
    }

    /// Those for whom, in tables that are added up by the day.
    fn names(&self, sql: &mut Sql) {
        let key = |text: &String| Value::Match(escape(text).chars().take(KEY_CHARS).collect());
        sql.given(" AND agent = ", self.agent.as_ref().map(key));
        sql.given(" AND business_id = ", self.business.as_ref().map(key));
    }

    fn filter(&self, since: Option<Stamp>, until: Option<Stamp>) -> Filter {
        Filter {
            since,
            until,
            agent: self.agent.clone(),
            business: self.business.clone(),
            ..Filter::default()
        }
    }
}

/// Names are cut to so many characters where calls are added up.
const KEY_CHARS: usize = 200;

/// Three years of days; more agents than anybody reads about.
const GROUPS_MAX: i64 = 1000;

/// Calls in the lists of single calls, and kinds of failures.
const CALLS: usize = 10;
const KINDS: i64 = 100;

/// So many calls are sorted faster than the longest waits of all are searched for those of the scope.
const SORTED_MAX: i64 = 10_000;

pub(super) async fn stats(session: &mut Session, scope: &Scope) -> Result<Stats, Error> {
    let mut total = groups(session, scope, &By::ALL).await?.pop().unwrap_or_else(Group::empty);
    let mut by_model = groups(session, scope, &By::MODEL).await?;
    let by_responder = latencies::add(session, scope, &mut total, &mut by_model).await?;
    let mut by_day = groups(session, scope, &By::DAY).await?;
    by_day.reverse();
    let mut by_agent = groups(session, scope, &By::AGENT).await?;
    let named = costs::Groups { by_day: &mut by_day, by_agent: &mut by_agent, by_model: &mut by_model };
    let used = costs::add(session, scope, &mut total, named).await?;
    Ok(Stats {
        since: scope.since,
        until: scope.until,
        by_day,
        by_agent,
        longest_dead_air: longest_dead_air(session, scope, total.counts.calls).await?,
        failures: failures(session, scope).await?,
        newest_failures: newest_failures(session, scope).await?,
        total,
        by_model,
        by_responder,
        used,
    })
}

/// What rows of `daily` are put together by.
struct By {
    select: &'static str,
    group: &'static str,
}

impl By {
    const ALL: Self = Self { select: "SELECT 'total' AS name", group: "" };
    const DAY: Self =
        Self { select: "SELECT CAST(day AS text) AS name", group: " GROUP BY day ORDER BY day DESC LIMIT " };
    const AGENT: Self = Self {
        select: "SELECT agent AS name",
        group: " GROUP BY agent ORDER BY sum(calls) DESC, agent LIMIT ",
    };
    const MODEL: Self = Self {
        select: "SELECT model AS name",
        group: " GROUP BY model ORDER BY sum(calls) DESC, model LIMIT ",
    };
}

const SUMS: Source = Source {
    by_day: "SELECT agent, business_id, model, calls, answered, failed, with_fallback, turns, duration_ms, live_ms,
           fallback_ms, dead_air_max_ms, prompt_tokens, response_tokens, thoughts_tokens, total_tokens, day
      FROM daily",
    by_call: "SELECT substr(agent, 1, 200) AS agent, substr(business_id, 1, 200) AS business_id,
           substr(model, 1, 200) AS model, 1 AS calls,
           CASE WHEN answered_at IS NULL THEN 0 ELSE 1 END AS answered, CASE WHEN failed THEN 1 ELSE 0 END AS failed,
           CASE WHEN had_fallback THEN 1 ELSE 0 END AS with_fallback, coalesce(turn_count, 0) AS turns,
           coalesce(duration_ms, 0) AS duration_ms, coalesce(live_ms, 0) AS live_ms,
           coalesce(fallback_ms, 0) AS fallback_ms, coalesce(dead_air_max_ms, 0) AS dead_air_max_ms,
           coalesce(prompt_tokens, 0) AS prompt_tokens, coalesce(response_tokens, 0) AS response_tokens,
           coalesce(thoughts_tokens, 0) AS thoughts_tokens, coalesce(total_tokens, 0) AS total_tokens",
    of_calls: " FROM calls WHERE ended_at IS NOT NULL",
};

#[derive(sqlx::FromRow)]
struct Sum {
    name: String,
    #[sqlx(flatten)]
    counts: Counts,
}

async fn groups(session: &mut Session, scope: &Scope, by: &By) -> Result<Vec<Group>, Error> {
    let mut sql = session.sql(by.select);
    sql.text(
        ", CAST(coalesce(sum(calls), 0) AS bigint) AS calls, CAST(coalesce(sum(answered), 0) AS bigint) AS answered,
           CAST(coalesce(sum(failed), 0) AS bigint) AS failed,
           CAST(coalesce(sum(with_fallback), 0) AS bigint) AS with_fallback,
           CAST(coalesce(sum(turns), 0) AS bigint) AS turns,
           CAST(coalesce(sum(duration_ms), 0) AS bigint) AS duration_ms,
           CAST(coalesce(sum(live_ms), 0) AS bigint) AS live_ms,
           CAST(coalesce(sum(fallback_ms), 0) AS bigint) AS fallback_ms,
           coalesce(max(dead_air_max_ms), 0) AS dead_air_max_ms,
           CAST(coalesce(sum(prompt_tokens), 0) AS bigint) AS prompt_tokens,
           CAST(coalesce(sum(response_tokens), 0) AS bigint) AS response_tokens,
           CAST(coalesce(sum(thoughts_tokens), 0) AS bigint) AS thoughts_tokens,
           CAST(coalesce(sum(total_tokens), 0) AS bigint) AS total_tokens
      FROM ",
    );
    SUMS.select(&mut sql, scope);
    if !by.group.is_empty() {
        sql.text(by.group).bind(Value::Integer(GROUPS_MAX));
    }
    let mut sums: Vec<Sum> = session.all(&sql).await?;
    sums.iter_mut().for_each(|sum| restore(&mut sum.name));
    // Where names are ordered, each database has an order of its own.
    if by.group.contains("sum(calls)") {
        sums.sort_by(|a, b| (-a.counts.calls, &a.name).cmp(&(-b.counts.calls, &b.name)));
    }
    Ok(sums.into_iter().map(|Sum { name, counts }| Group::new(name, counts)).collect())
}

impl Group {
    fn new(name: String, counts: Counts) -> Self {
        let share = |part: i64| (counts.calls > 0).then(|| part as f64 / counts.calls as f64);
        Self {
            name,
            counts,
            failed_share: share(counts.failed),
            fallback_share: share(counts.with_fallback),
            latency: None,
            cost_usd: None,
            is_cost_partial: false,
        }
    }

    fn empty() -> Self {
        Self::new("total".to_owned(), Counts::default())
    }
}

async fn longest_dead_air(session: &mut Session, scope: &Scope, calls: i64) -> Result<Vec<DeadAir>, Error> {
    let mut sql = session.sql(
        "SELECT CAST(call_id AS text) AS call_id, call_sid, agent, started_at, dead_air_max_ms FROM calls",
    );
    let is_sorted = calls <= SORTED_MAX;
    if !is_sorted {
        // Otherwise SQLite sorts the calls of an agent.
        let index = match (&scope.agent, &scope.business) {
            (Some(_), _) => " INDEXED BY calls_by_agent_dead_air",
            (None, Some(_)) => " INDEXED BY calls_by_business_dead_air",
            (None, None) => " INDEXED BY calls_by_dead_air",
        };
        sql.either(index, "");
    }
    sql.text(" WHERE dead_air_max_ms IS NOT NULL");
    scope.filter(scope.since, scope.until).conditions(&mut sql);
    // An expression keeps a database from going through its index in this order.
    sql.text(if is_sorted {
        " ORDER BY dead_air_max_ms + 0 DESC, "
    } else {
        " ORDER BY dead_air_max_ms DESC, "
    });
    sql.text("calls.call_id DESC LIMIT ").bind(Value::Integer(CALLS as i64));
    let mut rows: Vec<DeadAir> = session.all(&sql).await?;
    for row in &mut rows {
        [&mut row.call_sid, &mut row.agent].into_iter().for_each(restore);
    }
    Ok(rows)
}

const FAILURES: Source = Source {
    by_day: "SELECT ending, cause, calls, newest_at, day FROM daily_failures",
    by_call: "SELECT ending, coalesce(substr(cause, 1, 200), '') AS cause, 1 AS calls, started_at AS newest_at",
    of_calls: " FROM calls WHERE ended_at IS NOT NULL AND failed",
};

async fn failures(session: &mut Session, scope: &Scope) -> Result<Vec<Failures>, Error> {
    let mut sql = session.sql(
        "SELECT ending, nullif(cause, '') AS cause, CAST(sum(calls) AS bigint) AS calls, max(newest_at) AS newest_at
           FROM ",
    );
    FAILURES.select(&mut sql, scope);
    sql.text(" GROUP BY ending, cause ORDER BY sum(calls) DESC, ending, cause LIMIT ");
    sql.bind(Value::Integer(KINDS));
    let mut rows: Vec<Failures> = session.all(&sql).await?;
    rows.sort_by(|a, b| (-a.calls, &a.ending, &a.cause).cmp(&(-b.calls, &b.ending, &b.cause)));
    Ok(rows)
}

async fn newest_failures(session: &mut Session, scope: &Scope) -> Result<Vec<FailedCall>, Error> {
    let filter = Filter { failed: Some(true), ..scope.filter(scope.since, scope.until) };
    let found: Vec<Position> = positions(session, &filter, None, CALLS).await?;
    let mut rows = Vec::with_capacity(found.len());
    for position in found {
        let mut sql = session.sql(
            "SELECT CAST(call_id AS text) AS call_id, call_sid, agent, started_at, ending, cause, ending_text
               FROM calls WHERE call_id = ",
        );
        sql.bind(Value::Id(parsed(&position.call_id)?));
        let Some(mut row): Option<FailedCall> = session.first(&sql).await? else { continue };
        [&mut row.call_sid, &mut row.agent].into_iter().for_each(restore);
        row.ending_text.iter_mut().for_each(restore);
        rows.push(row);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use ::time::macros::datetime;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("2026-11-01", datetime!(2026-11-01 00:00 UTC))]
    #[case("2026-11-01T09:00:00Z", datetime!(2026-11-01 09:00 UTC))]
    #[case("10m", datetime!(2026-11-21 09:20 UTC))]
    fn a_time_is_meant_as_it_is_said(#[case] text: &str, #[case] at: OffsetDateTime) {
        let mut scope = Scope::default();
        for name in ["since", "until"] {
            scope.set(name, text, datetime!(2026-11-21 09:30 UTC)).unwrap();
        }
        assert_eq!((scope.since, scope.until), (Some(Stamp(at)), Some(Stamp(at))));
    }

    #[test]
    fn conditions_of_calls_alone_are_none_of_sums() {
        let now = datetime!(2026-11-21 09:30 UTC);
        assert_eq!(Scope::default().set("caller", "+14155550123", now), Err(Invalid::Scope));
    }
}
