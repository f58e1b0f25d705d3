//! Hogs that fill the disk, however well they hide what they write.

use std::time::Instant;

use sandbox::{CellLimits, How};
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;

use crate::world::{
    CONFINED, Delay, KILLED_WITHIN, LIMITS, Run, WAITS, WALL, meets_a_limit, meets_its_limit, sandbox,
    the_next_run_works,
};

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
