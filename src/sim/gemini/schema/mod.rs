//! A checker of proto3 JSON: strict about names, liberal about spelling, as the service is.
//!
//! Takes lowerCamelCase and snake_case, both base64 alphabets with or without padding, integers as floats or
//! strings, enums by name or number; gives the canonical form (camelCase, plain numbers, enum names, no
//! nulls). Knows nothing of what the messages mean; the messages of the service are in `table`.

pub(in crate::sim) mod table;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, PAD_INDIFFERENT};
use serde_json::{Map, Number, Value};

use super::refusal::Refusal;

/// The client's envelope, `BidiGenerateContentClientMessage`.
pub(super) use table::CLIENT_MESSAGE;

/// A message type.
pub(in crate::sim) struct Message {
    fields: &'static [(&'static str, Kind)],
    /// The name of the `oneof` and its members.
    oneof: (&'static str, &'static [&'static str]),
}

/// A field type.
pub(in crate::sim) enum Kind {
    Bool,
    Int32,
    Int64,
    Float,
    Text,
    Bytes,
    /// The name of the enum and its values by number.
    Enum(&'static str, &'static [&'static str]),
    Message(&'static Message),
    List(&'static Self),
    Map(&'static Self),
    /// `google.protobuf.Struct`: any object.
    Struct,
    /// `google.protobuf.Value`: anything.
    Value,
}

impl Message {
    pub(in crate::sim) const fn new(fields: &'static [(&'static str, Kind)]) -> Self {
        Self { fields, oneof: ("", &[]) }
    }

    pub(in crate::sim) const fn with_oneof(
        mut self,
        name: &'static str,
        members: &'static [&'static str],
    ) -> Self {
        self.oneof = (name, members);
        self
    }

    fn kind(&self, name: &str) -> Option<&Kind> {
        self.fields.iter().find(|(field, _)| *field == name).map(|(_, kind)| kind)
    }
}

/// The canonical form of a message.
pub(in crate::sim) fn canonical(value: Value, message: &Message) -> Result<Value, Refusal> {
    Checker { path: String::new() }.message(value, message)
}

/// The bytes of a base64 string in either alphabet, with or without padding.
pub(in crate::sim) fn decode_bytes(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurpose =
        GeneralPurpose::new(&alphabet::STANDARD, PAD_INDIFFERENT.with_decode_allow_trailing_bits(true));
    if text.contains(['-', '_']) {
        return LENIENT.decode(text.replace('-', "+").replace('_', "/")).ok();
    }
    LENIENT.decode(text).ok()
}

/// Walks a value; `path` is where it is, in the field names of the proto.
struct Checker {
    path: String,
}

impl Checker {
    fn message(&mut self, value: Value, message: &Message) -> Result<Value, Refusal> {
        let Value::Object(entries) = value else { return Err(self.invalid("TYPE_MESSAGE", &value)) };
        let mut out = Map::new();
        for (name, value) in entries {
            let canonical = camel_case(&name);
            let Some(kind) = message.kind(&canonical) else {
                return Err(Refusal::UnknownName { name, path: self.path.clone() });
            };
            if value.is_null() {
                continue;
            }
            self.reject_second_member(&canonical, message, &out)?;
            let value = self.within(&snake_case(&canonical), |checker| checker.value(value, kind))?;
            out.insert(canonical, value);
        }
        Ok(Value::Object(out))
    }

    fn reject_second_member(
        &self,
        name: &str,
        message: &Message,
        out: &Map<String, Value>,
    ) -> Result<(), Refusal> {
        let (oneof, members) = message.oneof;
        if members.contains(&name) && out.keys().any(|set| members.contains(&set.as_str())) {
            return Err(Refusal::OneofTwice { path: self.path.clone(), oneof, name: name.to_owned() });
        }
        Ok(())
    }

    fn value(&mut self, value: Value, kind: &Kind) -> Result<Value, Refusal> {
        match kind {
            Kind::Message(message) => self.message(value, message),
            Kind::List(item) => self.list(value, item),
            Kind::Map(item) => self.map(value, item),
            Kind::Enum(name, names) => self.enumeration(value, (name, names)),
            Kind::Bool if value.is_boolean() => Ok(value),
            Kind::Text if value.is_string() => Ok(value),
            Kind::Struct if value.is_object() => Ok(value),
            Kind::Value => Ok(value),
            Kind::Bytes if value.as_str().and_then(decode_bytes).is_some() => Ok(value),
            Kind::Int32 => match integer(&value).filter(|&number| i32::try_from(number).is_ok()) {
                Some(number) => Ok(number.into()),
                None => Err(self.invalid("TYPE_INT32", &value)),
            },
            Kind::Int64 => match integer(&value) {
                Some(number) => Ok(number.into()),
                None => Err(self.invalid("TYPE_INT64", &value)),
            },
            Kind::Float => match float(&value) {
                Some(number) => Ok(number.into()),
                None => Err(self.invalid("TYPE_FLOAT", &value)),
            },
            Kind::Bool => Err(self.invalid("TYPE_BOOL", &value)),
            Kind::Text => Err(self.invalid("TYPE_STRING", &value)),
            Kind::Bytes => Err(self.invalid("TYPE_BYTES", &value)),
            Kind::Struct => Err(self.invalid("google.protobuf.Struct", &value)),
        }
    }

    fn list(&mut self, value: Value, item: &Kind) -> Result<Value, Refusal> {
        let Value::Array(items) = value else { return Err(self.invalid("TYPE_LIST", &value)) };
        let mut out = Vec::with_capacity(items.len());
        for (index, value) in items.into_iter().enumerate() {
            let len = self.path.len();
            self.path.push_str(&format!("[{index}]"));
            out.push(self.value(value, item)?);
            self.path.truncate(len);
        }
        Ok(Value::Array(out))
    }

    fn map(&mut self, value: Value, item: &Kind) -> Result<Value, Refusal> {
        let Value::Object(entries) = value else { return Err(self.invalid("TYPE_MAP", &value)) };
        let mut out = Map::new();
        for (name, value) in entries {
            let value = self.within(&name, |checker| checker.value(value, item))?;
            out.insert(name, value);
        }
        Ok(Value::Object(out))
    }

    fn enumeration(
        &self,
        value: Value,
        (name, names): (&'static str, &[&'static str]),
    ) -> Result<Value, Refusal> {
        let known = match &value {
            Value::String(text) => names.iter().find(|known| *known == text),
            Value::Number(_) => {
                integer(&value).and_then(|number| names.get(usize::try_from(number).unwrap_or(usize::MAX)))
            }
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        known.map(|&known| Value::from(known)).ok_or_else(|| self.invalid(name, &value))
    }

    fn within<T>(&mut self, step: &str, run: impl FnOnce(&mut Self) -> T) -> T {
        let len = self.path.len();
        if len > 0 {
            self.path.push('.');
        }
        self.path.push_str(step);
        let result = run(self);
        self.path.truncate(len);
        result
    }

    fn invalid(&self, kind: &'static str, value: &Value) -> Refusal {
        Refusal::InvalidValue { path: self.path.clone(), kind, value: value.to_string() }
    }
}

/// An integer as a number, as a float with an integral value, or as a decimal string.
fn integer(value: &Value) -> Option<i64> {
    /// Beyond this a double does not hold every integer.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    let from_float =
        |number: f64| (number.fract() == 0.0 && number.abs() <= EXACT_MAX).then_some(number as i64);
    match value {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().and_then(from_float)),
        Value::String(text) => text.parse().ok().or_else(|| text.parse().ok().and_then(from_float)),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn float(value: &Value) -> Option<Number> {
    match value {
        Value::Number(number) => Some(number.clone()),
        Value::String(text) => text.parse().ok().and_then(Number::from_f64),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn camel_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut is_start = false;
    for letter in name.chars() {
        match letter {
            '_' => is_start = true,
            _ if is_start => {
                out.push(letter.to_ascii_uppercase());
                is_start = false;
            }
            _ => out.push(letter),
        }
    }
    out
}

fn snake_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn check(value: Value) -> Result<Value, String> {
        canonical(value, &CLIENT_MESSAGE).map_err(|refusal| refusal.to_string())
    }

    #[rstest]
    #[case::camel(json!({"realtimeInput": {"audioStreamEnd": true}}), json!({"realtimeInput": {"audioStreamEnd": true}}))]
    #[case::snake(json!({"realtime_input": {"audio_stream_end": true}}), json!({"realtimeInput": {"audioStreamEnd": true}}))]
    #[case::float_for_int(
        json!({"setup": {"generation_config": {"topK": 40.0, "max_output_tokens": "12"}}}),
        json!({"setup": {"generationConfig": {"topK": 40.0, "maxOutputTokens": 12}}})
    )]
    #[case::int64_as_string(
        json!({"setup": {"contextWindowCompression": {"triggerTokens": "25600"}}}),
        json!({"setup": {"contextWindowCompression": {"triggerTokens": 25600}}})
    )]
    #[case::enum_number(
        json!({"setup": {"generationConfig": {"responseModalities": [3]}}}),
        json!({"setup": {"generationConfig": {"responseModalities": ["AUDIO"]}}})
    )]
    #[case::null_is_absent(json!({"setup": {"model": null, "labels": {"a_b": "c"}}}), json!({"setup": {"labels": {"a_b": "c"}}}))]
    fn every_spelling_has_one_canonical_form(#[case] value: Value, #[case] expected: Value) {
        assert_eq!(check(value), Ok(expected));
    }

    #[rstest]
    #[case::top(json!({"hello": 1}), "Invalid JSON payload received. Unknown name \"hello\": Cannot find field.")]
    #[case::setup(
        json!({"setup": {"toolConfig": {}}}),
        "Invalid JSON payload received. Unknown name \"toolConfig\" at 'setup': Cannot find field."
    )]
    #[case::deep(
        json!({"setup": {"tools": [{"functionDeclarations": [{"name": "f", "parameters": {"additionalProperties": false}}]}]}}),
        "Invalid JSON payload received. Unknown name \"additionalProperties\" at \
         'setup.tools[0].function_declarations[0].parameters': Cannot find field."
    )]
    #[case::enum_name(
        json!({"setup": {"generationConfig": {"responseModalities": ["SMELL"]}}}),
        "Invalid value at 'setup.generation_config.response_modalities[0]' (Modality), \"SMELL\""
    )]
    #[case::fraction(
        json!({"setup": {"generationConfig": {"maxOutputTokens": 1.5}}}),
        "Invalid value at 'setup.generation_config.max_output_tokens' (TYPE_INT32), 1.5"
    )]
    #[case::base64(
        json!({"realtimeInput": {"audio": {"data": "a*b"}}}),
        "Invalid value at 'realtime_input.audio.data' (TYPE_BYTES), \"a*b\""
    )]
    #[case::oneof(
        json!({"setup": {}, "realtimeInput": {}}),
        "Invalid value (oneof), oneof field 'message_type' is already set. Cannot set 'setup'"
    )]
    #[case::part_oneof(
        json!({"clientContent": {"turns": [{"parts": [{"text": "a", "inlineData": {}}]}]}}),
        "Invalid value at 'client_content.turns[0].parts[0]' (oneof), oneof field 'data' is already set. \
         Cannot set 'text'"
    )]
    fn what_the_service_does_not_know_is_refused_with_its_text(#[case] value: Value, #[case] text: &str) {
        assert_eq!(check(value), Err(text.to_owned()));
    }

    #[rstest]
    #[case("+/8=", Some(vec![0xFB, 0xFF]))]
    #[case("-_8=", Some(vec![0xFB, 0xFF]))]
    #[case("-_8", Some(vec![0xFB, 0xFF]))]
    #[case("+/8", Some(vec![0xFB, 0xFF]))]
    #[case("", Some(vec![]))]
    #[case("a", None)]
    #[case("a b=", None)]
    fn both_base64_alphabets_are_read_with_or_without_padding(
        #[case] text: &str,
        #[case] bytes: Option<Vec<u8>>,
    ) {
        assert_eq!(decode_bytes(text), bytes);
    }
}
