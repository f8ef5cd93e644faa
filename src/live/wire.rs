//! The JSON of the Gemini Live API (`BidiGenerateContent`, v1beta): server messages in, client messages out.
//!
//! The service writes camelCase proto3 JSON with defaults omitted, as text or binary frames alike; every field
//! is optional, several may come together, `{}` is frequent and unknown names are ignored. Whatever else a service may
//! write is read as far as it can be: what cannot be read costs itself and not what stands beside it. Reading borrows: an
//! audio message is allocated once.

mod message;
mod sound;
mod usage;

use std::fmt::Write as _;

use self::message::{Content, Message};
use self::sound::Sound;
use super::{Command, Event, Malformed, ToolCall, setup_message};
use crate::audio::Frame;
use crate::base64;
use crate::dialogue::{Dialogue, Speaker};
use crate::json::Reader;
use crate::live::failure::Failure;

/// Decodes the messages of one connection. Keeps what must survive between messages: sound that is not whole.
#[derive(Debug, Default)]
pub struct Decoder {
    sound: Sound,
}

impl Decoder {
    /// Hands the events of one frame to `handle`, in the order in which they must be handled.
    pub fn decode(&mut self, frame: &[u8], mut handle: impl FnMut(Event<'_>)) {
        let mut reader = Reader::new(frame);
        let mut is_read = false;
        while reader.next_object() {
            is_read = true;
            let message = Message::read(&mut reader);
            self.events(&message, &mut handle);
        }
        match (is_read, reader.is_broken()) {
            (false, _) => handle(Event::Malformed(Malformed::Json)),
            (true, true) => handle(Event::Malformed(Malformed::Syntax)),
            (true, false) => {}
        }
    }

    fn events(&mut self, message: &Message<'_>, handle: &mut impl FnMut(Event<'_>)) {
        if let Some(session_id) = &message.setup {
            handle(Event::SetupComplete { session_id: session_id.as_deref() });
        }
        if let Some(activity) = message.activity {
            handle(Event::VoiceActivity(activity));
        }
        self.content(&message.content, handle);
        session_events(message, handle);
        if message.content.is_turn_complete {
            handle(Event::TurnComplete);
        }
        for malformed in &message.malformed {
            handle(Event::Malformed(*malformed));
        }
        if let Some((code, text)) = &message.error {
            handle(Event::Failed(Failure::Reported { code: *code, message: text.clone() }));
        }
    }

    /// `interrupted` first: what comes with it is stale. Text before the audio it belongs to.
    fn content(&mut self, content: &Content<'_>, handle: &mut impl FnMut(Event<'_>)) {
        if content.is_interrupted {
            self.sound.reset();
            handle(Event::Interrupted);
        }
        if let Some(text) = content.input.as_deref().filter(|text| !text.is_empty()) {
            handle(Event::InputTranscription(text));
        }
        if let Some(text) = content.output.as_deref().filter(|text| !text.is_empty()) {
            handle(Event::OutputTranscription(text));
        }
        for blob in content.blobs() {
            let taken = self.sound.take(blob, |samples| handle(Event::Audio(samples)));
            if let Err(malformed) = taken {
                handle(Event::Malformed(malformed));
            }
        }
        if content.is_generation_complete || content.is_turn_complete {
            self.sound.finish(|samples| handle(Event::Audio(samples)));
        }
        if content.is_generation_complete {
            handle(Event::GenerationComplete);
        }
    }
}

/// Everything that is not content.
fn session_events(message: &Message<'_>, handle: &mut impl FnMut(Event<'_>)) {
    for call in &message.calls {
        handle(Event::ToolCall(ToolCall { id: call.id.as_deref(), name: &call.name, args: &call.args }));
    }
    for id in &message.cancelled {
        handle(Event::ToolCallCancelled { id });
    }
    if let Some(update) = &message.resumption {
        let handle_text = update.handle.as_deref().filter(|text| !text.is_empty());
        handle(Event::Resumption {
            handle: handle_text,
            resumable: update.is_resumable,
            consumed: update.consumed,
        });
    }
    if let Some(time_left) = message.go_away {
        handle(Event::GoAway { time_left });
    }
    if let Some(usage) = message.usage {
        handle(Event::Usage(usage));
    }
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

#[cfg(test)]
mod tests;
