//! A history is the same for the same seed, and spread as the world is.

use std::collections::{BTreeMap, BTreeSet};

use time::Weekday;
use time::macros::datetime;

use super::*;

const FROM: OffsetDateTime = datetime!(2026-08-23 00:00 UTC);
const TO: OffsetDateTime = datetime!(2026-11-21 00:00 UTC);

fn history(seed: u64, calls: u64) -> History {
    History::new(seed, calls, FROM, TO)
}

fn turns(call: &Call) -> impl Iterator<Item = &Turn> {
    call.entries.iter().filter_map(|entry| match &entry.what {
        What::Turn(turn) => Some(turn),
        What::Opened | What::Answered { .. } | What::Event { .. } | What::Ended(_) => None,
    })
}

fn ending(call: &Call) -> Option<&Ending> {
    match &call.entries.last()?.what {
        What::Ended(ending) => Some(ending),
        What::Opened | What::Answered { .. } | What::Turn(_) | What::Event { .. } => None,
    }
}

fn is_fallback(entry: &Entry) -> bool {
    matches!(&entry.what, What::Event { kind: "rung", detail } if detail["rung"] == "fallback")
}

#[test]
fn the_same_seed_gives_the_same_calls_and_another_seed_others() {
    assert!(history(1, 100).eq(history(1, 100)));
    assert!(
        history(1, 100)
            .zip(history(2, 100))
            .all(|(one, other)| one.id != other.id && one.entries != other.entries)
    );
}

#[test]
fn calls_begin_in_order_and_within_the_time() {
    let calls: Vec<_> = history(3, 2_000).collect();
    assert_eq!(calls.len(), 2_000);
    let starts: Vec<_> = calls.iter().map(|call| call.entries[0].at).collect();
    assert!(starts.is_sorted() && starts[0] >= FROM && starts[1_999] <= TO);
    assert!(starts[0] < FROM + time::Duration::DAY && starts[1_999] > TO - time::Duration::DAY);
    let ids: BTreeSet<_> = calls.iter().map(|call| call.id).collect();
    assert_eq!(ids.len(), calls.len());
    assert!(calls.iter().all(|call| call.id.get_version_num() == 7));
}

#[test]
fn a_call_is_opened_once_and_first_ended_once_and_last_and_its_time_does_not_run_back() {
    for call in history(4, 2_000) {
        assert_eq!(call.entries[0].what, What::Opened);
        let opened = call.entries.iter().filter(|entry| entry.what == What::Opened).count();
        let ended = call.entries.iter().filter(|entry| matches!(entry.what, What::Ended(_))).count();
        assert!(opened == 1 && ended == 1 && ending(&call).is_some());
        assert!(call.entries.is_sorted_by_key(|entry| entry.at));
        assert!(turns(&call).all(|turn| !turn.text.is_empty() && turn.started_at <= turn.ended_at));
    }
}

#[test]
fn endings_fallbacks_and_turns_are_as_frequent_as_they_should_be() {
    let calls: Vec<_> = history(5, 10_000).collect();
    let count = |is: &dyn Fn(&Call) -> bool| calls.iter().filter(|call| is(call)).count();
    let failed = count(&|call| ending(call).is_some_and(|ending| ending.failed));
    assert!((160..240).contains(&failed), "{failed} failed");
    let fallbacks = count(&|call| call.entries.iter().any(is_fallback));
    assert!((240..360).contains(&fallbacks), "{fallbacks} with the fallback");
    let pressed = count(&|call| {
        call.entries.iter().any(|entry| matches!(entry.what, What::Event { kind: "dtmf", .. }))
    });
    assert!((300..1_500).contains(&pressed), "{pressed} with keys pressed");
    let turns: usize = calls.iter().map(|call| turns(call).count()).sum();
    assert!((90_000..110_000).contains(&turns), "{turns} turns");
    let endings: BTreeSet<_> = calls.iter().filter_map(|call| Some(ending(call)?.code)).collect();
    assert_eq!(endings.len(), 11, "{endings:?}");
}

#[test]
fn agents_businesses_and_callers_are_many_and_some_are_busier_than_others() {
    let mut agents = BTreeMap::<_, usize>::new();
    let mut callers = BTreeMap::<_, usize>::new();
    let mut businesses = BTreeSet::new();
    for call in history(6, 5_000) {
        businesses.insert(call.agent.business_id.clone());
        *agents.entry(call.agent.name.clone()).or_default() += 1;
        *callers.entry(call.from).or_default() += 1;
    }
    assert_eq!((agents.len(), businesses.len()), (AGENTS, BUSINESSES));
    assert!(agents.values().max() > agents.values().min().map(|least| least * 5).as_ref());
    let once = callers.values().filter(|calls| **calls == 1).count();
    assert!(callers.len() > 3_000 && once > 2_000 && callers.values().any(|calls| *calls > 30));
}

#[test]
fn nights_and_sundays_are_quiet() {
    let starts: Vec<_> = Rhythm::new(20_000, FROM, TO, Dice::of(7, 0)).collect();
    let during = |is: &dyn Fn(&OffsetDateTime) -> bool| starts.iter().filter(|start| is(start)).count();
    assert!(during(&|start| start.hour() == 10) > 20 * during(&|start| start.hour() == 2));
    assert!(
        during(&|start| start.weekday() == Weekday::Tuesday)
            > 4 * during(&|start| start.weekday() == Weekday::Sunday)
    );
}

#[test]
fn words_follow_zipf_and_rare_ones_are_said_once() {
    let vocabulary = Vocabulary::default();
    let words: BTreeSet<_> = vocabulary.words().iter().collect();
    assert_eq!((words.len(), vocabulary.words().len()), (WORDS, WORDS));

    let mut counts = BTreeMap::<String, usize>::new();
    for call in history(8, 2_000) {
        for word in turns(&call).flat_map(|turn| turn.text.split([' ', '.', '?']).collect::<Vec<_>>()) {
            *counts.entry(word.to_lowercase()).or_default() += 1;
        }
    }
    let count =
        |rank: usize| counts.get(&vocabulary.words()[rank].to_lowercase()).copied().unwrap_or(0) as f64;
    let ratio = count(0) / count(99);
    assert!((70.0..130.0).contains(&ratio), "{ratio}");
    let once = counts.iter().filter(|(word, count)| **count == 1 && word.len() >= 8).count();
    assert!(once > 2_000, "{once} rare words");
}

#[test]
fn half_of_the_answers_of_the_model_come_within_750_ms() {
    let mut latencies: Vec<_> = history(9, 1_000)
        .flat_map(|call| turns(&call).filter_map(|turn| turn.latency_ms).collect::<Vec<_>>())
        .collect();
    latencies.sort_unstable();
    let part = |percent: usize| latencies[latencies.len() * percent / 100];
    assert!(
        (700..820).contains(&part(50)) && (1_200..2_000).contains(&part(95)),
        "{} {}",
        part(50),
        part(95)
    );
}
