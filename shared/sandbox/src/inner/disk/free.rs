//! The room on a disk.

use std::path::{Path, PathBuf};

use super::ENTRY_BYTES;

/// What is free for the run's user.
#[derive(Clone, Copy)]
pub(super) struct Free {
    pub(super) bytes: u64,
    pub(super) files: u64,
}

impl Free {
    /// On the fullest of the disks that `tops` are on.
    pub(super) fn on(tops: &[PathBuf]) -> Result<Self, String> {
        let mut least = Self {
            bytes: u64::MAX,
            files: u64::MAX,
        };
        for top in tops {
            let free = Self::at(top).map_err(|error| format!("the disk of {}: {error}", top.display()))?;
            least.bytes = least.bytes.min(free.bytes);
            least.files = least.files.min(free.files);
        }
        Ok(least)
    }

    /// Bytes that have gone until `now`.
    pub(super) fn lost_bytes(&self, now: &Self) -> u64 {
        self.bytes.saturating_sub(now.bytes)
    }

    /// What may have been added until `now`: also files that took no room, as what they count for at least. Too much on
    /// file systems that compute how many files there can still be from the room that is left.
    pub(super) fn lost_at_most(&self, now: &Self) -> u64 {
        let files = self.files.saturating_sub(now.files);
        self.lost_bytes(now).max(files.saturating_mul(ENTRY_BYTES))
    }

    fn at(path: &Path) -> rustix::io::Result<Self> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(Self {
            bytes: stat.f_bavail * stat.f_frsize,
            // Some file systems do not count files.
            files: if stat.f_files == 0 {
                u64::MAX
            } else {
                stat.f_favail
            },
        })
    }
}
