//! A change whose branch has moved meanwhile.

use std::fs;

use git::Merged;

use crate::world::{BRANCH, World, git, request};

/// Somebody pushes `theirs` while the bot writes `ours`, both to files of one tree.
fn check(ours: &[(&str, &str)], theirs: &[(&str, &str)], expected: impl FnOnce(&World, &Merged)) {
    let world = World::new();
    let mirror = world.mirror();
    let (base, tree) = world.check_out(mirror.as_ref());
    for (path, content) in ours {
        fs::write(tree.join(path), content).unwrap();
    }
    let commit = crate::world::commit(mirror.as_ref(), &base, &tree);
    for (path, content) in theirs {
        world.author_pushes(path, content);
    }
    let head = world.fetch(mirror.as_ref()).unwrap();
    let merged = mirror
        .merge_onto(&head, &base, &commit, &request(&base, &tree, Vec::new()))
        .unwrap();
    if let Merged::Commit(merged) = &merged {
        mirror.push(&world.remote(), BRANCH, &head, merged).unwrap();
        assert_eq!(mirror.first_parent(merged).unwrap(), head);
        git(&world.bare(), &["fsck", "--strict"]);
    }
    expected(&world, &merged);
}

#[test]
fn changes_of_different_files_are_both_kept() {
    check(
        &[("a.txt", "one\n2\nthree\n")],
        &[("src/b.txt", "B\n"), ("c.txt", "c\n")],
        |world, merged| {
            assert!(matches!(merged, Merged::Commit(_)));
            let show = |path: &str| git(&world.bare(), &["show", &format!("{BRANCH}:{path}")]);
            assert_eq!(
                (show("a.txt"), show("src/b.txt")),
                ("one\n2\nthree\n".to_owned(), "B\n".to_owned())
            );
            assert_eq!(
                git(&world.bare(), &["log", "--format=%s", "-2", BRANCH]),
                "Fix it\nChange c.txt\n"
            );
        },
    );
}

#[test]
fn changes_of_different_lines_are_both_kept() {
    let ours = "ONE\ntwo\nthree\n";
    check(
        &[("a.txt", ours)],
        &[("a.txt", "one\ntwo\nthree\nfour\nfive\n")],
        |world, merged| {
            assert!(matches!(merged, Merged::Commit(_)), "{merged:?}");
            assert_eq!(
                git(&world.bare(), &["show", &format!("{BRANCH}:a.txt")]),
                "ONE\ntwo\nthree\nfour\nfive\n"
            );
        },
    );
}

#[test]
fn changes_of_the_same_line_are_a_conflict() {
    check(
        &[("a.txt", "one\nours\nthree\n")],
        &[("a.txt", "one\ntheirs\nthree\n")],
        |world, merged| {
            assert_eq!(*merged, Merged::Conflict(vec!["a.txt".to_owned()]));
            assert_eq!(
                git(&world.bare(), &["show", &format!("{BRANCH}:a.txt")]),
                "one\ntheirs\nthree\n"
            );
        },
    );
}

#[test]
fn a_file_both_have_added_is_a_conflict() {
    check(
        &[("new.txt", "ours\n")],
        &[("new.txt", "theirs\n")],
        |_, merged| {
            assert_eq!(*merged, Merged::Conflict(vec!["new.txt".to_owned()]));
        },
    );
}

#[test]
fn the_same_change_on_both_sides_leaves_nothing_to_commit() {
    let same = [("a.txt", "one\nthe same\nthree\n")];
    check(&same, &same, |_, merged| assert_eq!(*merged, Merged::Nothing));
}
