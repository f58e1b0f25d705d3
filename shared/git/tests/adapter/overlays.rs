//! Two branches at once: fetched together, read by file, and laid one over the other.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use git::{Depth, How, Mirror, Overlay, TreeFile, TreeLimits};
use pipeline::ids::CommitId;

use crate::world::{BRANCH, World, git, request};

const MAIN: &str = "refs/heads/main";

/// What the tests lay over: `AGENTS.md` in any folder, and the folder `.claude`.
fn selects(path: &[u8]) -> bool {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    name == b"AGENTS.md" || name == b".claude"
}

/// A source and a target branch, in a mirror that has both.
struct Branches {
    world: World,
    mirror: Box<dyn Mirror>,
    source: CommitId,
    target: CommitId,
}

impl Branches {
    /// Writes and pushes the target branch's files, then the source branch's, each on top of the same start.
    fn of(target: impl FnOnce(&Path), source: impl FnOnce(&Path)) -> Self {
        let world = World::new();
        let author = world.author();
        target(&author);
        world.author_commits("Target");
        git(&author, &["push", "-q", "-f", "origin", "HEAD:main"]);
        git(&author, &["checkout", "-q", "HEAD~1"]);
        source(&author);
        world.author_commits("Source");
        git(
            &author,
            &["push", "-q", "-f", "origin", &format!("HEAD:{BRANCH}")],
        );
        let mirror = world.mirror();
        let (source, target) = fetch_both(&world, mirror.as_ref());
        let target = target.unwrap();
        Self {
            world,
            mirror,
            source,
            target,
        }
    }

    fn overlay(&self) -> Overlay {
        self.mirror
            .overlay(&self.source, Some(&self.target), &selects, &TreeLimits::default())
            .unwrap()
    }

    /// The files of a commit, as git lists them.
    fn checked_out(&self, commit: &CommitId) -> tempfile::TempDir {
        let directory = tempfile::tempdir_in(self.world.directory.path()).unwrap();
        let go = AtomicBool::new(false);
        self.mirror
            .check_out(commit, directory.path(), &TreeLimits::default(), &go)
            .unwrap();
        directory
    }

    fn read(&self, path: &str, bytes_max: usize) -> Option<TreeFile> {
        self.mirror.read_file(&self.target, path, bytes_max).unwrap()
    }
}

fn fetch_both(world: &World, mirror: &dyn Mirror) -> (CommitId, Option<CommitId>) {
    let go = AtomicBool::new(false);
    mirror
        .fetch_both(&world.remote(), BRANCH, MAIN, Depth::Shallow(1), &go)
        .unwrap()
}

fn write(root: &Path, name: &str, content: &str) {
    let file = root.join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, content).unwrap();
}

fn told(overlay: &Overlay) -> Vec<(String, How)> {
    let one = |overlaid: &git::Overlaid| (overlaid.path_lossy(), overlaid.how);
    overlay.overlaid.iter().map(one).collect()
}

#[test]
fn two_branches_are_fetched_in_one_exchange_and_noted_apart() {
    let both = Branches::of(
        |root| write(root, "AGENTS.md", "target"),
        |root| write(root, "AGENTS.md", "source"),
    );
    let posts = |world: &World| {
        let seen = world.server.seen();
        seen.iter().filter(|line| line.starts_with("POST")).count()
    };
    assert_eq!(
        posts(&both.world),
        2,
        "a listing and a pack: {:?}",
        both.world.server.seen()
    );
    let (source, target) = fetch_both(&both.world, both.mirror.as_ref());
    assert_eq!((source, target), (both.source.clone(), Some(both.target.clone())));
    assert_eq!(
        posts(&both.world),
        3,
        "nothing is new, so nothing but the listing"
    );
    git(&both.world.bare(), &["update-ref", "-d", MAIN]);
    let (source, target) = fetch_both(&both.world, both.mirror.as_ref());
    assert_eq!((source, target), (both.source.clone(), None));
}

#[test]
fn branches_that_both_moved_are_fetched_by_date() {
    let both = Branches::of(|root| write(root, "t", "1"), |root| write(root, "s", "1"));
    let author = both.world.author();
    let source = both.world.author_pushes("s", "2\n");
    git(&author, &["checkout", "-q", both.target.as_str()]);
    write(&author, "t", "2");
    let target = both.world.author_commits("Target again");
    git(&author, &["push", "-q", "origin", "HEAD:main"]);
    assert_eq!(
        fetch_both(&both.world, both.mirror.as_ref()),
        (source.clone(), Some(target.clone()))
    );
    assert_eq!(both.mirror.first_parent(&source).unwrap(), both.source);
    assert_eq!(both.mirror.first_parent(&target).unwrap(), both.target);
}

#[test]
fn another_repositorys_branch_is_not_taken_for_our_own_of_that_name() {
    let world = World::new();
    git(
        &world.directory.path().join("server"),
        &["clone", "-q", "--bare", "proj/demo.git", "proj/fork.git"],
    );
    let theirs = world.author_pushes("a.txt", "upstream\n");
    let mut fork = world.remote();
    fork.url = fork.url.replace("demo", "fork");
    let (mirror, go) = (world.mirror(), AtomicBool::new(false));
    let ours = mirror.fetch(&fork, BRANCH, Depth::Shallow(1), &go).unwrap();
    let fetched = mirror
        .fetch_foreign(&world.remote(), BRANCH, Depth::Shallow(1), &go)
        .unwrap();
    assert_eq!(fetched, Some(theirs.clone()));
    assert_ne!(ours, theirs);
    let before = world.server.seen().len();
    mirror.fetch(&fork, BRANCH, Depth::Shallow(1), &go).unwrap();
    assert_eq!(world.server.seen().len() - before, 1, "our own tip was lost");
    let gone = mirror.fetch_foreign(&world.remote(), "refs/heads/gone", Depth::Shallow(1), &go);
    assert_eq!(gone.unwrap(), None);
}

#[test]
fn one_file_is_read_up_to_a_limit_and_through_links_that_stay_in_the_tree() {
    let both = Branches::of(
        |root| {
            write(root, "docs/agents.md", "0123456789");
            symlink("docs/agents.md", root.join("AGENTS.md")).unwrap();
            symlink("../docs/agents.md", root.join("src/inner")).unwrap();
            symlink("docs", root.join("papers")).unwrap();
            symlink("/etc/passwd", root.join("absolute")).unwrap();
            symlink("../../etc/passwd", root.join("out")).unwrap();
            symlink("circle", root.join("circle")).unwrap();
            symlink("docs/agents.md/x", root.join("through-a-file")).unwrap();
        },
        |_| (),
    );
    let whole = TreeFile {
        bytes: b"0123456789".to_vec(),
        total: 10,
    };
    for path in ["docs/agents.md", "AGENTS.md", "src/inner", "papers/agents.md"] {
        assert_eq!(both.read(path, 10), Some(whole.clone()), "{path}");
    }
    let cut = both.read("AGENTS.md", 4).unwrap();
    assert_eq!(
        (cut.bytes.as_slice(), cut.total, cut.is_cut()),
        (&b"0123"[..], 10, true)
    );
    for path in [
        "docs",
        "gone",
        "absolute",
        "out",
        "circle",
        "through-a-file",
        "AGENTS.md/x",
        "../a.txt",
        "",
    ] {
        assert_eq!(both.read(path, 10), None, "{path}");
    }
}

#[test]
fn selected_paths_are_the_targets_and_the_rest_is_the_sources() {
    let both = Branches::of(
        |root| {
            write(root, "AGENTS.md", "target");
            write(root, "src/AGENTS.md", "target");
            write(root, "only-in-target/AGENTS.md", "target");
            write(root, ".claude/settings.json", "target");
            write(root, "a.txt", "target");
        },
        |root| {
            write(root, "AGENTS.md", "source");
            write(root, "only-in-source/AGENTS.md", "source");
            write(root, "a.txt", "source");
            symlink("src", root.join(".claude")).unwrap();
        },
    );
    let overlay = both.overlay();
    let paths = [
        (".claude", How::Replaced),
        ("AGENTS.md", How::Replaced),
        ("only-in-source/AGENTS.md", How::Removed),
        ("src/AGENTS.md", How::Added),
    ];
    assert_eq!(told(&overlay), paths.map(|(path, how)| (path.to_owned(), how)));
    let tree = both.checked_out(&overlay.commit);
    let content = |name: &str| fs::read_to_string(tree.path().join(name)).ok();
    for name in ["AGENTS.md", "src/AGENTS.md", ".claude/settings.json"] {
        assert_eq!(content(name).as_deref(), Some("target"), "{name}");
    }
    assert_eq!(content("a.txt").as_deref(), Some("source"));
    assert!(!tree.path().join("only-in-source").exists() && !tree.path().join("only-in-target").exists());
    assert!(!tree.path().join(".claude").is_symlink());
    assert_eq!(both.overlay(), overlay, "the same again is the same commit");
}

#[test]
fn without_a_target_branch_the_sources_are_taken_away() {
    let both = Branches::of(|_| (), |root| write(root, "src/AGENTS.md", "source"));
    let limits = TreeLimits::default();
    let overlay = both
        .mirror
        .overlay(&both.source, None, &selects, &limits)
        .unwrap();
    assert_eq!(told(&overlay), [("src/AGENTS.md".to_owned(), How::Removed)]);
    let tree = both.checked_out(&overlay.commit);
    assert!(tree.path().join("src/b.txt").exists() && !tree.path().join("src/AGENTS.md").exists());
}

#[test]
fn what_is_the_same_on_both_branches_costs_no_commit() {
    let both = Branches::of(
        |root| write(root, "a.txt", "target"),
        |root| write(root, "a.txt", "source"),
    );
    let overlay = both.overlay();
    assert_eq!((overlay.commit, overlay.overlaid), (both.source, Vec::new()));
}

#[test]
fn a_link_of_the_target_is_not_read_through_the_sources_tree() {
    let linked = |root: &Path, who: &str| {
        write(root, "docs/agents.md", who);
        write(root, "tools/claude/skill.md", who);
        symlink("docs/agents.md", root.join("AGENTS.md")).unwrap();
        fs::create_dir(root.join(".claude")).unwrap();
        symlink("../tools/claude", root.join(".claude/skills")).unwrap();
        symlink("/etc/hostname", root.join(".claude/host")).unwrap();
    };
    // The links are the same on both branches; what they lead to is not.
    let both = Branches::of(|root| linked(root, "target"), |root| linked(root, "source"));
    let overlay = both.overlay();
    assert_eq!(overlay.overlaid.len(), 2);
    let tree = both.checked_out(&overlay.commit);
    for name in ["AGENTS.md", ".claude/skills/skill.md"] {
        assert_eq!(
            fs::read_to_string(tree.path().join(name)).unwrap(),
            "target",
            "{name}"
        );
    }
    assert_eq!(
        fs::read_to_string(tree.path().join("docs/agents.md")).unwrap(),
        "source"
    );
    assert!(
        !tree.path().join(".claude/host").is_symlink(),
        "it leads out of the tree"
    );
}

#[test]
fn links_in_circles_come_to_an_end() {
    let both = Branches::of(
        |root| write(root, "AGENTS.md", "target"),
        |root| {
            fs::create_dir(root.join(".claude")).unwrap();
            for name in ["a", "b", "c"] {
                symlink("..", root.join(".claude").join(name)).unwrap();
            }
        },
    );
    let paths: Vec<_> = told(&both.overlay()).into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, [".claude", "AGENTS.md"]);
}

#[test]
fn what_is_done_on_the_overlay_goes_on_top_of_the_source_alone() {
    let both = Branches::of(
        |root| {
            write(root, "AGENTS.md", "target");
            write(root, ".claude/settings.json", "target");
        },
        |root| {
            write(root, "AGENTS.md", "source");
            write(root, ".claude", "a file here");
        },
    );
    let overlay = both.overlay();
    let tree = both.checked_out(&overlay.commit);
    write(tree.path(), "AGENTS.md", "agent");
    write(tree.path(), ".claude/new.json", "agent");
    write(tree.path(), "a.txt", "agent");
    let changes = both
        .mirror
        .changes(&overlay.commit, tree.path(), &TreeLimits::default())
        .unwrap()
        .changes;
    let (covered, work): (Vec<_>, Vec<_>) = changes
        .into_iter()
        .partition(|change| overlay.covering(change).is_some());
    let names = |changes: &[git::Change]| changes.iter().map(git::Change::path_lossy).collect::<Vec<_>>();
    assert_eq!(names(&covered), [".claude/new.json", "AGENTS.md"]);
    assert_eq!(names(&work), ["a.txt"]);
    let commit = both
        .mirror
        .commit(&request(&both.source, tree.path(), work))
        .unwrap();
    let pushed = both.checked_out(&commit);
    let content = |name: &str| fs::read_to_string(pushed.path().join(name)).unwrap();
    assert_eq!(content("AGENTS.md"), "source");
    assert_eq!(content(".claude"), "a file here");
    assert_eq!(content("a.txt"), "agent");
    assert_eq!(both.mirror.first_parent(&commit).unwrap(), both.source);
}

#[test]
fn a_file_put_where_the_folder_of_an_overlaid_path_was_is_covered() {
    let both = Branches::of(|_| (), |root| write(root, "src/AGENTS.md", "source"));
    let overlay = both.overlay();
    let tree = both.checked_out(&overlay.commit);
    fs::remove_dir_all(tree.path().join("src")).unwrap();
    write(tree.path(), "src", "a file now");
    let changes = both
        .mirror
        .changes(&overlay.commit, tree.path(), &TreeLimits::default());
    let changes = changes.unwrap().changes;
    let covered: Vec<_> = changes
        .iter()
        .filter(|change| overlay.covering(change).is_some())
        .collect();
    assert_eq!(covered.len(), 1);
    assert_eq!(covered[0].path_lossy(), "src");
}
