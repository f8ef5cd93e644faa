//! Which cores a thread, and what it starts, may run on.

use std::collections::BTreeSet;

use anyhow::Context as _;

use crate::load::process;

/// The core of the server.
pub(super) fn first() -> anyhow::Result<BTreeSet<u32>> {
    Ok(cores()?.into_iter().take(1).collect())
}

/// The cores of everything else.
pub(super) fn others() -> anyhow::Result<BTreeSet<u32>> {
    let others: BTreeSet<_> = cores()?.into_iter().skip(1).collect();
    anyhow::ensure!(!others.is_empty(), "--pin needs two cores, there is one: run without it");
    Ok(others)
}

fn cores() -> anyhow::Result<BTreeSet<u32>> {
    process::cores(std::process::id()).context("--pin needs Linux: the cores of this process are not known")
}

/// What this thread starts from now on runs there, too.
#[cfg(target_os = "linux")]
pub(super) fn this_thread(cores: &BTreeSet<u32>) -> anyhow::Result<()> {
    use rustix::thread::{CpuSet, sched_setaffinity};
    let mut set = CpuSet::new();
    cores.iter().for_each(|core| set.set(*core as usize));
    sched_setaffinity(None, &set).context("--pin: the cores cannot be chosen")
}

#[cfg(not(target_os = "linux"))]
pub(super) fn this_thread(_: &BTreeSet<u32>) -> anyhow::Result<()> {
    anyhow::bail!("--pin needs Linux")
}
