//! `models/{model}:generateContent` and `:streamGenerateContent`: text, transcripts of inline audio, and speech.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use super::{authorize, body, excuse, invalid, schema, text};
use crate::sim::gemini::schema::decode_bytes;
use crate::sim::providers::call::Call;
use crate::sim::providers::ears;
use crate::sim::providers::observation::{Asked, Delivery, Dialogue, Recording, Subject};
use crate::sim::providers::reply::{Refusal, Reply, Stream};
use crate::sim::providers::route::Route;
use crate::sim::providers::turn::{Finish, Manner, Thought, Turn};
use crate::sim::providers::voice;

/// What the speech models give, little-endian though it says L16.
const SPEECH_TYPE: &str = "audio/L16;codec=pcm;rate=24000";
const SPEECH_RATE: u32 = 24_000;
/// 200 ms.
const PIECE_LEN: usize = SPEECH_RATE as usize / 5 * 2;

/// The route of a path `/v1beta/models/{model}:{method}`.
pub(in crate::sim::providers) fn route(path: &str) -> Option<Route> {
    match path.rsplit_once(':')?.1 {
        "generateContent" => Some(Route::GenerateContent),
        "streamGenerateContent" => Some(Route::StreamGenerateContent),
        _ => None,
    }
}

pub(in crate::sim::providers) fn answer(call: &Call, turn: &mut Turn) -> Result<Reply, Refusal> {
    authorize(call, turn)?;
    let body = body(call, &schema::GENERATE_CONTENT)?;
    let model = call.path.rsplit(['/', ':']).nth(1).unwrap_or_default();
    let delivery = match turn.watch.route == Route::StreamGenerateContent {
        true => Delivery::Stream,
        false => Delivery::Whole,
    };
    let subject = subject(&body, model)?;
    let asked = Asked { model: model.to_owned(), delivery, subject };
    let head = Head { model: model.to_owned(), id: format!("sim-{}", turn.number()) };
    let is_speech = matches!(asked.subject, Subject::Text { .. });
    let parts = if is_speech {
        speech(turn.speak(asked, Manner { rate: SPEECH_RATE, speed: 1.0 }), delivery)
    } else {
        words(&turn.think(asked))
    };
    let framing = if call.parameter("alt").as_deref() == Some("sse") { Framing::Sse } else { Framing::Array };
    Ok(match delivery {
        Delivery::Whole => Reply::json(&head.whole(parts)),
        Delivery::Stream => Reply::stream(framing.content_type(), head.stream(&parts, framing)),
    })
}

/// What is asked for: audio out is speech, audio in with the wish for a transcript is one, all else is a dialogue.
fn subject(body: &Value, model: &str) -> Result<Subject, Refusal> {
    let contents = body.get("contents").and_then(Value::as_array).filter(|contents| !contents.is_empty());
    let contents =
        contents.ok_or_else(|| invalid("* GenerateContentRequest.contents: contents is not specified\n"))?;
    for content in contents {
        let has_parts = content.get("parts").and_then(Value::as_array).is_some_and(|parts| !parts.is_empty());
        if !has_parts {
            return Err(invalid("* GenerateContentRequest.contents: contents.parts must not be empty.\n"));
        }
        if !matches!(text(content, "/role"), "" | "user" | "model" | "function") {
            return Err(invalid("Please use a valid role: user, model."));
        }
    }
    let modalities = body.pointer("/generationConfig/responseModalities").and_then(Value::as_array);
    let wants_audio = modalities.is_some_and(|list| list.iter().any(|modality| modality == "AUDIO"));
    if wants_audio != model.contains("tts") {
        let (wanted, accepted) = if wants_audio { ("AUDIO", "TEXT") } else { ("TEXT", "AUDIO") };
        return Err(invalid(&format!(
            "The requested combination of response modalities ({wanted}) is not supported by the model. \
             models/{model} accepts the following combination of response modalities:\n* {accepted}\n"
        )));
    }
    let last = contents.last().map(spoken).unwrap_or_default();
    if wants_audio {
        let config = "/generationConfig/speechConfig/voiceConfig/prebuiltVoiceConfig/voiceName";
        return Ok(Subject::Text { text: last, voice: text(body, config).to_owned() });
    }
    let instruction = body.get("systemInstruction").map(spoken).unwrap_or_default();
    let recording = contents.last().and_then(audio).transpose()?;
    let wants_transcript = format!("{instruction} {last}").to_lowercase().contains("transcri");
    match recording {
        Some(recording) if wants_transcript => Ok(Subject::Recording(recording)),
        Some(_) | None => Ok(Subject::Dialogue(dialogue(body, contents, instruction))),
    }
}

fn dialogue(body: &Value, contents: &[Value], instruction: String) -> Dialogue {
    let is_user = |content: &&Value| text(content, "/role") != "model";
    Dialogue {
        instruction,
        lines: contents.len(),
        last: contents.iter().rfind(is_user).map(spoken).unwrap_or_default(),
        temperature: body.pointer("/generationConfig/temperature").and_then(Value::as_f64),
        tokens_max: body.pointer("/generationConfig/maxOutputTokens").and_then(Value::as_u64),
    }
}

/// The text of a content.
fn spoken(content: &Value) -> String {
    let parts = content.get("parts").and_then(Value::as_array).into_iter().flatten();
    parts.filter_map(|part| part.get("text")?.as_str()).collect::<Vec<_>>().join(" ")
}

/// The first audio of a content. Only WAV is listened to.
fn audio(content: &Value) -> Option<Result<Recording, Refusal>> {
    let blobs = content.get("parts")?.as_array()?.iter().filter_map(|part| part.get("inlineData"));
    let blob = blobs.into_iter().find(|blob| text(blob, "/mimeType").starts_with("audio/"))?;
    let bytes = decode_bytes(text(blob, "/data")).unwrap_or_default();
    let listened = match text(blob, "/mimeType") {
        "audio/wav" | "audio/x-wav" => ears::wav(&bytes).map_err(|_| excuse(400)),
        "audio/mp3" | "audio/mpeg" | "audio/aiff" | "audio/aac" | "audio/ogg" | "audio/flac" => {
            Ok(ears::opaque(&bytes))
        }
        other => Err(invalid(&format!("Unsupported MIME type: {other}"))),
    };
    Some(listened)
}

/// The parts of an answer and how it ends.
struct Parts {
    parts: Vec<Value>,
    finish: &'static str,
    /// Prompt and response.
    tokens: (usize, usize),
}

fn words(thought: &Thought) -> Parts {
    let finish = match thought.finish {
        Finish::Stop => "STOP",
        Finish::Length => "MAX_TOKENS",
        Finish::Blocked => BLOCKED,
    };
    let parts = thought.tokens.iter().map(|token| json!({"text": token})).collect();
    Parts { parts, finish, tokens: (thought.prompt_tokens, thought.tokens.len()) }
}

/// Not a finish reason: there is no candidate.
const BLOCKED: &str = "";

fn speech(samples: Vec<i16>, delivery: Delivery) -> Parts {
    let bytes = voice::bytes(&samples);
    let size = match delivery {
        Delivery::Whole => bytes.len().max(1),
        Delivery::Stream => PIECE_LEN,
    };
    let part = |data: &[u8]| json!({"inlineData": {"mimeType": SPEECH_TYPE, "data": STANDARD.encode(data)}});
    let parts: Vec<_> = bytes.chunks(size).map(part).collect();
    // The speech models fail like this at times.
    let finish = if parts.is_empty() { "OTHER" } else { "STOP" };
    // 25 tokens a second.
    Parts { parts, finish, tokens: (8, samples.len() / (SPEECH_RATE as usize / 25)) }
}

struct Head {
    model: String,
    id: String,
}

impl Head {
    fn whole(&self, mut parts: Parts) -> Value {
        let texts: Vec<_> = parts.parts.iter().filter_map(|part| part.get("text")?.as_str()).collect();
        if !texts.is_empty() {
            parts.parts = vec![json!({"text": texts.concat()})];
        }
        self.last(&parts, parts.parts.clone())
    }

    fn stream(&self, parts: &Parts, framing: Framing) -> Stream {
        let usage = usage((parts.tokens.0, 0));
        let piece = |part: &Value| {
            let candidate = json!({"content": {"role": "model", "parts": [part]}, "index": 0});
            framing.event(&self.reply(json!([candidate]), usage.clone()))
        };
        Stream {
            opening: framing.opening(),
            tokens: parts.parts.iter().map(piece).collect(),
            closing: vec![framing.last(&self.last(parts, Vec::new()))],
            filler: framing.filler(),
            error: Some(framing.event(&excuse(503).body)),
        }
    }

    /// The reply that ends an answer, with these parts.
    fn last(&self, parts: &Parts, content: Vec<Value>) -> Value {
        if parts.finish == BLOCKED {
            let mut reply = self.reply(json!([]), usage((parts.tokens.0, 0)));
            reply["promptFeedback"] = json!({"blockReason": "SAFETY"});
            reply.as_object_mut().map(|reply| reply.remove("candidates"));
            return reply;
        }
        let mut candidate = json!({"content": {"role": "model"}, "finishReason": parts.finish, "index": 0});
        if !content.is_empty() {
            candidate["content"]["parts"] = Value::Array(content);
        }
        self.reply(json!([candidate]), usage(parts.tokens))
    }

    fn reply(&self, candidates: Value, usage: Value) -> Value {
        json!({
            "candidates": candidates,
            "usageMetadata": usage,
            "modelVersion": self.model,
            "responseId": self.id,
        })
    }
}

fn usage((prompt, response): (usize, usize)) -> Value {
    let mut usage = json!({
        "promptTokenCount": prompt,
        "totalTokenCount": prompt + response,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}],
    });
    if response > 0 {
        usage["candidatesTokenCount"] = json!(response);
    }
    usage
}

/// How a stream is cut into replies.
#[derive(Clone, Copy)]
enum Framing {
    /// `alt=sse`: events, with CRLF.
    Sse,
    /// One JSON array.
    Array,
}

impl Framing {
    const fn content_type(self) -> &'static str {
        match self {
            Self::Sse => "text/event-stream",
            Self::Array => "application/json; charset=UTF-8",
        }
    }

    fn opening(self) -> Vec<Bytes> {
        match self {
            Self::Sse => Vec::new(),
            Self::Array => vec![Bytes::from_static(b"[")],
        }
    }

    fn event(self, reply: &Value) -> Bytes {
        match self {
            Self::Sse => format!("data: {reply}\r\n\r\n"),
            Self::Array => format!("{reply}\r\n,\r\n"),
        }
        .into()
    }

    fn last(self, reply: &Value) -> Bytes {
        match self {
            Self::Sse => self.event(reply),
            Self::Array => format!("{reply}\r\n]").into(),
        }
    }

    const fn filler(self) -> &'static [u8] {
        match self {
            Self::Sse => b": keep-alive\r\n\r\n",
            Self::Array => b" ",
        }
    }
}
