//! The loop of one call.

use std::cell::Cell;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{FutureExt as _, Sink, Stream};
use tokio::time::Sleep;
use tracing::{error, trace};

use super::Bridge;
use super::capture::Machine;
use super::flood::{Flood, Verdict};
use super::jobs::Jobs;
use super::registry::Registration;
use super::upstream::{Arrival, Upstream};
use crate::audio::tape::Block;
use crate::call::Output;
use crate::call::intake::Input;
use crate::call::record::Peer;
use crate::call::replay::Message;
use crate::carrier;
use crate::id::LinkId;
use crate::live::{self, wire};
use crate::net::link::{self, Closure, Incoming, Kind, Link};
use crate::store::recordings::Track;

/// Far enough away to stand for "no timer".
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// More than a message of sound. The memory of a setup with a long prompt is given back.
const TEXT_KEPT: usize = 16 << 10;

/// Everything one call owns. Dropping it closes and aborts everything.
struct Task<'a, S, M> {
    bridge: &'a Bridge,
    machine: Machine,
    carrier: Link<S, M>,
    upstream: Upstream,
    jobs: Jobs,
    /// Where the call is recorded, from its first sound on.
    track: Option<Track>,
    flood: Flood,
    timer: Pin<Box<Sleep>>,
    /// How the carrier is to be told goodbye.
    goodbye: carrier::Close,
    call_sid: String,
}

/// Runs a call to its end. A panic ends this call alone, with a record.
pub(super) async fn run<S, M, E>(
    bridge: &Bridge,
    machine: Machine,
    carrier: Link<S, M>,
    mut registration: Registration,
) where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
    M: link::Message,
    E: Display,
{
    trace!(call = %machine.call().id(), pipeline = machine.call().pipeline(), "call pipeline");
    let mut task = Task::new(bridge, machine, carrier, registration.call_sid().to_owned());
    if AssertUnwindSafe(task.drive(&mut registration)).catch_unwind().await.is_err() {
        error!(call = %task.machine.call().id(), "a panic ended the call: this is a defect");
        task.abort();
    }
    task.machine.finish();
    task.goodbye().await;
}

impl<'a, S, M, E> Task<'a, S, M>
where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
    M: link::Message,
    E: Display,
{
    fn new(bridge: &'a Bridge, machine: Machine, carrier: Link<S, M>, call_sid: String) -> Self {
        Self {
            bridge,
            machine,
            carrier,
            upstream: Upstream::Idle,
            jobs: Jobs::default(),
            track: None,
            flood: Flood::new(now()),
            timer: Box::pin(tokio::time::sleep(NEVER)),
            goodbye: carrier::Close::Normal,
            call_sid,
        }
    }

    async fn drive(&mut self, registration: &mut Registration) {
        loop {
            while let Some(output) = self.machine.poll_output() {
                self.execute(output);
            }
            if self.machine.call().ending().is_some() {
                return;
            }
            self.set_timer();
            tokio::select! {
                () = &mut self.timer => self.handle_timeout(),
                incoming = self.carrier.next(true) => self.handle_carrier(incoming),
                (link, arrival) = self.upstream.next(self.machine.call().wants_live()) => self.handle_live(link, arrival),
                (job, event) = self.jobs.next() => self.take(Input::Job { job, event }),
                Some(control) = registration.control() => self.machine.handle_control(control, now()),
            }
        }
    }

    /// The timer is kept and only moved when the machine's next deadline changed.
    fn set_timer(&mut self) {
        let deadline = self.machine.call().poll_timeout().map(|(at, _)| tokio::time::Instant::from_std(at));
        if let Some(deadline) = deadline
            && deadline != self.timer.deadline()
        {
            self.timer.as_mut().reset(deadline);
        } else if self.timer.is_elapsed() {
            self.timer.as_mut().reset(tokio::time::Instant::now() + NEVER);
        }
    }

    fn handle_timeout(&mut self) {
        let call = self.machine.call();
        if let Some((_, timer)) = call.poll_timeout() {
            trace!(call = %call.id(), ?timer, "timer fires");
        }
        self.machine.handle_timeout(now());
    }

    fn take(&mut self, input: Input<'_>) {
        self.machine.handle(input, now());
    }

    fn handle_carrier(&mut self, incoming: Incoming) {
        let now = now();
        let verdict = match &incoming {
            Incoming::Text(data) | Incoming::Binary(data) => self.flood.admit(1, data.len(), now),
            Incoming::Noise(arrivals) => self.flood.admit(*arrivals, 0, now),
            Incoming::Stalled | Incoming::Closed(_) => Verdict::Taken,
        };
        let input = match &incoming {
            _ if verdict == Verdict::Endless => Input::CarrierFlooded,
            _ if verdict == Verdict::Refused => Input::CarrierFlood,
            Incoming::Text(data) | Incoming::Binary(data) => Input::Carrier(Message::new(data)),
            Incoming::Noise(_) => return,
            Incoming::Stalled => Input::CarrierStalled,
            Incoming::Closed(Closure::Frame { code, .. }) => Input::CarrierClosed { code: *code },
            Incoming::Closed(Closure::Broken(_)) => Input::CarrierClosed { code: None },
        };
        self.machine.handle(input, now);
    }

    fn handle_live(&mut self, link: LinkId, arrival: Arrival) {
        let input = match &arrival {
            Arrival::Opened => Input::LiveOpened { link },
            Arrival::Message(message) => Input::Live { link, message: Message::new(message) },
            Arrival::Ended(failure) => Input::LiveEnded { link, failure: failure.clone() },
            Arrival::Released => Input::LiveReleased { link },
        };
        if self.machine.handle(input, now()) {
            self.upstream.succeed();
        }
    }

    fn execute(&mut self, output: Output) {
        match output {
            Output::Carrier(command) => self.tell_carrier(&command),
            Output::Dial { link, endpoint, is_last_tier } => self.dial(link, endpoint, is_last_tier),
            Output::Live(link, live::Command::Close) => self.upstream.close(link),
            Output::Live(link, live::Command::Abort) => self.upstream.abort(link),
            Output::Live(link, command) => self.tell_live(link, command),
            Output::Start(job, request) => self.jobs.start(job, self.bridge.offer.providers.job(request)),
            Output::Cancel(job) => self.jobs.cancel(job),
            Output::FollowUp(follow_up) => self.bridge.follow_ups.put(&self.call_sid, follow_up, now()),
            Output::Tape(block) => self.tape(block),
            Output::Record(entry) => self.bridge.record(entry),
        }
    }

    fn tape(&mut self, block: Box<Block>) {
        let track = self.track.get_or_insert_with(|| self.bridge.track(self.machine.call()));
        if let Err(failure) = track.write(block) {
            self.take(Input::RecordingFailed { reason: failure.to_string() });
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
        let is_full = with_text(|text| {
            self.machine.encode(command, text);
            !text.is_empty() && self.carrier.send(text, kind)
        });
        if is_full {
            self.take(Input::Overflow { peer: Peer::Carrier });
        }
    }

    fn tell_live(&mut self, link: LinkId, mut command: live::Command) {
        let kind = if matches!(command, live::Command::Audio(_)) { Kind::Burst } else { Kind::Control };
        if let live::Command::Setup(setup) = &mut command
            && let Some(endpoint) = self.upstream.endpoint(link)
        {
            setup.model = endpoint.dialer.model_path(&setup.model);
        }
        let is_full = with_text(|text| {
            wire::encode(&command, text);
            self.upstream.send(link, text, kind)
        });
        if is_full {
            self.take(Input::Overflow { peer: Peer::Live });
        }
    }

    fn dial(&mut self, link: LinkId, endpoint: usize, is_last_tier: bool) {
        self.upstream = match self.bridge.offer.endpoints.get(endpoint) {
            Some(endpoint) => Upstream::dial(link, Arc::clone(endpoint), is_last_tier),
            None => Upstream::refuse(link),
        };
    }

    /// Completes the log of a call whose machine panicked. Its sockets are closed by dropping them.
    fn abort(&mut self) {
        self.goodbye = carrier::Close::Internal;
        let _ = catch_unwind(AssertUnwindSafe(|| self.take(Input::Panicked)));
        while let Some(output) = self.machine.poll_output() {
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

/// Memory for a message on its way into a link: one of each thread for all calls, so that it is in the cache when the
/// next call needs it, and no call has its own.
fn with_text<R>(work: impl FnOnce(&mut String) -> R) -> R {
    thread_local! {
        static TEXT: Cell<String> = const { Cell::new(String::new()) };
    }
    let mut text = TEXT.take();
    let result = work(&mut text);
    if text.capacity() <= TEXT_KEPT {
        text.clear();
        TEXT.set(text);
    }
    result
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
