//! The room on a disk.

use std::os::fd::OwnedFd;

use super::ENTRY_BYTES;

/// What is free for the run's user.
#[derive(Clone, Copy)]
pub(super) struct Free {
    pub(super) bytes: u64,
    pub(super) files: u64,
}

impl Free {
    /// On the fullest of the disks that `tops` are on.
    pub(super) fn on(tops: &[OwnedFd]) -> Result<Self, String> {
        let mut least = Self {
            bytes: u64::MAX,
            files: u64::MAX,
        };
        for top in tops {
            let free = Self::at(top)?;
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

    fn at(top: &OwnedFd) -> Result<Self, String> {
        let no_answer = |error: rustix::io::Errno| format!("its disk: {error}");
        if rustix::fs::fstat(top).map_err(no_answer)?.st_nlink == 0 {
            return Err("its directory is gone".to_owned());
        }
        let stat = rustix::fs::fstatvfs(top).map_err(no_answer)?;
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
