//! Replies of services that are JSON, read leniently: what is needed is looked for, everything else may be missing,
//! null or of another type. Knows no provider.

use serde_json::Value;

use super::mend::{self, Halves};
use super::refusal;
use crate::job::Failure;

/// The object of a reply. One that reports an error, which some services send with the status of a success, is that
/// failure.
pub(super) fn object(body: &[u8]) -> Result<Value, Failure> {
    let text = String::from_utf8_lossy(body);
    let documents = documents(&text).map_err(|message| Failure::Unreadable { message })?;
    let first = documents.into_iter().next().filter(Value::is_object);
    let object = first.ok_or_else(|| Failure::Unreadable { message: "not a JSON object".to_owned() })?;
    match refusal::complaint(&object) {
        Some(error) => Err(refusal::reported(error, str::to_owned)),
        None => Ok(object),
    }
}

/// The documents in a text: usually one, or several in a list or one after the other.
pub(super) fn documents(text: &str) -> Result<Vec<Value>, String> {
    let text = text.trim_start_matches('\u{FEFF}').trim();
    let read = |text: &str| {
        let documents = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        documents.collect::<Result<Vec<_>, _>>()
    };
    // The position only: the text of an error of serde may repeat what was said on the telephone.
    let place = |error: serde_json::Error| {
        format!("{:?} error of JSON at line {}, column {}", error.classify(), error.line(), error.column())
    };
    let mended = || mend::without_odd_numbers(&Halves::default().join(text));
    let documents = read(text).or_else(|error| read(&mended()).map_err(|_| error)).map_err(place)?;
    let mut flat = Vec::new();
    for document in documents {
        if let Value::Array(list) = document {
            flat.extend(list);
        } else {
            flat.push(document);
        }
    }
    Ok(flat)
}

/// A count, also as text.
pub(super) fn count(value: Option<&Value>) -> Option<u64> {
    match value? {
        Value::Number(number) => number.as_u64().or_else(|| number.as_f64().map(|number| number as u64)),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A reason that is given: neither null nor empty.
pub(super) fn reason(value: Option<&Value>) -> Option<&str> {
    let reason = value?.as_str()?.trim();
    let is_none = reason.is_empty() || ["null", "none"].contains(&&*reason.to_ascii_lowercase());
    (!is_none).then_some(reason)
}

/// Words: a text, or the texts of parts in a list. Parts that are thoughts are none.
pub(super) fn words(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts.iter().map(|part| words(Some(part))).collect(),
        Some(Value::Object(part)) => {
            let kind = part.get("type").and_then(Value::as_str).unwrap_or_default();
            let is_thought =
                ["think", "reason", "tool", "image", "audio"].iter().any(|word| kind.contains(word));
            let text = ["text", "content", "value"].iter().find_map(|name| part.get(*name));
            if is_thought || is_true(part.get("thought")) { String::new() } else { words(text) }
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_)) | None => String::new(),
    }
}

pub(super) fn is_true(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Bool(is_true)) => *is_true,
        Some(Value::String(text)) => text == "true",
        Some(Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_)) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case(b"")]
    #[case(b"[]")]
    #[case(b"\"text\"")]
    #[case(b"<html>")]
    #[case(b"{\"text\":")]
    #[case(b"7")]
    fn what_is_no_object_is_unreadable(#[case] body: &[u8]) {
        let read = object(body);
        assert!(matches!(read, Err(Failure::Unreadable { .. })), "{read:?}");
    }

    #[rstest]
    #[case::plain("{\"a\":1}", json!([{"a": 1}]))]
    #[case::a_byte_order_mark("\u{FEFF} {\"a\":1}\n", json!([{"a": 1}]))]
    #[case::several("{\"a\":1}{\"a\":2}\n{\"a\":3}", json!([{"a": 1}, {"a": 2}, {"a": 3}]))]
    #[case::a_list("[{\"a\":1},{\"a\":2}]", json!([{"a": 1}, {"a": 2}]))]
    #[case::a_first_half(r#"{"a":"x\ud83d"}"#, json!([{"a": "x"}]))]
    #[case::a_second_half(r#"{"a":"\ude42x"}"#, json!([{"a": "x"}]))]
    #[case::a_pair(r#"{"a":"\ud83d\ude42","b":"\ud83d"}"#, json!([{"a": "🙂", "b": ""}]))]
    #[case::an_escaped_backslash(r#"{"a":"\\ud83d","b":"\ud83d"}"#, json!([{"a": "\\ud83d", "b": ""}]))]
    #[case::a_number_that_is_none(r#"{"a":NaN,"b":"x\ud83d"}"#, json!([{"a": null, "b": "x"}]))]
    fn documents_are_read_in_many_spellings(#[case] text: &str, #[case] expected: Value) {
        assert_eq!(documents(text).map(Value::Array), Ok(expected));
    }

    #[rstest]
    #[case(r#"{"error":{"message":"no"}}"#)]
    #[case(r#"[{"error":{"message":"no"}}]"#)]
    #[case(r#"{"error":"no"}"#)]
    #[case(r#"{"object":"error","message":"no"}"#)]
    #[case(r#"{"type":"error","message":"no"}"#)]
    #[case(r#"{"detail":"no"}"#)]
    fn an_error_is_a_failure(#[case] text: &str) {
        assert_eq!(object(text.as_bytes()), Err(Failure::Reported { message: "no".into() }));
    }

    #[rstest]
    #[case(json!("a"), "a")]
    #[case(json!(null), "")]
    #[case(json!([{"type": "text", "text": "a"}, "b", {"type": "thinking", "text": "c"}]), "ab")]
    #[case(json!({"text": {"value": "a"}}), "a")]
    #[case(json!([{"text": "a", "thought": true}, {"text": "b", "thought": null}]), "b")]
    #[case(json!(7), "")]
    fn words_are_found_in_parts(#[case] value: Value, #[case] expected: &str) {
        assert_eq!(words(Some(&value)), expected);
    }

    #[test]
    fn counts_and_reasons_are_read_as_they_come() {
        assert_eq!(count(Some(&json!("12"))).zip(count(Some(&json!(3.0)))), Some((12, 3)));
        assert_eq!(count(Some(&json!(null))), None);
        for none in [json!(null), json!(""), json!("null"), json!(7)] {
            assert_eq!(reason(Some(&none)), None);
        }
    }
}
