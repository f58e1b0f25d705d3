//! What agents plant.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;

use rustix::fs::FileType;
use sandbox::{SweepError, SweepRules, Why, sweep};

use crate::tree::{Tree, removed, withheld};

#[test]
fn an_ordinary_tree_stays_as_it_is() {
    let tree = Tree::new();
    tree.file("src/main.rs", "fn main() {}");
    tree.file(".gitignore", "target/");
    tree.file(".github/workflows/ci.yml", "x");
    tree.link("link", "src/main.rs");
    tree.link("away", tree.outside().join("kept"));
    tree.link("gone", "nowhere");
    let before = tree.paths();
    let swept = tree.sweep();
    assert_eq!(tree.paths(), before);
    assert_eq!(
        (removed(&swept), withheld(&swept), swept.repaired),
        (vec![], vec![], 0)
    );
    assert_eq!(swept.left_out, Vec::<String>::new());
    assert_eq!((swept.entries, swept.bytes), (9, 20));
}

#[test]
fn every_git_is_removed_and_the_files_beside_it_stay() {
    let tree = Tree::new();
    tree.file(".git/config", "[core]\n\tfsmonitor = evil");
    tree.file("nested/.git/HEAD", "ref: refs/heads/main");
    tree.file("nested/.git/objects/aa/bb", "x");
    tree.file("nested/kept.txt", "x");
    tree.file("file/.git", "gitdir: /etc");
    fs::create_dir(tree.path.join("link")).unwrap();
    tree.link("link/.git", tree.outside());
    tree.file(".GIT/config", "x");
    tree.file("git~1/config", "x");
    tree.file("deep/.g\u{200c}it/config", "x");
    tree.file(".git .", "x");
    tree.file(".git::$INDEX_ALLOCATION", "x");
    let swept = tree.sweep();
    assert_eq!(
        tree.paths(),
        ["deep", "file", "link", "nested", "nested/kept.txt"]
    );
    assert_eq!(
        removed(&swept),
        [
            (".GIT".to_owned(), Why::GitSpelling),
            (".git".to_owned(), Why::Repository),
            (".git .".to_owned(), Why::GitSpelling),
            (".git::$INDEX_ALLOCATION".to_owned(), Why::GitSpelling),
            ("deep/.g\u{200c}it".to_owned(), Why::GitSpelling),
            ("file/.git".to_owned(), Why::NestedRepository),
            ("git~1".to_owned(), Why::GitSpelling),
            ("link/.git".to_owned(), Why::NestedRepository),
            ("nested/.git".to_owned(), Why::NestedRepository),
        ]
    );
    assert!(
        swept.left_out.contains(
            &"`nested/.git` was left out: it belongs to a nested repository; the files beside it are kept"
                .to_owned()
        ),
        "{:?}",
        swept.left_out
    );
}

#[test]
fn whatever_is_neither_file_nor_link_is_removed_and_withheld() {
    let tree = Tree::new();
    for name in [".gitignore", ".gitattributes", "pipe"] {
        tree.special(name, FileType::Fifo);
    }
    tree.file(".git/objects/x", "x");
    tree.special(".git/HEAD", FileType::Fifo);
    tree.file("nested/kept", "x");
    fs::create_dir(tree.path.join("nested/.git")).unwrap();
    tree.special("nested/.git/HEAD", FileType::Fifo);
    let _socket = UnixListener::bind(tree.path.join("socket")).unwrap();
    let swept = tree.sweep();
    assert_eq!(tree.paths(), ["nested", "nested/kept"]);
    let special = |name: &str| (name.to_owned(), Why::Special);
    assert_eq!(
        withheld(&swept),
        [".gitattributes", ".gitignore", "pipe", "socket"].map(special)
    );
}

#[test]
fn a_device_is_removed() {
    let tree = Tree::new();
    // Only root can make one; for everybody else there is nothing to see.
    if rustix::process::geteuid().is_root() {
        let zero = rustix::fs::makedev(1, 5);
        let made = rustix::fs::mknodat(
            rustix::fs::CWD,
            tree.path.join("zero"),
            FileType::CharacterDevice,
            rustix::fs::Mode::RUSR,
            zero,
        );
        if made.is_ok() {
            assert_eq!(withheld(&tree.sweep()), [("zero".to_owned(), Why::Special)]);
        }
    }
    assert_eq!(tree.paths(), Vec::<String>::new());
}

#[test]
fn what_was_closed_is_opened_again() {
    let tree = Tree::new();
    tree.file("closed/inner/file", "x");
    tree.file("tool", "#!/bin/sh");
    tree.file("set-id", "x");
    tree.mode("closed/inner/file", 0o000);
    tree.mode("closed/inner", 0o000);
    tree.mode("closed", 0o000);
    tree.mode("tool", 0o111);
    tree.mode("set-id", 0o6755);
    tree.mode("", 0o000);
    let swept = tree.sweep();
    let mode = |name: &str| fs::metadata(tree.path.join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("closed/inner/file"), 0o600);
    assert_eq!((mode("closed"), mode("closed/inner")), (0o700, 0o700));
    assert_eq!((mode("tool"), mode("set-id")), (0o711, 0o755));
    assert_eq!((withheld(&swept), swept.repaired), (vec![], 6));
}

#[test]
fn closed_repositories_are_removed_all_the_same() {
    let tree = Tree::new();
    tree.file("a/.git/objects/aa/bb", "x");
    for name in ["a/.git/objects/aa", "a/.git/objects", "a/.git"] {
        tree.mode(name, 0o000);
    }
    tree.mode("a", 0o500);
    tree.sweep();
    assert_eq!(tree.paths(), ["a"]);
}

#[test]
fn a_file_with_a_name_outside_is_withheld_and_one_with_two_names_inside_is_not() {
    let tree = Tree::new();
    tree.file("one", "x");
    fs::hard_link(tree.path.join("one"), tree.path.join("two")).unwrap();
    tree.file("foreign", "x");
    let other = tree.directory.path().join("other-name");
    fs::hard_link(tree.path.join("foreign"), other).unwrap();
    let swept = tree.sweep();
    assert_eq!(withheld(&swept), [("foreign".to_owned(), Why::LinkedElsewhere)]);
}

#[test]
fn names_that_are_not_text_are_no_obstacle() {
    let tree = Tree::new();
    let name: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"\xff\n\x1b[31m");
    fs::create_dir_all(tree.path.join(name).join(".git")).unwrap();
    let long = "n".repeat(255);
    tree.file(&long, "x");
    let swept = tree.sweep();
    assert_eq!(swept.removed[0].path, b"\xff\n\x1b[31m/.git");
    assert!(swept.left_out[0].is_ascii() && !swept.left_out[0].contains(['\n', '\u{1b}']));
    assert!(tree.path.join(&long).exists());
}

#[test]
fn a_tree_that_is_a_link_is_refused() {
    let tree = Tree::new();
    let link = tree.directory.path().join("link");
    std::os::unix::fs::symlink(tree.outside(), &link).unwrap();
    let refused = sweep(&link, &SweepRules::default());
    assert!(matches!(refused, Err(SweepError::Io { .. })), "{refused:?}");
    tree.check_outside();
}
