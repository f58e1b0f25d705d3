//! Programs that take whatever they can get are killed soon after their limit, leave nobody behind, and the next run works.

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
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// What is promised: a run is dead this long after it has passed its limit (`sandbox.md` Limits).
const KILLED_WITHIN: Duration = Duration::from_secs(2);

/// So many times the one who kills has to get a processor: for the look, the kill, the confirmation and the word of it.
/// Each time it waits as long as everybody on a machine on which hogs have taken all of them.
const WAITS: u32 = 4;

/// A run that has not met its limit by then has hung.
const WALL: Duration = Duration::from_secs(60);

const CONFINED: [Level; 2] = [Level::One, Level::Two];

const MIB: u64 = 1024 * 1024;

/// A quarter of what one hog tries to put into the folder of shared memory.
const SHARED_MEMORY_MAX: u64 = 256 * MIB;

/// What the hogs are given: little, so that they are through it soon.
const LIMITS: CellLimits = CellLimits {
    wall: WALL,
    output_bytes: 4 * MIB,
    processes: 64,
    memory_bytes: 128 * MIB,
    disk_bytes: 64 * MIB,
    file_bytes: 1024 * MIB,
};

async fn sandbox(level: Level) -> Sandbox {
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
struct Run {
    folder: TempDir,
    marker: String,
}

impl Run {
    fn new() -> Self {
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

    fn spec(&self, limits: CellLimits) -> CellSpec {
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

    async fn start(&self, sandbox: &Sandbox, limits: CellLimits, hog: &str, limit: u64) -> Running {
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
    fn survivors(&self) -> Vec<String> {
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

async fn meets_its_limit(hog: &str, limit: u64, how: How) {
    meets_a_limit(hog, LIMITS, limit, how).await;
}

/// Runs a hog at both levels to its end, which has to be `how`.
async fn meets_a_limit(hog: &str, limits: CellLimits, limit: u64, how: How) {
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
async fn over_and_end(running: &mut Running, cancel: &CancellationToken) -> CellEnd {
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
fn is_in_time(end: &CellEnd, delay: Delay, what: &str) {
    let over_for = end.over_for.expect("a limit ended it");
    let delay = delay.longest();
    assert!(
        over_for < KILLED_WITHIN + delay * WAITS,
        "{what} was over its limit for {over_for:?}; processors were waited for {delay:?}"
    );
}

/// How long whoever wants a processor of this machine waits for it.
struct Delay {
    stop: mpsc::Sender<()>,
    measuring: thread::JoinHandle<Duration>,
}

impl Delay {
    fn measure() -> Self {
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
    fn longest(self) -> Duration {
        drop(self.stop);
        self.measuring.join().expect("it only waits")
    }
}

async fn the_next_run_works(sandbox: &Sandbox) {
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

#[tokio::test]
async fn a_fork_bomb_meets_the_limit_of_processes() {
    meets_its_limit("fork_bomb", LIMITS.processes, How::ProcessLimit).await;
}

#[tokio::test]
async fn memory_of_many_processes_is_added_up() {
    meets_its_limit("anonymous_memory", LIMITS.memory_bytes, How::MemoryLimit).await;
}

#[tokio::test]
async fn shared_memory_counts() {
    meets_its_limit("shared_memory", LIMITS.memory_bytes, How::MemoryLimit).await;
}

#[tokio::test]
async fn a_name_that_is_no_text_hides_nothing() {
    meets_its_limit("unreadable_name", LIMITS.memory_bytes, How::MemoryLimit).await;
}

#[tokio::test]
async fn a_process_whose_first_thread_has_ended_is_no_zombie() {
    meets_its_limit("headless", LIMITS.memory_bytes, How::MemoryLimit).await;
    meets_its_limit("headless_deleted_file", LIMITS.disk_bytes, How::DiskLimit).await;
}

#[tokio::test]
async fn tables_of_pages_are_memory() {
    meets_its_limit("page_tables", LIMITS.memory_bytes, How::MemoryLimit).await;
}

#[tokio::test]
async fn shared_memory_counts_though_nobody_looks_at_it() {
    meets_its_limit("unseen_shared_memory", LIMITS.memory_bytes, How::MemoryLimit).await;
}

#[tokio::test]
async fn what_the_kernel_keeps_for_a_process_is_memory() {
    for hog in ["sockets", "pipes", "descriptors"] {
        meets_its_limit(hog, LIMITS.memory_bytes, How::MemoryLimit).await;
    }
}

/// What is in a file there is memory that no process shows as its own, so the folder itself has a limit.
#[tokio::test]
async fn the_folder_of_shared_memory_is_full_soon() {
    let (sandbox, run) = (sandbox(Level::Two).await, Run::new());
    let mut running = run
        .start(&sandbox, LIMITS, "shared_memory_file", SHARED_MEMORY_MAX)
        .await;
    let mut stderr = running.stderr.take().expect("it is piped");
    let mut said = String::new();
    let cancel = CancellationToken::new();
    let (read, end) = tokio::join!(stderr.read_to_string(&mut said), running.ended(&cancel));
    read.expect("it says why it ended");
    let end = end.expect("the kill is confirmed");
    assert_eq!(
        (end.how, said.contains("No space left")),
        (How::Exited(1), true),
        "{said}"
    );
    the_next_run_works(&sandbox).await;
}

#[tokio::test]
async fn one_big_file_meets_the_limit_of_the_disk() {
    meets_its_limit("big_file", LIMITS.disk_bytes, How::DiskLimit).await;
}

#[tokio::test]
async fn a_file_without_a_name_counts() {
    meets_its_limit("deleted_file", LIMITS.disk_bytes, How::DiskLimit).await;
}

#[tokio::test]
async fn a_file_below_three_thousand_directories_counts() {
    meets_its_limit("deep_file", LIMITS.disk_bytes, How::DiskLimit).await;
}

#[tokio::test]
async fn a_file_in_a_closed_directory_counts() {
    meets_its_limit("closed_folder", LIMITS.disk_bytes, How::DiskLimit).await;
}

#[tokio::test]
async fn files_that_are_only_mapped_count() {
    meets_its_limit("mapped_files", LIMITS.disk_bytes, How::DiskLimit).await;
}

#[tokio::test]
async fn a_file_that_is_always_on_its_way_counts() {
    meets_its_limit("file_in_flight", LIMITS.disk_bytes, How::DiskLimit).await;
}

/// Who may not look into a process does not know what it has open.
#[tokio::test]
async fn a_process_that_closes_itself_to_us_is_not_left_alone() {
    for level in CONFINED {
        let (sandbox, run) = (sandbox(level).await, Run::new());
        let mut running = run
            .start(&sandbox, LIMITS, "closed_process", LIMITS.disk_bytes)
            .await;
        let ended = running.ended(&CancellationToken::new()).await;
        let reason = ended.expect_err("nobody sees what it has open").to_string();
        assert!(reason.contains("closed"), "{level}: {reason}");
        assert_eq!(run.survivors(), Vec::<String>::new(), "{level}");
        the_next_run_works(&sandbox).await;
    }
}

#[tokio::test]
async fn the_folder_for_temporary_files_counts() {
    meets_its_limit("temporary_file", LIMITS.disk_bytes, How::DiskLimit).await;
}

#[tokio::test]
async fn many_small_files_count() {
    meets_its_limit("many_files", LIMITS.disk_bytes, How::DiskLimit).await;
}

#[tokio::test]
async fn files_count_though_they_are_empty() {
    // A few thousand: making files takes long on a disk that others wait for too.
    let limits = CellLimits {
        disk_bytes: LIMITS.disk_bytes / 8,
        ..LIMITS
    };
    meets_a_limit("empty_files", limits, limits.disk_bytes, How::DiskLimit).await;
}

/// By the hog's own word: who watches cannot know it before a walk is through.
#[tokio::test]
async fn a_file_among_thousands_is_seen_in_time() {
    // It takes a while until the tree is there.
    let limits = CellLimits {
        wall: 2 * WALL,
        disk_bytes: LIMITS.disk_bytes / 2,
        ..LIMITS
    };
    for level in CONFINED {
        let (sandbox, run) = (sandbox(level).await, Run::new());
        let mut running = run.start(&sandbox, limits, "wide_tree", limits.disk_bytes).await;
        let mut stdout = running.stdout.take().expect("it is piped");
        let cancel = CancellationToken::new();
        let ended = async {
            let end = running.ended(&cancel).await;
            (end, Instant::now())
        };
        let over = async {
            // Killed as soon as it is over, it has no time to say so.
            let _said = stdout.read_exact(&mut [0; 4]).await;
            (Instant::now(), Delay::measure())
        };
        let ((end, ended), (over, delay)) = tokio::join!(ended, over);
        assert_eq!(end.expect("the kill is confirmed").how, How::DiskLimit, "{level}");
        let (over_for, delay) = (ended.saturating_duration_since(over), delay.longest());
        assert!(
            over_for < KILLED_WITHIN + delay * WAITS,
            "{level}: {over_for:?}, processors were waited for {delay:?}"
        );
        assert_eq!(run.survivors(), Vec::<String>::new(), "{level}");
        the_next_run_works(&sandbox).await;
    }
}

#[tokio::test]
async fn endless_output_meets_its_limit_though_nobody_reads_it() {
    for level in CONFINED {
        let (sandbox, run) = (sandbox(level).await, Run::new());
        let delay = Delay::measure();
        let mut running = run.start(&sandbox, LIMITS, "endless_output", 0).await;
        let end = running
            .ended(&CancellationToken::new())
            .await
            .expect("the kill is confirmed");
        assert_eq!(
            (end.how, run.survivors()),
            (How::OutputLimit, Vec::new()),
            "{level}"
        );
        is_in_time(&end, delay, &format!("endless output at {level}"));
        the_next_run_works(&sandbox).await;
    }
}

#[tokio::test]
async fn a_program_deaf_to_signals_is_killed_at_its_time() {
    let limits = CellLimits {
        wall: Duration::from_secs(1),
        ..LIMITS
    };
    for level in CONFINED {
        let (sandbox, run) = (sandbox(level).await, Run::new());
        let delay = Delay::measure();
        let mut running = run.start(&sandbox, limits, "busy", 0).await;
        let end = over_and_end(&mut running, &CancellationToken::new()).await;
        assert_eq!(
            (end.how, run.survivors()),
            (How::TimeLimit, Vec::new()),
            "{level}"
        );
        is_in_time(&end, delay, &format!("a busy one at {level}"));
        the_next_run_works(&sandbox).await;
    }
}

#[tokio::test]
async fn processes_that_are_always_already_gone_are_killed() {
    for level in CONFINED {
        let (sandbox, run) = (sandbox(level).await, Run::new());
        let delay = Delay::measure();
        let mut running = run.start(&sandbox, LIMITS, "chained_forkers", 0).await;
        let mut stdout = running.stdout.take().expect("it is piped");
        let mut said = [0; 4];
        timeout(WALL, stdout.read_exact(&mut said))
            .await
            .expect("the chains get going")
            .expect("they say so");
        // The control: the search finds them while they run.
        assert!(!run.survivors().is_empty(), "{level}");
        let cancel = CancellationToken::new();
        cancel.cancel();
        let cancelled = Instant::now();
        let end = running.ended(&cancel).await.expect("the kill is confirmed");
        let (killed_after, delay) = (cancelled.elapsed(), delay.longest());
        assert_eq!(
            (end.how, run.survivors()),
            (How::Cancelled, Vec::new()),
            "{level}"
        );
        assert!(
            killed_after < KILLED_WITHIN + delay * WAITS,
            "{level}: {killed_after:?}, processors were waited for {delay:?}"
        );
        the_next_run_works(&sandbox).await;
    }
}

/// As in a container: what its own user may see of a run, such a root may not.
#[tokio::test]
async fn root_with_no_more_rights_than_it_needs_sees_as_much() {
    if !rustix::process::geteuid().is_root() {
        // An ordinary user, as whom all of these tests run too, has none.
        return;
    }
    let tests = [
        "a_file_without_a_name_counts",
        "a_file_in_a_closed_directory_counts",
        "what_the_kernel_keeps_for_a_process_is_memory",
    ];
    #[expect(clippy::disallowed_methods, reason = "these tests, as somebody else")]
    let mut command = tokio::process::Command::new(std::env::current_exe().expect("it runs"));
    command.arg("--exact").args(tests);
    #[expect(unsafe_code, reason = "the child's rights are taken between fork and exec")]
    // SAFETY: what runs there makes system calls that take numbers, and allocates nothing.
    unsafe {
        command.pre_exec(|| {
            keep_few_rights();
            Ok(())
        });
    }
    let output = command.output().await.expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("3 passed"), "{said}");
}

/// The rights that `README.md` says root needs; what is executed next has these.
fn keep_few_rights() {
    /// `CAP_CHOWN`, `CAP_DAC_OVERRIDE`, `CAP_FOWNER`, `CAP_KILL`, `CAP_SETGID`, `CAP_SETUID`.
    const KEPT: [libc::c_int; 6] = [0, 1, 3, 5, 6, 7];
    /// The highest number that a kernel may know; beyond those it knows the answer is an error.
    const LAST: libc::c_int = 63;
    for right in (0..=LAST).filter(|right| !KEPT.contains(right)) {
        #[expect(unsafe_code, reason = "no crate in use wraps it")]
        // SAFETY: it takes numbers and no pointers.
        unsafe {
            libc::prctl(libc::PR_CAPBSET_DROP, right, 0, 0, 0);
        }
    }
}

/// The control: what is within its limits is left alone, however greedy it is.
#[tokio::test]
async fn within_their_limits_only_time_ends_them() {
    let limits = CellLimits {
        wall: Duration::from_secs(2),
        ..LIMITS
    };
    // None takes more than four times what it is told.
    let within = [
        ("anonymous_memory", LIMITS.memory_bytes / 4),
        ("shared_memory", LIMITS.memory_bytes / 4),
        ("headless", LIMITS.memory_bytes / 4),
        ("page_tables", LIMITS.memory_bytes / 4),
        ("unseen_shared_memory", LIMITS.memory_bytes / 4),
        ("sockets", LIMITS.memory_bytes / 4),
        ("pipes", LIMITS.memory_bytes / 4),
        ("descriptors", LIMITS.memory_bytes / 4),
        ("big_file", LIMITS.disk_bytes / 8),
        ("deleted_file", LIMITS.disk_bytes / 8),
        ("many_files", LIMITS.disk_bytes / 8),
        ("empty_files", LIMITS.disk_bytes / 8),
        ("deep_file", LIMITS.disk_bytes / 8),
        ("closed_folder", LIMITS.disk_bytes / 8),
        ("mapped_files", LIMITS.disk_bytes / 8),
    ];
    for level in CONFINED {
        let sandbox = sandbox(level).await;
        let mut hogs = JoinSet::new();
        for (hog, limit) in within {
            let sandbox = sandbox.clone();
            hogs.spawn(async move {
                let run = Run::new();
                let mut running = run.start(&sandbox, limits, hog, limit).await;
                let end = over_and_end(&mut running, &CancellationToken::new()).await;
                assert_eq!(
                    (end.how, run.survivors()),
                    (How::TimeLimit, Vec::new()),
                    "{hog} at {level}"
                );
            });
        }
        while let Some(ended) = hogs.join_next().await {
            ended.expect("each is left alone until its time");
        }
    }
}
