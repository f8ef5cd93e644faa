//! The carrier's media streams: who may open one, and on what terms.
//!
//! Signature and token are checked before the upgrade, in this order, so that nobody but the carrier can use up a
//! token. The path is never logged: the token is in it.

use std::sync::Arc;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{self, OriginalUri, Path};
use axum::http::HeaderMap;
use axum::response::Response;
use tokio::time::Instant;

use super::State;
use super::error::Error;
use super::tokens::{Admitted, Invalid, Token};
use super::webhook::{path_and_query, signed};
use crate::bridge::Bridge;
use crate::call::record::{Ending, Record};
use crate::net::Limits;

/// The carrier does not support queries in stream URLs (Twilio, `<Stream>`): the token is in the path.
pub(super) const ROUTE: &str = "/twilio/media/{token}";

/// The path of a stream.
pub(super) fn path(token: Token) -> String {
    ROUTE.replace("{token}", &token.text())
}

/// Opens the stream of a call and carries the call.
pub(super) async fn open(
    extract::State(state): extract::State<Arc<State>>,
    Path(token): Path<String>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Error> {
    state.check_configured()?;
    let url = state.public_url()?.stream(path_and_query(&uri));
    state.verify(&url, &[], signed(&headers))?;
    let upgrade = upgrade?;
    let pending = Pending::take(&state, &token)?;
    let limits = Limits::CARRIER;
    let upgrade = upgrade
        .max_message_size(limits.message_max)
        .max_frame_size(limits.message_max)
        .read_buffer_size(limits.read_buffer)
        .write_buffer_size(limits.write_buffer)
        .max_write_buffer_size(limits.write_buffer_max);
    Ok(upgrade.on_upgrade(async move |socket| {
        if let Some(admitted) = pending.admit() {
            let Admitted { call, place } = *admitted;
            Box::pin(state.bridge.run(call, socket)).await;
            drop(place);
        }
    }))
}

/// A call between its token and its socket. If the socket does not come to be, the call ends here.
#[derive(Debug)]
struct Pending {
    admitted: Option<Box<Admitted>>,
    bridge: Arc<Bridge>,
}

impl Pending {
    fn take(state: &State, token: &str) -> Result<Self, Error> {
        let token = Token::parse(token).ok_or(Error::TokenUnknown)?;
        match state.desk().take(token, Instant::now().into_std()) {
            Ok(admitted) => Ok(Self { admitted: Some(admitted), bridge: Arc::clone(&state.bridge) }),
            Err(Invalid::Unknown) => Err(Error::TokenUnknown),
            Err(Invalid::Spent) => Err(Error::TokenSpent),
        }
    }

    fn admit(mut self) -> Option<Box<Admitted>> {
        self.admitted.take()
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(mut admitted) = self.admitted.take() {
            let ending = Ending::CarrierClosed { code: None };
            self.bridge.record(admitted.call.ledger.entry(Record::Ended(ending), Instant::now().into_std()));
        }
    }
}

#[cfg(test)]
mod tests {
    use ::time::OffsetDateTime;

    use super::super::limits::Place;
    use super::*;
    use crate::call::Admission;
    use crate::call::agent::Agent;
    use crate::call::context::Context;
    use crate::call::record::Ledger;
    use crate::id::CallId;
    use crate::net::dial;
    use crate::provider::gemini::{self, Dialer};
    use crate::secret::Secret;
    use crate::store::{Handle, Line};
    use crate::time::WallClock;

    fn pending() -> (Pending, tokio::sync::mpsc::Receiver<Line>) {
        let (store, log) = Handle::pair(8);
        let wall = OffsetDateTime::UNIX_EPOCH;
        let call = Admission {
            context: Context::unknown(wall),
            agent: Arc::new(Agent::default()),
            ledger: Ledger::new(CallId::new(1), WallClock::new(std::time::Instant::now(), wall)),
        };
        let dialer = Dialer::new(&gemini::Config::default(), &Secret::new("key"), dial::tls([])).unwrap();
        let bridge = Arc::new(Bridge::new(store, crate::bridge::Offer::live(dialer)));
        (Pending { admitted: Some(Box::new(Admitted { call, place: Place::default() })), bridge }, log)
    }

    #[test]
    fn a_call_whose_socket_does_not_come_to_be_is_ended() {
        let (pending, mut log) = pending();
        drop(pending);
        let Ok(Line::Entry(entry)) = log.try_recv() else { panic!("nothing was recorded") };
        assert_eq!(entry.record, Record::Ended(Ending::CarrierClosed { code: None }));
    }

    #[test]
    fn a_call_with_its_socket_is_the_bridges_to_end() {
        let (pending, mut log) = pending();
        assert!(pending.admit().is_some());
        assert!(log.try_recv().is_err());
    }
}
