//! What an ended call adds up to, from its own rows: the same for every database.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::responders::Responders;
use super::usage::{self, Bill, Line};

/// Characters of agent, business, model and cause that tell rows of the sums apart.
const KEY_CHARS_MAX: usize = 200;

/// An event of an ended call, of the kinds `audio_totals`, `usage`, and those of [`Responders::add`].
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(super) struct Fact {
    pub(super) call_id: String,
    pub(super) kind: String,
    pub(super) at: String,
    /// JSON.
    pub(super) detail: String,
}

/// A turn of an ended call.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(super) struct Answer {
    pub(super) call_id: String,
    pub(super) latency_ms: Option<i64>,
    pub(super) started_at: String,
}

/// The columns of a call that its rows add up to.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Summary {
    pub(super) had_fallback: bool,
    pub(super) live_ms: i64,
    pub(super) fallback_ms: i64,
    pub(super) turn_count: i64,
    pub(super) dead_air_max_ms: Option<i64>,
    pub(super) cover_ms: Option<i64>,
    #[serde(flatten)]
    pub(super) tokens: Tokens,
    pub(super) usage: Vec<Line>,
    #[serde(skip)]
    responders: Responders,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Tokens {
    pub(super) prompt_tokens: i64,
    pub(super) response_tokens: i64,
    pub(super) thoughts_tokens: i64,
    pub(super) total_tokens: i64,
}

/// A call that has just been marked as ended, and not before.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(super) struct Closed {
    pub(super) call_id: String,
    /// UTC, `2026-11-21`.
    pub(super) day: String,
    pub(super) agent: String,
    pub(super) business_id: String,
    pub(super) model: String,
    pub(super) started_at: String,
    pub(super) was_answered: bool,
    pub(super) failed: bool,
    pub(super) ending: String,
    pub(super) cause: Option<String>,
    #[sqlx(flatten)]
    pub(super) carriage: Carriage,
}

/// What the carrier did.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(super) struct Carriage {
    pub(super) carrier: String,
    pub(super) direction: String,
    pub(super) duration_ms: Option<i64>,
}

/// What one row of the daily sums is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Key {
    day: String,
    agent: String,
    business_id: String,
    model: String,
}

/// What is to be added to one row of `daily`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Daily {
    #[serde(flatten)]
    key: Key,
    #[serde(flatten)]
    counts: Counts,
    #[serde(flatten)]
    tokens: Tokens,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct Counts {
    calls: i64,
    answered: i64,
    failed: i64,
    with_fallback: i64,
    turns: i64,
    duration_ms: i64,
    live_ms: i64,
    fallback_ms: i64,
    dead_air_max_ms: i64,
}

/// What is to be added to one row of `daily_usage`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Used {
    #[serde(flatten)]
    key: Key,
    /// Of what was used; that of `key` is the call's live model.
    used_model: String,
    line: Line,
}

/// What is to be added to one row of `daily_latencies`. The model is the one that answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Latency {
    #[serde(flatten)]
    key: Key,
    responder: &'static str,
    latency_ms: i64,
    answers: i64,
}

/// What is to be added to one row of `daily_failures`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Failures {
    #[serde(flatten)]
    key: FailureKey,
    calls: i64,
    newest_at: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct FailureKey {
    day: String,
    agent: String,
    business_id: String,
    ending: String,
    /// Empty: none.
    cause: String,
}

/// What ended calls add to the sums.
#[derive(Debug)]
pub(super) struct Sums {
    pub(super) daily: Vec<Daily>,
    /// For the day and for its month.
    pub(super) latencies: Vec<Latency>,
    pub(super) failures: Vec<Failures>,
    pub(super) usage: Vec<Used>,
}

/// The summary of each of these calls, which ended at these times.
pub(super) fn summaries<'a>(
    ended: impl Iterator<Item = (&'a str, &'a str)>,
    facts: &[Fact],
    answers: &[Answer],
) -> BTreeMap<String, Summary> {
    let mut summaries: BTreeMap<_, _> = ended
        .map(|(call_id, at)| (call_id.to_owned(), Folding { end: at.to_owned(), ..Folding::default() }))
        .collect();
    for fact in facts {
        if let Some(folding) = summaries.get_mut(&fact.call_id) {
            folding.add(fact);
        }
    }
    for answer in answers {
        if let Some(folding) = summaries.get_mut(&answer.call_id) {
            folding.summary.turn_count += 1;
        }
    }
    summaries.into_iter().map(|(call_id, folding)| (call_id, folding.finish())).collect()
}

/// What these calls add to the sums.
pub(super) fn sums(closed: &[Closed], summaries: &BTreeMap<String, Summary>, answers: &[Answer]) -> Sums {
    let mut sums = BTreeMap::<Key, (Counts, Tokens)>::new();
    let mut keys = BTreeMap::<&str, Key>::new();
    let nothing = Summary::default();
    for call in closed {
        let summary = summaries.get(&call.call_id).unwrap_or(&nothing);
        let (counts, tokens) = sums.entry(Key::of(call)).or_default();
        counts.add(call, summary);
        tokens.add(summary.tokens);
        keys.insert(&call.call_id, Key::of(call));
    }
    let mut latencies = BTreeMap::<(Key, &'static str, i64), i64>::new();
    for answer in answers {
        let Some(key) = keys.get(answer.call_id.as_str()) else { continue };
        let Some(ms) = answer.latency_ms else { continue };
        let summary = summaries.get(&answer.call_id).unwrap_or(&nothing);
        let (who, model) = summary.responders.at(&answer.started_at);
        let model = model.map_or_else(|| key.model.clone(), |model| short(&model));
        let key = Key { model, ..key.clone() };
        *latencies.entry((key, who.as_str(), rounded(ms))).or_default() += 1;
    }
    let daily = sums.into_iter().map(|(key, (counts, tokens))| Daily { key, counts, tokens });
    let latency = |((key, responder, latency_ms), answers)| Latency { key, responder, latency_ms, answers };
    Sums {
        daily: daily.collect(),
        latencies: latencies.into_iter().map(latency).collect(),
        failures: failures(closed),
        usage: used(closed, summaries),
    }
}

fn used(closed: &[Closed], summaries: &BTreeMap<String, Summary>) -> Vec<Used> {
    let mut sums = BTreeMap::<(Key, String, usage::Item), i64>::new();
    for call in closed {
        let lines = summaries.get(&call.call_id).map(|summary| &summary.usage[..]).unwrap_or_default();
        let carriage = usage::carriage(&call.carriage);
        for Line { item, quantity } in lines.iter().cloned().chain(carriage) {
            let key = Key::of(call);
            let model = item.model.clone().unwrap_or_else(|| key.model.clone());
            let sum = sums.entry((key, model, item)).or_default();
            *sum = sum.saturating_add(quantity);
        }
    }
    let used = |((key, used_model, item), quantity)| Used { key, used_model, line: Line { item, quantity } };
    sums.into_iter().map(used).collect()
}

fn failures(closed: &[Closed]) -> Vec<Failures> {
    let mut sums = BTreeMap::<FailureKey, (i64, &str)>::new();
    for call in closed.iter().filter(|call| call.failed) {
        let Key { day, agent, business_id, .. } = Key::of(call);
        let cause = call.cause.as_deref().unwrap_or_default();
        let key = FailureKey { day, agent, business_id, ending: call.ending.clone(), cause: short(cause) };
        let (calls, newest_at) = sums.entry(key).or_default();
        *calls += 1;
        // Times of one form are in the order of their texts.
        *newest_at = (*newest_at).max(&call.started_at);
    }
    let failures = sums.into_iter();
    failures.map(|(key, (calls, at))| Failures { key, calls, newest_at: at.to_owned() }).collect()
}

fn short(text: &str) -> String {
    text.chars().take(KEY_CHARS_MAX).collect()
}

/// The middle of the range of values that share their six leading binary digits: within 1.6 % of each of them.
pub(super) fn rounded(ms: i64) -> i64 {
    const DIGITS: u32 = 6;
    let ms = ms.max(0);
    let dropped = (i64::BITS - ms.leading_zeros()).saturating_sub(DIGITS);
    if dropped == 0 { ms } else { ((ms >> dropped) << dropped) + (1 << (dropped - 1)) }
}

/// A summary on the way through the events of its call.
#[derive(Debug, Default)]
struct Folding {
    summary: Summary,
    bill: Bill,
    end: String,
}

impl Folding {
    fn add(&mut self, fact: &Fact) {
        let detail: Value = serde_json::from_str(&fact.detail).unwrap_or_default();
        let number = |name: &str| detail[name].as_i64();
        let Self { summary, bill, .. } = self;
        summary.responders.add(&fact.kind, &fact.at, &detail);
        match fact.kind.as_str() {
            "usage" => {
                bill.add_usage(&detail, summary.responders.now());
                summary.tokens.add(Tokens::of(&detail));
            }
            "provider_billed" => {
                bill.add_provider(&detail);
                summary.tokens.add(Tokens::of(&detail));
            }
            "audio_totals" => {
                summary.dead_air_max_ms = number("dead_air_max_ms");
                summary.cover_ms = number("cover_ms");
            }
            _ => {}
        }
    }

    fn finish(self) -> Summary {
        let Self { mut summary, bill, end } = self;
        (summary.live_ms, summary.fallback_ms) = summary.responders.spans(&end);
        summary.had_fallback = summary.responders.had_fallback();
        summary.usage = bill.lines();
        summary
    }
}

impl Tokens {
    /// Providers of the fallback tell no total.
    fn of(detail: &Value) -> Self {
        let number = |name: &str| detail[name].as_i64();
        let prompt_tokens = number("prompt_tokens").unwrap_or(0);
        let response_tokens = number("response_tokens").unwrap_or(0);
        Self {
            prompt_tokens,
            response_tokens,
            thoughts_tokens: number("thoughts_tokens").unwrap_or(0),
            total_tokens: number("total_tokens").unwrap_or(prompt_tokens + response_tokens),
        }
    }

    fn add(&mut self, other: Self) {
        self.prompt_tokens += other.prompt_tokens;
        self.response_tokens += other.response_tokens;
        self.thoughts_tokens += other.thoughts_tokens;
        self.total_tokens += other.total_tokens;
    }
}

impl Key {
    fn of(call: &Closed) -> Self {
        Self {
            day: call.day.clone(),
            agent: short(&call.agent),
            business_id: short(&call.business_id),
            model: short(&call.model),
        }
    }
}

impl Counts {
    fn add(&mut self, call: &Closed, summary: &Summary) {
        self.calls += 1;
        self.answered += i64::from(call.was_answered);
        self.failed += i64::from(call.failed);
        self.with_fallback += i64::from(summary.had_fallback);
        self.turns += summary.turn_count;
        self.duration_ms += call.carriage.duration_ms.unwrap_or(0);
        self.live_ms += summary.live_ms;
        self.fallback_ms += summary.fallback_ms;
        self.dead_air_max_ms = self.dead_air_max_ms.max(summary.dead_air_max_ms.unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn at(seconds: u32) -> String {
        format!("2026-11-21T09:{:02}:{:02}.000Z", seconds / 60, seconds % 60)
    }

    fn fact(seconds: u32, kind: &str, detail: &Value) -> Fact {
        Fact { call_id: "a".into(), kind: kind.into(), at: at(seconds), detail: detail.to_string() }
    }

    fn carriage(duration_ms: Option<i64>) -> Carriage {
        Carriage { carrier: "twilio".into(), direction: "inbound".into(), duration_ms }
    }

    fn summary(facts: &[Fact]) -> Summary {
        let end = at(60);
        summaries([("a", end.as_str())].into_iter(), facts, &[]).remove("a").unwrap()
    }

    #[rstest]
    #[case::never_live(&[], (0, 0))]
    #[case::live(&[(10, "live")], (50, 0))]
    #[case::reconnected(&[(10, "live"), (30, "live")], (50, 0))]
    #[case::live_then_fallback(&[(10, "live"), (30, "fallback")], (20, 30))]
    #[case::and_back(&[(10, "live"), (30, "fallback"), (45, "live")], (35, 15))]
    #[case::fallback_then_nobody(&[(0, "fallback"), (20, "last_resort")], (0, 20))]
    fn it_knows_who_answered_for_how_long(#[case] rungs: &[(u32, &str)], #[case] seconds: (i64, i64)) {
        let facts: Vec<_> =
            rungs.iter().map(|(at, rung)| fact(*at, "rung", &json!({"rung": rung}))).collect();
        let summary = summary(&facts);
        assert_eq!((summary.live_ms, summary.fallback_ms), (seconds.0 * 1000, seconds.1 * 1000));
        assert_eq!(summary.had_fallback, rungs.iter().any(|(_, rung)| *rung == "fallback"));
    }

    #[test]
    fn a_live_session_counts_from_when_it_was_ready() {
        let ready = |at| fact(at, "live_ready", &json!({}));
        assert_eq!(summary(&[ready(2), ready(40)]).live_ms, 58_000);
    }

    #[test]
    fn tokens_are_added_up() {
        let usage =
            json!({"prompt_tokens": 100, "response_tokens": 20, "thoughts_tokens": 3, "total_tokens": 123});
        let tokens = summary(&[fact(1, "usage", &usage), fact(2, "usage", &usage)]).tokens;
        assert_eq!(
            tokens,
            Tokens { prompt_tokens: 200, response_tokens: 40, thoughts_tokens: 6, total_tokens: 246 }
        );
    }

    #[test]
    fn calls_of_a_day_are_added_up_and_their_latencies_counted() {
        let closed = |call_id: &str, failed| Closed {
            call_id: call_id.into(),
            day: "2026-11-21".into(),
            agent: "reception".into(),
            business_id: "acme".into(),
            model: "m".into(),
            started_at: format!("2026-11-21T09:00:00.00{}Z", call_id.len()),
            was_answered: true,
            failed,
            ending: "all_failed".into(),
            cause: Some("live.closed".into()),
            carriage: carriage(Some(60_000)),
        };
        let answer = |call_id: &str, latency_ms| Answer {
            call_id: call_id.into(),
            latency_ms,
            started_at: "2026-11-21T09:00:10.000Z".into(),
        };
        let answers =
            [answer("a", Some(640)), answer("a", None), answer("b", Some(641)), answer("c", Some(9))];
        let end = at(60);
        let summaries = summaries([("a", end.as_str()), ("b", end.as_str())].into_iter(), &[], &answers);
        let closed = [closed("a", false), closed("b", true), closed("bb", true)];
        let Sums { daily, latencies, failures, usage } = sums(&closed, &summaries, &answers);
        assert_eq!(daily.len(), 1);
        let Counts { calls, failed, turns, duration_ms, .. } = daily[0].counts;
        assert_eq!((calls, failed, turns, duration_ms), (3, 2, 3, 180_000));
        let [Failures { key, calls: 2, newest_at }] = &failures[..] else { panic!("{failures:?}") };
        assert_eq!((key.ending.as_str(), key.cause.as_str()), ("all_failed", "live.closed"));
        assert_eq!(newest_at, "2026-11-21T09:00:00.002Z", "of the newest");
        assert_eq!((latencies.len(), latencies[0].answers), (1, 2), "of calls that were closed now");
        let [Used { line, used_model, .. }] = &usage[..] else { panic!("{usage:?}") };
        assert_eq!((used_model.as_str(), line.quantity), ("twilio", 3), "a minute of the carrier each");
    }

    #[test]
    fn answers_and_tokens_of_the_fallback_are_not_the_live_models() {
        let rung = |seconds, rung: &str| fact(seconds, "rung", &json!({"rung": rung}));
        let facts = [
            rung(0, "live"),
            fact(5, "usage", &json!({"prompt_tokens": 100, "response_tokens": 10})),
            rung(20, "fallback"),
            fact(22, "provider_used", &json!({"job": "think", "provider": "p"})),
            fact(
                23,
                "provider_billed",
                &json!({"job": "think", "provider": "p", "model": "gpt-x", "prompt_tokens": 7, "response_tokens": 2}),
            ),
        ];
        let answer = |seconds, latency_ms| Answer {
            call_id: "a".into(),
            latency_ms: Some(latency_ms),
            started_at: at(seconds),
        };
        let answers = [answer(4, 10), answer(19, 11), answer(25, 40)];
        let end = at(60);
        let summaries = summaries([("a", end.as_str())].into_iter(), &facts, &answers);
        let closed = [Closed {
            call_id: "a".into(),
            day: "2026-11-21".into(),
            agent: "reception".into(),
            business_id: "acme".into(),
            model: "live-x".into(),
            started_at: at(0),
            was_answered: true,
            failed: false,
            ending: "caller_hung_up".into(),
            cause: None,
            carriage: carriage(None),
        }];
        let Sums { latencies, usage, .. } = sums(&closed, &summaries, &answers);
        let shown: Vec<_> =
            latencies.iter().map(|it| (it.responder, it.key.model.as_str(), it.latency_ms)).collect();
        assert_eq!(shown, [("fallback", "gpt-x", 40), ("live", "live-x", 10), ("live", "live-x", 11)]);
        let mut shown: Vec<_> = usage
            .iter()
            .map(|it| {
                (
                    it.line.item.service,
                    it.used_model.as_str(),
                    it.line.item.direction.as_str(),
                    it.line.quantity,
                )
            })
            .collect();
        shown.sort_unstable();
        let expected = [
            ("live", "live-x", "in", 100),
            ("live", "live-x", "out", 10),
            ("llm", "gpt-x", "in", 7),
            ("llm", "gpt-x", "out", 2),
        ];
        assert_eq!(shown, expected);
        assert_eq!(summaries["a"].tokens.total_tokens, 119);
    }

    #[rstest]
    #[case(0, 0)]
    #[case(63, 63)]
    #[case(64, 65)]
    #[case(640, 648)]
    #[case(655, 648)]
    #[case(656, 664)]
    #[case(-5, 0)]
    fn latencies_are_rounded_to_the_middle_of_their_range(#[case] ms: i64, #[case] expected: i64) {
        assert_eq!(rounded(ms), expected);
    }

    #[test]
    fn rounding_is_within_1_6_percent() {
        for ms in 1..1_000_000 {
            let error = (rounded(ms) - ms).abs() as f64 / ms as f64;
            assert!(error <= 0.016, "{ms}: {error}");
        }
    }
}
