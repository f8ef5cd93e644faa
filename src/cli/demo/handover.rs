//! A call that outlives two of its connections: one that the service asks to leave, and one that breaks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::caller::{self, Caller};
use super::conversation::Conversation;
use super::hearing;
use super::notes::{Journal, Notes};
use super::stage::{Cast, Model, Played, Stage};
use crate::audio::resample::Resampler;
use crate::audio::{Rate, wav};
use crate::call::agent::Agent;
use crate::call::record::{Entry, Event, Record};
use crate::dialogue::Speaker;
use crate::sim::carrier::Report;
use crate::sim::gemini::{
    Behaviour, Close, Defect, GoAway, Hearing, Leave, Observation, Scenario, Sighting, Term, Utterance,
};
use crate::store;

/// The greeting is the first turn, the first answer the second: after it the service asks to leave, with 50 s left.
const TURNS: u32 = 2;

/// In the middle of the caller's third question.
const BREAKS_AT: Duration = Duration::from_millis(24_000);

const LENGTH_MS: u64 = 32_000;

/// Plays the call.
pub(super) async fn play(store: store::Handle) -> anyhow::Result<Report> {
    outln!("── Call 3: the service sends goAway, and later breaks the connection with 1011 ──");
    let caller = Caller::asking(
        &[
            (6_000, caller::CHROMECAST),
            (15_000, caller::BLACK),
            (23_000, caller::REGULAR),
            (30_500, caller::EXPRESS),
        ],
        LENGTH_MS,
    )?;
    let go_away = GoAway { connections: 1..=1, after: Term::Turns(TURNS), leave: Leave::default() };
    let behaviour = Behaviour { go_away: Some(go_away), hearing: Hearing::Chunks, ..Behaviour::default() };
    let mut scenario = Scenario::shop()?;
    scenario.greeting = Some(greeting()?);
    let agent = Agent { name: "shop".to_owned(), business_id: "demo".to_owned(), ..Agent::default() };
    let journal = Journal::keep(&store);
    let conversation = Conversation::print(store.watch());
    let stage = Stage::build(store, Cast::of(Model::Simulated(Box::new(behaviour), scenario), agent)).await?;
    let model = stage.model().context("the model is simulated")?;
    let sightings = Notes::keep(model.observations());
    let breaking = async {
        tokio::time::sleep(BREAKS_AT).await;
        model.inflict(Defect::Close(Close::INTERNAL));
    };
    let (played, ()) = tokio::join!(stage.call(caller.fixture.clone()), breaking);
    let Played { report, .. } = played?;
    conversation.finish().await;
    let entries = journal.of(&report.caller.call_sid).await;
    stage.strike().await;
    let windows = caller.windows(&report)?;
    let answers = windows.iter().map(|&window| hearing::first_speech(&report.played.timeline, window));
    summarise(&answers.collect::<Vec<_>>(), &entries, &journal);
    compare(&report, &sightings.all(), &entries);
    Ok(report)
}

fn greeting() -> anyhow::Result<Utterance> {
    let sound = wav::read(include_bytes!("../../../fixtures/cover/greeting.wav"))?;
    let mut samples = Vec::new();
    Resampler::new(sound.rate, Rate::MODEL_OUT).push(&sound.samples, &mut samples);
    Ok(Utterance {
        text: "Hello, and thank you for calling. One moment, please.".to_owned(),
        samples: samples.into(),
    })
}

/// What the hand-over and the loss cost.
fn summarise(answers: &[Option<Duration>], entries: &[Arc<Entry>], journal: &Journal) {
    let &[Some(before), Some(moved), Some(broken), ..] = answers else {
        return outln!("   a question was not answered: {answers:?}");
    };
    let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
    let gap = |answer: Duration| ms(answer.saturating_sub(before));
    outln!("   the caller waited {:.0} ms for the answer before the hand-over", ms(before));
    outln!("   hand-over: {:.0} ms for the one after it: gap {:.0} ms (bar: 300)", ms(moved), gap(moved));
    if let Some(took) = hand_over(entries, journal) {
        outln!("   the new connection was ready {:.0} ms after the old one was left", ms(took));
    }
    outln!(
        "   1011 while the caller speaks: {:.0} ms for the answer, gap {:.0} ms (bar: 1000)",
        ms(broken),
        gap(broken)
    );
    for entry in entries {
        if let Record::Event(Event::LiveReady { gap_ms: Some(gap), .. }) = &entry.record {
            outln!("   from the loss of a connection to the next one: {gap} ms");
        } else if let Record::Event(Event::AudioHeld { held_ms }) = &entry.record {
            outln!("   {held_ms} ms of the caller were held and sent first");
        }
    }
}

/// From leaving the old connection to the set-up of the next.
fn hand_over(entries: &[Arc<Entry>], journal: &Journal) -> Option<Duration> {
    let at = |entry: &Arc<Entry>| journal.instant(entry.at);
    let moved = entries.iter().find(|entry| matches!(entry.record, Record::Event(Event::LiveMoved { .. })));
    let moved: Instant = at(moved?);
    let is_ready = |entry: &&Arc<Entry>| matches!(entry.record, Record::Event(Event::LiveReady { .. }));
    let ready = entries.iter().filter(is_ready).map(at).find(|ready| *ready > moved)?;
    Some(ready - moved)
}

/// What the model got of what the caller said, on all connections together.
fn compare(report: &Report, sightings: &[Sighting], entries: &[Arc<Entry>]) {
    let mut heard: HashMap<u32, Vec<i16>> = HashMap::new();
    for sighting in sightings {
        if let Observation::AudioChunk { samples, .. } = &sighting.observation {
            heard.entry(sighting.connection).or_default().extend_from_slice(samples);
        }
    }
    let total: Duration = heard.values().map(|samples| hearing::length(samples.len())).sum();
    let speech: Duration =
        heard.values().map(|samples| hearing::speech(samples.iter().copied(), Rate::MODEL_IN)).sum();
    let said = hearing::speech_of(&report.spoken);
    outln!(
        "   of {:.2} s of speech in {:.2} s of audio the model got {:.2} s in {:.2} s, on {} connections",
        said.as_secs_f64(),
        report.audio.sent_s,
        speech.as_secs_f64(),
        total.as_secs_f64(),
        heard.len()
    );
    let is_greeting = |entry: &&Arc<Entry>| matches!(&entry.record, Record::Turn(turn) if turn.speaker == Speaker::Agent && turn.text.starts_with("Hello"));
    let greetings = entries.iter().filter(is_greeting).count();
    outln!("   the caller was greeted {greetings} time(s), and heard {} underruns", report.audio.underruns);
}
