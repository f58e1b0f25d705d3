//! Where a command ends, and what must not outlive it.

use serde_json::json;

use crate::world::{World, call, ended};

#[tokio::test]
async fn a_command_has_its_own_time_limit_and_the_run_goes_on() {
    let world = World::with(json!([
        {"when": "task", "reply": call("bash", json!({"command": "echo begun; sleep 300"}))},
        {"when": "killed after 0.3 s", "reply": {"text": "too slow"}},
    ]))
    .await;
    let mut order = world.order("task");
    order["command_wall"] = json!({"secs": 0, "nanos": 300_000_000});
    assert_eq!(world.run_order(&order.to_string()).await.summary(), "too slow");
    assert!(world.results()[0].ends_with("begun\n"), "{:?}", world.results());
}

#[tokio::test]
async fn a_background_child_does_not_hold_up_a_command_nor_outlive_it() {
    let script = "(while :; do date > beat; done) & while [ ! -s beat ]; do :; done; echo started";
    let world = World::with(json!([
        {"when": "task", "reply": call("bash", json!({"command": script}))},
        {"when": "started", "reply": call("bash", json!({"command":
            "echo still > beat; i=0; while [ $i -lt 300 ]; do i=$((i+1)); date > /dev/null; done; cat beat"}))},
        {"when": "exit code 0\nstill\n", "reply": {"text": "it is dead"}},
    ]))
    .await;
    assert_eq!(world.run("task").await.summary(), "it is dead");
}

#[tokio::test]
async fn a_command_that_left_its_group_does_not_hold_up_the_run() {
    let world = World::with(json!([
        {"when": "task", "reply": call("bash", json!({"command": "setsid sh -c 'echo $$ > pid; exec sleep 300' & while [ ! -s pid ]; do :; done"}))},
        {"when": "killed", "reply": {"text": "ok"}},
        {"when": "exit code 0", "reply": call("bash", json!({"command": "kill -9 $(cat pid) && echo killed"}))},
    ]))
    .await;
    assert_eq!(world.run("task").await.summary(), "ok");
}

#[tokio::test]
async fn long_output_reaches_the_model_without_its_middle() {
    let world = World::with(json!([
        {"when": "task", "reply": call("bash", json!({"command": "echo first; seq 100000; echo last"}))},
        {"when": "exit code 0", "reply": {"text": "ok"}},
    ]))
    .await;
    world.run("task").await.summary();
    let result = world.results().remove(0);
    assert!(
        result.contains("\nfirst\n1\n2\n") && result.ends_with("\n100000\nlast\n"),
        "{result}"
    );
    assert!(result.contains("[578906 bytes cut]"), "{result}");
    assert!(result.len() < 10_200, "{}", result.len());
}

#[tokio::test]
async fn a_command_longer_than_the_kernel_takes_is_declined_and_the_run_goes_on() {
    let world = World::with(json!([
        {"when": "task", "reply": call("bash", json!({"command": format!("echo {}", "x".repeat(200_000))}))},
        {"when": "bytes, and 100000 are the most", "reply": {"text": "ok"}},
    ]))
    .await;
    assert_eq!(world.run("task").await.summary(), "ok");
}

#[tokio::test]
async fn an_argument_of_five_megabytes_is_refused_and_not_sent_back() {
    for api in ["chat", "responses", "messages"] {
        let new = "x".repeat(5_000_000);
        let world = World::speaking(
            api,
            json!([
                {"when": "task", "reply": call("edit", json!({"path": "f", "old": "", "new": new}))},
                {"when": "are the most", "reply": {"text": "understood"}},
            ]),
        )
        .await;
        assert_eq!(world.run("task").await.summary(), "understood", "{api}");
        assert!(!world.tree().join("f").exists());
        let sent = world.requests()[1].body.to_string();
        assert!(sent.len() < 20_000, "{api}: {}", sent.len());
    }
}

#[tokio::test]
async fn an_answer_larger_than_any_model_writes_ends_the_run() {
    let text = "x".repeat(17 * 1024 * 1024);
    let world = World::with(json!([{"reply": {"text": text}}])).await;
    let ran = world.run("task").await;
    let why = ran.said("ended")["unanswered"]["garbled"]["reason"].to_string();
    assert!(why.contains("larger than 16777216 bytes"), "{why}");
}

#[tokio::test]
async fn an_answer_with_many_calls_is_done_in_part_and_the_rest_is_said() {
    let calls: Vec<_> = (0..60)
        .map(|number| json!({"name": "bash", "arguments": {"command": format!("echo {number} >> log")}}))
        .collect();
    let world = World::with(json!([
        {"when": "task", "reply": {"tool_calls": calls}},
        {"when": "at most 50 tools", "reply": {"text": "ok"}},
    ]))
    .await;
    assert_eq!(world.run("task").await.summary(), "ok");
    assert_eq!(String::from_utf8_lossy(&world.read("log")).lines().count(), 50);
    assert_eq!(world.results().len(), 60);
}

#[tokio::test]
async fn a_program_whose_reader_is_gone_ends() {
    let world = World::with(json!([{"reply": call("bash", json!({"command": "echo x >> log"}))}])).await;
    let mut child = world.start(&world.order("never ends").to_string()).await;
    drop(child.stdout.take());
    let ran = ended(child).await;
    assert!(!ran.status.success());
    assert!(ran.stderr.contains("cannot write to standard output"), "{ran:?}");
    // The first step could not be told, and nothing was done after it.
    assert_eq!(world.read("log"), b"x\n");
}
