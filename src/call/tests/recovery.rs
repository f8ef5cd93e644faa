//! Stories of calls that outlive their model.

use super::*;
use crate::call::agent::Greeting;
use crate::carrier::FollowUp;
use crate::fallback;
use crate::id::JobId;
use crate::job;
use crate::live::Setup;

fn services(endpoints: usize, has_fallback: bool) -> Services {
    Services {
        live: live::session::Config { endpoints, ..live::session::Config::default() },
        endpoints: vec![Endpoint::default(); endpoints],
        has_fallback,
        ..Services::default()
    }
}

impl World {
    /// A call whose live session is set up and that has a fallback.
    fn with_fallback() -> Self {
        let mut world = Self::with(Agent { greeting: Greeting::None, ..Agent::default() }, services(1, true));
        world.start_stream(start());
        world.set_up();
        world.outputs.clear();
        world
    }

    fn set_up(&mut self) {
        self.live(live::Event::Opened);
        self.live(live::Event::SetupComplete { session_id: None });
    }

    fn handle(&mut self, handle: &str) {
        self.live(live::Event::Resumption { handle: Some(handle), resumable: true, consumed: None });
    }

    /// The caller says something for this long, then is silent until it counts as over.
    fn caller_speaks(&mut self, ms: u64) {
        for _ in 0..ms / 20 {
            self.caller(&loud());
        }
        self.caller_listens(600);
    }

    fn caller_listens(&mut self, ms: u64) {
        for _ in 0..ms / 20 {
            self.caller(&[0; 160]);
        }
    }

    /// The model answers with this text in this many milliseconds.
    fn model_answers(&mut self, text: &str, ms: usize) {
        self.live(live::Event::OutputTranscription(text));
        self.speech(ms);
        self.live(live::Event::GenerationComplete);
        self.live(live::Event::TurnComplete);
    }

    fn refuse(&mut self, status: u16) {
        self.live(live::Event::Closed(Failure::refused(status)));
    }

    fn job(&mut self, job: JobId, event: job::Event) {
        self.call.handle_job(job, event, self.now);
        self.collect();
    }

    /// The newest job of a kind that was started.
    fn started_job(&self, kind: job::Kind) -> Option<(JobId, &job::Request)> {
        self.outputs.iter().rev().find_map(|(_, output)| match output {
            Output::Start(id, request) if request.kind() == kind => Some((*id, request)),
            _ => None,
        })
    }

    fn event_kinds(&self) -> Vec<&'static str> {
        self.events().iter().map(Event::kind).collect()
    }

    fn setups(&self) -> Vec<&Setup> {
        let setup = |command: &&'_ live::Command| matches!(command, live::Command::Setup(_));
        self.told_live()
            .into_iter()
            .filter(setup)
            .filter_map(
                |command| if let live::Command::Setup(setup) = command { Some(&**setup) } else { None },
            )
            .collect()
    }

    fn texts_to_live(&self) -> Vec<&str> {
        self.told_live()
            .into_iter()
            .filter_map(
                |command| if let live::Command::Text(text) = command { Some(text.as_str()) } else { None },
            )
            .collect()
    }

    /// Audio for the model, milliseconds.
    fn audio_to_live_ms(&self) -> usize {
        let samples = |command: &live::Command| match command {
            live::Command::Audio(frame) => frame.samples().len(),
            _ => 0,
        };
        self.told_live().into_iter().map(samples).sum::<usize>() / 16
    }

    fn rungs(&self) -> Vec<&'static str> {
        let rung = |event: Event| if let Event::Rung { rung, .. } = event { Some(rung.code()) } else { None };
        self.events().into_iter().filter_map(rung).collect()
    }
}

#[test]
fn a_session_lost_between_turns_is_resumed_without_a_word() {
    let mut world = World::with_fallback();
    world.handle("h1");
    world.caller_speaks(1000);
    world.model_answers("Hello.", 500);
    world.caller_listens(2000);
    world.outputs.clear();
    world.live(closed(1006));
    world.caller(&[0; 160]);
    world.caller(&[0; 160]);
    world.set_up();
    world.caller(&[0; 160]);
    let setups = world.setups();
    assert_eq!(setups.len(), 1);
    assert_eq!((setups[0].handle.as_deref(), &setups[0].history), (Some("h1"), &None));
    assert_eq!(world.texts_to_live(), [] as [&str; 0], "no history, no greeting");
    assert_eq!(world.audio_to_live_ms(), 60, "what came meanwhile comes first");
    assert_eq!(world.event_kinds(), ["live_lost", "live_dialled", "live_ready", "audio_held"]);
    assert_eq!(world.frames().count(), 0, "nothing was owed: the caller hears nothing of it");
}

#[test]
fn a_question_cut_in_two_by_a_loss_is_heard_whole_by_the_resumed_session() {
    let mut world = World::with_fallback();
    world.handle("h1");
    world.caller_listens(1000);
    for _ in 0..40 {
        world.caller(&loud());
    }
    world.live(live::Event::InputTranscription("Where is"));
    world.live(closed(1011));
    for _ in 0..20 {
        world.caller(&loud());
    }
    world.pass(300);
    world.outputs.clear();
    world.set_up();
    world.caller_listens(2000);
    assert!(world.audio_to_live_ms() >= 2000 + 1200, "{} ms", world.audio_to_live_ms());
    world.live(live::Event::InputTranscription("Where is my order?"));
    world.model_answers("On its way.", 500);
    world.pass(5000);
    let said: Vec<_> = world.turns().into_iter().map(|turn| turn.text).collect();
    assert_eq!(said, ["Where is my order?", "On its way."], "no word twice, none lost");
}

#[test]
fn an_answer_cut_in_the_middle_is_heard_out_and_gone_on_with() {
    let mut world = World::with_fallback();
    world.handle("h1");
    world.caller_speaks(500);
    world.live(live::Event::OutputTranscription("We have blue, black and red."));
    world.speech(800);
    world.live(closed(1006));
    world.pass(300);
    world.set_up();
    let texts = world.texts_to_live();
    assert_eq!(texts.len(), 1);
    assert!(texts[0].contains("Go on from there"), "{texts:?}");
    world.pass(600);
    assert!(world.heard().len() >= 6400, "what was there is played");
}

#[test]
fn the_caller_hears_a_cover_when_the_model_is_silent_and_the_model_is_nudged_and_left() {
    let mut world = World::with_fallback();
    world.handle("h1");
    world.caller_speaks(1000);
    world.outputs.clear();
    let silent_since = world.now - Duration::from_millis(600);
    world.pass(600);
    assert!(world.frames().count() > 0, "a tone 1.2 s after the last word");
    world.pass(2800);
    assert_eq!(world.texts_to_live().len(), 1, "nudged after 4 s");
    world.pass(4000);
    let waited = (world.now - silent_since).as_millis();
    assert_eq!(waited, 8000);
    let kinds = world.event_kinds();
    assert_eq!(kinds, ["cover", "cover", "nudged", "live_lost"]);
    let Some(Event::LiveLost { cause, .. }) = world.events().pop() else { panic!() };
    assert_eq!(cause, Failure::Mute);
    world.live(live::Event::Released);
    world.pass(300);
    world.set_up();
    world.caller_listens(600);
    assert!(world.audio_to_live_ms() >= 1600, "the question is asked again");
}

#[test]
fn the_tone_ends_when_the_answer_comes() {
    let mut world = World::with_fallback();
    world.caller_speaks(500);
    world.pass(1000);
    // What of the tone was due goes out on any occasion.
    world.live(live::Event::OutputTranscription("Well."));
    world.outputs.clear();
    world.model_answers("Yes.", 100);
    world.pass(1000);
    let told = world.told_carrier();
    assert_eq!(told[0], &Command::Clear, "what of the tone is under way is dropped");
    let heard_ms = world.heard().len() / 8;
    assert!((100..=130).contains(&heard_ms), "{heard_ms} ms: the answer alone");
}

#[test]
fn an_empty_answer_is_asked_for_again_at_once() {
    let mut world = World::with_fallback();
    world.handle("h1");
    world.caller_speaks(500);
    world.live(live::Event::TurnComplete);
    assert_eq!(world.texts_to_live().len(), 1);
    world.live(live::Event::TurnComplete);
    assert!(world.event_kinds().contains(&"live_lost"), "the second time it is left");
}

#[test]
fn silence_in_samples_is_no_answer() {
    let mut world = World::with_fallback();
    world.caller_speaks(500);
    for _ in 0..80 {
        world.live(live::Event::Audio(&[3; 2400]));
        world.pass(100);
    }
    let causes: Vec<_> = world.events().into_iter().filter(|event| event.kind() == "live_lost").collect();
    assert!(matches!(&causes[..], [Event::LiveLost { cause: Failure::Mute, .. }]), "{causes:?}");
}

#[test]
fn go_away_is_obeyed_at_the_turn_boundary_and_nothing_is_lost() {
    let mut world = World::with_fallback();
    world.handle("h1");
    world.caller_speaks(500);
    world.live(live::Event::GoAway { time_left: Some(Duration::from_secs(50)) });
    world.model_answers("Hello there.", 1000);
    world.handle("h2");
    assert!(!world.event_kinds().contains(&"live_moved"), "the caller is still listening to the answer");
    world.caller_listens(1100);
    assert!(world.event_kinds().contains(&"live_moved"));
    world.outputs.clear();
    world.caller(&loud());
    world.live(live::Event::Released);
    world.caller(&loud());
    world.set_up();
    world.caller(&loud());
    assert_eq!(world.setups()[0].handle.as_deref(), Some("h2"));
    assert_eq!(world.audio_to_live_ms(), 80, "the gap comes first, at four times real time");
    assert_eq!(world.texts_to_live(), [] as [&str; 0]);
}

#[test]
fn a_rejected_handle_leads_to_a_fresh_session_that_knows_what_was_said() {
    let mut world = World::with_fallback();
    world.handle("h1");
    world.caller_speaks(1000);
    world.live(live::Event::InputTranscription("Where is my order?"));
    world.model_answers("On its way.", 500);
    world.caller_listens(1500);
    world.outputs.clear();
    world.live(closed(1006));
    world.live(live::Event::Opened);
    world.live(live::Event::Closed(Failure::Closed { code: 1007, reason: "Invalid session handle".into() }));
    world.pass(300);
    world.set_up();
    let setup = world.setups()[1];
    assert_eq!(setup.handle, None);
    let seeds: Vec<_> = world
        .told_live()
        .into_iter()
        .filter_map(|command| if let live::Command::Seed(seed) = command { Some(seed.clone()) } else { None })
        .collect();
    let lines: Vec<_> = seeds[0].lines().map(|line| (line.speaker, line.text.as_str())).collect();
    assert_eq!(lines, [(Speaker::Caller, "Where is my order?"), (Speaker::Agent, "On its way.")]);
    assert_eq!(world.texts_to_live(), [] as [&str; 0], "nothing is owed");
}

#[test]
fn garbage_is_borne_up_to_a_point() {
    let mut world = World::with_fallback();
    for _ in 0..20 {
        world.live(live::Event::Malformed(live::Malformed::Json));
    }
    assert!(!world.event_kinds().contains(&"live_lost"));
    world.live(live::Event::Malformed(live::Malformed::Json));
    assert!(world.event_kinds().contains(&"live_lost"));
}

#[test]
fn without_a_fallback_the_caller_hears_an_apology_and_is_handed_on() {
    let mut agent = Agent { greeting: Greeting::None, ..Agent::default() };
    agent.otherwise.last_resort = FollowUp::Voicemail;
    let mut world = World::with(agent, services(1, false));
    world.start_stream(start());
    world.refuse(401);
    assert_eq!(world.rungs(), ["last_resort"]);
    assert_eq!(world.call.ending(), None);
    world.pass(7000);
    let Some(Ending::AllFailed { follow_up, .. }) = world.call.ending() else {
        panic!("{:?}", world.call.ending())
    };
    assert_eq!(follow_up, &FollowUp::Voicemail);
    assert!(world.heard().len() > 8000 * 4, "the apology is heard");
    assert!(world.turns()[0].text.contains("leave a message"), "{:?}", world.turns());
    let handed =
        world.outputs.iter().any(|(_, output)| matches!(output, Output::FollowUp(FollowUp::Voicemail)));
    assert!(handed);
}

#[test]
fn a_second_endpoint_is_tried_before_the_fallback() {
    let mut world = World::with(Agent { greeting: Greeting::None, ..Agent::default() }, services(2, true));
    world.start_stream(start());
    world.refuse(429);
    let dials: Vec<_> = world
        .outputs
        .iter()
        .filter_map(
            |(_, output)| if let Output::Dial { endpoint, .. } = output { Some(*endpoint) } else { None },
        )
        .collect();
    assert_eq!(dials, [0, 1]);
    world.refuse(403);
    assert_eq!(world.rungs(), ["fallback"]);
}

/// Live is refused from the start: the fallback hears what was said meanwhile, thinks and speaks.
#[test]
fn a_refused_call_is_carried_by_the_fallback() {
    let mut world = World::with(Agent { greeting: Greeting::None, ..Agent::default() }, services(1, true));
    world.start_stream(start());
    for _ in 0..25 {
        world.caller(&loud());
    }
    world.refuse(403);
    world.caller_listens(1000);
    let (stt, _) = world.started_job(job::Kind::Transcribe).expect("the caller's words are transcribed");
    world.job(stt, job::Event::Text("How old is the bridge?".into()));
    world.job(stt, job::Event::Done);
    let (llm, request) = world.started_job(job::Kind::Think).expect("the model is asked");
    let job::Request::Think(prompt) = request else { panic!() };
    assert_eq!(prompt.dialogue.last().map(|line| line.text.as_str()), Some("How old is the bridge?"));
    world.job(llm, job::Event::Text("It is old. ".into()));
    world.job(llm, job::Event::Text("Very old.".into()));
    world.job(llm, job::Event::Done);
    let (tts, _) = world.started_job(job::Kind::Speak).expect("the first sentence is spoken");
    world.job(tts, job::Event::Audio(tone(24_000)));
    world.job(tts, job::Event::Done);
    let (tts, _) = world.started_job(job::Kind::Speak).expect("and the second");
    world.job(tts, job::Event::Audio(tone(24_000)));
    world.job(tts, job::Event::Done);
    world.caller_listens(3000);
    let said: Vec<_> = world.turns().into_iter().map(|turn| (turn.speaker, turn.text)).collect();
    assert_eq!(
        said,
        [
            (Speaker::Caller, "How old is the bridge?".to_owned()),
            (Speaker::Agent, "It is old. Very old.".to_owned()),
        ]
    );
    assert!(world.heard().len() >= 16_000);
}

/// A caller in whose speech no words are recognised is asked to say it again, and no cover is heard for it: not then,
/// and not for the noises after it.
#[test]
fn a_caller_who_was_not_understood_is_asked_once_and_hears_no_cover() {
    let mut world = World::with(Agent { greeting: Greeting::None, ..Agent::default() }, services(1, true));
    world.start_stream(start());
    world.refuse(403);
    for _ in 0..3 {
        for _ in 0..25 {
            world.caller(&loud());
        }
        world.caller_listens(1000);
        let (stt, _) = world.started_job(job::Kind::Transcribe).expect("the sound is transcribed");
        world.job(stt, job::Event::Done);
        world.caller_listens(15_000);
        let turns = world.turns();
        let asked = turns.iter().filter(|turn| turn.text.contains("say that again")).count();
        assert_eq!((asked, turns.len()), (1, 1), "once, and not for the noises after it");
        assert!(!world.event_kinds().contains(&"cover"), "{:?}", world.events());
    }
    assert_eq!(world.event_kinds().iter().filter(|kind| **kind == "job_failed").count(), 1);
    assert_eq!(world.rungs(), ["fallback"]);
}

#[test]
fn a_fallback_that_fails_too_ends_with_the_apology_and_cancels_its_jobs() {
    let mut world = World::with(
        Agent { greeting: Greeting::Instruction("Greet.".into()), ..Agent::default() },
        services(1, true),
    );
    world.start_stream(start());
    world.refuse(403);
    for _ in 0..fallback::TURNS_LOST_MAX {
        for _ in 0..2 {
            let (llm, _) = world.started_job(job::Kind::Think).expect("the model is asked");
            world.job(llm, job::Event::Failed(job::Failure::NoProvider));
        }
        world.pass(1000);
    }
    assert_eq!(world.rungs(), ["fallback", "last_resort"]);
    world.pass(10_000);
    assert_eq!(world.call.ending().map(Ending::code), Some("all_failed"));
}

/// The call returns to live at a turn boundary, with the conversation so far.
#[test]
fn a_call_in_the_fallback_returns_to_live_when_it_is_healthy_again() {
    let mut world = World::with(Agent { greeting: Greeting::None, ..Agent::default() }, services(1, true));
    world.start_stream(start());
    world.refuse(503);
    world.pass(1000);
    world.refuse(503);
    world.pass(1000);
    world.refuse(503);
    assert_eq!(world.rungs(), ["fallback"]);
    world.outputs.clear();
    world.caller_listens(11_000);
    assert_eq!(world.event_kinds(), [] as [&str; 0], "three attempts in thirty seconds are all there may be");
    world.caller_listens(20_000);
    world.set_up();
    assert_eq!(world.rungs(), ["live"]);
    world.outputs.clear();
    world.caller(&loud());
    assert_eq!(world.audio_to_live_ms(), 20, "the live model hears the caller");
}

#[test]
fn a_recorded_greeting_is_heard_at_once_whatever_the_model_does() {
    let clip = clip::Clip { text: "Welcome.".into(), samples: vec![1000; 8000].into() };
    let agent = Agent { greeting: Greeting::Clip(clip), ..Agent::default() };
    let mut world = World::with(agent, services(1, true));
    world.start_stream(start());
    assert_eq!(world.frames().count(), 12, "the first 240 ms at once");
    world.pass(1500);
    assert_eq!(world.turns()[0].text, "Welcome.");
    world.set_up();
    assert_eq!(world.texts_to_live(), [] as [&str; 0], "the model does not greet again");
    assert!(world.setups()[0].prompt.contains("Welcome."));
}

#[test]
fn a_caller_who_speaks_over_old_words_while_nobody_listens_is_not_talked_over() {
    let mut world = World::with_fallback();
    world.handle("h1");
    world.speech(5000);
    world.live(closed(1006));
    world.pass(300);
    world.outputs.clear();
    for _ in 0..20 {
        world.caller(&loud());
    }
    assert!(world.told_carrier().contains(&&Command::Clear));
}

#[test]
fn a_call_that_ends_in_the_fallback_leaves_nothing_running() {
    let mut world = World::with(
        Agent { greeting: Greeting::Instruction("Greet.".into()), ..Agent::default() },
        services(1, true),
    );
    world.start_stream(start());
    world.refuse(403);
    let (llm, _) = world.started_job(job::Kind::Think).expect("the greeting is thought of");
    world.carrier(carrier::Event::Stop);
    let cancelled = world.outputs.iter().any(|(_, output)| *output == Output::Cancel(llm));
    assert!(cancelled);
}
