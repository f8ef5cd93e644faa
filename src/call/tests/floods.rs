//! A model that sends too much: what is kept of it is bounded, and in the end it is another one's turn.

use rstest::rstest;

use super::*;

const HANDLE: &str = "0123456789abcdef";

/// Seven seconds of a flood in messages every 20 ms.
#[rstest]
#[case::tool_calls(&|world: &mut World| {
    let call = live::ToolCall { id: Some("1"), name: "f", args: "{}" };
    for _ in 0..64 {
        world.live(live::Event::ToolCall(call));
    }
}, 700)]
#[case::handles(&|world: &mut World| {
    let handle = HANDLE.repeat(4000);
    for _ in 0..10 {
        world.live(live::Event::Resumption { handle: Some(&handle), resumable: true, consumed: None });
    }
}, 100)]
#[case::going_away(&|world: &mut World| {
    for _ in 0..100 {
        world.live(live::Event::GoAway { time_left: Some(Duration::from_secs(3600)) });
    }
}, 700)]
#[case::usage(&|world: &mut World| {
    for _ in 0..200 {
        world.live(live::Event::Usage(live::Usage::default()));
    }
}, 5200)]
#[case::empty_messages(&|world: &mut World| {
    for _ in 0..2000 {
        world.call.handle_live_message(world.link, world.now);
    }
    world.collect();
}, 20)]
fn a_flood_leaves_a_bounded_log_and_loses_its_session(
    #[case] send: &dyn Fn(&mut World),
    #[case] records_max: usize,
) {
    let mut world = World::ready();
    let link = world.link;
    for _ in 0..350 {
        world.caller(&[0; 160]);
        if world.link == link && world.call.ending().is_none() {
            send(&mut world);
        }
    }
    let records = world.records().len();
    assert!(records <= records_max, "{records}");
    let lost = world
        .events()
        .into_iter()
        .any(|event| matches!(event, Event::LiveLost { cause: Failure::Flooded, .. }));
    assert!(lost, "{:?}", world.events().last());
}

#[test]
fn twenty_thousand_interruptions_clear_once() {
    let mut world = World::ready();
    world.speech(1000);
    world.pass(300);
    world.take();
    for _ in 0..20_000 {
        world.live(live::Event::Interrupted);
    }
    assert_eq!(world.told_carrier(), [&Command::Clear]);
    world.live(live::Event::TurnComplete);
    world.pass(3000);
    world.speech(500);
    world.pass(100);
    world.live(live::Event::Interrupted);
    let clears = world.told_carrier().into_iter().filter(|command| **command == Command::Clear).count();
    assert_eq!(clears, 2, "the next answer is cleared too");
}

/// The largest of everything that is accepted from a model in one turn is carried.
#[test]
fn the_largest_of_everything_is_carried_whole() {
    let mut world = World::ready();
    let text = "word ".repeat(64 * 1024 / 5);
    world.live(live::Event::OutputTranscription(&text));
    world.live(live::Event::Resumption {
        handle: Some(&HANDLE.repeat(4096)),
        resumable: true,
        consumed: None,
    });
    let name = "n".repeat(256);
    world.live(live::Event::ToolCall(live::ToolCall { id: Some(&name), name: &name, args: "{}" }));
    // Two minutes wait, and then comes a message of four mebibytes.
    world.speech(119_000);
    assert!(world.call.wants_live());
    world.speech(65_000);
    world.live(live::Event::TurnComplete);
    for _ in 0..200 {
        world.pass(1000);
        world.carrier(carrier::Event::Media(Media {
            numbers: Numbers::default(),
            rate: Rate::LINE,
            samples: &[0; 160],
        }));
    }
    let heard = world.frames().map(|(_, frame)| frame.samples().len()).sum::<usize>();
    assert!((184_000 * 8..185_000 * 8).contains(&heard), "{heard}");
    let turns = world.turns();
    assert_eq!((turns.len(), turns[0].text.len()), (1, text.trim().len()));
    let handle = world.events().into_iter().find_map(|event| match event {
        Event::SessionHandle { handle } => Some(handle.len()),
        _ => None,
    });
    assert_eq!(handle, Some(65_536));
    assert!(world.events().contains(&Event::ToolRefused { name }));
}
