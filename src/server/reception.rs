//! Lets calls in, or not: the decision behind the voice webhook, from the fields of the request to the answer.
//!
//! The context comes first and cannot fail; from then on the call is in the log, and whatever refuses it ends it
//! there. A webhook that comes again gets the same answer and leaves no second call. Needs nobody upstream.

use std::time::Instant;

use ::time::OffsetDateTime;
use uuid::Uuid;

use super::State;
use super::error::Error;
use super::media;
use super::public_url::PublicUrl;
use super::state::Seat;
use super::tokens::{Full, Token};
use super::webhook;
use crate::call::Admission;
use crate::call::context::{Context, Direction, UNKNOWN};
use crate::call::record::{Ending, Ledger, Record};
use crate::carrier::answer::{self, Reason, Stream, Verb};
use crate::carrier::webhook::{self as form, VoiceRequest};
use crate::id::CallId;
use crate::time::WallClock;

/// How the carrier asks again when the resume webhook is down: connects within 2 s, 5 retries, 15 s in all
/// (Twilio, "Connection overrides").
const RESUME_RETRIES: &str = "#ct=2000&rc=5&rp=ct,5xx&tt=15000";

/// The answer to a call.
pub(super) fn receive(state: &State, request: &VoiceRequest, now: Instant) -> Result<String, Error> {
    let url = state.public_url()?;
    let call_sid = request.call_sid.as_deref();
    // Held to the end, so that of two equal requests one is the repetition.
    let mut desk = state.desk();
    if let Some(document) = call_sid.and_then(|sid| desk.document(sid, now)) {
        tracing::debug!("a webhook came again");
        return Ok(document.to_owned());
    }
    let seat = state.seat(request.to.as_deref().unwrap_or_default());
    let (context, ledger) = open(state, request, seat, now);
    let (ending, reason, mut ledger) = match seat {
        _ if !state.bridge.is_accepting() => (Ending::Drained, Reason::Busy, ledger),
        None => (Ending::AgentUnknown, Reason::Rejected, ledger),
        Some(seat) => {
            let admission = Box::new(Admission { context, agent: seat.agent.clone(), ledger });
            match desk.admit(call_sid, admission, now, |token| connect(url, seat, token)) {
                Ok(document) => {
                    state.note_issued();
                    return Ok(document);
                }
                Err(Full(admission)) => (Ending::Overloaded, Reason::Busy, admission.ledger),
            }
        }
    };
    state.bridge.record(ledger.entry(Record::Ended(ending), now));
    let document = answer::document(&[Verb::Reject(reason)]);
    desk.refuse(call_sid, &document, now);
    state.note_issued();
    Ok(document)
}

/// Puts the call into the log.
fn open(state: &State, request: &VoiceRequest, seat: Option<&Seat>, now: Instant) -> (Context, Ledger) {
    let wall = OffsetDateTime::now_utc();
    let context = context(request, seat, wall);
    let mut ledger = Ledger::new(CallId::new(Uuid::now_v7().as_u128()), WallClock::new(now, wall));
    state.bridge.record(ledger.entry(Record::Opened(Box::new(context.clone())), now));
    (context, ledger)
}

fn context(request: &VoiceRequest, seat: Option<&Seat>, wall: OffsetDateTime) -> Context {
    let known = |field: &Option<String>| field.clone().unwrap_or_else(|| UNKNOWN.to_owned());
    let mut context = Context {
        carrier: "twilio".to_owned(),
        call_sid: known(&request.call_sid),
        account_sid: known(&request.account_sid),
        direction: match request.direction {
            Some(form::Direction::Inbound) => Direction::Inbound,
            Some(form::Direction::Outbound) => Direction::Outbound,
            None => Direction::Unknown,
        },
        from: known(&request.from),
        to: known(&request.to),
        ..Context::unknown(wall)
    };
    if let Some(Seat { agent, parameters }) = seat {
        context.business_id.clone_from(&agent.business_id);
        context.agent.clone_from(&agent.name);
        context.model.clone_from(&agent.model);
        context.prompt.clone_from(&agent.prompt);
        let text = |text: &str| text.to_owned();
        context.parameters = parameters.iter().map(|p| (text(p.name()), text(p.value()))).collect();
    }
    context
}

/// Connects the call to its stream, and asks us how to go on when the stream ends: so the call survives a crash
/// of this process.
fn connect(url: &PublicUrl, seat: &Seat, token: Token) -> String {
    let resume = url.webhook(webhook::RESUME);
    answer::document(&[
        Verb::Connect(Stream {
            url: url.stream(&media::path(token)),
            status_callback: url.webhook(webhook::STATUS),
            parameters: seat.parameters.clone(),
        }),
        Verb::Pause { seconds: 1 },
        Verb::Redirect { url: format!("{resume}?attempt=1{RESUME_RETRIES}") },
    ])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::mpsc::Receiver;

    use super::super::{Config, tokens};
    use super::*;
    use crate::bridge::{Bridge, Offer};
    use crate::call::agent::Agent;
    use crate::call::record::Entry;
    use crate::net::dial;
    use crate::provider::gemini::{self, Dialer};
    use crate::secret::Secret;
    use crate::store::{Handle, Line};

    fn state() -> (Arc<State>, Receiver<Line>) {
        state_of(Agent::default())
    }

    fn state_of(agent: Agent) -> (Arc<State>, Receiver<Line>) {
        let (store, log) = Handle::pair(32_768);
        let config = Config { public_url: Some("https://voice.example.com".to_owned()), ..Config::default() };
        let agents = vec![Arc::new(agent)];
        let bridge = Arc::new(Bridge::new(store, Offer::live(dialer())));
        (Arc::new(State::new(&config, vec![Secret::new("12345")], agents, bridge).unwrap()), log)
    }

    fn dialer() -> Dialer {
        Dialer::new(&gemini::Config::default(), &Secret::new("key"), dial::tls([])).unwrap()
    }

    fn request(call_sid: &str) -> VoiceRequest {
        VoiceRequest { call_sid: Some(call_sid.to_owned()), ..VoiceRequest::default() }
    }

    fn entry(log: &mut Receiver<Line>) -> Option<Entry> {
        match log.try_recv().ok()? {
            Line::Entry(entry) => Some(entry.as_ref().clone()),
            Line::Annotation(annotation) => panic!("{annotation:?}"),
        }
    }

    fn endings(log: &mut Receiver<Line>) -> Vec<Ending> {
        std::iter::from_fn(|| entry(log))
            .filter_map(|entry| if let Record::Ended(ending) = entry.record { Some(ending) } else { None })
            .collect()
    }

    /// Lets time pass on a paused clock; tasks whose timers fire meanwhile run at their time.
    async fn pass(duration: Duration) {
        // allowed: the clock is paused, and `advance` would jump over the timers of other tasks
        tokio::time::sleep(duration).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_whose_stream_never_comes_is_ended_after_30_seconds() {
        let (state, mut log) = state();
        let sweeper = tokio::spawn(Arc::clone(&state).sweep());
        tokio::task::yield_now().await;
        receive(&state, &request("CA1"), tokio::time::Instant::now().into_std()).unwrap();
        let opened = entry(&mut log).unwrap();
        assert!(matches!(opened.record, Record::Opened(_)));
        tokio::time::advance(tokens::LIFE - Duration::from_millis(1)).await;
        assert_eq!(entry(&mut log), None);
        pass(Duration::from_millis(2)).await;
        let ended = entry(&mut log).unwrap();
        assert_eq!((ended.call, ended.sequence), (opened.call, 1));
        assert_eq!(ended.record, Record::Ended(Ending::StreamNeverCame));
        assert_eq!(entry(&mut log), None);
        sweeper.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn each_of_many_streams_that_never_come_is_ended_at_its_time() {
        let (state, mut log) = state();
        let sweeper = tokio::spawn(Arc::clone(&state).sweep());
        for second in 0..90 {
            receive(&state, &request(&format!("CA{second}")), tokio::time::Instant::now().into_std())
                .unwrap();
            pass(Duration::from_secs(1)).await;
        }
        assert_eq!(endings(&mut log), vec![Ending::StreamNeverCame; 60]);
        pass(tokens::LIFE).await;
        assert_eq!(endings(&mut log), vec![Ending::StreamNeverCame; 30]);
        sweeper.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_are_refused_neither_delay_the_others_nor_fill_the_desk_for_ever() {
        let (state, mut log) = state_of(Agent { number: Some("+1".to_owned()), ..Agent::default() });
        let sweeper = tokio::spawn(Arc::clone(&state).sweep());
        let now = || tokio::time::Instant::now().into_std();
        let known = |call_sid| VoiceRequest { to: Some("+1".to_owned()), ..request(call_sid) };
        for number in 1..10_000 {
            receive(&state, &request(&format!("CA{number}")), now()).unwrap();
        }
        pass(Duration::from_secs(1)).await;
        receive(&state, &known("CA"), now()).unwrap();
        assert_eq!(endings(&mut log), vec![Ending::AgentUnknown; 9_999]);
        pass(tokens::LIFE + Duration::from_millis(2)).await;
        assert_eq!(endings(&mut log), [Ending::StreamNeverCame]);
        assert!(receive(&state, &known("CB"), now()).unwrap().contains("busy"));
        pass(tokens::LIFE + Duration::from_millis(2)).await;
        assert!(receive(&state, &known("CC"), now()).unwrap().contains("<Connect>"));
        sweeper.abort();
    }

    #[tokio::test]
    async fn a_call_too_many_is_recorded_and_refused() {
        let (state, mut log) = state();
        let now = Instant::now();
        for number in 0..10_000 {
            receive(&state, &request(&format!("CA{number}")), now).unwrap();
        }
        while entry(&mut log).is_some() {}
        let document = receive(&state, &request("CA"), now).unwrap();
        assert!(document.contains("<Reject reason=\"busy\"/>"), "{document}");
        let (opened, ended) = (entry(&mut log).unwrap(), entry(&mut log).unwrap());
        assert!(
            matches!(opened.record, Record::Opened(context) if context.call_sid == "CA" && context.agent == "default")
        );
        assert_eq!((ended.call, ended.sequence), (opened.call, 1));
        assert_eq!(ended.record, Record::Ended(Ending::Overloaded));
    }

    #[tokio::test]
    async fn the_end_of_the_server_ends_the_calls_that_wait_for_their_streams() {
        let (state, mut log) = state();
        receive(&state, &request("CA1"), Instant::now()).unwrap();
        state.close();
        state.close();
        assert_eq!(endings(&mut log), [Ending::Drained]);
    }

    #[tokio::test]
    async fn calls_without_an_id_are_not_taken_for_repetitions() {
        let (state, mut log) = state();
        let anonymous = VoiceRequest::default();
        let first = receive(&state, &anonymous, Instant::now()).unwrap();
        let second = receive(&state, &anonymous, Instant::now()).unwrap();
        assert_ne!(first, second);
        let (first, second) = (entry(&mut log).unwrap(), entry(&mut log).unwrap());
        assert_ne!(first.call, second.call);
        let Record::Opened(context) = first.record else { panic!("{first:?}") };
        assert_eq!(
            (context.call_sid.as_str(), context.from.as_str(), context.to.as_str()),
            (UNKNOWN, UNKNOWN, UNKNOWN)
        );
        assert_eq!(context.direction, Direction::Unknown);
    }
}
