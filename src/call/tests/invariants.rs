//! Properties that hold whatever the peers do and whenever they do it.

use crate::audio::playout::LEAD;
use crate::call::agent::Greeting;
use crate::carrier::Numbers;
use proptest::prelude::*;

use super::*;
use crate::id::{JobId, MarkId};
use crate::job;

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
    Handle(u8),
    NoHandle,
    GoAway(Option<u64>),
    Garbage(u8),
    LiveFailed(usize),
    Lost(usize),
    Released,
    Job(job::Kind, usize),
}

/// Rows of every verdict.
fn failures() -> [Failure; 10] {
    let closed = |code, reason: &str| Failure::Closed { code, reason: reason.to_owned() };
    [
        closed(1000, ""),
        closed(1011, "Internal error encountered."),
        closed(1007, "Request contains an invalid argument."),
        closed(1007, "Invalid session handle"),
        closed(1011, "quota"),
        closed(1008, "API key not valid"),
        Failure::refused(503),
        Failure::refused(403),
        Failure::ConnectTimeout,
        Failure::BreakerOpen,
    ]
}

fn job_events(kind: job::Kind) -> Vec<job::Event> {
    use job::Event::{Audio, Done, Failed, Skipped, Started, Text};
    let provider: Arc<str> = "p".into();
    let work = match kind {
        job::Kind::Transcribe => Text("What was said?".into()),
        job::Kind::Think => Text("An answer. And more. ".into()),
        job::Kind::Speak => Audio(tone(9000)),
    };
    let skipped = Skipped { provider: Arc::clone(&provider), failure: job::Failure::BreakerOpen };
    vec![
        work.clone(),
        work.clone(),
        work,
        Done,
        Done,
        Failed(job::Failure::Stalled),
        Started { provider },
        skipped,
    ]
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

/// What happens around the session and the fallback.
fn trouble() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![Just(job::Kind::Transcribe), Just(job::Kind::Think), Just(job::Kind::Speak)];
    prop_oneof![
        2 => (0_u8..3).prop_map(Step::Handle),
        1 => Just(Step::NoHandle),
        1 => prop::option::of(0_u64..60).prop_map(Step::GoAway),
        1 => (0_u8..30).prop_map(Step::Garbage),
        1 => (0_usize..10).prop_map(Step::LiveFailed),
        4 => (0_usize..10).prop_map(Step::Lost),
        3 => Just(Step::Released),
        8 => (kind, 0_usize..8).prop_map(|(kind, index)| Step::Job(kind, index)),
    ]
}

/// Like life: mostly good, sometimes not, and seldom over.
fn any_step() -> impl Strategy<Value = Step> {
    let is_end = |step: &Step| matches!(step, Step::Stop | Step::CarrierClosed | Step::Drain(_));
    let goes_on = step().prop_filter("the call goes on", move |step| !is_end(step));
    prop_oneof![2 => goes_on, 1 => trouble()]
}

fn apply(world: &mut World, step: &Step) {
    match step {
        Step::Pass(ms) => world.pass(*ms),
        Step::Start => world.start_stream(start()),
        Step::Media { chunk, len } => {
            let samples = vec![3000; *len];
            world.carrier(carrier::Event::Media(Media {
                numbers: Numbers::of_chunk(*chunk),
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
        Step::Handle(n) => {
            let handle = format!("h{n}");
            world.live(live::Event::Resumption { handle: Some(&handle), resumable: true, consumed: None });
        }
        Step::NoHandle => {
            world.live(live::Event::Resumption { handle: None, resumable: false, consumed: None });
        }
        Step::GoAway(seconds) => {
            world.live(live::Event::GoAway { time_left: seconds.map(Duration::from_secs) });
        }
        Step::Garbage(count) => {
            for _ in 0..*count {
                world.live(live::Event::Malformed(live::Malformed::Json));
            }
        }
        Step::LiveFailed(row) => world.live(live::Event::Failed(failures()[*row].clone())),
        Step::Lost(row) => world.live(live::Event::Closed(failures()[*row].clone())),
        Step::Released => world.live(live::Event::Released),
        Step::Job(kind, index) => {
            let started = world.outputs.iter().rev().find_map(|(_, output)| match output {
                Output::Start(id, request) if request.kind() == *kind => Some(*id),
                _ => None,
            });
            if let Some(id) = started {
                let now = world.now;
                world.call.handle_job(id, job_events(*kind)[*index].clone(), now);
                world.collect();
            }
        }
    }
}

/// What the connections and the jobs are known to be by those who run them.
#[derive(Default)]
struct Shell {
    /// Since when a connection is being closed; `None` while it is up.
    links: BTreeMap<LinkId, Option<u64>>,
    jobs: BTreeMap<JobId, job::Kind>,
    looked_at: usize,
}

impl Shell {
    /// The step is about to happen: what it ends is known to be over.
    fn note(&mut self, world: &World, step: &Step) {
        match step {
            Step::LiveClosed | Step::Lost(_) => drop(self.links.remove(&world.link)),
            Step::Released if self.links.get(&world.link).is_some_and(Option::is_some) => {
                self.links.remove(&world.link);
            }
            Step::Job(kind, index) => {
                let events = job_events(*kind);
                if matches!(events[*index], job::Event::Done | job::Event::Failed(_)) {
                    self.jobs.retain(|_, running| running != kind);
                }
            }
            _ => {}
        }
    }

    /// ONE_UPSTREAM, TOOL_ONCE's door, one job of a kind at a time, each ended once.
    fn look(&mut self, world: &World) -> Result<(), TestCaseError> {
        for (ms, output) in &world.outputs[self.looked_at..] {
            match output {
                Output::Dial { link, .. } => {
                    let is_free = |since: &Option<u64>| since.is_some_and(|since| ms - since >= 1200);
                    prop_assert!(self.links.values().all(is_free), "{:?} beside {:?}", link, self.links);
                    self.links.clear();
                    self.links.insert(*link, None);
                }
                Output::Live(link, command) => {
                    let state = self.links.get_mut(link);
                    prop_assert_eq!(&state, &Some(&mut None), "{:?} to {:?}", command, link);
                    if let (Some(state), live::Command::Close | live::Command::Abort) = (state, command) {
                        *state = Some(*ms);
                    }
                }
                Output::Start(id, request) => {
                    let kind = request.kind();
                    prop_assert!(self.jobs.values().all(|running| *running != kind), "two of {:?}", kind);
                    self.jobs.insert(*id, kind);
                }
                Output::Cancel(id) => {
                    prop_assert!(self.jobs.remove(id).is_some(), "{:?} does not run", id);
                }
                _ => {}
            }
        }
        self.looked_at = world.outputs.len();
        Ok(())
    }
}

fn troubled(is_greeted: bool, has_fallback: bool) -> World {
    let agent = Agent {
        greeting: if is_greeted { Greeting::Instruction("Greet.".to_owned()) } else { Greeting::None },
        ..Agent::default()
    };
    let live = live::session::Config { endpoints: 2, ..live::session::Config::default() };
    let endpoints = vec![Endpoint::default(); 2];
    let mut world = World::with(agent, Services { live, endpoints, has_fallback, ..Services::default() });
    world.start_stream(start());
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn sessions_and_jobs_are_one_at_a_time_and_none_is_left(
        steps in prop::collection::vec(any_step(), 0..150),
        is_greeted: bool,
        has_fallback: bool,
    ) {
        let (mut world, mut shell) = (troubled(is_greeted, has_fallback), Shell::default());
        shell.look(&world)?;
        for step in &steps {
            world.carrier(carrier::Event::Connected);
            shell.look(&world)?;
            shell.note(&world, step);
            apply(&mut world, step);
            shell.look(&world)?;
        }
        world.carrier(carrier::Event::Stop);
        shell.look(&world)?;

        prop_assert!(world.call.ending().is_some());
        prop_assert!(shell.jobs.is_empty(), "left running: {:?}", shell.jobs);
        prop_assert!(shell.links.values().all(Option::is_some), "left open: {:?}", shell.links);
        one_terminal_record_without_gaps(&world)?;
        pacing_is_bounded(&world)?;
        uplink_is_conserved(&world)?;
        tools_are_answered_once(&world, &steps)?;
        let mut again = troubled(is_greeted, has_fallback);
        for step in &steps {
            again.carrier(carrier::Event::Mark(Some(MarkId(1_000_000))));
            apply(&mut again, step);
        }
        again.carrier(carrier::Event::Stop);
        prop_assert_eq!(&world.outputs, &again.outputs, "the same again; a forged mark is as good as nothing");
    }
}

/// UPLINK_CONSERVED.
fn uplink_is_conserved(world: &World) -> Result<(), TestCaseError> {
    let events = world.events();
    let Some(Event::AudioTotals(totals)) = events.last() else {
        return Err(TestCaseError::fail("the totals are the last event"));
    };
    let accounted = totals.uplink_sent_ms + totals.uplink_dropped_ms;
    prop_assert!(totals.uplink_received_ms.abs_diff(accounted) <= 1, "{:?}", totals);
    Ok(())
}

/// TOOL_ONCE.
fn tools_are_answered_once(world: &World, steps: &[Step]) -> Result<(), TestCaseError> {
    let calls = steps.iter().filter(|step| matches!(step, Step::ToolCall)).count();
    let is_answer = |command: &&&live::Command| matches!(command, live::Command::ToolError { .. });
    let answers = world.told_live().iter().filter(is_answer).count();
    prop_assert!(answers <= calls, "{} answers to {} calls", answers, calls);
    Ok(())
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
                let lead = buffered_until_ms - *ms as f64;
                prop_assert!(lead <= LEAD.as_millis() as f64 + 1.0, "at {} ms", ms);
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
