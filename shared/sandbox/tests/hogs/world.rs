//! Sandboxes, runs of hogs in them, and how long their ends may take.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use sandbox::{
    CellEnd, CellLimits, CellSpec, How, Level, Mode, Namespaces, Needs, Program, Running, Sandbox, Settings,
    Stdin,
};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;

/// What is promised: a run is dead this long after it has passed its limit (`sandbox.md` Limits).
pub(crate) const KILLED_WITHIN: Duration = Duration::from_secs(2);

/// So many times the one who kills has to get a processor: for the look, the kill, the confirmation and the word of it.
/// Each time it waits as long as everybody on a machine on which hogs have taken all of them.
pub(crate) const WAITS: u32 = 4;

/// A run that has not met its limit by then has hung.
pub(crate) const WALL: Duration = Duration::from_secs(60);

pub(crate) const CONFINED: [Level; 2] = [Level::One, Level::Two];

pub(crate) const MIB: u64 = 1024 * 1024;

/// What the hogs are given: little, so that they are through it soon.
pub(crate) const LIMITS: CellLimits = CellLimits {
    wall: WALL,
    output_bytes: 4 * MIB,
    processes: 64,
    memory_bytes: 128 * MIB,
    disk_bytes: 64 * MIB,
    file_bytes: 1024 * MIB,
};

pub(crate) async fn sandbox(level: Level) -> Sandbox {
    let settings = Settings {
        mode: if level == Level::Off {
            Mode::Off
        } else {
            Mode::Enforce
        },
        namespaces: if level == Level::Two {
            Namespaces::Always
        } else {
            Namespaces::Never
        },
        user: None,
        read_paths: Vec::new(),
        executable: PathBuf::from(env!("CARGO_BIN_EXE_sandbox-inner")),
    };
    let sandbox = Sandbox::start(settings)
        .await
        .expect("this machine can confine agents");
    assert_eq!(sandbox.level(), level);
    sandbox
}

/// The directories of one run, and a marker on the command line of all its processes.
pub(crate) struct Run {
    folder: TempDir,
    marker: String,
}

impl Run {
    pub(crate) fn new() -> Self {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let folder = tempfile::tempdir().expect("a directory");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).expect("it is ours");
        for name in ["work", "home", "tmp"] {
            fs::create_dir(folder.path().join(name)).expect("it is ours");
        }
        let number = RUNS.fetch_add(1, Ordering::Relaxed);
        Self {
            folder,
            marker: format!("hog-{}-{number}", std::process::id()),
        }
    }

    pub(crate) fn spec(&self, limits: CellLimits) -> CellSpec {
        CellSpec {
            work_tree: self.folder.path().join("work"),
            home: self.folder.path().join("home"),
            tmp: self.folder.path().join("tmp"),
            read_paths: vec![PathBuf::from(env!("CARGO_BIN_EXE_sandbox-hog"))],
            needs: Needs::default(),
            model_listener: false,
            limits,
        }
    }

    pub(crate) async fn start(
        &self,
        sandbox: &Sandbox,
        limits: CellLimits,
        hog: &str,
        limit: u64,
    ) -> Running {
        let program = Program {
            program: env!("CARGO_BIN_EXE_sandbox-hog").into(),
            args: vec![self.marker.clone().into(), hog.into(), limit.to_string().into()],
            env: Vec::new(),
            stdin: Stdin::Null,
        };
        let cell = sandbox.cell(self.spec(limits)).await.expect("a cell");
        cell.start(program).await.expect("the hog starts")
    }

    /// Everybody on this machine who was started with the marker and is not dead.
    pub(crate) fn survivors(&self) -> Vec<String> {
        let processes = fs::read_dir("/proc")
            .expect("there is a /proc")
            .filter_map(Result::ok);
        let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
        let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
        lines.filter(|line| line.contains(&self.marker)).collect()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Deeper and more closed than a temporary directory expects.
        for name in ["work", "home", "tmp"] {
            sandbox::remove(&self.folder.path().join(name)).expect("it can be removed");
        }
    }
}

pub(crate) async fn meets_its_limit(hog: &str, limit: u64, how: How) {
    meets_a_limit(hog, LIMITS, limit, how).await;
}

/// Runs a hog at both levels to its end, which has to be `how`.
pub(crate) async fn meets_a_limit(hog: &str, limits: CellLimits, limit: u64, how: How) {
    for level in CONFINED {
        let (sandbox, run) = (sandbox(level).await, Run::new());
        let delay = Delay::measure();
        let mut running = run.start(&sandbox, limits, hog, limit).await;
        let end = over_and_end(&mut running, &CancellationToken::new()).await;
        assert_eq!(end.how, how, "{hog} at {level}");
        is_in_time(&end, delay, &format!("{hog} at {level}"));
        assert_eq!(run.survivors(), Vec::<String>::new(), "{hog} at {level}");
        the_next_run_works(&sandbox).await;
    }
}

/// Waits for the end, reading on. A hog says that it was over its limit, unless it is killed before.
pub(crate) async fn over_and_end(running: &mut Running, cancel: &CancellationToken) -> CellEnd {
    let mut stdout = running.stdout.take().expect("it is piped");
    let mut said = [0; 4];
    let over = async {
        let read = stdout.read_exact(&mut said).await;
        assert!(read.is_err() || &said == b"over", "{said:?}");
    };
    let ((), end) = tokio::join!(over, running.ended(cancel));
    end.expect("the kill is confirmed")
}

/// By the clock of the one who kills: it knows since when the limit may have been passed.
pub(crate) fn is_in_time(end: &CellEnd, delay: Delay, what: &str) {
    let over_for = end.over_for.expect("a limit ended it");
    let delay = delay.longest();
    assert!(
        over_for < KILLED_WITHIN + delay * WAITS,
        "{what} was over its limit for {over_for:?}; processors were waited for {delay:?}"
    );
}

/// How long whoever wants a processor of this machine waits for it.
pub(crate) struct Delay {
    stop: mpsc::Sender<()>,
    measuring: thread::JoinHandle<Duration>,
}

impl Delay {
    pub(crate) fn measure() -> Self {
        const EVERY: Duration = Duration::from_millis(10);
        let (stop, stopped) = mpsc::channel();
        let measuring = thread::spawn(move || {
            let mut longest = Duration::ZERO;
            loop {
                let begun = Instant::now();
                match stopped.recv_timeout(EVERY) {
                    Err(RecvTimeoutError::Timeout) => {
                        longest = longest.max(begun.elapsed().saturating_sub(EVERY));
                    }
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => return longest,
                }
            }
        });
        Self { stop, measuring }
    }

    /// The longest wait since it was begun.
    pub(crate) fn longest(self) -> Duration {
        drop(self.stop);
        self.measuring.join().expect("it only waits")
    }
}

pub(crate) async fn the_next_run_works(sandbox: &Sandbox) {
    let run = Run::new();
    let program = Program {
        program: "sh".into(),
        args: vec!["-c".into(), "echo still here | cat".into()],
        env: Vec::new(),
        stdin: Stdin::Null,
    };
    let output = sandbox
        .run(run.spec(LIMITS), program, 1000, CancellationToken::new())
        .await
        .expect("a cell");
    assert_eq!(
        (output.end.how, output.stdout.text().as_str()),
        (How::Exited(0), "still here\n")
    );
}
