//! `patchcord simulate`: the simulated peers as programs.

mod carrier;
mod faults;
mod gemini;
mod load_model;
mod providers;

pub(crate) use faults::duration;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Peer {
    /// A Gemini Live service that answers with recorded speech.
    Gemini(gemini::Args),
    /// A live model for load tests: answers hundreds of calls at once, and measures.
    LoadModel(load_model::Args),
    /// A carrier that plays a recorded caller against a server.
    Carrier(carrier::Args),
    /// The HTTP providers of speech and language models, with faults on demand.
    Providers(providers::Args),
}

pub(crate) async fn run(peer: Peer) -> anyhow::Result<()> {
    match peer {
        Peer::Gemini(args) => gemini::run(args).await,
        Peer::LoadModel(args) => load_model::run(args).await,
        Peer::Carrier(args) => carrier::run(args).await,
        Peer::Providers(args) => providers::run(args).await,
    }
}
