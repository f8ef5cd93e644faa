//! Words in every order on the whole call: what is in the log, and what the next session is told.

use rstest::rstest;

use super::*;

/// How the last words of an answer come.
#[derive(Clone, Copy, Debug)]
enum Last {
    BeforeTheEnd,
    AfterGeneration,
    WithTheTurn,
    Behind(u64),
}

impl World {
    fn says(&mut self, text: &str) {
        self.live(live::Event::OutputTranscription(text));
    }

    /// The caller speaks for 500 ms and is silent for 700 ms.
    fn asks(&mut self) {
        for n in 0..60 {
            self.caller(&if n < 25 { loud() } else { vec![0; 160] });
        }
    }

    fn silence(&mut self, ms: u64) {
        for _ in 0..ms / 20 {
            self.caller(&[0; 160]);
        }
    }

    fn answer(&mut self, first: &str, last: &str, how: Last) {
        self.says(first);
        self.speech(1000);
        if let Last::BeforeTheEnd = how {
            self.says(last);
        }
        self.live(live::Event::GenerationComplete);
        if let Last::AfterGeneration | Last::WithTheTurn = how {
            self.says(last);
        }
        self.live(live::Event::TurnComplete);
        if let Last::Behind(ms) = how {
            self.silence(ms);
            self.says(last);
        }
    }

    fn texts(&self) -> Vec<String> {
        self.turns().into_iter().map(|turn| turn.text).collect()
    }
}

#[rstest]
#[case(Last::BeforeTheEnd)]
#[case(Last::AfterGeneration)]
#[case(Last::WithTheTurn)]
#[case(Last::Behind(20))]
#[case(Last::Behind(600))]
#[case(Last::Behind(2000))]
fn the_last_words_of_an_answer_are_its_own(#[case] how: Last) {
    let mut world = World::ready();
    world.answer("Good day,", "this is Anna.", how);
    world.silence(600);
    world.asks();
    world.live(live::Event::InputTranscription("A room, please."));
    world.answer("For one night", " or for two?", how);
    world.silence(2500);
    let expected = ["Good day, this is Anna.", "A room, please.", "For one night or for two?"];
    world.live(closed(1011));
    world.pass(1000);
    world.live(live::Event::Opened);
    let Some(live::Command::Setup(setup)) = world.told_live().last().copied() else { panic!() };
    let history = setup.history.as_ref().unwrap();
    let told: Vec<_> = history.lines().map(|line| line.text.as_str()).collect();
    assert_eq!(told, expected);
    world.carrier(carrier::Event::Stop);
    assert_eq!(world.texts(), expected);
}

/// Rows wait for late words, but not for ever, and a hang-up does not lose them.
#[test]
fn a_turn_is_logged_three_seconds_after_its_end_at_the_latest() {
    let mut world = World::ready();
    world.asks();
    world.live(live::Event::InputTranscription("Hello?"));
    world.says("Yes.");
    world.speech(500);
    world.live(live::Event::GenerationComplete);
    world.live(live::Event::TurnComplete);
    world.silence(2900);
    assert_eq!(world.texts(), [] as [&str; 0]);
    world.silence(200);
    assert_eq!(world.texts(), ["Hello?", "Yes."]);
}

#[test]
fn words_of_the_caller_that_come_with_the_answer_stand_before_it() {
    let mut world = World::ready();
    world.asks();
    world.says("We have one.");
    world.speech(1000);
    world.live(live::Event::InputTranscription(" Have you"));
    world.silence(400);
    world.live(live::Event::InputTranscription(" got a room?"));
    world.live(live::Event::TurnComplete);
    world.silence(6000);
    assert_eq!(world.texts(), ["Have you got a room?", "We have one."]);
}

#[test]
fn words_that_come_after_an_interruption_are_logged_as_far_as_they_were_heard() {
    let mut world = World::ready();
    world.asks();
    world.speech(2000);
    world.live(live::Event::GenerationComplete);
    world.pass(1000);
    world.live(live::Event::Interrupted);
    world.says("one two three four five six seven eight nine ten");
    world.live(live::Event::TurnComplete);
    world.silence(4000);
    let turns = world.turns();
    assert!(turns[0].interrupted);
    assert!(["one two three four", "one two three four five"].contains(&turns[0].text.as_str()), "{turns:?}");
}

#[test]
fn a_text_over_the_limit_is_cut_and_says_so() {
    let mut world = World::ready();
    world.says(&"x".repeat(70_000));
    world.speech(500);
    world.live(live::Event::TurnComplete);
    world.silence(5000);
    assert_eq!(world.turns()[0].text.len(), 65_536);
    let field = Some("serverContent.outputTranscription");
    let fault = Event::Fault { peer: Peer::Live, fault: "too_long", field, count: 1 };
    assert!(world.events().contains(&fault), "{:?}", world.events());
}
