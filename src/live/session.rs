//! The life of a call's live session across its connections: dialled, set up, ready, lost, resumed, moved, over.
//!
//! Pure: it is told what happened and says what to do. One connection at a time: the old one is fully released
//! before the next is dialled, because the service refuses to resume a session whose old socket is still open
//! (Gemini Live API, proactive rotation). Every connection has a [`LinkId`] of its own.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

mod change;
mod config;

pub use self::change::Change;
use self::change::Next;
pub use self::config::Config;
pub use super::budget::Budget;
use super::budget::{ATTEMPTS_MAX, LAST_TIER_ATTEMPTS_MAX, WAIT_MAX};
use super::failure::{Failure, Situation, Verdict};
pub use super::plan::Plan;
use super::replay::Replay;
use super::{Command, Event};
use crate::id::LinkId;

/// A handle whose session dies again this soon after `setupComplete` is poisoned.
const POISON_MAX: Duration = Duration::from_secs(10);

/// Resumes that may fail in a row before the handle is given up for it.
const FAILED_RESUMES_MAX: u32 = 2;

/// A session that was set up for this long and is lost is dialled again at once: it had an accident, where one that
/// dies with its `setupComplete` cannot work. The budget counts both.
const STEADY_MIN: Duration = Duration::from_millis(250);

/// A service that asks for a longer wait than this before it is tried again is left for another one.
const ELSEWHERE_MIN: Duration = Duration::from_secs(1);

/// When a closed connection counts as released though nobody said so: the closing handshake is bounded by one
/// second.
const RELEASE_MAX: Duration = Duration::from_millis(1200);

/// A session with the live model.
#[derive(Debug)]
pub struct Session {
    config: Config,
    link: LinkId,
    next_link: LinkId,
    endpoint: usize,
    plan: Plan,
    state: State,
    handle: Option<Handle>,
    budget: Budget,
    failed_resumes: u32,
    replay: Replay,
    /// Nothing else is left that could answer the caller.
    is_last_tier: bool,
    changes: VecDeque<Change>,
}

#[derive(Debug)]
enum State {
    /// Dials at `until`, but not before the old connection is released; `held_until`: whatever is said.
    Pausing {
        until: Instant,
        held_until: Option<Instant>,
    },
    Dialling {
        since: Instant,
    },
    SettingUp {
        dialled: Instant,
        since: Instant,
    },
    Ready(Ready),
    Over,
}

#[derive(Debug)]
struct Ready {
    since: Instant,
    /// The service ends the connection: it is left by then, or at a quiet moment before.
    leave_by: Option<Instant>,
    /// The model has completed a turn on this connection.
    has_worked: bool,
}

#[derive(Debug)]
struct Handle {
    text: String,
    /// The service has not said since that the state of now cannot be resumed.
    is_current: bool,
}

impl Session {
    /// A session that is to be dialled at once, on its first endpoint. `seed` spreads the pauses.
    pub fn new(config: Config, first: LinkId, seed: u64, now: Instant) -> Self {
        let is_alone = config.endpoints <= 1 && !config.has_other_tier;
        let most = if is_alone { LAST_TIER_ATTEMPTS_MAX } else { ATTEMPTS_MAX };
        Self::again(config, first, Budget::new(seed, most), now)
    }

    /// A new session of a call that has had others, on the first endpoint that may be tried.
    pub fn again(config: Config, first: LinkId, mut budget: Budget, now: Instant) -> Self {
        budget.turn();
        let mut session = Self {
            config,
            link: first,
            next_link: first,
            endpoint: (0..config.endpoints).find(|place| !budget.is_spent(*place, now)).unwrap_or(0),
            plan: Plan::Fresh,
            state: State::Pausing { until: now, held_until: None },
            handle: None,
            budget,
            failed_resumes: 0,
            replay: Replay::default(),
            is_last_tier: false,
            changes: VecDeque::new(),
        };
        session.dial(now);
        session
    }

    /// The newest connection.
    pub const fn link(&self) -> LinkId {
        self.link
    }

    /// The id that the next connection would have.
    pub const fn next_link(&self) -> LinkId {
        self.next_link
    }

    /// The place of the endpoint of the newest connection in the list of endpoints.
    pub const fn endpoint(&self) -> usize {
        self.endpoint
    }

    /// How the newest connection begins or began.
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Whether the next connection will be sent what the last one did not take in.
    pub const fn will_replay(&self) -> bool {
        matches!(self.plan, Plan::Resume(_)) && self.replay.is_on()
    }

    /// Whether the session is set up.
    pub const fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready(_))
    }

    /// Whether the service has announced the end of the connection.
    pub const fn is_leaving(&self) -> bool {
        matches!(self.state, State::Ready(Ready { leave_by: Some(_), .. }))
    }

    /// What is to be done or known next, in order.
    pub fn poll_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// Takes the events that concern the session's life; all others, and those of older connections, change
    /// nothing here.
    pub fn handle_event(&mut self, link: LinkId, event: &Event<'_>, now: Instant) {
        if link != self.link {
            return;
        }
        match event {
            Event::Opened => self.handle_opened(now),
            Event::SetupComplete { session_id } => self.handle_setup_complete(*session_id, now),
            Event::Resumption { handle, resumable, consumed } => {
                self.handle_resumption(*handle, *resumable, *consumed);
            }
            Event::GoAway { time_left } => self.handle_go_away(*time_left, now),
            Event::Failed(failure) => self.fail(failure.clone(), now),
            Event::Closed(failure) => self.handle_closed(failure, now),
            Event::Released => self.handle_released(now),
            Event::Interrupted
            | Event::InputTranscription(_)
            | Event::OutputTranscription(_)
            | Event::Audio(_)
            | Event::GenerationComplete
            | Event::TurnComplete
            | Event::Usage(_)
            | Event::ToolCall(_)
            | Event::ToolCallCancelled { .. }
            | Event::VoiceActivity(_)
            | Event::Malformed(_) => {}
        }
    }

    /// The connection is there and of no use: it is dropped and counts as lost.
    pub fn fail(&mut self, cause: Failure, now: Instant) {
        if self.is_connected() {
            self.changes.push_back(Change::Abort(self.link));
            self.lose(cause, Some(now + RELEASE_MAX), now);
        }
    }

    /// The model has completed a turn in which it said something: the session works.
    pub fn complete_turn(&mut self) {
        if let State::Ready(ready) = &mut self.state {
            ready.has_worked = true;
            self.is_last_tier = false;
            self.budget.reset(self.endpoint);
            self.failed_resumes = 0;
        }
    }

    /// A quiet moment: nobody speaks and nothing is owed. A session that has to move does it now, if it would
    /// lose nothing by it.
    pub fn handle_quiet(&mut self, now: Instant) {
        let is_current = self.handle.as_ref().is_some_and(|handle| handle.is_current);
        if self.is_leaving() && is_current {
            self.leave(now);
        }
    }

    /// A message was sent on the connection.
    pub fn note_sent(&mut self, command: &Command) {
        self.replay.note(command);
    }

    /// Sessions on this endpoint tell which messages they have taken in.
    pub fn keep_unconsumed(&mut self) {
        self.replay.start();
    }

    /// When [`Session::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Pausing { until, held_until } => Some(held_until.unwrap_or(*until)),
            // The dialler's own deadline comes first; this one is for a dialler that says nothing.
            State::Dialling { since } => Some(*since + self.config.connect_timeout + RELEASE_MAX),
            State::SettingUp { since, .. } => Some(*since + self.config.setup_timeout),
            State::Ready(ready) => ready.leave_by,
            State::Over => None,
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|deadline| now < deadline) {
            return;
        }
        match &self.state {
            State::Pausing { held_until: Some(_), .. } => self.handle_released(now),
            State::Pausing { held_until: None, .. } => self.dial(now),
            State::Dialling { .. } => self.fail(Failure::ConnectTimeout, now),
            State::SettingUp { .. } => self.fail(Failure::SetupTimeout, now),
            State::Ready(_) => self.leave(now),
            State::Over => {}
        }
    }

    /// Gives the session up: the connection that is to be closed for it.
    pub fn abandon(&mut self) -> Option<LinkId> {
        let is_connected = self.is_connected();
        self.state = State::Over;
        self.changes.clear();
        is_connected.then_some(self.link)
    }

    /// The budget for the session after this one, and when it may begin.
    pub fn take_budget(&mut self, now: Instant) -> (Budget, Instant) {
        let budget = std::mem::take(&mut self.budget);
        let free_at = budget.free_at(self.config.endpoints, now).unwrap_or(now);
        (budget, free_at)
    }

    const fn is_connected(&self) -> bool {
        matches!(self.state, State::Dialling { .. } | State::SettingUp { .. } | State::Ready(_))
    }

    fn handle_opened(&mut self, now: Instant) {
        if let State::Dialling { since } = self.state {
            self.state = State::SettingUp { dialled: since, since: now };
            let (link, endpoint, plan) = (self.link, self.endpoint, self.plan.clone());
            self.changes.push_back(Change::Opened { link, endpoint, plan });
        }
    }

    fn handle_setup_complete(&mut self, session_id: Option<&str>, now: Instant) {
        if let State::SettingUp { dialled, .. } = self.state {
            self.state = State::Ready(Ready { since: now, leave_by: None, has_worked: false });
            let unconsumed = match self.plan {
                Plan::Resume(_) => self.replay.take(),
                Plan::Fresh | Plan::Reduced => Vec::new(),
            };
            self.changes.push_back(Change::Ready {
                link: self.link,
                plan: self.plan.clone(),
                setup: now - dialled,
                session_id: session_id.map(str::to_owned),
                unconsumed,
            });
        }
    }

    /// Only the newest handle counts. Without one the state of now cannot be resumed, but an older one can.
    fn handle_resumption(&mut self, handle: Option<&str>, resumable: bool, consumed: Option<u64>) {
        match handle.filter(|_| resumable && self.is_ready()) {
            Some(text) => {
                self.handle = Some(Handle { text: text.to_owned(), is_current: true });
                self.replay.consumed(consumed);
                self.changes.push_back(Change::Handle(text.to_owned()));
            }
            None => {
                if let Some(handle) = &mut self.handle {
                    handle.is_current = false;
                }
            }
        }
    }

    /// Leaves early enough for what is to be done meanwhile: a third of the time that is left, three seconds at
    /// least. The service announces its end 30 to 60 s ahead; where it does not say when, or not so that it can be
    /// read, the bridge takes a part of that, so that an answer that is being said can come to its end.
    fn handle_go_away(&mut self, time_left: Option<Duration>, now: Instant) {
        const RESERVE_MIN: Duration = Duration::from_secs(3);
        const UNSAID: Duration = Duration::from_secs(10);
        if let State::Ready(ready) = &mut self.state {
            let left = time_left.unwrap_or(UNSAID);
            let leave_by = now + left.saturating_sub((left / 3).max(RESERVE_MIN));
            ready.leave_by = Some(ready.leave_by.map_or(leave_by, |earlier| earlier.min(leave_by)));
        }
    }

    /// The end that was announced is a move like any other; every other end is a loss.
    fn handle_closed(&mut self, failure: &Failure, now: Instant) {
        if self.is_connected() {
            self.lose(failure.clone(), None, now);
        } else {
            self.handle_released(now);
        }
    }

    fn handle_released(&mut self, now: Instant) {
        if let State::Pausing { until, held_until } = &mut self.state
            && held_until.take().is_some()
            && now >= *until
        {
            self.dial(now);
        }
    }

    fn leave(&mut self, now: Instant) {
        if self.budget.is_spent(self.endpoint, now) {
            let reason = "it sends one connection away after the other".to_owned();
            return self.fail(Failure::Closed { code: 1001, reason }, now);
        }
        let plan = self.handle.as_ref().map_or(Plan::Fresh, |handle| Plan::Resume(handle.text.clone()));
        self.changes.push_back(Change::Close(self.link));
        self.changes.push_back(Change::Moved { link: self.link, plan: plan.clone() });
        self.plan = plan;
        self.state = State::Pausing { until: now, held_until: Some(now + RELEASE_MAX) };
    }

    /// The connection is lost: decides how to go on, if at all.
    fn lose(&mut self, cause: Failure, held_until: Option<Instant>, now: Instant) {
        let has_handle = matches!(self.plan, Plan::Resume(_));
        let repeats = self.budget.repeats(&cause);
        let verdict = cause.verdict(Situation { is_set_up: self.is_ready(), has_handle, repeats });
        self.drop_poison(now);
        if cause == Failure::BreakerOpen {
            self.budget.pass_over(self.endpoint);
        }
        let next = self.next(&cause, verdict, now);
        self.budget.note_failure(&cause);
        let (link, endpoint) = (self.link, self.endpoint);
        let told = next.as_ref().map(|next| (next.endpoint, next.plan.clone()));
        let lost = Change::Lost { link, endpoint, cause: cause.clone(), verdict, next: told };
        self.changes.push_back(lost);
        match next {
            Some(next) => self.retry(next, held_until, now),
            None => {
                self.state = State::Over;
                self.changes.push_back(Change::Over { cause, verdict });
            }
        }
    }

    /// This endpoint again, or the next one that may be tried. A wait that the service asks for is kept where nothing
    /// else is left. Then an endpoint that was passed over is tried after all, and one that is short of quota once
    /// more.
    fn next(&mut self, cause: &Failure, verdict: Verdict, now: Instant) -> Option<Next> {
        let here = self.endpoint;
        let is_spent = self.budget.is_spent(here, now);
        let is_free = |place: &usize| !self.budget.is_spent(*place, now);
        let first = if self.is_last_tier { self.config.endpoints } else { here + 1 };
        let other = (first..self.config.endpoints).find(is_free);
        let asked = cause.retry_after();
        let is_elsewhere_better = asked.is_some_and(|asked| asked >= ELSEWHERE_MIN)
            && (other.is_some() || self.config.has_other_tier);
        if let Some(plan) = self.next_plan(verdict).filter(|_| !is_spent && !is_elsewhere_better) {
            return Some(Next { endpoint: here, plan, wait: asked.filter(|asked| *asked <= WAIT_MAX) });
        }
        let fresh = |endpoint| Next { endpoint, plan: Plan::Fresh, wait: None };
        if let Some(endpoint) = other {
            return Some(fresh(endpoint));
        }
        if self.config.has_other_tier {
            return None;
        }
        if let Some(endpoint) = self.budget.take_passed_over() {
            self.is_last_tier = true;
            return Some(fresh(endpoint));
        }
        if is_spent || (verdict != Verdict::Wait && *cause != Failure::SetupTimeout) {
            return None;
        }
        let wait = self.budget.wait(asked)?;
        Some(Next { endpoint: here, plan: self.plan_with_handle(), wait: Some(wait) })
    }

    fn retry(&mut self, next: Next, held_until: Option<Instant>, now: Instant) {
        let Next { endpoint, plan, wait } = next;
        if endpoint != self.endpoint {
            self.endpoint = endpoint;
            self.handle = None;
            self.failed_resumes = 0;
            self.budget.turn();
            self.replay = Replay::default();
        }
        self.plan = plan;
        let has_held = |ready: &Ready| now.saturating_duration_since(ready.since) >= STEADY_MIN;
        let was_steady = matches!(&self.state, State::Ready(ready) if has_held(ready));
        let pause = match wait {
            Some(wait) => wait,
            None if was_steady => Duration::ZERO,
            None => self.budget.pause(endpoint, now),
        };
        let until = now + pause;
        self.state = State::Pausing { until, held_until };
        if held_until.is_none() && now >= until {
            self.dial(now);
        }
    }

    /// A handle that brought nothing but failure is dropped.
    fn drop_poison(&mut self, now: Instant) {
        if !matches!(self.plan, Plan::Resume(_)) {
            return;
        }
        let is_poisoned = match &self.state {
            State::Ready(ready) => {
                now.saturating_duration_since(ready.since) <= POISON_MAX && !ready.has_worked
            }
            State::Dialling { .. } | State::SettingUp { .. } => {
                self.failed_resumes += 1;
                self.failed_resumes >= FAILED_RESUMES_MAX
            }
            State::Pausing { .. } | State::Over => false,
        };
        if is_poisoned {
            self.handle = None;
        }
    }

    /// How this endpoint is tried next; `None`: not at all.
    fn next_plan(&mut self, verdict: Verdict) -> Option<Plan> {
        let has_worked = matches!(&self.state, State::Ready(ready) if ready.has_worked);
        match verdict {
            Verdict::Wait | Verdict::Fatal => None,
            Verdict::Resume => Some(self.plan_with_handle()),
            Verdict::Fresh => {
                self.handle = None;
                match self.plan {
                    Plan::Resume(_) => Some(Plan::Fresh),
                    Plan::Fresh if has_worked => Some(Plan::Fresh),
                    Plan::Fresh => Some(Plan::Reduced),
                    Plan::Reduced => has_worked.then_some(Plan::Fresh),
                }
            }
        }
    }

    fn plan_with_handle(&self) -> Plan {
        let has_worked = matches!(&self.state, State::Ready(ready) if ready.has_worked);
        match (&self.handle, &self.plan) {
            (Some(handle), _) => Plan::Resume(handle.text.clone()),
            (None, Plan::Reduced) if !has_worked => Plan::Reduced,
            (None, Plan::Resume(_) | Plan::Fresh | Plan::Reduced) => Plan::Fresh,
        }
    }

    fn dial(&mut self, now: Instant) {
        if !self.config.has_other_tier && !self.is_last_tier {
            let mut later = self.endpoint + 1..self.config.endpoints;
            self.is_last_tier = later.all(|place| self.budget.is_spent(place, now));
        }
        self.link = self.next_link;
        self.next_link = self.link.next();
        self.state = State::Dialling { since: now };
        let attempt = self.budget.note_attempt(self.endpoint, now);
        let (link, endpoint, plan) = (self.link, self.endpoint, self.plan.clone());
        let is_last_tier = self.is_last_tier;
        self.changes.push_back(Change::Dial { link, endpoint, plan, attempt, is_last_tier });
    }
}

#[cfg(test)]
mod tests;
