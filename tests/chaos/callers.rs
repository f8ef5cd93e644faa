//! Callers who ask recorded questions, some at a time, and what the carrier saw of their calls.
#![allow(dead_code, reason = "not every test needs all of it")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use patchcord::audio::{g711, wav};
use patchcord::secret::Secret;
use patchcord::sim::carrier::{self, End, Fixture, Report};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::postgres::PATIENCE;
use crate::world::AUTH_TOKEN;

/// Asked twice in each call.
pub(crate) const QUESTION: &str = "What's the weather like?";

/// From the end of a question to the next one, or to the end of the call: for an answer and the silence around it.
const LISTENS: Duration = Duration::from_millis(2800);

/// How many callers there are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowd {
    /// Admitted calls at least.
    pub(crate) calls: usize,
    pub(crate) at_once: usize,
}

/// What the carrier saw of a call.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) placed: Instant,
    pub(crate) over: Instant,
    pub(crate) report: Report,
}

/// The carrier's side of a run.
#[derive(Debug)]
struct Exchange {
    /// Of the server.
    url: String,
    crowd: Crowd,
    seed: u64,
    is_up: watch::Receiver<bool>,
    is_over: watch::Receiver<bool>,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    /// Calls placed, whatever became of them.
    placed: u64,
    /// Calls that go on, and those that were admitted.
    counted: usize,
    seen: Vec<Seen>,
}

/// Places calls until enough were admitted and `is_over` says so. After a call that was not admitted a caller waits for
/// `is_up`.
pub(crate) async fn place(
    url: String,
    crowd: Crowd,
    seed: u64,
    is_up: watch::Receiver<bool>,
    is_over: watch::Receiver<bool>,
) -> Vec<Seen> {
    let exchange = Exchange { url, crowd, seed, is_up, is_over, book: Mutex::default() };
    let exchange = Arc::new(exchange);
    let callers = (0..crowd.at_once).map(|_| tokio::spawn(Arc::clone(&exchange).caller()));
    join_all(callers).await.into_iter().for_each(|caller| caller.unwrap());
    std::mem::take(&mut exchange.book.lock().unwrap().seen)
}

impl Exchange {
    async fn caller(self: Arc<Self>) {
        while let Some(number) = self.next() {
            let fixture = fixture(self.seed, number);
            let webhook = format!("{}/twilio/voice", self.url);
            let config = carrier::Config {
                status_callback: Some(format!("{}/twilio/status", self.url)),
                ..carrier::Config::new(webhook, Secret::new(AUTH_TOKEN), fixture)
            };
            let placed = Instant::now();
            let report = Box::pin(carrier::place(config)).await.unwrap();
            let seen = Seen { placed, over: Instant::now(), report };
            if !self.note(seen) {
                let mut is_up = self.is_up.clone();
                let up = timeout(PATIENCE, is_up.wait_for(|up| *up)).await;
                up.expect("the server comes back").unwrap();
            }
        }
    }

    /// The number of the next call, if there is to be one.
    fn next(&self) -> Option<u64> {
        let mut book = self.book.lock().unwrap();
        if book.counted >= self.crowd.calls && *self.is_over.borrow() {
            return None;
        }
        book.counted += 1;
        book.placed += 1;
        Some(book.placed)
    }

    /// Whether the call was admitted.
    fn note(&self, seen: Seen) -> bool {
        let mut book = self.book.lock().unwrap();
        let is_admitted = seen.is_admitted();
        book.counted -= usize::from(!is_admitted);
        book.seen.push(seen);
        is_admitted
    }
}

/// The recorded question twice, after a pause of its own, by a caller with a number of its own.
fn fixture(seed: u64, number: u64) -> Fixture {
    let clip = include_bytes!("../../fixtures/audio/human-whats-the-weather-like.wav");
    // The speech is from 420 to 1380 ms.
    let question = &wav::read_mulaw(clip).unwrap()[220 * 8..1580 * 8];
    let quiet = |ms: u64| vec![g711::MULAW_SILENCE; usize::try_from(ms * 8).unwrap()];
    let listens = quiet(u64::try_from(LISTENS.as_millis()).unwrap());
    let mut random = StdRng::seed_from_u64(seed ^ number.rotate_left(32));
    let line = [&quiet(random.random_range(300..4300)), question, &listens, question, &listens].concat();
    Fixture::from_mulaw(&line).numbers(Some(format!("+1415{number:07}")), None)
}

impl Seen {
    /// The carrier was told to connect the call.
    pub(crate) fn is_admitted(&self) -> bool {
        self.report.verbs.iter().any(|verb| verb == "Connect")
    }

    pub(crate) fn call_sid(&self) -> &str {
        &self.report.caller.call_sid
    }

    /// When the caller ended the call, if nothing else had ended it before.
    pub(crate) fn hung_up_at(&self) -> Option<Instant> {
        let hung_up = self.report.streams.first().is_some_and(|stream| stream.end == End::CallerHungUp);
        self.report.spoken.end().filter(|_| hung_up)
    }

    /// Callbacks about the call and its stream that the server took.
    pub(crate) fn callbacks(&self) -> i64 {
        let taken = |what: &str| what.starts_with("stream-") || what == "status callback";
        let taken = self.report.requests.iter().filter(|r| taken(&r.what) && r.status == Some(204)).count();
        i64::try_from(taken).unwrap()
    }
}
