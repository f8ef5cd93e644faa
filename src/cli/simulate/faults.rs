//! Faults and durations as they are written on a command line.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::sim::gemini::{Close, Defect, Fault, Garbage, Leave, Moment, Spoil};

/// What `--help` says of `--fault`.
pub(super) const HELP: &str = "\
A fault: connection=N or N-M (default: all), at=MOMENT, and one of the defects, separated by commas.

Moments: accepted, upgrade, setup, setup-complete, caller-speaks, thinking, speaking, mid-speech, interrupted,
tool-call, after-turn-N.

Defects: close=CODE (1006: no close frame), reason=TEXT (with or without close; a known reason is found by some
of its words; it may hold commas and comes last), reset, stall, stop-reading, half-open, late-pongs=8s,
status=503 (at=upgrade), empty-turn, mute, endless, flood, stale=300ms, error, go-away=50s, garbage=not-json,
garbage=wrong-base64, garbage=empty, garbage=unknown-fields, garbage=BYTES (an oversize message).

Examples: connection=2,at=speaking,close=1011
          connection=1-2,at=upgrade,status=503
          at=thinking,reason=session not found";

/// Reads one `--fault`.
pub(super) fn fault(text: &str) -> Result<Fault, String> {
    let mut connections = 1..=u32::MAX;
    let (mut at, mut what) = (None, None);
    let (rest, reason) = match text.split_once("reason=") {
        Some((rest, reason)) => (rest.trim_end_matches(','), Some(reason)),
        None => (text, None),
    };
    for item in rest.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let (name, value) = item.split_once('=').unwrap_or((item, ""));
        match name {
            "connection" => connections = range(value)?,
            "at" => at = Some(moment(value)?),
            _ if what.is_some() => return Err(format!("`{name}` is a second defect")),
            _ => what = Some(defect(name, value)?),
        }
    }
    let what = match (what, reason) {
        (what, None) => what.ok_or("it has no defect")?,
        (Some(Defect::Close(close)), Some(reason)) => {
            Defect::Close(Close::new(close.code, reason.to_owned()))
        }
        (None, Some(reason)) => {
            let known = Close::with_reason(reason);
            Defect::Close(known.ok_or_else(|| format!("`{reason}` is no known reason; give close=CODE too"))?)
        }
        (Some(_), Some(_)) => return Err("only a close has a reason".to_owned()),
    };
    let at = at.ok_or("it has no moment; give at=MOMENT")?;
    let fault = Fault { connections, at, what };
    if fault.is_possible() { Ok(fault) } else { Err("this defect cannot happen at that moment".to_owned()) }
}

fn range(text: &str) -> Result<RangeInclusive<u32>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.parse().map_err(|_| format!("`{text}` is no number of a connection"));
    let (first, last) = (number(first)?, number(last)?);
    if (1..=last).contains(&first) {
        Ok(first..=last)
    } else {
        Err(format!("`{text}` is no range from 1 on"))
    }
}

fn moment(text: &str) -> Result<Moment, String> {
    let turn = text.strip_prefix("after-turn-").and_then(|turn| turn.parse().ok());
    match text {
        "accepted" => Ok(Moment::Accepted),
        "upgrade" => Ok(Moment::Upgrade),
        "setup" => Ok(Moment::SetupReceived),
        "setup-complete" => Ok(Moment::SetupComplete),
        "caller-speaks" => Ok(Moment::CallerSpeaks),
        "thinking" => Ok(Moment::Thinking),
        "speaking" => Ok(Moment::Speaking),
        "mid-speech" => Ok(Moment::MidSpeech),
        "interrupted" => Ok(Moment::Interrupted),
        "tool-call" => Ok(Moment::ToolCall),
        _ => turn.map(Moment::AfterTurn).ok_or_else(|| format!("`{text}` is no moment")),
    }
}

fn defect(name: &str, value: &str) -> Result<Defect, String> {
    match (name, value) {
        ("close", code) => {
            let code = code.parse().map_err(|_| format!("`{code}` is no close code"))?;
            Ok(Defect::Close(Close::usual(code)))
        }
        ("status", status) => match status.parse() {
            Ok(status @ 400..=599) => Ok(Defect::Status(status)),
            Ok(_) | Err(_) => Err(format!("`{status}` is no HTTP status of a refusal")),
        },
        ("late-pongs", delay) => Ok(Defect::LatePongs(duration(delay)?)),
        ("stale", length) => Ok(Defect::Stale(duration(length)?)),
        ("go-away", lead) => Ok(Defect::GoAway(Leave { lead: duration(lead)?, ..Leave::default() })),
        ("garbage", what) => garbage(what).map(Defect::Garbage),
        ("reset", "") => Ok(Defect::Reset),
        ("stall", "") => Ok(Defect::Stall),
        ("stop-reading", "") => Ok(Defect::StopReading),
        ("half-open", "") => Ok(Defect::HalfOpen),
        ("error", "") => Ok(Defect::ErrorMessage),
        ("empty-turn", "") => Ok(Defect::Spoil(Spoil::Empty)),
        ("mute", "") => Ok(Defect::Spoil(Spoil::Mute)),
        ("endless", "") => Ok(Defect::Spoil(Spoil::Endless)),
        ("flood", "") => Ok(Defect::Spoil(Spoil::Flood)),
        _ => Err(format!("`{name}` is no defect, or takes no value")),
    }
}

fn garbage(text: &str) -> Result<Garbage, String> {
    /// What the socket of the simulator takes in one piece.
    const OVERSIZE_MAX: usize = 60_000_000;
    match text {
        "not-json" => Ok(Garbage::NotJson),
        "wrong-base64" => Ok(Garbage::WrongBase64),
        "empty" => Ok(Garbage::Empty),
        "unknown-fields" => Ok(Garbage::UnknownFields),
        bytes => match bytes.parse() {
            Ok(bytes @ ..=OVERSIZE_MAX) => Ok(Garbage::Oversize(bytes)),
            Ok(_) => Err(format!("at most {OVERSIZE_MAX} bytes")),
            Err(_) => Err(format!("`{bytes}` is no kind of garbage")),
        },
    }
}

/// Reads `20s`, `500ms`, `5m` or `2h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(format!("`{text}` is no duration; write 20s, 500ms, 5m or 2h")),
    };
    let number: u64 = number.parse().map_err(|_| format!("`{text}` does not begin with a number"))?;
    number.checked_mul(millis).map(Duration::from_millis).ok_or_else(|| format!("`{text}` is too long"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("connection=2,at=speaking,close=1011", 2..=2, Moment::Speaking, Defect::Close(Close::INTERNAL))]
    #[case("connection=1-2,at=upgrade,status=503", 1..=2, Moment::Upgrade, Defect::Status(503))]
    #[case("at=accepted,reset", 1..=u32::MAX, Moment::Accepted, Defect::Reset)]
    #[case("at=after-turn-3,close=1008,reason=No, never.", 1..=u32::MAX, Moment::AfterTurn(3), Defect::Close(Close::new(1008, "No, never.")))]
    #[case("at=setup,reason=Deadline expired", 1..=u32::MAX, Moment::SetupReceived, Defect::Close(Close::DEADLINE))]
    #[case("at=tool-call,garbage=2000000", 1..=u32::MAX, Moment::ToolCall, Defect::Garbage(Garbage::Oversize(2_000_000)))]
    #[case("at=setup-complete,late-pongs=8s", 1..=u32::MAX, Moment::SetupComplete, Defect::LatePongs(Duration::from_secs(8)))]
    fn a_fault_is_read(
        #[case] text: &str,
        #[case] connections: RangeInclusive<u32>,
        #[case] at: Moment,
        #[case] what: Defect,
    ) {
        assert_eq!(fault(text), Ok(Fault { connections, at, what }));
    }

    #[rstest]
    #[case("at=speaking", "no defect")]
    #[case("close=1011", "no moment")]
    #[case("at=noon,close=1011", "`noon` is no moment")]
    #[case("at=speaking,close=1011,reset", "second defect")]
    #[case("at=speaking,status=503", "cannot happen at that moment")]
    #[case("connection=0,at=speaking,reset", "no range from 1 on")]
    #[case("at=speaking,reset=now", "takes no value")]
    #[case("at=speaking,reason=never said", "give close=CODE")]
    #[case("at=speaking,late-pongs=8", "write 20s")]
    fn a_wrong_fault_says_what_is_wrong(#[case] text: &str, #[case] message: &str) {
        let error = fault(text).unwrap_err();
        assert!(error.contains(message), "{error}");
    }
}
