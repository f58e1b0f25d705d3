//! Removing whole directories that agents have left behind, whatever they have done to them.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set up its tree has failed; this binary has nothing but tests"
)]

use std::fs::{self, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, Rlimit};
use sandbox::remove;

/// Fewer than the directories below, and enough for the tests of this binary.
const DESCRIPTORS: u64 = 64;

/// Directories within one another, deeper than any path may be long.
fn chain(top: &Path, depth: usize) {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut here: OwnedFd = rustix::fs::open(top, flags, Mode::empty()).unwrap();
    for _ in 0..depth {
        rustix::fs::mkdirat(&here, "d", Mode::RWXU).unwrap();
        here = rustix::fs::openat(&here, "d", flags, Mode::empty()).unwrap();
    }
    let file = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::fs::openat(&here, "file", file, Mode::RUSR).unwrap();
}

/// Few open files, as service managers and shells give; all tests of this binary have to do with them.
fn few_descriptors() {
    let before = rustix::process::getrlimit(Resource::Nofile);
    let limit = Rlimit {
        current: Some(DESCRIPTORS),
        maximum: before.maximum,
    };
    rustix::process::setrlimit(Resource::Nofile, limit).unwrap();
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn six_thousand_directories_within_one_another_go_with_few_open_files() {
    few_descriptors();
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("run");
    for name in ["tree", "home", "tmp"] {
        fs::create_dir_all(root.join(name)).unwrap();
        chain(&root.join(name), 6_000);
    }
    remove(&root).unwrap();
    assert!(!root.exists());
}

#[test]
fn closed_directories_go_and_what_links_lead_to_stays_as_it_is() {
    few_descriptors();
    let directory = tempfile::tempdir().unwrap();
    let (root, outside) = (directory.path().join("run"), directory.path().join("outside"));
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("kept"), "kept").unwrap();
    mode(&outside, 0o500);
    let closed = ["closed/inner", "read-only", "write-only/inner"];
    for name in closed {
        fs::create_dir_all(root.join(name)).unwrap();
        fs::write(root.join(name).join("file"), "x").unwrap();
        symlink(&outside, root.join(name).join("link")).unwrap();
    }
    symlink(&outside, root.join("link")).unwrap();
    for (name, bits) in [
        ("closed", 0),
        ("read-only", 0o555),
        ("write-only", 0o300),
        ("", 0o500),
    ] {
        mode(&root.join(name), bits);
    }
    remove(&root).unwrap();
    assert!(!root.exists());
    assert_eq!(fs::read(outside.join("kept")).unwrap(), b"kept");
    assert_eq!(
        fs::metadata(&outside).unwrap().permissions().mode() & 0o777,
        0o500,
        "a link was followed"
    );
    mode(&outside, 0o700);
}

#[test]
fn what_is_not_there_is_removed_and_a_link_is_neither_followed_nor_removed() {
    few_descriptors();
    let directory = tempfile::tempdir().unwrap();
    remove(&directory.path().join("nowhere")).unwrap();
    let (target, link) = (directory.path().join("target"), directory.path().join("link"));
    fs::create_dir(&target).unwrap();
    fs::write(target.join("kept"), "kept").unwrap();
    symlink(&target, &link).unwrap();
    assert!(remove(&link).is_err());
    assert!(link.is_symlink() && target.join("kept").exists());
}

#[test]
fn what_a_removal_that_was_cut_short_left_goes_with_the_next() {
    few_descriptors();
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("run");
    for name in [".removed-1-0/17/inner", "0/1/2", "1"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    fs::create_dir(root.join(format!(".removed-{}-0", std::process::id()))).unwrap();
    remove(&root).unwrap();
    assert!(!root.exists());
}
