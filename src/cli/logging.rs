//! Log lines on standard error: for people on a terminal, JSON elsewhere.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Begins to write log lines. `RUST_LOG` chooses which; `default` if it is not set.
///
/// The WebSocket and HTTP libraries never write below INFO: they would print frames and paths, and there are
/// voices and tokens in them.
pub(crate) fn start(default: &str) {
    let wanted = std::env::var("RUST_LOG").unwrap_or_else(|_| default.to_owned());
    let filter =
        EnvFilter::new(format!("{wanted},tungstenite=info,tokio_tungstenite=info,hyper=info,h2=info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second subscriber in one process is a test's: the first one stays.
    let _ = if std::io::stderr().is_terminal() { lines.try_init() } else { lines.json().try_init() };
}
