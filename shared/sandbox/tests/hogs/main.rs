//! Programs that take whatever they can get are killed soon after their limit, leave nobody behind, and the next run works.

mod disk;
mod ends;
mod memory;
mod world;

use std::time::Duration;

use sandbox::{CellLimits, How};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::world::{CONFINED, LIMITS, Run, over_and_end, sandbox};

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

/// As in a container: what its own user may see of a run, such a root may not.
#[tokio::test]
async fn root_with_no_more_rights_than_it_needs_sees_as_much() {
    if !rustix::process::geteuid().is_root() {
        // An ordinary user, as whom all of these tests run too, has none.
        return;
    }
    let tests = [
        "disk::a_file_without_a_name_counts",
        "disk::a_file_in_a_closed_directory_counts",
        "memory::what_the_kernel_keeps_for_a_process_is_memory",
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
