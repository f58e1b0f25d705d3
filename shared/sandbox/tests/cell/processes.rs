//! Looking for processes by a marker among their arguments.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use sandbox::Program;

use crate::world::{LIMIT, program};

/// Programs that take whatever they can get.
pub(crate) fn hog_path() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_sandbox-hog"))
}

/// Forks without end, each parent ending at once; says `over` when it is under way.
pub(crate) fn chained_forkers(marker: &str) -> Program {
    program(
        hog_path().to_str().expect("a path of ASCII"),
        &[marker, "chained_forkers"],
    )
}

/// Stays, and says `over` before.
pub(crate) fn stays(marker: &str) -> Program {
    program(hog_path().to_str().expect("a path of ASCII"), &[marker, "busy"])
}

/// A word that is in nobody else's arguments.
pub(crate) fn marker() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("marked-{}-{number}", std::process::id())
}

/// The processes with `marker` among their arguments. Zombies have none.
pub(crate) fn marked(marker: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("there is a /proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if arguments
            .split(|byte| *byte == 0)
            .any(|argument| argument == marker.as_bytes())
        {
            found.push(pid);
        }
    }
    found
}

/// The parent of a process that exists.
pub(crate) fn parent_of(pid: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it exists");
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    line.and_then(|line| line.trim().parse().ok())
        .expect("everybody has a parent")
}

/// Waits until nothing is marked any more, at most until the time is over.
pub(crate) async fn gone(marker: &str) -> bool {
    let started = Instant::now();
    let mut again = tokio::time::interval(Duration::from_millis(10));
    while !marked(marker).is_empty() {
        if started.elapsed() > LIMIT {
            return false;
        }
        again.tick().await;
    }
    true
}
