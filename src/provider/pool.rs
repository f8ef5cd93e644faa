//! The providers of one kind in their order, and a job done by the first that can.
//!
//! A [`Job`] is pulled: nothing runs when nobody asks for the next event, there is no task behind it, and
//! dropping it closes its connection and gives its attempt back to the breaker. Knows nothing of what is asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};

use super::pause::Pause;
use crate::breaker::{Admission, Breaker};
use crate::job::{Event, Failure};
use crate::time;

/// HTTP's "Too Many Requests".
const TOO_MANY: u16 = 429;

/// A service that does one kind of work. A pool holds one type of them: the vendors of a kind are an enum.
pub trait Provider: Send + Sync + 'static {
    type Request: Send + Sync + 'static;
    type Answer: Answer;

    /// Whether an answer with nothing in it is a good one. One other provider is asked all the same, if there is one.
    const MAY_BE_EMPTY: bool;

    /// As configured; names the provider in the call log.
    fn name(&self) -> &Arc<str>;

    /// Sends the request and waits until the answer begins.
    fn start(&self, request: &Self::Request) -> impl Future<Output = Result<Self::Answer, Failure>> + Send;
}

/// An answer that is being given. Dropping it closes its connection.
pub trait Answer: Send + 'static {
    /// The next piece; `None`: the answer is whole. Not asked again after `None` or a failure.
    fn next(&mut self) -> impl Future<Output = Result<Option<Item>, Failure>> + Send;
}

/// A piece of an answer, as the [`Event`] of the same name.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    Text(String),
    Audio(Vec<i16>),
    /// What was billed; it alone is no result.
    Usage {
        prompt_tokens: u64,
        response_tokens: u64,
    },
}

impl Item {
    /// Whether there is something to be heard or read in it.
    const fn is_result(&self) -> bool {
        match self {
            Self::Text(text) => !text.is_empty(),
            Self::Audio(samples) => !samples.is_empty(),
            Self::Usage { .. } => false,
        }
    }

    const fn is_usage(&self) -> bool {
        matches!(self, Self::Usage { .. })
    }
}

impl From<Item> for Event {
    fn from(item: Item) -> Self {
        match item {
            Item::Text(text) => Self::Text(text),
            Item::Audio(samples) => Self::Audio(samples),
            Item::Usage { prompt_tokens, response_tokens } => Self::Usage { prompt_tokens, response_tokens },
        }
    }
}

/// The events of one job; ends after [`Event::Done`] or [`Event::Failed`]. Waiting for the next is cancel-safe.
pub type Job = BoxStream<'static, Event>;

/// Providers in the order in which they are tried. Shared by all calls, and with it what is known of each.
#[derive(Debug)]
pub struct Pool<P> {
    members: Vec<Arc<Member<P>>>,
}

#[derive(Debug)]
struct Member<P> {
    provider: P,
    /// Locked for an instant, never while waiting.
    breaker: Mutex<Breaker>,
    pause: Pause,
}

impl<P: Provider> Pool<P> {
    pub fn new(providers: impl IntoIterator<Item = P>) -> Self {
        let member =
            |provider| Arc::new(Member { provider, breaker: Mutex::default(), pause: Pause::default() });
        Self { members: providers.into_iter().map(member).collect() }
    }

    /// Whether no provider of the kind is configured.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The names of the providers and whether each is known to fail, in their order.
    pub fn health(&self) -> impl Iterator<Item = (&Arc<str>, bool)> {
        self.members.iter().map(|member| (member.provider.name(), member.breaker().is_open()))
    }

    /// Has `request` done. Providers are tried in order until one gives a first result; from then on it is that
    /// one or none, because another would repeat what was said. When none is left the job has failed with
    /// [`Failure::NoProvider`], however many there were: why each was skipped was told before; or with
    /// [`Failure::Limited`], if every one of them asked to be left alone.
    pub fn job(&self, request: P::Request) -> Job {
        let members = self.members.clone();
        let run = Run {
            members,
            tried: 0,
            passed_over: VecDeque::new(),
            request,
            found: Found::Nothing,
            stage: Stage::Choosing,
        };
        stream::unfold(run, |mut run| async move { run.next().await.map(|event| (event, run)) }).boxed()
    }
}

impl<P> Member<P> {
    /// Whether nothing is known against asking it.
    fn is_usable(&self) -> bool {
        self.pause.left(now()).is_none() && !self.breaker().is_open()
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        // A breaker is a few counters: it is as good after a panic as before.
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A job under way.
struct Run<P: Provider> {
    members: Vec<Arc<Member<P>>>,
    /// How many of them were tried, and one more after a wait.
    tried: usize,
    /// Those that are known to fail: tried when no other is left, because a refusal costs less than an answer.
    passed_over: VecDeque<Arc<Member<P>>>,
    request: P::Request,
    found: Found,
    stage: Stage<P>,
}

/// What is known of a job without a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    /// A provider answered well, and with nothing in it.
    Empty,
}

enum Stage<P: Provider> {
    /// The next provider is to be tried.
    Choosing,
    /// The only provider that is left is asked then.
    Waiting(Arc<Member<P>>, Instant),
    /// A provider answers, and has given no result yet.
    Awaiting(Attempt<P>, P::Answer),
    /// The first result was announced and comes next.
    Started(Attempt<P>, P::Answer, Item),
    /// The rest is coming.
    Answering(Attempt<P>, P::Answer),
    /// It was announced that the provider broke off.
    BrokenOff(Failure),
    /// All of an empty answer was announced.
    Ending,
    Over,
}

impl<P: Provider> Run<P> {
    /// What happens next. Whatever is not put back into the stage is closed on return.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let event = match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Choosing => self.choose().await,
                Stage::Waiting(member, until) => {
                    tokio::time::sleep_until(until.into()).await;
                    self.ask(&member).await
                }
                Stage::Awaiting(attempt, answer) => self.await_result(attempt, answer).await,
                Stage::Started(attempt, answer, item) => {
                    self.stage = Stage::Answering(attempt, answer);
                    Some(item.into())
                }
                Stage::Answering(attempt, answer) => self.go_on(attempt, answer).await,
                Stage::BrokenOff(failure) => Some(Event::Failed(failure)),
                Stage::Ending => Some(Event::Done),
                Stage::Over => return None,
            };
            if event.is_some() {
                return event;
            }
        }
    }

    async fn choose(&mut self) -> Option<Event> {
        let Some(member) = self.members.get(self.tried).map(Arc::clone) else {
            if self.found == Found::Empty {
                return Some(Event::Done);
            }
            return match self.passed_over.pop_front() {
                Some(member) => self.start(Attempt::insist(&member)).await,
                None => Some(self.wait()),
            };
        };
        self.tried += 1;
        match member.pause.left(now()) {
            Some(left) => {
                let (status, message) = (TOO_MANY, "not asked before that".to_owned());
                let failure = Failure::Limited { status, message, retry_after_ms: time::millis(left) };
                Some(self.skip(&member, failure))
            }
            None => self.ask(&member).await,
        }
    }

    async fn ask(&mut self, member: &Arc<Member<P>>) -> Option<Event> {
        let attempt = match Attempt::begin(member) {
            Some(attempt) => attempt,
            None if self.is_last() => Attempt::insist(member),
            None => {
                self.passed_over.push_back(Arc::clone(member));
                return Some(self.skip(member, Failure::BreakerOpen));
            }
        };
        self.start(attempt).await
    }

    async fn start(&mut self, attempt: Attempt<P>) -> Option<Event> {
        match attempt.member.provider.start(&self.request).await {
            Ok(answer) => self.stage = Stage::Awaiting(attempt, answer),
            Err(failure) => return Some(self.fail(attempt, failure)),
        }
        None
    }

    /// Every provider was tried. If one asked to be left alone for a few seconds it is asked once more after them;
    /// if all asked for longer, the job has failed for that reason.
    fn wait(&mut self) -> Event {
        let now = now();
        let paused = self.members.iter().filter_map(|member| Some((member.pause.left(now)?, member)));
        let paused: Vec<_> = paused.collect();
        let are_all = paused.len() == self.members.len();
        let Some(&(left, member)) = paused.iter().min_by_key(|(left, _)| *left) else {
            return Event::Failed(Failure::NoProvider);
        };
        let wait_ms = time::millis(left);
        if self.tried == self.members.len() && left <= Failure::WAIT_MAX {
            let (member, provider) = (Arc::clone(member), Arc::clone(member.provider.name()));
            self.tried += 1;
            self.stage = Stage::Waiting(member, now + left);
            return Event::Waits { provider, wait_ms };
        }
        let message = "every provider asked for it".to_owned();
        let limited = Failure::Limited { status: TOO_MANY, message, retry_after_ms: wait_ms };
        Event::Failed(if are_all { limited } else { Failure::NoProvider })
    }

    async fn await_result(&mut self, mut attempt: Attempt<P>, mut answer: P::Answer) -> Option<Event> {
        match answer.next().await {
            Ok(Some(item)) if item.is_result() => {
                attempt.outcome = Outcome::Begun;
                let provider = Arc::clone(attempt.member.provider.name());
                self.stage = Stage::Started(attempt, answer, item);
                Some(Event::Started { provider })
            }
            Ok(Some(item)) => {
                self.stage = Stage::Awaiting(attempt, answer);
                item.is_usage().then(|| item.into())
            }
            Ok(None) if P::MAY_BE_EMPTY => Some(self.take_empty(&attempt.succeed())),
            Ok(None) => Some(self.fail(attempt, Failure::Empty)),
            Err(failure) => Some(self.fail(attempt, failure)),
        }
    }

    async fn go_on(&mut self, attempt: Attempt<P>, mut answer: P::Answer) -> Option<Event> {
        match answer.next().await {
            Ok(Some(item)) => {
                self.stage = Stage::Answering(attempt, answer);
                (item.is_result() || item.is_usage()).then(|| item.into())
            }
            Ok(None) => {
                attempt.succeed();
                Some(Event::Done)
            }
            Err(failure) => {
                let provider = Arc::clone(attempt.end(&failure).provider.name());
                self.stage = Stage::BrokenOff(failure.clone());
                Some(Event::BrokeOff { provider, failure })
            }
        }
    }

    /// There is nothing in the answer. Another provider may find more and is asked, one and once: mostly there was
    /// nothing.
    fn take_empty(&mut self, member: &Member<P>) -> Event {
        let untried = self.members.get(self.tried..).unwrap_or_default();
        let other = untried.iter().find(|other| other.is_usable()).filter(|_| self.found == Found::Nothing);
        if let Some(other) = other.map(Arc::clone) {
            self.found = Found::Empty;
            self.members = vec![other];
            self.tried = 0;
            self.passed_over.clear();
            return self.skip(member, Failure::Empty);
        }
        self.stage = Stage::Ending;
        Event::Started { provider: Arc::clone(member.provider.name()) }
    }

    /// Whether no other provider is left for this job.
    fn is_last(&self) -> bool {
        self.tried >= self.members.len() && self.passed_over.is_empty()
    }

    fn fail(&mut self, attempt: Attempt<P>, failure: Failure) -> Event {
        let member = attempt.end(&failure);
        self.skip(&member, failure)
    }

    fn skip(&mut self, member: &Member<P>, failure: Failure) -> Event {
        self.stage = Stage::Choosing;
        Event::Skipped { provider: Arc::clone(member.provider.name()), failure }
    }
}

/// What one caller says may be withheld from them, or be too long, or want a longer answer than the operator allows;
/// that must not close the service to all others. A service that says when to come again is left alone until then, and works.
const fn says_nothing_of_the_service(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::Blocked { .. }
            | Failure::Limited { .. }
            | Failure::Unfinished { .. }
            | Failure::Refused { status: 413, .. }
    )
}

/// Leave to try a provider. Its breaker is told one outcome of it, at the end of the answer: what was logged as a
/// failure counts as one, and what was spoken to its end, or as far as the caller wanted it, as a success.
struct Attempt<P> {
    member: Arc<Member<P>>,
    outcome: Outcome,
}

/// How far an attempt has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Nothing is known: given back to the breaker when dropped.
    Unknown,
    /// A result came: a success when dropped, because the rest is not wanted.
    Begun,
    Reported,
}

impl<P> Attempt<P> {
    /// `None`: the provider is known to fail, or enough attempts that will tell are under way.
    fn begin(member: &Arc<Member<P>>) -> Option<Self> {
        match member.breaker().admit(now()) {
            Admission::Granted => Some(Self { member: Arc::clone(member), outcome: Outcome::Unknown }),
            Admission::Busy | Admission::Open => None,
        }
    }

    /// Whatever is known of the provider.
    fn insist(member: &Arc<Member<P>>) -> Self {
        member.breaker().insist();
        Self { member: Arc::clone(member), outcome: Outcome::Unknown }
    }

    fn succeed(mut self) -> Arc<Member<P>> {
        self.outcome = Outcome::Reported;
        self.member.breaker().succeed(now());
        Arc::clone(&self.member)
    }

    /// The attempt ended with this failure.
    fn end(mut self, failure: &Failure) -> Arc<Member<P>> {
        if let Failure::Limited { retry_after_ms, .. } = failure {
            self.member.pause.begin(Duration::from_millis(*retry_after_ms), now());
        }
        if says_nothing_of_the_service(failure) {
            return self.succeed();
        }
        self.outcome = Outcome::Reported;
        self.member.breaker().fail(now());
        Arc::clone(&self.member)
    }
}

impl<P> Drop for Attempt<P> {
    fn drop(&mut self) {
        match self.outcome {
            Outcome::Unknown => self.member.breaker().withdraw(),
            Outcome::Begun => self.member.breaker().succeed(now()),
            Outcome::Reported => {}
        }
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// Answers every request with the same pieces, then fails or ends.
    struct Scripted<const MAY_BE_EMPTY: bool> {
        name: Arc<str>,
        script: Script,
    }

    #[derive(Clone)]
    enum Script {
        Refuses(Failure),
        Answers(Vec<Item>, Option<Failure>),
    }

    impl<const MAY_BE_EMPTY: bool> Provider for Scripted<MAY_BE_EMPTY> {
        type Request = ();
        type Answer = std::vec::IntoIter<Result<Item, Failure>>;
        const MAY_BE_EMPTY: bool = MAY_BE_EMPTY;

        fn name(&self) -> &Arc<str> {
            &self.name
        }

        async fn start(&self, (): &()) -> Result<Self::Answer, Failure> {
            match self.script.clone() {
                Script::Refuses(failure) => Err(failure),
                Script::Answers(items, end) => {
                    let pieces: Vec<_> = items.into_iter().map(Ok).chain(end.map(Err)).collect();
                    Ok(pieces.into_iter())
                }
            }
        }
    }

    impl Answer for std::vec::IntoIter<Result<Item, Failure>> {
        async fn next(&mut self) -> Result<Option<Item>, Failure> {
            Iterator::next(self).transpose()
        }
    }

    fn pool<const E: bool>(scripts: impl IntoIterator<Item = Script>) -> Pool<Scripted<E>> {
        let provider = |(n, script)| Scripted { name: format!("p{n}").into(), script };
        Pool::new(scripts.into_iter().enumerate().map(provider))
    }

    async fn run<const E: bool>(pool: &Pool<Scripted<E>>) -> Vec<String> {
        pool.job(()).map(|event| shown(&event)).collect().await
    }

    fn shown(event: &Event) -> String {
        match event {
            Event::Skipped { provider, failure } => format!("skipped {provider} {}", failure.code()),
            Event::Waits { provider, wait_ms } => format!("waits {wait_ms} for {provider}"),
            Event::Started { provider } => format!("started {provider}"),
            Event::Text(text) => format!("text {text}"),
            Event::Audio(samples) => format!("audio {}", samples.len()),
            Event::Usage { prompt_tokens, response_tokens } => {
                format!("usage {prompt_tokens} {response_tokens}")
            }
            Event::Billed(bill) => format!("{bill:?}"),
            Event::Done => "done".to_owned(),
            Event::BrokeOff { provider, failure } => format!("{provider} broke off {}", failure.code()),
            Event::Failed(failure) => format!("failed {}", failure.code()),
        }
    }

    fn text(text: &str) -> Item {
        Item::Text(text.to_owned())
    }

    const USAGE: Item = Item::Usage { prompt_tokens: 9, response_tokens: 2 };

    fn says(items: &[Item]) -> Script {
        Script::Answers(items.to_vec(), None)
    }

    fn breaks_after(items: &[Item]) -> Script {
        Script::Answers(items.to_vec(), Some(Failure::Stalled))
    }

    #[rstest]
    #[case::the_first_does_it(
        vec![says(&[text("a"), text("b"), USAGE]), says(&[text("c")])],
        &["started p0", "text a", "text b", "usage 9 2", "done"]
    )]
    #[case::the_second_does_it(
        vec![Script::Refuses(Failure::ConnectTimeout), says(&[Item::Audio(vec![0; 7])])],
        &["skipped p0 connect_timeout", "started p1", "audio 7", "done"]
    )]
    #[case::a_failure_before_the_first_word_is_made_good(
        vec![breaks_after(&[text(""), USAGE]), says(&[text("a")])],
        &["usage 9 2", "skipped p0 stalled", "started p1", "text a", "done"]
    )]
    #[case::a_failure_after_it_is_not(
        vec![breaks_after(&[text("a")]), says(&[text("b")])],
        &["started p0", "text a", "p0 broke off stalled", "failed stalled"]
    )]
    #[case::nothing_said_is_a_failure(vec![says(&[]), says(&[text("a")])], &["skipped p0 empty", "started p1", "text a", "done"])]
    #[case::nobody_is_left(vec![says(&[])], &["skipped p0 empty", "failed no_provider"])]
    #[case::nobody_is_there(vec![], &["failed no_provider"])]
    #[tokio::test]
    async fn a_job_is_done_by_the_first_that_can(#[case] scripts: Vec<Script>, #[case] expected: &[&str]) {
        assert_eq!(run::<false>(&pool(scripts)).await, expected);
    }

    #[tokio::test]
    async fn silence_that_was_transcribed_is_a_result_without_text() {
        assert_eq!(run::<true>(&pool([says(&[])])).await, ["started p0", "done"]);
    }

    #[rstest]
    #[case::the_other_finds_words(
        vec![says(&[]), says(&[text("a")]), says(&[text("b")])],
        &["skipped p0 empty", "started p1", "text a", "done"]
    )]
    #[case::the_other_finds_none(
        vec![says(&[]), says(&[]), says(&[text("b")])],
        &["skipped p0 empty", "started p1", "done"]
    )]
    #[case::the_other_fails(
        vec![says(&[]), Script::Refuses(Failure::ConnectTimeout), says(&[text("b")])],
        &["skipped p0 empty", "skipped p1 connect_timeout", "done"]
    )]
    #[case::the_other_wants_to_be_left_alone(vec![says(&[]), limited(2000)], &["skipped p0 empty", "skipped p1 limited", "done"])]
    #[case::the_first_failed(
        vec![Script::Refuses(Failure::ConnectTimeout), says(&[])],
        &["skipped p0 connect_timeout", "started p1", "done"]
    )]
    #[tokio::test]
    async fn where_one_provider_finds_nothing_one_other_is_asked(
        #[case] scripts: Vec<Script>,
        #[case] expected: &[&str],
    ) {
        assert_eq!(run::<true>(&pool(scripts)).await, expected);
    }

    #[tokio::test]
    async fn an_empty_answer_is_no_failure_of_its_provider_and_a_broken_one_is_not_asked_for_it() {
        let pool = pool::<true>([says(&[]), Script::Refuses(Failure::FirstByteTimeout)]);
        for _ in 0..crate::breaker::FAILURES_MAX {
            assert_eq!(run(&pool).await, ["skipped p0 empty", "skipped p1 first_byte_timeout", "done"]);
        }
        for _ in 0..3 {
            assert_eq!(run(&pool).await, ["started p0", "done"]);
        }
        assert_eq!(pool.health().map(|(_, is_open)| is_open).collect::<Vec<_>>(), [false, true]);
    }

    #[tokio::test]
    async fn an_answer_that_is_too_long_does_not_close_the_service() {
        let unfinished = Failure::Unfinished { reason: "length".into() };
        let pool = pool::<false>([Script::Answers(vec![text("a")], Some(unfinished))]);
        for _ in 0..20 {
            let told = ["started p0", "text a", "p0 broke off unfinished", "failed unfinished"];
            assert_eq!(run(&pool).await, told);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_fails_again_and_again_is_not_asked_until_a_probe_succeeds() {
        let mut pool = pool::<false>([Script::Refuses(Failure::FirstByteTimeout), says(&[text("a")])]);
        for _ in 0..crate::breaker::FAILURES_MAX {
            assert_eq!(run(&pool).await[0], "skipped p0 first_byte_timeout");
        }
        assert_eq!(run(&pool).await[0], "skipped p0 breaker_open");
        assert_eq!(pool.health().map(|(_, is_open)| is_open).collect::<Vec<_>>(), [true, false]);
        Arc::get_mut(&mut pool.members[0]).unwrap().provider.script = says(&[text("b")]);
        tokio::time::advance(crate::breaker::PROBE_INTERVAL).await;
        assert_eq!(run(&pool).await[0], "started p0");
        assert_eq!(run(&pool).await[0], "started p0");
    }

    #[tokio::test(start_paused = true)]
    async fn providers_that_are_known_to_fail_are_asked_when_no_other_is_left() {
        let refused = || Script::Refuses(Failure::FirstByteTimeout);
        let mut pool = pool::<false>([refused(), refused()]);
        for _ in 0..crate::breaker::FAILURES_MAX {
            assert_eq!(run(&pool).await.last().map(String::as_str), Some("failed no_provider"));
        }
        let all_open = [
            "skipped p0 breaker_open",
            "skipped p1 breaker_open",
            "skipped p0 first_byte_timeout",
            "skipped p1 first_byte_timeout",
            "failed no_provider",
        ];
        assert_eq!(run(&pool).await, all_open);
        Arc::get_mut(&mut pool.members[1]).unwrap().provider.script = says(&[text("b")]);
        assert_eq!(run(&pool).await[2..], ["skipped p0 first_byte_timeout", "started p1", "text b", "done"]);
    }

    #[tokio::test]
    async fn a_single_provider_that_refuses_a_third_of_its_jobs_is_asked_every_time() {
        let mut pool = pool::<false>([says(&[text("a")])]);
        let mut lost = 0;
        for n in 0..90 {
            let script = if n % 3 == 0 { Script::Refuses(Failure::Empty) } else { says(&[text("a")]) };
            Arc::get_mut(&mut pool.members[0]).unwrap().provider.script = script;
            lost += usize::from(run(&pool).await[0] != "started p0");
        }
        assert_eq!(lost, 30, "only those that were refused");
    }

    #[tokio::test]
    async fn a_provider_that_always_breaks_off_is_not_asked_while_there_is_another() {
        let pool = pool::<false>([breaks_after(&[text("a")]), says(&[text("b")])]);
        for _ in 0..crate::breaker::FAILURES_MAX {
            let told = ["started p0", "text a", "p0 broke off stalled", "failed stalled"];
            assert_eq!(run(&pool).await, told);
        }
        assert_eq!(run(&pool).await, ["skipped p0 breaker_open", "started p1", "text b", "done"]);
    }

    #[tokio::test]
    async fn what_is_withheld_from_one_caller_closes_the_service_to_nobody() {
        let blocked = Failure::Blocked { reason: "SAFETY".into() };
        let pool = pool::<false>([Script::Refuses(blocked)]);
        for _ in 0..20 {
            assert_eq!(run(&pool).await, ["skipped p0 blocked", "failed no_provider"]);
        }
    }

    fn limited(ms: u64) -> Script {
        Script::Refuses(Failure::Limited { status: 429, message: String::new(), retry_after_ms: ms })
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_says_when_to_come_again_is_waited_for_if_it_is_soon_and_there_is_no_other() {
        let began = now();
        let two = ["skipped p0 limited", "waits 2000 for p0", "skipped p0 limited", "failed limited"];
        assert_eq!(run(&pool::<false>([limited(2000)])).await, two);
        assert_eq!(now() - began, Duration::from_secs(2));
        assert_eq!(run(&pool::<false>([limited(6000)])).await, ["skipped p0 limited", "failed limited"]);
        let other = pool::<false>([limited(2000), says(&[text("a")])]);
        assert_eq!(run(&other).await, ["skipped p0 limited", "started p1", "text a", "done"]);
        let broken = pool::<false>([limited(60_000), Script::Refuses(Failure::ConnectTimeout)]);
        let told = ["skipped p0 limited", "skipped p1 connect_timeout", "failed no_provider"];
        assert_eq!(run(&broken).await, told, "the other one may work the next time");
        assert_eq!(now() - began, Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_asks_before_a_provider_wants_to_be_asked_and_its_breaker_stays_closed() {
        let mut pool = pool::<false>([limited(4000)]);
        let mut jobs: Vec<_> = (0..30).map(|_| pool.job(())).collect();
        for job in &mut jobs {
            assert_eq!(job.next().await.map(|event| shown(&event)).as_deref(), Some("skipped p0 limited"));
        }
        drop(jobs);
        Arc::get_mut(&mut pool.members[0]).unwrap().provider.script = says(&[text("a")]);
        tokio::time::advance(Duration::from_secs(1)).await;
        let told = ["skipped p0 limited", "waits 3000 for p0", "started p0", "text a", "done"];
        assert_eq!(run(&pool).await, told);
    }

    #[tokio::test]
    async fn after_its_end_a_job_has_no_more_events() {
        let mut job = pool::<false>([]).job(());
        assert_eq!(job.next().await, Some(Event::Failed(Failure::NoProvider)));
        assert_eq!(job.next().await, None);
    }
}
