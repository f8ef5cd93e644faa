//! Services that need the network: where they are and how to authenticate; and the work they do beside a call, each
//! kind by the first of its list that can.

mod bill;
pub mod gemini;
mod generate;
pub mod http;
mod json;
pub mod lines;
pub mod llm;
mod mend;
mod pause;
mod pcm;
pub mod pool;
mod refusal;
mod service;
pub mod stt;
pub mod tts;

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream;
use serde::Deserialize;

use self::http::Transport;
use self::pool::{Job, Pool};
use crate::job::{Event, Kind, Request};
use crate::secret::Secret;

/// `[fallback]` of the configuration: the services of each kind, in the order in which they are tried.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub stt: Vec<stt::Config>,
    pub llm: Vec<llm::Config>,
    pub tts: Vec<tts::Config>,
}

impl Config {
    /// The environment variables that may hold a key: those that entries name, and the usual ones.
    pub fn key_names(&self) -> impl Iterator<Item = &str> {
        const USUAL: [&str; 4] = ["GEMINI_API_KEY", "GOOGLE_API_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"];
        let stt = self.stt.iter().filter_map(|entry| entry.key_env.as_deref());
        let llm = self.llm.iter().filter_map(|entry| entry.key_env.as_deref());
        let tts = self.tts.iter().filter_map(|entry| entry.key_env.as_deref());
        stt.chain(llm).chain(tts).chain(USUAL).filter(|name| !name.is_empty())
    }
}

impl Config {
    /// The model of each entry, by the entry's name, where it has one.
    fn models(&self) -> HashMap<Kind, bill::Models> {
        let stt = self.stt.iter().map(|entry| (entry.name(), entry.model()));
        let llm = self.llm.iter().map(|entry| (entry.name(), entry.model()));
        let tts = self.tts.iter().map(|entry| (entry.name(), entry.model()));
        [(Kind::Transcribe, named(stt)), (Kind::Think, named(llm)), (Kind::Speak, named(tts))].into()
    }
}

fn named<'a>(models: impl Iterator<Item = (&'a str, &'a str)>) -> bill::Models {
    Arc::new(models.map(|(name, model)| (name.to_owned(), model.to_owned())).collect())
}

/// Why an entry of the configuration makes no provider.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("fallback.{kind}[{index}]: {source}", kind = .kind.code())]
pub struct Error {
    pub kind: Kind,
    /// Of the entry in its list, from 0.
    pub index: usize,
    pub source: service::Error,
}

/// All services that jobs are done by. Shared by every call of the process.
#[derive(Debug)]
pub struct Providers {
    stt: Pool<stt::Provider>,
    llm: Pool<llm::Provider>,
    tts: Pool<tts::Provider>,
    models: HashMap<Kind, bill::Models>,
}

impl Default for Providers {
    fn default() -> Self {
        Self::none()
    }
}

impl Providers {
    /// Nothing is configured: every job fails.
    pub fn none() -> Self {
        Self { stt: Pool::new([]), llm: Pool::new([]), tts: Pool::new([]), models: HashMap::new() }
    }

    /// `keys` gives the value of an environment variable.
    pub fn new(
        config: &Config,
        keys: impl Fn(&str) -> Option<Secret>,
        transport: &Transport,
    ) -> Result<Self, Error> {
        Ok(Self {
            stt: pool(Kind::Transcribe, &config.stt, |entry| stt::Provider::new(entry, &keys, transport))?,
            llm: pool(Kind::Think, &config.llm, |entry| model(entry, &keys, transport))?,
            tts: pool(Kind::Speak, &config.tts, |entry| tts::Provider::new(entry, &keys, transport))?,
            models: config.models(),
        })
    }

    /// Every entry of which no provider can be made.
    pub fn faults(
        config: &Config,
        keys: impl Fn(&str) -> Option<Secret>,
        transport: &Transport,
    ) -> Vec<Error> {
        let stt =
            faults(Kind::Transcribe, &config.stt, |entry| stt::Provider::new(entry, &keys, transport).err());
        let llm = faults(Kind::Think, &config.llm, |entry| model(entry, &keys, transport).err());
        let tts = faults(Kind::Speak, &config.tts, |entry| tts::Provider::new(entry, &keys, transport).err());
        [stt, llm, tts].concat()
    }

    /// Whether there is anybody to ask.
    pub fn is_available(&self, kind: Kind) -> bool {
        match kind {
            Kind::Transcribe => !self.stt.is_empty(),
            Kind::Think => !self.llm.is_empty(),
            Kind::Speak => !self.tts.is_empty(),
        }
    }

    /// Whether a call can be carried: there is somebody for each kind.
    pub fn is_complete(&self) -> bool {
        [Kind::Transcribe, Kind::Think, Kind::Speak].into_iter().all(|kind| self.is_available(kind))
    }

    /// Has the work done. Nothing happens while nobody asks for the next event, and dropping the job ends it.
    pub fn job(&self, request: Request) -> Job {
        let (bill, models) = (bill::of_request(&request), self.models.get(&request.kind()));
        let models = models.cloned().unwrap_or_default();
        let job = match request {
            Request::Transcribe(utterance) => self.stt.job(utterance),
            Request::Think(prompt) => self.llm.job(prompt),
            Request::Speak(sentence) => match tts::check(&sentence) {
                Ok(()) => self.tts.job(sentence),
                Err(failure) => stream::iter([Event::Failed(failure)]).boxed(),
            },
        };
        bill::billed(job, bill, models)
    }
}

fn pool<C, P: pool::Provider>(
    kind: Kind,
    entries: &[C],
    provider: impl Fn(&C) -> Result<P, service::Error>,
) -> Result<Pool<P>, Error> {
    let providers = entries
        .iter()
        .enumerate()
        .map(|(index, entry)| provider(entry).map_err(|source| Error { kind, index, source }));
    providers.collect::<Result<Vec<_>, _>>().map(Pool::new)
}

fn faults<C>(kind: Kind, entries: &[C], fault: impl Fn(&C) -> Option<service::Error>) -> Vec<Error> {
    let faults = entries.iter().enumerate();
    faults.filter_map(|(index, entry)| Some(Error { kind, index, source: fault(entry)? })).collect()
}

fn model(
    entry: &llm::Config,
    keys: impl Fn(&str) -> Option<Secret>,
    transport: &Transport,
) -> Result<llm::Provider, service::Error> {
    let url = http::url(entry.endpoint(), "")?;
    let key = service::key(entry.key_env().unwrap_or_default(), &url, keys)?;
    Ok(llm::Provider::new(entry, key.as_ref(), transport)?)
}

#[cfg(test)]
mod tests;
