//! One task per call: owns both sockets, carries events into the machine and outputs out.

mod flood;
mod observe;
mod registry;
mod task;
mod upstream;

use std::fmt::Display;
use std::sync::Arc;
use std::time::Instant;

use futures_util::{Sink, Stream};

use self::registry::Registry;
use crate::call::record::{Annotation, Entry};
use crate::call::{Admission, Call};
use crate::net::link::{Link, Message};
use crate::provider::gemini::Dialer;
use crate::store;

/// What the calls of a process share.
#[derive(Debug)]
pub struct Bridge {
    store: store::Handle,
    dialer: Arc<Dialer>,
    registry: Arc<Registry>,
}

impl Bridge {
    pub fn new(store: store::Handle, dialer: Dialer) -> Self {
        Self { store, dialer: Arc::new(dialer), registry: Registry::new() }
    }

    /// Appends to the call log and writes the log line. Never waits.
    pub fn record(&self, entry: Entry) {
        observe::observe(&entry);
        self.store.append(entry);
    }

    /// Adds what the carrier told outside the stream. Never waits.
    pub fn annotate(&self, annotation: Annotation) {
        self.store.annotate(annotation);
    }

    /// Whether new calls may be admitted: false while the process drains.
    pub fn is_accepting(&self) -> bool {
        !self.registry.is_draining()
    }

    /// Streams that run now.
    pub fn active(&self) -> usize {
        self.registry.active()
    }

    /// Takes no more calls, ends the running ones by `deadline` and waits for them. `false` if some remain.
    pub async fn drain(&self, deadline: Instant) -> bool {
        self.registry.drain(deadline).await
    }

    /// Carries one call from the upgrade to its end. Never fails: how it ended is in the log.
    pub async fn run<S, M, E>(&self, admission: Admission, socket: S)
    where
        S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
        M: Message,
        E: Display,
    {
        let call_sid = admission.context.call_sid.clone();
        let call = Call::answer(admission, tokio::time::Instant::now().into_std());
        let registration = self.registry.enter(call_sid, call.id());
        task::run(self, call, Link::new(socket), registration).await;
    }
}
