//! What the machine, or the container around this process, grants it: cores and memory.
//!
//! [`std::thread::available_parallelism`] knows quotas too, but in whole cores, rounded down and at least one: a
//! container with a tenth of a core looks like one with ten times as much.

pub mod file;

mod cgroup;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;

/// What this process may use.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// Cores that it may run on.
    pub cores: u32,
    /// If it may use less than those cores.
    pub quota: Option<Limit<f64>>,
    /// Bytes, if they are limited.
    pub memory: Option<Limit<u64>>,
}

/// A limit and the file that sets it.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit<T> {
    pub value: T,
    pub file: PathBuf,
}

impl Machine {
    /// This one, as it is when it is first asked for.
    pub fn this() -> &'static Self {
        static THIS: OnceLock<Machine> = OnceLock::new();
        THIS.get_or_init(|| Self::at(Path::new("/"), affinity()))
    }

    /// By the control groups in a tree of files like that at `root`.
    fn at(root: &Path, cores: u32) -> Self {
        let quota = cgroup::cpu_quota(root).filter(|quota| quota.value < f64::from(cores));
        Self { cores, quota, memory: cgroup::memory(root) }
    }

    /// Cores in parts.
    pub fn cpu(&self) -> f64 {
        self.quota.as_ref().map_or_else(|| f64::from(self.cores), |quota| quota.value)
    }

    /// Threads that share that work: as many as can run at the same time and, with a quota, use it up.
    pub fn workers(&self) -> usize {
        // Between one and the number of cores.
        (self.cpu().ceil().max(1.0) as usize).min(self.cores.max(1) as usize)
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.cores == 1 { "" } else { "s" };
        write!(f, "{} core{s}", self.cores)?;
        if let Some(quota) = &self.quota {
            write!(f, ", of which {} by {}", short(quota.value), quota.file.display())?;
        }
        if let Some(memory) = &self.memory {
            write!(f, "; {} MiB of memory by {}", memory.value >> 20, memory.file.display())?;
        }
        Ok(())
    }
}

/// Cores with two decimals at most.
pub fn short(cores: f64) -> String {
    let text = format!("{cores:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Cores that threads of this process may run on; cpusets count.
fn affinity() -> u32 {
    let counted = rustix::thread::sched_getaffinity(None).map(|set| set.count()).ok();
    counted.filter(|cores| *cores > 0).unwrap_or_else(|| {
        thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX))
    })
}

#[cfg(test)]
mod tests;
