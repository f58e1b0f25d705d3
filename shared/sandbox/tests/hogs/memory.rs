//! Hogs that take memory and processes, in all the ways there are to hold them.

use sandbox::{How, Level};
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;

use crate::world::{LIMITS, MIB, Run, meets_its_limit, sandbox, the_next_run_works};

/// A quarter of what one hog tries to put into the folder of shared memory.
const SHARED_MEMORY_MAX: u64 = 256 * MIB;

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
