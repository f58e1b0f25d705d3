//! What the processes of a run hold that neither a directory nor their own pages show: files without a name, shared memory
//! that nobody looks at, and what the kernel keeps behind their descriptors.

mod descriptors;
mod maps;

use std::time::{Duration, Instant};

use self::descriptors::{Files, Open};
use self::maps::Mapped;
use super::process::{self, Process};
use super::slice::Slice;

/// How much of a processor one look may use for descriptors, and again for maps, before it goes on in the next.
const SLICE: Duration = Duration::from_millis(25);
/// Between two readings of what all processes have mapped: long lists, and a process waits while its own is read.
const MAPS_EVERY: Duration = Duration::from_millis(500);

/// What is known of one run.
#[derive(Default)]
pub(super) struct Held {
    open: Round<Open>,
    maps: Round<Mapped>,
    next_maps: Option<Instant>,
    /// Nameless files at their largest, while they are open or mapped: one that is only mapped now may be larger than what
    /// is mapped of it.
    opened: Files,
}

/// What one look found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Totals {
    /// Bytes on the disk of files that no directory names any more.
    pub(super) nameless_bytes: u64,
    /// Bytes of shared memory, whether or not a process still looks at its pages.
    pub(super) shared_bytes: u64,
    /// Bytes that the kernel may keep behind descriptors.
    pub(super) kernel_bytes: u64,
    /// A descriptor is on its way from one process to another, and what it is about is not to be seen.
    pub(super) in_flight: bool,
    /// Why some of it could not be seen.
    pub(super) unseen: Option<String>,
}

impl Held {
    /// Reads on, as far as a look may, and what the kernel keeps no further than until it is more than `enough` bytes.
    pub(super) fn look(&mut self, processes: &[Process], enough: u64) -> Totals {
        let mut ordered: Vec<Process> = processes.to_vec();
        ordered.sort_unstable_by_key(number);
        // As many as there are now is told at once, however long it takes to read them one by one.
        let descriptors = ordered.iter().map(descriptors::count).sum();
        if self.open.last.kernel_bytes(descriptors) > enough {
            return self.totals(descriptors);
        }
        if self
            .open
            .go_on(&ordered, |open, process| open.read(process, enough))
        {
            for (inode, bytes) in &self.open.last.files {
                let largest = self.opened.entry(*inode).or_default();
                *largest = (*largest).max(*bytes);
            }
        }
        let (now, opened) = (Instant::now(), &self.opened);
        if (self.maps.is_under_way() || self.next_maps.is_none_or(|next| next <= now))
            && self
                .maps
                .go_on(&ordered, |maps, process| maps.read(process, opened))
        {
            self.next_maps = Some(now + MAPS_EVERY);
            let (open, mapped) = (&self.open.last.files, &self.maps.last);
            // What is neither open nor mapped any more is gone.
            self.opened
                .retain(|inode, _| open.contains_key(inode) || mapped.has(*inode));
        }
        self.totals(descriptors)
    }

    /// Since when everything that was open then has been seen.
    pub(super) fn seen_since(&self) -> Option<Instant> {
        self.open.last_begun
    }

    /// Since when everything that was mapped then has been seen.
    pub(super) fn maps_seen_since(&self) -> Option<Instant> {
        self.maps.last_begun
    }

    fn totals(&self, descriptors: u64) -> Totals {
        // Also of an unfinished reading: what it has found is there.
        let of = |open: &Open| (open.bytes(), open.kernel_bytes(descriptors));
        let (last, now) = (of(&self.open.last), of(&self.open.now));
        let mapped = |maps: &Mapped| maps.bytes_but(&self.open.last.files);
        Totals {
            nameless_bytes: last.0.max(now.0) + mapped(&self.maps.last).max(mapped(&self.maps.now)),
            shared_bytes: self.maps.last.shared_bytes().max(self.maps.now.shared_bytes()),
            kernel_bytes: last.1.max(now.1),
            in_flight: self.open.last.in_flight > 0 || self.open.now.in_flight > 0,
            unseen: self.open.unseen.clone().or_else(|| self.maps.unseen.clone()),
        }
    }
}

/// A reading of all processes, one after the other, over as many looks as it takes.
#[derive(Default)]
struct Round<T> {
    /// What the last complete reading found.
    last: T,
    last_begun: Option<Instant>,
    /// What this one has found.
    now: T,
    begun: Option<Instant>,
    /// The last process that was read.
    after: i32,
    /// Why a process could not be read in this or the last one.
    unseen: Option<String>,
    closed: Option<String>,
}

impl<T: Default> Round<T> {
    fn is_under_way(&self) -> bool {
        self.begun.is_some()
    }

    /// True at the end of a reading. Processes come in the order of their numbers.
    fn go_on(
        &mut self,
        processes: &[Process],
        mut read: impl FnMut(&mut T, &Process) -> Result<(), String>,
    ) -> bool {
        let slice = Slice::of(SLICE);
        self.begun.get_or_insert_with(Instant::now);
        for process in processes {
            if number(process) <= self.after {
                continue;
            }
            if slice.is_over() {
                return false;
            }
            if let Err(reason) = read(&mut self.now, process) {
                self.unseen = Some(reason.clone());
                self.closed = Some(reason);
            }
            self.after = number(process);
        }
        self.last = std::mem::take(&mut self.now);
        self.last_begun = self.begun.take();
        self.unseen = self.closed.take();
        self.after = 0;
        true
    }
}

fn number(process: &Process) -> i32 {
    process.pid.as_raw_nonzero().get()
}

/// What a part of `/proc` said, with nothing where the process is gone; fails where it is there and closed to us.
fn seen<T>(process: &Process, said: std::io::Result<T>) -> Result<Option<T>, String> {
    match said {
        Ok(said) => Ok(Some(said)),
        Err(error)
            if error.kind() == std::io::ErrorKind::PermissionDenied && !process::is_ending(process) =>
        {
            Err(format!("process {} is closed: {error}", process.pid))
        }
        Err(_) => Ok(None),
    }
}
