//! The `setup` message: a session's configuration as the service wants it.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::{Sensitivity, Setup, Vad};

/// Models whose voice is a separate synthesiser; only they honour `languageCode` (Gemini Live API, models).
const HALF_CASCADE: &str = "gemini-live-2.5-flash";

/// Appends the message. Resumption and both transcriptions are always asked for; the context is compressed,
/// so that a long call does not end at the limit of the window.
pub(super) fn encode(setup: &Setup, out: &mut String) {
    let mut message = json!({
        "model": resource(&setup.model),
        "generationConfig": generation_config(setup),
        "sessionResumption": resumption(setup),
        "contextWindowCompression": {"slidingWindow": {}},
        "inputAudioTranscription": {},
        "outputAudioTranscription": {},
    });
    let instruction = instruction(setup);
    if !instruction.is_empty() {
        message["systemInstruction"] = json!({"parts": [{"text": instruction}]});
    }
    if setup.vad != Vad::default() {
        message["realtimeInputConfig"] = realtime_input_config(&setup.vad);
    }
    if setup.wants_seed() {
        message["historyConfig"] = json!({"initialHistoryInClientContent": true});
    }
    let _ = write!(out, "{}", json!({ "setup": message }));
}

fn resumption(setup: &Setup) -> Value {
    let mut resumption = Map::new();
    if let Some(handle) = &setup.handle {
        resumption.insert("handle".into(), json!(handle));
    }
    if setup.is_transparent {
        resumption.insert("transparent".into(), json!(true));
    }
    resumption.into()
}

/// The name of a model as a resource; a path is one already.
fn resource(model: &str) -> Cow<'_, str> {
    if model.contains('/') { model.into() } else { format!("models/{model}").into() }
}

fn generation_config(setup: &Setup) -> Value {
    let mut config = Map::new();
    config.insert("responseModalities".into(), json!(["AUDIO"]));
    if let Some(temperature) = setup.temperature {
        config.insert("temperature".into(), json!(temperature));
    }
    let mut speech = Map::new();
    if let Some(voice) = &setup.voice {
        speech.insert("voiceConfig".into(), json!({"prebuiltVoiceConfig": {"voiceName": voice}}));
    }
    if let Some(language) = setup.language.as_ref().filter(|_| is_half_cascade(setup)) {
        speech.insert("languageCode".into(), json!(language));
    }
    if !speech.is_empty() {
        config.insert("speechConfig".into(), speech.into());
    }
    config.into()
}

/// The prompt; with the language, because native-audio models choose it from context; and with what was said
/// before, for models that cannot be seeded.
fn instruction(setup: &Setup) -> String {
    let mut instruction = setup.prompt.clone();
    if let Some(language) = setup.language.as_ref().filter(|_| !is_half_cascade(setup)) {
        let _ = write!(instruction, "\n\nSpeak {language} unless the caller asks for another language.");
    }
    if let Some(history) = setup.history.as_ref().filter(|_| !setup.wants_seed()) {
        instruction.push_str(
            "\n\nThis call is under way and the line was interrupted. Go on; do not greet again. So far:",
        );
        for line in history.lines() {
            let _ = write!(instruction, "\n{}: {}", line.speaker.as_str(), line.text);
        }
    }
    instruction
}

fn is_half_cascade(setup: &Setup) -> bool {
    setup.model.rsplit('/').next() == Some(HALF_CASCADE)
}

fn realtime_input_config(vad: &Vad) -> Value {
    let mut detection = Map::new();
    if let Some(sensitivity) = vad.start_sensitivity {
        detection.insert("startOfSpeechSensitivity".into(), level("START", sensitivity));
    }
    if let Some(sensitivity) = vad.end_sensitivity {
        detection.insert("endOfSpeechSensitivity".into(), level("END", sensitivity));
    }
    if let Some(padding) = vad.prefix_padding_ms {
        detection.insert("prefixPaddingMs".into(), json!(padding));
    }
    if let Some(silence) = vad.silence_duration_ms {
        detection.insert("silenceDurationMs".into(), json!(silence));
    }
    let mut config = Map::new();
    if !detection.is_empty() {
        config.insert("automaticActivityDetection".into(), detection.into());
    }
    if vad.no_interruption {
        config.insert("activityHandling".into(), json!("NO_INTERRUPTION"));
    }
    config.into()
}

fn level(edge: &str, sensitivity: Sensitivity) -> Value {
    let level = match sensitivity {
        Sensitivity::Low => "LOW",
        Sensitivity::High => "HIGH",
    };
    json!(format!("{edge}_SENSITIVITY_{level}"))
}
