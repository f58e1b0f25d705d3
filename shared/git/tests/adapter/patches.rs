//! Patches that git applies.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use crate::world::{World, git};

#[test]
fn git_applies_a_patch_of_everything_that_can_change() {
    let world = World::new();
    fs::write(world.author().join("gone.txt"), "gone").unwrap();
    fs::write(world.author().join("bytes"), [0_u8, 1, 2, 255].repeat(50)).unwrap();
    fs::write(world.author().join("type"), "a file\n").unwrap();
    fs::create_dir(world.author().join("swap")).unwrap();
    fs::write(world.author().join("swap/inner"), "inner\n").unwrap();
    world.author_pushes(
        "lines.txt",
        &((0..200)
            .map(|n| format!("line {n}"))
            .collect::<Vec<_>>()
            .join("\n")
            + "\n"),
    );
    let mirror = world.mirror();
    let (head, tree) = world.check_out(mirror.as_ref());

    let lines = fs::read_to_string(tree.join("lines.txt")).unwrap();
    let lines = lines
        .replace("line 3\n", "")
        .replace("line 100\n", "line a hundred\nand more\n");
    fs::write(tree.join("lines.txt"), lines.trim_end()).unwrap();
    fs::remove_file(tree.join("gone.txt")).unwrap();
    fs::write(tree.join("bytes"), [7_u8, 0, 9].repeat(40)).unwrap();
    fs::write(tree.join("new bytes"), [0_u8; 300]).unwrap();
    fs::write(tree.join("empty"), "").unwrap();
    fs::write(tree.join("with \"quotes\" and ü\t.txt"), "no newline at the end").unwrap();
    fs::set_permissions(tree.join("a.txt"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_file(tree.join("type")).unwrap();
    symlink("a.txt", tree.join("type")).unwrap();
    fs::remove_dir_all(tree.join("swap")).unwrap();
    fs::write(tree.join("swap"), "now a file\n").unwrap();

    let commit = crate::world::commit(mirror.as_ref(), &head, &tree);
    let patch = mirror.patch(&head, &commit).unwrap();
    let file = world.directory.path().join("change.patch");
    fs::write(&file, &patch.text).unwrap();
    let author = world.author();
    git(
        &author,
        &["apply", "--index", "--whitespace=nowarn", file.to_str().unwrap()],
    );
    let applied = git(&author, &["write-tree"]);
    mirror
        .push(&world.remote(), crate::world::BRANCH, &head, &commit)
        .unwrap();
    let wanted = git(&world.bare(), &["rev-parse", &format!("{commit}^{{tree}}")]);
    assert_eq!(applied, wanted, "{}", String::from_utf8_lossy(&patch.text));

    let stat = git(
        &world.bare(),
        &[
            "diff",
            "--no-renames",
            "--shortstat",
            head.as_str(),
            commit.as_str(),
        ],
    );
    let ours = format!(
        " {} files changed, {} insertions(+), {} deletions(-)\n",
        patch.files, patch.added, patch.removed
    );
    assert_eq!(ours, stat);
}

#[test]
fn a_small_patch_reads_as_git_writes_it() {
    let world = World::new();
    let mirror = world.mirror();
    let (head, tree) = world.check_out(mirror.as_ref());
    fs::write(tree.join("a.txt"), "one\n2\nthree\n").unwrap();
    fs::write(tree.join("src/b.txt"), "").unwrap();
    let commit = crate::world::commit(mirror.as_ref(), &head, &tree);
    let patch = mirror.patch(&head, &commit).unwrap();
    mirror
        .push(&world.remote(), crate::world::BRANCH, &head, &commit)
        .unwrap();
    let theirs = git(
        &world.bare(),
        &["diff", "--full-index", head.as_str(), commit.as_str()],
    );
    // git leaves a length of one out.
    let ours = String::from_utf8(patch.text)
        .unwrap()
        .replace("-1,1 +0,0", "-1 +0,0");
    assert_eq!(ours, theirs);
    assert_eq!((patch.files, patch.added, patch.removed), (2, 1, 2));
}

/// Lines of one letter out of two, in an order that no two `seed`s share: comparing takes the square of their number.
fn two_letters(lines: usize, mut seed: u32) -> String {
    let mut text = String::with_capacity(2 * lines);
    for _ in 0..lines {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.push_str(if seed >> 31 == 0 { "a\n" } else { "b\n" });
    }
    text
}

#[test]
fn texts_that_take_too_long_to_compare_are_written_whole_and_git_applies_them() {
    let world = World::new();
    world.author_pushes("long.txt", &two_letters(150_000, 1));
    let mirror = world.mirror();
    let (head, tree) = world.check_out(mirror.as_ref());
    fs::write(tree.join("long.txt"), two_letters(150_000, 2)).unwrap();
    fs::write(tree.join("a.txt"), "one\n2\nthree\n").unwrap();
    let commit = crate::world::commit(mirror.as_ref(), &head, &tree);
    let patch = mirror.patch(&head, &commit).unwrap();
    let whole: Vec<&str> = patch.binary.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(whole, ["long.txt"]);
    assert_eq!(
        (patch.files, patch.added, patch.removed),
        (2, 1, 1),
        "the short text has lines all the same"
    );
    let file = world.directory.path().join("change.patch");
    fs::write(&file, &patch.text).unwrap();
    let author = world.author();
    git(&author, &["apply", "--index", file.to_str().unwrap()]);
    mirror
        .push(&world.remote(), crate::world::BRANCH, &head, &commit)
        .unwrap();
    let wanted = git(&world.bare(), &["rev-parse", &format!("{commit}^{{tree}}")]);
    assert_eq!(git(&author, &["write-tree"]), wanted);
}
