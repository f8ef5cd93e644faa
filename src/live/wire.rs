//! The JSON of the Gemini Live API (`BidiGenerateContent`, v1beta): server messages in, client messages out.
//!
//! The service writes camelCase proto3 JSON with defaults omitted, as text or binary frames alike; every field
//! is optional, several may come together, `{}` is frequent and unknown names are ignored. Parsing borrows: an audio
//! message allocates nothing, once the buffers have grown.

mod parts;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use self::parts::Parts;
use super::{Command, Event, Malformed, ToolCall, Usage, VoiceActivity, setup_message};
use crate::audio::{Frame, Rate};
use crate::base64;
use crate::dialogue::{Dialogue, Speaker};
use crate::live::failure::Failure;

/// Samples that are handed over together: 100 ms.
const PIECE: usize = Rate::MODEL_OUT.frame_len() * 5;

/// Decodes the messages of one connection. Keeps what must survive between messages: half a sample.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The first byte of a sample whose second one has not come yet.
    odd: Option<u8>,
}

impl Decoder {
    /// Hands the events of one message to `handle`, in the order in which they must be handled.
    pub fn decode(&mut self, message: &[u8], mut handle: impl FnMut(Event<'_>)) {
        let Ok(message) = serde_json::from_slice::<ServerMessage<'_>>(message) else {
            return handle(Event::Malformed(Malformed::Json));
        };
        if let Some(error) = message.error {
            let message = error.message.map(|text| text.0.into_owned()).unwrap_or_default();
            return handle(Event::Failed(Failure::Reported {
                code: error.code.unwrap_or_default(),
                message,
            }));
        }
        if let Some(setup) = &message.setup_complete {
            handle(Event::SetupComplete { session_id: setup.session_id.as_ref().map(Text::as_str) });
        }
        if let Some(activity) = &message.voice_activity {
            match activity.kind.as_ref().map(Text::as_str) {
                Some("ACTIVITY_START") => handle(Event::VoiceActivity(VoiceActivity::Start)),
                Some("ACTIVITY_END") => handle(Event::VoiceActivity(VoiceActivity::End)),
                Some(_) | None => {}
            }
        }
        if let Some(content) = &message.server_content {
            self.content(content, &mut handle);
        }
        message.session_events(&mut handle);
        if message.server_content.is_some_and(|content| content.turn_complete) {
            handle(Event::TurnComplete);
        }
    }

    /// `interrupted` first: what comes with it is stale. Text before the audio it belongs to.
    fn content(&mut self, content: &ServerContent<'_>, handle: &mut impl FnMut(Event<'_>)) {
        if content.interrupted {
            handle(Event::Interrupted);
        }
        if let Some(text) = content.input_transcription.as_ref().and_then(Transcription::spoken) {
            handle(Event::InputTranscription(text));
        }
        if let Some(text) = content.output_transcription.as_ref().and_then(Transcription::spoken) {
            handle(Event::OutputTranscription(text));
        }
        let parts = content.model_turn.iter().flat_map(|turn| turn.parts.iter());
        for blob in parts.filter_map(|part| part.inline_data.as_ref()) {
            self.audio(blob, handle);
        }
        if content.generation_complete {
            handle(Event::GenerationComplete);
        }
    }

    fn audio(&mut self, blob: &Blob<'_>, handle: &mut impl FnMut(Event<'_>)) {
        if !blob.mime_type.as_ref().is_some_and(|mime| is_model_pcm(mime.as_str())) {
            return handle(Event::Malformed(Malformed::MimeType));
        }
        let data = blob.data.as_ref().map_or("", Text::as_str);
        // Not kept until the next message: a few times a second, and as much as the audio of every call.
        let mut bytes = Vec::with_capacity(data.len() / 4 * 3 + 4);
        bytes.extend(self.odd);
        if base64::decode_into(data, &mut bytes).is_err() {
            return handle(Event::Malformed(Malformed::Base64));
        }
        let (pairs, rest) = bytes.as_chunks::<2>();
        self.odd = rest.first().copied();
        for pairs in pairs.chunks(PIECE) {
            let mut samples = [0; PIECE];
            for (sample, &pair) in samples.iter_mut().zip(pairs) {
                *sample = i16::from_le_bytes(pair);
            }
            handle(Event::Audio(&samples[..pairs.len()]));
        }
    }
}

/// `audio/pcm;rate=24000` on the developer service, `audio/pcm` on Vertex: 24 kHz in both cases.
fn is_model_pcm(mime_type: &str) -> bool {
    let mut fields = mime_type.split(';').map(str::trim);
    fields.next() == Some("audio/pcm")
        && fields
            .filter_map(|field| field.strip_prefix("rate="))
            .all(|rate| rate.parse() == Ok(Rate::MODEL_OUT.0))
}

/// Appends the message for `command` to `out`; nothing for the two that close the socket.
pub fn encode(command: &Command, out: &mut String) {
    match command {
        Command::Setup(setup) => setup_message::encode(setup, out),
        Command::Seed(dialogue) => encode_seed(dialogue, out),
        Command::Audio(frame) => encode_audio(frame, out),
        Command::Text(text) => {
            let _ = write!(out, r#"{{"realtimeInput":{{"text":{}}}}}"#, quoted(text));
        }
        Command::ToolError { id, name, message } => {
            out.push_str(r#"{"toolResponse":{"functionResponses":[{"#);
            if let Some(id) = id {
                let _ = write!(out, r#""id":{},"#, quoted(id));
            }
            let _ =
                write!(out, r#""name":{},"response":{{"error":{}}}}}]}}}}"#, quoted(name), quoted(message));
        }
        Command::Close | Command::Abort => {}
    }
}

/// The history that a setup announced: taken in silently, ended by `turnComplete` (Gemini Live API,
/// `initialHistoryInClientContent`).
fn encode_seed(dialogue: &Dialogue, out: &mut String) {
    out.push_str(r#"{"clientContent":{"turns":["#);
    for (index, line) in dialogue.lines().enumerate() {
        let role = match line.speaker {
            Speaker::Caller => "user",
            Speaker::Agent => "model",
        };
        let comma = if index == 0 { "" } else { "," };
        let text = quoted(&line.text);
        let _ = write!(out, r#"{comma}{{"role":"{role}","parts":[{{"text":{text}}}]}}"#);
    }
    out.push_str(r#"],"turnComplete":true}}"#);
}

/// Bytes of an audio message besides the audio, rounded up.
const AUDIO_ENVELOPE: usize = 80;

/// Allocates at most once, where `out` must grow: this is sent fifty times a second.
fn encode_audio(frame: &Frame, out: &mut String) {
    let mut bytes = [0; Frame::CAPACITY * 2];
    let len = frame.samples().len() * 2;
    for (pair, sample) in bytes.as_chunks_mut::<2>().0.iter_mut().zip(frame.samples()) {
        *pair = sample.to_le_bytes();
    }
    let rate = frame.rate().0;
    out.reserve(AUDIO_ENVELOPE + len.div_ceil(3) * 4);
    let _ = write!(out, r#"{{"realtimeInput":{{"audio":{{"mimeType":"audio/pcm;rate={rate}","data":""#);
    base64::encode_into(&bytes[..len], out);
    out.push_str(r#""}}}"#);
}

/// A JSON string literal.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServerMessage<'a> {
    #[serde(borrow)]
    setup_complete: Option<SetupComplete<'a>>,
    #[serde(borrow)]
    server_content: Option<ServerContent<'a>>,
    #[serde(borrow)]
    tool_call: Option<ToolCalls<'a>>,
    #[serde(borrow)]
    tool_call_cancellation: Option<Cancellation<'a>>,
    #[serde(borrow)]
    go_away: Option<GoAway<'a>>,
    #[serde(borrow)]
    session_resumption_update: Option<ResumptionUpdate<'a>>,
    #[serde(borrow)]
    voice_activity: Option<Activity<'a>>,
    usage_metadata: Option<UsageMetadata>,
    #[serde(borrow)]
    error: Option<ErrorObject<'a>>,
}

impl ServerMessage<'_> {
    /// Everything that is not content.
    fn session_events(&self, handle: &mut impl FnMut(Event<'_>)) {
        for call in self.tool_call.iter().flat_map(|calls| &calls.function_calls) {
            handle(Event::ToolCall(ToolCall {
                id: call.id.as_ref().map(Text::as_str),
                name: call.name.as_ref().map_or("", Text::as_str),
                args: call.args.map_or("{}", RawValue::get),
            }));
        }
        for id in self.tool_call_cancellation.iter().flat_map(|cancellation| &cancellation.ids) {
            handle(Event::ToolCallCancelled { id: id.as_str() });
        }
        if let Some(update) = &self.session_resumption_update {
            let handle_text = update.new_handle.as_ref().map(Text::as_str).filter(|text| !text.is_empty());
            let consumed = update.last_consumed_client_message_index.as_ref().and_then(Number::value);
            handle(Event::Resumption { handle: handle_text, resumable: update.resumable, consumed });
        }
        if let Some(go_away) = &self.go_away {
            let time_left = go_away.time_left.as_ref().and_then(|text| parse_duration(text.as_str()));
            handle(Event::GoAway { time_left });
        }
        if let Some(usage) = &self.usage_metadata {
            handle(Event::Usage(usage.counts()));
        }
    }
}

/// A string that borrows where it has no escapes, also inside an `Option`.
#[derive(Clone, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Text<'_> {
    fn as_str(&self) -> &str {
        &self.0
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SetupComplete<'a> {
    #[serde(borrow)]
    session_id: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct ServerContent<'a> {
    #[serde(borrow)]
    model_turn: Option<ModelTurn<'a>>,
    generation_complete: bool,
    turn_complete: bool,
    interrupted: bool,
    #[serde(borrow)]
    input_transcription: Option<Transcription<'a>>,
    #[serde(borrow)]
    output_transcription: Option<Transcription<'a>>,
}

#[derive(Deserialize)]
struct ModelTurn<'a> {
    #[serde(borrow, default)]
    parts: Parts<'a>,
}

/// Only audio is of use: `text` parts are thoughts or announcements of searches, never to be spoken.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    #[serde(borrow)]
    inline_data: Option<Blob<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Blob<'a> {
    #[serde(borrow)]
    mime_type: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Transcription<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
}

impl Transcription<'_> {
    /// Vertex brackets an utterance by transcriptions without words.
    fn spoken(&self) -> Option<&str> {
        self.text.as_ref().map(Text::as_str).filter(|text| !text.is_empty())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolCalls<'a> {
    #[serde(borrow, default)]
    function_calls: Vec<FunctionCall<'a>>,
}

#[derive(Deserialize)]
struct FunctionCall<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    args: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Cancellation<'a> {
    #[serde(borrow, default)]
    ids: Vec<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GoAway<'a> {
    #[serde(borrow)]
    time_left: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResumptionUpdate<'a> {
    #[serde(borrow)]
    new_handle: Option<Text<'a>>,
    #[serde(default)]
    resumable: bool,
    #[serde(borrow)]
    last_consumed_client_message_index: Option<Number<'a>>,
}

/// An int64 of proto3 JSON: a number or a string.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number<'a> {
    Integer(u64),
    #[serde(borrow)]
    Text(Text<'a>),
    Other(serde::de::IgnoredAny),
}

impl Number<'_> {
    fn value(&self) -> Option<u64> {
        match self {
            Self::Integer(value) => Some(*value),
            Self::Text(text) => text.as_str().parse().ok(),
            Self::Other(_) => None,
        }
    }
}

#[derive(Deserialize)]
struct Activity<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct ErrorObject<'a> {
    code: Option<i64>,
    #[serde(borrow)]
    message: Option<Text<'a>>,
}

/// The developer service says `responseTokenCount`, Vertex `candidatesTokenCount`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct UsageMetadata {
    prompt_token_count: u64,
    response_token_count: u64,
    candidates_token_count: u64,
    thoughts_token_count: u64,
    total_token_count: u64,
}

impl UsageMetadata {
    fn counts(&self) -> Usage {
        Usage {
            prompt_tokens: self.prompt_token_count,
            response_tokens: self.response_token_count.max(self.candidates_token_count),
            thoughts_tokens: self.thoughts_token_count,
            total_tokens: self.total_token_count,
        }
    }
}

/// A protobuf duration in JSON: decimal seconds with the suffix `s`. Anything else is `None`.
fn parse_duration(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.strip_suffix('s')?.parse().ok()?).ok()
}

#[cfg(test)]
mod tests;
