//! What the service counts for billing.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Token counts of one turn. They are no running totals: what several turns and sessions cost is their sum, and the
/// whole context is counted as prompt again each time.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub prompt_tokens: u64,
    pub response_tokens: u64,
    pub thoughts_tokens: u64,
    pub total_tokens: u64,
    /// What the service told besides.
    #[serde(default, skip_serializing_if = "is_default")]
    pub details: Details,
}

/// Counts by modality, as far as they are told: they need not add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Details {
    #[serde(skip_serializing_if = "is_default")]
    pub prompt: Modalities,
    #[serde(skip_serializing_if = "is_default")]
    pub response: Modalities,
    /// Of the prompt, what was cached.
    #[serde(skip_serializing_if = "is_default")]
    pub cached: Modalities,
    #[serde(skip_serializing_if = "is_default")]
    pub cached_tokens: u64,
    /// Results of tools that the service has itself; not part of the prompt.
    #[serde(skip_serializing_if = "is_default")]
    pub tool: Modalities,
    #[serde(skip_serializing_if = "is_default")]
    pub tool_tokens: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Modalities {
    #[serde(skip_serializing_if = "is_default")]
    pub text: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub audio: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub image: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub video: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub document: u64,
}

impl Modalities {
    /// Adds a count under the service's name of a modality (`ModalityTokenCount` of the Gemini API); those that it does
    /// not name yet belong to no modality.
    pub fn add(&mut self, name: &str, count: u64) {
        let modality = match name.to_ascii_uppercase().as_str() {
            "TEXT" => &mut self.text,
            "AUDIO" => &mut self.audio,
            "IMAGE" => &mut self.image,
            "VIDEO" => &mut self.video,
            "DOCUMENT" => &mut self.document,
            _ => return,
        };
        *modality = modality.saturating_add(count);
    }
}

/// The details only where there are some: most turns are read without.
impl fmt::Debug for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { prompt_tokens, response_tokens, thoughts_tokens, total_tokens, details } = self;
        let mut fields = f.debug_struct("Usage");
        fields.field("prompt_tokens", prompt_tokens).field("response_tokens", response_tokens);
        fields.field("thoughts_tokens", thoughts_tokens).field("total_tokens", total_tokens);
        if !is_default(details) {
            fields.field("details", details);
        }
        fields.finish()
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
