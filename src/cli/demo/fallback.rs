//! A call without a live service: recorded questions are recognised, answered and spoken by the fallback.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use super::caller::{self, Caller, Clip, Window};
use super::conversation::Conversation;
use super::hearing;
use super::notes::Journal;
use super::speech::Speech;
use super::stage::{Cast, Model, Played, Stage};
use crate::call::agent::{Agent, Greeting};
use crate::call::record::{Entry, Event, Record};
use crate::provider::{self, llm, stt, tts};
use crate::secret::Secret;
use crate::sim::carrier::Report;
use crate::sim::carrier::latency::Quantiles;
use crate::sim::gemini::{Behaviour, Defect, Fault, Moment, Scenario};
use crate::sim::providers::{self, Rule, Script};
use crate::store;

/// The fallback begins to speak this soon after the caller's last word, in half of the answers: 800 ms of it are
/// spent to be sure that it was the last.
pub(super) const BAR: Duration = Duration::from_millis(2000);

/// No variable of any environment.
const KEY_VARIABLE: &str = "DEMO_KEY";

const QUESTIONS: [(u64, Clip); 6] = [
    (1_500, caller::BRIDGE),
    (10_000, caller::WEATHER),
    (18_500, caller::BLACK),
    (27_000, caller::REGULAR),
    (35_500, caller::BRIDGE),
    (44_000, caller::WEATHER),
];
const LENGTH_MS: u64 = 52_500;

const ANSWERS: [(&str, &str); 4] = [
    ("bridge", "The Brooklyn Bridge was opened in eighteen eighty three."),
    ("weather", "It is sunny today, with a light wind from the west."),
    ("black", "The black one is in stock. Which model would you like?"),
    ("regular", "The regular model it is. Would you like express shipping?"),
];

/// A real language model, in place of a simulated one.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct RealModel {
    /// An OpenAI-compatible language model for the fallback; its key, if it needs one, in `OPENAI_API_KEY`. By
    /// default a simulated one.
    #[arg(long = "llm-endpoint", value_name = "URL", requires = "model")]
    endpoint: Option<String>,
    /// The model there.
    #[arg(id = "model", long = "llm-model", value_name = "NAME", requires = "endpoint")]
    model: Option<String>,
}

impl RealModel {
    fn config(&self) -> Option<llm::Config> {
        let endpoint = self.endpoint.clone()?;
        let config = llm::Config::new(llm::Kind::OpenAi);
        Some(llm::Config { endpoint: Some(endpoint), model: self.model.clone(), ..config })
    }
}

/// One question and what became of it.
pub(super) struct Answer {
    clip: Clip,
    window: Window,
    /// From the caller's last word to the first of the answer.
    pub(super) after: Option<Duration>,
}

/// The call, played.
pub(super) struct Call {
    pub(super) report: Report,
    pub(super) answers: Vec<Answer>,
    entries: Vec<Arc<Entry>>,
}

/// The spread of the answers' times.
pub(super) fn spread(answers: &[Answer]) -> Quantiles {
    Quantiles::of(&answers.iter().filter_map(|answer| answer.after).collect::<Vec<_>>())
}

/// Plays the call and prints it.
pub(super) async fn play(store: store::Handle, speech: &Speech, model: &RealModel) -> anyhow::Result<Report> {
    outln!("── Call 4: the live service refuses (503); speech engines of this machine carry the call ──");
    if model.endpoint.is_none() {
        outln!("   speech to text and text to speech are real, the language model is simulated");
    }
    let conversation = Conversation::print(store.watch());
    let Call { report, answers, entries } = call(store, Some(speech), model).await?;
    conversation.finish().await;
    for answer in &answers {
        describe(answer, &report, speech).await?;
    }
    covers(&entries);
    let Quantiles { count, median_ms, max_ms, .. } = spread(&answers);
    outln!(
        "   from the caller's last word to the first of the answer, {count} of {} questions: median \
         {median_ms:.0} ms (bar: {}), max {max_ms:.0} ms",
        answers.len(),
        BAR.as_millis()
    );
    Ok(report)
}

/// Plays the call. Without speech engines they are simulated too.
pub(super) async fn call(
    store: store::Handle,
    speech: Option<&Speech>,
    model: &RealModel,
) -> anyhow::Result<Call> {
    let caller = Caller::asking(&QUESTIONS, LENGTH_MS)?;
    let simulated = simulate(QUESTIONS.map(|(_, clip)| clip.said.to_owned()).to_vec()).await?;
    let mut fallback = simulated_providers(&simulated);
    if let Some(speech) = speech {
        (fallback.stt, fallback.tts) = (vec![speech.stt()], vec![speech.tts()]);
    }
    let mut cast = Cast::of(refusing(), agent());
    if let Some(model) = model.config() {
        let key = crate::config::environment("OPENAI_API_KEY").filter(|key| !key.is_empty());
        cast.keys.extend(key.map(|key| ("OPENAI_API_KEY".to_owned(), Secret::new(key))));
        fallback.llm = vec![model];
    }
    cast.fallback = fallback;
    cast.keys.extend(keys());
    let journal = Journal::keep(&store);
    let stage = Stage::build(store, cast).await?;
    let Played { report, .. } = stage.call(caller.fixture.clone()).await?;
    let entries = journal.of(&report.caller.call_sid).await;
    stage.strike().await;
    let answer = |(question, window): (&caller::Question, Window)| Answer {
        clip: question.clip,
        window,
        after: hearing::first_speech(&report.played.timeline, window),
    };
    let answers = caller.questions.iter().zip(caller.windows(&report)?).map(answer).collect();
    Ok(Call { report, answers, entries })
}

fn agent() -> Agent {
    Agent {
        name: "fallback".to_owned(),
        business_id: "demo".to_owned(),
        greeting: Greeting::None,
        prompt: "You answer the telephone. One short sentence at a time.".to_owned(),
        ..Agent::default()
    }
}

fn refusing() -> Model {
    let refusal = Fault::always(Moment::Upgrade, Defect::Status(503));
    let behaviour = Behaviour { faults: vec![refusal], ..Behaviour::default() };
    Model::Simulated(Box::new(behaviour), Scenario::default())
}

/// Simulated providers of every kind; recordings say these words, in turn.
pub(super) async fn simulate(transcripts: Vec<String>) -> anyhow::Result<providers::Server> {
    let rule =
        |(contains, reply): (&str, &str)| Rule { contains: contains.to_owned(), reply: reply.to_owned() };
    let script = Script { rules: ANSWERS.map(rule).to_vec(), ..Script::default() };
    let config = providers::Config { script, transcripts, ..providers::Config::default() };
    Ok(providers::Server::start(TcpListener::bind("127.0.0.1:0").await?, config)?)
}

/// The simulated providers, each kind of work at the same server.
pub(super) fn simulated_providers(server: &providers::Server) -> provider::Config {
    let speech = Speech::at(&server.url());
    let key_env = Some(KEY_VARIABLE.to_owned());
    let name = Some("simulated".to_owned());
    let llm = llm::Config {
        name: name.clone(),
        endpoint: Some(format!("{}/v1", server.url())),
        key_env: key_env.clone(),
        ..llm::Config::new(llm::Kind::OpenAi)
    };
    let stt = stt::Config { name: name.clone(), key_env: key_env.clone(), ..speech.stt() };
    provider::Config {
        stt: vec![stt],
        llm: vec![llm],
        tts: vec![tts::Config { name, key_env, ..speech.tts() }],
    }
}

/// What the simulated providers want to see, as the real ones do.
pub(super) fn keys() -> BTreeMap<String, Secret> {
    BTreeMap::from([(KEY_VARIABLE.to_owned(), Secret::new("demo-key"))])
}

/// Prints a question, its answer, and what a recogniser makes of what the caller heard.
async fn describe(answer: &Answer, report: &Report, speech: &Speech) -> anyhow::Result<()> {
    let heard = speech.transcribe(hearing::excerpt(&report.played.timeline, answer.window)).await?;
    match answer.after {
        Some(after) => outln!("   \"{}\": answered after {} ms", answer.clip.said, after.as_millis()),
        None => outln!("   \"{}\": not answered", answer.clip.said),
    }
    outln!("     a recogniser hears: {heard}");
    Ok(())
}

fn covers(entries: &[Arc<Entry>]) {
    for entry in entries {
        if let Record::Event(Event::Cover { waited_ms, words }) = &entry.record {
            outln!("   cover after {waited_ms} ms: {}", words.as_deref().unwrap_or("a soft tone"));
        }
    }
}
