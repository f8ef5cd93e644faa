//! The `patchcord` program: arguments to [`patchcord::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    rustls::crypto::ring::default_provider().install_default().ok();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(patchcord::cli::run())) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("Error: {}", patchcord::cli::explain(&error));
            ExitCode::FAILURE
        }
    }
}
