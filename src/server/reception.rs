//! Lets calls in, or not: the decision behind the voice webhook, from the fields of the request to the answer.
//!
//! An admitted call is in the log before it is answered. A refused one is answered at once, and is in the log as far
//! as a flood of them leaves room. A webhook that comes again gets the same answer and leaves no second call. Needs
//! nobody upstream.

use std::sync::Arc;
use std::time::Instant;

use ::time::OffsetDateTime;

use super::State;
use super::call_id::call_id;
use super::error::Error;
use super::limits::{Parties, Place};
use super::media;
use super::public_url::PublicUrl;
use super::refused::Refusal;
use super::state::Seat;
use super::tokens::{Admitted, Desk, Full, Origin, Token};
use super::webhook;
use crate::call::Admission;
use crate::call::context::{Context, Direction, UNKNOWN};
use crate::call::record::{Ending, Ledger, Limit, Record};
use crate::carrier::answer::{self, Reason, Stream, Verb};
use crate::carrier::party::Party;
use crate::carrier::webhook::{self as form, VoiceRequest};
use crate::time::WallClock;

/// How the carrier asks again when the resume webhook is down: connects within 2 s, 5 retries, 15 s in all
/// (Twilio, "Connection overrides").
const RESUME_RETRIES: &str = "#ct=2000&rc=5&rp=ct,5xx&tt=15000";

/// The answer to a call, as the document for the carrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Its beginning is being written to the log.
    Admitted(String),
    Refused(Arc<str>),
}

/// Answers a call.
pub(super) fn receive(state: &State, request: &VoiceRequest, now: Instant) -> Result<Answer, Error> {
    let url = state.public_url()?;
    let call_sid = request.call_sid.as_deref();
    // Held to the end, so that of two equal requests one is the repetition.
    let mut desk = state.desk();
    if let Some(answer) = repeated(&desk, request, now) {
        tracing::debug!("a webhook came again");
        return Ok(answer);
    }
    let seat = state.seat(request.ours());
    match admit(state, &desk, request, seat, now) {
        Ok((seat, place)) => {
            let call = open(state, request, seat, now);
            let admitted = Box::new(Admitted { call, place });
            let origin = Origin::of(request);
            let document = desk.admit(origin, admitted, now, |token| connect(url, seat, token));
            if let Some(call_sid) = call_sid {
                state.bridge.forget_follow_up(call_sid);
            }
            state.note_issued();
            Ok(Answer::Admitted(document))
        }
        Err(ending) => {
            let document = refusal(seat, &ending);
            if let Some(call_sid) = call_sid {
                let answer = Refusal::new(&document, request.idempotency_token.as_deref(), now);
                desk.refused.remember(call_sid, answer);
            }
            drop(desk);
            refuse(state, request, seat, ending, now);
            Ok(Answer::Refused(document))
        }
    }
}

/// What this request was answered when it came before. The carrier repeats a request with the same idempotency token; a
/// call that asks again otherwise, as after a menu, gets a stream of its own.
fn repeated(desk: &Desk, request: &VoiceRequest, now: Instant) -> Option<Answer> {
    let call_sid = request.call_sid.as_deref()?;
    let token = request.idempotency_token.as_deref();
    let admitted = desk.document(call_sid, token, now).map(|document| Answer::Admitted(document.to_owned()));
    admitted.or_else(|| desk.refused.document(call_sid, token, now).map(Answer::Refused))
}

/// Who answers the call, and its place among those that run; or how it ends here.
fn admit<'a>(
    state: &State,
    desk: &Desk,
    request: &VoiceRequest,
    seat: Option<&'a Seat>,
    now: Instant,
) -> Result<(&'a Seat, Place), Ending> {
    if !state.bridge.is_accepting() {
        return Err(Ending::Drained);
    }
    let seat = seat.ok_or(Ending::AgentUnknown)?;
    let overloaded = |cause| Ending::Overloaded { cause };
    desk.check().map_err(|Full| overloaded(Limit::Tokens))?;
    let text = |party: Option<&Party>| party.map(ToString::to_string);
    let (caller, number) = (text(request.caller()), text(request.number()));
    let parties = Parties { caller: caller.as_deref(), number: number.as_deref() };
    let place = state.limits.admit(parties, now).map_err(overloaded)?;
    Ok((seat, place))
}

/// What the carrier does with a call that ends here.
fn refusal(seat: Option<&Seat>, ending: &Ending) -> Arc<str> {
    let reason = match (ending, seat) {
        (Ending::Overloaded { .. }, Some(seat)) => return Arc::clone(&seat.overflow),
        (Ending::AgentUnknown, _) => Reason::Rejected,
        _ => Reason::Busy,
    };
    answer::document(&[Verb::Reject(reason)]).into()
}

/// Puts the call into the log.
fn open(state: &State, request: &VoiceRequest, seat: &Seat, now: Instant) -> Admission {
    let (context, mut ledger) = begin(request, Some(seat), now);
    state.bridge.record(ledger.entry(Record::Opened(Box::new(context.clone())), now));
    Admission { context, agent: Arc::clone(&seat.agent), ledger }
}

/// Puts the call into the log with its end, if there are not too many like it.
fn refuse(state: &State, request: &VoiceRequest, seat: Option<&Seat>, ending: Ending, now: Instant) {
    let entries = |ending| {
        let (context, mut ledger) = begin(request, seat, now);
        [Record::Opened(Box::new(context)), Record::Ended(ending)].map(|record| ledger.entry(record, now))
    };
    state.bridge.refuse(&ending, now, || entries(ending.clone()));
}

/// What is known of the call, and the ledger of its entries.
fn begin(request: &VoiceRequest, seat: Option<&Seat>, now: Instant) -> (Context, Ledger) {
    let wall = OffsetDateTime::now_utc();
    let ledger = Ledger::new(call_id(wall), WallClock::new(now, wall));
    (context(request, seat, wall), ledger)
}

fn context(request: &VoiceRequest, seat: Option<&Seat>, wall: OffsetDateTime) -> Context {
    let known = |field: &Option<String>| field.clone().unwrap_or_else(|| UNKNOWN.to_owned());
    let party = |party: &Option<Party>| party.as_ref().map_or_else(|| UNKNOWN.to_owned(), Party::to_string);
    let mut context = Context {
        carrier: "twilio".to_owned(),
        call_sid: known(&request.call_sid),
        account_sid: known(&request.account_sid),
        direction: match request.direction {
            Some(form::Direction::Inbound) => Direction::Inbound,
            Some(form::Direction::Outbound) => Direction::Outbound,
            None => Direction::Unknown,
        },
        from: party(&request.from),
        to: party(&request.to),
        ..Context::unknown(wall)
    };
    if let Some(Seat { agent, parameters, party, .. }) = seat {
        // The agent's own number, where the carrier leaves the plus or the country code out.
        if let Some(party) = party {
            let ours =
                if context.direction == Direction::Outbound { &mut context.from } else { &mut context.to };
            *ours = party.to_string();
        }
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
    use std::time::Duration;

    use rstest::rstest;
    use tokio::sync::mpsc::Receiver;

    use super::super::{Config, limits, tokens};
    use super::*;
    use crate::bridge::{Bridge, Offer};
    use crate::call::agent::Agent;
    use crate::call::record::Entry;
    use crate::carrier::Overflow;
    use crate::net::dial;
    use crate::provider::gemini::{self, Dialer};
    use crate::secret::Secret;
    use crate::store::{Handle, Line};

    fn state() -> (Arc<State>, Receiver<Line>) {
        state_of(Agent::default(), limits::Config::NONE)
    }

    fn state_of(agent: Agent, limits: limits::Config) -> (Arc<State>, Receiver<Line>) {
        let (store, log) = Handle::pair(32_768);
        let config = Config { public_url: Some("https://voice.example.com".to_owned()), ..Config::default() };
        let agents = vec![Arc::new(agent)];
        let bridge = Arc::new(Bridge::new(store, Offer::live(dialer())));
        let state = State::new(&config, vec![Secret::new("12345")], agents, bridge).unwrap();
        (Arc::new(state.limited(&limits)), log)
    }

    fn limited_to(max_calls: u32) -> limits::Config {
        limits::Config { max_calls: Some(max_calls), ..limits::Config::NONE }
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
    async fn a_flood_of_refused_calls_takes_nothing_from_those_that_are_admitted() {
        let number = "+13125550142";
        let agent = Agent { number: Some(number.to_owned()), ..Agent::default() };
        let (state, mut log) = state_of(agent, limits::Config::NONE);
        let sweeper = tokio::spawn(Arc::clone(&state).sweep());
        let now = || tokio::time::Instant::now().into_std();
        for number in 0..20_000 {
            let answer = receive(&state, &request(&format!("CA{number}")), now()).unwrap();
            assert!(matches!(answer, Answer::Refused(document) if document.contains("rejected")));
        }
        let known = VoiceRequest { to: Some(Party::parse(number)), ..request("CA") };
        assert!(matches!(receive(&state, &known, now()).unwrap(), Answer::Admitted(_)));
        assert_eq!(endings(&mut log), vec![Ending::AgentUnknown; 500], "some are in the log");
        pass(tokens::LIFE + Duration::from_millis(2)).await;
        assert_eq!(endings(&mut log), [Ending::StreamNeverCame]);
        sweeper.abort();
    }

    #[tokio::test]
    async fn refused_calls_leave_half_of_the_logs_queue_to_the_others() {
        let (store, mut log) = Handle::pair(8);
        let bridge = Arc::new(Bridge::new(store, Offer::live(dialer())));
        let config = Config { public_url: Some("https://voice.example.com".to_owned()), ..Config::default() };
        let state = State::new(&config, vec![Secret::new("12345")], vec![Arc::new(Agent::default())], bridge);
        let state = state.unwrap().limited(&limited_to(4));
        for number in 0..100 {
            receive(&state, &request(&format!("CA{number}")), Instant::now()).unwrap();
        }
        let records: Vec<_> = std::iter::from_fn(|| entry(&mut log)).map(|entry| entry.record).collect();
        assert_eq!(records.len(), 4, "the calls that were admitted");
        assert!(records.iter().all(|record| matches!(record, Record::Opened(_))));
    }

    #[rstest]
    #[case::busy(None, "<Reject reason=\"busy\"/>")]
    #[case::overflow(Some("All lines are busy."), "<Say>All lines are busy.</Say><Hangup/>")]
    #[tokio::test]
    async fn a_call_too_many_is_recorded_and_refused(#[case] say: Option<&str>, #[case] verbs: &str) {
        let overflow = |say: &str| Overflow { say: Some(say.to_owned()), ..Overflow::default() };
        let mut agent = Agent::default();
        agent.otherwise.overflow = say.map(overflow);
        let (state, mut log) = state_of(agent, limited_to(3));
        let now = Instant::now();
        for number in 0..3 {
            assert!(matches!(
                receive(&state, &request(&format!("CA{number}")), now),
                Ok(Answer::Admitted(_))
            ));
        }
        while entry(&mut log).is_some() {}
        let answer = receive(&state, &request("CA"), now).unwrap();
        let Answer::Refused(document) = &answer else { panic!("{answer:?}") };
        assert!(document.contains(&format!("<Response>{verbs}</Response>")), "{document}");
        let (opened, ended) = (entry(&mut log).unwrap(), entry(&mut log).unwrap());
        assert!(
            matches!(opened.record, Record::Opened(context) if context.call_sid == "CA" && context.agent == "default")
        );
        assert_eq!((ended.call, ended.sequence), (opened.call, 1));
        assert_eq!(ended.record, Record::Ended(Ending::Overloaded { cause: Limit::MaxCalls }));
        assert_eq!(receive(&state, &request("CA"), now).unwrap(), answer, "it came again");
        assert_eq!(entry(&mut log), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_waits_for_its_stream_has_a_place_until_it_can_no_longer_come() {
        let (state, _log) = state_of(Agent::default(), limited_to(1));
        let sweeper = tokio::spawn(Arc::clone(&state).sweep());
        let now = || tokio::time::Instant::now().into_std();
        let is_admitted =
            |call_sid| matches!(receive(&state, &request(call_sid), now()), Ok(Answer::Admitted(_)));
        assert!(is_admitted("CA1") && is_admitted("CA1"), "a repetition takes no second place");
        assert!(!is_admitted("CA2"));
        pass(tokens::LIFE + Duration::from_millis(2)).await;
        assert!(is_admitted("CA2") && !is_admitted("CA3"));
        sweeper.abort();
    }

    #[rstest]
    #[case::of_a_caller("+14155550123", None, Limit::CallerRate)]
    #[case::of_a_number("anonymous", None, Limit::NumberRate)]
    #[case::of_a_caller_by_sip("sip:+14155550123@10.0.0.7:5060;user=phone", None, Limit::CallerRate)]
    #[case::of_a_number_spelled("+266696687", Some(form::Direction::Inbound), Limit::NumberRate)]
    #[case::of_a_number_private("sip:anonymous@anonymous.invalid", None, Limit::NumberRate)]
    #[case::of_a_number_empty("", None, Limit::NumberRate)]
    #[tokio::test]
    async fn calls_that_come_too_often_are_refused(
        #[case] from: &str,
        #[case] direction: Option<form::Direction>,
        #[case] cause: Limit,
    ) {
        let limits = limits::Config {
            calls_per_minute_per_caller: 2,
            calls_per_minute_per_number: 3,
            ..limits::Config::NONE
        };
        let (state, mut log) = state_of(Agent::default(), limits);
        let now = Instant::now();
        for number in 0..4 {
            let (from, to) = (Some(Party::parse(from)), Some(Party::parse("+13125550142")));
            let request = VoiceRequest { from, to, direction, ..request(&format!("CA{number}")) };
            receive(&state, &request, now).unwrap();
        }
        let refused = endings(&mut log);
        assert_eq!(refused.first(), Some(&Ending::Overloaded { cause }));
        assert_eq!(refused.len(), if cause == Limit::CallerRate { 2 } else { 1 });
    }

    #[tokio::test]
    async fn calls_of_our_own_have_no_rate() {
        let limits = limits::Config {
            calls_per_minute_per_caller: 1,
            calls_per_minute_per_number: 1,
            ..limits::Config::NONE
        };
        let (state, mut log) = state_of(Agent::default(), limits);
        for number in 0..5 {
            let (from, to) = (Some(Party::parse("+13125550142")), Some(Party::parse("+14155550123")));
            let direction = Some(form::Direction::Outbound);
            let request = VoiceRequest { from, to, direction, ..request(&format!("CA{number}")) };
            receive(&state, &request, Instant::now()).unwrap();
        }
        assert_eq!(endings(&mut log), []);
    }

    /// The first agent answers for the number, the second for a SIP address, the third for a number that ends alike, and
    /// the fourth, if there is one, for all others.
    #[rstest]
    #[case::the_number("+13125550142", None, "sales", "sales")]
    #[case::sip("sip:+13125550142@acme.sip.us1.twilio.com;user=phone", None, "sales", "sales")]
    #[case::port("sips:+13125550142@acme.example:5061;transport=tls", None, "sales", "sales")]
    #[case::tel("tel:+1-312-555-0142", None, "sales", "sales")]
    #[case::no_plus("13125550142", None, "sales", "sales")]
    #[case::space_for_plus(" 13125550142", None, "sales", "sales")]
    #[case::national_of_one("3125550142", None, "sales", "sales")]
    #[case::national_of_two("2079460000", None, "refused", "refused")]
    #[case::part_of_a_number("5550142", None, "refused", "default")]
    #[case::address("sip:Front.Desk@acme.sip.ie1.twilio.com:5061", None, "desk", "desk")]
    #[case::address_elsewhere("sip:front.desk@other.example", None, "refused", "default")]
    #[case::another_number("+13125550199", None, "refused", "default")]
    #[case::withheld("anonymous", None, "refused", "default")]
    #[case::we_call("+14155550123", Some("+13125550142"), "sales", "sales")]
    #[case::we_call_them("+13125550142", Some("sip:front.desk@acme.sip.twilio.com"), "desk", "desk")]
    #[tokio::test]
    async fn a_call_finds_the_agent_of_its_party(
        #[case] to: &str,
        #[case] from: Option<&str>,
        #[case] alone: &str,
        #[case] with_default: &str,
    ) {
        let agent = |name: &str, number: Option<&str>| {
            Arc::new(Agent { name: name.into(), number: number.map(str::to_owned), ..Agent::default() })
        };
        let mut agents = vec![
            agent("sales", Some("+13125550142")),
            agent("desk", Some("sip:front.desk@acme.sip.twilio.com")),
            agent("london", Some("+442079460000")),
            agent("prague", Some("+4202079460000")),
        ];
        for expected in [alone, with_default] {
            let (store, mut log) = Handle::pair(64);
            let config =
                Config { public_url: Some("https://voice.example.com".to_owned()), ..Config::default() };
            let bridge = Arc::new(Bridge::new(store, Offer::live(dialer())));
            let state = State::new(&config, vec![Secret::new("12345")], agents.clone(), bridge).unwrap();
            let request = VoiceRequest {
                from: Some(Party::parse(from.unwrap_or("+14155550123"))),
                to: Some(Party::parse(to)),
                direction: from.map(|_| form::Direction::Outbound),
                ..request("CA1")
            };
            let answer = receive(&state, &request, Instant::now()).unwrap();
            let agent = match (answer, entry(&mut log).unwrap().record) {
                (Answer::Admitted(_), Record::Opened(context)) => {
                    let ours = if from.is_some() { &context.from } else { &context.to };
                    assert!(context.agent != "sales" || ours == "+13125550142", "{ours}");
                    context.agent
                }
                (Answer::Refused(_), _) => "refused".to_owned(),
                (answer, record) => panic!("{answer:?} {record:?}"),
            };
            assert_eq!(agent, expected);
            agents.push(Arc::new(Agent { name: "default".into(), ..Agent::default() }));
        }
    }

    #[tokio::test]
    async fn a_call_that_asks_anew_after_its_stream_gets_another_one_and_a_repetition_does_not() {
        let (state, mut log) = state();
        let now = Instant::now();
        let ask = |token: &str| {
            let request = VoiceRequest { idempotency_token: Some(token.to_owned()), ..request("CA1") };
            let Ok(Answer::Admitted(document)) = receive(&state, &request, now) else { panic!("refused") };
            document
        };
        let open = |document: &str| {
            let (_, path) = document.split_once("/media/").unwrap();
            let token = Token::parse(path.split('"').next().unwrap()).unwrap();
            state.desk().take(token, now).is_ok()
        };
        let first = ask("i1");
        assert_eq!((ask("i1"), ask("i2")), (first.clone(), first.clone()), "its stream has not come");
        assert!(open(&first));
        assert_eq!(ask("i1"), first, "the carrier repeats itself");
        let second = ask("i3");
        assert!(second != first && open(&second));
        let third = ask("i4");
        assert!(third != second && open(&third));
        let opened: Vec<_> = std::iter::from_fn(|| entry(&mut log)).collect();
        assert_eq!(opened.len(), 3);
        assert!(
            opened
                .iter()
                .all(|entry| matches!(&entry.record, Record::Opened(context) if context.call_sid == "CA1"))
        );
        assert!(opened[0].call != opened[1].call && opened[1].call != opened[2].call);
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
