//! The loop of one call.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{FutureExt as _, Sink, Stream};
use tokio::time::Sleep;
use tracing::{error, trace};

use super::Bridge;
use super::flood::Flood;
use super::jobs::Jobs;
use super::registry::Registration;
use super::upstream::{Arrival, Upstream};
use crate::call::record::{Ending, Peer};
use crate::call::{Call, Output};
use crate::carrier::twilio::Codec;
use crate::carrier::{self, Malformed};
use crate::id::LinkId;
use crate::live::{self, wire};
use crate::net::link::{Closure, Incoming, Kind, Link, Message};

/// Far enough away to stand for "no timer".
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// Everything one call owns. Dropping it closes and aborts everything.
struct Task<'a, S, M> {
    bridge: &'a Bridge,
    call: Call,
    carrier: Link<S, M>,
    codec: Codec,
    upstream: Upstream,
    jobs: Jobs,
    decoder: wire::Decoder,
    flood: Flood,
    timer: Pin<Box<Sleep>>,
    /// How the carrier is to be told goodbye.
    goodbye: carrier::Close,
    call_sid: String,
}

/// Runs a call to its end. A panic ends this call alone, with a record.
pub(super) async fn run<S, M, E>(
    bridge: &Bridge,
    call: Call,
    carrier: Link<S, M>,
    mut registration: Registration,
) where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
    M: Message,
    E: Display,
{
    trace!(call = %call.id(), pipeline = call.pipeline(), "call pipeline");
    let mut task = Task::new(bridge, call, carrier, registration.call_sid().to_owned());
    if AssertUnwindSafe(task.drive(&mut registration)).catch_unwind().await.is_err() {
        error!(call = %task.call.id(), "a panic ended the call: this is a defect");
        task.abort();
    }
    task.goodbye().await;
}

impl<'a, S, M, E> Task<'a, S, M>
where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
    M: Message,
    E: Display,
{
    fn new(bridge: &'a Bridge, call: Call, carrier: Link<S, M>, call_sid: String) -> Self {
        Self {
            bridge,
            call,
            carrier,
            codec: Codec::new(),
            upstream: Upstream::Idle,
            jobs: Jobs::default(),
            decoder: wire::Decoder::default(),
            flood: Flood::new(now()),
            timer: Box::pin(tokio::time::sleep(NEVER)),
            goodbye: carrier::Close::Normal,
            call_sid,
        }
    }

    async fn drive(&mut self, registration: &mut Registration) {
        loop {
            while let Some(output) = self.call.poll_output() {
                self.execute(output);
            }
            if self.call.ending().is_some() {
                return;
            }
            self.set_timer();
            tokio::select! {
                () = &mut self.timer => self.handle_timeout(),
                incoming = self.carrier.next(true) => self.handle_carrier(incoming),
                (link, arrival) = self.upstream.next(self.call.wants_live()) => self.handle_live(link, arrival),
                (job, event) = self.jobs.next() => self.call.handle_job(job, event, now()),
                Some(control) = registration.controls.recv() => self.call.handle_control(control, now()),
            }
        }
    }

    /// The timer is kept and only moved when the machine's next deadline changed.
    fn set_timer(&mut self) {
        let deadline = self.call.poll_timeout().map(|(at, _)| tokio::time::Instant::from_std(at));
        if let Some(deadline) = deadline
            && deadline != self.timer.deadline()
        {
            self.timer.as_mut().reset(deadline);
        } else if self.timer.is_elapsed() {
            self.timer.as_mut().reset(tokio::time::Instant::now() + NEVER);
        }
    }

    fn handle_timeout(&mut self) {
        if let Some((_, timer)) = self.call.poll_timeout() {
            trace!(call = %self.call.id(), ?timer, "timer fires");
        }
        self.call.handle_timeout(now());
    }

    fn handle_carrier(&mut self, incoming: Incoming) {
        let now = now();
        let event = match &incoming {
            Incoming::Text(_) | Incoming::Binary(_) if !self.flood.admit(now) => {
                carrier::Event::Malformed(Malformed::Flood)
            }
            Incoming::Text(text) => self.codec.decode(text).unwrap_or_else(carrier::Event::Malformed),
            Incoming::Binary(_) => carrier::Event::Malformed(Malformed::Binary),
            Incoming::Stalled => carrier::Event::Stalled,
            Incoming::Closed(Closure::Frame { code, .. }) => carrier::Event::Closed(*code),
            Incoming::Closed(Closure::Broken(_)) => carrier::Event::Closed(None),
        };
        self.call.handle_carrier(event, now);
    }

    fn handle_live(&mut self, link: LinkId, arrival: Arrival) {
        let (call, now) = (&mut self.call, now());
        match arrival {
            Arrival::Opened => call.handle_live(link, live::Event::Opened, now),
            Arrival::Message(message) => {
                let mut is_set_up = false;
                self.decoder.decode(&message, |event| {
                    is_set_up |= matches!(event, live::Event::SetupComplete { .. });
                    call.handle_live(link, event, now);
                });
                if is_set_up {
                    self.upstream.succeed();
                }
            }
            Arrival::Ended(failure) => call.handle_live(link, live::Event::Closed(failure), now),
            Arrival::Released => call.handle_live(link, live::Event::Released, now),
        }
    }

    fn execute(&mut self, output: Output) {
        match output {
            Output::Carrier(command) => self.tell_carrier(&command),
            Output::Dial { link, endpoint } => self.dial(link, endpoint),
            Output::Live(link, live::Command::Close) => self.upstream.close(link),
            Output::Live(link, live::Command::Abort) => self.upstream.abort(link),
            Output::Live(link, command) => self.tell_live(link, command),
            Output::Start(job, request) => self.jobs.start(job, self.bridge.offer.providers.job(request)),
            Output::Cancel(job) => self.jobs.cancel(job),
            Output::FollowUp(follow_up) => self.bridge.follow_ups.put(&self.call_sid, follow_up, now()),
            Output::Record(entry) => self.bridge.record(entry),
        }
    }

    fn tell_carrier(&mut self, command: &carrier::Command) {
        let kind = match command {
            carrier::Command::Close(close) => {
                self.goodbye = *close;
                return;
            }
            carrier::Command::Clear => {
                self.carrier.discard_audio();
                Kind::Control
            }
            carrier::Command::Media(_) => Kind::Audio,
            carrier::Command::Mark(_) => Kind::Control,
        };
        let mut text = String::new();
        self.codec.encode(command, &mut text);
        if !text.is_empty() && self.carrier.send(text, kind) {
            self.call.handle_overflow(Peer::Carrier);
        }
    }

    fn tell_live(&mut self, link: LinkId, mut command: live::Command) {
        let kind = if matches!(command, live::Command::Audio(_)) { Kind::Audio } else { Kind::Control };
        if let live::Command::Setup(setup) = &mut command
            && let Some(endpoint) = self.upstream.endpoint(link)
        {
            setup.model = endpoint.dialer.model_path(&setup.model);
        }
        let mut text = String::new();
        wire::encode(&command, &mut text);
        if self.upstream.send(link, text, kind) {
            self.call.handle_overflow(Peer::Live);
        }
    }

    fn dial(&mut self, link: LinkId, endpoint: usize) {
        self.decoder = wire::Decoder::default();
        self.upstream = match self.bridge.offer.endpoints.get(endpoint) {
            Some(endpoint) => Upstream::dial(link, Arc::clone(endpoint)),
            None => Upstream::refuse(link),
        };
    }

    /// Completes the log of a call whose machine panicked. Its sockets are closed by dropping them.
    fn abort(&mut self) {
        self.goodbye = carrier::Close::Internal;
        let call = &mut self.call;
        let _ = catch_unwind(AssertUnwindSafe(|| call.abort(Ending::Panicked, now())));
        while let Some(output) = self.call.poll_output() {
            if let Output::Record(entry) = output {
                self.bridge.record(entry);
            }
        }
    }

    /// Closes both sides at the same time, each within a bounded time.
    async fn goodbye(self) {
        tokio::join!(self.carrier.close(self.goodbye.code()), self.upstream.closed());
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
