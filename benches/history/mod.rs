//! Made-up calls in the forms that the store takes: rows of its journal, and entries as calls append them.

use std::time::Instant;

use ::time::macros::datetime;
use ::time::{Duration as Span, OffsetDateTime};
use patchcord::call::context::{Context, Direction};
use patchcord::call::record::{AudioTotals, Ending, Entry, Event, Ledger, Record, Turn};
use patchcord::id::CallId;
use patchcord::live::Usage;
use patchcord::sim::history::{Call, History, What};
use patchcord::store::Stamp;
use patchcord::time::WallClock;
use serde_json::{Value, json};

const START: OffsetDateTime = datetime!(2026-08-23 00:00:00 UTC);
pub(crate) const END: OffsetDateTime = datetime!(2026-11-21 00:00:00 UTC);
const SEED: u64 = 4;

/// Words by how often they are said.
pub(crate) struct Words {
    pub(crate) frequent: String,
    pub(crate) middling: String,
    pub(crate) rare: String,
}

pub(crate) fn calls(count: u64) -> History {
    History::new(SEED, count, START, END)
}

pub(crate) fn words() -> Words {
    let history = calls(0);
    let words = history.vocabulary().words();
    let word = |rank: usize| words[rank].clone();
    Words { frequent: word(3), middling: word(300), rare: word(words.len() - 1) }
}

/// An agent of many, and its business.
pub(crate) fn agent() -> (String, String) {
    let call = calls(100).nth(50).expect("there are 100 calls");
    (call.agent.name.clone(), call.agent.business_id.clone())
}

/// The callers of some calls: the one who calls most, and one who called once.
pub(crate) fn callers() -> (String, String) {
    let mut counts = std::collections::BTreeMap::<String, u32>::new();
    for call in calls(20_000) {
        *counts.entry(call.from).or_default() += 1;
    }
    counts.remove("anonymous");
    let most = counts.iter().max_by_key(|(_, count)| **count).expect("somebody called");
    let once = counts.iter().find(|(_, count)| **count == 1).expect("somebody called once");
    (most.0.clone(), once.0.clone())
}

/// The rows of a call. Of its events those that the questions are about: as many as there are turns would only make
/// loading take longer.
pub(crate) fn rows(call: &Call) -> Vec<Value> {
    const KEPT: [&str; 5] = ["audio_totals", "live_ready", "rung", "usage", "live_lost"];
    let call_id = call.id.to_string();
    let mut usages = 0;
    let entries = call.entries.iter().enumerate().filter_map(|(sequence, entry)| {
        let at = Stamp(entry.at).to_string();
        let place = json!({ "call_id": call_id, "sequence": sequence, "at": at });
        let row = match &entry.what {
            What::Opened => json!({
                "row": "opened", "carrier": "twilio", "call_sid": call.call_sid, "account_sid": call.account_sid,
                "business_id": call.agent.business_id, "agent": call.agent.name, "model": call.agent.model,
                "direction": "inbound", "caller": call.from, "dialled": call.agent.number,
                "prompt": call.agent.prompt, "parameters": {}, "started_at": at,
            }),
            What::Answered { stream_sid } => {
                json!({ "row": "answered", "stream_sid": stream_sid, "parameters": {} })
            }
            What::Turn(turn) => json!({
                "row": "turn", "speaker": turn.speaker.as_str(), "text": turn.text,
                "started_at": Stamp(turn.started_at).to_string(), "ended_at": Stamp(turn.ended_at).to_string(),
                "interrupted": turn.interrupted, "latency_ms": turn.latency_ms,
            }),
            What::Event { kind, detail } => {
                usages += u32::from(*kind == "usage");
                if !KEPT.contains(kind) || (*kind == "usage" && usages > 1) {
                    return None;
                }
                json!({ "row": "event", "kind": kind, "detail": detail })
            }
            What::Ended(ending) => json!({
                "row": "ended", "ending": ending.code, "ending_detail": ending.detail, "ending_text": ending.text,
                "failed": ending.failed,
            }),
        };
        Some(merge(place, row))
    });
    entries.collect()
}

fn merge(mut place: Value, row: Value) -> Value {
    if let (Value::Object(place), Value::Object(row)) = (&mut place, row) {
        place.extend(row);
    }
    place
}

/// So many entries of whole calls, as calls append them.
pub(crate) fn entries(count: usize) -> Vec<Entry> {
    let origin = Instant::now();
    let mut entries = Vec::with_capacity(count + 100);
    for call in calls(u64::MAX) {
        let mut ledger =
            Ledger::new(CallId::new(call.id.as_u128()), WallClock::new(origin, call.entries[0].at));
        for entry in &call.entries {
            if let Some(record) = record(&call, &entry.what, entry.at) {
                let after = (entry.at - call.entries[0].at).max(Span::ZERO);
                entries.push(ledger.entry(record, origin + after.unsigned_abs()));
            }
        }
        if entries.len() >= count {
            break;
        }
    }
    entries
}

fn record(call: &Call, what: &What, at: OffsetDateTime) -> Option<Record> {
    Some(match what {
        What::Opened => Record::Opened(Box::new(Context {
            carrier: "twilio".to_owned(),
            call_sid: call.call_sid.clone(),
            business_id: call.agent.business_id.clone(),
            agent: call.agent.name.clone(),
            model: call.agent.model.to_owned(),
            direction: Direction::Inbound,
            from: call.from.clone(),
            to: call.agent.number.clone(),
            prompt: call.agent.prompt.clone(),
            ..Context::unknown(at)
        })),
        What::Answered { stream_sid } => {
            Record::Answered { stream_sid: stream_sid.clone(), parameters: Vec::new() }
        }
        What::Turn(turn) => Record::Turn(Turn {
            speaker: turn.speaker,
            text: turn.text.clone(),
            started_at: turn.started_at,
            ended_at: turn.ended_at,
            interrupted: turn.interrupted,
            latency_ms: turn.latency_ms,
        }),
        What::Event { kind: "usage", .. } => {
            let usage =
                Usage { prompt_tokens: 900, response_tokens: 80, total_tokens: 980, ..Usage::default() };
            Record::Event(Event::Usage(usage))
        }
        What::Event { kind: "interrupted", .. } => {
            Record::Event(Event::Interrupted { heard_ms: 1200, cleared_ms: 800 })
        }
        What::Event { kind: "session_handle", .. } => {
            Record::Event(Event::SessionHandle { handle: "a-handle-of-some-length".to_owned() })
        }
        What::Event { kind: "audio_totals", .. } => Record::Event(Event::AudioTotals(AudioTotals::default())),
        What::Event { .. } => return None,
        What::Ended(_) => Record::Ended(Ending::CallerHungUp),
    })
}
