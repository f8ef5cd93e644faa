//! Which calls are asked for: read from the texts that a command line or a URL has.

use ::time::format_description::well_known::Rfc3339;
use ::time::macros::format_description;
use ::time::{Date, Duration, OffsetDateTime, Time};

use super::cursor::Cursor;
use super::parties::Asked;
use super::search::Words;
use super::sql::{Indexed, Sql, Value};
use crate::call::record::Ending;
use crate::store::Stamp;

/// All conditions hold for each call. `None`: any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Began at this time or later.
    pub since: Option<Stamp>,
    /// Began before this time.
    pub until: Option<Stamp>,
    pub agent: Option<String>,
    pub business: Option<String>,
    pub caller: Option<Asked>,
    pub dialled: Option<Asked>,
    /// Of the caller, or dialled.
    pub number: Option<Asked>,
    /// Code of the ending, one of [`Ending::CODES`].
    pub ending: Option<String>,
    pub failed: Option<bool>,
    pub had_fallback: Option<bool>,
    pub going_on: Option<bool>,
    pub words: Option<Words>,
}

/// A text is not what a filter needs: what is wrong, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    #[error("there is no such filter; there are {}", Filter::NAMES.join(", "))]
    Name,
    #[error("there is no such choice; there are {}", super::stats::Scope::NAMES.join(", "))]
    Scope,
    #[error("not a time; write 2026-11-01, 2026-11-01T09:30:00Z, or how long ago: 30m, 2h, 7d")]
    Moment,
    #[error("not a choice; write true or false")]
    Choice,
    #[error("no call ends like that; known endings are {}", Ending::CODES.join(", "))]
    Ending,
    #[error("too long; {} characters at most", TEXT_CHARS_MAX)]
    TooLong,
    #[error("no word to search for; write letters or digits, and * after two or more of them for any ending")]
    NoWords,
    #[error("too many words; {} at most", super::search::TERMS_MAX)]
    TooManyWords,
    #[error("not a number of calls; write one from 1 to {}", Page::LIMIT_MAX)]
    Limit,
    #[error("not a cursor of this program; use one of its answers as it is, or leave it out to begin anew")]
    Cursor,
}

/// Longer than any name or number that is not nonsense.
const TEXT_CHARS_MAX: usize = 1000;

/// Choices of a statement: a database takes some hundreds.
const CHOICES_MAX: usize = 100;

impl Filter {
    /// What [`Filter::set`] takes.
    pub const NAMES: [&str; 12] = [
        "since",
        "until",
        "agent",
        "business",
        "caller",
        "dialled",
        "number",
        "ending",
        "failed",
        "had_fallback",
        "going_on",
        "search",
    ];

    /// Sets the condition of this name from a text. `now` is what durations count back from.
    pub fn set(&mut self, name: &str, text: &str, now: OffsetDateTime) -> Result<(), Invalid> {
        if text.chars().nth(TEXT_CHARS_MAX).is_some() {
            return Err(Invalid::TooLong);
        }
        let owned = || Some(text.to_owned());
        match name {
            "since" => self.since = Some(Stamp(moment(text, now)?)),
            "until" => self.until = Some(Stamp(moment(text, now)?)),
            "agent" => self.agent = owned(),
            "business" => self.business = owned(),
            "caller" => self.caller = Some(Asked::new(text)),
            "dialled" => self.dialled = Some(Asked::new(text)),
            "number" => self.number = Some(Asked::new(text)),
            "ending" if Ending::CODES.contains(&text) => self.ending = owned(),
            "ending" => return Err(Invalid::Ending),
            "failed" => self.failed = Some(choice(text)?),
            "had_fallback" => self.had_fallback = Some(choice(text)?),
            "going_on" => self.going_on = Some(choice(text)?),
            "search" => self.words = Some(Words::parse(text)?),
            _ => return Err(Invalid::Name),
        }
        Ok(())
    }

    /// What can change while a call goes on is left out.
    #[must_use]
    pub fn from_the_beginning(&self) -> Self {
        Self { ending: None, failed: None, had_fallback: None, going_on: None, words: None, ..self.clone() }
    }

    /// The conditions but for `number` and `words`, each after ` AND `.
    pub(super) fn conditions(&self, sql: &mut Sql) {
        for (column, asked) in [(Indexed::Caller, &self.caller), (Indexed::Dialled, &self.dialled)] {
            if let Some(asked) = asked {
                sql.any_of(column, asked.texts());
            }
        }
        self.others(sql);
    }

    /// Parties in every way in which the log has them, one choice of columns and texts each: each has an index.
    pub(super) fn parties(&self) -> Vec<Vec<(Indexed, Vec<String>)>> {
        let mut choices = vec![Vec::new()];
        let asked: [(&[Indexed], &Option<Asked>); 3] = [
            (&[Indexed::Caller], &self.caller),
            (&[Indexed::Dialled], &self.dialled),
            (&[Indexed::Caller, Indexed::Dialled], &self.number),
        ];
        for (columns, asked) in asked {
            let Some(asked) = asked else { continue };
            // One text for each choice is the fastest, but for too many.
            let len = choices.len() * columns.len() * asked.texts().len();
            let texts = asked.texts().chunks(if len > CHOICES_MAX { asked.texts().len() } else { 1 });
            let both = columns.iter().flat_map(|column| texts.clone().map(|texts| (*column, texts.to_vec())));
            let both: Vec<_> = both.collect();
            choices = choices
                .iter()
                .flat_map(|chosen| {
                    both.iter().map(|one| [chosen.as_slice(), std::slice::from_ref(one)].concat())
                })
                .collect();
        }
        choices
    }

    /// The conditions but for parties and `words`, each after ` AND `.
    pub(super) fn others(&self, sql: &mut Sql) {
        sql.given(" AND calls.started_at >= ", self.since.map(Value::Stamp));
        sql.given(" AND calls.started_at < ", self.until.map(Value::Stamp));
        let texts = [(Indexed::Agent, &self.agent), (Indexed::Business, &self.business)];
        for (column, text) in texts {
            if let Some(text) = text {
                sql.equal(column, text);
            }
        }
        sql.given(" AND calls.ending = ", self.ending.clone().map(Value::Text));
        match self.failed {
            Some(true) => sql.either(" AND calls.failed = 1", " AND calls.failed"),
            Some(false) => sql.either(" AND calls.failed = 0", " AND NOT calls.failed"),
            None => sql,
        };
        match self.had_fallback {
            Some(true) => sql.either(" AND calls.had_fallback = 1", " AND calls.had_fallback"),
            Some(false) => sql.either(" AND calls.had_fallback = 0", " AND NOT calls.had_fallback"),
            None => sql,
        };
        match self.going_on {
            Some(true) => sql.text(" AND calls.ending IS NULL"),
            Some(false) => sql.text(" AND calls.ending IS NOT NULL"),
            None => sql,
        };
    }
}

fn choice(text: &str) -> Result<bool, Invalid> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Invalid::Choice),
    }
}

/// A date (its midnight), a time with its offset, or how long before `now`. UTC, and not before 1970.
pub fn moment(text: &str, now: OffsetDateTime) -> Result<OffsetDateTime, Invalid> {
    if let Ok(day) = Date::parse(text, format_description!("[year]-[month]-[day]")) {
        return plausible(day.with_time(Time::MIDNIGHT).assume_utc());
    }
    if let Ok(at) = OffsetDateTime::parse(text, &Rfc3339) {
        return plausible(at);
    }
    let unit = text.chars().next_back().ok_or(Invalid::Moment)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return Err(Invalid::Moment),
    };
    let digits = text.strip_suffix(unit).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let count: u32 = digits.and_then(|digits| digits.parse().ok()).ok_or(Invalid::Moment)?;
    let ago = Duration::seconds(i64::from(count) * seconds);
    Ok(now.checked_sub(ago).map_or(OffsetDateTime::UNIX_EPOCH, |at| at.max(OffsetDateTime::UNIX_EPOCH)))
}

/// Both databases know the time.
fn plausible(at: OffsetDateTime) -> Result<OffsetDateTime, Invalid> {
    // What lies beyond the year 9999 in UTC cannot be converted.
    let at = at.checked_to_offset(::time::UtcOffset::UTC).filter(|at| at.unix_timestamp() >= 0);
    at.ok_or(Invalid::Moment)
}

/// How much of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    limit: u32,
    after: Option<Cursor>,
}

impl Page {
    /// What a terminal and a table in a browser show at once.
    pub const LIMIT: u32 = 20;
    /// An answer is some hundred kilobytes at most.
    pub const LIMIT_MAX: u32 = 200;

    /// At most `limit` calls, from 1 to 200, after this place.
    pub const fn new(limit: u32, after: Option<Cursor>) -> Result<Self, Invalid> {
        match limit {
            1..=Self::LIMIT_MAX => Ok(Self { limit, after }),
            _ => Err(Invalid::Limit),
        }
    }

    /// The same with `limit` and `after` as texts.
    pub fn parse(limit: Option<&str>, after: Option<&str>) -> Result<Self, Invalid> {
        let limit = limit.map_or(Ok(Self::LIMIT), |text| text.parse().map_err(|_| Invalid::Limit))?;
        Self::new(limit, after.map(str::parse).transpose()?)
    }

    pub(super) const fn limit(self) -> usize {
        self.limit as usize
    }

    pub(super) const fn after(self) -> Option<Cursor> {
        self.after
    }
}

impl Default for Page {
    fn default() -> Self {
        Self { limit: Self::LIMIT, after: None }
    }
}

#[cfg(test)]
mod tests {
    use ::time::macros::datetime;
    use rstest::rstest;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-21 09:30:00 UTC);

    #[rstest]
    #[case("2026-11-01", datetime!(2026-11-01 00:00:00 UTC))]
    #[case("2026-11-01T09:30:00Z", datetime!(2026-11-01 09:30:00 UTC))]
    #[case("2026-11-01T09:30:00.5+02:00", datetime!(2026-11-01 07:30:00.5 UTC))]
    #[case("30m", datetime!(2026-11-21 09:00:00 UTC))]
    #[case("2h", datetime!(2026-11-21 07:30:00 UTC))]
    #[case("7d", datetime!(2026-11-14 09:30:00 UTC))]
    #[case("1w", datetime!(2026-11-14 09:30:00 UTC))]
    #[case("4294967295w", datetime!(1970-01-01 00:00:00 UTC))]
    fn a_moment_is_a_date_a_time_or_how_long_ago(#[case] text: &str, #[case] at: OffsetDateTime) {
        assert_eq!(moment(text, NOW), Ok(at));
    }

    #[rstest]
    #[case("")]
    #[case("yesterday")]
    #[case("2026-13-01")]
    #[case("2026-11-01T09:30:00")]
    #[case("-2h")]
    #[case("+2h")]
    #[case("2")]
    #[case("h")]
    #[case("99999999999d")]
    #[case("2é")]
    #[case("0001-01-01")]
    #[case("9999-12-31T23:59:59-23:59")]
    fn other_texts_are_no_moments(#[case] text: &str) {
        assert_eq!(moment(text, NOW), Err(Invalid::Moment));
    }

    #[rstest]
    #[case("ending", "hung_up", Invalid::Ending)]
    #[case("failed", "yes", Invalid::Choice)]
    #[case("search", "...", Invalid::NoWords)]
    #[case("colour", "red", Invalid::Name)]
    #[case("agent", &"x".repeat(1001), Invalid::TooLong)]
    fn what_no_call_can_have_is_refused(#[case] name: &str, #[case] text: &str, #[case] error: Invalid) {
        assert_eq!(Filter::default().set(name, text, NOW), Err(error));
    }

    #[test]
    fn every_name_sets_a_condition() {
        for name in Filter::NAMES {
            let texts = ["2h", "true", "drained"];
            let mut filter = Filter::default();
            assert!(texts.iter().any(|text| filter.set(name, text, NOW).is_ok()), "{name}");
            assert_ne!(filter, Filter::default(), "{name}");
        }
    }

    #[rstest]
    #[case("0")]
    #[case("201")]
    #[case("-1")]
    #[case("ten")]
    fn a_limit_is_a_number_from_1_to_200(#[case] limit: &str) {
        assert_eq!(Page::parse(Some(limit), None), Err(Invalid::Limit));
    }
}
