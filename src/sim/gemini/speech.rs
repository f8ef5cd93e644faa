//! Speaking: server messages as the family spells them, the usage of turns, and an answer on its way.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::fault::Moment;
use super::observation::Observation;
use super::outputs::Outputs;
use super::personality::{self, Personality};
use super::plan::{self, Form, Part, Step, Transcript};
use super::request::Setup;
use super::scenario::{Call, Utterance};
use crate::audio::Rate;

/// An answer that is being given.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) lines: Vec<Utterance>,
    pub(super) steps: VecDeque<Step>,
    /// When its first message was sent.
    pub(super) begun: Instant,
    /// Messages of speech that were sent, and how many there were to be.
    pub(super) sent: usize,
    pub(super) of: usize,
}

impl Answer {
    pub(super) fn new((lines, steps): (Vec<Utterance>, VecDeque<Step>), begun: Instant) -> Self {
        let of = steps.iter().filter(|step| step.part.is_speech()).count();
        Self { lines, steps, begun, sent: 0, of }
    }

    /// Another message of speech was sent: the moment that this is.
    pub(super) const fn note_speech(&mut self) -> [Option<Moment>; 2] {
        self.sent += 1;
        let middle = if self.of < 4 { 1 } else { self.of / 2 };
        let first = if self.sent == 1 { Some(Moment::Speaking) } else { None };
        [first, if self.sent == middle { Some(Moment::MidSpeech) } else { None }]
    }

    /// When the next part is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.steps.front().map(|step| self.begun + step.at)
    }

    /// The next audio messages, this much of it and at most one message more.
    pub(super) fn take_stale(&mut self, length: Duration) -> Vec<Part> {
        let mut stale = Vec::new();
        let mut taken = Duration::ZERO;
        while taken < length
            && let Some(step) = self.steps.pop_front()
        {
            if let Part::Audio { utterance, bytes, .. } = step.part {
                taken += plan::playing_time(bytes.len());
                stale.push(Part::Audio { utterance, bytes, words: None });
            }
        }
        stale
    }
}

/// What of the token count the conversation decides.
#[derive(Debug, Default)]
pub(super) struct Tally {
    heard: Duration,
    spoken: Duration,
    /// Tokens of the turns before this one.
    context: u64,
}

impl Tally {
    /// Live models count 25 tokens a second, in and out.
    const TOKENS_PER_SECOND: u128 = 25;

    pub(super) fn hear(&mut self, rate: Rate, samples: usize) {
        self.heard += Duration::from_micros(samples as u64 * 1_000_000 / u64::from(rate.0));
    }

    /// Prompt and response of the turn that ends here. The prompt counts the whole context again.
    fn close_turn(&mut self) -> (u64, u64) {
        const SYSTEM_INSTRUCTION: u64 = 312;
        let response = Self::tokens(std::mem::take(&mut self.spoken));
        let prompt = SYSTEM_INSTRUCTION + self.context + Self::tokens(self.heard);
        self.context += response;
        (prompt, response)
    }

    fn tokens(length: Duration) -> u64 {
        u64::try_from(length.as_millis() * Self::TOKENS_PER_SECOND / 1000).unwrap_or(u64::MAX)
    }
}

/// Says things in the family's spelling.
#[derive(Debug)]
pub(super) struct Mouth {
    pub(super) outputs: Outputs,
    pub(super) form: Form,
    pub(super) tally: Tally,
    personality: Personality,
    /// State of the generator of ids.
    seed: u64,
    stage: Stage,
    signals: Signals,
}

/// How the caller's activity is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signals {
    No,
    /// `voiceActivity`: 3.x on dev, unasked.
    Activity,
    /// `voiceActivityDetectionSignal`: Vertex, where asked for.
    Explicit,
}

/// Whether the current turn has been heard yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Silent,
    Started,
}

impl Mouth {
    pub(super) fn new(personality: Personality, setup: &Setup, seed: u64) -> Self {
        let is_text = setup.generation_config.response_modalities.iter().any(|modality| modality == "TEXT");
        let form = match setup.output_audio_transcription {
            _ if is_text => Form::Text,
            Some(_) => Form::AudioAndWords,
            None => Form::Audio,
        };
        let signals = match personality {
            Personality::Flash31 | Personality::Live38 => Signals::Activity,
            Personality::VertexHalfCascade if setup.explicit_vad_signal => Signals::Explicit,
            Personality::VertexHalfCascade | Personality::Native25 => Signals::No,
        };
        let (outputs, tally) = (Outputs::default(), Tally::default());
        Self { outputs, form, tally, personality, seed, stage: Stage::Silent, signals }
    }

    pub(super) fn setup_complete(&mut self) {
        let content = if self.personality.is_vertex() {
            json!({ "sessionId": personality::uuid(self.random()) })
        } else {
            json!({})
        };
        self.outputs.send(&json!({ "setupComplete": content }));
        self.outputs.observe(Observation::SetupComplete);
    }

    pub(super) fn activity_start(&mut self, offset: Duration) {
        self.voice_activity(("ACTIVITY_START", "VAD_SIGNAL_TYPE_SOS"), offset);
    }

    pub(super) fn activity_end(&mut self, offset: Duration) {
        self.voice_activity(("ACTIVITY_END", "VAD_SIGNAL_TYPE_EOS"), offset);
    }

    fn voice_activity(&mut self, (activity, signal): (&str, &str), offset: Duration) {
        match self.signals {
            Signals::No => {}
            Signals::Activity => {
                let activity = json!({ "type": activity, "audioOffset": seconds(offset) });
                self.outputs.send(&json!({ "voiceActivity": activity }));
            }
            Signals::Explicit => {
                let signal = json!({ "vadSignalType": signal });
                self.outputs.send(&json!({ "voiceActivityDetectionSignal": signal }));
            }
        }
    }

    pub(super) fn transcription(&mut self, field: &str, transcription: &Value) {
        self.outputs.send(&json!({ "serverContent": { field: transcription } }));
    }

    pub(super) fn say(&mut self, part: &Part, lines: &[Utterance]) {
        match part {
            Part::Empty => self.outputs.send(&json!({})),
            Part::EmptyContent => self.outputs.send(&json!({ "serverContent": {} })),
            Part::Thought => {
                self.model_turn(json!([{ "text": "**Planning the reply**", "thought": true }]), None);
            }
            Part::Transcript(Transcript::Begin) => self.transcription("outputTranscription", &json!({})),
            Part::Transcript(Transcript::Words(words)) => {
                self.transcription("outputTranscription", &json!({ "text": words }));
            }
            Part::Transcript(Transcript::Finished) => {
                self.transcription("outputTranscription", &json!({ "finished": true }));
            }
            Part::Text(text) => {
                self.model_turn(json!([{ "text": text }]), None);
                self.started();
            }
            Part::Audio { utterance, bytes, words } => {
                self.audio(&lines[*utterance].samples, bytes.clone(), words.as_deref());
            }
            Part::GenerationComplete => self.generation_complete(),
            // The conversation says these itself.
            Part::TurnComplete | Part::Again => {}
        }
    }

    /// The answer of the probe: everything at once.
    pub(super) fn burst(&mut self, samples: &Arc<[i16]>) {
        self.audio(samples, 0..samples.len() * 2, None);
        self.generation_complete();
    }

    pub(super) fn interrupted(&mut self) {
        self.outputs.send(&json!({ "serverContent": { "interrupted": true } }));
        self.outputs.observe(Observation::InterruptedSent);
        self.outputs.reach(Moment::Interrupted);
    }

    pub(super) fn turn_complete(&mut self) {
        let (prompt, response) = self.tally.close_turn();
        let mut content = json!({ "turnComplete": true });
        if self.personality.is_vertex() {
            content["groundingMetadata"] = json!({});
        }
        let usage = self.personality.usage(prompt, response);
        self.outputs.send(&json!({ "serverContent": content, "usageMetadata": usage }));
        self.outputs.observe(Observation::TurnComplete);
        self.outputs.count_turn();
        self.stage = Stage::Silent;
    }

    /// Calls functions, in one message; the ids of the calls.
    pub(super) fn call(&mut self, calls: &[Call]) -> Vec<String> {
        match self.personality {
            Personality::Flash31 => self.outputs.send(&json!({ "serverContent": {} })),
            Personality::VertexHalfCascade if self.form == Form::AudioAndWords => {
                self.transcription("outputTranscription", &json!({}));
            }
            Personality::Native25 | Personality::Live38 | Personality::VertexHalfCascade => {}
        }
        let ids: Vec<_> = calls.iter().map(|_| self.personality.call_id(self.random())).collect();
        let function = |(call, id): (&Call, &String)| {
            let mut function = json!({ "id": id, "name": call.name });
            if !call.args.is_empty() {
                function["args"] = Value::Object(call.args.clone());
            }
            function
        };
        let functions: Vec<_> = calls.iter().zip(&ids).map(function).collect();
        self.outputs.send(&json!({ "toolCall": { "functionCalls": functions } }));
        self.outputs.observe(Observation::ToolCalled(ids.clone()));
        ids
    }

    /// A Vertex call turn ends when its results are there.
    pub(super) fn end_of_call(&mut self) {
        if self.form == Form::AudioAndWords {
            self.transcription("outputTranscription", &json!({ "finished": true }));
        }
        self.generation_complete();
    }

    pub(super) fn cancel_calls(&mut self, ids: &[String]) {
        self.outputs.send(&json!({ "toolCallCancellation": { "ids": ids } }));
    }

    pub(super) fn resumption(&mut self, update: &Value) {
        self.outputs.send(&json!({ "sessionResumptionUpdate": update }));
    }

    pub(super) fn uuid(&mut self) -> String {
        personality::uuid(self.random())
    }

    fn generation_complete(&mut self) {
        self.outputs.send(&json!({ "serverContent": { "generationComplete": true } }));
        self.outputs.observe(Observation::GenerationComplete);
    }

    fn audio(&mut self, samples: &[i16], bytes: Range<usize>, words: Option<&str>) {
        self.tally.spoken += plan::playing_time(bytes.len());
        let data = STANDARD.encode(little_endian(samples, bytes));
        let blob = json!({ "mimeType": self.personality.audio_mime_type(), "data": data });
        self.model_turn(json!([{ "inlineData": blob }]), words);
        self.started();
    }

    fn started(&mut self) {
        if self.stage == Stage::Silent {
            self.outputs.observe(Observation::AnswerStarted);
        }
        self.stage = Stage::Started;
    }

    fn model_turn(&mut self, parts: Value, words: Option<&str>) {
        let mut content = json!({ "modelTurn": self.personality.model_turn(parts) });
        if let Some(words) = words {
            content["outputTranscription"] = json!({ "text": words });
        }
        self.outputs.send(&json!({ "serverContent": content }));
    }

    fn random(&mut self) -> u128 {
        let mut next = || {
            // SplitMix64: ids need to differ, not to be secret.
            self.seed = self.seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mixed = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            mixed ^ (mixed >> 31)
        };
        u128::from(next()) << 64 | u128::from(next())
    }
}

/// Bytes of samples, also where the range cuts a sample in two.
fn little_endian(samples: &[i16], bytes: Range<usize>) -> Vec<u8> {
    bytes.map(|at| samples[at / 2].to_le_bytes()[at % 2]).collect()
}

/// A proto3 JSON `Duration`: seconds with no, or three, digits of fraction.
pub(super) fn seconds(duration: Duration) -> String {
    match duration.subsec_millis() {
        0 => format!("{}s", duration.as_secs()),
        millis => format!("{}.{millis:03}s", duration.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(1880, "1.880s")]
    #[case(5000, "5s")]
    #[case(0, "0s")]
    fn durations_are_spelled_as_proto3_json_does(#[case] millis: u64, #[case] text: &str) {
        assert_eq!(seconds(Duration::from_millis(millis)), text);
    }

    #[test]
    fn half_a_sample_is_its_low_or_its_high_byte() {
        let samples = [0x0102, 0x0304];
        assert_eq!(little_endian(&samples, 0..4), [2, 1, 4, 3]);
        assert_eq!(little_endian(&samples, 1..3), [1, 4]);
    }
}
