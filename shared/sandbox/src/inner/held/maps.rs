//! Files that no directory names any more: they take room as long as a process has them open or mapped.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use rustix::fs::{FileType, Stat};

use super::allocated;
use crate::inner::process::Process;

/// How long one look may read what processes have mapped, before it goes on in the next.
const MAPS_SLICE: Duration = Duration::from_millis(25);
/// Between two readings of what all processes have mapped: long lists, and a process waits while its own is read.
const MAPS_EVERY: Duration = Duration::from_secs(1);
/// What the kernel writes behind the name of a file that has none any more.
const DELETED: &str = " (deleted)";
/// Names of what is memory and not disk. Directories of a run have other names.
const MEMORY: [&str; 4] = ["/dev/zero", "/dev/shm/", "/SYSV", "/memfd:"];

/// Bytes of each file, by its inode number. One number on two file systems is taken for one file.
type Files = HashMap<u64, u64>;

/// Everything nameless of one run.
#[derive(Default)]
pub(super) struct Nameless {
    /// What was ever seen open, at its largest: a file that is only mapped may be larger than what is mapped of it.
    opened: Files,
    mapped: Files,
    round: Option<Round>,
    next_round: Option<Instant>,
}

/// A reading of what all processes have mapped that is not through.
#[derive(Default)]
struct Round {
    found: Files,
    /// The last process that was read.
    after: i32,
}

impl Nameless {
    /// Bytes of files without a name that `processes` hold.
    pub(super) fn bytes(&mut self, processes: &[Process]) -> u64 {
        let open = self.open(processes);
        self.read_maps(processes);
        let mapped = self.mapped.iter().filter(|(inode, _)| !open.contains_key(inode));
        open.values().sum::<u64>() + mapped.map(|(_, bytes)| bytes).sum::<u64>()
    }

    fn open(&mut self, processes: &[Process]) -> Files {
        let mut open = Files::new();
        for process in processes {
            let Ok(descriptors) = fs::read_dir(process.shown_in().join("fd")) else {
                continue;
            };
            for descriptor in descriptors.flatten() {
                // Through the link in /proc: this asks about the open file, whatever its name is now.
                let Ok(stat) = rustix::fs::stat(descriptor.path()) else {
                    continue;
                };
                if is_nameless(&stat) {
                    open.insert(stat.st_ino, allocated(&stat));
                }
            }
        }
        // What is neither open nor mapped any more is gone.
        self.opened
            .retain(|inode, _| self.mapped.contains_key(inode) || open.contains_key(inode));
        for (inode, bytes) in &open {
            let largest = self.opened.entry(*inode).or_default();
            *largest = (*largest).max(*bytes);
        }
        open
    }

    /// Reads on. What is mapped is known when every process has been read.
    fn read_maps(&mut self, processes: &[Process]) {
        let now = Instant::now();
        if self.round.is_none() && self.next_round.is_some_and(|next| now < next) {
            return;
        }
        let mut round = self.round.take().unwrap_or_default();
        let mut processes: Vec<_> = processes.iter().collect();
        let number = |process: &Process| process.pid.as_raw_nonzero().get();
        processes.sort_unstable_by_key(|process| number(process));
        for process in processes {
            if number(process) <= round.after {
                continue;
            }
            if now.elapsed() > MAPS_SLICE {
                self.round = Some(round);
                return;
            }
            for (inode, bytes) in mapped_by(process) {
                let seen_open = self.opened.get(&inode).copied().unwrap_or_default();
                let most = round.found.entry(inode).or_default();
                *most = (*most).max(bytes).max(seen_open);
            }
            round.after = number(process);
        }
        self.mapped = round.found;
        self.next_round = Some(now + MAPS_EVERY);
    }
}

fn is_nameless(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_nlink == 0
}

/// The nameless files that a process has mapped: as large as they are where we may know, otherwise what is mapped of them.
fn mapped_by(process: &Process) -> Files {
    let mut files = Files::new();
    let maps = fs::read(process.shown_in().join("maps")).unwrap_or_default();
    for line in String::from_utf8_lossy(&maps).lines() {
        let Some((range, inode, bytes)) = deleted(line) else {
            continue;
        };
        match rustix::fs::stat(format!("/proc/{}/map_files/{range}", process.pid)) {
            Ok(stat) if is_nameless(&stat) => {
                files.insert(stat.st_ino, allocated(&stat));
            }
            // It has a name all the same.
            Ok(_) => {}
            Err(_) => *files.entry(inode).or_default() += bytes,
        }
    }
    files
}

/// The address range, the inode number and the length of a mapping of a deleted file, from its line in `/proc/PID/maps`.
fn deleted(line: &str) -> Option<(&str, u64, u64)> {
    let mut fields = line.strip_suffix(DELETED)?.splitn(6, ' ');
    let range = fields.next()?;
    let inode = fields.nth(3)?.parse().ok()?;
    let name = fields.next()?.trim_start();
    if MEMORY.iter().any(|memory| name.starts_with(memory)) {
        return None;
    }
    let (start, end) = range.split_once('-')?;
    let address = |text| u64::from_str_radix(text, 16).ok();
    Some((range, inode, address(end)?.checked_sub(address(start)?)?))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;

    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn here() -> Vec<Process> {
        let pid = rustix::process::getpid();
        vec![Process {
            pid,
            threads: 1,
            headless: false,
        }]
    }

    #[test]
    fn deleted_files_count_while_they_are_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deleted");
        let mut file = File::create(&path).unwrap();
        file.write_all(&vec![7; usize::try_from(3 * MIB).unwrap()])
            .unwrap();
        file.sync_all().unwrap();
        let named = Nameless::default().bytes(&here());
        fs::remove_file(&path).unwrap();
        assert!(Nameless::default().bytes(&here()) >= named + 3 * MIB);
    }

    #[test]
    fn only_deleted_files_on_a_disk_are_taken_from_a_map() {
        let line = |name: &str| format!("7f00-9f00 rw-s 00000000 fd:01 131 {name}");
        assert_eq!(
            deleted(&line("   /run/a b (deleted)")),
            Some(("7f00-9f00", 131, 0x2000))
        );
        assert_eq!(deleted(&line("/run/a")), None);
        for memory in ["/dev/zero", "/SYSV00000000", "/memfd:x", "/dev/shm/x"] {
            assert_eq!(deleted(&line(&format!("{memory} (deleted)"))), None);
        }
        assert_eq!(deleted("7f00-9f00 rw-p 00000000 00:00 0 "), None);
    }
}
