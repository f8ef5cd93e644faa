//! How the model families differ on the wire. Facts from recorded sessions of the real service.

use serde_json::{Value, json};

use super::request::Behavior;

/// A model family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Personality {
    /// `gemini-2.5-flash-native-audio-*`, Developer API.
    Native25,
    /// `gemini-3.1-flash-live-preview`, Developer API.
    Flash31,
    /// `gemini-3.8-live`, Developer API.
    #[default]
    Live38,
    /// `gemini-live-2.5-flash`, a text model with speech synthesis, Vertex.
    VertexHalfCascade,
}

/// How the words of the caller or of the model come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TranscriptStyle {
    /// The caller: word fragments. The model: all of it before the audio.
    Ahead,
    /// As `Ahead`, but between an empty message and one that says `finished`.
    Bracketed,
    /// The caller: one whole sentence. The model: inside the audio messages.
    Along,
}

impl Personality {
    pub(super) const fn is_vertex(self) -> bool {
        matches!(self, Self::VertexHalfCascade)
    }

    pub(super) const fn is_3x(self) -> bool {
        matches!(self, Self::Flash31 | Self::Live38)
    }

    /// Whether text that comes in while the model speaks cuts it off; 2.5 answers it afterwards.
    pub(super) const fn text_interrupts(self) -> bool {
        !matches!(self, Self::Native25)
    }

    /// Whether reasoning summaries come unasked before an answer.
    pub(super) const fn thinks_aloud(self) -> bool {
        matches!(self, Self::Native25)
    }

    /// Whether the model waits for the result of a function that was declared like this. 3.1 takes
    /// `NON_BLOCKING` and waits anyway.
    pub(super) const fn waits_for(self, behavior: Behavior) -> bool {
        match self {
            Self::Native25 => !matches!(behavior, Behavior::NonBlocking),
            Self::Live38 => matches!(behavior, Behavior::Blocking),
            Self::Flash31 | Self::VertexHalfCascade => true,
        }
    }

    pub(super) const fn transcript_style(self) -> TranscriptStyle {
        match self {
            Self::Native25 => TranscriptStyle::Ahead,
            Self::VertexHalfCascade => TranscriptStyle::Bracketed,
            Self::Flash31 | Self::Live38 => TranscriptStyle::Along,
        }
    }

    /// `modelTurn` around these parts.
    pub(super) fn model_turn(self, parts: Value) -> Value {
        match self {
            Self::Native25 | Self::Flash31 => json!({ "parts": parts }),
            Self::Live38 | Self::VertexHalfCascade => json!({ "role": "model", "parts": parts }),
        }
    }

    pub(super) const fn audio_mime_type(self) -> &'static str {
        if self.is_vertex() { "audio/pcm" } else { "audio/pcm;rate=24000" }
    }

    /// The usage of one turn, in the field names of the service. Details do not add up, as in the recordings.
    pub(super) fn usage(self, prompt: u64, response: u64) -> Value {
        let details = if response == 0 {
            json!([{ "modality": "AUDIO" }])
        } else {
            json!([{ "modality": "AUDIO", "tokenCount": response }])
        };
        let (count, list) = if self.is_vertex() {
            ("candidatesTokenCount", "candidatesTokensDetails")
        } else {
            ("responseTokenCount", "responseTokensDetails")
        };
        let mut usage = json!({ "promptTokenCount": prompt, "totalTokenCount": prompt + response });
        if response > 0 {
            usage[count] = response.into();
        }
        usage[list] = details;
        if matches!(self, Self::Native25 | Self::Live38) {
            usage["thoughtsTokenCount"] = 40.into();
        }
        usage
    }

    /// The id of a function call made from 128 random bits.
    pub(super) fn call_id(self, bits: u128) -> String {
        /// 19 decimal digits.
        const DIGITS: u128 = 10_u128.pow(18);
        let digits = DIGITS + bits % (9 * DIGITS);
        match self {
            Self::Native25 => format!("function-call-{digits}"),
            Self::Flash31 | Self::Live38 => format!("fc_{digits}"),
            Self::VertexHalfCascade => uuid(bits),
        }
    }
}

/// The usual spelling of a random UUID made from these bits.
pub(super) fn uuid(bits: u128) -> String {
    uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(Personality::Native25, "function-call-1000000000000000007")]
    #[case(Personality::Flash31, "fc_1000000000000000007")]
    #[case(Personality::Live38, "fc_1000000000000000007")]
    #[case(Personality::VertexHalfCascade, "00000000-0000-4000-8000-000000000007")]
    fn call_ids_look_like_those_of_the_family(#[case] personality: Personality, #[case] id: &str) {
        assert_eq!(personality.call_id(7), id);
    }

    #[rstest]
    #[case(Personality::Live38, "responseTokenCount", true)]
    #[case(Personality::Flash31, "responseTokenCount", false)]
    #[case(Personality::VertexHalfCascade, "candidatesTokenCount", false)]
    fn usage_has_the_field_names_of_the_family(
        #[case] personality: Personality,
        #[case] field: &str,
        #[case] thoughts: bool,
    ) {
        let usage = personality.usage(626, 63);
        assert_eq!((&usage[field], &usage["totalTokenCount"]), (&json!(63), &json!(689)));
        assert_eq!(usage.get("thoughtsTokenCount").is_some(), thoughts);
        assert_eq!(personality.usage(1, 0).get(field), None, "defaults are omitted");
    }
}
