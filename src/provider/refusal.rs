//! What a service says when it refuses: in which words, whether for a policy, and when it may be asked again.

use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

use crate::job::Failure;

/// HTTP's "Too Many Requests".
const TOO_MANY: u16 = 429;

/// Codes of errors that are policies: what one caller said is refused, not the service's work.
const POLICIES: [&str; 4] =
    ["content_filter", "content_policy_violation", "responsibleaipolicyviolation", "safety"];

/// The failure of an answer with this status. `clean` makes words fit to be logged.
pub(super) fn read(status: u16, headers: &HeaderMap, body: &[u8], clean: impl Fn(&str) -> String) -> Failure {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = error_of(&value);
    if let Some(policy) = policy(error) {
        return Failure::Blocked { reason: clean(policy) };
    }
    let words = error_message(body).unwrap_or_else(|| text_message(body));
    let wait = wait_of_headers(status, headers, SystemTime::now()).or_else(|| wait_of_body(&value, &words));
    let message = clean(&words);
    match wait {
        Some(wait) => Failure::Limited { status, message, retry_after_ms: crate::time::millis(wait) },
        None => Failure::Refused { status, message },
    }
}

/// An error inside an answer that had begun well: its words, with the wait if it names one.
pub(super) fn reported(error: &Value, clean: impl Fn(&str) -> String) -> Failure {
    if let Some(policy) = policy(error) {
        return Failure::Blocked { reason: clean(policy) };
    }
    let words = words_of(error).unwrap_or_else(|| error.to_string());
    let message = clean(&words);
    match wait_of_body(error, &words) {
        Some(wait) => {
            let status = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
            let status = status.unwrap_or(TOO_MANY);
            Failure::Limited { status, message, retry_after_ms: crate::time::millis(wait) }
        }
        None => Failure::Reported { message },
    }
}

/// The error that an answer consists of, whatever its status.
pub(super) fn complaint(document: &Value) -> Option<&Value> {
    let is = |name: &str| document.get(name).and_then(Value::as_str) == Some("error");
    let error = document.get("error").or_else(|| document.get("errors"));
    let is_error = |error: &&Value| match error {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Bool(true) | Value::Number(_) | Value::Object(_) => true,
    };
    let is_detail =
        document.as_object().is_some_and(|members| members.len() == 1 && members.contains_key("detail"));
    match error.filter(is_error) {
        Some(_) => Some(error_of(document)),
        None if is("object") || is("type") || is_detail => Some(document),
        None => None,
    }
}

/// Words where there should be a sound, with the status of a success.
pub(super) fn in_place_of_audio(text: &[u8]) -> Failure {
    let value: Value = serde_json::from_slice(text).unwrap_or_default();
    if let Some(error) = complaint(value.get(0).unwrap_or(&value)) {
        return reported(error, str::to_owned);
    }
    let words = text_message(text);
    let words = if words.is_empty() { words } else { format!(": {words}") };
    Failure::Unreadable { message: format!("text in place of audio{words}") }
}

/// The words of an error: `{"error": {"message"}}` of Google, OpenAI and Anthropic, `{"error"}` of Ollama,
/// `{"detail"}` of FastAPI, `{"message"}` of proxies; Google puts the first into an array where it would have
/// streamed one.
pub(super) fn error_message(body: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(body).ok()?;
    words_of(error_of(&value))
}

/// The error in a document, or the document.
fn error_of(value: &Value) -> &Value {
    let value = value.get(0).unwrap_or(value);
    let error = value.get("error").or_else(|| value.get("errors")).filter(|error| !error.is_null());
    error.map_or(value, |error| error.get(0).unwrap_or(error))
}

fn words_of(error: &Value) -> Option<String> {
    if let Some(words) = error.as_str() {
        return Some(words.to_owned());
    }
    let names =
        ["message", "detail", "msg", "error_description", "description", "error", "title", "reason", "code"];
    let named = names.iter().find_map(|name| error.get(name).filter(|value| !value.is_null()))?;
    match named {
        Value::String(words) => Some(words.clone()),
        Value::Number(code) => Some(code.to_string()),
        Value::Array(list) => words_of(list.first()?),
        Value::Object(_) => words_of(named),
        Value::Null | Value::Bool(_) => None,
    }
}

/// A body that is plain text is its own message; of a page, its title is.
fn text_message(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    if text.starts_with('{') || text.starts_with('[') {
        return String::new();
    }
    if !text.starts_with('<') {
        return text.lines().next().unwrap_or_default().to_owned();
    }
    let title = text.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
    title.map_or_else(String::new, |(title, _)| title.trim().to_owned())
}

fn policy(error: &Value) -> Option<&str> {
    let names = ["code", "type", "status"].iter().filter_map(|name| error.get(name)?.as_str());
    let inner = error.get("innererror").and_then(|inner| inner.get("code")?.as_str());
    names.chain(inner).find(|code| POLICIES.contains(&&*code.to_ascii_lowercase()))
}

/// When the service may be asked again, as headers say it: `Retry-After` in seconds or as a date (RFC 9110, 10.2.3),
/// `retry-after-ms` of OpenAI and Azure, and for a quota the `…-ratelimit-reset…` of OpenAI, Anthropic and GitHub.
fn wait_of_headers(status: u16, headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let date = headers.get(DATE).and_then(|date| http_date(date.to_str().ok()?));
    let now = date.unwrap_or_else(|| now.into());
    let ms = value("retry-after-ms").and_then(seconds).map(|seconds| seconds / 1000);
    let after = value(RETRY_AFTER.as_str()).and_then(|after| {
        seconds(after).or_else(|| span(after)).or_else(|| Some(until(http_date(after)?, now)))
    });
    ms.or(after).or_else(|| (status == TOO_MANY).then(|| reset(headers, now)).flatten())
}

/// The longest reset of a limit that is used up.
fn reset(headers: &HeaderMap, now: OffsetDateTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim).map(str::to_owned);
    let resets = headers.keys().filter(|name| {
        name.as_str().contains("ratelimit-reset")
            || name.as_str().contains("ratelimit-") && name.as_str().ends_with("-reset")
    });
    let wait = |name: &str| {
        let left = text(&name.replace("reset", "remaining"));
        if left.is_some_and(|left| left != "0") {
            return None;
        }
        let value = text(name)?;
        let date = || OffsetDateTime::parse(&value, &Rfc3339).ok().or_else(|| http_date(&value));
        moment(&value, now).or_else(|| span(&value)).or_else(|| Some(until(date()?, now)))
    };
    resets.filter_map(|name| wait(name.as_str())).max()
}

/// A number: seconds from now, or since 1970, in seconds or milliseconds.
fn moment(text: &str, now: OffsetDateTime) -> Option<Duration> {
    let number: f64 = text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)?;
    let since_epoch = if number > 1e12 { number / 1000.0 } else { number };
    let seconds = if since_epoch > 1e9 { since_epoch - now.unix_timestamp() as f64 } else { since_epoch };
    Duration::try_from_secs_f64(seconds.max(0.0)).ok()
}

/// Google's `RetryInfo` (`"retryDelay": "3.5s"`), `retry_after` of others, or what the message says.
fn wait_of_body(value: &Value, words: &str) -> Option<Duration> {
    let error = error_of(value);
    let details = error.get("details").and_then(Value::as_array).into_iter().flatten();
    let delay = details.filter_map(|detail| detail.get("retryDelay")).find_map(|delay| match delay {
        Value::Object(_) => delay.get("seconds").and_then(number),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => number(delay),
    });
    let named = || ["retry_after", "retry_after_seconds"].iter().find_map(|name| number(error.get(name)?));
    let ms = || Some(number(error.get("retry_after_ms")?)? / 1000);
    delay.or_else(named).or_else(ms).or_else(|| {
        let words = words.to_lowercase();
        let (_, rest) = words.split_once("try again in ").or_else(|| words.split_once("retry in "))?;
        span(rest.split_whitespace().next()?.trim_end_matches(['.', ',']))
    })
}

fn number(value: &Value) -> Option<Duration> {
    match value {
        Value::Number(number) => Duration::try_from_secs_f64(number.as_f64()?).ok(),
        Value::String(text) => seconds(text).or_else(|| span(text)),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.parse().ok()?).ok()
}

/// `1m30.5s`, `120ms`, `2h`.
fn span(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut all = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).filter(|len| *len > 0)?;
        let (number, after) = rest.split_at(digits);
        let unit_len = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_len);
        let factor = match unit {
            "ms" => 0.001,
            "s" | "sec" | "second" | "seconds" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        all += Duration::try_from_secs_f64(number.parse::<f64>().ok()? * factor).ok()?;
        rest = after;
    }
    Some(all).filter(|_| !text.trim().is_empty())
}

fn http_date(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text.trim(), &Rfc2822).ok()
}

fn until(then: OffsetDateTime, now: OffsetDateTime) -> Duration {
    (then - now).try_into().unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};
    use rstest::rstest;

    use super::*;

    fn refuse(status: u16, headers: &[(&str, &str)], body: &str) -> Failure {
        let pair = |(name, value): &(&str, &str)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        read(status, &headers.iter().map(pair).collect(), body.as_bytes(), str::to_owned)
    }

    fn wait_ms(failure: &Failure) -> Option<u64> {
        if let Failure::Limited { retry_after_ms, .. } = failure { Some(*retry_after_ms) } else { None }
    }

    const NOW: (&str, &str) = ("date", "Wed, 21 Oct 2026 07:28:00 GMT");

    #[rstest]
    #[case::seconds(&[("Retry-After", "2")], Some(2000))]
    #[case::a_fraction(&[("Retry-After", " 1.5 ")], Some(1500))]
    #[case::a_date(&[NOW, ("Retry-After", "Wed, 21 Oct 2026 07:28:30 GMT")], Some(30_000))]
    #[case::a_date_that_is_over(&[NOW, ("Retry-After", "Wed, 21 Oct 2026 07:20:30 GMT")], Some(0))]
    #[case::a_span(&[("Retry-After", "1m2s")], Some(62_000))]
    #[case::milliseconds(&[("Retry-After-Ms", "250"), ("Retry-After", "1")], Some(250))]
    #[case::nonsense(&[("Retry-After", "soon")], None)]
    #[case::negative(&[("Retry-After", "-3")], None)]
    #[case::endless(&[("Retry-After", "1e400")], None)]
    #[case::the_limit_that_is_used_up(&[
        ("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "1.5s"),
        ("x-ratelimit-remaining-tokens", "900"), ("x-ratelimit-reset-tokens", "6m0s"),
    ], Some(1500))]
    #[case::unknown_which(&[("x-ratelimit-reset-requests", "20ms"), ("x-ratelimit-reset-tokens", "3s")], Some(3000))]
    #[case::since_1970(&[NOW, ("x-ratelimit-reset", "1792567684")], Some(4000))]
    #[case::milliseconds_since_1970(&[NOW, ("X-RateLimit-Reset", "1792567684000")], Some(4000))]
    #[case::anthropic(&[NOW, ("anthropic-ratelimit-requests-reset", "2026-10-21T07:28:07Z")], Some(7000))]
    #[case::none(&[], None)]
    fn a_wait_in_the_headers_is_read(#[case] headers: &[(&str, &str)], #[case] ms: Option<u64>) {
        assert_eq!(wait_ms(&refuse(429, headers, "")), ms);
    }

    #[rstest]
    #[case::google(r#"{"error":{"code":429,"message":"Quota.","details":[{"@type":"type.googleapis.com/google.rpc.Help"},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"3.5s"}]}}"#, Some(3500))]
    #[case::google_streamed(r#"[{"error":{"code":429,"details":[{"retryDelay":"2s"}]}}]"#, Some(2000))]
    #[case::google_object(r#"{"error":{"details":[{"retryDelay":{"seconds":4}}]}}"#, Some(4000))]
    #[case::a_field(r#"{"message":"slow down","retry_after":0.5}"#, Some(500))]
    #[case::words(
        r#"{"error":{"message":"Rate limit reached. Please try again in 7m12.5s. Visit us."}}"#,
        Some(432_500)
    )]
    #[case::other_words(r#"{"error":"Please retry in 2.3s."}"#, Some(2300))]
    #[case::mistyped(r#"{"error":{"message":"no","details":{"retryDelay":7}}}"#, None)]
    #[case::no_json("slow down", None)]
    fn a_wait_in_the_body_is_read(#[case] body: &str, #[case] ms: Option<u64>) {
        assert_eq!(wait_ms(&refuse(429, &[], body)), ms);
    }

    #[test]
    fn a_reset_counts_for_a_quota_only_and_a_wait_for_every_refusal() {
        assert_eq!(wait_ms(&refuse(503, &[("x-ratelimit-reset-requests", "3s")], "")), None);
        assert_eq!(wait_ms(&refuse(503, &[("retry-after", "3")], "")), Some(3000));
    }

    #[rstest]
    #[case::an_object(r#"{"error":{"message":"no"}}"#, "no")]
    #[case::text(r#"{"error":"no"}"#, "no")]
    #[case::a_list(r#"{"errors":[{"message":"no"}]}"#, "no")]
    #[case::a_list_of_text(r#"{"errors":["no"]}"#, "no")]
    #[case::a_detail(r#"{"detail":"no"}"#, "no")]
    #[case::a_list_of_details(r#"{"detail":[{"loc":["body"],"msg":"no"}]}"#, "no")]
    #[case::a_message(r#"{"message":"no","code":7}"#, "no")]
    #[case::null_and_a_message(r#"{"error":null,"message":"no"}"#, "no")]
    #[case::a_code(r#"{"error":{"code":"no"}}"#, "no")]
    #[case::plain("no\nmore", "no")]
    #[case::a_page("<html><head><title>no</title></head>", "no")]
    #[case::a_page_without_a_title("<html>", "")]
    #[case::nothing("", "")]
    #[case::not_text("\u{1}", "\u{1}")]
    #[case::a_number("7", "7")]
    fn an_error_is_worded_in_many_shapes(#[case] body: &str, #[case] message: &str) {
        assert_eq!(refuse(500, &[], body), Failure::Refused { status: 500, message: message.into() });
    }

    #[rstest]
    #[case(r#"{"error":{"code":"content_filter","message":"The response was filtered"}}"#)]
    #[case(r#"{"error":{"code":null,"type":"content_filter","status":400}}"#)]
    #[case(r#"{"error":{"innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#)]
    fn a_policy_is_told_from_a_fault(#[case] body: &str) {
        assert_eq!(refuse(400, &[], body).code(), "blocked");
    }
}
