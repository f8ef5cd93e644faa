//! What a call used of services, as lines that have a price: by service, model, modality and direction. Pure.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::responders::Who;
use super::summary::Carriage;

/// What one price is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Item {
    /// `live`, `stt`, `llm`, `tts` or `carrier`.
    pub(super) service: &'static str,
    /// As configured; empty where there is but one.
    pub(super) provider: String,
    /// `None`: the call's live model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) model: Option<String>,
    /// `text`, `audio`, `image`, `video`, `document`; `unknown`: the service did not say; of the carrier `call`.
    pub(super) modality: &'static str,
    /// `in`, `out`; `cached` for what is in and was cached; of the carrier the call's direction.
    pub(super) direction: String,
    pub(super) unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Unit {
    Tokens,
    Milliseconds,
    Characters,
    /// Begun ones, as carriers count.
    Minutes,
}

/// So much of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    #[serde(flatten)]
    pub(super) item: Item,
    pub(super) quantity: i64,
}

/// The lines of a call, added up.
#[derive(Clone, Debug, Default)]
pub(super) struct Bill(BTreeMap<Item, i64>);

/// Characters of names, as in the sums.
const NAME_CHARS_MAX: usize = 200;

/// Modalities that services name.
const MODALITIES: [&str; 5] = ["text", "audio", "image", "video", "document"];

impl Bill {
    /// Token counts of a live session's turn. What an answer of the fallback told in this form, in logs of older
    /// programs, is the language model's.
    pub(super) fn add_usage(&mut self, detail: &Value, who: Who) {
        let number = |name: &str| detail[name].as_i64().unwrap_or(0);
        let (prompt, response) = (number("prompt_tokens"), number("response_tokens"));
        if who == Who::Fallback {
            let unnamed = Source { service: "llm", provider: "", model: Some("") };
            self.add(unnamed.tokens("text", "in"), prompt);
            return self.add(unnamed.tokens("text", "out"), response);
        }
        let details = &detail["details"];
        let split = |total: i64, part: &str| split(total, &details[part]);
        let mut given = split(prompt, "prompt");
        let cached = split(details["cached_tokens"].as_i64().unwrap_or(0), "cached");
        for (modality, tokens) in cached {
            let tokens = tokens.min(given.get(modality).copied().unwrap_or(0).max(0));
            *given.entry(modality).or_default() -= tokens;
            self.add(LIVE.tokens(modality, "cached"), tokens);
        }
        let tool = split(details["tool_tokens"].as_i64().unwrap_or(0), "tool");
        for (modality, tokens) in given.into_iter().chain(tool) {
            self.add(LIVE.tokens(modality, "in"), tokens);
        }
        for (modality, tokens) in split(response, "response") {
            self.add(LIVE.tokens(modality, "out"), tokens);
        }
        // Thoughts are text, cost what responses do, and are not part of their count.
        self.add(LIVE.tokens("text", "out"), number("thoughts_tokens"));
    }

    /// What a provider of the fallback did.
    pub(super) fn add_provider(&mut self, detail: &Value) {
        let text = |name: &str| -> String {
            detail[name].as_str().unwrap_or_default().chars().take(NAME_CHARS_MAX).collect()
        };
        let number = |name: &str| detail[name].as_i64().unwrap_or(0);
        let service = match detail["job"].as_str() {
            Some("transcribe") => "stt",
            Some("speak") => "tts",
            _ => "llm",
        };
        let (provider, model) = (text("provider"), text("model"));
        let source = Source { service, provider: &provider, model: Some(&model) };
        self.add(source.tokens("text", "in"), number("prompt_tokens"));
        self.add(source.tokens("text", "out"), number("response_tokens"));
        self.add(source.item("audio", "in", Unit::Milliseconds), number("audio_ms"));
        self.add(source.item("text", "in", Unit::Characters), number("characters"));
    }

    pub(super) fn lines(self) -> Vec<Line> {
        self.0.into_iter().map(|(item, quantity)| Line { item, quantity }).collect()
    }

    fn add(&mut self, item: Item, quantity: i64) {
        if quantity > 0 {
            let sum = self.0.entry(item).or_default();
            *sum = sum.saturating_add(quantity);
        }
    }
}

/// What the carrier charges for.
pub(super) fn carriage(carriage: &Carriage) -> Option<Line> {
    let Carriage { carrier, direction, duration_ms } = carriage;
    let carrier: String = carrier.chars().take(NAME_CHARS_MAX).collect();
    let minutes = duration_ms.filter(|ms| *ms > 0)?.saturating_add(59_999) / 60_000;
    let source = Source { service: "carrier", provider: &carrier, model: Some(&carrier) };
    Some(Line { item: source.item("call", direction, Unit::Minutes), quantity: minutes })
}

/// Who was used.
#[derive(Clone, Copy, Debug)]
struct Source<'a> {
    service: &'static str,
    provider: &'a str,
    model: Option<&'a str>,
}

const LIVE: Source<'_> = Source { service: "live", provider: "", model: None };

impl Source<'_> {
    fn tokens(self, modality: &'static str, direction: &str) -> Item {
        self.item(modality, direction, Unit::Tokens)
    }

    fn item(self, modality: &'static str, direction: &str, unit: Unit) -> Item {
        Item {
            service: self.service,
            provider: self.provider.to_owned(),
            model: self.model.map(str::to_owned),
            modality,
            direction: direction.to_owned(),
            unit,
        }
    }
}

/// A count by modality. What a service does not detail of a count that it details is its own text; a count without any
/// detail is of no known modality.
fn split(total: i64, details: &Value) -> BTreeMap<&'static str, i64> {
    let count = |modality: &&'static str| Some((*modality, details[*modality].as_i64().filter(|n| *n > 0)?));
    let mut parts: BTreeMap<_, _> = MODALITIES.iter().filter_map(count).collect();
    let rest = total.saturating_sub(parts.values().copied().fold(0, i64::saturating_add));
    if rest > 0 {
        *parts.entry(if parts.is_empty() { "unknown" } else { "text" }).or_default() += rest;
    }
    parts
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn shown(bill: Bill) -> Vec<String> {
        let line = |line: Line| {
            let Line { item: Item { service, model, modality, direction, .. }, quantity } = line;
            let model = model.map(|model| format!(" {model}")).unwrap_or_default();
            format!("{service}{model} {modality} {direction} {quantity}")
        };
        bill.lines().into_iter().map(line).collect()
    }

    #[rstest]
    #[case::recorded(
        json!({"prompt_tokens": 626, "response_tokens": 63, "thoughts_tokens": 40, "total_tokens": 689,
            "details": {"prompt": {"text": 312, "audio": 287}, "response": {"audio": 63}}}),
        &["live audio in 287", "live audio out 63", "live text in 339", "live text out 40"])]
    #[case::no_details(json!({"prompt_tokens": 60, "response_tokens": 40}),
        &["live unknown in 60", "live unknown out 40"])]
    #[case::cached(
        json!({"prompt_tokens": 100, "details": {"prompt": {"text": 70, "audio": 30}, "cached": {"text": 50},
            "cached_tokens": 50}}),
        &["live audio in 30", "live text cached 50", "live text in 20"])]
    #[case::cached_without_modality(
        json!({"prompt_tokens": 100, "details": {"cached_tokens": 40}}),
        &["live unknown cached 40", "live unknown in 60"])]
    #[case::more_cached_than_there_is(
        json!({"prompt_tokens": 10, "details": {"cached_tokens": 40}}), &["live unknown cached 10"])]
    #[case::a_tool(
        json!({"prompt_tokens": 10, "details": {"prompt": {"text": 10}, "tool": {"text": 7}, "tool_tokens": 9}}),
        &["live text in 19"])]
    #[case::more_details_than_tokens(
        json!({"response_tokens": 5, "details": {"response": {"audio": 9}}}), &["live audio out 9"])]
    #[case::images(
        json!({"prompt_tokens": 300, "details": {"prompt": {"image": 258, "video": 30, "document": 12}}}),
        &["live document in 12", "live image in 258", "live video in 30"])]
    #[case::nothing(json!({"prompt_tokens": 0}), &[])]
    #[case::nonsense(json!({"prompt_tokens": "many", "details": [1]}), &[])]
    fn tokens_are_of_a_modality_and_a_direction(#[case] detail: Value, #[case] expected: &[&str]) {
        let mut bill = Bill::default();
        bill.add_usage(&detail, Who::Live);
        assert_eq!(shown(bill), expected);
    }

    #[rstest]
    #[case(json!({"job": "transcribe", "provider": "w", "model": "whisper-1", "audio_ms": 2_500}),
        &["stt whisper-1 audio in 2500"])]
    #[case(json!({"job": "think", "provider": "o", "model": "gpt-x", "prompt_tokens": 90, "response_tokens": 8}),
        &["llm gpt-x text in 90", "llm gpt-x text out 8"])]
    #[case(json!({"job": "speak", "provider": "o", "model": "tts-1", "characters": 41}), &["tts tts-1 text in 41"])]
    #[case(json!({"job": "speak", "provider": "o", "model": "tts-1", "characters": -41}), &[])]
    #[case(json!({"job": "speak"}), &[])]
    fn the_fallback_is_billed_by_its_own_models(#[case] detail: Value, #[case] expected: &[&str]) {
        let mut bill = Bill::default();
        bill.add_provider(&detail);
        assert_eq!(shown(bill), expected);
    }

    #[test]
    fn turns_add_up_and_the_fallback_is_not_the_live_model() {
        let mut bill = Bill::default();
        let turn =
            json!({"prompt_tokens": 100, "response_tokens": 10, "details": {"prompt": {"audio": 100}}});
        bill.add_usage(&turn, Who::Live);
        bill.add_usage(&turn, Who::Live);
        bill.add_usage(&json!({"prompt_tokens": 7, "response_tokens": 1}), Who::Fallback);
        let expected = ["live audio in 200", "live unknown out 20", "llm  text in 7", "llm  text out 1"];
        assert_eq!(shown(bill), expected);
    }

    #[rstest]
    #[case(None, None)]
    #[case(Some(0), None)]
    #[case(Some(1), Some(1))]
    #[case(Some(60_000), Some(1))]
    #[case(Some(60_001), Some(2))]
    fn a_carrier_counts_begun_minutes(#[case] duration_ms: Option<i64>, #[case] minutes: Option<i64>) {
        let call = Carriage { carrier: "twilio".into(), direction: "inbound".into(), duration_ms };
        assert_eq!(carriage(&call).map(|line| line.quantity), minutes);
    }
}
