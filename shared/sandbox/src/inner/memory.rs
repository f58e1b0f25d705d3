//! The memory of a run, and that of the machine.

use std::path::{Path, PathBuf};

use super::held::Totals;
use super::process::{self, Process};

/// The lines of `/proc/PID/status` that count as memory besides what is shared: pages that are no file's, wherever they
/// are, and the tables of pages, of which a process can have much more than of pages.
const OWN: [&str; 4] = ["RssAnon:", "VmSwap:", "HugetlbPages:", "VmPTE:"];
/// The pages of shared memory that a process looks at.
const SHARED: &str = "RssShmem:";
/// What has to be left of the machine's memory: this part of it, within bounds. Below it runs are ended, whoever has taken it:
/// not all that a run can have the kernel keep is to be seen.
const LEFT_PART: u64 = 32;
const LEFT_BYTES_MIN: u64 = 128 * 1024 * 1024;
const LEFT_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// So many looks in a row may find too little left before a run that uses nothing is ended; one that uses its limit is at
/// the first, and others in between: who uses most goes first, and then there may be enough.
const SHORT_LOOKS_MAX: u64 = 8;
/// Where the kernel tells of the machine.
const MEMINFO: &str = "/proc/meminfo";
/// Where it tells of the group of processes that a container is.
const GROUP: &str = "/sys/fs/cgroup";

/// Bytes of memory that a run uses, `held` being what its processes hold: what is to be seen at once, and all.
pub(super) fn of_all(processes: &[Process], held: &Totals) -> (u64, u64) {
    let (mut own, mut shared) = (0, 0);
    for process in processes {
        let status = process::text_of(process.shown_in().join("status")).unwrap_or_default();
        own += OWN.iter().filter_map(|name| bytes_of(&status, name)).sum::<u64>();
        shared += bytes_of(&status, SHARED).unwrap_or_default();
    }
    let own = own + held.kernel_bytes;
    // Two ways to see the same: what each looks at, and what all have.
    (own + shared, own + shared.max(held.shared_bytes))
}

/// A line of `/proc` that says a number of kB.
fn bytes_of(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

/// The memory of the machine, or of the container that this is.
pub(super) struct Machine {
    meminfo: PathBuf,
    group: PathBuf,
    least_bytes: u64,
    short_looks: u64,
}

impl Machine {
    /// As it is before a run.
    pub(super) fn now() -> Self {
        Self::told_by(Path::new(MEMINFO), Path::new(GROUP))
    }

    fn told_by(meminfo: &Path, group: &Path) -> Self {
        let mut machine = Self {
            meminfo: meminfo.to_owned(),
            group: group.to_owned(),
            least_bytes: 0,
            short_looks: 0,
        };
        // One that is nearly full already is not this run's doing.
        machine.least_bytes = machine.left().map_or(0, |(left, total)| {
            (total / LEFT_PART)
                .clamp(LEFT_BYTES_MIN, LEFT_BYTES_MAX)
                .min(left / 2)
        });
        machine
    }

    /// Whether a run that uses `used` of `limit` bytes has to go, because too little is left. Once per look.
    pub(super) fn is_short(&mut self, used: u64, limit: u64) -> bool {
        if self.left().is_none_or(|(left, _)| left >= self.least_bytes) {
            self.short_looks = 0;
            return false;
        }
        self.short_looks += 1;
        let unused = limit.saturating_sub(used);
        let patience = unused.saturating_mul(SHORT_LOOKS_MAX - 1) / limit.max(1);
        self.short_looks > patience
    }

    /// What is left, and of how much; of the machine or of the container, whichever has less. `None` where nobody tells.
    fn left(&self) -> Option<(u64, u64)> {
        let machine = process::text_of(&self.meminfo)
            .and_then(|told| Some((bytes_of(&told, "MemAvailable:")?, bytes_of(&told, "MemTotal:")?)));
        [machine, self.left_of_group()].into_iter().flatten().min()
    }

    /// Of a container that has a limit. What it has only read and not used for long, the kernel takes back.
    fn left_of_group(&self) -> Option<(u64, u64)> {
        let told = |name: &str| process::text_of(self.group.join(name));
        let limit: u64 = told("memory.max")?.trim().parse().ok()?;
        let used: u64 = told("memory.current")?.trim().parse().ok()?;
        let stat = told("memory.stat")?;
        let files = stat
            .lines()
            .find_map(|line| line.strip_prefix("inactive_file "))?;
        let files: u64 = files.trim().parse().ok()?;
        Some((limit.saturating_sub(used.saturating_sub(files)), limit))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn memory_that_is_touched_is_seen() {
        let me = [Process {
            pid: rustix::process::getpid(),
            threads: 1,
            headless: false,
        }];
        let nothing = Totals::default();
        let (before, _) = of_all(&me, &nothing);
        let bytes = vec![1_u8; 64 * 1024 * 1024];
        let (after, _) = of_all(&me, &nothing);
        assert!(after >= before + 60 * MIB, "{before} {after} {}", bytes.len());
    }

    #[test]
    fn what_processes_hold_is_added_and_what_is_shared_is_so_once() {
        let held = Totals {
            shared_bytes: 7 * MIB,
            kernel_bytes: 3 * MIB,
            ..Totals::default()
        };
        assert_eq!(of_all(&[], &held), (3 * MIB, 10 * MIB));
    }

    /// A machine of 16 GiB with `mib` left, of which a container has what its lines say.
    fn machine(dir: &Path, mib: u64, group: Option<[String; 3]>) -> Machine {
        tell(dir, mib);
        for (name, text) in ["memory.max", "memory.current", "memory.stat"]
            .iter()
            .zip(group.into_iter().flatten())
        {
            fs::write(dir.join(name), text).unwrap();
        }
        Machine::told_by(&dir.join("meminfo"), dir)
    }

    fn tell(dir: &Path, mib: u64) {
        let told = format!("MemTotal: {} kB\nMemAvailable: {} kB\n", 16 << 20, mib * 1024);
        fs::write(dir.join("meminfo"), told).unwrap();
    }

    /// The look at which a run goes.
    fn goes_at(machine: &mut Machine, used: u64) -> Option<u64> {
        (1..=SHORT_LOOKS_MAX * 2).find(|_| machine.is_short(used, 1000))
    }

    #[test]
    fn who_uses_most_goes_first_when_little_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let before = || machine(dir.path(), 8000, None);
        assert_eq!(goes_at(&mut before(), 1000), None, "there is enough");
        let (mut large, mut middle, mut small) = (before(), before(), before());
        tell(dir.path(), 500);
        assert_eq!(goes_at(&mut large, 1000), Some(1));
        assert_eq!(goes_at(&mut middle, 500), Some(4));
        assert!(!small.is_short(0, 1000));
        tell(dir.path(), 4000);
        assert!(!small.is_short(0, 1000), "there is enough again");
        tell(dir.path(), 500);
        assert_eq!(goes_at(&mut small, 0), Some(SHORT_LOOKS_MAX));
    }

    #[test]
    fn a_machine_that_was_full_before_ends_nobody() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(goes_at(&mut machine(dir.path(), 300, None), 1000), None);
    }

    #[test]
    fn a_container_has_less_than_the_machine() {
        let dir = tempfile::tempdir().unwrap();
        let told = |used: u64| {
            let stat = format!("anon 1\ninactive_file {}\n", 100 * MIB);
            Some([(2048 * MIB).to_string(), (used * MIB).to_string(), stat])
        };
        assert_eq!(
            machine(dir.path(), 8000, told(1100)).left(),
            Some((1048 * MIB, 2048 * MIB))
        );
        let mut container = machine(dir.path(), 8000, told(1100));
        assert_eq!(goes_at(&mut container, 1000), None);
        machine(dir.path(), 8000, told(2100));
        assert_eq!(goes_at(&mut container, 1000), Some(1));
        // One without a limit.
        fs::write(dir.path().join("memory.max"), "max\n").unwrap();
        assert_eq!(goes_at(&mut container, 1000), None);
    }
}
