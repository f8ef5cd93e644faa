//! Properties that hold whatever the caller and the providers do and whenever they do it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Something that happens to a session.
#[derive(Clone, Debug)]
enum Step {
    Says(u64),
    Silence(u64),
    Pass(u64),
    Batch(usize),
    Keys,
    First,
    /// Whatever event of one of the newest jobs.
    Job(u32, Event),
    /// The newest job of this kind does what it should, and ends if so.
    Works(Kind, bool),
    Close,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => prop::sample::select(vec!["Hello. ", "How can I", " help you? ", "\n", "...", "word ", "** "])
            .prop_map(|text| Event::Text(text.into())),
        1 => Just(Event::Text("A very long text that does not end. ".repeat(150))),
        4 => (0_usize..40_000).prop_map(|len| Event::Audio(vec![1; len])),
        1 => Just(Event::Audio(vec![1; 1_000_000])),
        2 => Just(Event::Done),
        1 => Just(Event::Failed(Failure::Stalled)),
        1 => Just(Event::Started { provider: Arc::from("p") }),
        1 => Just(Event::Skipped { provider: Arc::from("p"), failure: Failure::BreakerOpen }),
        1 => Just(Event::Usage { prompt_tokens: 1, response_tokens: 1 }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_u64..800).prop_map(Step::Says),
        1 => (0_u64..35_000).prop_map(Step::Says),
        8 => (0_u64..1500).prop_map(Step::Silence),
        3 => (0_u64..3000).prop_map(Step::Pass),
        1 => (0_u64..30_000).prop_map(Step::Pass),
        1 => (0_usize..80_000).prop_map(Step::Batch),
        1 => Just(Step::Keys),
        2 => Just(Step::First),
        24 => (prop::sample::select(vec![Kind::Transcribe, Kind::Think, Kind::Speak]), prop::bool::weighted(0.7))
            .prop_map(|(kind, ends)| Step::Works(kind, ends)),
        8 => (0_u32..4, event()).prop_map(|(ago, event)| Step::Job(ago, event)),
    ]
}

fn apply(world: &mut World, step: Step) {
    match step {
        Step::Says(ms) => world.says(ms),
        Step::Silence(ms) => world.silence(ms),
        Step::Pass(ms) => world.pass(ms),
        Step::Batch(len) => {
            let samples: Vec<i16> = (0..len).map(|n| if n % 20_000 < 9_000 { 3000 } else { 0 }).collect();
            let context = Context { is_agent_audible: len % 2 == 0 };
            world.session.handle_audio(&samples, context, world.now);
        }
        Step::Keys => world.session.handle_text("5#", world.now),
        Step::First => world.session.speak_first("Greet.", world.now),
        Step::Job(..) | Step::Works(..) => {
            for (id, event) in job_events(world, &step) {
                world.job(id, event);
            }
        }
        Step::Close => world.session.close(),
    }
    world.collect();
}

/// What a step tells of jobs.
fn job_events(world: &World, step: &Step) -> Vec<(u32, Event)> {
    let (kind, ends) = match step {
        Step::Job(ago, event) => {
            return vec![(world.session.next_job().0.saturating_sub(1 + ago), event.clone())];
        }
        Step::Works(kind, ends) => (*kind, *ends),
        _ => return Vec::new(),
    };
    let newest = world.outputs.iter().rev().find_map(|output| match output {
        Output::Start(JobId(id), request) if request.kind() == kind => Some(*id),
        _ => None,
    });
    let event = match kind {
        Kind::Transcribe => Event::Text("Where is it?".into()),
        Kind::Think => Event::Text("It is here on my table. It is large and green. I see it".into()),
        Kind::Speak => Event::Audio(vec![1; 30_000]),
    };
    let events = [Some(event), ends.then_some(Event::Done)];
    newest
        .into_iter()
        .flat_map(|id| events.clone().into_iter().flatten().map(move |event| (id, event)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn jobs_end_once_and_replies_are_in_order(
        steps in prop::collection::vec(step(), 0..120),
        is_interruptible in any::<bool>(),
    ) {
        let mut world = World::with(Config { is_interruptible, ..Config::default() });
        let mut ended = Vec::new();
        for step in steps {
            let ends = |(_, event): &(u32, Event)| matches!(event, Event::Done | Event::Failed(_));
            let ids = job_events(&world, &step).into_iter().filter(ends).map(|(id, _)| id);
            ended.extend(ids.map(|id| (world.outputs.len(), id)));
            apply(&mut world, step);
        }
        let is_failed = world.session.state() == State::Closed;
        apply(&mut world, Step::Close);
        world.pass(100_000);

        jobs_run_one_of_a_kind_and_end_once(&world, &ended)?;
        replies_are_in_order(&world)?;
        let failed = world.outputs.iter().filter(|output| matches!(output, Output::Failed { .. })).count();
        prop_assert_eq!(failed, usize::from(is_failed));
        prop_assert_eq!(world.session.poll_timeout(), None);
    }

    #[test]
    fn the_agent_is_never_stuck(steps in prop::collection::vec(step(), 0..60)) {
        let mut world = World::new();
        for step in steps {
            apply(&mut world, step);
        }
        world.silence(2000);
        world.pass(200_000);
        let state = world.session.state();
        prop_assert!(matches!(state, LISTENING | State::Closed), "{:?}", state);
    }
}

/// At most one job of each kind, ids count up, each is cancelled or ends once. `ended`: events that end a job,
/// with the number of outputs before them.
fn jobs_run_one_of_a_kind_and_end_once(world: &World, ended: &[(usize, u32)]) -> Result<(), TestCaseError> {
    let mut running = BTreeMap::new();
    let mut ended = ended.iter().peekable();
    let mut next = 1;
    for (index, output) in world.outputs.iter().enumerate() {
        while let Some((_, id)) = ended.next_if(|(at, _)| *at <= index) {
            running.remove(id);
        }
        match output {
            Output::Start(JobId(id), request) => {
                prop_assert_eq!(*id, next);
                next += 1;
                prop_assert!(!running.values().any(|kind| *kind == request.kind()), "{}", id);
                running.insert(*id, request.kind());
            }
            Output::Cancel(JobId(id)) => prop_assert!(running.remove(id).is_some(), "{}", id),
            _ => {}
        }
    }
    for (_, id) in ended {
        running.remove(id);
    }
    prop_assert!(running.is_empty(), "{:?}", running);
    Ok(())
}

/// Begin, sentences, end; after an interruption nothing until the next reply begins. Within bounds.
fn replies_are_in_order(world: &World) -> Result<(), TestCaseError> {
    let (mut is_open, mut audio_len) = (false, 0);
    for output in &world.outputs {
        match output {
            Output::ReplyBegins { waited_since } => {
                prop_assert!(!is_open && *waited_since <= world.now);
                (is_open, audio_len) = (true, 0);
            }
            Output::AgentSays { text } => prop_assert!(is_open && !text.is_empty()),
            Output::Audio(samples) => {
                audio_len += samples.len();
                prop_assert!(is_open && audio_len <= 360 * 24_000);
            }
            Output::SentenceEnd => prop_assert!(is_open),
            Output::ReplyEnd => prop_assert!(std::mem::take(&mut is_open)),
            Output::Interrupt => is_open = false,
            Output::Start(_, Request::Transcribe(said)) => prop_assert!(said.samples.len() <= 30 * 8000 + 80),
            Output::Start(_, Request::Speak(sentence)) => prop_assert!(sentence.text.chars().count() <= 243),
            Output::CallerSaid { text, started, ended } => {
                prop_assert!(!text.is_empty() && text.len() <= 9000 && started <= ended);
            }
            Output::Start(_, Request::Think(_))
            | Output::Cancel(_)
            | Output::WantsReply
            | Output::Misheard
            | Output::Noise
            | Output::SpeechLost(_)
            | Output::Note(..)
            | Output::Failed { .. } => {}
        }
    }
    Ok(())
}
