//! The faults that are tried.

use std::time::Duration;

use super::case::Case;
use super::case::Recovery::{Fallback, Fresh, Moved, Resumed, Unharmed};
use crate::sim::gemini::{Close, Defect, Garbage, Leave, Moment, Spoil, TimeLeft};
use crate::sim::providers::{Fault, Kind, Schedule, Selector};

/// Nobody speaks: the first answer is over and the second question has not begun.
const IDLE: Duration = Duration::from_millis(8_800);

/// More than the 20 in 10 s that are borne.
const GARBAGE: u32 = 24;

pub(super) fn all() -> Vec<Case> {
    [refusals(), losses(), farewells(), sicknesses(), fallbacks()].into_iter().flatten().collect()
}

fn refusals() -> Vec<Case> {
    let refused = |what, status| Case::new(what, &[Fallback]).refused(status);
    vec![
        Case::new("live: nothing goes wrong", &[Unharmed]),
        refused("live refuses with HTTP 503", 503),
        refused("live refuses with HTTP 401", 401),
        refused("live refuses with HTTP 429", 429),
        Case::new("live refuses the TCP connection", &[Fallback]).absent(),
        Case::new("live never confirms the setup", &[Fallback]).unconfirmed(),
    ]
}

/// Each close at three moments.
fn losses() -> Vec<Case> {
    let names = [
        (1000, ["1000 while nobody speaks", "1000 while the model speaks", "1000 while the caller speaks"]),
        (1001, ["1001 while nobody speaks", "1001 while the model speaks", "1001 while the caller speaks"]),
        (1006, ["1006 while nobody speaks", "1006 while the model speaks", "1006 while the caller speaks"]),
        (1011, ["1011 while nobody speaks", "1011 while the model speaks", "1011 while the caller speaks"]),
    ];
    let cases = names.into_iter().flat_map(|(code, [idle, model, caller])| {
        let close = || Defect::Close(Close::usual(code));
        let case = |what| Case::new(what, &[Resumed]).gap_counts();
        [
            case(idle).inflict(IDLE, close()),
            case(model).fault(1, Moment::MidSpeech, close()),
            case(caller).fault(1, Moment::CallerSpeaks, close()),
        ]
    });
    let invalid = Defect::Close(Close::new(1007, "Invalid session handle"));
    let handle = Case::new("1011, then the handle is invalid", &[Fresh])
        .inflict(IDLE, Defect::Close(Close::INTERNAL))
        .fault_on(2, Moment::SetupReceived, invalid);
    cases.chain([handle]).collect()
}

fn farewells() -> Vec<Case> {
    let leave = |lead, told| Leave { lead: Duration::from_secs(lead), told, ..Leave::default() };
    let case = |what, leave| {
        let case = Case::new(what, &[Moved]).hand_over_counts();
        case.fault(1, Moment::AfterTurn(1), Defect::GoAway(leave))
    };
    vec![
        case("goAway, 50 s left", leave(50, TimeLeft::Lead)),
        case("goAway, 1 s left", leave(1, TimeLeft::Lead)),
        case("goAway that does not say how long", leave(50, TimeLeft::Missing)),
    ]
}

fn sicknesses() -> Vec<Case> {
    let garbage = || Defect::Garbage(Garbage::NotJson);
    // Each costs itself: only a flood of them that lasts ends a session.
    let mut garbled = Case::new("24 unreadable messages in a second", &[Unharmed]);
    for index in 0..GARBAGE {
        garbled = garbled.inflict(IDLE + Duration::from_millis(40) * index, garbage());
    }
    vec![
        Case::new("one unreadable message", &[Unharmed]).inflict(IDLE, garbage()),
        garbled,
        Case::new("connected, but never answers (stall)", &[Resumed, Fresh, Fallback])
            .fault(1, Moment::Thinking, Defect::Stall)
            .with_one_question(),
        Case::new("answers with inaudible audio (mute)", &[Unharmed, Resumed, Fresh, Fallback])
            .fault(1, Moment::Thinking, Defect::Spoil(Spoil::Mute))
            .with_one_question(),
        Case::new("an answer without audio", &[Unharmed, Resumed, Fresh, Fallback]).fault(
            1,
            Moment::Thinking,
            Defect::Spoil(Spoil::Empty),
        ),
        Case::new("model stops reading", &[Resumed, Fresh, Fallback])
            .fault(1, Moment::SetupComplete, Defect::StopReading)
            .with_one_question(),
        Case::new("an error message in place of an answer", &[Unharmed, Resumed, Fresh, Fallback]).fault(
            1,
            Moment::Thinking,
            Defect::ErrorMessage,
        ),
    ]
}

/// The live service refuses, and something is wrong with the first provider.
fn fallbacks() -> Vec<Case> {
    let case = |what, kind, fault| {
        let schedule = Schedule::always(Selector::Kind(kind), fault);
        Case::new(what, &[Fallback]).refused(401).and(schedule)
    };
    let all = |fault| Schedule::always(Selector::All, fault);
    vec![
        case("refused; LLM hangs, second one is well", Kind::Llm, Fault::Hang),
        case("refused; LLM 429, second one is well", Kind::Llm, Fault::Refuse(429)),
        case("refused; LLM cut off, second one is well", Kind::Llm, Fault::Cut),
        case("refused; STT hangs, second one is well", Kind::Stt, Fault::Hang),
        case("refused; TTS hangs, second one is well", Kind::Tts, Fault::Hang),
        // One question that fails is asked for again; the apology comes after several in a row.
        Case::new("refused; all providers fail", &[Fallback])
            .refused(401)
            .and(all(Fault::Refuse(503)))
            .alone(),
    ]
}
