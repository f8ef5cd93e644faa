//! Calls as text for a terminal. What callers and models said is untrusted: nothing of it reaches the terminal
//! but harmless characters.

use serde_json::Value;

use super::path::path;
use super::story;
use super::text::{cell, line, minutes, seconds};
use crate::call::context::UNKNOWN;
use crate::store::Stamp;
use crate::store::query::{CallDetail, CallRow, EventRow, TurnRow};

const HEADINGS: [&str; 7] = ["START", "SID", "FROM → TO", "AGENT", "DURATION", "ENDING", "TURNS"];

/// Columns of numbers.
const RIGHT_ALIGNED: [bool; 7] = [false, false, false, false, true, false, true];

/// A table of calls, a line each.
pub(crate) fn calls(calls: &[CallRow]) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(calls.iter().map(cells));
    aligned(&rows, RIGHT_ALIGNED)
}

/// Where lines come one by one, nobody knows how wide the next will be: room for usual ones.
const WIDTHS: [usize; 7] = [20, 34, 27, 16, 8, 14, 5];

/// The heading over lines of [`followed`].
pub(crate) fn heading() -> String {
    row(&HEADINGS.map(str::to_owned), &WIDTHS, RIGHT_ALIGNED)
}

/// One call on a line.
pub(crate) fn followed(call: &CallRow) -> String {
    row(&cells(call), &WIDTHS, RIGHT_ALIGNED)
}

fn cells(call: &CallRow) -> [String; 7] {
    /// The widest of each that is meant: E.164 has 16 characters, a SID 34, a UUID 36.
    const NUMBER: usize = 20;
    const SID: usize = 36;
    const AGENT: usize = 24;
    // `calls show` takes either.
    let sid = if call.call_sid == UNKNOWN { &call.call_id } else { &call.call_sid };
    [
        moment(call.started_at),
        cell(sid, SID),
        format!("{} → {}", cell(&call.from, NUMBER), cell(&call.to, NUMBER)),
        cell(&call.agent, AGENT),
        call.duration_ms.map_or_else(|| "-".to_owned(), minutes),
        call.ending.as_deref().map_or_else(|| "(going on)".to_owned(), line),
        call.summary.turn_count.to_string(),
    ]
}

/// Rows of a table; numbers are aligned to the right.
pub(crate) fn aligned<const N: usize>(rows: &[[String; N]], is_right: [bool; N]) -> String {
    let widths: [usize; N] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    rows.iter().map(|cells| row(cells, &widths, is_right)).collect()
}

fn row<const N: usize>(cells: &[String; N], widths: &[usize; N], is_right: [bool; N]) -> String {
    let columns = cells.iter().zip(widths).zip(is_right).map(|((text, &width), is_right)| {
        if is_right { format!("{text:>width$}") } else { format!("{text:<width$}") }
    });
    format!("{}\n", columns.collect::<Vec<_>>().join("  ").trim_end())
}

/// Everything about one call: its circumstances, a timeline, the account of its audio.
pub(crate) fn call(detail: &CallDetail) -> String {
    let sections = [context(detail), timeline(detail), audio(detail), annotations(detail)];
    sections.into_iter().filter(|section| !section.is_empty()).collect::<Vec<_>>().join("\n")
}

fn context(detail: &CallDetail) -> String {
    let CallDetail { call, circumstances, .. } = detail;
    let mut facts = Vec::from([
        ("call", format!("{}  {}", line(&call.call_sid), line(&call.call_id))),
        ("account", format!("{} at {}", line(&circumstances.account_sid), line(&circumstances.carrier))),
        ("from → to", format!("{} → {} ({})", line(&call.from), line(&call.to), line(&call.direction))),
        ("agent", format!("{} for {}", line(&call.agent), line(&call.summary.business_id))),
        ("started", moment(call.started_at)),
    ]);
    if detail.calls_with_sid > 1 && call.call_sid != UNKNOWN {
        facts.insert(1, ("", format!("{} calls have this SID", detail.calls_with_sid)));
    }
    if let Some(at) = call.answered_at {
        let stream = circumstances.stream_sid.as_deref().unwrap_or(UNKNOWN);
        facts.push(("answered", format!("{} by stream {}", offset(call, at), line(stream))));
    }
    facts.push(("ended", ended(detail)));
    if let Some(ms) = call.duration_ms {
        facts.push(("duration", minutes(ms)));
    }
    if let Some(path) = path(detail) {
        facts.push(("path", path));
    }
    let parameters = pairs(&circumstances.parameters);
    if !parameters.is_empty() {
        facts.push(("parameters", parameters));
    }
    for (index, text) in circumstances.prompt.lines().enumerate() {
        facts.push((if index == 0 { "prompt" } else { "" }, line(text)));
    }
    facts.iter().map(|(name, value)| format!("{name:<11} {value}").trim_end().to_owned() + "\n").collect()
}

fn ended(detail: &CallDetail) -> String {
    let CallDetail { call, circumstances, .. } = detail;
    let (Some(at), Some(code)) = (call.ended_at, &call.ending) else {
        return "not yet, or the process that carried it died".to_owned();
    };
    let text = circumstances.ending_text.as_deref().unwrap_or_default();
    format!("{} {} [{}]", offset(call, at), line(text), line(code))
}

/// Turns at their beginning, events at their time; of the same moment in the order of the log.
fn timeline(detail: &CallDetail) -> String {
    let turns = detail.turns.iter().map(|turn| (turn.started_at, turn.sequence, spoken(turn)));
    let events = detail.events.iter().filter(|event| event.kind != TOTALS);
    let events = events.map(|event| (event.at, event.sequence, happened(event)));
    let mut lines: Vec<_> = turns.chain(events).collect();
    lines.sort_by_key(|(at, sequence, _)| (*at, *sequence));
    lines.iter().map(|(at, _, text)| format!("{:>10}  {text}\n", offset(&detail.call, *at))).collect()
}

fn spoken(turn: &TurnRow) -> String {
    let interrupted = if turn.interrupted { " [interrupted]" } else { "" };
    let by = match (turn.responder.as_deref(), turn.model.as_deref()) {
        (Some("fallback"), Some(model)) => format!(", fallback {}", line(model)),
        _ => String::new(),
    };
    let latency = turn.latency_ms.map(|ms| format!(" ({ms} ms{by})")).unwrap_or_default();
    format!("{:<7} {}{interrupted}{latency}", line(&turn.speaker), line(&turn.text))
}

fn happened(event: &EventRow) -> String {
    let text = match story::sentence(&event.kind, &event.detail) {
        Some(sentence) => line(&sentence),
        None => format!("{} {}", line(&event.kind), pairs(&event.detail)),
    };
    format!("· {text}").trim_end().to_owned()
}

/// The event that sums up the call's audio.
const TOTALS: &str = "audio_totals";

fn audio(detail: &CallDetail) -> String {
    let Some(totals) = detail.events.iter().rfind(|event| event.kind == TOTALS) else {
        return String::new();
    };
    let account = |direction: &str, fates: &[&str]| {
        let fates = fates.iter().map(|fate| {
            let ms = totals.detail[format!("{direction}_{fate}_ms")].as_i64().unwrap_or(0);
            format!("{fate} {} s", seconds(ms))
        });
        format!("{direction:<9} {}\n", fates.collect::<Vec<_>>().join(", "))
    };
    let uplink = account("uplink", &["received", "sent", "dropped"]);
    let downlink = account("downlink", &["received", "played", "cleared", "dropped"]);
    format!("audio       {uplink}            {downlink}{}", waits(&totals.detail))
}

/// What the caller heard, or did not hear, while it was the agent's turn.
fn waits(totals: &Value) -> String {
    let (Some(cover), Some(dead_air)) = (totals["cover_ms"].as_i64(), totals["dead_air_max_ms"].as_i64())
    else {
        return String::new();
    };
    let waits = [
        ("cover", format!("{} s", seconds(cover))),
        ("dead air", format!("longest {} s", seconds(dead_air))),
    ];
    waits.iter().map(|(name, value)| format!("            {name:<9} {value}\n")).collect()
}

fn annotations(detail: &CallDetail) -> String {
    let lines = detail.annotations.iter().map(|annotation| {
        let at = offset(&detail.call, annotation.at);
        format!("{at:>10}  {} {}\n", line(&annotation.kind), pairs(&annotation.detail))
    });
    let lines: String = lines.collect();
    if lines.is_empty() { lines } else { format!("told by the carrier\n{lines}") }
}

/// The fields of an object on one line, `a=1 b.c=x`.
fn pairs(value: &Value) -> String {
    let mut pairs = Vec::new();
    flatten("", value, &mut pairs);
    pairs.join(" ")
}

fn flatten(name: &str, value: &Value, pairs: &mut Vec<String>) {
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (field, value) in fields {
                let dot = if name.is_empty() { "" } else { "." };
                flatten(&format!("{name}{dot}{}", line(field)), value, pairs);
            }
        }
        Value::String(text) if text.contains(char::is_whitespace) || text.is_empty() => {
            pairs.push(format!("{name}=\"{}\"", line(text)));
        }
        Value::String(text) => pairs.push(format!("{name}={}", line(text))),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            pairs.push(format!("{name}={}", line(&value.to_string())));
        }
    }
}

/// Date and time to the second, UTC.
pub(crate) fn moment(at: Stamp) -> String {
    let text = at.to_string();
    text.split_once('.')
        .map_or_else(|| text.clone(), |(seconds, _)| format!("{}Z", seconds.replace('T', " ")))
}

/// Time since the start of the call, `+12.34s`.
fn offset(call: &CallRow, at: Stamp) -> String {
    let ms = i64::try_from((at.0 - call.started_at.0).whole_milliseconds()).unwrap_or(i64::MAX);
    let sign = if ms < 0 { "" } else { "+" };
    format!("{sign}{}s", seconds(ms))
}

#[cfg(test)]
mod tests {
    use ::time::Duration;
    use ::time::macros::datetime;
    use serde_json::json;

    use super::*;
    use crate::store::query::{AnnotationRow, Circumstances, Summary};

    fn at(ms: i64) -> Stamp {
        Stamp(datetime!(2026-11-21 09:00:00 UTC) + Duration::milliseconds(ms))
    }

    fn row() -> CallRow {
        CallRow {
            call_id: "00000000-0000-0000-0000-000000000001".to_owned(),
            call_sid: "CA1".to_owned(),
            direction: "inbound".to_owned(),
            from: "+14155550123".to_owned(),
            to: "+14155550199".to_owned(),
            agent: "reception".to_owned(),
            started_at: at(0),
            answered_at: Some(at(500)),
            ended_at: Some(at(61_500)),
            duration_ms: Some(61_000),
            ending: Some("caller_hung_up".to_owned()),
            summary: Summary { business_id: "acme".to_owned(), turn_count: 2, ..Summary::default() },
        }
    }

    fn detail() -> CallDetail {
        let turn = |sequence, speaker: &str, text: &str, started_ms| TurnRow {
            sequence,
            speaker: speaker.to_owned(),
            text: text.to_owned(),
            started_at: at(started_ms),
            ended_at: at(started_ms + 1000),
            interrupted: speaker == "agent",
            latency_ms: (speaker == "agent").then_some(640),
            responder: None,
            model: None,
        };
        let event = |sequence, ms, kind: &str, detail| EventRow {
            sequence,
            at: at(ms),
            kind: kind.to_owned(),
            detail,
        };
        CallDetail {
            call: row(),
            circumstances: Circumstances {
                carrier: "twilio".to_owned(),
                account_sid: "AC1".to_owned(),
                prompt: "Be brief.\nBe kind.".to_owned(),
                parameters: json!({"tier": "gold"}),
                stream_sid: Some("MZ1".to_owned()),
                ending_detail: Some(json!({})),
                ending_text: Some("the caller hung up".to_owned()),
                records: Some(8),
                erased_at: None,
            },
            used: Vec::new(),
            turns: vec![
                turn(5, "caller", "Hello? \u{1b}[31mred", 1500),
                turn(6, "agent", "Good\nmorning", 3140),
            ],
            events: vec![
                event(
                    2,
                    510,
                    "live_ready",
                    json!({"link": 1, "plan": "fresh", "setup_ms": 210, "session_id": null}),
                ),
                event(3, 3900, "interrupted", json!({"heard_ms": 700, "cleared_ms": 2000})),
                event(
                    4,
                    12_340,
                    "live_lost",
                    json!({
                        "link": 1,
                        "endpoint": "developer",
                        "cause": {"failure": "broken", "message": "a\u{1b}b"},
                        "verdict": "resume",
                        "next": "resume",
                    }),
                ),
                event(
                    6,
                    12_900,
                    "moon_landing",
                    json!({"link": 1, "cause": {"failure": "broken", "message": "a b"}}),
                ),
                event(
                    7,
                    61_400,
                    "audio_totals",
                    json!({
                        "uplink_received_ms": 61_000,
                        "downlink_played_ms": 1_230,
                        "cover_ms": 800,
                        "dead_air_max_ms": 1_200,
                    }),
                ),
            ],
            annotations: vec![AnnotationRow {
                key: "k".to_owned(),
                at: at(62_000),
                kind: "call_status".to_owned(),
                detail: json!({"CallStatus": "completed"}),
            }],
            calls_with_sid: 2,
        }
    }

    #[test]
    fn a_list_of_calls_is_an_aligned_table() {
        let going_on = CallRow {
            call_sid: UNKNOWN.to_owned(),
            agent: "\u{1b}]0;x\u{7}".to_owned(),
            duration_ms: None,
            ending: None,
            summary: Summary { turn_count: 12, ..Summary::default() },
            ..row()
        };
        assert_eq!(
            calls(&[row(), going_on]),
            "\
START                 SID                                   FROM → TO                    AGENT            DURATION  ENDING          TURNS
2026-11-21 09:00:00Z  CA1                                   +14155550123 → +14155550199  reception            1:01  caller_hung_up      2
2026-11-21 09:00:00Z  00000000-0000-0000-0000-000000000001  +14155550123 → +14155550199  \\u{1b}]0;x\\u{7}         -  (going on)         12
"
        );
    }

    #[test]
    fn one_call_is_a_story() {
        assert_eq!(
            call(&detail()),
            "\
call        CA1  00000000-0000-0000-0000-000000000001
            2 calls have this SID
account     AC1 at twilio
from → to   +14155550123 → +14155550199 (inbound)
agent       reception for acme
started     2026-11-21 09:00:00Z
answered    +0.50s by stream MZ1
ended       +61.50s the caller hung up [caller_hung_up]
duration    1:01
path        live; longest dead air 1.20 s
parameters  tier=gold
prompt      Be brief.
            Be kind.

    +0.51s  · the live session is ready after 0.21 s
    +1.50s  caller  Hello? \\u{1b}[31mred
    +3.14s  agent   Good morning [interrupted] (640 ms)
    +3.90s  · the caller interrupts: 0.70 s were heard, 2.00 s thrown away
   +12.34s  · live connection 1 to developer failed: the live connection broke: a\\u{1b}b; next: the session is resumed
   +12.90s  · moon_landing cause.failure=broken cause.message=\"a b\" link=1

audio       uplink    received 61.00 s, sent 0.00 s, dropped 0.00 s
            downlink  received 0.00 s, played 1.23 s, cleared 0.00 s, dropped 0.00 s
            cover     0.80 s
            dead air  longest 1.20 s

told by the carrier
   +62.00s  call_status CallStatus=completed
"
        );
    }

    #[test]
    fn the_path_of_a_call_says_who_answered_and_why() {
        let event =
            |ms, kind: &str, detail| EventRow { sequence: 0, at: at(ms), kind: kind.to_owned(), detail };
        let refused = json!({"of": "live", "cause": {"failure": "refused", "status": 503}});
        let speechless = json!({"of": "fallback", "job": "speak", "cause": {"failure": "no_provider"}});
        let mut detail = detail();
        detail.events = vec![
            event(600, "live_ready", json!({"gap_ms": null})),
            event(5000, "live_ready", json!({"gap_ms": 420})),
            event(12_300, "rung", json!({"rung": "fallback", "cause": refused})),
            event(39_000, "live_ready", json!({"gap_ms": 26_700})),
            event(40_000, "rung", json!({"rung": "live", "cause": null})),
            event(61_000, "audio_totals", json!({"dead_air_max_ms": 1200})),
        ];
        assert_eq!(
            path(&detail).unwrap(),
            "live, then fallback after 12.30 s (the live service refused the connection with HTTP 503), \
             live again after 40.00 s; reconnected once, in 0.42 s; longest dead air 1.20 s"
        );
        detail.circumstances.ending_detail =
            Some(json!({"follow_up": {"kind": "transfer", "to": "+14155550123"}}));
        detail.events = vec![event(900, "rung", json!({"rung": "last_resort", "cause": speechless}))];
        assert_eq!(
            path(&detail).unwrap(),
            "no live session, then an apology after 0.90 s (text to speech: no provider is left); \
             the caller is connected with +14155550123"
        );
        detail.events.clear();
        assert_eq!(path(&detail), None);
    }

    #[test]
    fn a_call_of_which_little_is_known_renders_too() {
        let call_row =
            CallRow { answered_at: None, ended_at: None, duration_ms: None, ending: None, ..row() };
        let (turns, events, annotations) = (Vec::new(), Vec::new(), Vec::new());
        let text = call(&CallDetail { call: call_row, turns, events, annotations, ..detail() });
        assert!(text.contains("ended       not yet") && text.ends_with("            Be kind.\n"), "{text}");
    }
}
