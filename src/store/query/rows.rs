//! What answers are made of, the same from either database.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::store::Stamp;
use crate::store::escape::{unescape, unescape_json};

/// One call in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema, sqlx::FromRow)]
pub struct CallRow {
    /// UUID of version 7.
    pub call_id: String,
    /// The carrier's id of the call. Not unique: a carrier may ask twice.
    pub call_sid: String,
    /// `inbound`, `outbound` or `unknown`.
    pub direction: String,
    #[sqlx(rename = "caller")]
    pub from: String,
    #[sqlx(rename = "dialled")]
    pub to: String,
    pub agent: String,
    pub started_at: Stamp,
    pub answered_at: Option<Stamp>,
    pub ended_at: Option<Stamp>,
    /// From the answer to the end, milliseconds.
    pub duration_ms: Option<i64>,
    /// Code of the ending; null while the call goes on.
    pub ending: Option<String>,
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub summary: Summary,
}

/// What a call comes to. Sums are known once it is over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema, sqlx::FromRow)]
pub struct Summary {
    pub business_id: String,
    /// Live model of the agent.
    pub model: String,
    /// It ended otherwise than by the caller or an operator.
    pub failed: bool,
    /// Speech to text, a language model and text to speech answered for a while.
    pub had_fallback: bool,
    pub turn_count: i64,
    /// How long the live model answered.
    pub live_ms: Option<i64>,
    /// How long the fallback answered.
    pub fallback_ms: Option<i64>,
    /// Longest stretch in which it was the agent's turn and the caller heard nothing.
    pub dead_air_max_ms: Option<i64>,
    /// Tones and recorded words that the caller heard while waiting.
    pub cover_ms: Option<i64>,
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub tokens: Tokens,
}

/// As the services count them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema, sqlx::FromRow)]
pub struct Tokens {
    pub prompt_tokens: Option<i64>,
    pub response_tokens: Option<i64>,
    pub thoughts_tokens: Option<i64>,
    pub total_tokens: Option<i64>,
}

/// Everything known about one call. Serialises as one object.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct CallDetail {
    #[serde(flatten)]
    pub call: CallRow,
    #[serde(flatten)]
    pub circumstances: Circumstances,
    /// In the order of the call.
    pub turns: Vec<TurnRow>,
    /// In the order of the call.
    pub events: Vec<EventRow>,
    /// In the order of time.
    pub annotations: Vec<AnnotationRow>,
    /// What it used of services, and what that cost; known once it is over.
    pub used: Vec<super::stats::Used>,
    /// How many calls have this SID, a thousand at most; this is the newest of them, unless it was asked for by its
    /// call id.
    pub calls_with_sid: i64,
}

/// What a list of calls leaves out.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct Circumstances {
    pub carrier: String,
    pub account_sid: String,
    pub prompt: String,
    /// Of the media stream, by name.
    #[sqlx(json)]
    #[schema(value_type = Object)]
    pub parameters: Value,
    pub stream_sid: Option<String>,
    /// Fields of the ending, its cause among them.
    #[sqlx(json(nullable))]
    #[schema(value_type = Option<Object>)]
    pub ending_detail: Option<Value>,
    /// The ending as a sentence.
    pub ending_text: Option<String>,
    /// Entries the call has in all, once it is complete.
    pub records: Option<i64>,
    /// When personal fields, words and audio were removed.
    pub erased_at: Option<Stamp>,
}

/// A stretch of speech.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema, sqlx::FromRow)]
pub struct TurnRow {
    pub sequence: i64,
    /// `caller` or `agent`.
    pub speaker: String,
    pub text: String,
    pub started_at: Stamp,
    pub ended_at: Stamp,
    /// The agent was cut off by the caller.
    pub interrupted: bool,
    /// Agent: from the end of caller speech to the agent's first audio.
    pub latency_ms: Option<i64>,
    /// Agent: who answered, `live`, `fallback`, or `nobody` for recorded words.
    #[sqlx(default)]
    pub responder: Option<String>,
    /// Agent: the model that answered; of the fallback its language model.
    #[sqlx(default)]
    pub model: Option<String>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct EventRow {
    pub sequence: i64,
    pub at: Stamp,
    pub kind: String,
    /// Fields of this kind of event.
    #[sqlx(json)]
    #[schema(value_type = Object)]
    pub detail: Value,
}

/// What the carrier told outside the media stream.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema, sqlx::FromRow)]
pub struct AnnotationRow {
    pub key: String,
    pub at: Stamp,
    pub kind: String,
    #[sqlx(json)]
    #[schema(value_type = Object)]
    pub detail: Value,
}

impl CallRow {
    /// What is selected from `calls`. The turns of a call that goes on are counted.
    pub(super) const COLUMNS: &str = "CAST(calls.call_id AS text) AS call_id, call_sid, direction, caller, dialled,
        agent, calls.started_at, answered_at, ended_at, duration_ms, ending, business_id, model, failed, had_fallback,
        coalesce(CAST(turn_count AS bigint), (SELECT count(*) FROM turns WHERE turns.call_id = calls.call_id))
            AS turn_count,
        live_ms, fallback_ms, dead_air_max_ms, cover_ms, prompt_tokens, response_tokens, thoughts_tokens,
        total_tokens";

    pub(super) fn restore(&mut self) {
        let Self { call_sid, from, to, agent, summary, .. } = self;
        let Summary { business_id, model, .. } = summary;
        [call_sid, from, to, agent, business_id, model].into_iter().for_each(restore);
    }
}

impl Circumstances {
    pub(super) const COLUMNS: &str =
        "carrier, account_sid, prompt, parameters, stream_sid, ending_detail, ending_text,
        CAST(records AS bigint) AS records, erased_at";

    pub(super) fn restore(&mut self) {
        let Self { carrier, account_sid, prompt, parameters, stream_sid, ending_detail, ending_text, .. } =
            self;
        [carrier, account_sid, prompt].into_iter().for_each(restore);
        [stream_sid, ending_text].into_iter().flatten().for_each(restore);
        [Some(parameters), ending_detail.as_mut()].into_iter().flatten().for_each(restore_json);
    }
}

/// Text as it was told, in place of how it is stored.
pub(super) fn restore(text: &mut String) {
    *text = unescape(text);
}

pub(super) fn restore_json(value: &mut Value) {
    *value = unescape_json(value.take());
}
