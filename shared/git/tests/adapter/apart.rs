//! What an agent did, read back in a process of its own after the sweep.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use git::{Changes, Error, Mirror, ReadRequest, Reader, TreeLimits};
use pipeline::ids::CommitId;
use rustix::fs::{CWD, FileType};

use crate::world::{BRANCH, World, git, request};

/// Generous for a busy machine.
const TIME_LIMIT: Duration = Duration::from_secs(120);
/// More than any tree here takes.
const MEMORY_BYTES: u64 = 1 << 30;

struct Tree {
    world: World,
    mirror: Box<dyn Mirror>,
    head: CommitId,
    path: PathBuf,
}

impl Tree {
    fn new() -> Self {
        Self::of(World::new())
    }

    fn of(world: World) -> Self {
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

    fn fifo(&self, name: &str) {
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(CWD, self.path.join(name), FileType::Fifo, mode, 0).unwrap();
    }

    fn request(&self, withheld: Vec<(Vec<u8>, String)>) -> ReadRequest {
        ReadRequest {
            commit: self.head.clone(),
            directory: self.path.clone(),
            limits: TreeLimits::default(),
            withheld,
        }
    }

    fn read_by(&self, reader: &Reader, stop: bool) -> Result<Changes, Error> {
        let request = self.request(Vec::new());
        self.mirror
            .changes_apart(reader, &request, &AtomicBool::new(stop))
    }

    /// As the product does it: sweeps, then reads.
    fn hand_back(&self) -> (Vec<String>, Vec<String>) {
        let swept = sandbox::sweep(&self.path, &sandbox::SweepRules::default()).unwrap();
        let withheld = swept
            .withheld
            .into_iter()
            .map(|withheld| (withheld.path, withheld.why.to_string()));
        let request = self.request(withheld.collect());
        let read = self
            .mirror
            .changes_apart(&reader(), &request, &AtomicBool::new(false))
            .unwrap();
        let paths = read.changes.iter().map(git::Change::path_lossy).collect();
        (paths, read.left_out)
    }
}

fn reader() -> Reader {
    Reader {
        executable: env!("CARGO_BIN_EXE_git-inner").into(),
        time_limit: TIME_LIMIT,
        memory_bytes: MEMORY_BYTES,
    }
}

/// A reader that is a shell script.
fn script(directory: &Path, text: &str, time_limit: Duration) -> Reader {
    let executable = directory.join("reader.sh");
    fs::write(&executable, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&executable, fs::Permissions::from_mode(0o755)).unwrap();
    Reader {
        executable,
        time_limit,
        memory_bytes: MEMORY_BYTES,
    }
}

#[test]
fn reading_apart_finds_what_reading_here_finds() {
    let tree = Tree::new();
    tree.write("a.txt", "changed\n");
    tree.write("new/tool", "#!/bin/sh\n");
    fs::set_permissions(tree.path.join("new/tool"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_file(tree.path.join("src/b.txt")).unwrap();
    symlink("a.txt", tree.path.join("other-link")).unwrap();
    let odd: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"\xff\xfe odd");
    fs::write(tree.path.join(odd), "x").unwrap();
    let here = tree
        .mirror
        .changes(&tree.head, &tree.path, &TreeLimits::default())
        .unwrap();
    let apart = tree.read_by(&reader(), false).unwrap();
    assert_eq!(here.changes.len(), 5);
    assert_eq!((&apart.changes, &apart.left_out), (&here.changes, &here.left_out));
    let commit = tree
        .mirror
        .commit(&request(&tree.head, &tree.path, apart.changes))
        .unwrap();
    tree.mirror
        .push(&tree.world.remote(), BRANCH, &tree.head, &commit)
        .unwrap();
    git(&tree.world.bare(), &["fsck", "--strict"]);
}

#[test]
fn a_reading_that_hangs_ends_at_its_deadline() {
    let tree = Tree::new();
    let hangs = script(
        tree.world.directory.path(),
        "exec sleep 600",
        Duration::from_millis(300),
    );
    match tree.read_by(&hangs, false) {
        Err(Error::Unreadable { why }) => assert!(why.contains("took more than"), "{why}"),
        other => panic!("{other:?}"),
    }
    let hangs = Reader {
        time_limit: TIME_LIMIT,
        ..hangs
    };
    let stopped = tree.read_by(&hangs, true);
    assert!(matches!(stopped, Err(Error::Stopped)), "{stopped:?}");
    tree.read_by(&reader(), false).unwrap();
}

#[test]
fn a_tree_that_takes_too_much_memory_to_read_is_unreadable() {
    // More than fits once, and less than may be committed.
    const FILE_BYTES: u64 = 48 << 20;
    let tree = Tree::new();
    let large = fs::File::create(tree.path.join("large")).unwrap();
    large.set_len(FILE_BYTES).unwrap();
    let narrow = Reader {
        memory_bytes: FILE_BYTES / 2,
        ..reader()
    };
    match tree.read_by(&narrow, false) {
        Err(Error::Unreadable { why }) => assert!(why.contains("memory"), "{why}"),
        other => panic!("{other:?}"),
    }
    // The control: so much is enough for a tree without it, and more is enough for this one.
    assert_eq!(tree.read_by(&reader(), false).unwrap().changes.len(), 1);
    fs::remove_file(tree.path.join("large")).unwrap();
    tree.write("b.txt", "small");
    assert_eq!(tree.read_by(&narrow, false).unwrap().changes.len(), 1);
}

#[test]
fn a_reading_that_breaks_off_or_talks_nonsense_is_named() {
    let tree = Tree::new();
    for text in [
        "kill -9 $$",
        "exit 3",
        "echo no JSON",
        "echo '{\"Read\":{}}'",
        "true",
    ] {
        let broken = tree.read_by(&script(tree.world.directory.path(), text, TIME_LIMIT), false);
        assert!(
            matches!(broken, Err(Error::Unreadable { .. })),
            "{text}: {broken:?}"
        );
    }
    let missing = Reader {
        executable: tree.path.join("missing"),
        ..reader()
    };
    assert!(matches!(tree.read_by(&missing, false), Err(Error::Io { .. })));
}

#[test]
fn a_reading_process_gets_no_environment_and_leaves_no_file() {
    let tree = Tree::new();
    let tells = script(tree.world.directory.path(), "env >&2; exit 3", TIME_LIMIT);
    let Err(Error::Unreadable { why }) = tree.read_by(&tells, false) else {
        panic!("it exits with 3");
    };
    assert!(
        why.contains("PWD=") && !why.contains("CARGO") && !why.contains("HOME="),
        "{why}"
    );
    let instances = fs::read_dir(tree.world.directory.path().join("data/mirrors")).unwrap();
    let left: Vec<_> = instances
        .flat_map(|instance| fs::read_dir(instance.unwrap().path()).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "read"))
        .collect();
    assert_eq!(left, Vec::<PathBuf>::new());
}

#[test]
fn a_tree_made_to_hang_a_reader_is_read() {
    let world = World::new();
    world.author_pushes(".gitignore", "target/\n");
    let tree = Tree::of(world);
    tree.write("a.txt", "changed\n");
    fs::remove_file(tree.path.join(".gitignore")).unwrap();
    for name in [".gitignore", ".gitattributes", "src/.gitattributes"] {
        tree.fifo(name);
    }
    for directory in [".git", "nested/.git"] {
        fs::create_dir_all(tree.path.join(directory)).unwrap();
        tree.fifo(&format!("{directory}/HEAD"));
    }
    tree.write("nested/kept.txt", "x");
    tree.write("closed/kept.txt", "x");
    fs::set_permissions(tree.path.join("run.sh"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(tree.path.join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    let (paths, left_out) = tree.hand_back();
    // A file that was closed has lost its executable bit; that is the agent's doing.
    assert_eq!(paths, ["a.txt", "closed/kept.txt", "nested/kept.txt", "run.sh"]);
    assert_eq!(
        left_out,
        ["`.gitignore` was left out: it is neither a file nor a directory nor a symbolic link"]
    );
}

#[test]
fn a_link_swapped_in_while_a_file_is_read_leads_nowhere() {
    /// Readings while file and link change places.
    const ROUNDS: u32 = 1_000;
    let secret = "s".repeat(4_321);
    let tree = Tree::new();
    let outside = tree.world.directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    for name in ["secret", "b.txt"] {
        fs::write(outside.join(name), &secret).unwrap();
    }
    symlink(outside.join("secret"), tree.path.join("file-link")).unwrap();
    symlink(&outside, tree.path.join("directory-link")).unwrap();
    let done = AtomicBool::new(false);
    let swap = |a: &str, b: &str| {
        let (a, b) = (tree.path.join(a), tree.path.join(b));
        rustix::fs::renameat_with(CWD, a, CWD, b, rustix::fs::RenameFlags::EXCHANGE).unwrap();
    };
    let (mut seen, mut swaps) = (std::collections::BTreeSet::new(), 0);
    std::thread::scope(|scope| {
        let swapping = scope.spawn(|| {
            let mut swaps = 0_u32;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                swap("a.txt", "file-link");
                swap("src", "directory-link");
                swaps += 1;
            }
            swaps
        });
        let mut read = Ok(());
        for _ in 0..ROUNDS {
            match tree
                .mirror
                .changes(&tree.head, &tree.path, &TreeLimits::default())
            {
                Ok(changes) => seen.extend(
                    changes
                        .changes
                        .iter()
                        .filter(|change| change.mode() != Some(git::Mode::Symlink))
                        .map(|change| change.bytes),
                ),
                Err(error) => read = Err(error),
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        swaps = swapping.join().unwrap();
        read.unwrap();
    });
    assert!(swaps > 0, "nothing was swapped");
    assert!(!seen.contains(&4_321), "foreign bytes were read: {seen:?}");
}

#[test]
fn of_what_is_withheld_nothing_is_taken_and_nothing_is_lost() {
    let tree = Tree::new();
    tree.write("a.txt", "foreign");
    fs::remove_dir_all(tree.path.join("src")).unwrap();
    tree.write("b.txt", "new");
    let why = "not to be taken";
    let withheld = ["a.txt", "src", "unknown"].map(|path| (path.into(), why.to_owned()));
    let request = tree.request(withheld.into());
    let read = tree
        .mirror
        .changes_apart(&reader(), &request, &AtomicBool::new(false))
        .unwrap();
    let paths: Vec<_> = read.changes.iter().map(git::Change::path_lossy).collect();
    assert_eq!(paths, ["b.txt"]);
    assert_eq!(
        read.left_out,
        [
            format!("`a.txt` was left out: {why}"),
            format!("`src` was left out: {why}")
        ]
    );
}

#[test]
fn names_that_mean_something_else_elsewhere_are_left_out_and_named() {
    let world = World::new();
    world.author_pushes("odd\\name", "1");
    world.author_pushes("con", "1");
    let tree = Tree::of(world);
    // What the repository has already may be changed.
    tree.write("odd\\name", "2");
    fs::remove_file(tree.path.join("con")).unwrap();
    for name in [
        "back\\slash",
        "aux",
        "a:b",
        "A.txt",
        "new",
        "NEW",
        "bell\u{7}",
        "deep/aux/x",
        ".GitModules",
    ] {
        tree.write(name, "x");
    }
    let (paths, left_out) = tree.hand_back();
    assert_eq!(paths, ["NEW", "con", "odd\\name"]);
    let named: Vec<_> = left_out
        .iter()
        .map(|note| note.split('`').nth(1).unwrap())
        .collect();
    assert_eq!(
        named,
        [
            ".GitModules",
            "A.txt",
            "a:b",
            "aux",
            "back\\\\slash",
            "bell\\x07",
            "deep/aux",
            "new"
        ]
    );
}

#[test]
fn files_that_git_acts_upon_cannot_become_links_or_directories() {
    let world = World::new();
    world.author_pushes(".gitignore", "target/\n");
    world.author_pushes(".gitmodules", "# none\n");
    let tree = Tree::of(world);
    for name in [".gitignore", ".gitmodules"] {
        fs::remove_file(tree.path.join(name)).unwrap();
    }
    symlink("a.txt", tree.path.join(".gitattributes")).unwrap();
    symlink("a.txt", tree.path.join(".gitignore")).unwrap();
    tree.write(".gitmodules/inside", "x");
    let (paths, left_out) = tree.hand_back();
    assert_eq!(paths, Vec::<String>::new());
    assert_eq!(left_out.len(), 3, "{left_out:?}");
}

#[test]
fn submodules_are_neither_added_nor_led_elsewhere() {
    const ONE: &str = "[submodule \"lib\"]\n\tpath = lib\n\turl = https://example.test/lib.git\n";
    let world = World::new();
    world.author_pushes(".gitmodules", ONE);
    let tree = Tree::of(world);
    tree.write(".gitmodules", &format!("# Ours\n{ONE}"));
    assert_eq!(tree.hand_back(), (vec![".gitmodules".to_owned()], vec![]));
    for (text, why) in [
        (
            format!("{ONE}[submodule \"x\"]\n\tpath = x\n\turl = ../x\n"),
            "it adds a submodule",
        ),
        (
            ONE.replace("example.test", "evil.example"),
            "it leads a submodule elsewhere",
        ),
        (
            "[submodule".to_owned(),
            "it is no configuration that git can read",
        ),
    ] {
        tree.write(".gitmodules", &text);
        assert_eq!(
            tree.hand_back(),
            (vec![], vec![format!("`.gitmodules` was left out: {why}")])
        );
    }
    git(&tree.path, &["init", "-q", "lib"]);
    tree.write("lib/file", "x");
    tree.write(".gitmodules", ONE);
    let (paths, _) = tree.hand_back();
    assert_eq!(paths, ["lib/file"], "flattened, no link");
}

#[test]
fn no_directory_becomes_a_repository() {
    let world = World::new();
    world.author_pushes("fixture.git/HEAD", "ref: refs/heads/main\n");
    world.author_pushes("fixture.git/objects/keep", "");
    world.author_pushes("fixture.git/refs/keep", "");
    let tree = Tree::of(world);
    git(&tree.path, &["init", "-q", "--bare", "bare"]);
    for directory in ["src", "."] {
        for part in ["HEAD", "config", "objects/keep", "refs/keep"] {
            tree.write(&format!("{directory}/{part}"), "x");
        }
    }
    tree.write("fixture.git/HEAD", "ref: refs/heads/other\n");
    tree.write("fixture.git/config", "[core]\n\tfsmonitor = touch MARKER\n");
    let (paths, left_out) = tree.hand_back();
    assert_eq!(paths, ["fixture.git/HEAD"]);
    let named: Vec<_> = left_out
        .iter()
        .map(|note| note.split('`').nth(1).unwrap())
        .collect();
    assert_eq!(
        named,
        [
            "HEAD",
            "bare",
            "config",
            "fixture.git/config",
            "objects",
            "refs",
            "src/HEAD",
            "src/config",
            "src/objects",
            "src/refs"
        ]
    );
}
