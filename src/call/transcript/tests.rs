//! Words in every order, and the turns that they are.

use ::time::OffsetDateTime;
use proptest::prelude::*;
use rstest::rstest;

use super::speech::{TEXT_MAX, cut};
use super::*;
use crate::id::CallId;
use crate::time::WallClock;

const NOBODY: Floor = Floor { speech: None, is_speaking: false };

/// A transcript, and when it is.
struct Desk {
    transcript: Transcript,
    start: Instant,
    now: Instant,
    turns: Vec<Turn>,
}

impl Desk {
    fn new() -> Self {
        let start = Instant::now();
        Self { transcript: Transcript::default(), start, now: start, turns: Vec::new() }
    }

    fn at(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    /// Goes on to this moment; the caller has heard up to `heard`.
    fn go(&mut self, ms: u64, heard: u64) {
        self.now = self.at(ms);
        self.transcript.note_heard(heard, self.now);
        self.take();
    }

    fn take(&mut self) {
        let ledger = Ledger::new(CallId::new(1), WallClock::new(self.start, OffsetDateTime::UNIX_EPOCH));
        while let Some(turn) = self.transcript.pop(&ledger, self.now) {
            self.turns.push(turn);
        }
    }

    fn close(&mut self, heard: u64, received: u64) -> Vec<String> {
        self.transcript.close(heard, received, self.now);
        self.take();
        self.turns.iter().map(|turn| turn.text.clone()).collect()
    }

    /// The caller has spoken between these moments, and is not speaking.
    fn spoke(&self, from: u64, until: u64) -> Floor {
        Floor {
            speech: Some(Speech { started: self.at(from), ended: self.at(until) }),
            is_speaking: self.now < self.at(until),
        }
    }

    fn agent_said(&mut self, text: &str, at: u64) {
        self.transcript.agent_said(text, at, NOBODY, self.now);
    }

    fn agent_spoke(&mut self, at: u64) {
        self.transcript.agent_spoke(at, Answered::default(), self.now);
    }

    fn agent_finished(&mut self, at: u64) {
        self.transcript.agent_finished(at, self.now + LATE_MAX, self.now);
    }
}

#[rstest]
#[case("one two three four", 0, 100, "")]
#[case("one two three four", 50, 100, "one two")]
#[case("one two three four", 99, 100, "one two three")]
#[case("one two three four", 100, 100, "one two three four")]
#[case("one two three four", 5, 0, "one two three four")]
#[case("überall größer", 60, 100, "überall")]
#[case("", 1, 2, "")]
fn words_are_cut_where_hearing_stopped(
    #[case] words: &str,
    #[case] heard: u64,
    #[case] total: u64,
    #[case] expected: &str,
) {
    assert_eq!(cut(words, heard, total), expected);
}

/// 3.x models send each stretch of text with its audio; 2.5 sends all the text first; others send it behind.
#[rstest]
#[case::with_its_audio(&[("Hello Marcelo, nice ", 0), ("to meet", 8000), (" you.", 12000)])]
#[case::ahead_of_its_audio(&[("Hello Marcelo,", 0), (" nice to meet you.", 0)])]
#[case::behind_its_audio(&[("Hello Marcelo,", 12000), (" nice to meet you.", 16000)])]
fn a_turn_heard_to_its_end_has_all_its_words(#[case] fragments: &[(&str, u64)]) {
    let mut desk = Desk::new();
    desk.agent_spoke(0);
    for &(text, at) in fragments {
        desk.agent_said(text, at);
    }
    desk.agent_finished(16000);
    desk.go(2000, 15999);
    desk.go(3000, 16000);
    let [turn] = &desk.turns[..] else { panic!("{:?}", desk.turns) };
    assert_eq!((turn.text.as_str(), turn.interrupted), ("Hello Marcelo, nice to meet you.", false));
    assert_eq!((turn.ended_at - turn.started_at).whole_milliseconds(), 3000);
}

#[rstest]
#[case::nothing(0, None)]
#[case::in_the_first_stretch(4000, Some("Hello"))]
#[case::after_the_first(8000, Some("Hello Marcelo, nice"))]
#[case::in_the_second(11000, Some("Hello Marcelo, nice to"))]
fn an_interrupted_turn_has_only_the_words_heard(#[case] heard: u64, #[case] expected: Option<&str>) {
    let mut desk = Desk::new();
    desk.agent_spoke(0);
    for (text, at) in [("Hello Marcelo, nice ", 0), ("to meet", 8000), (" you.", 12000)] {
        desk.agent_said(text, at);
    }
    desk.transcript.cut(heard, 16000, desk.now);
    desk.go(3000, heard);
    assert_eq!(desk.turns.first().map(|turn| turn.text.as_str()), expected);
    assert!(desk.turns.iter().all(|turn| turn.interrupted));
}

/// What comes after the interruption was said of audio that had come before it.
#[rstest]
#[case::half(8000, "one two three four five")]
#[case::hardly_any(1000, "")]
#[case::nearly_all(15900, "one two three four five six seven eight nine")]
fn words_that_come_after_an_interruption_are_cut_too(#[case] heard: u64, #[case] expected: &str) {
    let mut desk = Desk::new();
    desk.agent_spoke(0);
    desk.agent_finished(16000);
    desk.transcript.cut(heard, 16000, desk.now);
    desk.agent_said("one two three four five six seven eight nine ten", 16000);
    desk.transcript.agent_over(desk.now);
    desk.go(2900, heard);
    assert_eq!(desk.turns, []);
    desk.go(3000, heard);
    assert_eq!(desk.turns[0].text, expected);
}

#[test]
fn text_ahead_of_audio_that_never_came_is_cut_by_the_pace_of_speech() {
    let mut desk = Desk::new();
    desk.agent_said("one two three four five six seven eight nine ten", 0);
    desk.agent_spoke(0);
    assert_eq!(desk.close(8000, 24000), ["one two three"], "a second is about 15 characters");
}

#[test]
fn words_without_audio_are_not_in_the_log() {
    let mut desk = Desk::new();
    desk.agent_said("never spoken", 100);
    desk.agent_finished(100);
    desk.go(5000, 100);
    assert_eq!(desk.close(100, 100), [] as [&str; 0]);
}

#[test]
fn the_callers_fragments_are_joined_as_they_come() {
    let mut desk = Desk::new();
    for fragment in [" Hello", ",", " my", " name", " is Marcelo."] {
        desk.transcript.caller_said(fragment, NOBODY, desk.now);
    }
    assert_eq!(desk.close(0, 0), ["Hello, my name is Marcelo."]);
}

/// The caller's words come after the answer to them has begun.
#[test]
fn late_words_of_the_caller_stand_before_the_answer() {
    for has_early_words in [false, true] {
        let mut desk = Desk::new();
        desk.go(1500, 0);
        let asked = desk.spoke(0, 1000);
        if has_early_words {
            desk.transcript.caller_said("I would like", asked, desk.now);
        }
        desk.transcript.close_caller(desk.now + LATE_MAX);
        desk.transcript.agent_spoke(0, Answered { since: None, speech: asked.speech }, desk.now);
        desk.agent_said("For one night?", 0);
        desk.agent_finished(8000);
        desk.go(3500, 8000);
        desk.transcript.caller_said(" a room, please.", NOBODY, desk.now);
        desk.go(20_000, 8000);
        let texts: Vec<_> = desk.turns.iter().map(|turn| turn.text.as_str()).collect();
        let caller = if has_early_words { "I would like a room, please." } else { "a room, please." };
        assert_eq!(texts, [caller, "For one night?"]);
        let began = (desk.turns[0].started_at - OffsetDateTime::UNIX_EPOCH).whole_milliseconds();
        assert_eq!(began, 0, "when it was spoken");
    }
}

/// Who speaks over the answer has said something new.
#[test]
fn words_of_a_caller_who_has_spoken_since_stand_behind_the_answer() {
    let mut desk = Desk::new();
    desk.transcript.caller_said("A room.", desk.spoke(0, 500), desk.now);
    desk.transcript.close_caller(desk.now + LATE_MAX);
    desk.agent_spoke(0);
    desk.agent_said("For one night?", 0);
    desk.go(2000, 4000);
    let again = desk.spoke(1000, 1800);
    desk.transcript.caller_said("For two.", again, desk.now);
    assert_eq!(desk.close(8000, 8000), ["A room.", "For one night?", "For two."]);
}

/// Without an earlier speech to which they could belong, words are new.
#[test]
fn words_whose_speech_was_not_noticed_stand_behind_a_greeting() {
    let mut desk = Desk::new();
    desk.agent_spoke(0);
    desk.agent_said("Good day.", 0);
    desk.agent_finished(8000);
    desk.go(2000, 8000);
    desk.transcript.caller_said("Hello.", NOBODY, desk.now);
    assert_eq!(desk.close(8000, 8000), ["Good day.", "Hello."]);
}

#[rstest]
#[case::soon(100, &["Good day, this is Anna.", "Yes?"])]
#[case::two_seconds_later(2000, &["Good day, this is Anna.", "Yes?"])]
fn late_words_of_the_agent_find_their_turn(#[case] later: u64, #[case] expected: &[&str]) {
    let mut desk = Desk::new();
    desk.agent_spoke(0);
    desk.agent_said("Good day,", 0);
    desk.agent_finished(8000);
    desk.transcript.agent_over(desk.now);
    desk.go(later, 8000);
    desk.agent_said("this is Anna.", 8000);
    desk.go(3500, 8000);
    desk.agent_said("Yes?", 8000);
    desk.agent_spoke(8000);
    assert_eq!(desk.close(16000, 16000), expected);
}

/// Words that come just before audio are of this audio, if the turn before was complete or something was asked.
#[test]
fn words_ahead_of_their_audio_are_not_the_last_turns() {
    let mut desk = Desk::new();
    desk.agent_spoke(0);
    desk.agent_said("One moment.", 0);
    desk.agent_finished(8000);
    desk.transcript.agent_over(desk.now);
    desk.go(500, 4000);
    desk.agent_said("It is", 8000);
    desk.agent_said(" foggy.", 8000);
    desk.go(700, 5600);
    desk.agent_spoke(8000);
    assert_eq!(desk.close(16000, 16000), ["One moment.", "It is foggy."]);
}

#[test]
fn words_after_a_question_are_the_answer() {
    let mut desk = Desk::new();
    desk.agent_spoke(0);
    desk.agent_said("For one night", 0);
    desk.agent_finished(8000);
    desk.transcript.agent_over(desk.now);
    desk.go(1900, 8000);
    desk.transcript.agent_said(" or two?", 8000, desk.spoke(1000, 2000), desk.now);
    desk.go(2200, 8000);
    desk.transcript.agent_said("Good.", 8000, desk.spoke(1000, 2000), desk.now);
    desk.go(2900, 8000);
    desk.agent_spoke(8000);
    assert_eq!(desk.close(16000, 16000), ["For one night or two?", "Good."]);
}

#[test]
fn a_text_over_the_limit_is_cut_between_characters_and_says_so_once() {
    let mut desk = Desk::new();
    desk.agent_spoke(0);
    let long = "é".repeat(TEXT_MAX / 2 + 1);
    assert!(!desk.transcript.agent_said("a", 0, NOBODY, desk.now));
    assert!(desk.transcript.agent_said(&long, 0, NOBODY, desk.now));
    assert!(!desk.transcript.agent_said(&long, 0, NOBODY, desk.now));
    assert!(desk.transcript.caller_said(&"x".repeat(TEXT_MAX + 1), NOBODY, desk.now));
    desk.agent_finished(8);
    let texts = desk.close(8, 8);
    assert_eq!((texts[0].len(), texts[1].len()), (TEXT_MAX - 1, TEXT_MAX));
}

#[test]
fn a_text_of_the_limit_is_kept_whole() {
    let mut desk = Desk::new();
    assert!(!desk.transcript.caller_said(&"x".repeat(TEXT_MAX), NOBODY, desk.now));
    assert_eq!(desk.close(0, 0)[0].len(), TEXT_MAX);
}

#[test]
fn the_dialogue_has_what_still_waits_for_late_words() {
    let mut desk = Desk::new();
    desk.agent_spoke(0);
    desk.agent_said("Good day,", 0);
    desk.agent_finished(8000);
    desk.go(1000, 8000);
    desk.agent_said("this is Anna.", 8000);
    desk.transcript.caller_said("A room.", NOBODY, desk.now);
    let dialogue = desk.transcript.dialogue(8000);
    let texts: Vec<_> = dialogue.lines().map(|line| line.text.as_str()).collect();
    assert_eq!(texts, ["Good day, this is Anna.", "A room."]);
    assert_eq!(desk.transcript.last_words(8000), "Good day, this is Anna.");
}

#[test]
fn a_flood_of_turns_is_bounded() {
    let mut desk = Desk::new();
    for n in 0..10_000 {
        desk.agent_spoke(n);
        desk.agent_said("x", n);
        desk.agent_finished(n + 1);
        desk.transcript.caller_said("y", desk.spoke(0, 1000), desk.now);
        desk.transcript.close_caller(desk.now + LATE_MAX);
    }
    assert!(desk.transcript.queue.len() <= TURNS_MAX + 1, "{}", desk.transcript.queue.len());
}

/// What happens in one exchange, at this many milliseconds from its beginning.
#[derive(Clone, Debug)]
enum Step {
    CallerSays(String),
    AgentSays(String),
    Audio,
    Finished,
    Over,
}

/// One exchange: the caller speaks for a second, the agent answers from 2.0 s to 3.0 s, the service ends the turn at
/// 4.0 s, and the caller speaks again from 5.5 s to 6.5 s. Words come whenever they may, in the order of speech.
fn exchange(n: usize) -> impl Strategy<Value = Vec<(u64, Step)>> {
    let caller = prop::collection::vec(1000..5600_u64, 1..5);
    let agent = prop::collection::vec(1600..6400_u64, 1..5);
    (caller, agent, 2500..3900_u64).prop_map(move |(mut caller, mut agent, finished)| {
        caller.sort_unstable();
        agent.sort_unstable();
        let said = |who: &str, index| format!(" {who}{n}{}", ["alpha", "beta", "gamma", "delta"][index]);
        let mut steps = vec![(2000, Step::Audio), (finished, Step::Finished), (4000, Step::Over)];
        steps.extend(caller.iter().enumerate().map(|(i, at)| (*at, Step::CallerSays(said("c", i)))));
        steps.extend(agent.iter().enumerate().map(|(i, at)| (*at, Step::AgentSays(said("a", i)))));
        steps.sort_by_key(|(at, _)| *at);
        steps
    })
}

proptest! {
    #[test]
    fn any_order_of_words_sound_and_ends_gives_the_same_turns(
        exchanges in (exchange(0), exchange(1), exchange(2)),
    ) {
        const EACH: u64 = 5500;
        let mut desk = Desk::new();
        let (mut expected, mut steps) = (Vec::new(), Vec::new());
        for (n, exchange) in <[_; 3]>::from(exchanges).into_iter().enumerate() {
            let said = |who: fn(&Step) -> Option<&str>| -> String {
                exchange.iter().filter_map(|(_, step)| who(step)).collect::<String>().trim().to_owned()
            };
            expected.push(said(|step| if let Step::CallerSays(text) = step { Some(text) } else { None }));
            expected.push(said(|step| if let Step::AgentSays(text) = step { Some(text) } else { None }));
            steps.extend(exchange.into_iter().map(|(at, step)| (n as u64 * EACH + at, n as u64, step)));
        }
        steps.sort_by_key(|(at, ..)| *at);
        let mut taken = 0;
        for (at, n, step) in steps {
            let heard = (0..3).map(|n: u64| at.saturating_sub(n * EACH + 2000).min(1000) * 8).sum();
            let received = (n + 1) * 8000;
            desk.go(at, heard);
            // The speech that no answer has taken yet.
            let speech = Speech { started: desk.at(taken * EACH), ended: desk.at(at.min(taken * EACH + 1000)) };
            let is_speaking = at < taken * EACH + 1000;
            let floor = if at >= taken * EACH { Floor { speech: Some(speech), is_speaking } } else { NOBODY };
            match step {
                Step::CallerSays(text) => drop(desk.transcript.caller_said(&text, floor, desk.now)),
                Step::AgentSays(text) => {
                    let position = if taken > n { received } else { n * 8000 };
                    desk.transcript.agent_said(&text, position, floor, desk.now);
                }
                Step::Audio => {
                    taken += 1;
                    desk.transcript.close_caller(desk.now + LATE_MAX);
                    let answers = Answered { since: None, speech: floor.speech };
                    desk.transcript.agent_spoke(n * 8000, answers, desk.now);
                }
                Step::Finished => desk.agent_finished(received),
                Step::Over => desk.transcript.agent_over(desk.now),
            }
        }
        desk.go(100_000, 24_000);
        prop_assert_eq!(desk.close(24_000, 24_000), expected);
    }
}
