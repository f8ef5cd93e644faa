//! One request and its answer: observed, met by its fault, thought about. Knows no service's spelling.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::broadcast;

use super::ears::Ears;
use super::fault::{Book, Fault};
use super::observation::{Asked, Delivery, Observation, Sighting, Subject};
use super::plan::Pace;
use super::route::Route;
use super::script::{self, Script};
use super::voice;
use crate::secret::Secret;

/// What every request shares.
#[derive(Debug)]
pub(super) struct House {
    pub(super) script: Script,
    pub(super) pace: Pace,
    pub(super) key: Option<Secret>,
    pub(super) ears: Mutex<Ears>,
    pub(super) book: Mutex<Book>,
    pub(super) sightings: broadcast::Sender<Sighting>,
    pub(super) requests: AtomicU64,
}

/// What a key is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Credential {
    Missing,
    Wrong,
    Good,
}

/// What a language model says.
#[derive(Debug)]
pub(super) struct Thought {
    pub(super) tokens: Vec<String>,
    pub(super) finish: Finish,
    pub(super) prompt_tokens: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finish {
    Stop,
    /// The longest answer wanted was shorter.
    Length,
    /// A policy withholds it.
    Blocked,
}

/// How speech is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub(super) rate: u32,
    pub(super) speed: f64,
}

#[derive(Debug)]
pub(super) struct Turn {
    pub(super) house: Arc<House>,
    pub(super) fault: Option<Fault>,
    pub(super) watch: Watch,
}

impl Turn {
    pub(super) fn begin(house: Arc<House>, route: Route) -> Self {
        let number = house.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let watch = Watch { house: Arc::clone(&house), number, route, state: State::UnderWay };
        Self { house, fault: None, watch }
    }

    /// The number of the request, for ids.
    pub(super) const fn number(&self) -> u64 {
        self.watch.number
    }

    pub(super) fn credential(&self, key: Option<&str>) -> Credential {
        match (key, &self.house.key) {
            (None, _) => Credential::Missing,
            (Some(key), Some(wanted)) if key != wanted.expose() => Credential::Wrong,
            (Some(_), _) => Credential::Good,
        }
    }

    pub(super) fn list_models(&mut self) {
        let (model, delivery) = (String::new(), Delivery::Whole);
        self.ask(Asked { model, delivery, subject: Subject::Catalogue });
    }

    /// The script's answer to a dialogue.
    pub(super) fn think(&mut self, asked: Asked) -> Thought {
        let Subject::Dialogue(dialogue) = &asked.subject else { return self.say_again(asked) };
        let tokens = script::tokens(self.house.script.reply(&dialogue.last));
        let words = |text: &str| text.split_whitespace().count();
        let prompt_tokens = words(&dialogue.instruction) + words(&dialogue.last) + 4 * dialogue.lines;
        let max = dialogue.tokens_max.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
        let thought = Thought { tokens, finish: Finish::Stop, prompt_tokens };
        self.ask(asked);
        self.spoil(thought, max)
    }

    /// A language model that is asked for a transcript.
    fn say_again(&mut self, asked: Asked) -> Thought {
        let tokens = script::tokens(&self.transcribe(asked));
        self.spoil(Thought { tokens, finish: Finish::Stop, prompt_tokens: 32 }, usize::MAX)
    }

    fn spoil(&self, mut thought: Thought, tokens_max: usize) -> Thought {
        if thought.tokens.len() > tokens_max {
            thought.tokens.truncate(tokens_max);
            thought.finish = Finish::Length;
        }
        if self.is_silenced() {
            thought.tokens.clear();
        }
        if self.fault == Some(Fault::Block) {
            thought.finish = Finish::Blocked;
        }
        thought
    }

    pub(super) fn transcribe(&mut self, asked: Asked) -> String {
        let recording = match &asked.subject {
            Subject::Recording(recording) => Some(recording.clone()),
            Subject::Dialogue(_) | Subject::Text { .. } | Subject::Catalogue => None,
        };
        self.ask(asked);
        match recording {
            Some(recording) if !self.is_silenced() => lock(&self.house.ears).transcribe(&recording),
            Some(_) | None => String::new(),
        }
    }

    pub(super) fn speak(&mut self, asked: Asked, manner: Manner) -> Vec<i16> {
        let samples = match &asked.subject {
            Subject::Text { text, voice } => voice::speak(text, voice, manner.rate, manner.speed),
            Subject::Dialogue(_) | Subject::Recording(_) | Subject::Catalogue => Vec::new(),
        };
        self.ask(asked);
        if self.is_silenced() { Vec::new() } else { samples }
    }

    fn ask(&mut self, asked: Asked) {
        let kind = asked.subject.kind();
        self.watch.tell(Observation::Asked(asked));
        self.fault = lock(&self.house.book).next(self.watch.route, kind);
        if let Some(fault) = self.fault {
            self.watch.tell(Observation::Faulted(fault));
        }
    }

    fn is_silenced(&self) -> bool {
        matches!(self.fault, Some(Fault::Empty | Fault::Block))
    }
}

/// Tells how a request ends, also when it is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    house: Arc<House>,
    number: u64,
    pub(super) route: Route,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    UnderWay,
    Ended,
}

impl Watch {
    pub(super) fn end(&mut self, observation: Observation) {
        if self.state == State::UnderWay {
            self.state = State::Ended;
            self.tell(observation);
        }
    }

    fn tell(&self, observation: Observation) {
        let (request, route) = (self.number, self.route);
        // Nobody may be watching.
        self.house.sightings.send(Sighting { at: Instant::now(), request, route, observation }).ok();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end(Observation::Abandoned);
    }
}

/// A panic of one request is no reason to end the others.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
