//! Who answered the caller, and when: read from the events of a call. Pure.

use std::collections::BTreeMap;

use ::time::OffsetDateTime;
use ::time::format_description::well_known::Rfc3339;
use serde_json::Value;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    #[default]
    Live,
    Fallback,
    Nobody,
}

impl Who {
    /// As in the column `responder`.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Fallback => "fallback",
            Self::Nobody => "nobody",
        }
    }
}

/// The responders of one call, in the order of its events.
#[derive(Clone, Debug, Default)]
pub(super) struct Responders {
    changes: Vec<(OffsetDateTime, Who)>,
    /// Language models of the fallback, by the names of their providers.
    thinkers: Vec<(OffsetDateTime, String)>,
    models: BTreeMap<String, String>,
}

impl Responders {
    /// An event in its turn; of the kinds `live_ready`, `rung`, `provider_used` and `provider_billed`.
    pub(super) fn add(&mut self, kind: &str, at: &str, detail: &Value) {
        let Some(at) = time(at) else { return };
        let text = |name: &str| detail[name].as_str().unwrap_or_default().to_owned();
        match kind {
            // The first live session begins; a later one changes nothing by itself.
            "live_ready" if self.changes.is_empty() => self.changes.push((at, Who::Live)),
            "rung" => {
                let who = match detail["rung"].as_str() {
                    Some("live") => Who::Live,
                    Some("fallback") => Who::Fallback,
                    _ => Who::Nobody,
                };
                self.changes.push((at, who));
            }
            "provider_used" if detail["job"] == "think" => self.thinkers.push((at, text("provider"))),
            // Services of several kinds may have one name. Earlier versions only counted language models.
            "provider_billed" if detail["job"].is_null() || detail["job"] == "think" => {
                self.models.insert(text("provider"), text("model"));
            }
            _ => {}
        }
    }

    /// Who answers after all that is known.
    pub(super) fn now(&self) -> Who {
        self.changes.last().map(|(_, who)| *who).unwrap_or_default()
    }

    pub(super) fn had_fallback(&self) -> bool {
        self.changes.iter().any(|(_, who)| *who == Who::Fallback)
    }

    /// Who answered at a time, and by which model: `None` is the call's live model.
    pub(super) fn at(&self, at: &str) -> (Who, Option<String>) {
        let Some(at) = time(at) else { return (Who::Live, None) };
        let before = self.changes.iter().rev().find(|(since, _)| *since <= at);
        let who = before.map(|(_, who)| *who).unwrap_or_default();
        if who != Who::Fallback {
            return (who, None);
        }
        let thinker = self.thinkers.iter().rev().find(|(since, _)| *since <= at);
        let provider = thinker.map(|(_, provider)| provider.as_str()).unwrap_or_default();
        let model = self.models.get(provider).map_or(provider, String::as_str);
        (who, Some(model.to_owned()))
    }

    /// For how long the live model and the fallback answered until the end of the call, milliseconds.
    pub(super) fn spans(&self, end: &str) -> (i64, i64) {
        let (mut live_ms, mut fallback_ms) = (0, 0);
        let Some(end) = time(end) else { return (0, 0) };
        let ends = self.changes.iter().skip(1).map(|(at, _)| *at).chain([end]);
        for ((since, who), until) in self.changes.iter().zip(ends) {
            let ms = i64::try_from((until - *since).whole_milliseconds()).unwrap_or(0).max(0);
            match who {
                Who::Live => live_ms += ms,
                Who::Fallback => fallback_ms += ms,
                Who::Nobody => {}
            }
        }
        (live_ms, fallback_ms)
    }
}

fn time(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn at(seconds: u32) -> String {
        format!("2026-11-21T09:00:{seconds:02}.000Z")
    }

    /// Live from 1 s, the fallback from 10 s with two language models, live again from 40 s.
    fn responders() -> Responders {
        let mut responders = Responders::default();
        let think = |provider: &str| json!({"job": "think", "provider": provider});
        let events = [
            (1, "live_ready", json!({})),
            (10, "rung", json!({"rung": "fallback"})),
            (12, "provider_used", json!({"job": "transcribe", "provider": "ear"})),
            (13, "provider_used", think("first")),
            (14, "provider_billed", json!({"provider": "first", "model": "gpt-x"})),
            (15, "provider_billed", json!({"job": "transcribe", "provider": "second", "model": "whisper"})),
            (20, "provider_used", think("second")),
            (40, "rung", json!({"rung": "live"})),
            (41, "live_ready", json!({})),
            (50, "rung", json!({"rung": "last_resort"})),
        ];
        for (second, kind, detail) in events {
            responders.add(kind, &at(second), &detail);
        }
        responders
    }

    #[rstest]
    #[case::before_all(0, Who::Live, None)]
    #[case::live(9, Who::Live, None)]
    #[case::with_the_change(10, Who::Fallback, Some(""))]
    #[case::fallback(15, Who::Fallback, Some("gpt-x"))]
    #[case::another_model(21, Who::Fallback, Some("second"))]
    #[case::live_again(45, Who::Live, None)]
    #[case::an_apology(55, Who::Nobody, None)]
    fn an_answer_belongs_to_the_one_who_gave_it(
        #[case] second: u32,
        #[case] who: Who,
        #[case] model: Option<&str>,
    ) {
        assert_eq!(responders().at(&at(second)), (who, model.map(str::to_owned)));
    }

    /// Three services of one name, as where all three are of one vendor.
    #[rstest]
    #[case::with_usage(Some("gpt-x"), "gpt-x")]
    #[case::without(None, "openai")]
    fn a_transcriber_or_a_voice_is_never_the_model_that_answers(
        #[case] model: Option<&str>,
        #[case] expected: &str,
    ) {
        let mut responders = Responders::default();
        let billed = |job: &str, model: &str| json!({"job": job, "provider": "openai", "model": model});
        responders.add("rung", &at(10), &json!({"rung": "fallback"}));
        responders.add("provider_billed", &at(11), &billed("transcribe", "whisper-1"));
        responders.add("provider_used", &at(12), &json!({"job": "think", "provider": "openai"}));
        if let Some(model) = model {
            responders.add("provider_billed", &at(12), &billed("think", model));
        }
        responders.add("provider_billed", &at(13), &billed("speak", "tts-1"));
        assert_eq!(responders.at(&at(14)), (Who::Fallback, Some(expected.to_owned())));
    }

    #[test]
    fn spans_are_from_change_to_change() {
        assert_eq!(responders().spans(&at(59)), (19_000, 30_000));
        assert_eq!(Responders::default().spans(&at(59)), (0, 0));
    }
}
