//! The media stream on the wire: text frames of JSON, counters as strings (Twilio, "Media Streams: WebSocket
//! messages"). Strict on what the server sends: the real carrier warns in a log the server never sees. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// The ids of the streamed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ids {
    pub account_sid: String,
    pub call_sid: String,
    pub stream_sid: String,
}

/// What the carrier tells the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    Start { parameters: &'a [(String, String)] },
    Media { chunk: u64, timestamp_ms: u64, audio: &'a [u8] },
    Dtmf { digit: &'a str },
    Mark { name: &'a str },
    Stop,
}

/// The first message: it has neither id nor number.
pub fn connected() -> String {
    json!({"event": "connected", "protocol": "Call", "version": "1.0.0"}).to_string()
}

/// The text of a message with this sequence number; `start` is number 1.
pub fn encode(ids: &Ids, sequence: u64, message: Message<'_>) -> String {
    let (event, key, body) = match message {
        Message::Start { parameters } => ("start", "start", start(ids, parameters)),
        Message::Media { chunk, timestamp_ms, audio } => {
            let (chunk, timestamp) = (chunk.to_string(), timestamp_ms.to_string());
            let payload = STANDARD.encode(audio);
            let body =
                json!({"track": "inbound", "chunk": chunk, "timestamp": timestamp, "payload": payload});
            ("media", "media", body)
        }
        Message::Dtmf { digit } => ("dtmf", "dtmf", json!({"track": "inbound_track", "digit": digit})),
        Message::Mark { name } => ("mark", "mark", json!({"name": name})),
        Message::Stop => ("stop", "stop", json!({"accountSid": ids.account_sid, "callSid": ids.call_sid})),
    };
    let sequence = sequence.to_string();
    json!({"event": event, "sequenceNumber": sequence, key: body, "streamSid": ids.stream_sid}).to_string()
}

fn start(ids: &Ids, parameters: &[(String, String)]) -> Value {
    let parameters: Map<_, _> = parameters.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    json!({
        "accountSid": ids.account_sid,
        "streamSid": ids.stream_sid,
        "callSid": ids.call_sid,
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": parameters,
    })
}

/// What the server tells the carrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Media(Vec<u8>),
    Mark(String),
    Clear,
}

/// A mistake of the server, by Twilio's error code.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Violation {
    pub code: u16,
    pub what: String,
}

impl Violation {
    pub fn new(code: u16, what: impl Into<String>) -> Self {
        Self { code, what: what.into() }
    }
}

/// The carrier warns: malformed, the message cannot be used.
pub const MALFORMED: u16 = 31950;
/// The carrier warns: not JSON, unknown event, missing or extra field, wrong `streamSid`.
pub const INVALID: u16 = 31951;

/// Reads a text frame. An extra key is noted and the message still used; every other mistake makes it unusable.
pub fn decode(text: &str, stream_sid: &str, violations: &mut Vec<Violation>) -> Option<Command> {
    match read(text, stream_sid) {
        Ok((command, extra)) => {
            violations.extend(extra);
            Some(command)
        }
        Err(violation) => {
            violations.push(violation);
            None
        }
    }
}

fn read(text: &str, stream_sid: &str) -> Result<(Command, Option<Violation>), Violation> {
    let invalid = |what: String| Violation::new(INVALID, what);
    let value: Value = serde_json::from_str(text).map_err(|error| invalid(format!("not JSON: {error}")))?;
    let message = value.as_object().ok_or_else(|| invalid("not a JSON object".into()))?;
    let event = string(message, "event")?;
    let (body, inner) = match event {
        "media" => (Some("media"), Some("payload")),
        "mark" => (Some("mark"), Some("name")),
        "clear" => (None, None),
        _ => return Err(invalid(format!("unknown event {}", quoted(event)))),
    };
    let given = string(message, "streamSid")?;
    if given != stream_sid {
        return Err(invalid(format!("streamSid {} is not the one of this stream", quoted(given))));
    }
    let mut extra = extra_key(message, &["event", "streamSid", body.unwrap_or("event")]);
    let content = match (body, inner) {
        (Some(body), Some(inner)) => {
            let object = message.get(body).and_then(Value::as_object);
            let object = object.ok_or_else(|| invalid(format!("`{event}` without the object `{body}`")))?;
            extra = extra.or_else(|| extra_key(object, &[inner]));
            string(object, inner)?
        }
        _ => "",
    };
    let command = match event {
        "media" => Command::Media(payload(content)?),
        "mark" => Command::Mark(content.to_owned()),
        _ => Command::Clear,
    };
    Ok((command, extra))
}

fn payload(text: &str) -> Result<Vec<u8>, Violation> {
    match STANDARD.decode(text) {
        Ok(bytes) if bytes.is_empty() => Err(Violation::new(MALFORMED, "empty payload")),
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(Violation::new(MALFORMED, format!("payload is not base64: {error}"))),
    }
}

fn string<'a>(object: &'a Map<String, Value>, key: &str) -> Result<&'a str, Violation> {
    let value = object.get(key).and_then(Value::as_str);
    value.ok_or_else(|| Violation::new(INVALID, format!("the text `{key}` is missing")))
}

fn extra_key(object: &Map<String, Value>, known: &[&str]) -> Option<Violation> {
    let extra = object.keys().find(|key| !known.contains(&key.as_str()))?;
    Some(Violation::new(INVALID, format!("extra key {}", quoted(extra))))
}

/// The start of a text of the peer, fit for a report.
fn quoted(text: &str) -> String {
    const LEN_MAX: usize = 40;
    format!("{:?}", text.chars().take(LEN_MAX).collect::<String>())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn ids() -> Ids {
        Ids { account_sid: "AC0".into(), call_sid: "CA0".into(), stream_sid: "MZ0".into() }
    }

    #[rstest]
    #[case(Message::Media { chunk: 1, timestamp_ms: 20, audio: &[0xFF, 0x7F] },
        r#"{"event":"media","sequenceNumber":"2","media":{"track":"inbound","chunk":"1","timestamp":"20","payload":"/38="},"streamSid":"MZ0"}"#)]
    #[case(Message::Dtmf { digit: "5" },
        r#"{"event":"dtmf","sequenceNumber":"2","dtmf":{"track":"inbound_track","digit":"5"},"streamSid":"MZ0"}"#)]
    #[case(Message::Mark { name: "a" },
        r#"{"event":"mark","sequenceNumber":"2","mark":{"name":"a"},"streamSid":"MZ0"}"#)]
    #[case(Message::Stop,
        r#"{"event":"stop","sequenceNumber":"2","stop":{"accountSid":"AC0","callSid":"CA0"},"streamSid":"MZ0"}"#)]
    #[case(Message::Start { parameters: &[("a".into(), "b".into())] },
        r#"{"event":"start","sequenceNumber":"2","start":{"accountSid":"AC0","streamSid":"MZ0","callSid":"CA0","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},"customParameters":{"a":"b"}},"streamSid":"MZ0"}"#)]
    fn messages_have_the_documented_shape(#[case] message: Message<'_>, #[case] text: &str) {
        let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(parse(&encode(&ids(), 2, message)), parse(text));
    }

    #[rstest]
    #[case(r#"{"event":"media","streamSid":"MZ0","media":{"payload":"/38="}}"#, Command::Media(vec![0xFF, 0x7F]))]
    #[case(r#"{"event":"mark","streamSid":"MZ0","mark":{"name":"a"}}"#, Command::Mark("a".into()))]
    #[case(r#"{"event":"clear","streamSid":"MZ0"}"#, Command::Clear)]
    fn exact_messages_are_taken_without_a_note(#[case] text: &str, #[case] command: Command) {
        let mut violations = Vec::new();
        assert_eq!(decode(text, "MZ0", &mut violations), Some(command));
        assert_eq!(violations, []);
    }

    #[rstest]
    #[case(r#"{"event":"clear","streamSid":"MZ0","x":1}"#, Command::Clear, "extra key \"x\"")]
    #[case(r#"{"event":"mark","streamSid":"MZ0","mark":{"name":"a","y":1}}"#, Command::Mark("a".into()), "extra key \"y\"")]
    fn an_extra_key_is_noted_and_the_message_used(
        #[case] text: &str,
        #[case] command: Command,
        #[case] what: &str,
    ) {
        let mut violations = Vec::new();
        assert_eq!(decode(text, "MZ0", &mut violations), Some(command));
        assert_eq!(violations, [Violation::new(INVALID, what)]);
    }

    #[rstest]
    #[case("", 31951)]
    #[case("[]", 31951)]
    #[case("{}", 31951)]
    #[case(r#"{"event":"stop","streamSid":"MZ0"}"#, 31951)]
    #[case(r#"{"event":"clear"}"#, 31951)]
    #[case(r#"{"event":"clear","streamSid":"MZ1"}"#, 31951)]
    #[case(r#"{"event":"media","streamSid":"MZ0"}"#, 31951)]
    #[case(r#"{"event":"media","streamSid":"MZ0","media":{}}"#, 31951)]
    #[case(r#"{"event":"media","streamSid":"MZ0","media":{"payload":""}}"#, 31950)]
    #[case(r#"{"event":"media","streamSid":"MZ0","media":{"payload":"*"}}"#, 31950)]
    fn an_unusable_message_is_noted_with_its_code(#[case] text: &str, #[case] code: u16) {
        let mut violations = Vec::new();
        assert_eq!(decode(text, "MZ0", &mut violations), None);
        assert_eq!(violations.iter().map(|violation| violation.code).collect::<Vec<_>>(), [code]);
    }
}
