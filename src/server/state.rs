//! What the routes share: who is believed, who answers, and which streams are expected.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::body;
use super::error::Error;
use super::health::Webhooks;
use super::limits::{self, Limits};
use super::public_url::{InvalidPublicUrl, PublicUrl};
use super::rejections::{self, Rejections};
use super::tokens::Desk;
use super::webhook;
use super::{Api, Config};
use crate::bridge::Bridge;
use crate::call::Admission;
use crate::call::agent::Agent;
use crate::call::record::{Ending, Record};
use crate::carrier::answer::{self, Parameter, ParameterTooLong, Reason, Verb};
use crate::carrier::party::{Fit, Party};
use crate::carrier::signature::{self, Content};
use crate::secret::Secret;
use crate::time::Throttle;

/// The state of a server.
#[derive(Debug)]
pub struct State {
    pub(super) bridge: Arc<Bridge>,
    pub(super) seats: Vec<Seat>,
    public_url: Option<PublicUrl>,
    auth_tokens: Vec<Secret>,
    /// `None`: there is no call log to ask.
    api: Option<Api>,
    /// Requests of any other account are refused; `None`: any account that has the token.
    account_sid: Option<String>,
    pub(super) limits: Limits,
    pub(super) webhooks: Webhooks,
    pub(super) bodies: body::Budget,
    pub(super) rejections: Arc<Rejections>,
    desk: Mutex<Desk>,
    /// The desk has something new to watch.
    issued: Notify,
}

/// An agent, with what its streams are told.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) agent: Arc<Agent>,
    /// Whom it answers for; `None`: for every party that no other agent has.
    pub(super) party: Option<Party>,
    pub(super) parameters: Vec<Parameter>,
    /// The answer to its calls for which there is no room.
    pub(super) overflow: Arc<str>,
}

/// The configuration cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    #[error(transparent)]
    PublicUrl(#[from] InvalidPublicUrl),
    #[error("agent {agent:?}: {cause}")]
    Agent { agent: String, cause: ParameterTooLong },
}

/// The signed headers of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signed<'a> {
    pub(super) signature: Option<&'a str>,
    pub(super) settings: Option<&'a str>,
}

impl State {
    /// `auth_tokens` are the carrier's, several while one is changed; without any, every request is refused.
    pub fn new(
        config: &Config,
        auth_tokens: Vec<Secret>,
        agents: Vec<Arc<Agent>>,
        bridge: Arc<Bridge>,
    ) -> Result<Self, Invalid> {
        let public_url = config.public_url.as_deref().map(PublicUrl::parse).transpose()?;
        let recorded = public_url.as_ref().map(|url| url.webhook(webhook::RECORDED)).unwrap_or_default();
        let seats = agents.into_iter().map(|agent| Seat::new(agent, &recorded));
        let auth_tokens: Vec<_> = auth_tokens.into_iter().filter(|token| !token.is_empty()).collect();
        if auth_tokens.is_empty() || public_url.is_none() {
            tracing::warn!("without the carrier's auth token and a public_url every webhook is refused");
        }
        Ok(Self {
            bridge,
            seats: seats.collect::<Result<_, _>>()?,
            public_url,
            auth_tokens,
            api: None,
            account_sid: None,
            limits: Limits::new(&limits::Config::NONE),
            webhooks: Webhooks::default(),
            bodies: body::Budget::default(),
            rejections: Arc::default(),
            desk: Mutex::default(),
            issued: Notify::new(),
        })
    }

    /// Lets in so many calls, and so often; without this there is no limit.
    #[must_use]
    pub fn limited(self, limits: &limits::Config) -> Self {
        Self { limits: Limits::new(limits), ..self }
    }

    /// Answers the calls of this account alone.
    #[must_use]
    pub fn of_account(self, account_sid: Option<String>) -> Self {
        Self { account_sid, ..self }
    }

    /// Answers questions to the call log.
    #[must_use]
    pub fn with_api(self, api: Api) -> Self {
        Self { api: Some(api), ..self }
    }

    pub(super) const fn api(&self) -> Option<&Api> {
        self.api.as_ref()
    }

    /// Refuses the requests of other accounts, however well they are signed.
    pub(super) fn check_account(&self, account_sid: Option<&str>) -> Result<(), Error> {
        match &self.account_sid {
            Some(own) if account_sid != Some(own) => Err(Error::ForeignAccount),
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn public_url(&self) -> Result<&PublicUrl, Error> {
        self.public_url.as_ref().ok_or(Error::NoPublicUrl)
    }

    /// Host and port of the public URL.
    pub(super) fn public_authority(&self) -> Option<&str> {
        self.public_url.as_ref().map(PublicUrl::authority)
    }

    /// Whether anybody can be believed at all.
    pub(super) fn check_configured(&self) -> Result<(), Error> {
        if self.auth_tokens.is_empty() {
            return Err(Error::NoAuthToken);
        }
        self.public_url().map(|_| ())
    }

    /// Believes a request to this public URL, or not.
    pub(super) fn verify(
        &self,
        url: &str,
        pairs: &[(String, String)],
        signed: Signed<'_>,
    ) -> Result<(), Error> {
        let Signed { signature, settings } = signed;
        let request = signature::Request { url, content: Content::Form(pairs), signature, settings };
        let verified = signature::verify(&request, &self.auth_tokens);
        verified.map_err(|refusal| Error::Signature { refusal, url: rejections::shown_url(url) })
    }

    /// The agent of a party of ours: its own, else the first that answers for every other one. A national number may be
    /// that of several agents: then there is none, because the wrong agent is worse than a refusal.
    pub(super) fn seat(&self, ours: Option<&Party>) -> Option<&Seat> {
        let fit = |seat: &Seat| seat.party.as_ref()?.is_meant_by(ours?);
        let best = self.seats.iter().filter_map(fit).max();
        let mut fitting = self.seats.iter().filter(|seat| fit(seat) == best && best.is_some());
        match (fitting.next(), fitting.next(), best) {
            (Some(_), Some(_), Some(Fit::National)) => {
                warn_of_ambiguity();
                None
            }
            (Some(seat), ..) => Some(seat),
            (None, ..) => self.seats.iter().find(|seat| seat.party.is_none()),
        }
    }

    pub(super) fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something came to the desk: the sweeper looks at it again.
    pub(super) fn note_issued(&self) {
        self.issued.notify_one();
    }

    /// Ends the calls whose streams do not come, at the time, for ever.
    pub(super) async fn sweep(self: Arc<Self>) {
        loop {
            let deadline = self.desk().deadline();
            match deadline {
                Some(deadline) => {
                    // Whether time is up or something new may be due earlier: the desk knows.
                    let _ = tokio::time::timeout_at(deadline.into(), self.issued.notified()).await;
                }
                None => self.issued.notified().await,
            }
            let expired = self.desk().expire(Instant::now().into_std());
            self.end(expired, &Ending::StreamNeverCame);
        }
    }

    /// Ends all calls whose streams did not come yet: nobody will accept them.
    pub(super) fn close(&self) {
        let waiting = self.desk().close();
        self.end(waiting, &Ending::Drained);
    }

    fn end(&self, admissions: Vec<Admission>, ending: &Ending) {
        for mut admission in admissions {
            let entry = admission.ledger.entry(Record::Ended(ending.clone()), Instant::now().into_std());
            self.bridge.record(entry);
        }
    }
}

impl Seat {
    /// `recorded` is the URL of the webhook after a message.
    fn new(agent: Arc<Agent>, recorded: &str) -> Result<Self, Invalid> {
        let parameter = |name, value: &str| {
            Parameter::new(name, value).map_err(|cause| Invalid::Agent { agent: agent.name.clone(), cause })
        };
        // There is no second attempt at a stream yet.
        let parameters = vec![
            parameter("agent", &agent.name)?,
            parameter("business_id", &agent.business_id)?,
            parameter("attempt", "1")?,
        ];
        let overflow = match &agent.otherwise.overflow {
            Some(overflow) => answer::document(&overflow.verbs(recorded)),
            None => answer::document(&[Verb::Reject(Reason::Busy)]),
        };
        let party = agent.number.as_deref().map(Party::parse);
        Ok(Self { agent, party, parameters, overflow: overflow.into() })
    }
}

/// Says, at most once a second, why a call has no agent.
fn warn_of_ambiguity() {
    static WARNINGS: Mutex<Throttle> = Mutex::new(Throttle::new(Duration::from_secs(1)));
    if WARNINGS.lock().unwrap_or_else(PoisonError::into_inner).admit(Instant::now().into_std()) {
        tracing::warn!(
            "call refused: the carrier sends a number without country code that fits several agents; \
             have it send E.164"
        );
    }
}
