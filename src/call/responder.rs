//! Who answers the caller: the live model, the fallback, or nobody.

use std::time::{Duration, Instant};

use super::phase::Timer;
use crate::audio::Rate;
use crate::fallback;
use crate::id::{JobId, LinkId};
use crate::job;
use crate::live::failure::Verdict;
use crate::live::session::{self, Budget, Change, Session};
use crate::time::soonest;

/// When a call in the fallback first tries to have a live session again; twice as long after each failure.
const COMEBACK_AFTER: Duration = Duration::from_secs(10);

/// The longest wait, and the first one when the service refuses for its configuration: somebody has to change it.
const COMEBACK_AFTER_MAX: Duration = Duration::from_secs(300);

/// The source of the agent's speech, and what outlives the change of it.
#[derive(Debug)]
pub(super) struct Responder {
    pub(super) role: Role,
    next_link: LinkId,
    next_job: JobId,
    /// Since when there is no live session, if there was one.
    pub(super) lost_at: Option<Instant>,
    /// When the newest handle came: what was said later is not in it.
    pub(super) handle_at: Option<Instant>,
    /// The model asked for a tool: the turn it completes next may well be empty.
    pub(super) has_called_tool: bool,
}

#[derive(Debug)]
pub(super) enum Role {
    /// The live model: set up, or being (re)connected.
    Live(Box<Session>),
    Fallback(Box<Standin>),
    /// Nobody: before the start, and when everything failed.
    Silent,
}

/// The fallback at work, and the way back to the live model.
#[derive(Debug)]
pub(super) struct Standin {
    pub(super) session: fallback::Session,
    pub(super) comeback: Comeback,
    /// Jobs that have not told anything yet, and when they were started.
    pub(super) asked: Vec<(job::Kind, Instant)>,
    /// Since when the caller waited for the reply that is being spoken.
    pub(super) answers: Option<Instant>,
    pub(super) lead: Lead,
    /// How long the next attempt to have a live session waits.
    wait: Duration,
}

/// The way back to the live model.
#[derive(Debug)]
pub(super) enum Comeback {
    /// It is tried again then, with what is left of the attempts that the call may make.
    At(Instant, Budget),
    /// It is being set up, or waits for a turn boundary.
    Trying(Box<Session>),
}

impl Responder {
    pub(super) const fn new() -> Self {
        Self {
            role: Role::Silent,
            next_link: LinkId(1),
            next_job: JobId(1),
            lost_at: None,
            handle_at: None,
            has_called_tool: false,
        }
    }

    /// The live model is to answer, through a session that is dialled now.
    pub(super) fn go_live(&mut self, config: session::Config, seed: u64, now: Instant) {
        self.role = Role::Live(Box::new(Session::new(config, self.next_link, seed, now)));
    }

    /// The fallback is to answer; live is tried again after a while.
    pub(super) fn stand_in(&mut self, config: fallback::Config, verdict: Verdict, now: Instant) {
        let (mut budget, mut free_at) = (Budget::default(), now);
        if let Role::Live(session) = &mut self.role {
            self.next_link = session.next_link();
            (budget, free_at) = session.take_budget(now);
        }
        let wait = match verdict {
            Verdict::Fatal => COMEBACK_AFTER_MAX,
            Verdict::Resume | Verdict::Fresh | Verdict::Wait => COMEBACK_AFTER,
        };
        self.role = Role::Fallback(Box::new(Standin {
            session: fallback::Session::new(config, self.next_job, now),
            comeback: Comeback::At((now + wait).max(free_at), budget),
            asked: Vec::new(),
            answers: None,
            lead: Lead::default(),
            wait,
        }));
    }

    /// The live session, whoever answers now: events of connections that are not its own are late.
    pub(super) fn session(&mut self) -> Option<&mut Session> {
        match &mut self.role {
            Role::Live(session) => Some(session),
            Role::Fallback(standin) => match &mut standin.comeback {
                Comeback::Trying(session) => Some(session),
                Comeback::At(..) => None,
            },
            Role::Silent => None,
        }
    }

    pub(super) fn poll_change(&mut self) -> Option<Change> {
        self.session()?.poll_change()
    }

    /// The connection on which the live model listens now.
    pub(super) fn ready_link(&self) -> Option<LinkId> {
        match &self.role {
            Role::Live(session) if session.is_ready() => Some(session.link()),
            Role::Live(_) | Role::Fallback(_) | Role::Silent => None,
        }
    }

    pub(super) fn standin(&mut self) -> Option<&mut Standin> {
        match &mut self.role {
            Role::Fallback(standin) => Some(standin),
            Role::Live(_) | Role::Silent => None,
        }
    }

    /// Tries to have a live session again, if it is time.
    pub(super) fn try_comeback(&mut self, config: session::Config, now: Instant) {
        let first = self.next_link;
        if let Some(standin) = self.standin()
            && let Comeback::At(at, budget) = &mut standin.comeback
            && now >= *at
        {
            let budget = std::mem::take(budget);
            standin.comeback = Comeback::Trying(Box::new(Session::again(config, first, budget, now)));
        }
    }

    /// No live session could be had: later. The connection that is to be closed.
    pub(super) fn postpone_comeback(&mut self, now: Instant) -> Option<LinkId> {
        let (budget, free_at) = self.session()?.take_budget(now);
        let link = self.give_up_session();
        if let Some(standin) = self.standin() {
            standin.wait = (standin.wait * 2).min(COMEBACK_AFTER_MAX);
            standin.comeback = Comeback::At((now + standin.wait).max(free_at), budget);
        }
        link
    }

    /// The live session that was tried answers from now on. The fallback is to be closed before.
    pub(super) fn come_back(&mut self) {
        self.role = match std::mem::replace(&mut self.role, Role::Silent) {
            Role::Fallback(standin) => {
                self.next_job = standin.session.next_job();
                match standin.comeback {
                    Comeback::Trying(session) => Role::Live(session),
                    Comeback::At(..) => Role::Silent,
                }
            }
            role @ (Role::Live(_) | Role::Silent) => role,
        };
    }

    /// Gives up whoever answers: the connection that is to be closed. The fallback is to be closed before.
    pub(super) fn silence(&mut self) -> Option<LinkId> {
        let link = self.give_up_session();
        self.role = Role::Silent;
        link
    }

    fn give_up_session(&mut self) -> Option<LinkId> {
        let session = self.session()?;
        let (link, next) = (session.abandon(), session.next_link());
        self.next_link = next;
        link
    }

    /// When a part of it has something to do.
    pub(super) fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        let live = |session: &Session| session.poll_timeout().map(|at| (at, Timer::Live));
        match &self.role {
            Role::Live(session) => live(session),
            Role::Fallback(standin) => {
                let comeback = match &standin.comeback {
                    Comeback::At(at, _) => Some((*at, Timer::Comeback)),
                    Comeback::Trying(session) => live(session),
                };
                let own = standin.session.poll_timeout().map(|at| (at, Timer::Fallback));
                soonest([own, comeback])
            }
            Role::Silent => None,
        }
    }
}

/// The silence with which synthesisers begin a reply: the caller has waited long enough.
#[derive(Debug, Default)]
pub(super) struct Lead {
    /// Samples of it that may still be left out.
    left: usize,
}

impl Lead {
    /// More is a pause that is meant.
    const MAX: usize = Rate::MODEL_OUT.0 as usize / 2;

    /// What is louder is speech, about −50 dBFS; what comes this much before belongs to it.
    const LEVEL: u16 = 104;
    const KEPT: usize = Rate::MODEL_OUT.frame_len();

    /// A reply begins.
    pub(super) fn begin(&mut self) {
        self.left = Self::MAX;
    }

    /// The samples without what is left out at the beginning of a reply.
    pub(super) fn skip<'a>(&mut self, samples: &'a [i16]) -> &'a [i16] {
        let speech = samples.iter().position(|sample| sample.unsigned_abs() > Self::LEVEL);
        let silent = speech.map_or(samples.len(), |speech| speech.saturating_sub(Self::KEPT));
        let skipped = silent.min(self.left);
        self.left = if speech.is_some() { 0 } else { self.left - skipped };
        &samples[skipped..]
    }
}

impl Standin {
    /// A job tells something for the first time: since when it was asked.
    pub(super) fn first_word(&mut self, kind: job::Kind) -> Option<Instant> {
        let index = self.asked.iter().position(|(asked, _)| *asked == kind)?;
        Some(self.asked.remove(index).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_begins_with_its_first_sound_and_keeps_its_pauses() {
        let mut lead = Lead::default();
        let quiet = vec![5; 4800];
        let mut speech = quiet.clone();
        speech.extend([2000; 480]);
        assert_eq!(lead.skip(&quiet).len(), 4800, "no reply begins");
        lead.begin();
        assert_eq!(lead.skip(&quiet), [] as [i16; 0]);
        assert_eq!(lead.skip(&speech).len(), 960, "20 ms before the first sound belong to it");
        assert_eq!(lead.skip(&quiet).len(), 4800);
        lead.begin();
        assert_eq!(lead.skip(&[5; 24_000]).len(), 12_000, "half a second at most");
    }
}
