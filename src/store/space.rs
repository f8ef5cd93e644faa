//! Room on the disk of the call log: a reserve that is given up when the disk is full, so that the calls that run
//! can be written to their ends; until there is room again, no new ones are wanted.

use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::{FallocateFlags, fallocate, statvfs};

/// Held back for the log: a thousand calls write about a megabyte a second.
const RESERVE_BYTES: u64 = 64 << 20;

/// How often the disk is looked at.
const PERIOD: Duration = Duration::from_secs(5);

/// The disk of one call log.
#[derive(Debug)]
pub(super) struct Space {
    folder: PathBuf,
    reserve: PathBuf,
    free_bytes_min: u64,
    is_short: AtomicBool,
    /// The last attempt to set the reserve aside failed: the log of the process has told so.
    is_unreserved: AtomicBool,
}

impl Space {
    /// Of the log at `path`; below `free_bytes_min` there is no room for new calls.
    pub(super) fn new(path: &Path, free_bytes_min: u64) -> Self {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut reserve = path.as_os_str().to_owned();
        reserve.push(".reserve");
        // Earlier versions made it readable by everybody.
        let _ = fs::set_permissions(&reserve, fs::Permissions::from_mode(0o600));
        Self {
            folder: folder.unwrap_or_else(|| Path::new(".")).to_owned(),
            reserve: reserve.into(),
            free_bytes_min,
            is_short: AtomicBool::new(false),
            is_unreserved: AtomicBool::new(false),
        }
    }

    /// Whether new calls should go elsewhere.
    pub(super) fn is_short(&self) -> bool {
        self.is_short.load(Ordering::Relaxed)
    }

    /// The disk is full: gives up the reserve.
    pub(super) fn release(&self) {
        self.is_short.store(true, Ordering::Relaxed);
        if fs::remove_file(&self.reserve).is_ok() {
            tracing::error!(
                folder = %self.folder.display(),
                "the disk is full: the reserve of the call log is given up, new calls are refused"
            );
        }
    }

    /// Looks at the disk for ever, on a thread that may wait: a disk that hangs holds up nobody else.
    pub(super) async fn watch(self: Arc<Self>) {
        loop {
            let space = Arc::clone(&self);
            let _ = tokio::task::spawn_blocking(move || space.look()).await;
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// Looks at the disk once: says when room gets short, and restores the reserve when there is room again.
    pub(super) fn look(&self) {
        let free = match free_bytes(&self.folder) {
            Ok(free) => free,
            Err(error) => {
                return tracing::warn!(%error, folder = %self.folder.display(), "cannot tell the free space");
            }
        };
        let is_short = free < self.free_bytes_min;
        if self.is_short.swap(is_short, Ordering::Relaxed) != is_short {
            match is_short {
                true => tracing::error!(free, "little room for the call log: new calls are refused"),
                false => tracing::info!(free, "there is room for the call log again"),
            }
        }
        if !is_short && !self.reserve.exists() && free > self.free_bytes_min + RESERVE_BYTES {
            self.set_aside();
        }
    }

    fn set_aside(&self) {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let allocated = options.open(&self.reserve).and_then(|file| {
            fallocate(file.as_fd(), FallocateFlags::empty(), 0, RESERVE_BYTES).map_err(io::Error::from)
        });
        let was_unreserved = self.is_unreserved.swap(allocated.is_err(), Ordering::Relaxed);
        if let Err(error) = allocated {
            if !was_unreserved {
                tracing::warn!(%error, "no room can be reserved for the call log");
            }
            let _ = fs::remove_file(&self.reserve);
        }
    }
}

/// Bytes that this process may still write on the disk of a folder.
pub(super) fn free_bytes(folder: &Path) -> io::Result<u64> {
    let stat = statvfs(folder)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_full_disk_costs_the_reserve_and_room_brings_it_back() {
        let folder = TempDir::new().unwrap();
        let space = Space::new(&folder.path().join("patchcord.db"), 0);
        let reserve = folder.path().join("patchcord.db.reserve");
        space.look();
        let state = fs::metadata(&reserve).unwrap();
        assert_eq!((state.len(), state.permissions().mode() & 0o777), (RESERVE_BYTES, 0o600));
        space.release();
        assert!(space.is_short() && !reserve.exists());
        space.look();
        assert!(!space.is_short() && reserve.exists());
    }

    #[test]
    fn below_the_limit_there_is_no_room_for_new_calls() {
        let folder = TempDir::new().unwrap();
        let space = Space::new(&folder.path().join("patchcord.db"), u64::MAX);
        space.look();
        assert!(space.is_short());
        assert!(!folder.path().join("patchcord.db.reserve").exists());
    }
}
