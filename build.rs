//! Compiles again when a migration is added: the compiler sees only those it already knows. A release build knows the
//! commit of its source, where there is a repository.
#![allow(clippy::print_stdout, reason = "how a build script talks to cargo")]

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=migrations");
    // A debug build would compile anew with each commit.
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        tell_commit();
    }
}

/// Twelve digits, and `-modified` if the source is not that of the commit.
fn tell_commit() {
    // The repository may be one that this source was copied into.
    if git(&["rev-parse", "--show-prefix"]).as_deref() != Some("") {
        return;
    }
    // Written with every commit and checkout.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo:rerun-if-changed={log}");
        println!("cargo:rerun-if-changed=src");
    }
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return };
    let changes = git(&["status", "--porcelain", "--untracked-files=no"]).unwrap_or_default();
    let suffix = if changes.is_empty() { "" } else { "-modified" };
    println!("cargo:rustc-env=PATCHCORD_COMMIT={commit}{suffix}");
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
