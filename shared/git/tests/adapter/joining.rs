//! One branch merged into another, and commits taken back.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use git::{Conflicts, Depth, Error, Joined, Merged, Mirror, PushError};
use pipeline::ids::CommitId;

use crate::world::{BRANCH, World, changes, git, request, rev};

const TARGET: &str = "refs/heads/main";
static GO: AtomicBool = AtomicBool::new(false);

/// Somebody has written to both branches since they parted.
struct Parted {
    world: World,
    mirror: Box<dyn Mirror>,
    source: CommitId,
    target: CommitId,
}

impl Parted {
    fn new(on_source: &[(&str, &str)], on_target: &[(&str, &str)]) -> Self {
        let world = World::new();
        let author = world.author();
        for (path, content) in on_source {
            world.author_pushes(path, content);
        }
        git(&author, &["checkout", "-q", "origin/main"]);
        for (path, content) in on_target {
            fs::write(author.join(path), content).unwrap();
            world.author_commits(&format!("Change {path} on main"));
        }
        git(&author, &["push", "-q", "origin", "HEAD:main"]);
        let mirror = world.mirror();
        let (source, target) = mirror
            .fetch_both(&world.remote(), BRANCH, TARGET, Depth::Shallow(64), &GO)
            .unwrap();
        Self {
            mirror,
            source,
            target: target.unwrap(),
            world,
        }
    }

    fn join(&self) -> Joined {
        self.try_join().unwrap()
    }

    fn try_join(&self) -> Result<Joined, Error> {
        let wanted = request(&self.source, &PathBuf::new(), Vec::new());
        self.mirror.join(&self.target, ("feature/x", "main"), &wanted)
    }

    fn conflicts(&self) -> Conflicts {
        match self.join() {
            Joined::Conflicts(conflicts) => conflicts,
            other => panic!("{other:?}"),
        }
    }

    fn push(&self, commit: &CommitId) -> Result<(), PushError> {
        self.mirror
            .push(&self.world.remote(), BRANCH, &self.source, commit)
    }
}

#[test]
fn a_merge_has_both_parents_and_what_both_have() {
    let parted = Parted::new(
        &[("a.txt", "ONE\ntwo\nthree\n")],
        &[("b.txt", "b\n"), ("run.sh", "x\n")],
    );
    let Joined::Commit(commit) = parted.join() else {
        panic!("it is clean")
    };
    parted.push(&commit).unwrap();
    let bare = parted.world.bare();
    git(&bare, &["fsck", "--strict"]);
    let parents = git(&bare, &["log", "-1", "--format=%P", BRANCH]);
    assert_eq!(parents.trim(), format!("{} {}", parted.source, parted.target));
    assert_eq!(
        git(&bare, &["diff", "--name-status", parted.source.as_str(), BRANCH]),
        "A\tb.txt\nM\trun.sh\n"
    );
    assert_eq!(
        git(&bare, &["diff", "--name-status", TARGET, BRANCH]),
        "M\ta.txt\n"
    );
}

#[test]
fn a_merge_sends_nothing_that_the_server_has() {
    let big: String = "0123456789abcdef\n".repeat(64);
    let parted = Parted::new(
        &[("a.txt", "ONE\ntwo\nthree\n")],
        &[("b.txt", &big), ("c.txt", "c\n")],
    );
    let Joined::Commit(commit) = parted.join() else {
        panic!("it is clean")
    };
    let bare = parted.world.bare();
    let count = || {
        let counted = git(&bare, &["count-objects", "-v"]);
        let number = |line: &str| line.rsplit(' ').next().unwrap().parse::<u32>().unwrap();
        counted
            .lines()
            .filter(|line| line.starts_with("count:") || line.starts_with("in-pack:"))
            .map(number)
            .sum::<u32>()
    };
    let before = count();
    parted.push(&commit).unwrap();
    // The commit and its root tree.
    assert_eq!(count() - before, 2);
}

#[test]
fn a_branch_that_has_it_all_needs_no_merge() {
    let parted = Parted::new(&[("a.txt", "ONE\n")], &[]);
    assert_eq!(parted.join(), Joined::Contained);
}

#[test]
fn what_was_merged_before_is_not_merged_again() {
    let parted = Parted::new(&[("a.txt", "ONE\n")], &[("b.txt", "b\n")]);
    let Joined::Commit(commit) = parted.join() else {
        panic!("it is clean")
    };
    let again = request(&commit, &PathBuf::new(), Vec::new());
    let joined = parted
        .mirror
        .join(&parted.target, ("feature/x", "main"), &again)
        .unwrap();
    assert_eq!(joined, Joined::Contained);
}

#[test]
fn branches_without_a_common_commit_are_told_apart() {
    let world = World::new();
    let author = world.author();
    git(&author, &["checkout", "-q", "--orphan", "other"]);
    world.author_commits("Another beginning");
    git(&author, &["push", "-q", "-f", "origin", "HEAD:main"]);
    let mirror = world.mirror();
    let (source, target) = mirror
        .fetch_both(&world.remote(), BRANCH, TARGET, Depth::Shallow(64), &GO)
        .unwrap();
    let wanted = request(&source, &PathBuf::new(), Vec::new());
    let joined = mirror
        .join(&target.unwrap(), ("feature/x", "main"), &wanted)
        .unwrap();
    assert_eq!(joined, Joined::Unrelated);
}

#[test]
fn a_common_commit_that_was_not_fetched_is_fetched_on_request() {
    let source: Vec<_> = (0..5).map(|n| format!("ONE\n{n}\n")).collect();
    let on_source: Vec<_> = source.iter().map(|text| ("a.txt", text.as_str())).collect();
    let mut parted = Parted::new(&on_source, &[("b.txt", "b\n"), ("b.txt", "c\n")]);
    // A mirror that knows no more than two commits of each.
    let fresh = tempfile::tempdir().unwrap();
    let cache = git::Cache::new(fresh.path(), git::CacheLimits::default());
    let instance = pipeline::ids::InstanceId::of_base_url(&parted.world.server.url);
    parted.mirror = cache.mirror(&instance, pipeline::ids::RepositoryId(84)).unwrap();
    let remote = parted.world.remote();
    parted
        .mirror
        .fetch_both(&remote, BRANCH, TARGET, Depth::Shallow(2), &GO)
        .unwrap();
    assert!(matches!(parted.try_join(), Err(Error::TooShallow)));
    for depth in [Depth::Shallow(3), Depth::Shallow(3), Depth::Full, Depth::Full] {
        parted
            .mirror
            .deepen(&remote, &[BRANCH, TARGET], depth, &GO)
            .unwrap();
    }
    let Joined::Commit(commit) = parted.join() else {
        panic!("it is clean")
    };
    parted.push(&commit).unwrap();
    git(&parted.world.bare(), &["fsck", "--strict"]);
}

#[test]
fn conflicts_are_told_by_whether_markers_show_them() {
    let parted = Parted::new(
        &[
            ("a.txt", "one\nours\nthree\n"),
            ("src/b.txt", "ours\n"),
            ("bin", "\0ours"),
        ],
        &[
            ("a.txt", "one\ntheirs\nthree\n"),
            ("bin", "\0theirs"),
            ("c.txt", "c\n"),
        ],
    );
    let conflicts = parted.conflicts();
    assert_eq!(
        (conflicts.marked.as_slice(), conflicts.others.as_slice()),
        (["a.txt".to_owned()].as_slice(), ["bin".to_owned()].as_slice())
    );
    assert_eq!(conflicts.merges.commit, parted.target);
    let tree = parted.world.directory.path().join("unfinished");
    fs::create_dir(&tree).unwrap();
    let together = &conflicts.merges.together;
    let limits = git::TreeLimits::default();
    parted.mirror.check_out(together, &tree, &limits, &GO).unwrap();
    assert_eq!(
        fs::read_to_string(tree.join("a.txt")).unwrap(),
        "one\n<<<<<<< feature/x\nours\n=======\ntheirs\n>>>>>>> main\nthree\n"
    );
    assert_eq!(fs::read_to_string(tree.join("c.txt")).unwrap(), "c\n");
}

#[test]
fn a_merge_is_ended_by_changes_on_top_of_what_both_make() {
    let parted = Parted::new(
        &[("a.txt", "one\nours\nthree\n")],
        &[("a.txt", "one\ntheirs\nthree\n"), ("c.txt", "c\n")],
    );
    let conflicts = parted.conflicts();
    let tree = parted.world.directory.path().join("unfinished");
    fs::create_dir(&tree).unwrap();
    let together = &conflicts.merges.together;
    let limits = git::TreeLimits::default();
    parted.mirror.check_out(together, &tree, &limits, &GO).unwrap();
    let end = |text: &str| {
        fs::write(tree.join("a.txt"), text).unwrap();
        let changed = changes(parted.mirror.as_ref(), together, &tree);
        let mut wanted = request(&parted.source, &tree, changed);
        wanted.merges = Some(conflicts.merges.clone());
        parted.mirror.commit(&wanted).unwrap()
    };
    let left = |commit: &CommitId| parted.mirror.still_marked(commit, &conflicts.marked).unwrap();
    assert_eq!(left(&end("one\n<<<<<<< feature/x\nours\nthree\n")), ["a.txt"]);
    assert_eq!(left(&end("one\nours\n=======\nthree\n")), ["a.txt"]);
    let ended = end("one\nours and theirs\nthree\n");
    assert_eq!(left(&ended), [""; 0]);
    parted.push(&ended).unwrap();
    let bare = parted.world.bare();
    git(&bare, &["fsck", "--strict"]);
    let parents = git(&bare, &["log", "-1", "--format=%P", BRANCH]);
    assert_eq!(parents.trim(), format!("{} {}", parted.source, parted.target));
    assert_eq!(
        git(&bare, &["show", &format!("{BRANCH}:a.txt")]),
        "one\nours and theirs\nthree\n"
    );
}

#[test]
fn a_fork_gets_the_commits_that_a_merge_brings() {
    let parted = Parted::new(&[("a.txt", "ONE\n")], &[("b.txt", "b\n"), ("b.txt", "c\n")]);
    let root = parted.world.directory.path().join("server/proj");
    git(&root, &["init", "-q", "--bare", "fork.git"]);
    let fork = root.join("fork.git");
    git(&fork, &["config", "http.receivepack", "true"]);
    git(
        &fork,
        &["fetch", "-q", "../demo.git", &format!("{BRANCH}:{BRANCH}")],
    );
    let Joined::Commit(commit) = parted.join() else {
        panic!("it is clean")
    };
    let mut remote = parted.world.remote();
    remote.url = remote.url.replace("demo.git", "fork.git");
    parted
        .mirror
        .push(&remote, BRANCH, &parted.source, &commit)
        .unwrap();
    assert_eq!(rev(&fork, BRANCH), commit);
    git(&fork, &["fsck", "--strict", "--connectivity-only"]);
}

#[test]
fn a_commit_is_taken_back_and_what_came_later_stays() {
    let world = World::new();
    let mirror = world.mirror();
    let wrong = world.author_pushes("a.txt", "one\nWRONG\nthree\n");
    world.author_pushes("src/b.txt", "later\n");
    let head = mirror
        .fetch(&world.remote(), BRANCH, Depth::Shallow(64), &GO)
        .unwrap();
    let wanted = request(&head, &PathBuf::new(), Vec::new());
    let Merged::Commit(taken_back) = mirror.revert(&wrong, &wanted).unwrap() else {
        panic!("nothing is in the way")
    };
    mirror.push(&world.remote(), BRANCH, &head, &taken_back).unwrap();
    let show = |path: &str| git(&world.bare(), &["show", &format!("{BRANCH}:{path}")]);
    assert_eq!(show("a.txt"), "one\ntwo\nthree\n");
    assert_eq!(show("src/b.txt"), "later\n");
    // Once more leaves nothing to do, and the other way round brings it back.
    let on_top = request(&taken_back, &PathBuf::new(), Vec::new());
    assert_eq!(mirror.revert(&wrong, &on_top).unwrap(), Merged::Nothing);
    let Merged::Commit(back) = mirror.revert(&taken_back, &on_top).unwrap() else {
        panic!("nothing is in the way")
    };
    mirror.push(&world.remote(), BRANCH, &taken_back, &back).unwrap();
    assert_eq!(show("a.txt"), "one\nWRONG\nthree\n");
}

#[test]
fn a_commit_below_what_was_fetched_is_not_taken_back_yet() {
    let world = World::new();
    let mirror = world.mirror();
    let wrong = world.author_pushes("a.txt", "one\nWRONG\nthree\n");
    let head = world.fetch(mirror.as_ref()).unwrap();
    let wanted = request(&head, &PathBuf::new(), Vec::new());
    assert!(matches!(mirror.revert(&wrong, &wanted), Err(Error::TooShallow)));
    mirror
        .deepen(&world.remote(), &[BRANCH], Depth::Shallow(8), &GO)
        .unwrap();
    assert!(matches!(
        mirror.revert(&wrong, &wanted).unwrap(),
        Merged::Commit(_)
    ));
}

#[test]
fn lines_that_were_changed_again_are_not_taken_back() {
    let world = World::new();
    let mirror = world.mirror();
    let wrong = world.author_pushes("a.txt", "one\nWRONG\nthree\n");
    world.author_pushes("a.txt", "one\nBETTER\nthree\n");
    let head = mirror
        .fetch(&world.remote(), BRANCH, Depth::Shallow(64), &GO)
        .unwrap();
    let wanted = request(&head, &PathBuf::new(), Vec::new());
    assert_eq!(
        mirror.revert(&wrong, &wanted).unwrap(),
        Merged::Conflict(vec!["a.txt".to_owned()])
    );
}

#[test]
fn a_merge_is_not_taken_back() {
    let theirs = [("CODEOWNERS", "* @security\n"), ("fix.txt", "theirs\n")];
    let parted = Parted::new(&[("ours.txt", "ours\n")], &theirs);
    let Joined::Commit(merge) = parted.join() else {
        panic!("nothing is in the way");
    };
    let wanted = request(&merge, &PathBuf::new(), Vec::new());
    // Against its first parent it would remove what the target branch has, from the target branch as well once it is merged.
    match parted.mirror.revert(&merge, &wanted) {
        Err(Error::OfMerge { commit }) => assert_eq!(commit, merge),
        other => panic!("{other:?}"),
    }
}
