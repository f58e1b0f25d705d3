//! The way into the work tree, and the ways out of it that are closed.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

struct World {
    dir: tempfile::TempDir,
    tree: Tree,
}

fn world() -> World {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let work_tree = dir.path().join("tree");
    std::fs::create_dir_all(work_tree.join("src")).expect("made");
    std::fs::write(work_tree.join("src/a.rs"), "inside").expect("written");
    std::fs::write(dir.path().join("secret"), "outside").expect("written");
    std::fs::create_dir(dir.path().join("elsewhere")).expect("made");
    let tree = Tree::open(&work_tree).expect("opened");
    World { dir, tree }
}

fn read(world: &World, path: &str) -> Result<String, String> {
    match world
        .tree
        .open_for_reading(path)
        .map_err(|error| error.of(path))?
    {
        Opened::File(mut file) => file
            .read()
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .map_err(|error| error.of(path)),
        Opened::Directory(_) => Ok("directory".to_owned()),
    }
}

#[test]
fn paths_inside_are_opened_however_they_are_written() {
    let world = world();
    let absolute = world.dir.path().join("tree/src/a.rs");
    for path in [
        "src/a.rs",
        "./src/a.rs",
        "src/../src/a.rs",
        absolute.to_str().unwrap(),
    ] {
        assert_eq!(read(&world, path).as_deref(), Ok("inside"), "{path}");
    }
    assert_eq!(read(&world, ".").as_deref(), Ok("directory"));
    symlink("a.rs", world.dir.path().join("tree/src/link")).unwrap();
    assert_eq!(read(&world, "src/link").as_deref(), Ok("inside"));
}

#[test]
fn paths_that_lead_outside_are_refused_however_they_are_written() {
    let world = world();
    let outside = world.dir.path().join("secret");
    let tree = world.dir.path().join("tree");
    symlink("../secret", tree.join("up")).unwrap();
    symlink(&outside, tree.join("absolute")).unwrap();
    symlink("..", tree.join("parent")).unwrap();
    for path in [
        "../secret",
        "src/../../secret",
        "up",
        "absolute",
        "parent/secret",
        outside.to_str().unwrap(),
        "/etc/passwd",
    ] {
        assert_eq!(
            read(&world, path),
            Err(format!("{path} leads out of the checkout"))
        );
        assert!(world.tree.open_for_writing(path).is_err(), "{path}");
    }
    assert_eq!(std::fs::read_to_string(outside).unwrap(), "outside");
}

#[test]
fn nothing_is_created_outside() {
    let world = world();
    let tree = world.dir.path().join("tree");
    symlink("../elsewhere", tree.join("away")).unwrap();
    symlink("../new", tree.join("dangling")).unwrap();
    for path in [
        "../new",
        "away/new",
        "away/deep/new",
        "dangling",
        "src/../../new",
        "dangling/new",
    ] {
        assert!(world.tree.create(path, b"x").is_err(), "{path}");
    }
    assert!(!world.dir.path().join("new").exists());
    assert_eq!(
        std::fs::read_dir(world.dir.path().join("elsewhere"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn a_file_is_created_with_its_directories_but_never_over_another() {
    let world = world();
    world.tree.create("a/b/c.txt", b"new").unwrap();
    assert_eq!(read(&world, "a/b/c.txt").as_deref(), Ok("new"));
    assert!(matches!(
        world.tree.create("src/a.rs", b"x"),
        Err(PathError::Exists)
    ));
    world.tree.create("empty", b"").unwrap();
    world.tree.create("empty", b"filled").unwrap();
    assert_eq!(read(&world, "empty").as_deref(), Ok("filled"));
    for path in ["", "a/..", "src"] {
        assert!(world.tree.create(path, b"x").is_err(), "{path:?}");
    }
}

#[test]
fn overwriting_keeps_the_mode_and_leaves_no_rest() {
    let world = world();
    let path = world.dir.path().join("tree/src/a.rs");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut file = world.tree.open_for_writing("src/a.rs").unwrap();
    assert_eq!(file.read().unwrap(), b"inside");
    file.overwrite(b"in").unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "in");
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o755
    );
}

#[test]
fn what_is_no_regular_file_is_refused_without_waiting() {
    let world = world();
    let fifo = world.dir.path().join("tree/fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    assert_eq!(read(&world, "fifo"), Err("fifo is not a regular file".to_owned()));
    assert!(matches!(
        world.tree.open_for_writing("fifo"),
        Err(PathError::NotAFile)
    ));
    assert!(matches!(
        world.tree.open_for_writing("src"),
        Err(PathError::NotAFile)
    ));
    assert_eq!(read(&world, "missing"), Err("missing does not exist".to_owned()));
}

#[test]
fn a_file_over_the_limit_is_refused() {
    let world = world();
    let file = File::create(world.dir.path().join("tree/big")).unwrap();
    file.set_len(FILE_BYTES_MAX + 1).unwrap();
    assert!(read(&world, "big").unwrap_err().contains("is larger than"));
}
