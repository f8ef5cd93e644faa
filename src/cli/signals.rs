//! What the server does with signals: two end it, and most others are logged and end nothing.

use nix::sys::signal::Signal;
use tokio::signal::unix::{self, SignalKind};

/// Signals that would end the process if they were not handled, and must not cut off calls. A terminal that closes
/// sends SIGHUP; programs that rotate logs send it too, or one of the two for users. SIGXFSZ comes with a write beyond
/// the limit on a file's size, which fails besides (setrlimit(2)), and SIGXCPU once a second beyond that on CPU time.
/// SIGQUIT is left to the operator who wants a core dump.
const HARMLESS: [Signal; 6] =
    [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGALRM, Signal::SIGXFSZ, Signal::SIGXCPU];

/// Has those signals logged, each kind once a second at most.
pub(super) fn outlive() -> anyhow::Result<()> {
    for signal in HARMLESS {
        let mut received = unix::signal(kind(signal))?;
        tokio::spawn(async move {
            while received.recv().await.is_some() {
                tracing::warn!(signal = signal.as_str(), "signal received; the server goes on");
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
        });
    }
    Ok(())
}

const fn kind(signal: Signal) -> SignalKind {
    SignalKind::from_raw(signal as i32)
}

/// The signals that end the process: once to drain, twice to stop at once.
pub(super) struct Stop {
    terminate: unix::Signal,
    interrupt: unix::Signal,
}

impl Stop {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
        })
    }

    pub(super) async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
