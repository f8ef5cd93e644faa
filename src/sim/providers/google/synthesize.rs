//! `POST /v1/text:synthesize` of Cloud Text-to-Speech. The compressed encodings are not there.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{authorize, body, invalid, number, schema, text};
use crate::audio::g711;
use crate::sim::providers::call::Call;
use crate::sim::providers::observation::{Asked, Delivery, Subject};
use crate::sim::providers::reply::{Refusal, Reply};
use crate::sim::providers::turn::{Manner, Turn};
use crate::sim::providers::voice::{self, Encoding};

/// Cloud Text-to-Speech, "Quotas and limits": bytes of a request's content.
const TEXT_MAX: usize = 5000;

/// The natural rate of most voices.
const RATE: u32 = 24_000;

pub(in crate::sim::providers) fn answer(call: &Call, turn: &mut Turn) -> Result<Reply, Refusal> {
    authorize(call, turn)?;
    let body = body(call, &schema::SYNTHESIZE)?;
    let input = input(&body)?;
    if text(&body, "/voice/languageCode").is_empty() {
        return Err(invalid("Request is missing required field: voice.language_code."));
    }
    let form = Form::read(text(&body, "/audioConfig/audioEncoding"))?;
    let rate = number(&body, "/audioConfig/sampleRateHertz").filter(|&rate| rate > 0).unwrap_or(RATE);
    if !(8_000..=48_000).contains(&rate) {
        return Err(invalid("The sample rate is not supported."));
    }
    let speed = body.pointer("/audioConfig/speakingRate").and_then(Value::as_f64);
    let speed = speed.filter(|&speed| speed != 0.0).unwrap_or(1.0);
    if !(0.25..=2.0).contains(&speed) {
        return Err(invalid("Invalid speaking_rate. Valid range is [0.25, 2.0]."));
    }
    let subject = Subject::Text { text: input, voice: text(&body, "/voice/name").to_owned() };
    let model = text(&body, "/voice/modelName").to_owned();
    let asked = Asked { model, delivery: Delivery::Whole, subject };
    let samples = turn.speak(asked, Manner { rate, speed });
    Ok(Reply::json(&json!({"audioContent": STANDARD.encode(form.write(&samples, rate))})))
}

fn input(body: &Value) -> Result<String, Refusal> {
    let plain = ["/input/text", "/input/markup"].map(|pointer| text(body, pointer));
    let ssml = text(body, "/input/ssml");
    let input = plain.into_iter().find(|text| !text.is_empty()).map(str::to_owned);
    let input = input.unwrap_or_else(|| without_tags(ssml));
    if input.trim().is_empty() {
        return Err(invalid("The input is empty."));
    }
    if input.len() > TEXT_MAX {
        return Err(invalid(
            "Either `input.text` or `input.ssml` is longer than the limit of 5000 bytes. This limit is different \
             from quotas. To fix, reduce the byte length of the characters in this request, or consider using the \
             Long Audio API.",
        ));
    }
    Ok(input)
}

fn without_tags(ssml: &str) -> String {
    let mut is_tag = false;
    let keep = |letter: &char| {
        let was_tag = is_tag;
        is_tag = *letter == '<' || (is_tag && *letter != '>');
        !is_tag && !was_tag
    };
    ssml.chars().filter(keep).collect()
}

/// LINEAR16 and MULAW come with a WAV header, PCM without.
enum Form {
    Wav(Encoding),
    Raw,
}

impl Form {
    fn read(encoding: &str) -> Result<Self, Refusal> {
        match encoding {
            "LINEAR16" => Ok(Self::Wav(Encoding::Linear16)),
            "MULAW" => Ok(Self::Wav(Encoding::Mulaw)),
            "PCM" => Ok(Self::Raw),
            "" | "AUDIO_ENCODING_UNSPECIFIED" => Err(invalid("Invalid audio encoding.")),
            other => {
                Err(invalid(&format!("Audio encoding {other} is not simulated: use LINEAR16, MULAW or PCM.")))
            }
        }
    }

    fn write(&self, samples: &[i16], rate: u32) -> Vec<u8> {
        let (encoding, data) = match self {
            Self::Raw => return voice::bytes(samples),
            Self::Wav(Encoding::Linear16) => (Encoding::Linear16, voice::bytes(samples)),
            Self::Wav(Encoding::Mulaw) => {
                let mut data = Vec::with_capacity(samples.len());
                g711::encode_into(samples, &mut data);
                (Encoding::Mulaw, data)
            }
        };
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        [&voice::wav_header(encoding, rate, length)[..], &data].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_not_spoken() {
        assert_eq!(without_tags("<speak>One <break time=\"1s\"/>two.</speak>"), "One two.");
    }
}
