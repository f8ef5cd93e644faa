//! Messages of the carrier that are not written as documented: what is needed is read, the rest is a default.
//!
//! Only for messages that [`super::wire`] does not take; it may allocate. What was odd has a name for the call log.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::wire::{Counter, DtmfBody, Format, MarkBody, MediaBody, Message, Parameters, StartBody, Text};
use crate::carrier::Malformed;

/// Reads a message; what was odd about it.
pub(super) fn parse(text: &[u8]) -> Result<(Message<'static>, &'static str), Malformed> {
    let value: Value = serde_json::from_slice(bare(text)).map_err(|_| Malformed::Json)?;
    let Value::Object(message) = value else { return Err(Malformed::Json) };
    let mut reader = Reader::default();
    let event = match message.get("event") {
        Some(Value::String(event)) => event.trim().to_ascii_lowercase(),
        Some(_) | None => return Err(Malformed::Json),
    };
    let stream_sid = reader.text(&message, "streamSid", "odd_stream_sid");
    let mut read = Message {
        stream_sid,
        sequence_number: reader.counter(&message, "sequenceNumber", "odd_sequence_number"),
        ..Message::default()
    };
    match event.as_str() {
        "start" => read.start = body(&message, "start").map(|it| reader.start(it)),
        "media" => read.media = body(&message, "media").map(|it| reader.media(it)),
        "mark" => {
            let name = |it| MarkBody { name: reader.text(it, "name", "odd_mark") };
            read.mark = body(&message, "mark").map(name);
        }
        "dtmf" => {
            let digit = |it| DtmfBody { digit: reader.text(it, "digit", "odd_digit") };
            read.dtmf = body(&message, "dtmf").map(digit);
        }
        _ => {}
    }
    read.event = Text(Cow::Owned(event));
    Ok((read, reader.odd.unwrap_or("odd_message")))
}

/// Without a byte order mark before it, and zero bytes and white space behind it.
fn bare(text: &[u8]) -> &[u8] {
    let mut text = text.trim_ascii_start();
    text = text.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(text);
    while let Some((b'\0' | b' ' | b'\n' | b'\r' | b'\t', rest)) = text.split_last() {
        text = rest;
    }
    text
}

fn body<'a>(message: &'a Map<String, Value>, name: &str) -> Option<&'a Map<String, Value>> {
    message.get(name)?.as_object()
}

/// Reads fields, and remembers the first that was odd.
#[derive(Default)]
struct Reader {
    odd: Option<&'static str>,
}

impl Reader {
    fn note(&mut self, odd: &'static str) {
        self.odd.get_or_insert(odd);
    }

    fn text(&mut self, from: &Map<String, Value>, name: &str, odd: &'static str) -> Option<Text<'static>> {
        let text = match from.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => {
                self.note(odd);
                Some(number.to_string())
            }
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                self.note(odd);
                None
            }
        };
        text.map(|text| Text(Cow::Owned(text)))
    }

    fn counter(&mut self, from: &Map<String, Value>, name: &str, odd: &'static str) -> Option<Counter> {
        let number = match from.get(name)? {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.trim().parse().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        if number.is_none() {
            self.note(odd);
        }
        Some(Counter(number))
    }

    fn media(&mut self, from: &Map<String, Value>) -> MediaBody<'static> {
        MediaBody {
            track: self.text(from, "track", "odd_track"),
            chunk: self.counter(from, "chunk", "odd_chunk"),
            timestamp: self.counter(from, "timestamp", "odd_timestamp"),
            payload: match from.get("payload") {
                Some(Value::String(payload)) => Some(Text(Cow::Owned(payload.clone()))),
                Some(_) | None => None,
            },
        }
    }

    fn start(&mut self, from: &Map<String, Value>) -> StartBody<'static> {
        let format = from.get("mediaFormat").and_then(Value::as_object);
        StartBody {
            stream_sid: self.text(from, "streamSid", "odd_stream_sid"),
            call_sid: self.text(from, "callSid", "odd_call_sid"),
            account_sid: self.text(from, "accountSid", "odd_account_sid"),
            media_format: format.map(|format| Format {
                encoding: self.text(format, "encoding", "odd_media_format"),
                sample_rate: self.counter(format, "sampleRate", "odd_media_format"),
                channels: self.counter(format, "channels", "odd_media_format"),
            }),
            custom_parameters: from.get("customParameters").map(|value| self.parameters(value)),
        }
    }

    /// An object, or a list of objects with `name` and `value`.
    fn parameters(&mut self, value: &Value) -> Parameters {
        let text = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        let named =
            |entry: &Value| Some((entry.get("name")?.as_str()?.to_owned(), text(entry.get("value")?)?));
        let parameters: BTreeMap<_, _> = match value {
            Value::Object(all) => {
                all.iter().filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect()
            }
            Value::Array(all) => {
                self.note("odd_parameters");
                all.iter().filter_map(named).collect()
            }
            Value::Null => BTreeMap::new(),
            Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                self.note("odd_parameters");
                BTreeMap::new()
            }
        };
        Parameters(parameters)
    }
}
