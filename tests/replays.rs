//! Calls that were kept, played again: the program does what it did then. `fixtures/calls/README.md` says how a call
//! gets there, and what to do when the program is meant to do something else.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::PathBuf;
use std::time::Instant;

use patchcord::call::replay::{End, replay};
use rstest::rstest;

#[rstest]
fn every_kept_call_is_the_same_call_again(#[files("fixtures/calls/*.inputs.jsonl")] path: PathBuf) {
    let text = std::fs::read_to_string(&path).unwrap();
    let report = replay(&text, Instant::now(), None, |_| {}).unwrap();
    assert_eq!(report.difference, None, "`patchcord replay {}` shows more", path.display());
    assert_ne!(report.end, End::Left);
    assert!(report.inputs > 0 && report.outputs > 0);
}
