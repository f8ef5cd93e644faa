//! The call log as log lines: one per record that an operator watches, personal data masked.

use tracing::{debug, info, warn};

use crate::call::record::{Entry, Event, Record};
use crate::secret::Masked;

/// Writes a log line for a record. Called once per record; there are none per frame.
pub(super) fn observe(entry: &Entry) {
    let call = entry.call;
    match &entry.record {
        Record::Opened(context) => {
            info!(%call, agent = context.agent, "a call comes in");
            debug!(%call, from = %Masked(&context.from), to = %Masked(&context.to), "its numbers");
        }
        Record::Answered { .. } => info!(%call, "call answered"),
        Record::Turn(turn) => debug!(
            %call,
            speaker = turn.speaker.as_str(),
            interrupted = turn.interrupted,
            latency_ms = turn.latency_ms,
            "turn"
        ),
        Record::Event(Event::LiveLost { link, cause }) => {
            warn!(%call, %link, cause = cause.code(), "live session lost: {cause}");
        }
        Record::Event(Event::Fault { peer, fault, count }) => {
            warn!(%call, ?peer, fault, count, "input that could not be used");
        }
        Record::Event(event) => debug!(%call, event = event.kind(), "call event"),
        Record::Ended(ending) => info!(%call, ending = ending.code(), "call ended: {ending}"),
    }
}
