//! The conversation as it happens, from the entries of the call log.

use std::sync::Arc;

use ::time::OffsetDateTime;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;

use crate::call::record::{Entry, Event, Record, Turn};
use crate::cli::text;
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
                            println!("{}", text::line(&line));
                        }
                        if matches!(entry.record, Record::Ended(_)) {
                            return;
                        }
                    }
                    Err(RecvError::Lagged(missed)) => println!("   ({missed} entries not shown)"),
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
        Record::Event(event) => narrate(event).and_then(happened),
        Record::Ended(ending) => happened(ending.to_string()),
        Record::Answered { .. } => None,
    }
}

/// What an event means to somebody who watches; some mean nothing.
fn narrate(event: &Event) -> Option<String> {
    let line = match event {
        Event::LiveReady { plan, setup_ms, gap_ms: Some(gap), .. } => {
            format!("the live session is ready after {setup_ms} ms ({plan}), {gap} ms after the loss")
        }
        Event::LiveReady { setup_ms, .. } => format!("the live session is ready after {setup_ms} ms"),
        Event::LiveLost { cause, .. } => cause.to_string(),
        Event::LiveMoved { plan, .. } => format!("the session moves to another connection ({plan})"),
        Event::GoAway { time_left_ms: Some(left), .. } => {
            format!("the live service asks to leave within {left} ms")
        }
        Event::GoAway { .. } => "the live service asks to leave".to_owned(),
        Event::Rung { rung, .. } => format!("answering from now on: {}", rung.code()),
        Event::ProviderSkipped { job, provider, failure } => {
            format!("{} not by {provider}: {failure}", job.code())
        }
        Event::ProviderUsed { job, provider, first_ms } => {
            format!("{} by {provider}, first result after {first_ms} ms", job.code())
        }
        Event::Cover { waited_ms, words } => {
            format!("cover after {waited_ms} ms: {}", words.as_deref().unwrap_or("a soft tone"))
        }
        Event::AudioHeld { held_ms } => format!("{held_ms} ms of the caller were held and are sent first"),
        Event::Interrupted { heard_ms, cleared_ms } => {
            format!("interrupted: {heard_ms} ms heard, {cleared_ms} ms thrown away")
        }
        Event::Dtmf { digit } => format!("key {digit}"),
        Event::LiveDialled { .. }
        | Event::SessionHandle { .. }
        | Event::JobFailed { .. }
        | Event::SpeechLost { .. }
        | Event::Nudged { .. }
        | Event::EmptyTurn
        | Event::ToolRefused { .. }
        | Event::Usage(_)
        | Event::Fault { .. }
        | Event::AudioTotals(_) => return None,
    };
    Some(line)
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
