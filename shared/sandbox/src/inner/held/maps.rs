//! What processes have mapped: files that nobody has open any more, and memory that they share.

use std::fs;

use super::descriptors::{Files, is_nameless};
use super::seen;
use crate::inner::disk::allocated;
use crate::inner::process::Process;

/// What the kernel writes behind the name of a file that has none any more.
const DELETED: &str = " (deleted)";
/// How it calls shared memory that is no file's.
const SHARED: &str = "/dev/zero";
/// Names of other things in memory. Directories of a run have other names.
const MEMORY: [&str; 3] = ["/dev/shm/", "/SYSV", "/memfd:"];

/// Everything nameless that is mapped in one run.
#[derive(Default)]
pub(super) struct Mapped {
    files: Files,
    shared: Files,
}

impl Mapped {
    /// Adds what a process has mapped. `opened` are nameless files as they were seen open: one that is only mapped now may
    /// be larger than what is mapped of it. Fails where the process is closed to us.
    pub(super) fn read(&mut self, process: &Process, opened: &Files) -> Result<(), String> {
        let maps = seen(process, fs::read(process.shown_in().join("maps")))?.unwrap_or_default();
        let mut files = Files::new();
        for line in String::from_utf8_lossy(&maps).lines() {
            let Some(mapping) = Mapping::of(line) else {
                continue;
            };
            let place = format!("/proc/{}/map_files/{}", process.pid, mapping.range);
            let (into, bytes) = match (rustix::fs::stat(place), mapping.shared) {
                // Only root of the machine is told so much.
                (Ok(stat), true) => (&mut self.shared, Some(allocated(&stat))),
                (Ok(stat), false) => (&mut self.files, is_nameless(&stat).then(|| allocated(&stat))),
                // It is at least as long as what is mapped of it reaches.
                (Err(_), true) => (
                    &mut self.shared,
                    Some(mapping.offset.saturating_add(mapping.bytes)),
                ),
                (Err(_), false) => {
                    *files.entry(mapping.inode).or_default() += mapping.bytes;
                    continue;
                }
            };
            if let Some(bytes) = bytes {
                let most = into.entry(mapping.inode).or_default();
                *most = (*most).max(bytes);
            }
        }
        for (inode, bytes) in files {
            let seen_open = opened.get(&inode).copied().unwrap_or_default();
            let most = self.files.entry(inode).or_default();
            *most = (*most).max(bytes).max(seen_open);
        }
        Ok(())
    }

    /// Whether a nameless file is mapped.
    pub(super) fn has(&self, inode: u64) -> bool {
        self.files.contains_key(&inode)
    }

    /// Bytes of the nameless files that are not among `open`.
    pub(super) fn bytes_but(&self, open: &Files) -> u64 {
        let closed = self.files.iter().filter(|(inode, _)| !open.contains_key(inode));
        closed.map(|(_, bytes)| bytes).sum()
    }

    /// Bytes of the memory that is shared, where nobody may know how much of it was touched, all of it.
    pub(super) fn shared_bytes(&self) -> u64 {
        self.shared.values().sum()
    }
}

/// A mapping of something nameless, from its line in `/proc/PID/maps`.
#[derive(Debug, PartialEq, Eq)]
struct Mapping<'a> {
    range: &'a str,
    offset: u64,
    inode: u64,
    bytes: u64,
    /// It is memory and not on the disk.
    shared: bool,
}

impl<'a> Mapping<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let mut fields = line.strip_suffix(DELETED)?.splitn(6, ' ');
        let hexadecimal = |text| u64::from_str_radix(text, 16).ok();
        let range = fields.next()?;
        let offset = hexadecimal(fields.nth(1)?)?;
        let inode = fields.nth(1)?.parse().ok()?;
        let name = fields.next()?.trim_start();
        if MEMORY.iter().any(|memory| name.starts_with(memory)) {
            return None;
        }
        let (start, end) = range.split_once('-')?;
        Some(Self {
            range,
            offset,
            inode,
            bytes: hexadecimal(end)?.checked_sub(hexadecimal(start)?)?,
            shared: name == SHARED,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deleted_files_and_shared_memory_are_taken_from_a_map() {
        let line = |name: &str| format!("7f00-9f00 rw-s 00001000 fd:01 131 {name}");
        let mapping = |shared| Mapping {
            range: "7f00-9f00",
            offset: 0x1000,
            inode: 131,
            bytes: 0x2000,
            shared,
        };
        assert_eq!(Mapping::of(&line("   /run/a b (deleted)")), Some(mapping(false)));
        assert_eq!(Mapping::of(&line("  /dev/zero (deleted)")), Some(mapping(true)));
        assert_eq!(Mapping::of(&line("/run/a")), None);
        for memory in ["/SYSV00000000", "/memfd:x", "/dev/shm/x"] {
            assert_eq!(Mapping::of(&line(&format!("{memory} (deleted)"))), None);
        }
        assert_eq!(Mapping::of("7f00-9f00 rw-p 00000000 00:00 0 "), None);
    }
}
