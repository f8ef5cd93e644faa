//! The `Date` of answers, by clocks that stand anywhere.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use httpdate::HttpDate;
use rstest::rstest;
use time::macros::{datetime, format_description};
use time::{Date, OffsetDateTime};

#[rstest]
#[case::of_the_standard(datetime!(1994-11-06 08:49:37 UTC), "Sun, 06 Nov 1994 08:49:37 GMT")]
#[case::the_first(datetime!(1970-01-01 0:00 UTC), "Thu, 01 Jan 1970 00:00:00 GMT")]
#[case::beyond_32_bits(datetime!(2038-01-19 3:14:08 UTC), "Tue, 19 Jan 2038 03:14:08 GMT")]
#[case::a_leap_day(datetime!(2000-02-29 23:59:59 UTC), "Tue, 29 Feb 2000 23:59:59 GMT")]
#[case::the_last(datetime!(9999-12-31 23:59:59 UTC), "Fri, 31 Dec 9999 23:59:59 GMT")]
#[case::the_second_before(datetime!(1969-12-31 23:59:59 UTC), "Thu, 01 Jan 1970 00:00:00 GMT")]
#[case::an_empty_battery(datetime!(1901-12-13 20:45:52 UTC), "Thu, 01 Jan 1970 00:00:00 GMT")]
fn an_answer_is_dated_by_every_clock(#[case] now: OffsetDateTime, #[case] expected: &str) {
    assert_eq!(HttpDate::from(SystemTime::from(now)).to_string(), expected);
}

#[test]
fn a_clock_after_the_year_9999_gives_its_last_second() {
    let far = UNIX_EPOCH + Duration::from_secs(1 << 40);
    assert_eq!(HttpDate::from(far).to_string(), "Fri, 31 Dec 9999 23:59:59 GMT");
}

#[test]
fn every_day_of_800_years_is_as_in_the_calendar() {
    let format = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let mut day = datetime!(1970-01-01 12:34:56 UTC);
    while day.date() < Date::from_calendar_date(2770, time::Month::January, 1).expect("a date") {
        assert_eq!(HttpDate::from(SystemTime::from(day)).to_string(), day.format(format).expect("a text"));
        day += time::Duration::DAY;
    }
}
