//! The page of outcomes that are easy and of those that are not.

use std::collections::BTreeMap;

use quick_xml::Reader;
use quick_xml::events::Event;
use rstest::rstest;

use super::*;
use crate::load::growth::Growth;
use crate::load::histogram::Delays;
use crate::load::outcome::{
    Bin, Capacity, Counts, Doubt, Generator, Losses, Machine, Second, ServerCost, Share, Step, StoppedBy,
    VERSION,
};
use crate::load::tally::Tally;

/// Everything that a browser would take for more than text.
const HOSTILE: &str =
    "</p><script>alert('1')</script><img src=\"http://example.com/x\"/>&amp;\u{1b}[2J\u{202e}\0";

/// A test of ten seconds in which all was well.
fn outcome() -> Outcome {
    let mut tally = Tally::default();
    for ms in 20..40 {
        tally.heard.added_delay.record(std::time::Duration::from_millis(ms));
    }
    Outcome {
        origin: Origin {
            load_test: VERSION,
            version: "0.1.0".into(),
            commit: Some("1a2b3c4d5e6f".into()),
            build: "release".into(),
            machine: Machine {
                system: "linux x86_64".into(),
                kernel: Some("6.1.0".into()),
                cpu: Some("AMD EPYC 7B13".into()),
                cores: Some(8),
                memory_bytes: Some(32_000_000_000),
            },
        },
        plan: Plan {
            target: "http://127.0.0.1:8080/twilio/voice".into(),
            command: "patchcord load --calls 20".into(),
            started_at: OffsetDateTime::UNIX_EPOCH,
            calls: 20,
            ramp_ms: 2_000,
            duration_ms: 80_000,
            arrivals: Arrivals::Poisson,
            mix: vec![Share { kind: Kind::Short, weight: 3 }, Share { kind: Kind::Dtmf, weight: 1 }],
            seed: 1,
            model: Model::Simulated,
            max_calls: None,
        },
        ended: Ended::Completed,
        verdict: Verdict::Passed,
        counts: Counts {
            offered: 30,
            answered: 30,
            completed: 10,
            cut_short: 20,
            up_max: 20,
            ..Counts::default()
        },
        measures: tally.heard.measures(),
        delay_histogram: tally.heard.added_delay.bins(),
        losses: Losses { probes: 20, replies: 30, uplink_samples: 2_400_000, ..Losses::default() },
        timeline: (1..=10).map(second).collect(),
        server: Some(ServerCost {
            pid: 1,
            cores: 1,
            cpu_ms_per_call_second: 2.5,
            cpu_share_mean: 0.05,
            cpu_share_max: 0.08,
            rss_base_bytes: 20_000_000,
            rss_max_bytes: 22_000_000,
            rss_per_call_bytes: 100_000,
            rss_growth: Some(Growth { from_bytes: 21_000_000, to_bytes: 21_500_000 }),
        }),
        generator: Generator {
            lateness_p99_ms: 1.2,
            lateness_bar_ms: 5.0,
            frames_sent: 10_000,
            cpu_share_bar: 0.85,
            ..Generator::default()
        },
        capacity: None,
    }
}

/// The fifth has no probe.
fn second(number: u64) -> Second {
    let has_probe = number != 5;
    Second {
        at_ms: number * 1_000,
        calls_up: (number * 4).min(20),
        delay_p50_ms: has_probe.then_some(25.0),
        delay_p99_ms: has_probe.then_some(38.0),
        server_cpu_share: Some(0.05),
        server_rss_bytes: Some(21_000_000),
        generator_lateness_p99_ms: 1.0,
        ..Second::default()
    }
}

fn capacity() -> Capacity {
    let step = |calls, verdict| Step {
        calls,
        verdict,
        delay_p50_ms: 25.0,
        delay_p99_ms: 38.0,
        losses: Losses::default(),
        server_cpu_share: Some(0.5),
        generator_lateness_p99_ms: 1.0,
    };
    Capacity {
        calls: Some(200),
        too_many: Some(225),
        stopped_by: StoppedBy::Found,
        calls_per_core: Some(220.0),
        cpu_ms_per_call_second: Some(2.5),
        rss_per_call_bytes: Some(100_000),
        admission_limit: Some(160),
        steps: vec![step(200, Verdict::Passed), step(225, Verdict::Failed { reasons: vec![HOSTILE.into()] })],
    }
}

/// All texts from outside are hostile.
fn hostile() -> Outcome {
    let text = || HOSTILE.to_owned();
    let mut outcome = Outcome { capacity: Some(capacity()), ..outcome() };
    (outcome.plan.target, outcome.plan.command) = (text(), text());
    outcome.verdict = Verdict::Failed { reasons: vec![text()] };
    outcome.counts.failed = BTreeMap::from([(text(), 1)]);
    outcome.counts.refused = BTreeMap::from([(text(), 2)]);
    let measure = Delays::default().measure(HOSTILE, HOSTILE, Some(f64::MAX));
    outcome.measures = vec![crate::load::outcome::Measure { unit: text(), ..measure }];
    outcome
}

/// Nothing was seen.
fn empty() -> Outcome {
    Outcome {
        verdict: Verdict::Refused { doubt: Doubt::TooSlow, reasons: vec!["no call was placed".into()] },
        ended: Ended::Interrupted,
        counts: Counts::default(),
        measures: Tally::default().heard.measures(),
        delay_histogram: Vec::new(),
        losses: Losses::default(),
        timeline: Vec::new(),
        server: None,
        generator: Generator::default(),
        ..outcome()
    }
}

/// A second in which there was nothing but one probe, and numbers beyond all bounds.
fn extreme() -> Outcome {
    let second = Second { delay_p99_ms: Some(0.0), calls_up: u64::MAX, ..second(5) };
    let bins = [(0.0, 1.0, 1), (1e9, 1e9 + 1.0, u64::MAX / 2)];
    let bins = bins.map(|(from_ms, to_ms, count)| Bin { from_ms, to_ms, count });
    Outcome { timeline: vec![second], delay_histogram: bins.to_vec(), ..outcome() }
}

/// The names of the elements of a well-formed page.
fn read(page: &str) -> Vec<String> {
    let mut elements = Vec::new();
    let mut reader = Reader::from_str(page);
    reader.config_mut().check_end_names = true;
    let mut depth = 0;
    loop {
        match reader.read_event().unwrap() {
            Event::Start(start) => {
                depth += 1;
                assert!(start.attributes().all(|attribute| attribute.is_ok()));
                elements.push(start.name().as_ref().to_owned());
            }
            Event::Empty(start) => {
                assert!(start.attributes().all(|attribute| attribute.is_ok()));
                elements.push(start.name().as_ref().to_owned());
            }
            Event::End(_) => depth -= 1,
            Event::Eof => break,
            Event::CData(_) | Event::Comment(_) | Event::PI(_) => panic!("not of this page"),
            Event::Decl(_) | Event::DocType(_) | Event::GeneralRef(_) | Event::Text(_) => {}
        }
    }
    assert_eq!(depth, 0);
    elements
}

#[rstest]
#[case::well(outcome(), 6)]
#[case::hostile(hostile(), 6)]
#[case::empty(empty(), 0)]
#[case::extreme(extreme(), 6)]
fn the_page_is_well_formed_and_has_a_plot_for_all_that_was_sampled(
    #[case] outcome: Outcome,
    #[case] plots: usize,
) {
    let page = page(&outcome);
    let elements = read(&page);
    assert_eq!(elements.iter().filter(|name| *name == "svg").count(), plots);
    assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
}

#[test]
fn what_comes_from_outside_is_text() {
    let page = page(&hostile());
    let elements = read(&page);
    assert!(!elements.iter().any(|name| ["script", "img"].contains(&name.as_str())));
    assert!(!page.contains(['\u{1b}', '\u{202e}', '\0']));
    assert!(page.contains("&lt;/p&gt;&lt;script&gt;"));
    // No element but those of the same page with harmless texts.
    let plain = read(&super::page(&Outcome { capacity: Some(capacity()), ..outcome() }));
    assert_eq!(elements.iter().find(|name| !plain.contains(name) && *name != "ul" && *name != "li"), None);
}

#[test]
fn a_page_asks_nobody_for_anything() {
    let page = page(&outcome());
    let addresses: Vec<_> = page.match_indices("http").map(|(at, _)| page[at..].split('"').next()).collect();
    let allowed = ["http-equiv=", "http://www.w3.org/", "http://127.0.0.1:8080/"];
    for address in addresses.into_iter().flatten() {
        assert!(allowed.iter().any(|allowed| address.starts_with(allowed)), "{address}");
    }
    for word in ["url(", "@import", "src=", "href=", "onload", "@font-face"] {
        assert!(!page.contains(word), "{word}");
    }
}

#[test]
fn the_page_names_and_explains_every_measure() {
    let mut tally = Tally::default();
    tally.heard.refusal.record(std::time::Duration::from_millis(3));
    let outcome = Outcome { measures: tally.heard.measures(), ..outcome() };
    assert_eq!(outcome.measures.len(), 8);
    let page = page(&outcome);
    for measure in &outcome.measures {
        assert!(page.contains(&format!("<td>{}</td>", measure.title)), "{}", measure.title);
        assert!(page.contains(&format!("<code>{}</code>", measure.name)), "{}", measure.name);
        assert!(glossary::measure(&measure.name).is_some(), "{}", measure.name);
    }
}

#[rstest]
#[case::passed(outcome(), &["Passed: with up to 20 calls", "1970-01-01 00:00:00 UTC", "2 s until all", "1 min 20 s"])]
#[case::kept(outcome(), &["<td>60</td><td>kept</td>", "to the sample", "2\u{202F}400\u{202F}000 samples"])]
#[case::cost(outcome(), &["takes 2.50 ms of one processor core", "full with 400 calls", "100 kB of memory"])]
#[case::growth(outcome(), &["21.0 MB in the middle third of the test, 21.5 MB in the last"])]
#[case::believed(outcome(), &["1.2 ms late at the 99th percentile; up to 5 ms"])]
#[case::late(
    Outcome { generator: Generator { lateness_p99_ms: 5.1, ..outcome().generator }, ..outcome() },
    &["No: the test itself was later than 5 ms"]
)]
#[case::too_little(
    Outcome { verdict: Verdict::Refused { doubt: Doubt::TooSlow, reasons: Vec::new() }, ..outcome() },
    &["Only with care: the reasons"]
)]
#[case::failed(hostile(), &["Failed: with up to 20 calls", "2 refused: ", "1 failed: "])]
#[case::searched(hostile(), &["With 200 calls at once all was well. 225 were too many.", "admit 160 at most"])]
#[case::found_nothing(
    Outcome {
        capacity: Some(Capacity {
            calls: None, too_many: None, admission_limit: None, stopped_by: StoppedBy::Generator, ..capacity()
        }),
        ..empty()
    },
    &["With no number of calls that was tried all was well. The load test itself was too slow, so nothing"]
)]
#[case::refused(empty(), &["No verdict: ", "<li>no call was placed</li>", "interrupted", "There are no plots"])]
#[case::nothing(empty(), &["Nothing was looked at", "not known", "nothing to believe"])]
#[case::limited(
    Outcome { plan: Plan { max_calls: Some(15), ..outcome().plan }, ..outcome() },
    &["<dd>20; the server admits 15</dd>"]
)]
#[case::of_another_model(
    Outcome { plan: Plan { model: Model::Other, ..outcome().plan }, ..outcome() },
    &["delay and losses were not measured"]
)]
fn the_page_says_what_was_found(#[case] outcome: Outcome, #[case] expected: &[&str]) {
    let page = page(&outcome);
    for expected in expected {
        assert!(page.contains(expected), "{expected}");
    }
}

#[test]
fn a_long_test_is_drawn_with_as_many_points_as_can_be_seen() {
    let timeline = (1..=20_000).map(second).collect();
    let page = page(&Outcome { timeline, ..outcome() });
    assert!(page.len() < 150_000, "{}", page.len());
}
