//! What is found, what is left out, and where it stops.

use std::os::unix::fs::symlink;

use rustix::fs::{CWD, Mode, mknodat};
use serde_json::{Value, json};

use super::*;

const BYTES_MAX: usize = 10_000;

fn world(files: &[(&str, &[u8])]) -> (tempfile::TempDir, Tree) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for (path, content) in files {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().expect("not the root")).expect("made");
        std::fs::write(path, content).expect("written");
    }
    let tree = Tree::open(dir.path()).expect("opened");
    (dir, tree)
}

fn search(tree: &Tree, arguments: Value) -> Result<String, String> {
    let arguments = serde_json::from_value(arguments).expect("arguments");
    run(tree, arguments, BYTES_MAX).map(|done| done.result)
}

#[test]
fn matching_lines_are_shown_with_file_and_number_in_order() {
    let (_dir, tree) = world(&[
        ("b.txt", b"no\nneedle\n"),
        ("a/z.txt", b"a needle\r\nneedle two"),
        (".hidden", b"needle\n"),
        (".git/config", b"needle\n"),
        ("sub/.git", b"needle\n"),
    ]);
    assert_eq!(
        search(&tree, json!({"pattern": "needle"})).unwrap(),
        ".hidden:1: needle\na/z.txt:1: a needle\na/z.txt:2: needle two\nb.txt:2: needle\n\
         [4 matching lines; 3 files searched]"
    );
}

#[test]
fn a_pattern_is_an_expression_for_one_line_unless_it_is_literal() {
    let (_dir, tree) = world(&[("f", b"f(x)\nfx\nF(X)\n\xe9 f(y) \xff\n")]);
    for (arguments, lines) in [
        (json!({"pattern": "f(x)"}), &["f:2"][..]),
        (json!({"pattern": "f(x)", "literal": true}), &["f:1"]),
        (
            json!({"pattern": "f(x)", "literal": true, "ignore_case": true}),
            &["f:1", "f:3"],
        ),
        (json!({"pattern": "^f.$"}), &["f:2"]),
        (json!({"pattern": "f\\(\\w\\)"}), &["f:1", "f:4"]),
        (json!({"pattern": "[^x]*y"}), &["f:4"]),
        (json!({"pattern": "nothing", "glob": null, "path": null}), &[]),
    ] {
        let found = search(&tree, arguments.clone()).unwrap();
        let found: Vec<&str> = found
            .lines()
            .filter_map(|line| line.split_once(": ").map(|(place, _)| place))
            .collect();
        assert_eq!(found, lines, "{arguments}");
    }
}

#[test]
fn a_path_or_a_glob_narrows_it() {
    let (dir, tree) = world(&[
        ("src/a.rs", b"x\n"),
        ("src/deep/b.rs", b"x\n"),
        ("src/c.txt", b"x\n"),
        ("d.rs", b"x\n"),
    ]);
    let absolute = dir.path().join("src").display().to_string();
    for (arguments, files) in [
        (
            json!({"pattern": "x", "glob": "*.rs"}),
            &["d.rs", "src/a.rs", "src/deep/b.rs"][..],
        ),
        (json!({"pattern": "x", "glob": "src/*.rs"}), &["src/a.rs"]),
        (json!({"pattern": "x", "path": "./src/deep"}), &["src/deep/b.rs"]),
        (
            json!({"pattern": "x", "path": absolute, "glob": "*.txt"}),
            &["src/c.txt"],
        ),
        (json!({"pattern": "x", "path": "src/c.txt"}), &["src/c.txt"]),
    ] {
        let found = search(&tree, arguments.clone()).unwrap();
        let found: Vec<&str> = found
            .lines()
            .filter_map(|line| line.split_once(":1").map(|(file, _)| file))
            .collect();
        assert_eq!(found, files, "{arguments}");
    }
}

#[test]
fn what_cannot_be_searched_is_said() {
    let (_dir, tree) = world(&[("f", b"x\n")]);
    for (arguments, wrong) in [
        (json!({"pattern": "("}), "set literal to true"),
        (json!({"pattern": ""}), "the pattern is empty"),
        (json!({"pattern": "x", "glob": "["}), "is not a glob"),
        (
            json!({"pattern": "x", "path": "nowhere"}),
            "nowhere does not exist",
        ),
        (
            json!({"pattern": "x", "path": "../"}),
            "leads out of the checkout",
        ),
        (json!({"pattern": "(a{1000}){1000}"}), "cannot be used"),
    ] {
        let why = search(&tree, arguments.clone()).unwrap_err();
        assert!(why.contains(wrong), "{arguments}: {why}");
    }
}

#[test]
fn links_fifos_binaries_and_huge_files_are_not_read() {
    let outside = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(outside.path().join("secret"), "x\n").expect("written");
    let (dir, tree) = world(&[("bin", b"\0x\n"), ("text", b"x\n")]);
    symlink(outside.path().join("secret"), dir.path().join("link")).unwrap();
    symlink(outside.path(), dir.path().join("directory")).unwrap();
    symlink(".", dir.path().join("loop")).unwrap();
    mknodat(CWD, dir.path().join("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    let huge = std::fs::File::create(dir.path().join("huge")).unwrap();
    huge.set_len(100 * 1024 * 1024).unwrap();
    assert_eq!(
        search(&tree, json!({"pattern": "x"})).unwrap(),
        "text:1: x\n[1 matching lines; 2 files searched; 1 too large, too deep or unreadable]"
    );
}

#[test]
fn many_matches_and_long_lines_are_shown_in_part() {
    let (_dir, tree) = world(&[("many", &b"x\n".repeat(1000)), ("wide", &b"y".repeat(100_000))]);
    let found = search(&tree, json!({"pattern": "x"})).unwrap();
    assert_eq!(found.lines().count(), LINES_MAX + 1);
    assert!(found.contains("more matches than are shown"), "{found}");
    let found = search(&tree, json!({"pattern": "y"})).unwrap();
    assert!(found.len() < 400 && found.contains("…\n[1 matching"), "{found}");
}

#[test]
fn a_tree_of_great_depth_is_searched_as_far_as_it_makes_sense() {
    let (dir, tree) = world(&[("f", b"x\n")]);
    let mut path = dir.path().to_owned();
    for _ in 0..150 {
        path.push("d");
    }
    std::fs::create_dir_all(&path).unwrap();
    std::fs::write(path.join("deep"), "x\n").unwrap();
    let found = search(&tree, json!({"pattern": "x"})).unwrap();
    assert!(
        found.starts_with("f:1: x\n[1 matching lines; 1 files searched; 1 too"),
        "{found}"
    );
}
