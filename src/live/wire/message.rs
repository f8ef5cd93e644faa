//! What one message has, read field by field: a field of another kind than it should be is its default, and is named.

use std::borrow::Cow;
use std::time::Duration;

use super::super::{Malformed, Usage, VoiceActivity};
use super::usage;
use crate::json::{Odd, Reader};

/// Longest resumption handle, bytes. The service's have some hundred; what is longer is not kept.
const HANDLE_MAX: usize = 64 * 1024;

/// Longest id of a session or a call, bytes. Theirs have 20 to 40.
const ID_MAX: usize = 256;

/// Longest name of a function, bytes; a declaration may have 128 (Gemini Live API, tools). The rest is cut off.
const TOOL_NAME_MAX: usize = 256;

/// Longest text of an error, bytes; the rest is cut off.
const ERROR_MAX: usize = 1024;

/// Function calls, and cancelled ones, that one message may have.
const CALLS_MAX: usize = 64;

/// Odd fields of one message that are named.
const MALFORMED_MAX: usize = 8;

/// A message of the service.
#[derive(Default)]
pub(super) struct Message<'a> {
    /// The session's id, where it has one.
    pub(super) setup: Option<Option<Cow<'a, str>>>,
    pub(super) activity: Option<VoiceActivity>,
    pub(super) content: Content<'a>,
    pub(super) calls: Vec<FunctionCall<'a>>,
    pub(super) cancelled: Vec<Cow<'a, str>>,
    pub(super) resumption: Option<Resumption<'a>>,
    pub(super) go_away: Option<Option<Duration>>,
    pub(super) usage: Option<Usage>,
    /// HTTP status or canonical code, and the text.
    pub(super) error: Option<(i64, String)>,
    pub(super) malformed: Vec<Malformed>,
}

/// What is said, and where the turn stands.
#[derive(Default)]
pub(super) struct Content<'a> {
    pub(super) is_interrupted: bool,
    pub(super) is_generation_complete: bool,
    pub(super) is_turn_complete: bool,
    /// The caller's words, with their own spaces.
    pub(super) input: Option<Cow<'a, str>>,
    /// The model's.
    pub(super) output: Option<Cow<'a, str>>,
    /// Nearly always the only one, which is not allocated.
    first: Option<Blob<'a>>,
    more: Vec<Blob<'a>>,
}

impl<'a> Content<'a> {
    pub(super) fn blobs(&self) -> impl Iterator<Item = &Blob<'a>> {
        self.first.iter().chain(&self.more)
    }
}

/// Data of a part. Only audio is of use: `text` parts are thoughts or announcements of searches, never to be spoken.
#[derive(Default)]
pub(super) struct Blob<'a> {
    pub(super) mime_type: Option<Cow<'a, str>>,
    /// Base64.
    pub(super) data: Option<Cow<'a, [u8]>>,
}

#[derive(Default)]
pub(super) struct FunctionCall<'a> {
    pub(super) id: Option<Cow<'a, str>>,
    pub(super) name: Cow<'a, str>,
    pub(super) args: Cow<'a, str>,
}

#[derive(Default)]
pub(super) struct Resumption<'a> {
    pub(super) handle: Option<Cow<'a, str>>,
    pub(super) is_resumable: bool,
    pub(super) consumed: Option<u64>,
}

impl<'a> Message<'a> {
    /// Reads the object before which the reader stands.
    pub(super) fn read(reader: &mut Reader<'a>) -> Self {
        let mut message = Self::default();
        // What stands there is an object.
        let _ = reader.members(|reader, name| message.member(reader, name));
        message
    }

    fn member(&mut self, reader: &mut Reader<'a>, name: &[u8]) {
        match name {
            b"setupcomplete" => self.setup_complete(reader),
            b"servercontent" => self.server_content(reader),
            b"toolcall" => self.tool_call(reader),
            b"toolcallcancellation" => self.cancellation(reader),
            b"goaway" => self.go_away(reader),
            b"sessionresumptionupdate" => self.resumption(reader),
            b"voiceactivity" => self.voice_activity(reader),
            b"usagemetadata" => {
                let mut usage = self.usage.unwrap_or_default();
                let is_there = usage::read(reader, &mut usage, |field| self.note(Malformed::Field(field)));
                self.usage = is_there.then_some(usage).or(self.usage);
            }
            b"error" => self.error(reader),
            // Some pages of the documentation have them here.
            b"inputtranscription" | b"outputtranscription" => self.content_member(reader, name),
            _ => {}
        }
    }

    /// Says that a field is odd; only so often.
    fn note(&mut self, malformed: Malformed) {
        if self.malformed.len() < MALFORMED_MAX && !self.malformed.contains(&malformed) {
            self.malformed.push(malformed);
        }
    }

    /// The value of a field, `None` if it has none or is odd.
    fn value<T>(&mut self, field: &'static str, read: Result<Option<T>, Odd>) -> Option<T> {
        read.unwrap_or_else(|Odd| {
            self.note(Malformed::Field(field));
            None
        })
    }

    /// The text of a field; of no more than so many bytes, or it is not kept.
    fn short(
        &mut self,
        field: &'static str,
        len_max: usize,
        read: Result<Option<Cow<'a, str>>, Odd>,
    ) -> Option<Cow<'a, str>> {
        let text = self.value(field, read)?;
        if text.len() > len_max {
            self.note(Malformed::TooLong(field));
            return None;
        }
        Some(text)
    }

    fn setup_complete(&mut self, reader: &mut Reader<'a>) {
        if reader.is_null() {
            return;
        }
        let mut session_id = None;
        let read = reader.members(|reader, name| {
            if name == b"sessionid" {
                session_id = self.short("setupComplete.sessionId", ID_MAX, reader.text());
            }
        });
        if read.is_err() {
            self.note(Malformed::Field("setupComplete"));
        }
        self.setup = Some(session_id);
    }

    fn server_content(&mut self, reader: &mut Reader<'a>) {
        if reader.members(|reader, name| self.content_member(reader, name)).is_err() {
            self.note(Malformed::Field("serverContent"));
        }
    }

    fn content_member(&mut self, reader: &mut Reader<'a>, name: &[u8]) {
        match name {
            b"interrupted" => {
                let value = self.value("serverContent.interrupted", reader.boolean());
                self.content.is_interrupted |= value.unwrap_or_default();
            }
            b"generationcomplete" => {
                let value = self.value("serverContent.generationComplete", reader.boolean());
                self.content.is_generation_complete |= value.unwrap_or_default();
            }
            b"turncomplete" => {
                let value = self.value("serverContent.turnComplete", reader.boolean());
                self.content.is_turn_complete |= value.unwrap_or_default();
            }
            b"inputtranscription" => {
                let text = self.transcription("serverContent.inputTranscription", reader);
                self.content.input = text.or_else(|| self.content.input.take());
            }
            b"outputtranscription" => {
                let text = self.transcription("serverContent.outputTranscription", reader);
                self.content.output = text.or_else(|| self.content.output.take());
            }
            b"modelturn" => reader.items(|reader| {
                let turn = reader.members(|reader, name| {
                    if name == b"parts" {
                        reader.items(|reader| self.part(reader));
                    }
                });
                if turn.is_err() {
                    self.note(Malformed::Field("serverContent.modelTurn"));
                }
            }),
            _ => {}
        }
    }

    /// The words, which may stand alone in the place of the object that has them. Vertex brackets an utterance by
    /// objects without words.
    fn transcription(&mut self, field: &'static str, reader: &mut Reader<'a>) -> Option<Cow<'a, str>> {
        if !reader.is_object() && !reader.is_list() {
            return self.value(field, reader.text());
        }
        let mut text: Option<Cow<'a, str>> = None;
        let read = reader.members(|reader, name| {
            if name == b"text" {
                let more = self.value(field, reader.text());
                text = match (text.take(), more) {
                    (Some(text), Some(more)) => Some(text + more),
                    (text, more) => text.or(more),
                };
            }
        });
        if read.is_err() {
            self.note(Malformed::Field(field));
        }
        text
    }

    fn part(&mut self, reader: &mut Reader<'a>) {
        let mut blob = None;
        let read = reader.members(|reader, name| {
            if name == b"inlinedata" {
                blob = self.blob(reader);
            }
        });
        if read.is_err() {
            self.note(Malformed::Field("serverContent.modelTurn.parts"));
        }
        let Some(blob) = blob else { return };
        match &self.content.first {
            None => self.content.first = Some(blob),
            Some(_) => self.content.more.push(blob),
        }
    }

    fn blob(&mut self, reader: &mut Reader<'a>) -> Option<Blob<'a>> {
        let mut blob = Blob::default();
        let read = reader.members(|reader, name| match name {
            b"mimetype" if reader.is_text() => blob.mime_type = reader.text().unwrap_or_default(),
            b"mimetype" if !reader.is_null() => {
                self.note(Malformed::Field("serverContent.modelTurn.parts.inlineData.mimeType"));
            }
            b"data" => {
                let field = "serverContent.modelTurn.parts.inlineData.data";
                blob.data = self.value(field, reader.bytes());
            }
            _ => {}
        });
        if read.is_err() {
            self.note(Malformed::Field("serverContent.modelTurn.parts.inlineData"));
        }
        Some(blob).filter(|blob| blob.data.is_some())
    }

    fn tool_call(&mut self, reader: &mut Reader<'a>) {
        let read = reader.members(|reader, name| {
            if name == b"functioncalls" {
                reader.items(|reader| self.function_call(reader));
            }
        });
        if read.is_err() {
            self.note(Malformed::Field("toolCall"));
        }
    }

    fn function_call(&mut self, reader: &mut Reader<'a>) {
        if self.calls.len() >= CALLS_MAX {
            return self.note(Malformed::TooLong("toolCall.functionCalls"));
        }
        if reader.is_null() {
            return;
        }
        let mut call = FunctionCall { args: "{}".into(), ..FunctionCall::default() };
        let read = reader.members(|reader, name| match name {
            b"id" => call.id = self.short("toolCall.functionCalls.id", ID_MAX, reader.text()),
            b"name" => {
                let name = self.value("toolCall.functionCalls.name", reader.text());
                call.name = cut(name.unwrap_or_default(), TOOL_NAME_MAX);
            }
            b"args" if !reader.is_null() => call.args = String::from_utf8_lossy(reader.raw()),
            _ => {}
        });
        match read {
            Ok(()) => self.calls.push(call),
            Err(Odd) => self.note(Malformed::Field("toolCall.functionCalls")),
        }
    }

    fn cancellation(&mut self, reader: &mut Reader<'a>) {
        let read = reader.members(|reader, name| {
            if name == b"ids" {
                reader.items(|reader| {
                    let id = self.short("toolCallCancellation.ids", ID_MAX, reader.text());
                    self.cancelled.extend(id.filter(|_| self.cancelled.len() < CALLS_MAX));
                });
            }
        });
        if read.is_err() {
            self.note(Malformed::Field("toolCallCancellation"));
        }
    }

    fn resumption(&mut self, reader: &mut Reader<'a>) {
        if reader.is_null() {
            return;
        }
        let mut update = Resumption::default();
        let read = reader.members(|reader, name| match name {
            b"newhandle" => {
                update.handle = self.short("sessionResumptionUpdate.newHandle", HANDLE_MAX, reader.text());
            }
            b"resumable" => {
                let value = self.value("sessionResumptionUpdate.resumable", reader.boolean());
                update.is_resumable = value.unwrap_or_default();
            }
            b"lastconsumedclientmessageindex" => {
                let field = "sessionResumptionUpdate.lastConsumedClientMessageIndex";
                update.consumed = self.value(field, reader.count());
            }
            _ => {}
        });
        match read {
            Ok(()) => self.resumption = Some(update),
            Err(Odd) => self.note(Malformed::Field("sessionResumptionUpdate")),
        }
    }

    /// The news itself matters, however the time is written.
    fn go_away(&mut self, reader: &mut Reader<'a>) {
        if reader.is_null() {
            return;
        }
        let mut time_left = None;
        let read = reader.members(|reader, name| {
            if name == b"timeleft" {
                time_left = self.duration("goAway.timeLeft", reader);
            }
        });
        if read.is_err() {
            return self.note(Malformed::Field("goAway"));
        }
        self.go_away = Some(time_left);
    }

    /// A protobuf duration: decimal seconds with or without the suffix `s`, or an object of seconds and nanoseconds.
    fn duration(&mut self, field: &'static str, reader: &mut Reader<'a>) -> Option<Duration> {
        if reader.is_object() {
            let (mut seconds, mut nanos) = (None, None);
            let _ = reader.members(|reader, name| match name {
                b"seconds" => seconds = self.value(field, reader.count()),
                b"nanos" => nanos = self.value(field, reader.count()),
                _ => {}
            });
            let nanos = nanos.unwrap_or_default().min(999_999_999);
            return Some(Duration::new(seconds.unwrap_or_default(), nanos as u32));
        }
        let text = self.value(field, reader.text())?;
        let seconds = text.trim();
        let seconds = seconds.strip_suffix('s').unwrap_or(seconds).trim().parse().ok();
        let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        if duration.is_none() {
            self.note(Malformed::Field(field));
        }
        duration
    }

    fn voice_activity(&mut self, reader: &mut Reader<'a>) {
        let read = reader.members(|reader, name| {
            if matches!(name, b"type" | b"voiceactivitytype") {
                let kind = self.value("voiceActivity.type", reader.text()).unwrap_or_default();
                self.activity = match kind.to_ascii_uppercase().as_str() {
                    "ACTIVITY_START" => Some(VoiceActivity::Start),
                    "ACTIVITY_END" => Some(VoiceActivity::End),
                    _ => None,
                };
            }
        });
        if read.is_err() {
            self.note(Malformed::Field("voiceActivity"));
        }
    }

    /// An object, or a text alone.
    fn error(&mut self, reader: &mut Reader<'a>) {
        if !reader.is_object() {
            let text = self.value("error", reader.text()).unwrap_or_default();
            let is_error = !matches!(text.as_ref(), "" | "false" | "0");
            self.error =
                is_error.then(|| (code_of(&text).unwrap_or_default(), cut(text, ERROR_MAX).into_owned()));
            return;
        }
        let (mut code, mut status, mut message) = (None, None, None);
        let _ = reader.members(|reader, name| match name {
            b"code" => code = self.value("error.code", reader.text()),
            b"status" => status = self.value("error.status", reader.text()),
            b"message" => message = self.value("error.message", reader.text()),
            _ => {}
        });
        let number = [&code, &status].into_iter().flatten().find_map(|text| code_of(text));
        let text = message.or(status).or(code).unwrap_or_default();
        let is_error = number.is_some_and(|number| number != 0) || !matches!(text.as_ref(), "" | "0" | "OK");
        self.error = is_error.then(|| (number.unwrap_or_default(), cut(text, ERROR_MAX).into_owned()));
    }
}

/// A number, or the name of a canonical code as the HTTP status that goes with it (google.rpc.Code).
fn code_of(text: &str) -> Option<i64> {
    const NAMES: [(&str, i64); 12] = [
        ("INVALID_ARGUMENT", 400),
        ("FAILED_PRECONDITION", 400),
        ("OUT_OF_RANGE", 400),
        ("UNAUTHENTICATED", 401),
        ("PERMISSION_DENIED", 403),
        ("NOT_FOUND", 404),
        ("ABORTED", 409),
        ("RESOURCE_EXHAUSTED", 429),
        ("CANCELLED", 499),
        ("INTERNAL", 500),
        ("UNAVAILABLE", 503),
        ("DEADLINE_EXCEEDED", 504),
    ];
    let text = text.trim();
    let named = || NAMES.iter().find(|(name, _)| text.eq_ignore_ascii_case(name)).map(|(_, code)| *code);
    text.parse::<f64>().ok().map(|number| number as i64).or_else(named)
}

/// No more than so many bytes of a text, whole characters.
fn cut(text: Cow<'_, str>, len_max: usize) -> Cow<'_, str> {
    match text {
        text if text.len() <= len_max => text,
        Cow::Borrowed(text) => text[..text.floor_char_boundary(len_max)].into(),
        Cow::Owned(mut text) => {
            text.truncate(text.floor_char_boundary(len_max));
            text.into()
        }
    }
}
