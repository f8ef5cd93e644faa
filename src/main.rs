//! The `patchcord` program: arguments to [`patchcord::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    patchcord::cli::main()
}
