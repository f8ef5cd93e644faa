//! What a client may say, parsed: right by construction, in the part that the simulator acts on.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::refusal::Refusal;
use super::schema;
use crate::audio::Rate;

/// One client message.
#[derive(Debug)]
pub(super) enum Request {
    Setup(Box<Setup>),
    ClientContent(ClientContent),
    RealtimeInput(Box<RealtimeInput>),
    ToolResponse(ToolResponse),
    ContextUpdate,
}

/// Parses one client message.
pub(super) fn parse(bytes: &[u8]) -> Result<Request, Refusal> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| Refusal::Syntax(format!("{error}.")))?;
    let envelope: Envelope = read(schema::canonical(value, &schema::CLIENT_MESSAGE)?)?;
    if let Some(setup) = envelope.setup {
        return Ok(Request::Setup(setup));
    }
    if let Some(content) = envelope.client_content {
        return Ok(Request::ClientContent(content));
    }
    if let Some(input) = envelope.realtime_input {
        return Ok(Request::RealtimeInput(input));
    }
    if let Some(response) = envelope.tool_response {
        return Ok(Request::ToolResponse(response));
    }
    envelope.context_update.map(|_| Request::ContextUpdate).ok_or(Refusal::InvalidArgument)
}

/// The schema has checked names and types, so this fails only if the two disagree.
fn read<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, Refusal> {
    serde_json::from_value(value).map_err(|error| Refusal::Syntax(format!("{error}.")))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Envelope {
    setup: Option<Box<Setup>>,
    client_content: Option<ClientContent>,
    realtime_input: Option<Box<RealtimeInput>>,
    tool_response: Option<ToolResponse>,
    context_update: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Setup {
    pub(super) model: String,
    pub(super) generation_config: GenerationConfig,
    pub(super) realtime_input_config: RealtimeInputConfig,
    pub(super) session_resumption: Option<SessionResumption>,
    pub(super) input_audio_transcription: Option<IgnoredAny>,
    pub(super) output_audio_transcription: Option<IgnoredAny>,
    pub(super) history_config: HistoryConfig,
    pub(super) proactivity: Option<IgnoredAny>,
    pub(super) explicit_vad_signal: bool,
    pub(super) tools: Vec<Tool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct SessionResumption {
    /// Empty: a new session.
    pub(super) handle: String,
    pub(super) transparent: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Tool {
    pub(super) function_declarations: Vec<FunctionDeclaration>,
    pub(super) code_execution: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct FunctionDeclaration {
    pub(super) name: String,
    pub(super) behavior: Behavior,
}

/// Whether the model waits for the result of a function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) enum Behavior {
    #[default]
    #[serde(rename = "UNSPECIFIED")]
    Unspecified,
    #[serde(rename = "BLOCKING")]
    Blocking,
    #[serde(rename = "NON_BLOCKING")]
    NonBlocking,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct GenerationConfig {
    pub(super) response_modalities: Vec<String>,
    pub(super) speech_config: SpeechConfig,
    pub(super) thinking_config: ThinkingConfig,
    pub(super) enable_affective_dialog: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct SpeechConfig {
    pub(super) voice_config: VoiceConfig,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct VoiceConfig {
    pub(super) prebuilt_voice_config: PrebuiltVoice,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PrebuiltVoice {
    pub(super) voice_name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ThinkingConfig {
    pub(super) thinking_budget: Option<i32>,
    pub(super) thinking_level: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct RealtimeInputConfig {
    pub(super) automatic_activity_detection: ActivityDetection,
    pub(super) activity_handling: ActivityHandling,
    pub(super) turn_coverage: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) enum ActivityHandling {
    #[default]
    #[serde(rename = "START_OF_ACTIVITY_INTERRUPTS", alias = "ACTIVITY_HANDLING_UNSPECIFIED")]
    Interrupts,
    #[serde(rename = "NO_INTERRUPTION")]
    NoInterruption,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ActivityDetection {
    pub(super) disabled: bool,
    pub(super) start_of_speech_sensitivity: Sensitivity,
    pub(super) end_of_speech_sensitivity: Sensitivity,
    pub(super) prefix_padding_ms: Option<i32>,
    pub(super) silence_duration_ms: Option<i32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) enum Sensitivity {
    #[default]
    #[serde(rename = "START_SENSITIVITY_UNSPECIFIED", alias = "END_SENSITIVITY_UNSPECIFIED")]
    Unspecified,
    #[serde(rename = "START_SENSITIVITY_HIGH", alias = "END_SENSITIVITY_HIGH")]
    High,
    #[serde(rename = "START_SENSITIVITY_LOW", alias = "END_SENSITIVITY_LOW")]
    Low,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct HistoryConfig {
    pub(super) initial_history_in_client_content: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ClientContent {
    pub(super) turns: Vec<Content>,
    pub(super) turn_complete: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Content {
    pub(super) role: String,
    pub(super) parts: Vec<Part>,
}

impl Content {
    /// The texts of its parts, one after the other.
    pub(super) fn text(&self) -> String {
        self.parts.iter().map(|part| part.text.as_str()).collect()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Part {
    pub(super) text: String,
    pub(super) function_call: Option<IgnoredAny>,
    pub(super) function_response: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct RealtimeInput {
    pub(super) audio: Option<Blob>,
    pub(super) text: Option<String>,
    pub(super) audio_stream_end: bool,
    pub(super) activity_start: Option<IgnoredAny>,
    pub(super) activity_end: Option<IgnoredAny>,
    pub(super) media_chunks: Vec<Blob>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Blob {
    mime_type: String,
    data: String,
}

impl Blob {
    /// The blob as audio: raw PCM, 16 bits little-endian, mono; 16 kHz where the mime type names no rate.
    /// Half a sample at the end is dropped: what the real service does with it is not known.
    pub(super) fn audio(&self) -> Result<(Rate, Vec<i16>), Refusal> {
        let rate = pcm_rate(&self.mime_type).ok_or(Refusal::AudioFormat)?;
        let bytes = schema::decode_bytes(&self.data).ok_or(Refusal::AudioFormat)?;
        let (pairs, _half) = bytes.as_chunks::<2>();
        Ok((rate, pairs.iter().map(|&pair| i16::from_le_bytes(pair)).collect()))
    }
}

fn pcm_rate(mime_type: &str) -> Option<Rate> {
    /// Rates that PCM comes in; beyond them it is a mistake.
    const RATES: std::ops::RangeInclusive<u32> = 8_000..=48_000;
    let mut parts = mime_type.split(';').map(str::trim);
    if parts.next() != Some("audio/pcm") {
        return None;
    }
    let Some(rate) = parts.find_map(|part| part.strip_prefix("rate=")) else { return Some(Rate::MODEL_IN) };
    rate.parse().ok().filter(|rate| RATES.contains(rate)).map(Rate)
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ToolResponse {
    pub(super) function_responses: Vec<FunctionResponse>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct FunctionResponse {
    pub(super) id: String,
    pub(super) response: Map<String, Value>,
    pub(super) scheduling: Scheduling,
    pub(super) will_continue: bool,
}

/// When the model speaks of the result of a function that it did not wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) enum Scheduling {
    #[serde(rename = "SILENT")]
    Silent,
    #[default]
    #[serde(rename = "WHEN_IDLE", alias = "SCHEDULING_UNSPECIFIED")]
    WhenIdle,
    #[serde(rename = "INTERRUPT")]
    Interrupt,
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// Frames that official clients really sent.
    #[rstest]
    fn every_frame_of_a_real_client_is_accepted(
        #[files("fixtures/gemini/frames/*.json")]
        #[exclude("handshake-.*")]
        file: std::path::PathBuf,
    ) {
        let frame = std::fs::read(&file).unwrap();
        let parsed = parse(&frame);
        assert!(parsed.is_ok(), "{file:?}: {parsed:?}");
    }

    #[rstest]
    #[case("audio/pcm", Some(16_000))]
    #[case("audio/pcm;rate=16000", Some(16_000))]
    #[case("audio/pcm; rate=8000", Some(8_000))]
    #[case("audio/pcm;rate=0", None)]
    #[case("audio/pcm;rate=fast", None)]
    #[case("audio/x-mulaw;rate=8000", None)]
    #[case("", None)]
    fn the_rate_is_in_the_mime_type(#[case] mime_type: &str, #[case] rate: Option<u32>) {
        assert_eq!(pcm_rate(mime_type), rate.map(Rate));
    }

    #[test]
    fn url_safe_base64_of_a_real_client_is_the_audio_it_was() {
        let frame = include_bytes!("../../../fixtures/gemini/frames/realtimeInput-audio.json");
        let Ok(Request::RealtimeInput(input)) = parse(frame) else { panic!("not realtime input") };
        let (rate, samples) = input.audio.unwrap().audio().unwrap();
        assert_eq!(rate, Rate::MODEL_IN);
        assert_eq!(samples[..2], [i16::from_le_bytes([0xfa, 0xfb]), i16::from_le_bytes([0xfc, 0xfd])]);
    }

    #[test]
    fn an_empty_message_is_refused() {
        assert_eq!(parse(b"{}").err(), Some(Refusal::InvalidArgument));
    }
}
