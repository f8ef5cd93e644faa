//! Answers of the call log as CSV (RFC 4180) for spreadsheets and programs.
//!
//! A cell that a spreadsheet would take for a formula begins with an apostrophe; what would move a terminal's cursor
//! is spelt out, for the file may end up there.

use super::text::line;
use crate::store::Stamp;
use crate::store::query::stats::{Group, Latency, Responder, Stats, Used};
use crate::store::query::{CallRow, Summary, Tokens, TurnRow};

const CALL: [&str; 24] = [
    "started_at",
    "call_id",
    "call_sid",
    "direction",
    "from",
    "to",
    "agent",
    "business_id",
    "model",
    "answered_at",
    "ended_at",
    "duration_ms",
    "ending",
    "failed",
    "had_fallback",
    "turn_count",
    "live_ms",
    "fallback_ms",
    "dead_air_max_ms",
    "cover_ms",
    "prompt_tokens",
    "response_tokens",
    "thoughts_tokens",
    "total_tokens",
];

/// Calls with their heading.
pub(crate) fn calls(calls: &[CallRow]) -> anyhow::Result<String> {
    let heading = CALL.map(str::to_owned).to_vec();
    written(std::iter::once(heading).chain(calls.iter().map(cells)))
}

/// Calls without a heading.
pub(crate) fn more_calls(calls: &[CallRow]) -> anyhow::Result<String> {
    written(calls.iter().map(cells))
}

fn cells(call: &CallRow) -> Vec<String> {
    let Summary { business_id, model, failed, had_fallback, turn_count, tokens, .. } = &call.summary;
    let Tokens { prompt_tokens, response_tokens, thoughts_tokens, total_tokens } = *tokens;
    let number = |value: Option<i64>| value.map(|value| value.to_string()).unwrap_or_default();
    let time = |value: Option<Stamp>| value.map(|value| value.to_string()).unwrap_or_default();
    vec![
        call.started_at.to_string(),
        text(&call.call_id),
        text(&call.call_sid),
        text(&call.direction),
        text(&call.from),
        text(&call.to),
        text(&call.agent),
        text(business_id),
        text(model),
        time(call.answered_at),
        time(call.ended_at),
        number(call.duration_ms),
        text(call.ending.as_deref().unwrap_or_default()),
        failed.to_string(),
        had_fallback.to_string(),
        turn_count.to_string(),
        number(call.summary.live_ms),
        number(call.summary.fallback_ms),
        number(call.summary.dead_air_max_ms),
        number(call.summary.cover_ms),
        number(prompt_tokens),
        number(response_tokens),
        number(thoughts_tokens),
        number(total_tokens),
    ]
}

/// What was said in a call.
pub(crate) fn turns(turns: &[TurnRow]) -> anyhow::Result<String> {
    let heading = [
        "sequence",
        "started_at",
        "ended_at",
        "speaker",
        "text",
        "interrupted",
        "latency_ms",
        "responder",
        "model",
    ];
    let rows = turns.iter().map(|turn| {
        vec![
            turn.sequence.to_string(),
            turn.started_at.to_string(),
            turn.ended_at.to_string(),
            text(&turn.speaker),
            text(&turn.text),
            turn.interrupted.to_string(),
            turn.latency_ms.map(|ms| ms.to_string()).unwrap_or_default(),
            turn.responder.clone().unwrap_or_default(),
            text(turn.model.as_deref().unwrap_or_default()),
        ]
    });
    written(std::iter::once(heading.map(str::to_owned).to_vec()).chain(rows))
}

const STATS: [&str; 32] = [
    "by",
    "name",
    "calls",
    "answered",
    "failed",
    "failed_share",
    "with_fallback",
    "fallback_share",
    "turns",
    "duration_ms",
    "live_ms",
    "fallback_ms",
    "dead_air_max_ms",
    "prompt_tokens",
    "response_tokens",
    "thoughts_tokens",
    "total_tokens",
    "answers",
    "p50_ms",
    "p90_ms",
    "p95_ms",
    "p99_ms",
    "cost_usd",
    "quantity",
    "unit",
    "is_cost_partial",
    "unpriced_quantity",
    "service",
    "provider",
    "model",
    "modality",
    "direction",
];

/// The sums: of all, by day, by agent, by model; latencies by who answered; what was used.
pub(crate) fn stats(stats: &Stats) -> anyhow::Result<String> {
    let parts = [
        ("total", std::slice::from_ref(&stats.total)),
        ("day", &stats.by_day[..]),
        ("agent", &stats.by_agent),
        ("model", &stats.by_model),
    ];
    let rows = parts.into_iter().flat_map(|(by, groups)| groups.iter().map(move |group| sums(by, group)));
    let rows = rows.chain(stats.by_responder.iter().map(responder)).chain(stats.used.iter().map(used));
    written(std::iter::once(STATS.map(str::to_owned).to_vec()).chain(rows))
}

fn responder(of: &Responder) -> Vec<String> {
    let Latency { answers, p50_ms, p90_ms, p95_ms, p99_ms } = of.latency;
    let mut cells = vec![String::new(); STATS.len()];
    cells[0] = "responder".to_owned();
    cells[1] = text(&of.responder);
    cells[29] = text(&of.model);
    for (cell, number) in cells[17..].iter_mut().zip([answers, p50_ms, p90_ms, p95_ms, p99_ms]) {
        *cell = number.to_string();
    }
    cells
}

fn used(of: &Used) -> Vec<String> {
    let Used { service, provider, model, modality, direction, unit, quantity, unpriced_quantity, cost_usd } =
        of;
    let mut cells = vec![String::new(); STATS.len()];
    cells[0] = "used".to_owned();
    cells[1] = text(service);
    cells[22] = cost_usd.map(|cost| cost.to_string()).unwrap_or_default();
    cells[23] = quantity.to_string();
    cells[24] = unit.clone();
    cells[25] = (*unpriced_quantity > 0).to_string();
    cells[26] = unpriced_quantity.to_string();
    for (cell, value) in cells[27..].iter_mut().zip([service, provider, model, modality, direction]) {
        *cell = text(value);
    }
    cells
}

fn sums(by: &str, group: &Group) -> Vec<String> {
    let Group { name, counts, failed_share, fallback_share, latency, cost_usd, is_cost_partial } = group;
    let share = |value: &Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let mut cells = vec![
        by.to_owned(),
        text(name),
        counts.calls.to_string(),
        counts.answered.to_string(),
        counts.failed.to_string(),
        share(failed_share),
        counts.with_fallback.to_string(),
        share(fallback_share),
    ];
    let numbers = [
        counts.turns,
        counts.duration_ms,
        counts.live_ms,
        counts.fallback_ms,
        counts.dead_air_max_ms,
        counts.tokens.prompt_tokens,
        counts.tokens.response_tokens,
        counts.tokens.thoughts_tokens,
        counts.tokens.total_tokens,
    ];
    cells.extend(numbers.map(|number| number.to_string()));
    cells.extend(match latency {
        Some(it) => [it.answers, it.p50_ms, it.p90_ms, it.p95_ms, it.p99_ms].map(|ms| ms.to_string()),
        None => std::array::from_fn(|_| String::new()),
    });
    cells.push(share(cost_usd));
    cells.extend([String::new(), String::new(), is_cost_partial.to_string()]);
    cells.resize(STATS.len(), String::new());
    cells
}

fn written(rows: impl Iterator<Item = Vec<String>>) -> anyhow::Result<String> {
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.write_record(row)?;
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}

/// Text that is not this program's. A telephone number is harmless: a spreadsheet takes it for a number.
fn text(text: &str) -> String {
    let clean = line(text);
    let is_number =
        clean.strip_prefix('+').is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    if is_formula && !is_number { format!("'{clean}") } else { clean }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("reception", "reception")]
    #[case("+14155550123", "+14155550123")]
    #[case("=1+1", "'=1+1")]
    #[case("+1+cmd|' /C calc'!A0", "'+1+cmd|' /C calc'!A0")]
    #[case("-1", "'-1")]
    #[case("@SUM(A1)", "'@SUM(A1)")]
    #[case("\t=1", "' =1")]
    #[case("\u{1b}[2J", "\\u{1b}[2J")]
    fn a_cell_is_never_a_formula(#[case] value: &str, #[case] cell: &str) {
        assert_eq!(text(value), cell);
    }

    #[test]
    fn each_value_of_what_was_used_has_its_column() {
        let of = Used {
            service: "llm".into(),
            provider: "my own".into(),
            model: "=gpt x".into(),
            modality: "text".into(),
            direction: "in".into(),
            unit: "tokens".into(),
            quantity: 90,
            unpriced_quantity: 40,
            cost_usd: Some(0.5),
        };
        let cells = used(&of);
        let named: Vec<_> = STATS.iter().zip(&cells).filter(|(_, cell)| !cell.is_empty()).collect();
        let expected = [
            ("by", "used"),
            ("name", "llm"),
            ("cost_usd", "0.5"),
            ("quantity", "90"),
            ("unit", "tokens"),
            ("is_cost_partial", "true"),
            ("unpriced_quantity", "40"),
            ("service", "llm"),
            ("provider", "my own"),
            ("model", "'=gpt x"),
            ("modality", "text"),
            ("direction", "in"),
        ];
        assert_eq!(named.iter().map(|(name, cell)| (**name, cell.as_str())).collect::<Vec<_>>(), expected);
        let latency = Latency { answers: 5, p50_ms: 1, p90_ms: 2, p95_ms: 3, p99_ms: 4 };
        let cells = responder(&Responder { responder: "live".into(), model: "gemini".into(), latency });
        assert_eq!((cells[1].as_str(), cells[17].as_str(), cells[29].as_str()), ("live", "5", "gemini"));
        assert_eq!((cells.len(), STATS[29]), (STATS.len(), "model"));
    }

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        let rows = [vec!["a,b".to_owned(), "say \"hi\"".to_owned(), String::new()]];
        assert_eq!(written(rows.into_iter()).unwrap(), "\"a,b\",\"say \"\"hi\"\"\",\n");
    }
}
