//! Compiles again when a migration is added: the compiler sees only those it already knows.
#![allow(clippy::print_stdout, reason = "how a build script talks to cargo")]

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
