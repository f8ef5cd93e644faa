//! The call log as log lines: one per record that an operator watches, personal data masked.

use tracing::{debug, error, info, warn};

use crate::call::record::{Entry, Event, Record};
use crate::live::failure::Verdict;
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
        Record::Event(Event::LiveLost { link, endpoint, cause, verdict: Verdict::Fatal, .. }) => {
            error!(%call, %link, endpoint, cause = cause.code(), "the live service refuses, look at its configuration: {cause}");
        }
        Record::Event(Event::LiveLost { link, endpoint, cause, verdict, next }) => {
            warn!(%call, %link, endpoint, cause = cause.code(), verdict = verdict.code(), next, "live session lost: {cause}");
        }
        Record::Event(Event::Rung { rung, cause: Some(cause) }) => {
            warn!(%call, rung = rung.code(), "somebody else answers: {cause}");
        }
        Record::Event(Event::ProviderSkipped { job, provider, failure }) => {
            warn!(%call, job = job.code(), provider, failure = failure.code(), "provider skipped: {failure}");
        }
        Record::Event(Event::ProviderFailed { job, provider, failure }) => {
            warn!(%call, job = job.code(), provider, failure = failure.code(), "provider broke off in an answer: {failure}");
        }
        Record::Event(Event::JobFailed { job, failure }) => {
            warn!(%call, job = job.code(), failure = failure.code(), "no provider could do it: {failure}");
        }
        Record::Event(Event::Fault { fault: fault @ "chunk_numbering", .. }) => {
            warn!(%call, fault, "media.chunk disagrees with the caller's audio; not used for the rest of the call");
        }
        Record::Event(Event::Fault { peer, fault, field, count }) => {
            warn!(%call, ?peer, fault, field, count, "input that could not be used");
        }
        Record::Event(Event::RecordingFailed { reason }) => {
            warn!(%call, "the call is not recorded any more: {reason}");
        }
        Record::Event(event) => debug!(%call, event = event.kind(), "call event"),
        Record::Ended(ending) => info!(%call, ending = ending.code(), "call ended: {ending}"),
    }
}
