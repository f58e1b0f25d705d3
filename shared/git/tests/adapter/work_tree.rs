//! What an agent did, read back from a directory it had to itself.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use git::{Change, ChangeKind, Changes, Error, Mirror, Mode, TreeLimits};
use pipeline::ids::CommitId;

use crate::world::{World, git};

fn spelled(changes: &[Change]) -> Vec<String> {
    let spell = |change: &Change| {
        let kind = match change.kind {
            ChangeKind::Added => "A",
            ChangeKind::Modified => "M",
            ChangeKind::Removed => "D",
        };
        let mode = match change.mode() {
            Some(Mode::Executable) => " *",
            Some(Mode::Symlink) => " @",
            Some(Mode::File) | None => "",
        };
        format!("{kind} {}{mode}", change.path_lossy())
    };
    changes.iter().map(spell).collect()
}

struct Tree {
    world: World,
    mirror: Box<dyn Mirror>,
    head: CommitId,
    path: PathBuf,
}

impl Tree {
    fn new(world: World) -> Self {
        let mirror = world.mirror();
        let (head, path) = world.check_out(mirror.as_ref());
        Self {
            world,
            mirror,
            head,
            path,
        }
    }

    fn write(&self, name: &str, content: &str) {
        let file = self.path.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }

    fn read(&self) -> Changes {
        self.read_within(&TreeLimits::default()).unwrap()
    }

    fn read_within(&self, limits: &TreeLimits) -> Result<Changes, Error> {
        self.mirror.changes(&self.head, &self.path, limits)
    }

    fn check(&self, expected: &[&str], left_out: &[&str]) {
        let changes = self.read();
        assert_eq!(spelled(&changes.changes), expected);
        assert_eq!(changes.left_out, left_out);
    }
}

#[test]
fn an_untouched_tree_has_no_changes() {
    Tree::new(World::new()).check(&[], &[]);
}

#[test]
fn every_kind_of_change_is_seen() {
    let tree = Tree::new(World::new());
    tree.write("a.txt", "one\n2\nthree\n");
    tree.write("new/file.txt", "new\n");
    tree.write("new/tool", "#!/bin/sh\n");
    fs::set_permissions(tree.path.join("new/tool"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(tree.path.join("run.sh"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::remove_dir_all(tree.path.join("src")).unwrap();
    fs::remove_file(tree.path.join("link")).unwrap();
    symlink("a.txt", tree.path.join("link")).unwrap();
    tree.check(
        &[
            "M a.txt",
            "M link @",
            "A new/file.txt",
            "A new/tool *",
            "M run.sh",
            "D src/b.txt",
        ],
        &[],
    );
}

#[test]
fn a_file_written_again_with_the_same_content_is_no_change() {
    let tree = Tree::new(World::new());
    fs::remove_file(tree.path.join("a.txt")).unwrap();
    tree.write("a.txt", "one\ntwo\nthree\n");
    tree.check(&[], &[]);
}

#[test]
fn a_change_of_the_same_length_with_the_old_time_stamp_is_seen() {
    let tree = Tree::new(World::new());
    let file = tree.path.join("a.txt");
    let before = fs::metadata(&file).unwrap().modified().unwrap();
    tree.write("a.txt", "one\nTWO\nthree\n");
    fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_modified(before)
        .unwrap();
    tree.check(&["M a.txt"], &[]);
}

#[test]
fn a_file_may_become_a_directory_and_back() {
    let tree = Tree::new(World::new());
    fs::remove_file(tree.path.join("a.txt")).unwrap();
    tree.write("a.txt/inside", "x");
    fs::remove_dir_all(tree.path.join("src")).unwrap();
    tree.write("src", "now a file");
    tree.check(&["D a.txt", "A a.txt/inside", "A src", "D src/b.txt"], &[]);
    let commit = crate::world::commit(tree.mirror.as_ref(), &tree.head, &tree.path);
    tree.mirror
        .push(&tree.world.remote(), crate::world::BRANCH, &tree.head, &commit)
        .unwrap();
    let listed = git(
        &tree.world.bare(),
        &["ls-tree", "-r", "--name-only", commit.as_str()],
    );
    assert_eq!(listed, "a.txt/inside\nlink\nrun.sh\nsrc\n");
    git(&tree.world.bare(), &["fsck", "--strict"]);
}

#[test]
fn ignored_files_are_left_alone_and_tracked_ones_are_not() {
    let world = World::new();
    fs::create_dir_all(world.author().join("target")).unwrap();
    fs::write(world.author().join("target/tracked"), "1").unwrap();
    git(&world.author(), &["add", "-f", "target/tracked"]);
    world.author_pushes(".gitignore", "target/\n*.log\n!keep.log\n");
    let tree = Tree::new(world);
    tree.write("target/built", "x");
    tree.write("target/tracked", "2");
    tree.write("deep/a.log", "x");
    tree.write("deep/keep.log", "x");
    tree.write("deep/.gitignore", "/only-here\n");
    tree.write("deep/only-here", "x");
    tree.write("only-here", "x");
    tree.check(
        &[
            "A deep/.gitignore",
            "A deep/keep.log",
            "A only-here",
            "M target/tracked",
        ],
        &[],
    );
}

#[test]
fn no_symbolic_link_is_followed() {
    let tree = Tree::new(World::new());
    let outside = tree.world.directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    symlink(&outside, tree.path.join("away")).unwrap();
    symlink("/proc/self/environ", tree.path.join("environ")).unwrap();
    fs::remove_dir_all(tree.path.join("src")).unwrap();
    symlink(&outside, tree.path.join("src")).unwrap();
    fs::remove_file(tree.path.join("a.txt")).unwrap();
    symlink(outside.join("secret"), tree.path.join("a.txt")).unwrap();
    symlink(outside.join("secret"), tree.path.join(".gitignore")).unwrap();
    let changes = tree.read();
    assert_eq!(
        spelled(&changes.changes),
        ["M a.txt @", "A away @", "A environ @", "A src @", "D src/b.txt"]
    );
    let longest = outside.join("secret").as_os_str().len() as u64;
    assert!(
        changes.changes.iter().all(|change| change.bytes <= longest),
        "targets, not contents: {changes:?}"
    );
}

#[test]
fn special_files_do_not_hang_and_are_named() {
    let tree = Tree::new(World::new());
    rustix::fs::mknodat(
        rustix::fs::CWD,
        tree.path.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    fs::remove_file(tree.path.join("a.txt")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(tree.path.join("a.txt")).unwrap();
    let why = "it is neither a file nor a directory nor a symbolic link";
    tree.check(
        &[],
        &[
            &format!("`a.txt` was left out: {why}"),
            &format!("`pipe` was left out: {why}"),
        ],
    );
}

#[test]
fn git_directories_are_not_looked_at() {
    let tree = Tree::new(World::new());
    git(&tree.path, &["init", "-q", "."]);
    tree.write(".git/hooks/post-checkout", "#!/bin/sh\ntouch MARKER\n");
    tree.write(
        ".git/config",
        "[core]\n\tfsmonitor = touch MARKER\n[filter \"x\"]\n\tclean = touch MARKER\n",
    );
    tree.write(".gitattributes", "* filter=x diff=x\n");
    git(&tree.path, &["init", "-q", "nested"]);
    tree.write("nested/kept.txt", "x");
    git(&tree.path, &["init", "-q", "--bare", "bare"]);
    tree.write(".GIT/config", "x");
    tree.write("git~1/config", "x");
    tree.check(
        &["A .gitattributes", "A nested/kept.txt"],
        &[
            "`.GIT` was left out: its name cannot be used everywhere (The .git name may never be used)",
            "`bare` was left out: it is a git repository of its own",
            "`git~1` was left out: its name cannot be used everywhere (The .git name may never be used)",
            "`nested/.git` was left out: it belongs to a nested repository; the files beside it are kept",
        ],
    );
    assert!(!tree.path.join("MARKER").exists());
}

#[test]
fn a_git_file_that_points_elsewhere_is_not_followed() {
    let tree = Tree::new(World::new());
    tree.write(".git", "gitdir: /etc\n");
    symlink("/etc", tree.path.join("src/.git")).unwrap();
    let changes = tree.read();
    assert_eq!(spelled(&changes.changes), Vec::<String>::new());
    assert_eq!(changes.left_out.len(), 1, "{:?}", changes.left_out);
}

#[test]
fn submodules_stay_as_they_are() {
    let world = World::new();
    let id = "1234567890123456789012345678901234567890";
    git(
        &world.author(),
        &[
            "update-index",
            "--add",
            "--cacheinfo",
            &format!("160000,{id},sub"),
        ],
    );
    fs::create_dir(world.author().join("sub")).unwrap();
    git(&world.author(), &["commit", "-q", "-m", "Submodule"]);
    git(&world.author(), &["push", "-q", "origin", "HEAD:feature/x"]);
    let tree = Tree::new(world);
    assert!(tree.path.join("sub").is_dir());
    tree.write("sub/inside.txt", "x");
    tree.check(&[], &[]);
    fs::remove_dir_all(tree.path.join("sub")).unwrap();
    tree.check(&[], &[]);
}

#[test]
fn names_that_are_not_text_are_kept() {
    let tree = Tree::new(World::new());
    let name: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"\xff\xfe x");
    fs::write(tree.path.join(name), "x").unwrap();
    let commit = crate::world::commit(tree.mirror.as_ref(), &tree.head, &tree.path);
    tree.mirror
        .push(&tree.world.remote(), crate::world::BRANCH, &tree.head, &commit)
        .unwrap();
    let listed = git(
        &tree.world.bare(),
        &["ls-tree", "-r", "--name-only", commit.as_str()],
    );
    assert!(listed.contains("\"\\377\\376 x\""), "{listed}");
}

#[test]
fn limits_on_what_an_agent_leaves_are_kept() {
    let tree = Tree::new(World::new());
    for number in 0..20 {
        tree.write(&format!("many/{number}"), "12345");
    }
    let refused = |limits: TreeLimits| match tree.read_within(&limits) {
        Err(Error::ChangeTooLarge { what, .. }) => what,
        other => panic!("{other:?}"),
    };
    let limits = TreeLimits::default;
    assert_eq!(
        refused(TreeLimits {
            changed_files: 10,
            ..limits()
        }),
        "the number of added files"
    );
    assert_eq!(
        refused(TreeLimits {
            changed_bytes: 50,
            ..limits()
        }),
        "all changed files, in bytes,"
    );
    assert_eq!(
        refused(TreeLimits {
            entries: 10,
            ..limits()
        }),
        "the number of files in the work tree"
    );
    tree.write("sparse", "");
    fs::File::options()
        .write(true)
        .open(tree.path.join("sparse"))
        .unwrap()
        .set_len(4 << 30)
        .unwrap();
    let left_out = tree.read().left_out;
    assert_eq!(left_out, ["`sparse` was left out: it is too large"]);
    let shallow = tree.read_within(&TreeLimits { depth: 0, ..limits() }).unwrap();
    assert_eq!(shallow.left_out[0], "`many` was left out: it is too deep");
}

#[test]
fn line_endings_follow_the_attributes_of_the_commit() {
    let world = World::new();
    fs::write(world.author().join("dos.txt"), "a\r\nb\r\n").unwrap();
    world.author_pushes("dos.txt", "a\r\nb\r\n");
    world.author_pushes(
        ".gitattributes",
        "*.txt text=auto\n*.bat text eol=crlf\n*.x filter=evil\n",
    );
    world.author_pushes("go.bat", "echo\r\n");
    world.author_pushes("f.x", "plain\n");
    let tree = Tree::new(world);
    // As it is in the repository, although it does not follow the attributes: nobody has changed it.
    tree.check(&[], &[]);
    assert_eq!(fs::read(tree.path.join("go.bat")).unwrap(), b"echo\r\n");
    assert_eq!(fs::read(tree.path.join("f.x")).unwrap(), b"plain\n");
    tree.write("go.bat", "echo hello\r\n");
    tree.write("new.txt", "x\r\n");
    tree.check(&["M go.bat", "A new.txt"], &[]);
    let commit = crate::world::commit(tree.mirror.as_ref(), &tree.head, &tree.path);
    tree.mirror
        .push(&tree.world.remote(), crate::world::BRANCH, &tree.head, &commit)
        .unwrap();
    let blob = |name: &str| {
        git(
            &tree.world.bare(),
            &["cat-file", "blob", &format!("{commit}:{name}")],
        )
    };
    assert_eq!(
        (blob("go.bat").as_str(), blob("new.txt").as_str()),
        ("echo hello\n", "x\n")
    );
}

#[test]
fn a_directory_that_was_closed_does_not_lose_the_rest() {
    let tree = Tree::new(World::new());
    tree.write("a.txt", "changed\n");
    fs::set_permissions(tree.path.join("src"), fs::Permissions::from_mode(0o000)).unwrap();
    let changes = tree.read();
    fs::set_permissions(tree.path.join("src"), fs::Permissions::from_mode(0o755)).unwrap();
    // Whoever may read everything (root) sees it unchanged; everybody else reads that it could not be opened.
    assert_eq!(spelled(&changes.changes), ["M a.txt"]);
}

#[test]
fn a_work_tree_that_is_a_link_is_refused() {
    let tree = Tree::new(World::new());
    let link = tree.world.directory.path().join("link");
    symlink(&tree.path, &link).unwrap();
    let refused = tree
        .mirror
        .changes(&tree.head, Path::new(&link), &TreeLimits::default());
    assert!(matches!(refused, Err(Error::Io { .. })), "{refused:?}");
}
