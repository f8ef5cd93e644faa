//! Signals that end a load test: the first ends its calls in an orderly way, the second everything at once.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Listens from the moment it is made, so that no signal kills the program while processes of its own run.
#[derive(Debug)]
pub(super) struct Interrupt {
    from_keyboard: Signal,
    from_system: Signal,
}

impl Interrupt {
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            from_keyboard: signal(SignalKind::interrupt())?,
            from_system: signal(SignalKind::terminate())?,
        })
    }

    /// Cancels `first` at the first signal, and returns at the second.
    pub(super) async fn twice(mut self, first: &CancellationToken) {
        self.next().await;
        errln!("Interrupted: the calls are ended. Once more ends everything at once.");
        first.cancel();
        self.next().await;
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.from_keyboard.recv() => {}
            _ = self.from_system.recv() => {}
        }
    }
}
