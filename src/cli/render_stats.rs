//! What many calls come to, as tables for a terminal.

use super::render::{aligned, moment};
use super::text::{cell, line, seconds};
use crate::store::query::stats::{Group, Latency, Responder, Stats, Used};

const HEADINGS: [&str; 9] =
    ["", "CALLS", "FAILED", "FALLBACK", "MINUTES", "TURNS", "DEAD AIR", "TOKENS", "COST"];
const RIGHT: [bool; 9] = [false, true, true, true, true, true, true, true, true];

/// Days in the table; JSON and CSV have them all.
const DAYS: usize = 31;

pub(crate) fn stats(stats: &Stats) -> String {
    if stats.total.counts.calls == 0 {
        return "No call ended in that time.\n".to_owned();
    }
    let days = &stats.by_day[stats.by_day.len().saturating_sub(DAYS)..];
    let title = if days.len() < stats.by_day.len() { "LAST DAYS" } else { "DAYS" };
    let sections = [
        groups(&[("", std::slice::from_ref(&stats.total))]),
        groups(&[(title, days), ("AGENTS", &stats.by_agent), ("MODELS", &stats.by_model)]),
        latencies(stats),
        used(stats),
        longest_dead_air(stats),
        failures(stats),
    ];
    sections.into_iter().filter(|section| !section.is_empty()).collect::<Vec<_>>().join("\n")
}

fn groups(parts: &[(&str, &[Group])]) -> String {
    let mut rows = Vec::new();
    for (title, groups) in parts {
        let mut headings = HEADINGS.map(str::to_owned);
        headings[0] = (*title).to_owned();
        rows.push(headings);
        rows.extend(groups.iter().map(cells));
    }
    aligned(&rows, RIGHT)
}

fn cells(group: &Group) -> [String; 9] {
    const NAME: usize = 32;
    let counts = &group.counts;
    [
        cell(&group.name, NAME),
        counts.calls.to_string(),
        percent(group.failed_share),
        percent(group.fallback_share),
        format!("{:.1}", counts.duration_ms as f64 / 60_000.0),
        counts.turns.to_string(),
        format!("{} s", seconds(counts.dead_air_max_ms)),
        counts.tokens.total_tokens.to_string(),
        cost(group.cost_usd, group.is_cost_partial, 2),
    ]
}

/// What has no price is told, and never taken for nothing.
fn cost(usd: Option<f64>, is_partial: bool, places: usize) -> String {
    match (usd, is_partial) {
        (None, false) => String::new(),
        (None, true) => "no price".to_owned(),
        (Some(usd), false) => format!("${usd:.places$}"),
        (Some(usd), true) => format!("${usd:.places$} and more"),
    }
}

fn percent(share: Option<f64>) -> String {
    share.map(|share| format!("{:.1} %", share * 100.0)).unwrap_or_default()
}

fn latencies(stats: &Stats) -> String {
    let mut rows = vec![["ANSWERS AFTER", "ANSWERS", "P50", "P90", "P95", "P99"].map(str::to_owned)];
    let responders = stats.by_responder.iter().map(|it| (responder(it), it.latency));
    let total = stats.total.latency.map(|latency| (stats.total.name.clone(), latency));
    for (name, Latency { answers, p50_ms, p90_ms, p95_ms, p99_ms }) in responders.chain(total) {
        let [a, b, c, d] = [p50_ms, p90_ms, p95_ms, p99_ms].map(|ms| format!("{ms} ms"));
        rows.push([cell(&name, 40), answers.to_string(), a, b, c, d]);
    }
    if rows.len() == 1 { String::new() } else { aligned(&rows, [false, true, true, true, true, true]) }
}

fn responder(of: &Responder) -> String {
    match of.responder.as_str() {
        "nobody" => "recorded words".to_owned(),
        responder => format!("{responder} {}", of.model),
    }
}

fn used(stats: &Stats) -> String {
    let mut rows = vec![["USED", "MODEL", "", "QUANTITY", "COST"].map(str::to_owned)];
    rows.extend(stats.used.iter().map(|used| {
        let Used { service, model, modality, direction, unit, quantity, unpriced_quantity, cost_usd, .. } =
            used;
        let cost = cost(*cost_usd, *unpriced_quantity > 0 || cost_usd.is_none(), 4);
        let quantity = if unit == "milliseconds" {
            format!("{} s", seconds(*quantity))
        } else {
            format!("{quantity} {unit}")
        };
        [service.clone(), cell(model, 32), format!("{modality} {direction}"), quantity, cost]
    }));
    if rows.len() == 1 { String::new() } else { aligned(&rows, [false, false, false, true, true]) }
}

fn longest_dead_air(stats: &Stats) -> String {
    let mut rows = vec![["LONGEST DEAD AIR", "SID", "AGENT", "START"].map(str::to_owned)];
    rows.extend(stats.longest_dead_air.iter().map(|call| {
        let waited = format!("{} s", seconds(call.dead_air_max_ms));
        [waited, cell(&call.call_sid, 36), cell(&call.agent, 24), moment(call.started_at)]
    }));
    if rows.len() == 1 { String::new() } else { aligned(&rows, [true, false, false, false]) }
}

fn failures(stats: &Stats) -> String {
    let mut rows = vec![["FAILED CALLS", "ENDING", "CAUSE", "LAST"].map(str::to_owned)];
    rows.extend(stats.failures.iter().map(|kind| {
        let cause = kind.cause.as_deref().map_or_else(|| "-".to_owned(), line);
        [kind.calls.to_string(), line(&kind.ending), cause, moment(kind.newest_at)]
    }));
    if rows.len() == 1 {
        return String::new();
    }
    let mut newest = vec![["LAST FAILED", "SID", "AGENT", "ENDING"].map(str::to_owned)];
    newest.extend(stats.newest_failures.iter().map(|call| {
        let ending = call.ending_text.as_deref().unwrap_or(&call.ending);
        [moment(call.started_at), cell(&call.call_sid, 36), cell(&call.agent, 24), cell(ending, 80)]
    }));
    let kinds = aligned(&rows, [true, false, false, false]);
    format!("{kinds}\n{}", aligned(&newest, [false, false, false, false]))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::nothing_was_used(None, false, "")]
    #[case::no_price(None, true, "no price")]
    #[case::all_prices(Some(1.5), false, "$1.50")]
    #[case::some_prices(Some(1.5), true, "$1.50 and more")]
    #[case::for_nothing(Some(0.0), false, "$0.00")]
    fn a_cost_says_what_is_not_in_it(
        #[case] usd: Option<f64>,
        #[case] is_partial: bool,
        #[case] expected: &str,
    ) {
        assert_eq!(cost(usd, is_partial, 2), expected);
    }
}
