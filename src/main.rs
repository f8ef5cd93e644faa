//! The `patchcord` program: arguments to [`patchcord::cli`].

fn main() -> anyhow::Result<()> {
    rustls::crypto::ring::default_provider().install_default().ok();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(patchcord::cli::run())
}
