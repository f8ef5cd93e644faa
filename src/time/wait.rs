//! How long a service asks not to be tried: in `Retry-After`, or in the words of an error.

use std::time::Duration;

use ::time::format_description::BorrowedFormatItem;
use ::time::macros::format_description;
use ::time::{OffsetDateTime, PrimitiveDateTime};

/// Two of the three forms of a date in HTTP (RFC 9110 section 5.6.7), without the day of the week; the third is rewritten.
const DATES: [&[BorrowedFormatItem<'static>]; 2] = [
    format_description!("[day] [month repr:short] [year] [hour]:[minute]:[second]"),
    format_description!("[month repr:short] [day padding:space] [hour]:[minute]:[second] [year]"),
];

/// Longer waits are of no use to anybody; the bound keeps the arithmetic in range.
const SECONDS_MAX: f64 = 1e7;

/// The value of a `Retry-After` header (RFC 9110 section 10.2.3): seconds, also with a fraction or a unit, or a date.
/// A date in the past is no wait.
pub fn in_header(value: &str, now: OffsetDateTime) -> Option<Duration> {
    let value = value.trim();
    quantity(value).or_else(|| Some(date(value)? - now).map(|wait| wait.try_into().unwrap_or_default()))
}

/// The wait that an error names in its text: `retryDelay` of `google.rpc.RetryInfo`, "Please retry in 12.5s", "try
/// again in 2 minutes".
pub fn in_text(text: &str) -> Option<Duration> {
    /// Between the word and its number: `"retryDelay": "3s"`, `retry_delay { seconds: 3 }`, "retry your request after".
    const BETWEEN_MAX: usize = 32;
    let text = text.to_ascii_lowercase();
    ["retry", "try again", "wait"].iter().find_map(|word| {
        text.match_indices(word).find_map(|(at, _)| {
            let rest = &text[at + word.len()..];
            let digit = rest.find(|c: char| c.is_ascii_digit()).filter(|digit| *digit <= BETWEEN_MAX)?;
            let is_other_sentence = rest[..digit].contains(['.', ';', ',', '(']);
            (!is_other_sentence).then(|| quantity(&rest[digit..]))?
        })
    })
}

/// A number with its unit, seconds if it has none.
fn quantity(text: &str) -> Option<Duration> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..end].trim_end_matches('.').parse().ok()?;
    let rest = text[end..].trim_start_matches([' ', '_']);
    let unit = &rest[..rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len())];
    let seconds = match unit {
        "" | "s" | "sec" | "secs" | "second" | "seconds" => number,
        "ms" | "millis" | "millisecond" | "milliseconds" => number / 1000.0,
        "m" | "min" | "mins" | "minute" | "minutes" => number * 60.0,
        "h" | "hr" | "hour" | "hours" => number * 3600.0,
        _ => return None,
    };
    Some(Duration::from_secs_f64(seconds.min(SECONDS_MAX)))
}

fn date(text: &str) -> Option<OffsetDateTime> {
    let text = text.trim_end_matches("GMT").trim_end_matches("UTC").trim();
    let day = text.trim_start_matches(|c: char| c.is_ascii_alphabetic()).trim_start_matches([',', ' ']);
    let day = &with_century(day);
    DATES
        .iter()
        .find_map(|format| PrimitiveDateTime::parse(day, format).ok())
        .map(PrimitiveDateTime::assume_utc)
}

/// `21-Oct-26 07:28:00` as `21 Oct 2026 07:28:00`.
fn with_century(text: &str) -> String {
    let Some((date, rest)) = text.split_once(' ') else { return text.to_owned() };
    match date.split('-').collect::<Vec<_>>()[..] {
        [day, month, year] if year.len() == 2 => format!("{day} {month} 20{year} {rest}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use ::time::macros::datetime;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("30", Some(30_000))]
    #[case(" 2 ", Some(2_000))]
    #[case("0", Some(0))]
    #[case("1.5", Some(1_500))]
    #[case("120s", Some(120_000))]
    #[case("Wed, 21 Oct 2026 07:28:03 GMT", Some(3_000))]
    #[case("Wed, 21 Oct 2026 07:28:00 GMT", Some(0))]
    #[case("Wed, 21 Oct 2015 07:28:00 GMT", Some(0))]
    #[case("Wednesday, 21-Oct-26 07:29:00 GMT", Some(60_000))]
    #[case("Wed Oct 21 07:28:09 2026", Some(9_000))]
    #[case("99999999999999999999", Some(10_000_000_000))]
    #[case("", None)]
    #[case("-5", None)]
    #[case("soon", None)]
    #[case("3 apples", None)]
    #[case("Wed, 32 Oct 2026 07:28:00 GMT", None)]
    fn a_header_says_seconds_or_a_date(#[case] value: &str, #[case] expected_ms: Option<u64>) {
        let now = datetime!(2026-10-21 07:28:00 UTC);
        assert_eq!(in_header(value, now), expected_ms.map(Duration::from_millis));
    }

    #[rstest]
    #[case(
        r#"{"error":{"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"3.5s"}]}}"#,
        Some(3_500)
    )]
    #[case(r#""retryDelay": "17s""#, Some(17_000))]
    #[case("retry_delay { seconds: 21 }", Some(21_000))]
    #[case("You exceeded your current quota. Please retry in 12.25s.", Some(12_250))]
    #[case("Rate limit reached. Please try again in 20 seconds", Some(20_000))]
    #[case("Please try again in 250ms.", Some(250))]
    #[case("Please wait 2 minutes", Some(120_000))]
    #[case("retry-after: 7", Some(7_000))]
    #[case("RETRY AFTER 1 SECOND", Some(1_000))]
    #[case("Please retry your request after 5 sec", Some(5_000))]
    #[case("Try again later", None)]
    #[case("Retry 3 times", None)]
    #[case("Please retry. Status 429", None)]
    #[case("You exceeded your current quota (429)", None)]
    #[case("", None)]
    fn an_error_may_name_a_wait(#[case] text: &str, #[case] expected_ms: Option<u64>) {
        assert_eq!(in_text(text), expected_ms.map(Duration::from_millis));
    }
}
