//! Commit and push.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use axum::http::StatusCode;
use git::{Error, Mirror, PushError};
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::ids::{CommitId, RunId};

use crate::world::{BRANCH, World, alice, bot, changes, git, request};

/// A commit of one changed file, ready to be pushed.
struct Ready {
    world: World,
    mirror: Box<dyn Mirror>,
    head: CommitId,
    tree: PathBuf,
    commit: CommitId,
}

impl Ready {
    fn new() -> Self {
        let world = World::new();
        let mirror = world.mirror();
        let (head, tree) = world.check_out(mirror.as_ref());
        fs::write(tree.join("a.txt"), "one\n2\nthree\n").unwrap();
        fs::write(tree.join("src/new.txt"), "new\n").unwrap();
        let commit = crate::world::commit(mirror.as_ref(), &head, &tree);
        Self {
            world,
            mirror,
            head,
            tree,
            commit,
        }
    }

    fn push(&self) -> Result<(), PushError> {
        self.mirror
            .push(&self.world.remote(), BRANCH, &self.head, &self.commit)
    }

    fn hook(&self, name: &str, script: &str) {
        let path = self.world.bare().join("hooks").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn a_push_moves_the_branch_to_a_commit_of_the_bot() {
    let ready = Ready::new();
    ready.push().unwrap();
    assert_eq!(ready.world.server_head(), ready.commit);
    let bare = ready.world.bare();
    git(&bare, &["fsck", "--strict"]);
    assert_eq!(
        git(
            &bare,
            &[
                "log",
                "-1",
                "--format=%an|%ae|%cn|%ce|%at|%ct|%P|%(trailers:key=Run-Id,valueonly)",
                BRANCH
            ]
        )
        .trim(),
        format!(
            "Open Hands|bot@example.test|Open Hands|bot@example.test|1800000000|1800000000|{}|r-0123456789ab",
            ready.head
        )
    );
    assert_eq!(
        git(&bare, &["diff", "--name-status", ready.head.as_str(), BRANCH]),
        "M\ta.txt\nA\tsrc/new.txt\n"
    );
    assert_eq!(
        ready.mirror.remote_head(&ready.world.remote(), BRANCH).unwrap(),
        Some(ready.commit.clone())
    );
    let run = RunId::new("r-0123456789ab").unwrap();
    assert_eq!(
        ready
            .mirror
            .commits_of_run(&ready.commit, &run, &bot(), 8)
            .unwrap(),
        std::slice::from_ref(&ready.commit)
    );
    assert_eq!(
        ready
            .mirror
            .commits_of_run(&ready.commit, &run, &alice(), 8)
            .unwrap(),
        [],
        "a trailer that anyone may have written"
    );
}

#[test]
fn a_push_from_a_shallow_mirror_sends_only_what_is_new() {
    let ready = Ready::new();
    let count = || {
        let counted = git(&ready.world.bare(), &["count-objects", "-v"]);
        let number = |line: &str| line.rsplit(' ').next().unwrap().parse::<u32>().unwrap();
        counted
            .lines()
            .filter(|line| line.starts_with("count:") || line.starts_with("in-pack:"))
            .map(number)
            .sum::<u32>()
    };
    let before = count();
    ready.push().unwrap();
    // Commit, root tree, src tree, two blobs.
    assert_eq!(count() - before, 5);
}

#[test]
fn after_a_push_the_next_fetch_needs_nothing() {
    let ready = Ready::new();
    ready.push().unwrap();
    let before = ready.world.server.seen().len();
    assert_eq!(ready.world.fetch(ready.mirror.as_ref()).unwrap(), ready.commit);
    assert_eq!(ready.world.server.seen().len() - before, 1);
}

#[test]
fn a_moved_branch_is_not_overwritten() {
    let ready = Ready::new();
    let theirs = ready.world.author_pushes("theirs.txt", "theirs\n");
    match ready.push() {
        Err(PushError::Moved { current }) => assert_eq!(current, Some(theirs.clone())),
        other => panic!("{other:?}"),
    }
    assert_eq!(ready.world.server_head(), theirs);
}

#[test]
fn a_branch_that_moves_during_the_push_is_not_overwritten() {
    let ready = Ready::new();
    let author = ready.world.author();
    fs::write(author.join("theirs.txt"), "theirs\n").unwrap();
    let theirs = ready.world.author_commits("Theirs");
    git(&author, &["push", "-q", "origin", "HEAD:refs/heads/elsewhere"]);
    // Runs after we have seen the old head and before git compares.
    ready.hook(
        "pre-receive",
        &format!("unset GIT_QUARANTINE_PATH\ngit update-ref {BRANCH} {theirs}"),
    );
    match ready.push() {
        Err(PushError::Moved { current }) => assert_eq!(current, Some(theirs.clone())),
        other => panic!("{other:?}"),
    }
    assert_eq!(ready.world.server_head(), theirs);
}

#[test]
fn a_deleted_branch_is_not_made_again() {
    let ready = Ready::new();
    git(&ready.world.bare(), &["update-ref", "-d", BRANCH]);
    assert!(matches!(ready.push(), Err(PushError::Moved { current: None })));
    assert_eq!(
        ready.mirror.remote_head(&ready.world.remote(), BRANCH).unwrap(),
        None
    );
}

#[test]
fn what_a_hook_says_reaches_the_caller_without_escapes() {
    let ready = Ready::new();
    ready.hook(
        "pre-receive",
        "printf '\\033[31m-----\\033[0m\\nNo ticket in the message.\\n-----\\n' >&2; exit 1",
    );
    match ready.push() {
        Err(PushError::Rejected { messages }) => assert_eq!(messages, "No ticket in the message."),
        other => panic!("{other:?}"),
    }
    assert_eq!(ready.world.server_head(), ready.head);
    let failure = Failure::from(ready.push().unwrap_err());
    assert!(matches!(failure, Failure::Refuse { report } if report.code == FailureCode::PushRejected));
}

#[test]
fn a_silent_hook_leaves_gits_own_reason() {
    let ready = Ready::new();
    ready.hook("update", "exit 1");
    match ready.push() {
        Err(PushError::Rejected { messages }) => {
            assert_eq!(messages, format!("error: hook declined to update {BRANCH}"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_lost_answer_is_ambiguous_and_pushing_again_is_success() {
    let ready = Ready::new();
    ready.world.server.behave(|server| server.lose_push_answer = true);
    assert!(matches!(ready.push(), Err(PushError::Ambiguous { .. })));
    ready
        .world
        .server
        .behave(|server| server.lose_push_answer = false);
    assert_eq!(ready.world.server_head(), ready.commit);
    ready.push().unwrap();
}

#[test]
fn missing_rights_are_told_apart() {
    let ready = Ready::new();
    let mut remote = ready.world.remote();
    remote.token = "wrong".to_owned().into();
    let refused = ready.mirror.push(&remote, BRANCH, &ready.head, &ready.commit);
    assert!(
        matches!(refused, Err(PushError::Git(Error::Unauthorized))),
        "{refused:?}"
    );
    ready
        .world
        .server
        .behave(|server| server.instead_of_post = Some(("git-receive-pack", StatusCode::FORBIDDEN)));
    assert!(matches!(ready.push(), Err(PushError::Forbidden)));
    let limited = Some(("git-receive-pack", StatusCode::TOO_MANY_REQUESTS));
    ready
        .world
        .server
        .behave(|server| server.instead_of_post = limited);
    assert!(matches!(
        ready.push(),
        Err(PushError::Git(Error::RateLimited { .. }))
    ));
}

#[test]
fn only_a_descendant_can_be_pushed() {
    let ready = Ready::new();
    let other = ready.world.author_pushes("other.txt", "other\n");
    ready.world.fetch(ready.mirror.as_ref()).unwrap();
    let refused = ready
        .mirror
        .push(&ready.world.remote(), BRANCH, &other, &ready.commit);
    assert!(
        matches!(refused, Err(PushError::Git(Error::NotFastForward { .. }))),
        "{refused:?}"
    );
    assert_eq!(ready.world.server_head(), other);
}

#[test]
fn two_commits_are_pushed_together() {
    let ready = Ready::new();
    fs::remove_file(ready.tree.join("src/new.txt")).unwrap();
    fs::write(ready.tree.join("run.sh"), "#!/bin/sh\nexit 1\n").unwrap();
    let changed = changes(ready.mirror.as_ref(), &ready.commit, &ready.tree);
    let second = ready
        .mirror
        .commit(&request(&ready.commit, &ready.tree, changed))
        .unwrap();
    ready
        .mirror
        .push(&ready.world.remote(), BRANCH, &ready.head, &second)
        .unwrap();
    assert_eq!(ready.world.server_head(), second);
    git(&ready.world.bare(), &["fsck", "--strict"]);
    let names = git(
        &ready.world.bare(),
        &["diff", "--name-status", ready.head.as_str(), BRANCH],
    );
    assert_eq!(names, "M\ta.txt\nM\trun.sh\n");
}

#[test]
fn a_commit_without_changes_is_refused() {
    let ready = Ready::new();
    let refused = ready
        .mirror
        .commit(&request(&ready.head, &ready.tree, Vec::new()));
    assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
}

#[test]
fn a_branch_that_is_not_there_is_made_once() {
    let ready = Ready::new();
    let (remote, made) = (ready.world.remote(), "refs/heads/openhands/7-r-0123456789ab");
    let make = |commit| ready.mirror.create_branch(&remote, made, &ready.head, commit);
    make(&ready.commit).unwrap();
    assert_eq!(crate::world::rev(&ready.world.bare(), made), ready.commit);
    assert_eq!(ready.world.server_head(), ready.head, "the other branch");
    git(&ready.world.bare(), &["fsck", "--strict"]);
    // An answer that was lost: the same again is success.
    make(&ready.commit).unwrap();
    // Somebody's branch of this name is not moved, not even forward.
    fs::write(ready.tree.join("a.txt"), "more\n").unwrap();
    let changed = changes(ready.mirror.as_ref(), &ready.commit, &ready.tree);
    let second = ready
        .mirror
        .commit(&request(&ready.commit, &ready.tree, changed))
        .unwrap();
    assert!(matches!(make(&second), Err(PushError::Moved { current: Some(at) }) if at == ready.commit));
    assert_eq!(crate::world::rev(&ready.world.bare(), made), ready.commit);
}

#[test]
fn a_branch_that_cannot_be_beside_another_is_refused_in_gits_words() {
    let ready = Ready::new();
    let below = format!("{BRANCH}/below");
    let refused = ready
        .mirror
        .create_branch(&ready.world.remote(), &below, &ready.head, &ready.commit);
    assert!(
        matches!(&refused, Err(PushError::Rejected { messages }) if !messages.is_empty()),
        "{refused:?}"
    );
}
