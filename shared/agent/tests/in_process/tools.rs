//! What the tools do to the work tree, and what the model and people get to see of it.

use agent::{Ended, Progress};
use serde_json::json;

use crate::world::{World, call};

#[tokio::test]
async fn an_edit_lands_in_the_work_tree_and_in_the_report() {
    let world = World::with(json!([
        {"when": "subtracts", "reply": call("bash", json!({"command": "cat src/add.rs; pwd"}))},
        {"when": "exit code 0", "reply": call("edit", json!({"path": "src/add.rs", "old": "a - b", "new": "a + b"}))},
        {"when": "edited", "reply": call("view", json!({"path": "src/add.rs"}))},
        {"when": "a + b", "reply": call("finish", json!({
            "summary": "It adds now.", "not_done": ["docs"], "questions": "Why at all?"}))},
    ]))
    .await;
    world.write("src/add.rs", b"fn add() { a - b }\n");
    let report = world.run("add() subtracts, please fix").await.unwrap();
    assert_eq!(report.ended, Ended::Finished);
    assert_eq!(report.summary, "It adds now.");
    assert_eq!(
        (report.not_done, report.questions),
        (vec!["docs".to_owned()], vec!["Why at all?".to_owned()])
    );
    assert_eq!(world.read("src/add.rs"), b"fn add() { a + b }\n");
    assert_eq!(
        world.steps(),
        [
            "ran `cat src/add.rs; pwd`",
            "edited src/add.rs",
            "looked at src/add.rs"
        ]
    );
    let pwd = world.tree().canonicalize().unwrap();
    let shown = world.results()[0].clone();
    assert_eq!(
        shown,
        format!("exit code 0\nfn add() {{ a - b }}\n{}\n", pwd.display())
    );
}

#[tokio::test]
async fn usage_adds_up_and_is_told_on_the_way() {
    let world = World::with(json!([
        {"when": "task", "reply": call("bash", json!({"command": "true"}))},
        {"when": "exit code 0", "reply": {"text": "done"}},
    ]))
    .await;
    let report = world.run("task").await.unwrap();
    assert_eq!(report.usage.turns, 2);
    assert!(
        report.usage.input_tokens > 500 && report.usage.output_tokens > 0,
        "{:?}",
        report.usage
    );
    let told: Vec<_> = world
        .progress()
        .into_iter()
        .filter_map(|told| {
            if let Progress::Usage(usage) = told {
                Some(usage)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(told.len(), 2);
    assert!(told[0].input_tokens < told[1].input_tokens);
    assert_eq!(told[1], report.usage);
}

#[tokio::test]
async fn commands_see_a_fixed_environment() {
    let world = World::with(json!([
        {"when": "task", "reply": call("bash", json!({"command": "env | grep -v -e ^PWD= -e ^SHLVL= -e ^_= | sort"}))},
        {"when": "exit code", "reply": {"text": "ok"}},
    ]))
    .await;
    world.run("task").await.unwrap();
    let expected = format!(
        "exit code 0\nHOME={}\nLANG=C.UTF-8\nPATH=/usr/local/bin:/usr/bin:/bin\nTERM=dumb\n",
        world.home().display()
    );
    assert_eq!(world.results(), [expected]);
}

#[tokio::test]
async fn long_output_reaches_the_model_without_its_middle() {
    let world = World::with(json!([
        {"when": "task", "reply": call("bash", json!({"command": "echo first; seq 100000; echo last"}))},
        {"when": "exit code 0", "reply": {"text": "ok"}},
    ]))
    .await;
    world.run("task").await.unwrap();
    let result = world.results().remove(0);
    assert!(
        result.contains("\nfirst\n1\n2\n") && result.ends_with("\n100000\nlast\n"),
        "{result}"
    );
    assert!(result.contains("[578906 bytes cut]"), "{result}");
    assert!(result.len() < 10_200, "{}", result.len());
}

#[tokio::test]
async fn paths_out_of_the_work_tree_are_refused_and_the_run_goes_on() {
    let world = World::with(json!([
        {"when": "task", "reply": {"tool_calls": [
            {"name": "view", "arguments": {"path": "../outside"}},
            {"name": "edit", "arguments": {"path": "../outside", "old": "secret", "new": "gone"}},
            {"name": "edit", "arguments": {"path": "link/new", "old": "", "new": "x"}},
            {"name": "edit", "arguments": {"path": "/etc/hostname", "old": "", "new": "x"}},
        ]}},
        {"when": "leads out", "reply": {"text": "understood"}},
    ]))
    .await;
    std::fs::write(world.tree().parent().unwrap().join("outside"), "secret").unwrap();
    std::os::unix::fs::symlink("..", world.tree().join("link")).unwrap();
    assert_eq!(world.run("task").await.unwrap().ended, Ended::Finished);
    for result in world.results() {
        assert!(result.ends_with("leads out of the checkout"), "{result}");
    }
    assert_eq!(world.results().len(), 4);
    assert!(world.steps().is_empty());
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
    world.run("task").await.unwrap();
    assert_eq!(world.read("w.txt"), b"a\xff\r\nx\r\ny\r\nz\r\n");
}

#[tokio::test]
async fn files_are_created_with_their_directories() {
    let world = World::with(json!([
        {"when": "task", "reply": call("edit", json!({"path": "new/dir/f.txt", "old": "", "new": "hello\n"}))},
        {"when": "created", "reply": {"text": "ok"}},
    ]))
    .await;
    world.run("task").await.unwrap();
    assert_eq!(world.read("new/dir/f.txt"), b"hello\n");
    assert_eq!(world.steps(), ["created new/dir/f.txt"]);
}

#[tokio::test]
async fn steps_are_one_short_line_whatever_the_command() {
    let command = format!("echo `date`\n{}", "true; ".repeat(100));
    let world = World::with(json!([
        {"when": "task", "reply": call("bash", json!({"command": command}))},
        {"when": "exit code", "reply": {"text": "ok"}},
    ]))
    .await;
    world.run("task").await.unwrap();
    let steps = world.steps();
    assert!(steps[0].starts_with("ran `echo 'date' true; true;"), "{steps:?}");
    assert!(
        steps[0].ends_with("…`") && steps[0].chars().count() <= 102,
        "{steps:?}"
    );
}
