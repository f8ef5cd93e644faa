//! Stories on the session with a virtual clock, a caller and a playout.
#![allow(clippy::wildcard_enum_match_arm, reason = "what is not looked at is left")]

use std::sync::Arc;

use rstest::rstest;

use super::*;
use crate::dialogue::{Dialogue, Speaker};

mod invariants;

/// A session, its clock, and everything that came out of it, as short lines.
struct World {
    session: Session,
    start: Instant,
    now: Instant,
    dialogue: Dialogue,
    /// Until when the caller hears what was given.
    audible_until: Instant,
    outputs: Vec<Output>,
    taken: usize,
}

impl World {
    fn new() -> Self {
        Self::with(Config { instruction: "Be brief.".into(), ..Config::default() })
    }

    fn with(config: Config) -> Self {
        let start = Instant::now();
        let session = Session::new(config, JobId(1), start);
        let dialogue = Dialogue::default();
        Self { session, start, now: start, dialogue, audible_until: start, outputs: Vec::new(), taken: 0 }
    }

    /// The caller asked something, and the language model (job 2) is asked.
    fn asked() -> Self {
        let mut world = Self::new();
        world.says(500);
        world.silence(900);
        world.hears(1, "Where is my order?");
        world
    }

    /// The model answered with two sentences; the first is being spoken by job 3.
    fn answering() -> Self {
        let mut world = Self::asked();
        world.job(2, Event::Text("It is on its way. It comes on Monday morning.".into()));
        world.job(2, Event::Done);
        world.spoken(3, 1000);
        world.take();
        world
    }

    /// The caller asks once more, transcribed by this job.
    fn asks(&mut self, job: u32) {
        self.says(500);
        self.silence(900);
        self.hears(job, "Again.");
    }

    /// The caller says something in which this job recognises no words.
    fn asks_without_words(&mut self, job: u32) {
        self.says(500);
        self.silence(900);
        self.job(job, Event::Done);
    }

    /// The caller asks, and a service of this kind fails as often as it is asked.
    fn loses_a_turn(&mut self, kind: Kind) {
        let mut id = self.session.next_job().0;
        self.says(500);
        self.silence(900);
        if kind == Kind::Transcribe {
            return self.fails(id);
        }
        self.hears(id, "Where is my order?");
        id += 1;
        if kind == Kind::Speak {
            self.hears(id, "It is on its way.");
            id += 1;
        }
        self.fails(id);
        self.fails(id + 1);
    }

    fn says(&mut self, ms: u64) {
        self.line(ms, 4000);
    }

    fn silence(&mut self, ms: u64) {
        self.line(ms, 0);
    }

    /// The caller's line in frames of 20 ms.
    fn line(&mut self, ms: u64, level: i16) {
        for _ in 0..ms / 20 {
            self.pass(20);
            let context = Context { is_agent_audible: self.now < self.audible_until };
            self.session.handle_audio(&[level; 160], context, self.now);
            self.collect();
        }
    }

    /// Lets time pass without any audio.
    fn pass(&mut self, ms: u64) {
        let until = self.now + Duration::from_millis(ms);
        while let Some(at) = self.session.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.session.handle_timeout(self.now);
            self.collect();
        }
        self.now = until;
    }

    fn job(&mut self, id: u32, event: Event) {
        self.session.handle_job(JobId(id), event, self.now);
        self.collect();
    }

    fn hears(&mut self, id: u32, text: &str) {
        self.job(id, Event::Text(text.into()));
        self.job(id, Event::Done);
    }

    fn spoken(&mut self, id: u32, ms: usize) {
        self.job(id, Event::Audio(vec![1; ms * 24]));
    }

    fn fails(&mut self, id: u32) {
        self.job(id, Event::Failed(Failure::Stalled));
    }

    fn collect(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match &output {
                Output::CallerSaid { text, .. } => self.dialogue.push(Speaker::Caller, text),
                Output::AgentSays { text } => self.dialogue.push(Speaker::Agent, text),
                Output::Audio(samples) => {
                    let length = Duration::from_millis(samples.len() as u64 / 24);
                    self.audible_until = self.audible_until.max(self.now) + length;
                }
                Output::Interrupt => self.audible_until = self.now,
                Output::WantsReply => self.session.reply(&self.dialogue, self.now),
                Output::Start(..)
                | Output::Cancel(_)
                | Output::ReplyBegins { .. }
                | Output::SentenceEnd
                | Output::ReplyEnd
                | Output::Misheard
                | Output::Noise
                | Output::SpeechLost(_)
                | Output::Note(..)
                | Output::Failed { .. } => {}
            }
            self.outputs.push(output);
        }
    }

    /// What came out since the last time.
    fn take(&mut self) -> Vec<String> {
        let new = self.outputs[self.taken..].iter().map(|output| self.print(output)).collect();
        self.taken = self.outputs.len();
        new
    }

    fn ms(&self, at: Instant) -> u128 {
        (at - self.start).as_millis()
    }

    fn print(&self, output: &Output) -> String {
        match output {
            Output::Start(JobId(id), Request::Transcribe(said)) => {
                format!("stt {id}: {} ms", said.samples.len() / 8)
            }
            Output::Start(JobId(id), Request::Think(prompt)) => {
                let line = prompt.dialogue.last().map_or("", |line| &line.text);
                let cue = prompt.instruction.strip_prefix("Be brief.").unwrap_or("?").trim();
                format!("llm {id}: {line}{}", cue.get(..16).unwrap_or(cue))
            }
            Output::Start(JobId(id), Request::Speak(sentence)) => format!("tts {id}: {}", sentence.text),
            Output::Cancel(JobId(id)) => format!("cancel {id}"),
            Output::CallerSaid { text, started, ended } => {
                format!("caller {}-{}: {text}", self.ms(*started), self.ms(*ended))
            }
            Output::WantsReply => "wants reply".into(),
            Output::ReplyBegins { waited_since } => format!("begins, since {}", self.ms(*waited_since)),
            Output::AgentSays { text } => format!("agent: {text}"),
            Output::Audio(samples) => format!("audio {} ms", samples.len() / 24),
            Output::SentenceEnd => "sentence end".into(),
            Output::ReplyEnd => "reply end".into(),
            Output::Interrupt => "interrupt".into(),
            Output::Misheard => "misheard".into(),
            Output::Noise => "noise".into(),
            Output::SpeechLost(lost) => format!("lost {} ms", lost.as_millis()),
            Output::Note(kind, Event::Failed(failure)) => {
                format!("{} failed: {}", kind.code(), failure.code())
            }
            Output::Note(kind, Event::BrokeOff { .. }) => format!("{} broke off", kind.code()),
            Output::Note(kind, _) => format!("{} note", kind.code()),
            Output::Failed { kind, failure } => format!("{} gave up: {}", kind.code(), failure.code()),
        }
    }
}

const LISTENING: State = State::Listening { is_caller_speaking: false };
const CALLER_SPEAKING: State = State::Listening { is_caller_speaking: true };

#[test]
fn a_question_is_transcribed_and_answered_sentence_by_sentence() {
    let mut world = World::new();
    world.silence(1000);
    assert_eq!(world.session.state(), LISTENING);
    world.says(500);
    assert_eq!(world.session.state(), CALLER_SPEAKING);
    world.silence(780);
    assert_eq!((world.take(), world.session.waiting_since()), (vec![], None));
    world.silence(20);
    assert_eq!(world.take(), ["stt 1: 1100 ms"]);
    assert_eq!(world.session.state(), State::Thinking);
    assert_eq!(world.session.waiting_since().map(|at| world.ms(at)), Some(1500));

    world.job(1, Event::Started { provider: Arc::from("ear") });
    world.hears(1, " Where is my order? ");
    assert_eq!(
        world.take(),
        ["stt note", "caller 1000-1500: Where is my order?", "wants reply", "llm 2: Where is my order?"]
    );
    world.job(2, Event::Text("It is on".into()));
    world.job(2, Event::Text(" its **way**. It".into()));
    assert_eq!(world.take(), ["tts 3: It is on its way."]);
    world.job(2, Event::Text(" comes on Monday morning.".into()));
    world.job(2, Event::Done);
    assert_eq!((world.take(), world.session.state()), (vec![], State::Thinking));
    world.spoken(3, 400);
    world.spoken(3, 600);
    assert_eq!(
        world.take(),
        ["begins, since 1500", "agent: It is on its way.", "audio 400 ms", "audio 600 ms"]
    );
    assert_eq!((world.session.state(), world.session.waiting_since()), (State::Speaking, None));
    world.job(3, Event::Done);
    assert_eq!(world.take(), ["sentence end", "tts 4: It comes on Monday morning."]);
    world.spoken(4, 1500);
    world.job(4, Event::Done);
    assert_eq!(
        world.take(),
        ["agent: It comes on Monday morning.", "audio 1500 ms", "sentence end", "reply end"]
    );
    assert_eq!(world.session.state(), LISTENING);
    assert_eq!(world.session.next_job(), JobId(5));
}

#[test]
fn the_agent_greets_and_goes_on_after_another_responder() {
    let mut world = World::new();
    world.session.speak_first("Greet the caller.", world.now);
    world.collect();
    assert_eq!(world.take(), ["wants reply", "llm 1: Greet the caller"]);
    assert_eq!(world.session.waiting_since(), Some(world.start));
    world.job(1, Event::Text("Good morning!".into()));
    world.job(1, Event::Done);
    world.spoken(2, 500);
    world.job(2, Event::Done);
    assert_eq!(world.take().len(), 6);
    world.says(500);
    world.silence(900);
    world.hears(3, "Hello.");
    assert_eq!(world.take().last().map(String::as_str), Some("llm 4: Hello."), "the cue is used once");
}

#[test]
fn a_caller_who_speaks_before_the_greeting_is_answered_instead() {
    let mut world = World::new();
    world.session.speak_first("Greet the caller.", world.now);
    world.says(300);
    world.silence(900);
    world.hears(2, "Hello?");
    let told = ["wants reply", "llm 1: Greet the caller", "cancel 1", "stt 2: 600 ms"];
    assert_eq!(world.take(), [&told[..], &["caller 0-300: Hello?", "wants reply", "llm 3: Hello?"]].concat());
}

#[test]
fn barge_in_cuts_the_reply_and_keeps_the_first_words() {
    let mut world = World::answering();
    world.job(3, Event::Done);
    world.spoken(4, 600);
    world.silence(1200);
    world.take();
    world.says(100);
    assert_eq!(world.take(), [""; 0], "perhaps a click");
    world.says(20);
    assert_eq!(world.take(), ["cancel 4", "interrupt"]);
    assert_eq!(world.session.state(), CALLER_SPEAKING);
    world.spoken(4, 600);
    world.job(4, Event::Done);
    assert_eq!(world.take(), [""; 0], "late audio of the old reply");
    world.says(380);
    world.silence(900);
    assert_eq!(world.take(), ["stt 5: 1100 ms"], "with pre-roll and tail");
    world.hears(5, "On Tuesday, please.");
    assert_eq!(
        world.take(),
        ["caller 2600-3100: On Tuesday, please.", "wants reply", "llm 6: On Tuesday, please."]
    );
}

#[test]
fn barge_in_works_while_the_last_words_are_still_played() {
    let mut world = World::answering();
    world.job(3, Event::Done);
    world.spoken(4, 2000);
    world.job(4, Event::Done);
    world.take();
    world.silence(2000);
    assert_eq!(world.session.state(), LISTENING);
    world.says(140);
    assert_eq!(world.take(), ["interrupt"]);
}

#[test]
fn after_a_noise_that_cut_it_short_the_agent_goes_on() {
    let mut world = World::answering();
    world.says(140);
    world.silence(900);
    world.job(4, Event::Done);
    assert_eq!(
        world.take(),
        ["cancel 3", "interrupt", "stt 4: 740 ms", "wants reply", "llm 5: It is on its way.You were cut off"]
    );
}

#[test]
fn an_agent_that_cannot_be_interrupted_answers_afterwards() {
    let mut world =
        World::with(Config { instruction: "Be brief.".into(), is_interruptible: false, ..Config::default() });
    world.session.speak_first("Inform.", world.now);
    world.collect();
    world.job(1, Event::Text("All calls are recorded.".into()));
    world.job(1, Event::Done);
    world.spoken(2, 3000);
    world.job(2, Event::Done);
    world.take();
    world.says(500);
    world.silence(1000);
    world.hears(3, "Hello?");
    world.says(500);
    world.silence(840);
    world.hears(4, "Who is there?");
    assert_eq!(world.take(), ["stt 3: 800 ms", "stt 4: 1100 ms"]);
    world.silence(200);
    assert_eq!(
        world.take(),
        ["caller 0-2000: Hello? Who is there?", "wants reply", "llm 5: Hello? Who is there?"]
    );
}

#[test]
fn a_caller_who_goes_on_while_the_agent_thinks_is_heard_out() {
    let mut world = World::asked();
    world.take();
    world.job(2, Event::Text("It is on its way. It".into()));
    world.says(500);
    assert_eq!(world.take(), ["tts 3: It is on its way.", "cancel 2", "cancel 3"]);
    assert_eq!(world.session.waiting_since(), None);
    world.silence(900);
    world.hears(4, "The blue one.");
    assert_eq!(
        world.take(),
        [
            "stt 4: 1100 ms",
            "caller 1400-1900: The blue one.",
            "wants reply",
            "llm 5: Where is my order? The blue one."
        ]
    );
}

#[test]
fn a_noise_while_the_agent_thinks_does_not_lose_the_question() {
    let mut world = World::asked();
    world.take();
    world.says(160);
    world.silence(900);
    world.job(3, Event::Done);
    assert_eq!(world.take(), ["cancel 2", "stt 3: 760 ms", "wants reply", "llm 4: Where is my order?"]);
}

#[test]
fn what_is_said_while_another_utterance_is_transcribed_is_one_turn() {
    let mut world = World::new();
    for _ in 0..3 {
        world.says(400);
        world.silence(1000);
    }
    assert_eq!(world.take(), ["stt 1: 700 ms"]);
    world.hears(1, "One.");
    assert_eq!(world.take(), ["stt 2: 2000 ms", "caller 0-400: One."], "two at once; no reply before them");
    world.hears(2, "Two, three.");
    assert_eq!(world.take(), ["caller 1400-3200: Two, three.", "wants reply", "llm 3: One. Two, three."]);
}

#[test]
fn a_long_speech_is_transcribed_in_pieces_before_it_is_answered() {
    let mut world = World::new();
    world.says(40_000);
    assert_eq!(world.take(), ["stt 1: 30000 ms"]);
    world.hears(1, "Once upon a time");
    assert_eq!(world.take(), ["caller 0-30000: Once upon a time"]);
    world.silence(900);
    world.hears(2, "they all died.");
    let told = ["stt 2: 10300 ms", "caller 30000-40000: they all died.", "wants reply"];
    assert_eq!(world.take()[..3], told);
}

#[test]
fn held_audio_may_come_all_at_once() {
    let mut world = World::new();
    world.now += Duration::from_secs(10);
    let held: Vec<i16> = [(0, 8000), (4000, 4000), (0, 8000), (4000, 4000), (0, 8000)]
        .iter()
        .flat_map(|&(level, len)| vec![level; len])
        .collect();
    world.session.handle_audio(&held, Context { is_agent_audible: false }, world.now);
    world.collect();
    assert_eq!(world.take(), ["stt 1: 2200 ms"]);
    world.hears(1, "Hello? Hello?");
    assert_eq!(world.take()[0], "caller 7000-9000: Hello? Hello?");
}

#[test]
fn keys_are_something_the_caller_said() {
    let mut world = World::answering();
    world.session.handle_text("42", world.now);
    world.collect();
    let told = ["cancel 3", "interrupt", "caller 1400-1400: 42", "wants reply", "llm 4: 42"];
    assert_eq!(world.take(), told);
}

#[test]
fn clicks_change_nothing() {
    let mut world = World::new();
    world.says(180);
    world.silence(1000);
    assert_eq!(world.take(), [""; 0], "too short");
    assert_eq!((world.session.state(), world.session.waiting_since()), (LISTENING, None));
}

/// What a service writes that recognised no word; `None`: nothing at all.
#[rstest]
#[case::nothing(None)]
#[case::empty(Some(""))]
#[case::punctuation(Some(" . "))]
#[case::dots(Some("..."))]
#[case::blank(Some("[BLANK_AUDIO]"))]
#[case::silence(Some("(silence)"))]
#[case::music(Some("[Music]"))]
#[case::two_remarks(Some("[BLANK_AUDIO] (upbeat music)"))]
fn a_caller_in_whose_speech_no_words_were_recognised_is_asked_once_to_say_it_again(
    #[case] text: Option<&str>,
) {
    let mut world = World::new();
    let wordless = |world: &mut World, id| {
        world.says(500);
        world.silence(1000);
        world.take();
        if let Some(text) = text {
            world.job(id, Event::Text(text.into()));
        }
        world.job(id, Event::Done);
        world.take()
    };
    assert_eq!(wordless(&mut world, 1), ["stt failed: empty", "misheard"]);
    assert_eq!((world.session.state(), world.session.waiting_since()), (LISTENING, None));
    for id in 2..10 {
        assert_eq!(wordless(&mut world, id), ["noise"], "a noisy line, and no failure of the service");
    }
    assert_eq!(world.session.state(), LISTENING);
    world.asks(10);
    world.hears(11, "It is on its way.");
    world.spoken(12, 500);
    world.job(12, Event::Done);
    world.silence(1000);
    assert_eq!(wordless(&mut world, 13), ["stt failed: empty", "misheard"], "words came between");
}

#[test]
fn keys_are_words_after_which_the_caller_may_be_asked_again() {
    let mut world = World::new();
    world.asks_without_words(1);
    world.session.handle_text("42", world.now);
    world.collect();
    world.hears(2, "It is on its way.");
    world.spoken(3, 500);
    world.job(3, Event::Done);
    world.silence(1000);
    world.take();
    world.asks_without_words(4);
    assert_eq!(world.take().last().map(String::as_str), Some("misheard"));
}

#[test]
fn a_caller_is_not_asked_to_repeat_while_they_speak_or_more_of_it_is_transcribed() {
    let mut world = World::new();
    world.says(500);
    world.silence(900);
    world.says(500);
    world.job(1, Event::Done);
    assert_eq!(world.take(), ["stt 1: 800 ms"], "the caller speaks");
    world.silence(900);
    world.says(500);
    world.silence(900);
    world.job(2, Event::Done);
    assert_eq!(world.take(), ["stt 2: 1100 ms", "stt 3: 1100 ms"], "more was said");
    world.hears(3, "Where is my order?");
    assert!(world.take().iter().all(|line| line != "misheard" && line != "noise"));
}

#[test]
fn a_noise_over_an_agent_that_cannot_be_interrupted_is_noise() {
    let config = Config { instruction: "Be brief.".into(), is_interruptible: false, ..Config::default() };
    let mut world = World::with(config);
    world.session.speak_first("Inform.", world.now);
    world.collect();
    world.hears(1, "All calls are recorded.");
    world.spoken(2, 4000);
    world.job(2, Event::Done);
    world.says(500);
    world.silence(900);
    world.take();
    world.job(3, Event::Done);
    assert_eq!(world.take(), ["noise"]);
}

#[test]
fn transcribing_that_fails_is_misheard_and_given_up_when_three_turns_in_a_row_are_lost() {
    let mut world = World::new();
    for id in [1, 2, 3] {
        world.says(500);
        world.silence(900);
        world.fails(id);
    }
    let lost = |id, ms| [format!("stt {id}: {ms} ms"), "stt failed: stalled".into(), "misheard".into()];
    let last = ["stt 3: 1100 ms".to_owned(), "stt gave up: stalled".to_owned()];
    assert_eq!(world.take(), [&lost(1, 800)[..], &lost(2, 1100), &last].concat());
    assert_eq!(world.session.state(), State::Closed);
    world.says(500);
    world.silence(900);
    assert_eq!((world.take(), world.session.poll_timeout()), (vec![], None));
}

#[test]
fn what_was_misheard_is_tried_again_if_the_caller_goes_on_speaking() {
    let mut world = World::new();
    world.says(500);
    world.silence(900);
    world.says(500);
    world.fails(1);
    world.silence(900);
    world.hears(2, "Where is it? My order?");
    let told = ["stt 1: 800 ms", "stt failed: stalled"];
    assert_eq!(world.take()[..2], told);
    assert_eq!(world.dialogue.last().map(|line| &*line.text), Some("Where is it? My order?"));
}

#[rstest]
#[case::failed(Event::Failed(Failure::Stalled), "stalled")]
#[case::empty(Event::Done, "empty")]
fn a_model_without_a_word_is_asked_again_once(#[case] end: Event, #[case] code: &str) {
    let mut world = World::asked();
    world.take();
    world.job(2, Event::Text("** 👋".into()));
    world.job(2, end.clone());
    assert_eq!(world.take(), ["wants reply", &format!("llm failed: {code}"), "llm 3: Where is my order?"]);
    world.job(3, end);
    assert_eq!(world.take(), [&format!("llm failed: {code}"), "misheard"]);
    assert_eq!(world.session.state(), LISTENING);
    world.asks(4);
    assert_eq!(world.take().last().map(String::as_str), Some("llm 5: Where is my order? Again."));
}

/// Which service fails a turn.
#[rstest]
#[case::all_of_them(&[Kind::Transcribe, Kind::Think, Kind::Speak], Some("tts"))]
#[case::the_model(&[Kind::Think; 3], Some("llm"))]
#[case::the_voice_and_the_model(&[Kind::Speak, Kind::Think, Kind::Think], Some("llm"))]
#[case::two(&[Kind::Think, Kind::Transcribe], None)]
fn three_lost_turns_in_a_row_are_the_last_resort(#[case] turns: &[Kind], #[case] gave_up: Option<&str>) {
    let mut world = World::new();
    for kind in turns {
        world.loses_a_turn(*kind);
    }
    let told = world.take();
    let lost = told.iter().filter(|line| *line == "misheard").count();
    assert_eq!(lost, turns.len().min(TURNS_LOST_MAX as usize - 1), "{told:#?}");
    let last = gave_up.map(|kind| format!("{kind} gave up: stalled"));
    assert_eq!(told.last().filter(|line| line.contains("gave up")), last.as_ref());
}

#[test]
fn services_that_ask_to_be_left_alone_cost_a_turn_and_not_the_call() {
    let limited = |retry_after_ms| {
        Event::Failed(Failure::Limited { status: 429, message: String::new(), retry_after_ms })
    };
    let mut world = World::asked();
    world.job(2, limited(5000));
    world.job(3, limited(120_000));
    let told = world.take();
    assert!(told.iter().any(|line| line == "misheard"), "{told:#?}");
    assert!(!told.iter().any(|line| line.contains("gave up")), "{told:#?}");
}

#[test]
fn a_whole_answer_between_lost_turns_counts_anew() {
    let mut world = World::new();
    for _ in 0..4 {
        world.loses_a_turn(Kind::Think);
        world.loses_a_turn(Kind::Think);
        let id = world.session.next_job().0;
        world.asks(id);
        world.hears(id + 1, "It is on its way.");
        world.spoken(id + 2, 500);
        world.job(id + 2, Event::Done);
        world.silence(1000);
    }
    assert_eq!(world.session.state(), LISTENING);
}

#[test]
fn a_greeting_that_fails_is_tried_again_after_a_second_and_nobody_is_asked_to_repeat() {
    let mut world = World::new();
    world.session.speak_first("Greet the caller.", world.now);
    world.collect();
    world.fails(1);
    world.fails(2);
    world.take();
    assert_eq!(world.session.state(), State::Thinking);
    world.pass(999);
    assert_eq!(world.take(), [""; 0]);
    world.pass(1);
    assert_eq!(world.take(), ["wants reply", "llm 3: Greet the caller"]);
    world.fails(3);
    world.fails(4);
    world.pass(1000);
    world.fails(5);
    world.fails(6);
    assert_eq!(world.take().last().map(String::as_str), Some("llm gave up: stalled"));
}

#[test]
fn a_caller_who_speaks_before_the_greeting_is_tried_again_is_answered() {
    let mut world = World::new();
    world.session.speak_first("Greet the caller.", world.now);
    world.collect();
    world.fails(1);
    world.fails(2);
    world.says(500);
    world.silence(900);
    world.hears(3, "Hello?");
    assert_eq!(world.take().last().map(String::as_str), Some("llm 4: Hello?"));
    assert_eq!(
        world.session.poll_timeout(),
        Some(world.now + Duration::from_secs(20)),
        "nothing else is due"
    );
}

#[test]
fn a_model_that_fails_in_its_first_sentence_is_asked_again() {
    let mut world = World::asked();
    world.take();
    world.job(2, Event::Text("It is on its".into()));
    world.fails(2);
    assert_eq!(world.take(), ["wants reply", "llm failed: stalled", "llm 3: Where is my order?"]);
}

#[test]
fn a_model_that_fails_after_a_sentence_is_asked_for_the_rest_and_then_the_caller_is_told() {
    let mut world = World::asked();
    world.job(2, Event::Text("It is on its way. It comes on Mon".into()));
    world.take();
    world.fails(2);
    world.spoken(3, 1000);
    world.job(3, Event::Done);
    let told = world.take();
    assert_eq!(told[..3], ["llm failed: stalled", "begins, since 500", "agent: It is on its way."]);
    assert_eq!(
        told[4..],
        ["sentence end", "reply end", "wants reply", "llm 4: It is on its way.Your answer was "]
    );
    let cue = world.outputs.iter().rev().find_map(|output| match output {
        Output::Start(_, Request::Think(prompt)) => Some(prompt.instruction.clone()),
        _ => None,
    });
    assert!(cue.is_some_and(|cue| cue.ends_with("\n\nIt is on its way.")));
    assert_eq!((world.session.state(), world.session.waiting_since()), (State::Thinking, None));
    world.job(4, Event::Text("It comes on Monday. But th".into()));
    world.fails(4);
    world.spoken(5, 1000);
    world.job(5, Event::Done);
    assert_eq!(world.take().last().map(String::as_str), Some("misheard"));
    assert_eq!(world.session.state(), LISTENING);
}

#[test]
fn a_model_at_its_limit_is_asked_to_come_to_an_end_and_the_caller_hears_whole_sentences() {
    let unfinished = || Event::Failed(Failure::Unfinished { reason: "length".into() });
    let mut world = World::asked();
    world.job(2, Event::Text("It is on its way. It comes on Mon".into()));
    world.take();
    world.job(2, unfinished());
    world.spoken(3, 1000);
    world.job(3, Event::Done);
    let told = world.take();
    assert_eq!(told[..3], ["llm failed: unfinished", "begins, since 500", "agent: It is on its way."]);
    assert_eq!(told[6..], ["wants reply", "llm 4: It is on its way.Your answer was "]);
    let cue = world.outputs.iter().rev().find_map(|output| match output {
        Output::Start(_, Request::Think(prompt)) => Some(prompt.instruction.clone()),
        _ => None,
    });
    assert!(cue.is_some_and(|cue| cue.contains("too long") && cue.ends_with("\n\nIt is on its way.")));
    world.job(4, Event::Text("It comes on Monday. But th".into()));
    world.job(4, unfinished());
    world.spoken(5, 1000);
    world.job(5, Event::Done);
    assert_eq!(world.take().last().map(String::as_str), Some("reply end"), "the caller has heard enough");
    assert_eq!(world.session.state(), LISTENING);
}

#[test]
fn a_model_at_its_limit_in_its_first_sentence_is_heard_as_far_as_it_came() {
    let unfinished = || Event::Failed(Failure::Unfinished { reason: "max_tokens".into() });
    let mut world = World::asked();
    world.take();
    world.job(2, Event::Text("It is on its".into()));
    world.job(2, unfinished());
    assert_eq!(world.take(), ["llm failed: unfinished", "tts 3: It is on its"]);
    world.spoken(3, 500);
    world.job(3, Event::Done);
    assert_eq!(world.take().last().map(String::as_str), Some("llm 4: It is on itsYour answer was "));
}

#[test]
fn an_answer_whose_rest_is_withheld_is_gone_on_with() {
    let mut world = World::asked();
    world.job(2, Event::Text("It is on its way. It comes on Mon".into()));
    world.take();
    world.job(2, Event::Failed(Failure::Blocked { reason: "SAFETY".into() }));
    world.spoken(3, 1000);
    world.job(3, Event::Done);
    let told = world.take();
    assert_eq!((&*told[0], &*told[2]), ("llm failed: blocked", "agent: It is on its way."));
    assert!(told.last().is_some_and(|line| line.starts_with("llm 4")), "{told:?}");
}

#[test]
fn the_caller_speaks_while_the_rest_of_a_broken_answer_is_asked_for() {
    let mut world = World::with(Config { is_interruptible: false, ..Config::default() });
    world.says(500);
    world.silence(900);
    world.hears(1, "Where is my order?");
    world.job(2, Event::Text("It is on its way. It comes on Mon".into()));
    world.fails(2);
    world.spoken(3, 2000);
    world.says(500);
    world.silence(900);
    world.job(3, Event::Done);
    world.hears(4, "And the other one?");
    world.take();
    world.silence(2000);
    let told = world.take();
    assert!(told[0] == "cancel 5" && told[1].ends_with("And the other one?"), "{told:?}");
    assert!(told.last().is_some_and(|line| line.starts_with("llm 6: And the other one?")), "{told:?}");
}

#[rstest]
#[case::failed(Event::Failed(Failure::Stalled), "stalled")]
#[case::silent(Event::Done, "empty")]
fn a_sentence_that_is_not_spoken_is_tried_again_once(#[case] end: Event, #[case] code: &str) {
    let mut world = World::answering();
    world.job(3, Event::Done);
    world.take();
    world.job(4, end.clone());
    assert_eq!(world.take(), [&format!("tts failed: {code}"), "tts 5: It comes on Monday morning."]);
    world.job(5, end);
    assert_eq!(world.take(), [&format!("tts failed: {code}"), "reply end", "misheard"]);
    assert_eq!(world.session.state(), LISTENING);
}

#[test]
fn a_job_that_never_answers_is_given_up() {
    let mut world = World::asked();
    world.take();
    world.pass(20_000);
    assert_eq!(
        world.take(),
        ["cancel 2", "wants reply", "llm failed: first_byte_timeout", "llm 3: Where is my order?"]
    );
    world.pass(20_000);
    assert_eq!(world.take(), ["cancel 3", "llm failed: first_byte_timeout", "misheard"]);
}

#[test]
fn what_a_recogniser_writes_of_sounds_is_nothing_that_was_said() {
    let mut world = World::new();
    world.says(400);
    world.silence(1000);
    world.hears(1, "<|en|> Um, where is [inaudible] my order?");
    assert!(world.take().iter().any(|line| line.ends_with(": Um, where is my order?")));
}

#[test]
fn a_thought_that_only_ends_is_taken_back_and_the_answer_is_spoken() {
    let mut world = World::asked();
    world.job(2, Event::Text("They want to know. I look it".into()));
    world.spoken(3, 400);
    world.take();
    world.job(2, Event::Text(" up.</think>It is on its way.".into()));
    world.job(2, Event::Done);
    assert_eq!(world.take(), ["cancel 3", "interrupt", "tts 4: It is on its way."]);
    world.spoken(4, 400);
    world.job(4, Event::Done);
    assert_eq!(world.take()[..2], ["begins, since 500", "agent: It is on its way."]);
}

#[test]
fn a_model_that_never_ends_is_cut() {
    let mut world = World::asked();
    world.take();
    for _ in 0..200 {
        world.job(2, Event::Text("All work and no play makes a dull boy. ".into()));
    }
    assert_eq!(world.take(), ["tts 3: All work and no play makes a dull boy.", "cancel 2"]);
}

#[test]
fn speech_that_never_ends_is_cut() {
    let mut world = World::answering();
    for _ in 0..200 {
        world.spoken(3, 1000);
    }
    let told = world.take();
    assert_eq!(told.iter().filter(|line| *line == "audio 1000 ms").count(), 59);
    assert_eq!(told[59..], ["cancel 3", "sentence end", "tts 4: It comes on Monday morning."]);
}

/// The longest text that is taken of one answer, by a voice that is quick: all of it is given, and never more than two
/// minutes before they can be heard.
#[test]
fn the_longest_answer_is_spoken_whole_and_not_too_early() {
    let mut world = World::asked();
    world.take();
    let sentence = "All work and no play makes Jack a dull boy. ";
    for _ in 0..90 {
        world.job(2, Event::Text(sentence.into()));
    }
    let (mut given, mut spoken) = (Duration::ZERO, String::new());
    let begun = world.now;
    for _ in 0..600 {
        for line in world.take() {
            let Some((id, text)) = line.strip_prefix("tts ").and_then(|line| line.split_once(": ")) else {
                continue;
            };
            let ms = 60 * text.len();
            spoken.push_str(text);
            given += Duration::from_millis(ms as u64);
            let id = id.parse().unwrap();
            world.spoken(id, ms);
            world.job(id, Event::Done);
            let ahead = given.saturating_sub(world.now - begun);
            assert!(ahead <= Duration::from_secs(120), "{ahead:?}");
        }
        world.pass(1000);
    }
    assert!(spoken.len() > 3800 && given > Duration::from_secs(220), "{} {given:?}", spoken.len());
    assert_eq!(world.session.state(), LISTENING);
}

#[test]
fn close_cancels_every_job_once() {
    let mut world = World::with(Config { is_interruptible: false, ..Config::default() });
    world.session.speak_first("Greet.", world.now);
    world.collect();
    world.job(1, Event::Text("Good morning! How".into()));
    world.spoken(2, 3000);
    world.says(500);
    world.silence(900);
    world.take();
    world.session.close();
    world.session.close();
    world.collect();
    assert_eq!(world.take(), ["cancel 3", "cancel 1", "cancel 2"]);
    world.hears(3, "Late.");
    world.session.handle_text("1", world.now);
    world.session.speak_first("Greet.", world.now);
    world.says(1000);
    world.pass(100_000);
    assert_eq!((world.take(), world.session.state()), (vec![], State::Closed));
}

#[test]
fn a_line_that_falls_silent_without_silence_ends_the_utterance() {
    let mut world = World::new();
    world.says(500);
    world.pass(2000);
    assert_eq!(world.take(), ["stt 1: 500 ms"]);
}
