//! What is recorded of a call, and what is not while nobody may keep it.

use super::super::agent::{Keep, Recording};
use super::super::clip::Clip;
use super::*;
use crate::audio::g711;
use crate::audio::tape::Block;

fn clip(ms: usize) -> Clip {
    Clip { text: "This call is recorded.".into(), samples: vec![3000; ms * 8].into() }
}

fn recorded(announcement: Option<Clip>) -> World {
    let keep = Keep { recording: Some(Recording { announcement, retention_days: None }), ..Keep::default() };
    World::with_agent(Agent { greeting: Greeting::None, keep, ..Agent::default() })
}

fn ready(mut world: World) -> World {
    world.start_stream(start());
    world.live(live::Event::Opened);
    world.live(live::Event::SetupComplete { session_id: None });
    world
}

fn listen(world: &mut World, ms: usize) {
    (0..ms / 20).for_each(|_| world.caller(&[0; 160]));
}

fn hang_up(world: &mut World) {
    world.carrier(carrier::Event::Stop);
}

/// Both channels of what was recorded, whole.
fn channels(world: &World) -> (Vec<u8>, Vec<u8>) {
    let blocks: Vec<&Block> = world
        .outputs
        .iter()
        .filter_map(|(_, output)| if let Output::Tape(block) = output { Some(&**block) } else { None })
        .collect();
    let channel = |of: fn(&Block) -> &Vec<u8>| blocks.iter().flat_map(|block| of(block).clone()).collect();
    (channel(|block| &block.caller), channel(|block| &block.agent))
}

/// First and last millisecond with sound.
fn sound(channel: &[u8]) -> Option<(usize, usize)> {
    let is_sound = |byte: &u8| *byte != g711::MULAW_SILENCE;
    Some((channel.iter().position(is_sound)? / 8, channel.iter().rposition(is_sound)? / 8))
}

fn kinds(world: &World) -> Vec<&'static str> {
    let kinds = world.events().into_iter().map(|event| event.kind()).collect::<Vec<_>>();
    kinds.into_iter().filter(|kind| kind.starts_with("recording")).collect()
}

#[test]
fn a_call_is_recorded_as_the_caller_heard_it() {
    let mut world = ready(recorded(None));
    (0..50).for_each(|_| world.caller(&loud()));
    world.speech(3000);
    listen(&mut world, 1000);
    world.live(live::Event::Interrupted);
    listen(&mut world, 1000);
    hang_up(&mut world);
    let (caller, agent) = channels(&world);
    assert_eq!((caller.len(), agent.len()), (24_000, 24_000));
    assert_eq!(sound(&caller), Some((0, 999)));
    let (from, until) = sound(&agent).unwrap();
    assert!((1000..1020).contains(&from) && (1980..=2001).contains(&until), "{from} to {until}");
    assert_eq!(kinds(&world), ["recording_started", "recording_ended"]);
    assert!(world.events().contains(&Event::RecordingEnded { duration_ms: 3000 }));
}

#[test]
fn a_call_that_is_not_to_be_recorded_is_not() {
    let mut world = World::ready();
    world.speech(500);
    listen(&mut world, 1000);
    hang_up(&mut world);
    assert!(channels(&world).0.is_empty() && kinds(&world).is_empty());
}

#[test]
fn nothing_of_a_pause_is_kept_and_time_goes_on() {
    let mut world = ready(recorded(None));
    (0..50).for_each(|_| world.caller(&loud()));
    world.live(live::Event::InputTranscription("My name is Marcelo."));
    world.live(live::Event::OutputTranscription("Your card, please."));
    world.speech(500);
    world.live(live::Event::GenerationComplete);
    world.live(live::Event::TurnComplete);
    listen(&mut world, 1000);

    world.call.handle_control(Control::PauseRecording, world.now);
    world.call.handle_control(Control::PauseRecording, world.now);
    (0..50).for_each(|_| world.caller(&loud()));
    world.carrier(carrier::Event::Dtmf('4'));
    world.live(live::Event::InputTranscription("4111 1111 1111 1111"));
    world.live(live::Event::OutputTranscription("4111 1111, thank you."));
    world.speech(500);
    world.live(live::Event::GenerationComplete);
    world.live(live::Event::TurnComplete);
    listen(&mut world, 1000);
    world.call.handle_control(Control::ResumeRecording, world.now);
    listen(&mut world, 4000);

    world.carrier(carrier::Event::Dtmf('5'));
    (0..50).for_each(|_| world.caller(&loud()));
    world.live(live::Event::InputTranscription("Goodbye."));
    world.live(live::Event::OutputTranscription("Goodbye to you."));
    world.speech(500);
    world.live(live::Event::GenerationComplete);
    world.live(live::Event::TurnComplete);
    listen(&mut world, 1000);
    hang_up(&mut world);

    let turns = world.turns();
    let said: Vec<_> = turns.iter().map(|turn| turn.text.as_str()).collect();
    let expected = [
        "My name is Marcelo.",
        "Your card, please.",
        "[withheld]",
        "[withheld]",
        "Goodbye.",
        "Goodbye to you.",
    ];
    assert_eq!(said, expected);
    let digits: Vec<_> = world
        .events()
        .into_iter()
        .filter_map(|event| if let Event::Dtmf { digit } = event { Some(digit) } else { None })
        .collect();
    assert_eq!(digits, ['*', '5']);
    assert_eq!(
        kinds(&world),
        ["recording_started", "recording_paused", "recording_resumed", "recording_ended"]
    );
    let (caller, agent) = channels(&world);
    assert_eq!(caller.len(), 10_000 * 8);
    for channel in [&caller, &agent] {
        assert_eq!(sound(&channel[2000 * 8..4000 * 8]), None);
        assert!(sound(&channel[..2000 * 8]).is_some() && sound(&channel[4000 * 8..]).is_some());
    }
}

#[test]
fn a_pause_keeps_words_from_the_log_of_a_call_without_a_recording() {
    let mut world = World::ready();
    world.call.handle_control(Control::PauseRecording, world.now);
    (0..50).for_each(|_| world.caller(&loud()));
    world.live(live::Event::InputTranscription("4111"));
    hang_up(&mut world);
    assert_eq!(world.turns()[0].text, "[withheld]");
}

#[test]
fn the_announcement_is_heard_first_and_to_its_end_whatever_the_caller_says() {
    let mut world = ready(recorded(Some(clip(1000))));
    listen(&mut world, 300);
    world.speech(500);
    world.live(live::Event::Interrupted);
    listen(&mut world, 200);
    world.live(live::Event::TurnComplete);
    world.speech(500);
    world.live(live::Event::Interrupted);
    listen(&mut world, 1500);
    hang_up(&mut world);
    let (_, agent) = channels(&world);
    let announcement = g711::encode(3000);
    assert_eq!(agent.iter().filter(|byte| **byte == announcement).count(), 8000, "each sample once");
    assert_eq!(agent[..160], [announcement; 160], "and first");
    assert_eq!(sound(&agent).unwrap().1, 999, "nothing else was heard");
}

#[test]
fn a_recording_that_fails_is_said_once_and_the_call_goes_on() {
    let mut world = ready(recorded(None));
    listen(&mut world, 1000);
    world.call.handle_recording_failed("the disk is nearly full", world.now);
    world.call.handle_recording_failed("the disk is nearly full", world.now);
    world.collect();
    let before = channels(&world).0.len();
    listen(&mut world, 1000);
    hang_up(&mut world);
    assert_eq!(channels(&world).0.len(), before);
    assert_eq!(kinds(&world), ["recording_started", "recording_failed"]);
    assert_eq!(world.call.ending(), Some(&Ending::CallerHungUp));
}

/// The apology of a call that nobody can answer is on the tape.
#[test]
fn what_is_heard_after_the_last_word_of_the_model_is_recorded() {
    let mut world = recorded(None);
    world.start_stream(start());
    listen(&mut world, 500);
    for _ in 0..3 {
        world.live(closed(1008));
        listen(&mut world, 500);
    }
    listen(&mut world, 8000);
    let (_, agent) = channels(&world);
    let (_, until) = sound(&agent).unwrap();
    assert!(until > 3000, "{until}");
    assert_eq!(kinds(&world), ["recording_started", "recording_ended"]);
}
