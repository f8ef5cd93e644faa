//! What was told while a call went on, kept until it is looked at.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::time::OffsetDateTime;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::call::record::{Entry, Record};
use crate::store;

/// Everything that came through a channel since it was opened. Ends with the channel.
#[derive(Debug)]
pub(super) struct Notes<T>(Arc<Mutex<Vec<T>>>);

impl<T: Clone + Send + 'static> Notes<T> {
    pub(super) fn keep(mut channel: broadcast::Receiver<T>) -> Self {
        let notes = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&notes);
        tokio::spawn(async move {
            loop {
                match channel.recv().await {
                    Ok(note) => kept.lock().unwrap_or_else(PoisonError::into_inner).push(note),
                    Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "observations were missed"),
                    Err(RecvError::Closed) => return,
                }
            }
        });
        Self(notes)
    }

    pub(super) fn all(&self) -> Vec<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The call log as it is written, with its times as instants.
#[derive(Debug)]
pub(super) struct Journal {
    entries: Notes<Arc<Entry>>,
    origin: (Instant, OffsetDateTime),
}

impl Journal {
    pub(super) fn keep(store: &store::Handle) -> Self {
        let origin = (Instant::now(), OffsetDateTime::now_utc());
        Self { entries: Notes::keep(store.watch()), origin }
    }

    /// The entries of a call that is over.
    pub(super) async fn of(&self, call_sid: &str) -> Vec<Arc<Entry>> {
        /// From the carrier's end of a call to the last entry.
        const ENDED_MAX: Duration = Duration::from_secs(5);
        const STEP: Duration = Duration::from_millis(20);
        let deadline = Instant::now() + ENDED_MAX;
        loop {
            let entries = of(&self.entries.all(), call_sid);
            let is_ended = entries.iter().any(|entry| matches!(entry.record, Record::Ended(_)));
            if is_ended || Instant::now() > deadline {
                return entries;
            }
            tokio::time::sleep(STEP).await;
        }
    }

    pub(super) fn instant(&self, at: OffsetDateTime) -> Instant {
        let (instant, wall) = self.origin;
        let since = at - wall;
        if since.is_negative() { instant - since.unsigned_abs() } else { instant + since.unsigned_abs() }
    }
}

fn of(entries: &[Arc<Entry>], call_sid: &str) -> Vec<Arc<Entry>> {
    let opens = |entry: &&Arc<Entry>| matches!(&entry.record, Record::Opened(context) if context.call_sid == call_sid);
    let Some(call) = entries.iter().find(opens).map(|entry| entry.call) else { return Vec::new() };
    entries.iter().filter(|entry| entry.call == call).cloned().collect()
}
