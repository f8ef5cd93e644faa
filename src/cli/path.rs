//! The way of a call down the ladder and up again, in one line: who answered, from when on, and why.

use super::story;
use super::text::{line, seconds};
use crate::store::Stamp;
use crate::store::query::CallDetail;

/// `None`: nobody was to answer.
pub(crate) fn path(detail: &CallDetail) -> Option<String> {
    let mut way = Way { began: detail.call.started_at, stages: Vec::new(), moves: Vec::new() };
    for event in &detail.events {
        match event.kind.as_str() {
            "live_ready" => way.live(event.detail["gap_ms"].as_i64()),
            "rung" => way.change(&event.detail, event.at),
            _ => {}
        }
    }
    if way.stages.is_empty() {
        let is_dialled = detail.events.iter().any(|event| event.kind == "live_dialled");
        return is_dialled.then(|| "no live session".to_owned());
    }
    let ending = detail.circumstances.ending_detail.as_ref();
    let follow_up = ending.and_then(|ending| story::follow_up(&ending["follow_up"]));
    let totals = detail.events.iter().rfind(|event| event.kind == "audio_totals");
    let dead_air = totals.and_then(|totals| totals.detail["dead_air_max_ms"].as_i64());
    let parts = [
        Some(way.stages.join(", ")),
        follow_up,
        way.reconnections(),
        dead_air.map(|ms| format!("longest dead air {} s", seconds(ms))),
    ];
    Some(line(&parts.into_iter().flatten().collect::<Vec<_>>().join("; ")))
}

struct Way {
    began: Stamp,
    stages: Vec<String>,
    /// Gaps in which the live model was reconnected while it was its turn, milliseconds.
    moves: Vec<i64>,
}

impl Way {
    /// A live session is there, after a gap if it goes on with one before.
    fn live(&mut self, gap_ms: Option<i64>) {
        match self.stages.last().map(String::as_str) {
            None => self.stages.push("live".to_owned()),
            Some(stage) if stage.starts_with("live") => self.moves.extend(gap_ms),
            // It waits to take over.
            Some(_) => {}
        }
    }

    fn change(&mut self, detail: &serde_json::Value, at: Stamp) {
        if self.stages.is_empty() {
            self.stages.push("no live session".to_owned());
        }
        let rung = match detail["rung"].as_str() {
            Some("live") => "live again",
            Some("fallback") => "then fallback",
            Some("last_resort") => "then an apology",
            Some(other) => other,
            None => return,
        };
        let after = i64::try_from((at.0 - self.began.0).whole_milliseconds()).unwrap_or(i64::MAX);
        let why = story::cause(&detail["cause"]).map(|cause| format!(" ({cause})")).unwrap_or_default();
        self.stages.push(format!("{rung} after {} s{why}", seconds(after)));
    }

    fn reconnections(&self) -> Option<String> {
        let longest = seconds(*self.moves.iter().max()?);
        match self.moves.len() {
            1 => Some(format!("reconnected once, in {longest} s")),
            count => Some(format!("reconnected {count} times, the longest gap {longest} s")),
        }
    }
}
