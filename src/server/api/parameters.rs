//! Query parameters: each at most once, and none that is not known, so that nobody believes in a filter that is not
//! there.

use std::collections::BTreeSet;

use ::time::OffsetDateTime;
use axum::http::Uri;

use super::problem::Problem;
use crate::store::query::stats::Scope;
use crate::store::query::{Filter, Page};

/// The filter and the page of a list.
pub(super) fn list(uri: &Uri, now: OffsetDateTime) -> Result<(Filter, Page), Problem> {
    const PAGE: [&str; 2] = ["limit", "cursor"];
    let known = [&Filter::NAMES[..], &PAGE].concat();
    let mut filter = Filter::default();
    let (mut limit, mut cursor) = (None, None);
    for (name, value) in pairs(uri, &known)? {
        match name.as_str() {
            "limit" => limit = Some(value),
            "cursor" => cursor = Some(value),
            _ => filter.set(&name, &value, now).map_err(|error| Problem::of_parameter(&name, &error))?,
        }
    }
    let part = |limit, cursor| Page::parse(limit, cursor);
    part(limit.as_deref(), None).map_err(|error| Problem::of_parameter("limit", &error))?;
    let page = part(limit.as_deref(), cursor.as_deref());
    Ok((filter, page.map_err(|error| Problem::of_parameter("cursor", &error))?))
}

/// Which days.
pub(super) fn scope(uri: &Uri, now: OffsetDateTime) -> Result<Scope, Problem> {
    let mut scope = Scope::default();
    for (name, value) in pairs(uri, &Scope::NAMES)? {
        scope.set(&name, &value, now).map_err(|error| Problem::of_parameter(&name, &error))?;
    }
    Ok(scope)
}

/// No parameters at all.
pub(super) fn none(uri: &Uri) -> Result<(), Problem> {
    pairs(uri, &[]).map(|_| ())
}

fn pairs(uri: &Uri, known: &[&str]) -> Result<Vec<(String, String)>, Problem> {
    let mut seen = BTreeSet::new();
    let mut pairs = Vec::new();
    for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        if !known.contains(&name.as_ref()) {
            return Err(Problem::unknown(&name, known));
        }
        if !seen.insert(name.clone()) {
            return Err(Problem::twice(&name));
        }
        let value = if NUMBERS.contains(&name.as_ref()) { number(&value) } else { value.into_owned() };
        pairs.push((name.into_owned(), value));
    }
    Ok(pairs)
}

const NUMBERS: [&str; 3] = ["caller", "dialled", "number"];

/// In a query `+` is a space; who writes a telephone number often forgets that. No party begins with a space.
fn number(text: &str) -> String {
    match text.strip_prefix(' ') {
        Some(digits) => format!("+{digits}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use ::time::macros::datetime;
    use rstest::rstest;

    use super::*;
    use crate::store::query::Asked;

    const NOW: OffsetDateTime = datetime!(2026-11-21 09:30:00 UTC);

    fn uri(query: &str) -> Uri {
        format!("/api/v1/calls?{query}").parse().unwrap()
    }

    #[rstest]
    #[case("number=+14155550123")]
    #[case("number=%2B14155550123")]
    fn a_number_is_understood_with_and_without_encoding(#[case] query: &str) {
        let (filter, _) = list(&uri(query), NOW).unwrap();
        assert_eq!(filter.number.as_ref().map(Asked::as_str), Some("+14155550123"));
    }

    #[rstest]
    #[case("colour=red", "colour", "there is no such parameter; there are since")]
    #[case("limit=5&limit=5", "limit", "more than once")]
    #[case("limit=0", "limit", "from 1 to 200")]
    #[case("cursor=abc", "cursor", "not a cursor")]
    #[case("ending=bored", "ending", "caller_hung_up")]
    #[case("since=tomorrow", "since", "2026-11-01")]
    #[case("%FF=1", "\u{fffd}", "no such parameter")]
    fn a_bad_parameter_is_named_with_what_is_right(
        #[case] query: &str,
        #[case] parameter: &str,
        #[case] detail: &str,
    ) {
        let problem = list(&uri(query), NOW).map(|_| ()).unwrap_err();
        let problem = serde_json::to_value(problem).unwrap();
        assert_eq!((&problem["status"], &problem["parameter"]), (&400.into(), &parameter.into()));
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{problem}");
    }
}
