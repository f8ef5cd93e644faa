//! Which rows answer for a range of time: whole days what is added up by the day, parts of days the calls themselves.

use ::time::{Date, Time, UtcOffset};

use super::Scope;
use crate::store::Stamp;
use crate::store::query::sql::{Sql, Value};

/// Whole days: from this one on, to the day before that one. `None`: from the beginning, to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Days {
    pub(super) since: Option<Date>,
    pub(super) until: Option<Date>,
}

/// A part of a day. `None`: to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hours {
    pub(super) since: Stamp,
    pub(super) until: Option<Stamp>,
}

/// A range, cut where days begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) days: Option<Days>,
    /// What is before and after the whole days. One of both there is always.
    pub(super) hours: Vec<Hours>,
}

impl Parts {
    pub(super) fn of(since: Option<Stamp>, until: Option<Stamp>) -> Self {
        let mut hours = Vec::new();
        let first = match since {
            Some(at) if !is_midnight(at) => match day(at).next_day() {
                Some(next) if until.is_none_or(|until| midnight(next) <= until) => {
                    hours.push(Hours { since: at, until: Some(midnight(next)) });
                    Some(next)
                }
                _ => return Self { days: None, hours: vec![Hours { since: at, until }] },
            },
            other => other.map(day),
        };
        let last = until.map(day);
        let is_some = first.zip(last).is_none_or(|(first, last)| first < last);
        let days = is_some.then_some(Days { since: first, until: last });
        if let Some(until) = until.filter(|until| !is_midnight(*until)) {
            let since = since.map_or_else(|| midnight(day(until)), |since| since.max(midnight(day(until))));
            hours.push(Hours { since, until: Some(until) });
        }
        if let (None, [], Some(since)) = (days, &hours[..], since) {
            // No time at all: a statement needs a part, if only one without calls.
            hours.push(Hours { since, until });
        }
        Self { days, hours }
    }
}

/// Rows of one table by the day, and calls that stand for such rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    /// `SELECT` columns and `day` `FROM` a table with `agent` and `business_id`.
    pub(super) by_day: &'static str,
    /// `SELECT` the same columns of a call, but for the day.
    pub(super) by_call: &'static str,
    /// `FROM calls … WHERE` and a condition.
    pub(super) of_calls: &'static str,
}

impl Source {
    /// All rows of the scope as a table named `parts`.
    pub(super) fn select(self, sql: &mut Sql, scope: &Scope) {
        let Parts { days, hours } = scope.parts();
        let mut union = "(";
        if let Some(days) = days {
            sql.text(union).text(self.by_day);
            days.conditions(sql, scope);
            union = " UNION ALL ";
        }
        for part in hours {
            sql.text(union).text(self.by_call);
            sql.either(
                ", substr(calls.started_at, 1, 10) AS day",
                ", CAST(calls.started_at AT TIME ZONE 'UTC' AS date) AS day",
            );
            sql.text(self.of_calls);
            part.conditions(sql, scope);
            union = " UNION ALL ";
        }
        sql.text(") AS parts");
    }
}

impl Days {
    pub(super) fn conditions(self, sql: &mut Sql, scope: &Scope) {
        sql.text(" WHERE ").either("1", "true");
        sql.given(" AND day >= ", self.since.map(Value::Day));
        sql.given(" AND day < ", self.until.map(Value::Day));
        scope.names(sql);
    }
}

impl Hours {
    pub(super) fn conditions(self, sql: &mut Sql, scope: &Scope) {
        let Self { since, until } = self;
        scope.filter(Some(since), until).conditions(sql);
    }
}

fn day(at: Stamp) -> Date {
    at.0.to_offset(UtcOffset::UTC).date()
}

fn midnight(day: Date) -> Stamp {
    Stamp(day.with_time(Time::MIDNIGHT).assume_utc())
}

/// The log knows milliseconds.
fn is_midnight(at: Stamp) -> bool {
    at.unix_ms().rem_euclid(86_400_000) == 0
}

#[cfg(test)]
mod tests {
    use ::time::OffsetDateTime;
    use ::time::macros::{date, datetime};
    use rstest::rstest;

    use super::*;

    const MORNING: OffsetDateTime = datetime!(2026-11-21 09:20 UTC);
    const NOON: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);
    const MIDNIGHT: OffsetDateTime = datetime!(2026-11-22 00:00 UTC);
    const LATER: OffsetDateTime = datetime!(2026-11-24 06:30 UTC);

    type Range = (Option<OffsetDateTime>, Option<OffsetDateTime>);
    type Hour = (OffsetDateTime, Option<OffsetDateTime>);
    type WholeDays = Option<(Option<Date>, Option<Date>)>;

    const D22: Option<Date> = Some(date!(2026 - 11 - 22));
    const D24: Option<Date> = Some(date!(2026 - 11 - 24));

    #[rstest]
    #[case::everything((None, None), Some((None, None)), &[])]
    #[case::ten_minutes_ago((Some(MORNING), None), Some((D22, None)), &[(MORNING, Some(MIDNIGHT))])]
    #[case::from_a_midnight((Some(MIDNIGHT), None), Some((D22, None)), &[])]
    #[case::to_a_midnight((None, Some(MIDNIGHT)), Some((None, D22)), &[])]
    #[case::within_a_day((Some(MORNING), Some(NOON)), None, &[(MORNING, Some(NOON))])]
    #[case::to_the_end_of_the_day((Some(MORNING), Some(MIDNIGHT)), None, &[(MORNING, Some(MIDNIGHT))])]
    #[case::from_the_beginning_of_a_day((Some(datetime!(2026-11-21 00:00 UTC)), Some(NOON)), None,
        &[(datetime!(2026-11-21 00:00 UTC), Some(NOON))])]
    #[case::over_a_midnight((Some(NOON), Some(datetime!(2026-11-22 03:00 UTC))), None,
        &[(NOON, Some(MIDNIGHT)), (MIDNIGHT, Some(datetime!(2026-11-22 03:00 UTC)))])]
    #[case::over_days((Some(NOON), Some(LATER)), Some((D22, D24)),
        &[(NOON, Some(MIDNIGHT)), (datetime!(2026-11-24 00:00 UTC), Some(LATER))])]
    #[case::until_then((None, Some(LATER)), Some((None, D24)),
        &[(datetime!(2026-11-24 00:00 UTC), Some(LATER))])]
    #[case::another_offset((Some(datetime!(2026-11-22 01:00 +1)), None), Some((D22, None)), &[])]
    #[case::below_a_millisecond((Some(datetime!(2026-11-22 00:00:00.0005 UTC)), None), Some((D22, None)), &[])]
    #[case::backwards((Some(NOON), Some(MORNING)), None, &[(NOON, Some(MORNING))])]
    #[case::no_time((Some(MIDNIGHT), Some(MIDNIGHT)), None, &[(MIDNIGHT, Some(MIDNIGHT))])]
    #[case::the_last_day((Some(datetime!(9999-12-31 12:00 UTC)), None), None,
        &[(datetime!(9999-12-31 12:00 UTC), None)])]
    fn a_range_is_cut_where_days_begin(
        #[case] (since, until): Range,
        #[case] days: WholeDays,
        #[case] hours: &[Hour],
    ) {
        let expected = Parts {
            days: days.map(|(since, until)| Days { since, until }),
            hours: hours
                .iter()
                .map(|(since, until)| Hours { since: Stamp(*since), until: until.map(Stamp) })
                .collect(),
        };
        assert_eq!(Parts::of(since.map(Stamp), until.map(Stamp)), expected);
    }
}
