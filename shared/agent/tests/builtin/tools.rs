//! What the tools do to the work tree, and what the model and people get to see of it.

use serde_json::json;

use crate::world::{PATH, World, call};

#[tokio::test]
async fn commands_run_in_the_work_tree_with_the_programs_environment() {
    let world = World::with(json!([
        {"when": "task", "reply": call("bash", json!({"command":
            "pwd -P; env | grep -v -e ^PWD= -e ^OLDPWD= -e ^SHLVL= -e ^_= | sort"}))},
        {"when": "exit code", "reply": {"text": "ok"}},
    ]))
    .await;
    world.run("task").await.summary();
    let expected = format!(
        "exit code 0\n{}\nHOME={}\nPATH={PATH}\nTERM=dumb\n",
        world.tree().canonicalize().unwrap().display(),
        world.home().display()
    );
    assert_eq!(world.results(), [expected]);
}

#[tokio::test]
async fn each_command_has_a_shell_of_its_own() {
    let world = World::with(json!([
        {"when": "task", "reply": call("bash", json!({"command": "mkdir sub; cd sub; X=1; exit 3"}))},
        {"when": "exit code 3", "reply": call("bash", json!({"command": "echo \"${X:-none}\"; basename \"$PWD\"; kill -9 $$"}))},
        {"when": "killed by signal 9\nnone\ntree\n", "reply": {"text": "ok"}},
    ]))
    .await;
    assert_eq!(world.run("task").await.summary(), "ok");
}

#[tokio::test]
async fn paths_out_of_the_work_tree_are_refused_and_the_run_goes_on() {
    let world = World::with(json!([
        {"when": "task", "reply": {"tool_calls": [
            {"name": "view", "arguments": {"path": "../outside"}},
            {"name": "edit", "arguments": {"path": "../outside", "old": "secret", "new": "gone"}},
            {"name": "edit", "arguments": {"path": "link/new", "old": "", "new": "x"}},
            {"name": "edit", "arguments": {"path": "/etc/hostname", "old": "", "new": "x"}},
            {"name": "search", "arguments": {"pattern": "secret", "path": "link"}},
        ]}},
        {"when": "leads out", "reply": {"text": "understood"}},
    ]))
    .await;
    std::fs::write(world.tree().parent().unwrap().join("outside"), "secret").unwrap();
    std::os::unix::fs::symlink("..", world.tree().join("link")).unwrap();
    let ran = world.run("task").await;
    assert_eq!(ran.summary(), "understood");
    for result in world.results() {
        assert!(result.ends_with("leads out of the checkout"), "{result}");
    }
    assert_eq!(world.results().len(), 5);
    assert!(ran.steps.is_empty());
    assert_eq!(
        std::fs::read(world.tree().parent().unwrap().join("outside")).unwrap(),
        b"secret"
    );
    assert!(!world.tree().parent().unwrap().join("new").exists());
}

#[tokio::test]
async fn an_edit_keeps_crlf_and_foreign_bytes() {
    let world = World::with(json!([
        {"when": "task", "reply": call("edit", json!({"path": "w.txt", "old": "b\nc", "new": "x\ny\nz"}))},
        {"when": "edited", "reply": {"text": "ok"}},
    ]))
    .await;
    world.write("w.txt", b"a\xff\r\nb\r\nc\r\n");
    world.run("task").await.summary();
    assert_eq!(world.read("w.txt"), b"a\xff\r\nx\r\ny\r\nz\r\n");
}

#[tokio::test]
async fn an_edit_that_does_not_fit_says_how_often_and_what_is_near() {
    let world = World::with(json!([
        {"when": "task", "reply": {"tool_calls": [
            {"name": "edit", "arguments": {"path": "f", "old": "x = 1", "new": "x = 2"}},
            {"name": "edit", "arguments": {"path": "f", "old": "\ty = 1", "new": "\ty = 2"}},
            {"name": "view", "arguments": {"path": "latin"}},
        ]}},
        {"when": "not UTF-8", "reply": {"text": "understood"}},
    ]))
    .await;
    let content = b"x = 1\nx = 1\n    y = 1\n";
    world.write("f", content);
    world.write("latin", b"caf\xe9\n");
    world.run("task").await.summary();
    let results = world.results();
    assert!(
        results[0].contains("2 times, beginning in lines 1, 2"),
        "{results:?}"
    );
    assert!(
        results[1].ends_with("Nearest to it:\n3:     y = 1"),
        "{results:?}"
    );
    assert_eq!(world.read("f"), content);
}

#[tokio::test]
async fn files_are_created_with_their_directories() {
    let world = World::with(json!([
        {"when": "task", "reply": call("edit", json!({"path": "new/dir/f.txt", "old": "", "new": "hello\n"}))},
        {"when": "created", "reply": {"text": "ok"}},
    ]))
    .await;
    let ran = world.run("task").await;
    assert_eq!(world.read("new/dir/f.txt"), b"hello\n");
    assert_eq!(ran.steps, ["created new/dir/f.txt"]);
}

#[tokio::test]
async fn a_search_shows_where_and_what() {
    let world = World::with(json!([
        {"when": "task", "reply": call("search", json!({"pattern": "fn \\w+", "glob": "*.rs"}))},
        {"when": "src/a.rs:2: fn two", "reply": {"text": "ok"}},
    ]))
    .await;
    world.write("src/a.rs", b"\nfn two() {}\n");
    world.write("src/a.txt", b"fn no() {}\n");
    let ran = world.run("task").await;
    assert_eq!(ran.summary(), "ok");
    assert_eq!(ran.steps, ["searched for `fn \\w+`"]);
    assert_eq!(
        world.results(),
        ["src/a.rs:2: fn two() {}\n[1 matching lines; 1 files searched]"]
    );
}

#[tokio::test]
async fn steps_are_one_short_line_whatever_the_command() {
    let command = format!("echo `date`\n{}", "true; ".repeat(100));
    let world = World::with(json!([
        {"when": "task", "reply": call("bash", json!({"command": command}))},
        {"when": "exit code", "reply": {"text": "ok"}},
    ]))
    .await;
    let steps = world.run("task").await.steps;
    assert!(steps[0].starts_with("ran `echo 'date' true; true;"), "{steps:?}");
    assert!(
        steps[0].ends_with("…`") && steps[0].chars().count() <= 102,
        "{steps:?}"
    );
}
