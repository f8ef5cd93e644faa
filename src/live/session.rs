//! The life of one live session: dialled, set up, ready, over.
//!
//! Pure: it is told what happened and says what to send. One connection for now; [`LinkId`] is where the next
//! ones come in.

use std::time::{Duration, Instant};

use super::failure::Failure;
use super::{Event, Setup};
use crate::id::LinkId;

/// From the dial to `setupComplete`. The service answers a setup within a second; connecting takes a few
/// round trips; some wrong configurations are never answered at all (Gemini Live API, set-up times).
pub const SETUP_DEADLINE: Duration = Duration::from_secs(10);

/// A session with the live model.
#[derive(Debug)]
pub struct Session {
    link: LinkId,
    state: State,
}

#[derive(Debug)]
enum State {
    Dialling { since: Instant, setup: Box<Setup> },
    SettingUp { since: Instant },
    Ready,
    Closed,
}

/// What an event changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The transport is up: send this setup.
    Opened(Box<Setup>),
    /// The session is set up, this long after the dial began.
    Ready { setup: Duration, session_id: Option<String> },
    /// The session could not be had.
    Failed(Failure),
    /// The session was set up and is lost.
    Lost(Failure),
}

impl Session {
    /// A session that is being dialled since `now`.
    pub const fn dial(link: LinkId, setup: Box<Setup>, now: Instant) -> Self {
        Self { link, state: State::Dialling { since: now, setup } }
    }

    pub const fn link(&self) -> LinkId {
        self.link
    }

    /// Whether caller audio may be sent.
    pub const fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready)
    }

    /// Takes the events that concern the session's life; all others change nothing here.
    pub fn handle_event(&mut self, event: &Event<'_>, now: Instant) -> Option<Change> {
        match (std::mem::replace(&mut self.state, State::Closed), event) {
            (State::Closed, _) => None,
            (State::Dialling { since, setup }, Event::Opened) => {
                self.state = State::SettingUp { since };
                Some(Change::Opened(setup))
            }
            (State::SettingUp { since }, Event::SetupComplete { session_id }) => {
                self.state = State::Ready;
                Some(Change::Ready { setup: now - since, session_id: session_id.map(str::to_owned) })
            }
            (State::Ready, Event::Closed(failure)) => Some(Change::Lost(failure.clone())),
            (State::Dialling { .. } | State::SettingUp { .. }, Event::Closed(failure)) => {
                Some(Change::Failed(failure.clone()))
            }
            (state, _) => {
                self.state = state;
                None
            }
        }
    }

    /// When the setup is given up.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Dialling { since, .. } | State::SettingUp { since } => Some(since + SETUP_DEADLINE),
            State::Ready | State::Closed => None,
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) -> Option<Change> {
        if self.poll_timeout().is_none_or(|deadline| now < deadline) {
            return None;
        }
        self.state = State::Closed;
        Some(Change::Failed(Failure::SetupTimeout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::Vad;

    fn setup() -> Box<Setup> {
        Box::new(Setup {
            model: "m".into(),
            voice: None,
            language: None,
            prompt: "p".into(),
            temperature: None,
            vad: Vad::default(),
            handle: None,
        })
    }

    fn closed() -> Event<'static> {
        Event::Closed(Failure::Closed { code: 1011, reason: "Internal error".into() })
    }

    #[test]
    fn setup_is_sent_when_the_transport_is_up_and_audio_may_flow_when_it_is_confirmed() {
        let start = Instant::now();
        let mut session = Session::dial(LinkId(1), setup(), start);
        assert_eq!(session.handle_event(&Event::Opened, start), Some(Change::Opened(setup())));
        assert_eq!(session.handle_event(&Event::Audio(&[1]), start), None, "nothing before setupComplete");
        assert!(!session.is_ready());
        let later = start + Duration::from_millis(800);
        let ready = Change::Ready { setup: Duration::from_millis(800), session_id: Some("s".into()) };
        assert_eq!(session.handle_event(&Event::SetupComplete { session_id: Some("s") }, later), Some(ready));
        assert!(session.is_ready());
        assert_eq!(session.poll_timeout(), None);
    }

    #[test]
    fn a_close_before_the_setup_is_a_failure_and_after_it_a_loss() {
        let start = Instant::now();
        let failure = Failure::Closed { code: 1011, reason: "Internal error".into() };
        let mut session = Session::dial(LinkId(1), setup(), start);
        assert_eq!(session.handle_event(&closed(), start), Some(Change::Failed(failure.clone())));
        assert_eq!(session.handle_event(&closed(), start), None, "told once");

        let mut session = Session::dial(LinkId(1), setup(), start);
        session.handle_event(&Event::Opened, start);
        session.handle_event(&Event::SetupComplete { session_id: None }, start);
        assert_eq!(session.handle_event(&closed(), start), Some(Change::Lost(failure)));
    }

    #[test]
    fn a_setup_that_is_never_confirmed_is_given_up() {
        let start = Instant::now();
        let mut session = Session::dial(LinkId(1), setup(), start);
        session.handle_event(&Event::Opened, start);
        let deadline = session.poll_timeout().unwrap();
        assert_eq!(session.handle_timeout(deadline - Duration::from_millis(1)), None);
        assert_eq!(session.handle_timeout(deadline), Some(Change::Failed(Failure::SetupTimeout)));
        assert_eq!(session.handle_event(&Event::SetupComplete { session_id: None }, deadline), None);
    }
}
