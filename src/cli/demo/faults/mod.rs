//! The bars of what callers hear when things break, measured through the real server with real sockets.

use crate::cli::demo::speech::Speech;
use crate::store;

pub(super) async fn run(store: store::Handle, speech: Option<&Speech>) -> anyhow::Result<()> {
    Ok(())
}
