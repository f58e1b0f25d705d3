//! Looks again and again at the command line and the environment of every process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two looks, each of which takes some milliseconds.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// What is being looked at.
pub(super) struct Sampler {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Samples>,
}

/// What was seen: environments by process and command line.
pub(super) type Samples = BTreeMap<(u32, Vec<u8>), Vec<u8>>;

impl Sampler {
    /// Starts looking.
    pub(super) fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut samples = Samples::new();
            while !told.load(Ordering::Relaxed) {
                look(&mut samples);
                #[expect(
                    clippy::disallowed_methods,
                    reason = "between two looks of a watch that is told to end"
                )]
                std::thread::sleep(LOOK_INTERVAL);
            }
            samples
        });
        Self { stop, thread }
    }

    /// Ends it; what was seen.
    pub(super) fn end(self) -> Samples {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("looking does not panic")
    }
}

fn look(samples: &mut Samples) {
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // A process may have ended, or belong to somebody else.
        let read = |file: &str| std::fs::read(entry.path().join(file)).unwrap_or_default();
        let (command, environment) = (read("cmdline"), read("environ"));
        // One that has become another program meanwhile is looked at again.
        if command == read("cmdline") {
            let known = samples.entry((pid, command)).or_default();
            if environment.len() > known.len() {
                *known = environment;
            }
        }
    }
}
