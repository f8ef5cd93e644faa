//! One task per call: owns both sockets, carries events into the machine and outputs out.

mod capture;
mod flood;
mod follow_ups;
mod jobs;
mod observe;
mod refusals;
mod registry;
mod task;
mod upstream;

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{Sink, Stream};

use self::capture::Machine;
use self::follow_ups::FollowUps;
use self::refusals::Refusals;
use self::registry::Registry;
use crate::call::Admission;
use crate::call::record::{Annotation, Ending, Entry};
use crate::call::services::{self, Services};
use crate::call::{Call, Control};
use crate::carrier::FollowUp;
use crate::fallback::Hearing;
use crate::live::session;
use crate::net::circuit::Circuit;
use crate::net::link::{Link, Message};
use crate::provider::Providers;
use crate::provider::gemini::Dialer;
use crate::store::recordings::{Recorder, Track};
use crate::store::{self, captures};

/// A commit takes milliseconds; a carrier waits seconds for its answer.
const SETTLE_DEADLINE: Duration = Duration::from_millis(250);

/// What the process can offer its calls.
#[derive(Debug)]
pub struct Offer {
    endpoints: Vec<Arc<Endpoint>>,
    providers: Providers,
    services: Arc<Services>,
}

/// An endpoint of the live service, with what is known of its health.
#[derive(Debug)]
struct Endpoint {
    dialer: Dialer,
    circuit: Arc<Circuit>,
}

/// What the calls of a process share.
#[derive(Debug)]
pub struct Bridge {
    store: store::Handle,
    offer: Offer,
    registry: Arc<Registry>,
    recorder: Option<Arc<Recorder>>,
    follow_ups: FollowUps,
    refusals: Refusals,
    captures: Option<captures::Handle>,
}

impl Offer {
    /// Live endpoints in the order in which they are tried, and the providers of the fallback. `live` has the
    /// patience with the endpoints.
    pub fn new(live: session::Config, dialers: Vec<Dialer>, providers: Providers) -> Self {
        let place = |dialer: &Dialer| services::Endpoint {
            name: dialer.name().to_owned(),
            model: dialer.model().map(str::to_owned),
            is_transparent: dialer.is_transparent(),
        };
        let services = Services {
            live: session::Config { endpoints: dialers.len(), ..live },
            endpoints: dialers.iter().map(place).collect(),
            has_fallback: providers.is_complete(),
            hearing: Hearing::Silero,
        };
        let endpoint = |dialer| Arc::new(Endpoint { dialer, circuit: Circuit::new() });
        let endpoints = dialers.into_iter().map(endpoint).collect();
        Self { endpoints, providers, services: Arc::new(services) }
    }

    /// One live endpoint and no fallback.
    pub fn live(dialer: Dialer) -> Self {
        Self::new(session::Config::default(), vec![dialer], Providers::default())
    }
}

impl Bridge {
    pub fn new(store: store::Handle, offer: Offer) -> Self {
        let (follow_ups, refusals) = (FollowUps::default(), Refusals::default());
        Self { store, offer, registry: Registry::new(), recorder: None, follow_ups, refusals, captures: None }
    }

    /// Where the inputs of calls are kept whose agents say so; nowhere if this is not said.
    #[must_use]
    pub fn with_captures(self, captures: captures::Handle) -> Self {
        Self { captures: Some(captures), ..self }
    }

    /// With somebody who keeps the recordings of calls; without, those that are to be recorded are not.
    #[must_use]
    pub fn recording(self, recorder: Arc<Recorder>) -> Self {
        Self { recorder: Some(recorder), ..self }
    }

    /// From now on nothing that is said in a call is kept; it is named by the carrier's SID or its call id. `false`
    /// if it does not run here.
    pub fn pause_recording(&self, id: &str) -> bool {
        self.registry.tell(id, Control::PauseRecording)
    }

    pub fn resume_recording(&self, id: &str) -> bool {
        self.registry.tell(id, Control::ResumeRecording)
    }

    /// What becomes of a caller whose stream is over.
    pub fn follow_up(&self, call_sid: &str) -> FollowUp {
        self.follow_ups.of(call_sid)
    }

    /// The call has a new stream: what was to become of the caller after an earlier one does not count.
    pub fn forget_follow_up(&self, call_sid: &str) {
        self.follow_ups.forget(call_sid);
    }

    /// Appends to the call log and writes the log line. Never waits.
    pub fn record(&self, entry: Entry) {
        observe::observe(&entry);
        self.store.append(entry);
    }

    /// A call was not admitted: appends its `entries` to the call log, if there are not too many like it and the log
    /// has room for what it can do without. Never waits.
    pub fn refuse<const N: usize>(
        &self,
        ending: &Ending,
        now: Instant,
        entries: impl FnOnce() -> [Entry; N],
    ) {
        if self.refusals.note(ending, self.store.has_slack(), now) {
            entries().into_iter().for_each(|entry| self.store.append(entry));
        }
    }

    /// Adds what the carrier told outside the stream. Never waits.
    pub fn annotate(&self, annotation: Annotation) {
        self.store.annotate(annotation);
    }

    /// Waits until what was recorded is on the disk, a moment at most: a disk that hangs costs no call.
    pub async fn settled(&self) {
        self.store.settled(SETTLE_DEADLINE).await;
    }

    /// Whether new calls may be admitted: false while the process drains, or its disk has no room for their log.
    pub fn is_accepting(&self) -> bool {
        !self.registry.is_draining() && self.store.has_room()
    }

    /// Whether the process takes no calls any more.
    pub fn is_draining(&self) -> bool {
        self.registry.is_draining()
    }

    /// Whether the call log takes lines, and what waits for it.
    pub fn log_health(&self) -> store::Health {
        self.store.health()
    }

    /// Streams that run now.
    pub fn active(&self) -> usize {
        self.registry.active()
    }

    /// Takes no more calls, ends the running ones by `deadline` and waits for them. `false` if some remain.
    pub async fn drain(&self, deadline: Instant) -> bool {
        self.registry.drain(deadline).await
    }

    /// The file of a call that is to be recorded.
    fn track(&self, call: &Call) -> Track {
        let retention_days = call.recording().and_then(|recording| recording.retention_days);
        let begin = |recorder: &Arc<Recorder>| recorder.begin(call.id(), retention_days);
        self.recorder.as_ref().map_or_else(Track::refused, begin)
    }

    /// Carries one call from the upgrade to its end. Never fails: how it ended is in the log.
    pub async fn run<S, M, E>(&self, admission: Admission, socket: S)
    where
        S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
        M: Message,
        E: Display,
    {
        let call_sid = admission.context.call_sid.clone();
        let services = Arc::clone(&self.offer.services);
        let captures = self.captures.as_ref();
        let machine = Machine::answer(admission, services, captures, tokio::time::Instant::now().into_std());
        let registration = self.registry.enter(call_sid, machine.call().id());
        task::run(self, machine, Link::new(socket), registration).await;
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context as Polling, Poll};

    use ::time::OffsetDateTime;
    use axum::extract::ws;

    use super::*;
    use crate::call::agent::Agent;
    use crate::call::context::Context;
    use crate::call::record::{Ledger, Record};
    use crate::id::CallId;
    use crate::net::dial;
    use crate::provider::gemini;
    use crate::secret::Secret;
    use crate::store::{Handle, Line};
    use crate::time::WallClock;

    /// A socket with a defect: the first read panics.
    struct Defective {
        has_panicked: bool,
    }

    impl Stream for Defective {
        type Item = Result<ws::Message, axum::Error>;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Polling<'_>) -> Poll<Option<Self::Item>> {
            assert!(std::mem::replace(&mut self.has_panicked, true), "the defect of this test");
            Poll::Ready(None)
        }
    }

    impl Sink<ws::Message> for Defective {
        type Error = axum::Error;

        fn poll_ready(self: Pin<&mut Self>, _: &mut Polling<'_>) -> Poll<Result<(), axum::Error>> {
            Poll::Ready(Ok(()))
        }

        fn start_send(self: Pin<&mut Self>, _: ws::Message) -> Result<(), axum::Error> {
            Ok(())
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Polling<'_>) -> Poll<Result<(), axum::Error>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Polling<'_>) -> Poll<Result<(), axum::Error>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_panic_ends_its_call_alone_with_a_complete_log() {
        let (store, mut log) = Handle::pair(64);
        let dialer = Dialer::new(&gemini::Config::default(), &Secret::new("key"), dial::tls([])).unwrap();
        let bridge = Bridge::new(store, Offer::live(dialer));
        let (now, wall) = (Instant::now(), OffsetDateTime::UNIX_EPOCH);
        let mut ledger = Ledger::new(CallId::new(1), WallClock::new(now, wall));
        let context = Context::unknown(wall);
        bridge.record(ledger.entry(Record::Opened(Box::new(context.clone())), now));
        let admission = Admission { context, agent: Arc::new(Agent::default()), ledger };

        Box::pin(bridge.run(admission, Defective { has_panicked: false })).await;

        assert_eq!(bridge.active(), 0);
        let mut records = Vec::new();
        while let Ok(Line::Entry(entry)) = log.try_recv() {
            assert_eq!(entry.sequence as usize, records.len());
            records.push(entry.record.clone());
        }
        assert_eq!(records.last(), Some(&Record::Ended(Ending::Panicked)));
        assert_eq!(records.iter().filter(|record| matches!(record, Record::Ended(_))).count(), 1);
    }
}
