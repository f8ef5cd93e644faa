//! The conversation as it happens, from the entries of the call log.

use std::sync::Arc;

use ::time::OffsetDateTime;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;

use crate::call::record::{Entry, Event, Record, Turn};
use crate::cli::{story, text};
use crate::dialogue::Speaker;

/// Prints one call, to its last entry.
pub(super) struct Conversation {
    printing: JoinHandle<()>,
}

impl Conversation {
    pub(super) fn print(mut entries: Receiver<Arc<Entry>>) -> Self {
        let printing = tokio::spawn(async move {
            let mut origin = None;
            loop {
                match entries.recv().await {
                    Ok(entry) => {
                        let origin = *origin.get_or_insert(entry.at);
                        if let Some(line) = describe(&entry, origin) {
                            outln!("{}", text::line(&line));
                        }
                        if matches!(entry.record, Record::Ended(_)) {
                            return;
                        }
                    }
                    Err(RecvError::Lagged(missed)) => outln!("   ({missed} entries not shown)"),
                    Err(RecvError::Closed) => return,
                }
            }
        });
        Self { printing }
    }

    /// Waits for the last line.
    pub(super) async fn finish(self) {
        let _ = tokio::time::timeout(std::time::Duration::from_secs(5), self.printing).await;
    }
}

fn describe(entry: &Entry, origin: OffsetDateTime) -> Option<String> {
    let offset = |at: OffsetDateTime| format!("{:>+7.2}s", (at - origin).as_seconds_f64());
    let happened = |what: String| Some(format!("{}  · {what}", offset(entry.at)));
    match &entry.record {
        Record::Opened(context) => happened(format!("{} calls {}", context.from, context.to)),
        Record::Turn(turn) => Some(format!("{}  {}", offset(turn.started_at), said(turn))),
        Record::Event(Event::Usage(_) | Event::SessionHandle { .. }) | Record::Answered { .. } => None,
        Record::Event(event) => happened(story::sentence(event.kind(), &serde_json::to_value(event).ok()?)?),
        Record::Ended(ending) => happened(ending.to_string()),
    }
}

fn said(turn: &Turn) -> String {
    let speaker = match turn.speaker {
        Speaker::Caller => "caller",
        Speaker::Agent => "agent ",
    };
    let cut = if turn.interrupted { " [interrupted]" } else { "" };
    let latency = turn.latency_ms.map(|ms| format!("  ({ms} ms after the caller)")).unwrap_or_default();
    format!("{speaker}: {}{cut}{latency}", turn.text)
}
