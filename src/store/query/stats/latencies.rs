//! How long agents took to answer, from what is added up by the day and by the month.

use std::collections::BTreeMap;

use ::time::{Date, Month};

use super::range::{Hours, Parts};
use super::{Group, Latency, Responder, Scope};
use crate::store::Stamp;
use crate::store::query::error::Error;
use crate::store::query::rows::restore;
use crate::store::query::session::Session;
use crate::store::query::sql::{Sql, Value};
use crate::store::responders::{Responders, Who};
use crate::store::summary::rounded;

/// Answers that took so long.
#[derive(sqlx::FromRow)]
struct Bucket {
    responder: String,
    model: String,
    latency_ms: i64,
    answers: i64,
}

/// Tells those of all, of each live model, and of each responder.
pub(super) async fn add(
    session: &mut Session,
    scope: &Scope,
    total: &mut Group,
    by_model: &mut [Group],
) -> Result<Vec<Responder>, Error> {
    let mut all = Histogram::default();
    let mut responders: BTreeMap<(String, String), Histogram> = BTreeMap::new();
    for Bucket { responder, mut model, latency_ms, answers } in buckets(session, scope).await? {
        restore(&mut model);
        // Those of whole days are rounded already, which rounding again leaves as they are.
        let latency_ms = rounded(latency_ms);
        *all.0.entry(latency_ms).or_default() += answers;
        *responders.entry((responder, model)).or_default().0.entry(latency_ms).or_default() += answers;
    }
    total.latency = all.latency();
    for group in by_model {
        let live = responders.get(&(Who::Live.as_str().to_owned(), group.name.clone()));
        group.latency = live.and_then(Histogram::latency);
    }
    let responder = |((responder, model), histogram): ((String, String), Histogram)| {
        Some(Responder { responder, model, latency: histogram.latency()? })
    };
    let mut responders: Vec<_> = responders.into_iter().filter_map(responder).collect();
    responders.sort_by_key(|it| std::cmp::Reverse(it.latency.answers));
    Ok(responders)
}

async fn buckets(session: &mut Session, scope: &Scope) -> Result<Vec<Bucket>, Error> {
    let Parts { days, hours } = scope.parts();
    let mut buckets = Vec::new();
    for span in days.map(|days| spans(days.since, days.until)).unwrap_or_default() {
        let mut sql = session.sql("");
        span.select(&mut sql, scope);
        sql.text(" GROUP BY responder, model, latency_ms");
        buckets.extend(session.all::<Bucket>(&sql).await?);
    }
    for part in hours {
        let mut sql = session.sql(UNCHANGED);
        part.conditions(&mut sql, scope);
        sql.text(" GROUP BY substr(model, 1, 200), latency_ms");
        buckets.extend(session.all::<Bucket>(&sql).await?);
        buckets.extend(changed(session, scope, part).await?);
    }
    Ok(buckets)
}

/// Calls in which nobody but the live model answered.
const UNCHANGED: &str =
    "SELECT 'live' AS responder, substr(model, 1, 200) AS model, latency_ms, count(*) AS answers
  FROM calls JOIN turns USING (call_id)
 WHERE calls.ended_at IS NOT NULL AND latency_ms IS NOT NULL
   AND NOT EXISTS (SELECT 1 FROM events WHERE events.call_id = calls.call_id AND events.kind = 'rung')";

/// The others.
const CHANGED: &str = " FROM calls
 WHERE calls.ended_at IS NOT NULL
   AND EXISTS (SELECT 1 FROM events WHERE events.call_id = calls.call_id AND events.kind = 'rung')";

#[derive(sqlx::FromRow)]
struct Change {
    call_id: String,
    kind: String,
    at: Stamp,
    detail: String,
}

#[derive(sqlx::FromRow)]
struct Answer {
    call_id: String,
    model: String,
    latency_ms: i64,
    started_at: Stamp,
}

/// Answers of calls in which the responder changed, each by itself.
async fn changed(session: &mut Session, scope: &Scope, part: Hours) -> Result<Vec<Bucket>, Error> {
    let mut sql = session.sql(
        "SELECT CAST(call_id AS text) AS call_id, kind, at, CAST(detail AS text) AS detail FROM events
          WHERE kind IN ('live_ready', 'rung', 'provider_used', 'provider_billed')
            AND call_id IN (SELECT calls.call_id",
    );
    sql.text(CHANGED);
    part.conditions(&mut sql, scope);
    sql.text(") ORDER BY events.call_id, sequence");
    let mut calls = BTreeMap::<String, Responders>::new();
    for Change { call_id, kind, at, detail } in session.all(&sql).await? {
        let detail = serde_json::from_str(&detail).unwrap_or_default();
        calls.entry(call_id).or_default().add(&kind, &at.to_string(), &detail);
    }
    let mut sql = session.sql(
        "SELECT CAST(turns.call_id AS text) AS call_id, substr(model, 1, 200) AS model, latency_ms, turns.started_at
           FROM turns JOIN calls AS of_call ON of_call.call_id = turns.call_id
          WHERE latency_ms IS NOT NULL AND turns.call_id IN (SELECT calls.call_id",
    );
    sql.text(CHANGED);
    part.conditions(&mut sql, scope);
    sql.text(")");
    let answers: Vec<Answer> = session.all(&sql).await?;
    let bucket = |answer: Answer| {
        let responders = calls.get(&answer.call_id);
        let (who, model) = responders.map(|it| it.at(&answer.started_at.to_string())).unwrap_or_default();
        let model = model.unwrap_or(answer.model);
        Bucket { responder: who.as_str().to_owned(), model, latency_ms: answer.latency_ms, answers: 1 }
    };
    Ok(answers.into_iter().map(bucket).collect())
}

/// From a day to the day before another, or from the beginning, or to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Span {
    Days(Option<Date>, Option<Date>),
    /// From the first of a month to the last of a month.
    Months(Option<Date>, Option<Date>),
}

impl Span {
    fn select(self, sql: &mut Sql, scope: &Scope) {
        let (table, since, until) = match self {
            Self::Days(since, until) => (
                "SELECT responder, model, latency_ms, CAST(sum(answers) AS bigint) AS answers FROM daily_latencies WHERE ",
                (" AND day >= ", since),
                (" AND day < ", until),
            ),
            Self::Months(since, until) => (
                "SELECT responder, model, latency_ms, CAST(sum(answers) AS bigint) AS answers FROM monthly_latencies WHERE ",
                (" AND month >= ", since),
                (" AND month < ", until),
            ),
        };
        sql.text(table).either("1", "true");
        sql.given(since.0, since.1.map(Value::Day));
        sql.given(until.0, until.1.map(Value::Day));
        scope.names(sql);
    }
}

/// The same days, whole months by the month: a thirtieth of the rows.
fn spans(since: Option<Date>, until: Option<Date>) -> Vec<Span> {
    let days = vec![Span::Days(since, until)];
    let first = match since.map(month_from) {
        // After the end of the calendar.
        Some(None) => return days,
        first => first.flatten(),
    };
    let last = until.map(month_of);
    if let (Some(first), Some(last)) = (first, last)
        && first >= last
    {
        return days;
    }
    let before = (since != first).then_some(Span::Days(since, first));
    let after = (until != last).then_some(Span::Days(last, until));
    before.into_iter().chain([Span::Months(first, last)]).chain(after).collect()
}

/// The first day of its month.
fn month_of(day: Date) -> Date {
    day.replace_day(1).unwrap_or(day)
}

/// The first month that has not begun before this day.
fn month_from(day: Date) -> Option<Date> {
    if day.day() == 1 {
        return Some(day);
    }
    let year = day.year() + i32::from(day.month() == Month::December);
    Date::from_calendar_date(year, day.month().next(), 1).ok()
}

/// How often an answer took how long.
#[derive(Debug, Default)]
struct Histogram(BTreeMap<i64, i64>);

impl Histogram {
    fn latency(&self) -> Option<Latency> {
        let answers: i64 = self.0.values().sum();
        // The smallest that so many of a hundred do not exceed, as in the view `latency_percentiles`.
        let percentile = |percent: i64| {
            let mut running = 0;
            self.0.iter().find_map(|(ms, count)| {
                running += count;
                (running * 100 >= answers * percent).then_some(*ms)
            })
        };
        let (p50_ms, p90_ms) = (percentile(50)?, percentile(90)?);
        Some(Latency { answers, p50_ms, p90_ms, p95_ms: percentile(95)?, p99_ms: percentile(99)? })
    }
}

#[cfg(test)]
mod tests {
    use ::time::macros::date;
    use rstest::rstest;

    use super::Span::{Days, Months};
    use super::*;

    #[rstest]
    #[case::none(&[], None)]
    #[case::one(&[(700, 1)], Some([700, 700, 700, 700]))]
    #[case::hundred(&[(1, 50), (2, 40), (3, 5), (4, 4), (9, 1)], Some([1, 2, 3, 4]))]
    fn percentiles_are_the_smallest_that_so_many_do_not_exceed(
        #[case] buckets: &[(i64, i64)],
        #[case] expected: Option<[i64; 4]>,
    ) {
        let latency = Histogram(buckets.iter().copied().collect()).latency();
        assert_eq!(latency.map(|it| [it.p50_ms, it.p90_ms, it.p95_ms, it.p99_ms]), expected);
    }

    const MAY_1: Option<Date> = Some(date!(2026 - 05 - 01));
    const MAY_9: Option<Date> = Some(date!(2026 - 05 - 09));
    const JUNE_1: Option<Date> = Some(date!(2026 - 06 - 01));
    const JULY_1: Option<Date> = Some(date!(2026 - 07 - 01));
    const JULY_9: Option<Date> = Some(date!(2026 - 07 - 09));

    #[rstest]
    #[case::everything(None, None, &[Months(None, None)])]
    #[case::since(MAY_9, None, &[Days(MAY_9, JUNE_1), Months(JUNE_1, None)])]
    #[case::since_a_first(MAY_1, None, &[Months(MAY_1, None)])]
    #[case::until(None, JULY_9, &[Months(None, JULY_1), Days(JULY_1, JULY_9)])]
    #[case::until_a_first(None, JULY_1, &[Months(None, JULY_1)])]
    #[case::both(MAY_9, JULY_9, &[Days(MAY_9, JUNE_1), Months(JUNE_1, JULY_1), Days(JULY_1, JULY_9)])]
    #[case::a_month(MAY_1, JUNE_1, &[Months(MAY_1, JUNE_1)])]
    #[case::within_a_month(MAY_1, MAY_9, &[Days(MAY_1, MAY_9)])]
    #[case::no_whole_month(MAY_9, Some(date!(2026-06-20)), &[Days(MAY_9, Some(date!(2026-06-20)))])]
    #[case::over_a_year(Some(date!(2026-12-02)), None,
        &[Days(Some(date!(2026-12-02)), Some(date!(2027-01-01))), Months(Some(date!(2027-01-01)), None)])]
    #[case::the_last_month(Some(date!(9999-12-02)), None, &[Days(Some(date!(9999-12-02)), None)])]
    #[case::no_day(JULY_9, MAY_9, &[Days(JULY_9, MAY_9)])]
    fn whole_months_are_read_by_the_month(
        #[case] since: Option<Date>,
        #[case] until: Option<Date>,
        #[case] expected: &[Span],
    ) {
        assert_eq!(spans(since, until), expected);
    }
}
