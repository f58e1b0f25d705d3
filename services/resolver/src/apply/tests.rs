use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

type Files = BTreeMap<&'static str, &'static str>;

fn tree(files: &Files) -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = tree.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    tree
}

fn read(tree: &Path, path: &str) -> Option<String> {
    std::fs::read_to_string(tree.join(path)).ok()
}

const FOUR: &str = "one\ntwo\nthree\nfour\n";
const CHANGE: &str = "diff --git a/a.txt b/a.txt\nindex 1..2 100644\n--- a/a.txt\n+++ b/a.txt\n@@ -1,4 +1,4 @@\n one\n-two\n+TWO\n three\n four\n";

#[test]
fn a_change_is_applied_where_its_lines_are_also_when_they_have_moved() {
    for (before, after) in [
        (FOUR.to_owned(), "one\nTWO\nthree\nfour\n".to_owned()),
        (
            format!("zero\n{FOUR}"),
            "zero\none\nTWO\nthree\nfour\n".to_owned(),
        ),
        (
            format!("{FOUR}five\n"),
            "one\nTWO\nthree\nfour\nfive\n".to_owned(),
        ),
    ] {
        let tree = tempfile::tempdir().unwrap();
        std::fs::write(tree.path().join("a.txt"), &before).unwrap();
        apply(CHANGE.as_bytes(), tree.path()).unwrap();
        assert_eq!(read(tree.path(), "a.txt").as_deref(), Some(after.as_str()));
    }
}

#[test]
fn files_come_go_and_become_programs() {
    let tree = tree(&Files::from([("gone.txt", "x\ny"), ("run.sh", "echo\n")]));
    let patch = "diff --git a/dir/new file.txt b/dir/new file.txt\nnew file mode 100644\nindex 0..1\n--- /dev/null\n+++ b/dir/new file.txt\t\n@@ -0,0 +1,2 @@\n+a\n+b\n\\ No newline at end of file\n\
        diff --git a/gone.txt b/gone.txt\ndeleted file mode 100644\nindex 1..0\n--- a/gone.txt\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-x\n-y\n\\ No newline at end of file\n\
        diff --git a/run.sh b/run.sh\nold mode 100644\nnew mode 100755\n\
        diff --git a/empty b/empty\nnew file mode 100644\nindex 0..1\n";
    apply(patch.as_bytes(), tree.path()).unwrap();
    assert_eq!(read(tree.path(), "dir/new file.txt").as_deref(), Some("a\nb"));
    assert_eq!(read(tree.path(), "gone.txt"), None);
    assert_eq!(read(tree.path(), "empty").as_deref(), Some(""));
    let mode = std::fs::metadata(tree.path().join("run.sh"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o755);
}

#[test]
fn what_does_not_fit_leaves_the_whole_tree_as_it_is() {
    let second = |text: &str| format!("{CHANGE}diff --git a/b.txt b/b.txt\n{text}");
    for (patch, why) in [
        (
            second("index 1..2 100644\n--- a/b.txt\n+++ b/b.txt\n@@ -1,1 +1,1 @@\n-other\n+x\n"),
            "have changed",
        ),
        (
            second("new file mode 100644\nindex 0..1\n--- /dev/null\n+++ b/b.txt\n@@ -0,0 +1,1 @@\n+x\n"),
            "there already",
        ),
        (second("index 1..2\nGIT binary patch\nliteral 0\n"), "binary"),
        (second("new file mode 120000\nindex 0..1\n"), "not a file"),
        (second("rename from c\n"), "cannot be read"),
        (
            format!("{CHANGE}diff --git \"a/\\303\" \"b/\\303\"\n"),
            "not taken",
        ),
        (
            format!(
                "{CHANGE}diff --git a/c.txt b/c.txt\nindex 1..2\n--- a/c.txt\n+++ b/c.txt\n@@ -1,1 +1,1 @@\n-a\n+b\n"
            ),
            "not there any more",
        ),
        (
            format!("{CHANGE}diff --git a/c.txt b/c.txt\n@@ -1,9 +1,9 @@\n a\n"),
            "cannot be read",
        ),
        ("words\n".to_owned(), "begin with a file"),
    ] {
        let tree = tree(&Files::from([("a.txt", FOUR), ("b.txt", "b\n")]));
        let refused = apply(patch.as_bytes(), tree.path()).unwrap_err();
        assert!(refused.0.contains(why), "{refused:?} for {patch}");
        assert_eq!(read(tree.path(), "a.txt").as_deref(), Some(FOUR), "{patch}");
        assert_eq!(read(tree.path(), "b.txt").as_deref(), Some("b\n"));
    }
}

#[test]
fn nothing_is_written_outside_the_tree() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("a.txt"), FOUR).unwrap();
    let tree = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), tree.path().join("link")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("a.txt"), tree.path().join("a.txt")).unwrap();
    let names = [
        "a.txt".to_owned(),
        "link/a.txt".to_owned(),
        "../a.txt".to_owned(),
        format!("{}/a.txt", outside.path().display()),
    ];
    for name in names {
        let patch = CHANGE.replace("a.txt", &name);
        apply(patch.as_bytes(), tree.path()).unwrap_err();
    }
    assert_eq!(read(outside.path(), "a.txt").as_deref(), Some(FOUR));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_text_makes_it_panic(patch in "(diff --git a/a b/a\n|@@ -[0-9]{1,2},[0-9] \\+[0-9],[0-9] @@\n|[ +\\-\\\\]?[a-c]{0,3}\n|index 1..2\n){0,12}") {
        let tree = tree(&Files::from([("a", "a\nb\nc\n")]));
        // Whatever comes of it, it comes back.
        drop(apply(patch.as_bytes(), tree.path()));
    }
}
