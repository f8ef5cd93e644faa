//! Oddities of JSON that both peers may have.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use crate::random::Random;

/// Ways to write the same bytes.
pub(crate) const BASE64_WAYS: u64 = 6;

pub(crate) fn base64(bytes: &[u8], way: u64) -> String {
    match way {
        0 => STANDARD_NO_PAD.encode(bytes),
        1 => URL_SAFE.encode(bytes),
        2 => URL_SAFE_NO_PAD.encode(bytes),
        3 => in_lines(&STANDARD.encode(bytes), "\n"),
        4 => in_lines(&URL_SAFE_NO_PAD.encode(bytes), "\r\n"),
        5 => format!(" {}\t", STANDARD.encode(bytes)),
        _ => STANDARD.encode(bytes),
    }
}

fn in_lines(text: &str, end: &str) -> String {
    let lines = text.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line).into_owned() + end);
    lines.collect()
}

/// Fields that nobody knows, some of them of a shape that is hard to read.
pub(crate) fn add_unknown(object: &mut Map<String, Value>, random: &mut Random) {
    let nested = (0..60).fold(json!([]), |inner, _| json!({ "in": inner }));
    let values = [
        json!(null),
        json!({"renderedContent": "<div>x</div>", "list": [1, "2", null]}),
        json!(u64::MAX),
        json!(-1.5e300),
        json!("\u{feff}\u{0}\u{202e}"),
        json!([[], {}, [null]]),
        nested,
    ];
    object.insert("somethingNew".to_owned(), random.pick(&values).clone());
}

/// The bytes around a message: what other writers of JSON put there.
pub(crate) fn wrap(message: &Value, random: &mut Random) -> Vec<u8> {
    let plain = message.to_string();
    match random.below(6) {
        0 => format!("\u{feff}{plain}"),
        1 => format!("{plain}\r\n"),
        2 => format!("\n\t {plain}"),
        3 => format!("{plain}\0"),
        4 => plain.replace('/', "\\/"),
        _ => serde_json::to_string_pretty(message).unwrap(),
    }
    .into_bytes()
}

/// The object behind a path of names; made where it is missing.
pub(crate) fn object<'a>(message: &'a mut Value, path: &[&str]) -> &'a mut Map<String, Value> {
    let mut place = message;
    for name in path {
        place = &mut place[*name];
    }
    if !place.is_object() {
        *place = json!({});
    }
    place.as_object_mut().unwrap()
}
