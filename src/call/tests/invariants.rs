//! Properties that hold whatever the peers do and whenever they do it.

use proptest::prelude::*;

use super::*;
use crate::id::MarkId;

/// Something that happens to a call.
#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Start,
    Media { chunk: Option<u64>, len: usize },
    Mark(u32),
    Dtmf,
    Malformed,
    Stop,
    CarrierClosed,
    Opened,
    SetupComplete,
    Speech(usize),
    Words,
    Heard,
    GenerationComplete,
    TurnComplete,
    Interrupted,
    ToolCall,
    LiveClosed,
    Drain(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let chunk = prop_oneof![Just(None), (0_u64..200).prop_map(Some), any::<u64>().prop_map(Some)];
    prop_oneof![
        8 => (0_u64..400).prop_map(Step::Pass),
        1 => (0_u64..12_000).prop_map(Step::Pass),
        4 => Just(Step::Start),
        8 => (chunk, 0_usize..400).prop_map(|(chunk, len)| Step::Media { chunk, len }),
        3 => (0_u32..20).prop_map(Step::Mark),
        1 => Just(Step::Dtmf),
        1 => Just(Step::Malformed),
        1 => Just(Step::Stop),
        1 => Just(Step::CarrierClosed),
        4 => Just(Step::Opened),
        4 => Just(Step::SetupComplete),
        8 => (0_usize..20_000).prop_map(Step::Speech),
        4 => Just(Step::Words),
        2 => Just(Step::Heard),
        3 => Just(Step::GenerationComplete),
        3 => Just(Step::TurnComplete),
        3 => Just(Step::Interrupted),
        1 => Just(Step::ToolCall),
        1 => Just(Step::LiveClosed),
        1 => (0_u64..5000).prop_map(Step::Drain),
    ]
}

fn apply(world: &mut World, step: &Step) {
    match step {
        Step::Pass(ms) => world.pass(*ms),
        Step::Start => world.start_stream(start()),
        Step::Media { chunk, len } => {
            let samples = vec![3000; *len];
            world.carrier(carrier::Event::Media(Media {
                chunk: *chunk,
                rate: Rate::LINE,
                samples: &samples,
            }));
        }
        Step::Mark(mark) => world.carrier(carrier::Event::Mark(Some(MarkId(*mark)))),
        Step::Dtmf => world.carrier(carrier::Event::Dtmf('1')),
        Step::Malformed => world.carrier(carrier::Event::Malformed(Malformed::Json)),
        Step::Stop => world.carrier(carrier::Event::Stop),
        Step::CarrierClosed => world.carrier(carrier::Event::Closed(Some(1000))),
        Step::Opened => world.live(live::Event::Opened),
        Step::SetupComplete => world.live(live::Event::SetupComplete { session_id: None }),
        Step::Speech(len) => world.live(live::Event::Audio(&tone(*len))),
        Step::Words => world.live(live::Event::OutputTranscription("some words ")),
        Step::Heard => world.live(live::Event::InputTranscription("what was said ")),
        Step::GenerationComplete => world.live(live::Event::GenerationComplete),
        Step::TurnComplete => world.live(live::Event::TurnComplete),
        Step::Interrupted => world.live(live::Event::Interrupted),
        Step::ToolCall => {
            world.live(live::Event::ToolCall(live::ToolCall { id: None, name: "f", args: "{}" }));
        }
        Step::LiveClosed => world.live(closed(1011)),
        Step::Drain(ms) => {
            let deadline = world.now + Duration::from_millis(*ms);
            world.call.handle_control(Control::Drain { deadline }, world.now);
            world.collect();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_complete_audio_is_paced_and_nothing_is_lost(steps in prop::collection::vec(step(), 0..80)) {
        let mut world = World::new();
        if steps.len() % 4 != 0 {
            world.start_stream(start());
            world.live(live::Event::Opened);
            world.live(live::Event::SetupComplete { session_id: None });
        }
        for step in &steps {
            apply(&mut world, step);
        }
        world.pass(3_600_000);
        world.carrier(carrier::Event::Stop);

        prop_assert!(world.call.ending().is_some());
        one_terminal_record_without_gaps(&world)?;
        pacing_is_bounded(&world)?;
        downlink_is_conserved(&world, &steps)?;
    }
}

/// ONE_END, LOG_ORDER.
fn one_terminal_record_without_gaps(world: &World) -> Result<(), TestCaseError> {
    let records = world.records();
    for (index, entry) in records.iter().enumerate() {
        prop_assert_eq!(entry.sequence as usize, index + 1);
        let is_last = index + 1 == records.len();
        prop_assert_eq!(matches!(entry.record, Record::Ended(_)), is_last);
    }
    prop_assert!(records.windows(2).all(|pair| pair[0].at <= pair[1].at));
    Ok(())
}

/// PACING: never more than the lead in the caller's buffer, `clear` counted.
fn pacing_is_bounded(world: &World) -> Result<(), TestCaseError> {
    let mut buffered_until_ms = 0.0_f64;
    for (ms, output) in &world.outputs {
        match output {
            Output::Carrier(Command::Clear) => buffered_until_ms = 0.0,
            Output::Carrier(Command::Media(frame)) => {
                let from = buffered_until_ms.max(*ms as f64);
                buffered_until_ms = from + frame.samples().len() as f64 / 8.0;
                prop_assert!(buffered_until_ms - *ms as f64 <= 201.0, "at {} ms", ms);
            }
            _ => {}
        }
    }
    Ok(())
}

/// DOWNLINK_CONSERVED: received = played + cleared + dropped, up to the resampler's tail of each utterance.
fn downlink_is_conserved(world: &World, steps: &[Step]) -> Result<(), TestCaseError> {
    let events = world.events();
    let Some(Event::AudioTotals(totals)) = events.last() else {
        return Err(TestCaseError::fail("the totals are the last event"));
    };
    let accounted = totals.downlink_played_ms + totals.downlink_cleared_ms + totals.downlink_dropped_ms;
    let ends = |step: &&Step| {
        use Step::{GenerationComplete, Interrupted, LiveClosed, TurnComplete};
        matches!(step, GenerationComplete | TurnComplete | Interrupted | LiveClosed)
    };
    let utterances = 2 + steps.iter().filter(ends).count() as u64;
    let tail_ms = 10 * utterances;
    prop_assert!(accounted <= totals.downlink_received_ms + tail_ms, "{:?}", totals);
    prop_assert!(accounted + tail_ms >= totals.downlink_received_ms, "{:?}", totals);
    let sent_ms = world.heard().len() as u64 / 8;
    prop_assert!(totals.downlink_played_ms <= sent_ms + 1, "{:?} of {} ms", totals, sent_ms);
    Ok(())
}
