//! `patchcord demo`: recorded calls through a server and simulated peers, all in this process.

mod caller;
mod conversation;
mod fallback;
mod faults;
mod handover;
mod hearing;
mod measure;
mod notes;
mod speech;
mod stage;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use self::conversation::Conversation;
use self::speech::Speech;
use self::stage::{Cast, Model, Played, Stage};
use super::{logging, render, text};
use crate::call::agent::{Agent, Greeting, Keep};
use crate::sim::carrier::{Fixture, Report};
use crate::sim::gemini::Scenario;
use crate::store::Store;
use crate::store::query::Query;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder for the call log and the recordings of the demo.
    #[arg(long, value_name = "DIR", default_value = "data/demo")]
    out: PathBuf,
    /// Talk to the real Gemini Live service, with the key in GEMINI_API_KEY.
    #[arg(long)]
    live: bool,
    /// Measure what callers hear when things break, in place of the calls; fails where a bar is missed.
    #[arg(long, conflicts_with = "live")]
    faults: bool,
    /// A speech server that runs already, for the call without a live service: OpenAI-compatible, without a key.
    #[arg(long, value_name = "URL", conflicts_with = "speech_server")]
    speech: Option<String>,
    /// A program that is such a server, run as long as the demo: it says `listening on URL`, and then `ready`.
    #[arg(long, value_name = "PROGRAM")]
    speech_server: Option<PathBuf>,
    #[command(flatten)]
    model: fallback::RealModel,
}

impl Args {
    /// The folder of the inputs of the calls.
    fn captures(&self) -> PathBuf {
        self.out.join("captures")
    }

    async fn speech(&self) -> anyhow::Result<Option<Speech>> {
        match (&self.speech, &self.speech_server) {
            (Some(url), _) => Ok(Some(Speech::at(url))),
            (None, Some(program)) => Speech::start(program).await.map(Some),
            (None, None) => Ok(None),
        }
    }
}

/// A recorded call of the demo.
struct Scene {
    title: &'static str,
    name: &'static str,
    fixture: Fixture,
    scenario: Scenario,
    agent: Agent,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    // What is logged is what the demo does on purpose.
    logging::start("off");
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    let database = args.out.join("patchcord.db");
    let store = Store::open(&database).await?;
    if args.faults {
        let outcome = faults::run(store.handle(), args.speech().await?.as_ref()).await;
        store.close().await?;
        return outcome;
    }
    let outcome = Box::pin(play(&args, &store)).await;
    store.close().await?;
    let calls = outcome?;
    show(&database, &calls).await?;
    again(&args.captures(), &database, &calls);
    Ok(())
}

/// Plays every scene; gives the calls' ids.
async fn play(args: &Args, store: &Store) -> anyhow::Result<Vec<String>> {
    let mut calls = Vec::new();
    for (index, scene) in scenes()?.into_iter().enumerate() {
        let Scene { title, name, fixture, scenario, agent } = scene;
        outln!("── Call {}: {title} ──", index + 1);
        let model = if args.live { Model::real()? } else { Model::simulated(scenario) };
        let cast = Cast { captures: Some(args.captures()), ..Cast::of(model, agent) };
        let stage = Stage::build(store.handle(), cast).await?;
        let conversation = Conversation::print(store.handle().watch());
        let Played { report, barge_ins } = stage.call(fixture).await?;
        conversation.finish().await;
        summarise(&report, &keep(args, name, &report)?, &barge_ins);
        ensure!(report.violations.is_empty(), "the carrier refused messages: {:?}", report.violations);
        calls.push(report.caller.call_sid.clone());
        stage.strike().await;
    }
    if !args.live {
        calls.extend(breakdowns(args, store).await?);
        measure::delay(store.handle()).await?;
    }
    Ok(calls)
}

/// The calls in which something breaks.
async fn breakdowns(args: &Args, store: &Store) -> anyhow::Result<Vec<String>> {
    let report = handover::play(store.handle()).await?;
    summarise(&report, &keep(args, "handover", &report)?, &[]);
    let mut calls = vec![report.caller.call_sid];
    let Some(speech) = args.speech().await? else {
        outln!("── Call 4 is left out: it needs a speech server ──");
        outln!("   `make demo` runs one; or give the address of yours with --speech URL\n");
        return Ok(calls);
    };
    let report = fallback::play(store.handle(), &speech, &args.model).await?;
    summarise(&report, &keep(args, "fallback", &report)?, &[]);
    calls.push(report.caller.call_sid);
    Ok(calls)
}

/// Writes what was said and heard.
fn keep(args: &Args, name: &str, report: &Report) -> anyhow::Result<PathBuf> {
    let wav = args.out.join(format!("{name}.wav"));
    std::fs::write(&wav, report.wav()).with_context(|| format!("cannot write {}", wav.display()))?;
    Ok(wav)
}

fn scenes() -> anyhow::Result<[Scene; 2]> {
    let agent = |name: &str, prompt: &str| Agent {
        name: name.to_owned(),
        business_id: "demo".to_owned(),
        prompt: prompt.to_owned(),
        greeting: Greeting::None,
        keep: Keep { inputs: true, recording: None },
        ..Agent::default()
    };
    Ok([
        Scene {
            title: "a caller buys a Chromecast (human voices, both sides)",
            name: "chromecast",
            fixture: Fixture::built_in()?,
            scenario: Scenario::shop()?,
            agent: agent(
                "shop",
                "You sell Chromecasts on the telephone: ask for colour, model and shipping.",
            ),
        },
        Scene {
            title: "a caller interrupts a long answer, presses a key and hangs up",
            name: "barge-in",
            fixture: Fixture::barge_in()?,
            scenario: Scenario::long_answer()?,
            agent: agent("orator", "You answer at length until you are interrupted."),
        },
    ])
}

fn summarise(report: &Report, wav: &Path, barge_ins: &[Duration]) {
    for silence in barge_ins {
        let ms = silence.as_secs_f64() * 1000.0;
        outln!(
            "   barge-in: the caller's ear was silent {ms:.1} ms after the model's `interrupted` (bar: 20)"
        );
    }
    let audio = &report.audio;
    outln!(
        "   the caller heard {:.2} s, {} ms were cleared, {} underruns; two-channel recording: {}\n",
        audio.heard_s,
        audio.cleared_bytes / 8,
        audio.underruns,
        wav.display()
    );
}

/// How the first call is played again.
fn again(captures: &Path, database: &Path, calls: &[String]) {
    if let Some(call) = calls.first() {
        let (captures, database) = (captures.display(), database.display());
        outln!("Play again:  patchcord replay --captures {captures} --db {database} {call}");
    }
}

/// The rows of the call log.
async fn show(database: &Path, calls: &[String]) -> anyhow::Result<()> {
    let query = Query::open(database).await?;
    let mut rows = Vec::new();
    outln!("── The call log: {} ──", database.display());
    for call in calls {
        let detail = query.call(call).await?.with_context(|| format!("call {call} is not in the log"))?;
        ensure!(!detail.turns.is_empty(), "nothing was said in call {call}");
        rows.push(detail);
    }
    let summary: Vec<_> = rows.iter().map(|detail| detail.call.clone()).collect();
    text::print(&render::calls(&summary))?;
    for detail in &rows {
        outln!();
        text::print(&render::call(detail))?;
    }
    outln!("\nAsk again:");
    for call in calls {
        outln!("  patchcord calls show --db {} {call}", database.display());
    }
    query.close().await;
    Ok(())
}
