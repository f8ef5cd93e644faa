//! How long agents took to answer, from what is added up by the day and by the month.

use std::collections::BTreeMap;

use ::time::{Date, Month};

use super::range::{Hours, Parts};
use super::{Group, Latency, Scope};
use crate::store::query::error::Error;
use crate::store::query::rows::restore;
use crate::store::query::session::Session;
use crate::store::query::sql::{Sql, Value};
use crate::store::summary::rounded;

/// Answers that took so long.
#[derive(sqlx::FromRow)]
struct Bucket {
    model: String,
    latency_ms: i64,
    answers: i64,
}

/// Tells all of them and those of each model.
pub(super) async fn add(
    session: &mut Session,
    scope: &Scope,
    total: &mut Group,
    by_model: &mut [Group],
) -> Result<(), Error> {
    let mut sql = session.sql("SELECT model, latency_ms, CAST(sum(answers) AS bigint) AS answers FROM (");
    let Parts { days, hours } = scope.parts();
    let mut union = "";
    for span in days.map(|days| spans(days.since, days.until)).unwrap_or_default() {
        sql.text(union);
        span.select(&mut sql, scope);
        union = " UNION ALL ";
    }
    for part in hours {
        sql.text(union);
        part.select(&mut sql, scope);
        union = " UNION ALL ";
    }
    sql.text(") AS spans GROUP BY model, latency_ms");
    let buckets: Vec<Bucket> = session.all(&sql).await?;
    let mut all = Histogram::default();
    let mut models: BTreeMap<String, Histogram> = BTreeMap::new();
    for Bucket { mut model, latency_ms, answers } in buckets {
        restore(&mut model);
        // Those of whole days are rounded already, which rounding again leaves as they are.
        let latency_ms = rounded(latency_ms);
        *all.0.entry(latency_ms).or_default() += answers;
        *models.entry(model).or_default().0.entry(latency_ms).or_default() += answers;
    }
    total.latency = all.latency();
    for group in by_model {
        group.latency = models.get(&group.name).and_then(Histogram::latency);
    }
    Ok(())
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
                "SELECT model, latency_ms, answers FROM daily_latencies WHERE ",
                (" AND day >= ", since),
                (" AND day < ", until),
            ),
            Self::Months(since, until) => (
                "SELECT model, latency_ms, answers FROM monthly_latencies WHERE ",
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

impl Hours {
    fn select(self, sql: &mut Sql, scope: &Scope) {
        sql.text(
            "SELECT substr(model, 1, 200) AS model, latency_ms, count(*) AS answers FROM calls JOIN turns USING (call_id)
              WHERE calls.ended_at IS NOT NULL AND latency_ms IS NOT NULL",
        );
        self.conditions(sql, scope);
        sql.text(" GROUP BY substr(model, 1, 200), latency_ms");
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
