//! The fault matrix: every fault in every moment of a call, with a virtual clock.
//!
//! Caller, service and providers behave well except for the fault; dead air, gaps and everything that must never
//! happen are measured here, from what the peers were told, and not taken from the machine's own account.
#![allow(clippy::print_stdout, reason = "the table is for people: `--nocapture` shows it")]

mod faults;
mod line;
mod service;
mod sim;

use self::faults::{FALLBACK, Fault, LIVE, Moment};
use self::sim::{Outcome, Sim};
use super::*;
use crate::id::MarkId;
use crate::job;

/// One case and what came of it.
struct Case {
    name: String,
    ends: Vec<&'static str>,
    outcome: Outcome,
}

/// Runs the cases on two threads.
fn run(cases: Vec<(Moment, bool, Vec<Fault>)>) -> Vec<Case> {
    let run_one = |(moment, is_late, faults): &(Moment, bool, Vec<Fault>)| {
        let names: Vec<_> = faults.iter().map(|fault| fault.name).collect();
        let when = if *is_late { "late" } else { "early" };
        let name = format!("{:<22} {moment:?} {when}", names.join(" + "));
        let mut ends: Vec<_> = faults.iter().flat_map(|fault| fault.ends).copied().collect();
        if *moment == Moment::ComingBack || faults.len() > 1 {
            ends.extend(["live", "fallback"]);
        }
        if *moment == Moment::Ending {
            ends.push("all_failed");
        }
        Case { name, ends, outcome: Sim::run(*moment, *is_late, faults) }
    };
    let (left, right) = cases.split_at(cases.len() / 2);
    std::thread::scope(|scope| {
        let left = scope.spawn(move || left.iter().map(run_one).collect::<Vec<_>>());
        let right: Vec<_> = right.iter().map(run_one).collect();
        left.join().unwrap().into_iter().chain(right).collect()
    })
}

/// Prints the table and demands the bars.
fn demand(cases: &[Case], dead_air_max: f64) {
    let mut wrong = Vec::new();
    println!("{:<50} {:<16} {:>8} {:>6} {:>6}", "case", "end", "dead air", "gap", "seen");
    for Case { name, ends, outcome } in cases {
        let Outcome { end, dead_air, gap_ms, detection_ms, violations, .. } = outcome;
        let seen = detection_ms.map_or_else(|| "-".to_owned(), |ms| ms.to_string());
        println!("{name:<50} {end:<16} {:>8.0} {gap_ms:>6} {seen:>6}", dead_air.0);
        wrong.extend(violations.iter().map(|violation| format!("{name}: {violation}")));
        if dead_air.0 > dead_air_max {
            wrong.push(format!("{name}: dead air of {:.0} ms from {:.0}", dead_air.0, dead_air.1));
        }
        if !ends.contains(&end.as_str()) {
            wrong.push(format!("{name}: ends in {end}, not in {ends:?}"));
        }
    }
    let mut silences: Vec<_> = cases.iter().map(|case| case.outcome.dead_air.0).collect();
    silences.sort_by(f64::total_cmp);
    let p95 = silences[silences.len() * 95 / 100];
    println!("{} cases, dead air p95 {p95:.0} ms, {} wrong", cases.len(), wrong.len());
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(p95 <= 1500.0, "dead air p95 {p95:.0} ms");
}

fn product(moments: &[Moment], faults: &[Fault]) -> Vec<(Moment, bool, Vec<Fault>)> {
    let mut cases = Vec::new();
    for fault in faults {
        for moment in moments {
            cases.extend([false, true].map(|is_late| (*moment, is_late, vec![fault.clone()])));
        }
    }
    cases
}

#[test]
fn whatever_happens_to_the_live_service_the_caller_is_answered() {
    demand(&run(product(&LIVE, &faults::live())), 3000.0);
}

#[test]
fn whatever_happens_to_the_providers_of_the_fallback_the_caller_is_answered_or_told() {
    demand(&run(product(&FALLBACK, &faults::providers())), 3000.0);
}

#[test]
fn whatever_happens_to_the_carrier_the_call_ends_with_its_reason_or_goes_on() {
    let moments: Vec<_> = LIVE.into_iter().chain(FALLBACK).chain([Moment::Ending]).collect();
    demand(&run(product(&moments, &faults::carrier())), 3000.0);
}

#[test]
fn two_faults_at_once_are_survived_too() {
    let names = [
        "1006",
        "1011 internal",
        "1007 handle",
        "quota",
        "503 always",
        "503 once",
        "no setup once",
        "connect timeout once",
        "goAway 1",
        "stall",
        "empty turn",
        "garbage 30",
    ];
    let all = faults::live();
    let chosen: Vec<_> = all.iter().filter(|fault| names.contains(&fault.name)).collect();
    let mut cases = Vec::new();
    for first in &chosen {
        for second in &chosen {
            for moment in [Moment::Thinking, Moment::Speaking] {
                cases.push((moment, false, vec![(*first).clone(), (*second).clone()]));
            }
        }
    }
    demand(&run(cases), 5000.0);
}

fn named(name: &str) -> Vec<Fault> {
    let all = faults::live().into_iter().chain(faults::providers()).chain(faults::carrier());
    all.filter(|fault| fault.name == name).collect()
}

/// From what is said first to what follows it, milliseconds.
#[rstest]
#[case::no_setup("no setup always", Moment::Start, "LiveDialled", "SetupTimeout", 2800)]
#[case::no_answer_is_covered("stall", Moment::Thinking, "caller is silent", "Cover", 1200)]
#[case::no_answer_at_all("stall", Moment::Thinking, "caller is silent", "Mute", 8000)]
#[case::garbage("garbage 30", Moment::CallerSpeaking, "STRIKE", "Garbled", 400)]
#[case::refused("401 always", Moment::CallerSpeaking, "caller is silent", "job: Speak", 3000)]
#[case::unavailable("503 always", Moment::CallerSpeaking, "caller is silent", "job: Speak", 3000)]
#[case::lost("1006", Moment::CallerSpeaking, "STRIKE", "LiveReady", 1050)]
fn what_fails_is_noticed_in_time(
    #[case] fault: &str,
    #[case] moment: Moment,
    #[case] first: &str,
    #[case] then: &str,
    #[case] within_ms: u64,
) {
    let Outcome { trace, .. } = Sim::run(moment, false, &named(fault));
    let at = |from: u64, what: &str| {
        trace.iter().find(|(ms, told)| *ms >= from && told.contains(what)).map(|(ms, _)| *ms)
    };
    let began = at(0, first).unwrap();
    let noticed = at(began, then).unwrap_or_else(|| panic!("{trace:#?}"));
    assert!(noticed - began <= within_ms + 20, "{} ms", noticed - began);
}

/// `--nocapture` prints everything that happens in one case; another name here, another story.
#[rstest]
#[case("1006", Moment::Thinking)]
fn the_story_of_a_case(#[case] fault: &str, #[case] moment: Moment) {
    let Outcome { end, trace, violations, .. } = Sim::run(moment, false, &named(fault));
    for (ms, what) in &trace {
        println!("{ms:>6} {what}");
    }
    assert_eq!((end.as_str(), violations), ("live", Vec::new()));
}
