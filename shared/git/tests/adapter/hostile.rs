//! Trees that want out of the work tree, and trees that want all of the disk.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use git::{Error, TreeLimits};
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;

use crate::world::{BRANCH, World, git};

/// Writes an object as it is, however wrong.
#[expect(
    clippy::disallowed_methods,
    reason = "only git itself writes objects that are wrong"
)]
fn write_object(world: &World, kind: &str, content: &[u8]) -> String {
    let mut child = Command::new("git")
        .current_dir(world.bare())
        .args(["hash-object", "-w", "-t", kind, "--stdin", "--literally"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(content).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn tree(world: &World, entries: &[(&str, &str, &str)]) -> String {
    let mut content = Vec::new();
    for (mode, name, id) in entries {
        content.extend_from_slice(format!("{mode} {name}\0").as_bytes());
        content.extend(
            (0..40)
                .step_by(2)
                .map(|at| u8::from_str_radix(&id[at..at + 2], 16).unwrap()),
        );
    }
    write_object(world, "tree", &content)
}

/// Makes the tree the branch's head and checks it out.
fn check_out(world: &World, tree: &str, limits: &TreeLimits) -> Result<(), Error> {
    let commit = git(&world.bare(), &["commit-tree", tree, "-m", "hostile"]);
    git(&world.bare(), &["update-ref", BRANCH, commit.trim()]);
    let mirror = world.mirror();
    let head = world.fetch(mirror.as_ref())?;
    let directory = world.directory.path().join("outer/work");
    fs::create_dir_all(&directory).unwrap();
    mirror.check_out(&head, &directory, limits, &AtomicBool::new(false))
}

fn files_below(directory: &std::path::Path) -> usize {
    let entries = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            if path.is_dir() && !path.is_symlink() {
                files_below(&path)
            } else {
                1
            }
        })
        .sum()
}

#[test]
fn nothing_is_written_for_a_tree_that_could_leave_the_work_tree() {
    let world = World::new();
    let blob = write_object(&world, "blob", b"evil");
    let link = write_object(&world, "blob", b"../..");
    let below = tree(&world, &[("100644", "file", &blob)]);
    let hooks = tree(&world, &[("100755", "post-checkout", &blob)]);
    let hostile = [
        vec![("100644", "..", blob.as_str())],
        vec![("40000", "..", &below)],
        vec![("40000", ".", &below)],
        vec![("100644", "../file", &blob)],
        vec![("100644", "/etc/file", &blob)],
        vec![("40000", ".git", &hooks)],
        vec![("40000", ".GIT", &hooks)],
        vec![("40000", ".gIt", &hooks)],
        vec![("40000", "git~1", &hooks)],
        vec![("40000", ".git ", &hooks)],
        vec![("40000", ".git.", &hooks)],
        vec![("40000", ".g\u{200c}it", &hooks)],
        vec![("40000", ".git::$INDEX_ALLOCATION", &hooks)],
        vec![("120000", "a", &link), ("40000", "a", &below)],
        vec![
            ("120000", "a", &link),
            ("100644", "a-b", &blob),
            ("40000", "a", &below),
        ],
    ];
    for entries in &hostile {
        let refused = check_out(&world, &tree(&world, entries), &TreeLimits::default());
        let is_named = matches!(refused, Err(Error::HostileTree { .. } | Error::Damaged { .. }));
        assert!(is_named, "{entries:?}: {refused:?}");
        assert_eq!(
            files_below(&world.directory.path().join("outer")),
            0,
            "{entries:?}"
        );
        let nested = tree(&world, &[("40000", "deep", &tree(&world, entries))]);
        assert!(
            check_out(&world, &nested, &TreeLimits::default()).is_err(),
            "{entries:?}"
        );
        assert_eq!(
            files_below(&world.directory.path().join("outer")),
            0,
            "{entries:?}"
        );
    }
}

#[test]
fn names_that_only_other_systems_dislike_are_written() {
    let world = World::new();
    let blob = write_object(&world, "blob", b"fine");
    let entries = [
        ("100644", "aux.c", blob.as_str()),
        ("100644", "back\\slash", &blob),
        ("100644", "con", &blob),
    ];
    check_out(&world, &tree(&world, &entries), &TreeLimits::default()).unwrap();
    assert_eq!(files_below(&world.directory.path().join("outer")), 3);
}

#[test]
fn a_git_bomb_is_refused_at_once() {
    let world = World::new();
    let blob = write_object(&world, "blob", &[b'x'; 1_000]);
    let ten = |mode: &str, id: &str| {
        let names: Vec<_> = (0..10).map(|number| format!("d{number}")).collect();
        let entries: Vec<_> = names.iter().map(|name| (mode, name.as_str(), id)).collect();
        tree(&world, &entries)
    };
    let mut bomb = ten("100644", &blob);
    for _ in 0..9 {
        bomb = ten("40000", &bomb);
    }
    let before = Instant::now();
    let refused = check_out(
        &world,
        &bomb,
        &TreeLimits {
            entries: 100_000,
            ..TreeLimits::default()
        },
    );
    assert!(matches!(refused, Err(Error::TooLarge { .. })), "{refused:?}");
    assert_eq!(files_below(&world.directory.path().join("outer")), 0);
    // Generous for a busy machine: written out, it would be ten thousand million files.
    assert!(before.elapsed() < Duration::from_secs(30));
    let failure = Failure::from(refused.unwrap_err());
    assert!(matches!(failure, Failure::Refuse { report } if report.code == FailureCode::RepositoryTooLarge));
}

#[test]
fn every_limit_is_checked_before_anything_is_written() {
    let world = World::new();
    let blob = write_object(&world, "blob", &[b'x'; 1_000]);
    let deep = (0..5).fold(blob.clone(), |id, level| {
        tree(&world, &[(if level == 0 { "100644" } else { "40000" }, "d", &id)])
    });
    let wide = tree(
        &world,
        &[
            ("100644", "a", &blob),
            ("100644", "b", &blob),
            ("40000", "c", &deep),
        ],
    );
    let limits = TreeLimits::default;
    for (limits, what) in [
        (
            TreeLimits {
                bytes: 2_999,
                ..limits()
            },
            "the tree, in bytes,",
        ),
        (
            TreeLimits {
                blob_bytes: 999,
                ..limits()
            },
            "a file, in bytes,",
        ),
        (
            TreeLimits {
                entries: 3,
                ..limits()
            },
            "the tree's number of entries",
        ),
        (TreeLimits { depth: 4, ..limits() }, "the tree's depth"),
        (
            TreeLimits {
                path_bytes: 8,
                ..limits()
            },
            "a path, in bytes,",
        ),
    ] {
        match check_out(&world, &wide, &limits) {
            Err(Error::TooLarge { what: named, .. }) => assert_eq!(named, what),
            other => panic!("{what}: {other:?}"),
        }
        assert_eq!(files_below(&world.directory.path().join("outer")), 0, "{what}");
    }
    check_out(&world, &wide, &limits()).unwrap();
}

#[test]
fn a_link_out_of_the_tree_is_kept_and_never_written_through() {
    let world = World::new();
    let outside = world.directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let target = write_object(&world, "blob", outside.to_str().unwrap().as_bytes());
    let blob = write_object(&world, "blob", b"x");
    let entries = [("120000", "a", target.as_str()), ("100644", "b", &blob)];
    check_out(&world, &tree(&world, &entries), &TreeLimits::default()).unwrap();
    assert_eq!(
        fs::read_link(world.directory.path().join("outer/work/a")).unwrap(),
        outside
    );
    assert_eq!(files_below(&outside), 0);
}
