//! Somebody who goes on changing the tree although everybody should be dead.

use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, RenameFlags};

use crate::tree::Tree;

/// Sweeps while directory and link change places.
const ROUNDS: u32 = 1_000;
/// Generous for a busy machine: one sweep of this tree takes less than a millisecond.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_link_that_changes_places_with_a_directory_leads_nowhere() {
    let tree = Tree::new();
    tree.file("place/kept", "x");
    tree.mode("place/kept", 0o644);
    symlink(tree.outside(), tree.path.join("link")).unwrap();
    let (done, swaps) = (AtomicBool::new(false), AtomicU32::new(0));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let (a, b) = (tree.path.join("place"), tree.path.join("link"));
                rustix::fs::renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).unwrap();
                swaps.fetch_add(1, Ordering::Relaxed);
            }
        });
        let mut failed = Ok(());
        for _ in 0..ROUNDS {
            if let Err(error) = sandbox::sweep(&tree.path, &sandbox::SweepRules::default()) {
                failed = Err(error);
                break;
            }
        }
        done.store(true, Ordering::Relaxed);
        failed.unwrap();
    });
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    assert!(swaps.load(Ordering::Relaxed) > 0, "nothing was swapped");
    tree.check_outside();
}
