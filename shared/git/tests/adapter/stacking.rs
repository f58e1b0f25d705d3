//! Work that is cut into several commits: the whole tree after each step.

use std::fs;

use crate::world::{BRANCH, World, commit, git, request};

#[test]
fn each_step_is_a_commit_with_the_files_as_they_were_then() {
    let world = World::new();
    let mirror = world.mirror();
    let (base, tree) = world.check_out(mirror.as_ref());
    let before = fs::read(tree.join("a.txt")).unwrap();
    let on = |below: &git::CommitRequest, message: &str| git::CommitRequest {
        message: format!("{message}\n\nWhy.\n\nThread: 1\nThread: 30{message}\n"),
        ..below.clone()
    };
    fs::write(tree.join("a.txt"), "changed\n").unwrap();
    let first_tree = commit(mirror.as_ref(), &base, &tree);
    let first = on(&request(&base, &tree, Vec::new()), "1");
    let first = mirror.stack(&first_tree, &first).unwrap().unwrap();
    // The second step takes back what the first one did, and does something else.
    fs::write(tree.join("a.txt"), &before).unwrap();
    fs::write(tree.join("new.txt"), "new\n").unwrap();
    let second_tree = commit(mirror.as_ref(), &base, &tree);
    let second = on(&request(&first, &tree, Vec::new()), "2");
    let second = mirror.stack(&second_tree, &second).unwrap().unwrap();
    // The third one changes nothing.
    let third = on(&request(&second, &tree, Vec::new()), "3");
    assert_eq!(mirror.stack(&second_tree, &third).unwrap(), None);

    mirror.push(&world.remote(), BRANCH, &base, &second).unwrap();
    git(&world.bare(), &["fsck", "--strict"]);
    assert_eq!(mirror.first_parent(&second).unwrap(), first);
    assert_eq!(mirror.first_parent(&first).unwrap(), base);
    let changed = |commit: &str| git(&world.bare(), &["show", "--format=", "--name-status", commit]);
    assert_eq!(changed(first.as_str()), "M\ta.txt\n");
    assert_eq!(changed(second.as_str()), "M\ta.txt\nA\tnew.txt\n");
    assert_eq!(mirror.trailer(&second, "Thread").unwrap().as_deref(), Some("302"));
    assert_eq!(mirror.trailer(&base, "Thread").unwrap(), None);
}
