//! The limits: each a number that can work.

use std::ops::RangeInclusive;

use super::Report;
use crate::server::limits::Config;

/// Nobody has a machine for more.
const MAX_CALLS: RangeInclusive<u32> = 1..=100_000;

/// More calls than this a minute are refused anyway.
const PER_MINUTE: RangeInclusive<u32> = 0..=10_000;

/// Timers are no better than a few milliseconds; after a second no caller can talk.
const LAG_MS: RangeInclusive<u32> = 5..=1_000;

pub(super) fn check(config: &Config, report: &mut Report) {
    if let Some(calls) = config.max_calls.filter(|calls| !MAX_CALLS.contains(calls)) {
        let message = format!("{calls} is not between 1 and 100000");
        let remedy = format!(
            "write how many calls this machine carries at once, or delete the key for {} for each core",
            Config::CALLS_PER_CORE
        );
        report.error("limits.max_calls", message, remedy);
    }
    let rates = [
        ("limits.calls_per_minute_per_caller", config.calls_per_minute_per_caller),
        ("limits.calls_per_minute_per_number", config.calls_per_minute_per_number),
    ];
    for (key, calls) in rates.into_iter().filter(|(_, calls)| !PER_MINUTE.contains(calls)) {
        let message = format!("{calls} is not between 0 and 10000");
        report.error(key, message, "write calls per minute, or 0 for no limit");
    }
    if config.lag_max_ms != 0 && !LAG_MS.contains(&config.lag_max_ms) {
        let message = format!("{} ms is not between 5 and 1000", config.lag_max_ms);
        report.error("limits.lag_max_ms", message, "write milliseconds in this range, or 0 for no limit");
    }
}
