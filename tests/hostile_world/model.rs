//! The live model: its messages, each with an oddity, and when its words come.

use serde_json::{Value, json};

use crate::json::{BASE64_WAYS, add_unknown, base64, object, wrap};
use crate::random::Random;

/// One exchange: what the caller asked and what the model answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange {
    pub(crate) question: [&'static str; 3],
    pub(crate) answer: [&'static str; 4],
    pub(crate) answer_ms: u64,
}

/// Where a piece of a transcription comes among the messages of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    BeforeSound,
    AmongSound,
    AfterGeneration,
    WithTurnComplete,
    Behind(u64),
}

const PLACES: [Place; 7] = [
    Place::BeforeSound,
    Place::BeforeSound,
    Place::AmongSound,
    Place::AfterGeneration,
    Place::WithTurnComplete,
    Place::Behind(20),
    Place::Behind(600),
];

/// Sound comes four times as fast as it is played, in messages of this much.
const PIECE_MS: u64 = 200;
const PACE: u64 = 4;

#[derive(Debug)]
pub(crate) struct Model {
    random: Random,
}

impl Model {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: Random::new(seed ^ 0x90DE) }
    }

    pub(crate) fn set_up(&mut self) -> Vec<u8> {
        let messages = [
            json!({"setupComplete": {}}),
            json!({"setupComplete": {"sessionId": null}}),
            json!({"setupComplete": {"sessionId": 7}, "serverContent": null}),
            json!({"setup_complete": {}, "usageMetadata": []}),
        ];
        let message = self.random.pick(&messages).clone();
        wrap(&message, &mut self.random)
    }

    /// The messages of an answer whose sound is `level`, with the milliseconds after which each comes.
    pub(crate) fn answer(&mut self, exchange: &Exchange, level: i16) -> Vec<(u64, Vec<u8>)> {
        let mut messages = Vec::new();
        let mut places = exchange.answer.map(|words| (*self.random.pick(&PLACES), words));
        places.sort_by_key(|(place, _)| *place);
        // A stable sort by place, then the words anew in the order in which they are said.
        let places: Vec<_> =
            places.iter().zip(exchange.answer).map(|((place, _), words)| (*place, words)).collect();
        let words_at = |wanted: &dyn Fn(Place) -> bool| -> Vec<&'static str> {
            places.iter().filter(|(place, _)| wanted(*place)).map(|(_, words)| *words).collect()
        };
        for words in exchange.question {
            messages.push((0, json!({"serverContent": {"inputTranscription": {"text": words}}})));
        }
        for words in words_at(&|place| place == Place::BeforeSound) {
            messages.push((0, transcription(words)));
        }
        let mut among = words_at(&|place| place == Place::AmongSound).into_iter();
        // One rate an answer: where it changes the resampler begins anew.
        let rate = *self.random.pick(&[24, 24, 24, 16, 8, 48]);
        let pieces = exchange.answer_ms / PIECE_MS;
        for piece in 0..pieces {
            let at = piece * PIECE_MS / PACE;
            let message = self.sound(level, rate);
            messages.push((at, message));
            if piece > 0
                && let Some(words) = among.next()
            {
                messages.push((at, transcription(words)));
            }
        }
        let generated = exchange.answer_ms / PACE;
        for words in among {
            messages.push((generated, transcription(words)));
        }
        messages.push((generated, json!({"serverContent": {"generationComplete": true}})));
        for words in words_at(&|place| place == Place::AfterGeneration) {
            messages.push((generated, transcription(words)));
        }
        let mut complete = json!({"serverContent": {"turnComplete": true}});
        let with = words_at(&|place| place == Place::WithTurnComplete).concat();
        if !with.is_empty() {
            complete["serverContent"]["outputTranscription"] = json!({"text": with});
        }
        let over = exchange.answer_ms;
        messages.push((over, complete));
        for (place, words) in &places {
            if let Place::Behind(ms) = place {
                messages.push((over + ms, transcription(words)));
            }
        }
        messages.into_iter().map(|(at, message)| (at, self.odd(message))).collect()
    }

    /// [`PIECE_MS`] of sound at `rate` kHz, in a spelling of its own.
    fn sound(&mut self, level: i16, rate: u64) -> Value {
        let hertz = rate * 1000;
        let mut kinds = vec![
            Some(format!("audio/pcm;rate={hertz}")),
            Some(format!("audio/pcm; rate={hertz}")),
            Some(format!("audio/PCM;RATE={hertz}")),
            Some(format!("audio/pcm;rate=\"{hertz}\"")),
            Some(format!("audio/pcm;channels=1;rate={hertz}")),
            Some(format!("audio/L16;codec=pcm;rate={hertz}")),
        ];
        if rate == 24 {
            kinds.extend([None, Some("audio/pcm".to_owned())]);
        }
        let kind = self.random.pick(&kinds).clone();
        let bytes: Vec<u8> = (0..PIECE_MS * rate).flat_map(|_| level.to_le_bytes()).collect();
        let way = self.random.below(BASE64_WAYS + 2);
        let mut blob = json!({"data": base64(&bytes, way)});
        if let Some(kind) = kind {
            blob["mimeType"] = json!(kind);
        }
        let part = json!({"inlineData": blob});
        let parts = match self.random.below(6) {
            0 => json!([null, part]),
            1 => json!([{"text": "I think", "thought": true}, part]),
            2 => json!([{"inlineData": {}}, part, {"inlineData": null}]),
            3 => json!([{"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": ""}}, part]),
            4 => json!([{"text": null, "thought": null, "inlineData": part["inlineData"]}]),
            _ => json!([part]),
        };
        json!({"serverContent": {"modelTurn": {"parts": parts}}})
    }

    /// The message with an oddity beside what it means.
    fn odd(&mut self, mut message: Value) -> Vec<u8> {
        match self.random.below(12) {
            0 => null_fields(&mut message),
            1 => false_fields(&mut message),
            2 => message["usageMetadata"] = self.odd_usage(),
            3 => add_unknown(object(&mut message, &["serverContent"]), &mut self.random),
            4 => add_unknown(message.as_object_mut().unwrap(), &mut self.random),
            5 => message = snake_case(&message),
            6 => message = json!([message]),
            7 => {
                message["goAway"] = json!(null);
                for name in ["toolCall", "toolCallCancellation", "sessionResumptionUpdate"] {
                    message[name] = self.random.pick(&[json!(null), json!([]), json!("none")]).clone();
                }
            }
            8 => return format!("{message}\n{{}}").into_bytes(),
            9 => message["voiceActivity"] = json!({"type": "SOMETHING_NEW", "at": null}),
            10 => return lone_surrogate(&message).into_bytes(),
            _ => {}
        }
        wrap(&message, &mut self.random)
    }

    fn odd_usage(&mut self) -> Value {
        let usages = [
            json!(null),
            json!("12 tokens"),
            json!([]),
            json!({"promptTokenCount": "12", "responseTokenCount": 3.0}),
            json!({"promptTokenCount": null, "responseTokenCount": -3}),
            json!({"promptTokenCount": 1, "promptTokensDetails": [{"modality": null, "tokenCount": "x"}, null]}),
            json!({"promptTokenCount": 1e40, "promptTokensDetails": {"modality": "AUDIO"}}),
        ];
        self.random.pick(&usages).clone()
    }
}

fn transcription(words: &str) -> Value {
    json!({"serverContent": {"outputTranscription": {"text": words}}})
}

/// Fields of the content that are not in the message, as null.
fn null_fields(message: &mut Value) {
    let content = object(message, &["serverContent"]);
    for name in [
        "turnComplete",
        "interrupted",
        "generationComplete",
        "modelTurn",
        "inputTranscription",
        "outputTranscription",
    ] {
        content.entry(name).or_insert(json!(null));
    }
}

fn false_fields(message: &mut Value) {
    let content = object(message, &["serverContent"]);
    for name in ["turnComplete", "interrupted", "generationComplete"] {
        content.entry(name).or_insert(json!(false));
    }
}

/// A text beside the content that is half a character in UTF-16.
fn lone_surrogate(message: &Value) -> String {
    let text = message.to_string();
    format!(r#"{{"note":"half \ud83d","promptFeedback":null,{}"#, &text[1..])
}

/// The names of proto fields as some gateways write them.
fn snake_case(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (snake(name), snake_case(value))).collect()
        }
        Value::Array(items) => items.iter().map(snake_case).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn snake(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}
