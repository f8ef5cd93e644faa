//! One task per call: owns both sockets, carries events into the machine and outputs out.

use axum::extract::ws::WebSocket;

use crate::call::Admission;
use crate::store;

/// What the calls of a process share.
#[derive(Debug)]
pub struct Bridge {
    store: store::Handle,
}

impl Bridge {
    pub fn new(store: store::Handle) -> Self {
        Self { store }
    }

    /// The call log.
    pub fn store(&self) -> &store::Handle {
        &self.store
    }

    /// Whether new calls may be admitted: false while the process drains.
    pub fn is_accepting(&self) -> bool {
        true
    }

    /// Carries one call from the upgrade to its end. Never panics, never fails: the ending is in the log.
    #[expect(clippy::unused_async, reason = "the interface of the real one")]
    pub async fn run(&self, _admission: Admission, _socket: WebSocket) {}
}
