//! The tokens in the paths of media streams: 128 random bits, good once, for 30 seconds, for one call.
//!
//! A signature proves that the carrier opens a stream, but is the same for every call and for ever; the token says
//! which call it is. The desk is told the time and decides nothing about calls: admissions go in and come out.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::limits::Place;
use super::refused::Refused;
use crate::call::Admission;
use crate::carrier::webhook::VoiceRequest;

/// From the webhook's answer to the stream: the carrier opens it at once, within its 15 s for a handshake.
pub(super) const LIFE: Duration = Duration::from_secs(30);

/// How long a spent token is told from an unknown one.
const MEMORY: Duration = Duration::from_secs(60);

/// Tokens remembered at once: 160 new calls a second for a minute, about 20 MB.
const CAPACITY: usize = 10_000;

/// Names one stream. Never printed: whoever knows it can take the stream.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Token(u128);

impl Token {
    /// Two random UUIDs, because one has only 122 random bits.
    fn random() -> Self {
        let (a, b) = (Uuid::new_v4().as_u128(), Uuid::new_v4().as_u128());
        Self(a ^ b.rotate_left(64))
    }

    /// Exactly as written by [`Token::text`].
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_canonical =
            text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        u128::from_str_radix(text, 16).ok().filter(|_| is_canonical).map(Self)
    }

    /// For the path.
    pub(super) fn text(self) -> String {
        format!("{:032x}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

/// A call that may have a stream, and its place until that has ended.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) call: Admission,
    pub(super) place: Place,
}

/// Why a token opens no stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Invalid {
    Unknown,
    /// Used or expired.
    Spent,
}

/// There are [`CAPACITY`] tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// All tokens. Both queues are in order of issue, which is the order of expiry.
#[derive(Debug, Default)]
pub(super) struct Desk {
    slots: HashMap<Token, Slot>,
    by_call: HashMap<String, Token>,
    /// Tokens that may be unused.
    waiting: VecDeque<Token>,
    /// All tokens.
    known: VecDeque<Token>,
    /// Calls that have none.
    pub(super) refused: Refused,
}

/// The request that a token was issued for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Origin {
    /// The carrier's id of the call; `None` for a call without one, which cannot be recognised.
    call_sid: Option<String>,
    idempotency_token: Option<String>,
}

impl Origin {
    pub(super) fn of(request: &VoiceRequest) -> Self {
        let VoiceRequest { call_sid, idempotency_token, .. } = request;
        Self { call_sid: call_sid.clone(), idempotency_token: idempotency_token.clone() }
    }
}

#[derive(Debug)]
struct Slot {
    issued: Instant,
    origin: Origin,
    /// What the webhook was answered: the answer to its repetition.
    document: String,
    /// The call, until its stream comes or can no longer come.
    admitted: Option<Box<Admitted>>,
    /// Its stream did not come.
    has_expired: bool,
}

impl Desk {
    /// The answer to a request that comes again: it has the same idempotency token, or the newest token of its call still
    /// waits for its stream. `None`: the request is a new one, or its token has expired.
    pub(super) fn document(&self, call_sid: &str, idempotency: Option<&str>, now: Instant) -> Option<&str> {
        let slot = self.slots.get(self.by_call.get(call_sid)?)?;
        let is_waiting = slot.admitted.is_some() && now < slot.issued + LIFE;
        let is_spent = slot.admitted.is_none() && !slot.has_expired;
        let is_same = idempotency.is_some() && idempotency == slot.origin.idempotency_token.as_deref();
        (is_waiting || is_same && is_spent).then_some(slot.document.as_str())
    }

    /// Whether there is a token for one more call.
    pub(super) fn check(&self) -> Result<(), Full> {
        if self.slots.len() < CAPACITY { Ok(()) } else { Err(Full) }
    }

    /// Issues the token of an admitted call; `document` makes the answer of it. Ask [`Desk::check`] before.
    pub(super) fn admit(
        &mut self,
        origin: Origin,
        admitted: Box<Admitted>,
        now: Instant,
        document: impl FnOnce(Token) -> String,
    ) -> String {
        let token = Token::random();
        let document = document(token);
        self.waiting.push_back(token);
        self.insert(
            token,
            Slot {
                issued: now,
                origin,
                document: document.clone(),
                admitted: Some(admitted),
                has_expired: false,
            },
        );
        document
    }

    /// The call of an unused token, once.
    pub(super) fn take(&mut self, token: Token, now: Instant) -> Result<Box<Admitted>, Invalid> {
        let slot = self.slots.get_mut(&token).ok_or(Invalid::Unknown)?;
        if now >= slot.issued + LIFE {
            return Err(Invalid::Spent);
        }
        slot.admitted.take().ok_or(Invalid::Spent)
    }

    /// The calls whose streams can no longer come. Their places are free.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Admission> {
        let mut expired = Vec::new();
        while let Some(slot) = self.waiting.front().and_then(|token| self.slots.get_mut(token)) {
            if now < slot.issued + LIFE {
                break;
            }
            slot.has_expired = slot.admitted.is_some();
            expired.extend(slot.admitted.take().map(|admitted| admitted.call));
            self.waiting.pop_front();
        }
        self.forget(now);
        expired
    }

    /// When [`Desk::expire`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let due = |queue: &VecDeque<Token>, after| Some(self.slots.get(queue.front()?)?.issued + after);
        [due(&self.waiting, LIFE), due(&self.known, MEMORY)].into_iter().flatten().min()
    }

    /// All calls whose streams have not come. No token is good any longer.
    pub(super) fn close(&mut self) -> Vec<Admission> {
        std::mem::take(self)
            .slots
            .into_values()
            .filter_map(|slot| slot.admitted)
            .map(|admitted| admitted.call)
            .collect()
    }

    fn insert(&mut self, token: Token, slot: Slot) {
        if let Some(call_sid) = &slot.origin.call_sid {
            self.by_call.insert(call_sid.clone(), token);
        }
        self.slots.insert(token, slot);
        self.known.push_back(token);
    }

    fn forget(&mut self, now: Instant) {
        while let Some(&token) = self.known.front() {
            if self.slots.get(&token).is_some_and(|slot| now < slot.issued + MEMORY) {
                break;
            }
            self.known.pop_front();
            let call_sid = self.slots.remove(&token).and_then(|slot| slot.origin.call_sid);
            // The call may have a newer token.
            if let Some(call_sid) = call_sid.filter(|sid| self.by_call.get(sid) == Some(&token)) {
                self.by_call.remove(&call_sid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ::time::OffsetDateTime;
    use rstest::rstest;

    use super::*;
    use crate::call::agent::Agent;
    use crate::call::context::Context;
    use crate::call::record::Ledger;
    use crate::id::CallId;
    use crate::time::WallClock;

    fn admitted(id: u128, now: Instant) -> Box<Admitted> {
        let wall = OffsetDateTime::UNIX_EPOCH;
        let call = Admission {
            context: Context::unknown(wall),
            agent: Arc::new(Agent::default()),
            ledger: Ledger::new(CallId::new(id), WallClock::new(now, wall)),
        };
        Box::new(Admitted { call, place: Place::default() })
    }

    fn issue(desk: &mut Desk, sid: &str, id: u128, now: Instant) -> Token {
        let origin = Origin { call_sid: Some(sid.to_owned()), idempotency_token: Some(format!("i{id}")) };
        let document = desk.admit(origin, admitted(id, now), now, Token::text);
        Token::parse(&document).unwrap()
    }

    fn ids(admissions: &[Admission]) -> Vec<u128> {
        admissions.iter().map(|admission| admission.ledger.call().as_u128()).collect()
    }

    #[test]
    fn a_token_is_good_once() {
        let (mut desk, now) = (Desk::default(), Instant::now());
        let token = issue(&mut desk, "CA1", 1, now);
        assert_eq!(desk.take(token, now).unwrap().call.ledger.call(), CallId::new(1));
        assert_eq!(desk.take(token, now).err(), Some(Invalid::Spent));
        assert_eq!(desk.take(Token(7), now).err(), Some(Invalid::Unknown));
    }

    #[rstest]
    #[case::just_alive(29_999, None)]
    #[case::just_expired(30_000, Some(Invalid::Spent))]
    #[case::long_expired(59_999, Some(Invalid::Spent))]
    #[case::forgotten(60_000, Some(Invalid::Unknown))]
    fn a_token_lives_30_seconds(#[case] after_ms: u64, #[case] refused: Option<Invalid>) {
        let (mut desk, now) = (Desk::default(), Instant::now());
        let token = issue(&mut desk, "CA1", 1, now);
        let later = now + Duration::from_millis(after_ms);
        let expired = desk.expire(later);
        assert_eq!(desk.take(token, later).err(), refused);
        assert_eq!(ids(&expired), if refused.is_some() { vec![1] } else { vec![] });
    }

    #[test]
    fn an_expired_token_is_refused_before_it_is_swept() {
        let (mut desk, now) = (Desk::default(), Instant::now());
        let token = issue(&mut desk, "CA1", 1, now);
        assert_eq!(desk.take(token, now + LIFE).err(), Some(Invalid::Spent));
        assert_eq!(ids(&desk.expire(now + LIFE)), [1]);
        assert!(desk.expire(now + LIFE).is_empty(), "a call ends once");
    }

    #[test]
    fn a_used_token_does_not_expire() {
        let (mut desk, now) = (Desk::default(), Instant::now());
        let token = issue(&mut desk, "CA1", 1, now);
        desk.take(token, now).unwrap();
        assert!(desk.expire(now + LIFE).is_empty());
    }

    #[test]
    fn a_repetition_is_the_same_idempotency_token_or_comes_while_the_stream_is_awaited() {
        let (mut desk, now) = (Desk::default(), Instant::now());
        let token = issue(&mut desk, "CA1", 1, now);
        let text = token.text();
        for repetition in [None, Some("i1"), Some("i2")] {
            assert_eq!(desk.document("CA1", repetition, now), Some(text.as_str()));
        }
        assert_eq!(desk.document("CA2", Some("i1"), now), None);
        desk.take(token, now).unwrap();
        for later in [now, now + MEMORY - Duration::from_millis(1)] {
            desk.expire(later);
            assert_eq!(
                desk.document("CA1", Some("i1"), later),
                Some(text.as_str()),
                "the carrier repeats it"
            );
            assert_eq!(desk.document("CA1", Some("i2"), later), None, "the call asks anew");
            assert_eq!(desk.document("CA1", None, later), None);
        }
        desk.expire(now + MEMORY);
        assert_eq!(desk.document("CA1", Some("i1"), now + MEMORY), None);
    }

    #[test]
    fn an_expired_token_is_no_answer_to_a_repetition() {
        let (mut desk, now) = (Desk::default(), Instant::now());
        issue(&mut desk, "CA1", 1, now);
        assert_eq!(desk.document("CA1", Some("i1"), now + LIFE), None);
        desk.expire(now + LIFE);
        assert_eq!(desk.document("CA1", Some("i1"), now + LIFE), None);
    }

    #[test]
    fn a_call_has_one_token_after_the_other() {
        let (mut desk, now) = (Desk::default(), Instant::now());
        for id in 1..=5 {
            let token = issue(&mut desk, "CA1", id, now);
            assert_eq!(desk.document("CA1", None, now), Some(token.text().as_str()));
            assert_eq!(desk.take(token, now).unwrap().call.ledger.call(), CallId::new(id));
            assert_eq!(desk.document("CA1", None, now), None);
        }
    }

    #[test]
    fn forgetting_an_old_token_keeps_the_newer_one_of_the_call() {
        let (mut desk, now) = (Desk::default(), Instant::now());
        issue(&mut desk, "CA1", 1, now);
        desk.expire(now + LIFE);
        let newer = issue(&mut desk, "CA1", 2, now + LIFE);
        desk.expire(now + MEMORY - Duration::from_millis(1));
        assert_eq!(
            desk.document("CA1", None, now + MEMORY - Duration::from_millis(1)),
            Some(newer.text().as_str())
        );
        assert_eq!(ids(&desk.expire(now + MEMORY)), [2]);
        desk.expire(now + LIFE + MEMORY);
        assert!(desk.slots.is_empty() && desk.by_call.is_empty() && desk.known.is_empty());
        assert_eq!(desk.deadline(), None);
    }

    #[test]
    fn the_desk_says_when_it_has_something_to_do() {
        let (mut desk, now) = (Desk::default(), Instant::now());
        assert_eq!(desk.deadline(), None);
        issue(&mut desk, "CA1", 1, now);
        assert_eq!(desk.deadline(), Some(now + LIFE));
        desk.expire(now + LIFE);
        assert_eq!(desk.deadline(), Some(now + MEMORY));
    }

    #[test]
    fn the_number_of_tokens_is_bounded() {
        let (mut desk, now) = (Desk::default(), Instant::now());
        for id in 0..CAPACITY {
            assert_eq!(desk.check(), Ok(()));
            issue(&mut desk, &format!("CA{id}"), id as u128, now);
        }
        assert_eq!(desk.check(), Err(Full));
        desk.expire(now + LIFE);
        assert_eq!(desk.check(), Err(Full), "they are told from unknown ones for a while");
        desk.expire(now + MEMORY);
        assert_eq!(desk.check(), Ok(()));
    }

    #[test]
    fn the_end_ends_all_that_wait() {
        let (mut desk, now) = (Desk::default(), Instant::now());
        issue(&mut desk, "CA1", 1, now);
        let token = issue(&mut desk, "CA2", 2, now);
        desk.take(token, now).unwrap();
        assert_eq!(ids(&desk.close()), [1]);
        assert!(desk.close().is_empty());
    }

    #[rstest]
    #[case("0123456789abcdef0123456789abcdef", true)]
    #[case("0123456789ABCDEF0123456789ABCDEF", false)]
    #[case("+123456789abcdef0123456789abcdef", false)]
    #[case("0123456789abcdef0123456789abcde", false)]
    #[case("", false)]
    fn a_token_is_written_in_one_way(#[case] text: &str, #[case] accepted: bool) {
        assert_eq!(Token::parse(text).map(Token::text).as_deref() == Some(text), accepted);
    }

    #[test]
    fn a_token_never_prints() {
        let (mut desk, now) = (Desk::default(), Instant::now());
        let token = issue(&mut desk, "CA1", 1, now);
        assert_eq!(format!("{token:?}"), "Token(***)");
    }
}
