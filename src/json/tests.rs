//! What peers write, and what is read of it.

use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;

/// The members of every object at the top, with their values as text, and whether something was passed over.
fn read(message: &[u8]) -> (Vec<String>, bool) {
    let (mut found, mut reader) = (Vec::new(), Reader::new(message));
    while reader.next_object() {
        let members = reader.members(|reader, name| {
            let value = reader.text().map(|text| text.map_or_else(|| "-".to_owned(), Cow::into_owned));
            let name = String::from_utf8_lossy(name);
            found.push(format!("{name}={}", value.unwrap_or_else(|_| "odd".to_owned())));
        });
        assert_eq!(members, Ok(()));
    }
    (found, reader.is_broken())
}

#[rstest]
#[case::plain(br#"{"a":"x","b":1,"c":true,"d":null}"#, &["a=x", "b=1", "c=true", "d=-"], false)]
#[case::names(br#"{"turnComplete":1,"turn_complete":2,"TURN-Complete":3}"#, &["turncomplete=1", "turncomplete=2", "turncomplete=3"], false)]
#[case::byte_order_mark(b"\xEF\xBB\xBF{\"a\":1}", &["a=1"], false)]
#[case::nul_and_line_end(b"\r\n{\"a\":1}\r\n\0\0", &["a=1"], false)]
#[case::several(br#"{"a":1}{"b":2} {"c":3}"#, &["a=1", "b=2", "c=3"], false)]
#[case::lines(b"{\"a\":1}\n{\"b\":2}\n", &["a=1", "b=2"], false)]
#[case::record_separators(b"\x1E{\"a\":1}\n\x1E{\"b\":2}\n", &["a=1", "b=2"], false)]
#[case::list(br#"[{"a":1},{"b":2}]"#, &["a=1", "b=2"], false)]
#[case::odd_values(br#"{"a":[1,{"x":"}"}],"b":{"c":"]"},"d":4}"#, &["a=odd", "b=odd", "d=4"], false)]
#[case::huge(br#"{"a":123456789012345678901234567890,"b":-1e999}"#, &["a=123456789012345678901234567890", "b=-1e999"], false)]
#[case::words(br#"{"a":NaN,"b":None,"c":undefined,"d":True}"#, &["a=NaN", "b=-", "c=-", "d=True"], false)]
#[case::no_quotes(br#"{a:1,b_c:"x"}"#, &["a=1", "bc=x"], false)]
#[case::commas(br#"{,"a":1,,"b":2,}"#, &["a=1", "b=2"], false)]
#[case::twice(br#"{"a":1,"a":2}"#, &["a=1", "a=2"], false)]
#[case::escapes(br#"{"a":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"}"#, &["a=\"\\/\u{8}\u{C}\n\r\té😀"], false)]
#[case::lone_surrogates(br#"{"a":"\ud83d","b":"x\ude00y","c":"\ud83d\ud83d\ude00"}"#, &["a=\u{FFFD}", "b=x\u{FFFD}y", "c=\u{FFFD}😀"], false)]
#[case::bad_escapes(br#"{"a":"\x\u12\'"}"#, &["a=x\u{FFFD}12'"], false)]
#[case::bytes_as_escapes(br#"{"a":"\x41\x2f\xZZ\x4"}"#, &["a=A/xZZx4"], false)]
#[case::nul(b"{\"a\":\"x\\u0000y\0\"}", &["a=x\u{FFFD}y\0"], false)]
#[case::raw_nul(b"{\"a\":\"x\0\"}", &["a=x\u{FFFD}"], false)]
#[case::not_utf_8(b"{\"a\":\"x\xFF\"}", &["a=x\u{FFFD}"], false)]
#[case::line_in_a_string(b"{\"a\":\"x\ny\"}", &["a=x\ny"], false)]
#[case::cut_in_a_string(br#"{"a":1,"b":"xy"#, &["a=1", "b=xy"], true)]
#[case::cut_in_an_escape(br#"{"a":"x\"#, &["a=x\u{FFFD}"], true)]
#[case::cut_in_an_object(br#"{"a":1,"b":{"c":[1"#, &["a=1", "b=odd"], true)]
#[case::no_json(b"not json", &[], true)]
#[case::prefix(b")]}'\n{\"a\":1}", &["a=1"], true)]
#[case::number(b"7", &[], true)]
#[case::nothing(b"", &[], false)]
fn what_can_be_read_is(#[case] message: &[u8], #[case] expected: &[&str], #[case] is_broken: bool) {
    let (found, broken) = read(message);
    assert_eq!(
        (found.iter().map(String::as_str).collect::<Vec<_>>(), broken),
        (expected.to_vec(), is_broken)
    );
}

/// The names of the members of `a`, as they are told and as they are written.
fn names(message: &str) -> (Vec<String>, Result<(), Odd>, Vec<String>) {
    let (mut known, mut written, mut read) = (Vec::new(), Vec::new(), Ok(()));
    let mut reader = Reader::new(message.as_bytes());
    assert!(reader.next_object());
    let _ = reader.members(|reader, _| {
        read = reader.members(|_, name| known.push(String::from_utf8_lossy(name).into_owned()))
    });
    let mut reader = Reader::new(message.as_bytes());
    assert!(reader.next_object());
    let _ = reader.members(|reader, _| {
        let _ = reader.entries(|_, name| written.push(name.into_owned()));
    });
    (known, read, written)
}

#[rstest]
#[case::object(r#"{"a":{"B_c":1}}"#, &["bc"], Ok(()), &["B_c"])]
#[case::list(r#"{"a":[{"b":1},{"C":2}]}"#, &["b", "c"], Ok(()), &["b", "C"])]
#[case::list_with_others(r#"{"a":[7,null,{"b":1},"x",[{"c":2}]]}"#, &["b"], Ok(()), &["b"])]
#[case::list_without_objects(r#"{"a":[7,"x"]}"#, &[], Err(Odd), &[])]
#[case::empty_list(r#"{"a":[]}"#, &[], Err(Odd), &[])]
#[case::null(r#"{"a":null}"#, &[], Ok(()), &[])]
#[case::text(r#"{"a":"x"}"#, &[], Err(Odd), &[])]
#[case::escaped(r#"{"a":{"x\u0041\ud800":1}}"#, &["x\\u0041\\ud800"], Ok(()), &["xA\u{FFFD}"])]
fn an_object_may_stand_in_a_list(
    #[case] message: &str,
    #[case] known: &[&str],
    #[case] read: Result<(), Odd>,
    #[case] written: &[&str],
) {
    let (found, found_read, found_written) = names(message);
    assert_eq!(
        (found, found_read, found_written),
        (
            known.iter().map(ToString::to_string).collect(),
            read,
            written.iter().map(ToString::to_string).collect(),
        )
    );
}

#[test]
fn a_million_brackets_are_passed_over() {
    for open in ["[", "{\"x\":"] {
        let message = format!(r#"{{"deep":{},"a":1}}"#, open.repeat(1_000_000));
        assert_eq!(read(message.as_bytes()), (vec!["deep=odd".to_owned()], true));
    }
    let message = format!(r#"{{"deep":{}{},"a":1}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(read(message.as_bytes()).0, ["deep=odd", "a=1"]);
}

#[rstest]
#[case("true", Ok(Some(true)))]
#[case("\"TRUE\"", Ok(Some(true)))]
#[case("1", Ok(Some(true)))]
#[case("\"false\"", Ok(Some(false)))]
#[case("0", Ok(Some(false)))]
#[case("null", Ok(None))]
#[case("\"perhaps\"", Err(Odd))]
#[case("{}", Err(Odd))]
fn truth_is_read_in_every_form(#[case] value: &str, #[case] expected: Result<Option<bool>, Odd>) {
    assert_eq!(Reader::new(value.as_bytes()).boolean(), expected);
}

#[rstest]
#[case("12", Ok(Some(12)))]
#[case("12.0", Ok(Some(12)))]
#[case("\" 12 \"", Ok(Some(12)))]
#[case("1.2e1", Ok(Some(12)))]
#[case("-1", Err(Odd))]
#[case("18446744073709551615", Ok(Some(u64::MAX)))]
#[case("1e400", Ok(Some(u64::MAX)))]
#[case("null", Ok(None))]
#[case("NaN", Err(Odd))]
#[case("\"many\"", Err(Odd))]
#[case("[12]", Err(Odd))]
fn counts_are_read_in_every_form(#[case] value: &str, #[case] expected: Result<Option<u64>, Odd>) {
    assert_eq!(Reader::new(value.as_bytes()).count(), expected);
}

#[rstest]
#[case("[1,null,[2],{\"a\":3}]", &["1", "null", "[2]", "{\"a\":3}"])]
#[case("{\"a\":3}", &["{\"a\":3}"])]
#[case("7", &["7"])]
#[case("null", &[])]
#[case("[]", &[])]
#[case("[1", &["1"])]
fn what_is_no_list_is_one_of_itself(#[case] value: &str, #[case] expected: &[&str]) {
    let mut items = Vec::new();
    Reader::new(value.as_bytes())
        .items(|reader| items.push(String::from_utf8_lossy(reader.raw()).into_owned()));
    assert_eq!(items, expected);
}

/// Any JSON.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map("[a-z]{1,8}", inner, 0..6).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #[test]
    fn every_value_of_good_json_is_passed_over_to_its_end(value in values(), text: String) {
        let message = json!({ "before": value, "text": text }).to_string();
        let mut found = None;
        let mut reader = Reader::new(message.as_bytes());
        prop_assert!(reader.next_object());
        reader.members(|reader, name| if name == b"text" { found = Some(reader.text()) }).unwrap();
        prop_assert!(!reader.is_broken() && !reader.next_object());
        prop_assert_eq!(found, Some(Ok(Some(text.replace('\0', "\u{FFFD}").into()))));
    }

    #[test]
    fn no_bytes_are_too_odd(bytes: Vec<u8>) {
        read(&bytes);
    }

    #[test]
    fn no_broken_json_is_too_odd(value in values(), cut: prop::sample::Index, byte: u8) {
        let mut bytes = json!({ "a": value }).to_string().into_bytes();
        let at = cut.index(bytes.len());
        read(&bytes[..at]);
        bytes[at] = byte;
        read(&bytes);
    }
}
