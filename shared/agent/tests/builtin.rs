//! The built-in agent against a scripted model: real HTTP, real shells, real files.

mod world;

use std::time::{Duration, Instant};

use agent::{Ended, Error, Progress};
use serde_json::json;
use world::{LIMIT, World, call};

/// How fast a run must be over when it is stopped.
const AT_ONCE: Duration = Duration::from_secs(1);

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
async fn an_answer_in_plain_text_is_a_finish() {
    let world = World::with(json!([{"reply": {"text": "It is correct as it is."}}])).await;
    let report = world.run("is this right?").await.unwrap();
    assert_eq!(
        (report.ended, report.summary.as_str()),
        (Ended::Finished, "It is correct as it is.")
    );
}

#[tokio::test]
async fn what_is_asked_goes_out_with_key_headers_model_and_tools() {
    let world = World::with(json!([{"reply": {"text": "ok"}}])).await;
    world.run("the brief itself").await.unwrap();
    let request = world.requests().remove(0);
    assert_eq!(request.path, "/v1/chat/completions");
    assert_eq!(request.headers["authorization"], "Bearer the-key");
    assert_eq!(request.headers["x-gateway"], "team-7");
    assert_eq!(request.body["model"], "vendor::qwen-high");
    assert_eq!(request.body.get("reasoning_effort"), None);
    let tools: Vec<&str> = request.body["tools"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|tool| tool["function"]["name"].as_str())
        .collect();
    assert_eq!(tools, ["bash", "view", "edit", "finish"]);
    let roles: Vec<&str> = request.body["messages"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|message| message["role"].as_str())
        .collect();
    assert_eq!(roles, ["system", "user"]);
    let task = request.body["messages"][1]["content"].as_str().unwrap();
    assert!(task.starts_with("<task>\nthe brief itself\n</task>"), "{task}");
}

#[tokio::test]
async fn a_refused_key_ends_the_run_at_once() {
    for status in [401, 403] {
        let world = World::with(json!([{"reply": {"status": status}}])).await;
        let error = world.run("task").await.unwrap_err();
        assert!(matches!(error, Error::ModelUnauthorized), "{error:?}");
        assert_eq!(world.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_rate_limit_is_waited_for_as_long_as_the_endpoint_says() {
    let world = World::with(json!([
        {"reply": {"status": 429, "retry_after": 1}, "times": 1},
        {"reply": {"text": "after the wait"}},
    ]))
    .await;
    let before = Instant::now();
    let report = world.run("task").await.unwrap();
    assert!(before.elapsed() >= Duration::from_secs(1));
    assert_eq!(
        (report.summary.as_str(), world.requests().len()),
        ("after the wait", 2)
    );
}

#[tokio::test]
async fn a_rate_limit_that_stays_or_asks_for_too_long_ends_the_run() {
    for (retry_after, asked) in [(json!(0), 3), (json!(3600), 1)] {
        let world = World::with(json!([{"reply": {"status": 429, "retry_after": retry_after}}])).await;
        let error = world.run("task").await.unwrap_err();
        let seconds = retry_after.as_u64().map(Duration::from_secs);
        assert!(
            matches!(error, Error::ModelRateLimited { after } if after == seconds),
            "{error:?}"
        );
        assert_eq!(world.requests().len(), asked);
    }
}

#[tokio::test]
async fn a_server_error_is_tried_again_and_then_given_up() {
    let world = World::with(json!([
        {"reply": {"status": 502}, "times": 2},
        {"reply": {"text": "back"}, "times": 1},
        {"reply": {"status": 500}},
    ]))
    .await;
    assert_eq!(world.run("task").await.unwrap().summary, "back");
    let error = world.run("task").await.unwrap_err();
    assert!(matches!(error, Error::ModelServer { status: 500 }), "{error:?}");
    assert_eq!(world.requests().len(), 6);
}

#[tokio::test]
async fn garbage_ends_the_run_without_another_try() {
    for garbage in [
        "<html>busy</html>",
        "",
        "[]",
        "{\"choices\": []}",
        "{\"error\": {\"message\": \"overloaded\"}}",
    ] {
        let world = World::with(json!([{"reply": {"garbage": garbage}}])).await;
        let error = world.run("task").await.unwrap_err();
        assert!(matches!(error, Error::ModelAnswer { .. }), "{garbage}: {error:?}");
        assert_eq!(world.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_refused_request_ends_the_run_with_what_the_endpoint_said() {
    let world = World::with(json!([{"reply": {"status": 404}}])).await;
    let error = world.run("task").await.unwrap_err();
    assert!(
        matches!(error, Error::ModelRefused { status: 404, .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("scripted error"), "{error}");
}

#[tokio::test]
async fn an_endpoint_that_is_down_is_unreachable_after_several_tries() {
    let mut world = World::with(json!([])).await;
    world.stop_model().await;
    let error = world.run("task").await.unwrap_err();
    assert!(matches!(error, Error::ModelUnreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("refused"), "{error}");
    assert!(!format!("{error:?}").contains("the-key"));
}

#[tokio::test]
async fn malformed_calls_are_explained_and_three_in_a_row_end_the_run() {
    let world = World::with(json!([
        {"reply": call("bash", json!("{\"command\": ")), "times": 1},
        {"reply": call("shell", json!({"command": "ls"})), "times": 1},
        {"reply": call("edit", json!({"path": "a"})), "times": 1},
    ]))
    .await;
    let report = world.run("task").await.unwrap();
    assert_eq!(report.ended, Ended::MalformedCalls);
    assert_eq!(report.usage.turns, 3);
    let results = world.results();
    assert!(results[0].contains("not JSON"), "{results:?}");
    assert!(results[1].contains("no tool \"shell\""), "{results:?}");
}

#[tokio::test]
async fn a_good_call_in_between_makes_malformed_ones_forgiven() {
    let bad = json!({"reply": call("bash", json!("{")), "times": 2});
    let good = json!({"reply": call("bash", json!({"command": "true"})), "times": 1});
    let world = World::with(json!([bad, good, bad, {"reply": {"text": "made it"}}])).await;
    assert_eq!(world.run("task").await.unwrap().ended, Ended::Finished);
}

#[tokio::test]
async fn empty_answers_are_explained_and_three_in_a_row_end_the_run() {
    let world = World::with(json!([{"reply": {"text": ""}}])).await;
    let report = world.run("task").await.unwrap();
    assert_eq!((report.ended, report.usage.turns), (Ended::NoToolCalls, 3));
}

#[tokio::test]
async fn the_turn_limit_ends_the_run_with_the_work_done_so_far() {
    let world = World::with(json!([{"reply": call("bash", json!({"command": "echo x >> log"}))}])).await;
    let mut task = world.task("never ends");
    task.limits.turns = 4;
    let report = world.run_task(task).await.unwrap();
    assert_eq!((report.ended, report.usage.turns), (Ended::TurnLimit, 4));
    assert_eq!(world.read("log"), b"x\nx\nx\nx\n");
}

#[tokio::test]
async fn the_token_limit_ends_the_run() {
    let world = World::with(json!([{"reply": call("bash", json!({"command": "true"}))}])).await;
    let mut task = world.task("never ends");
    task.limits.tokens = 2000;
    let report = world.run_task(task).await.unwrap();
    assert_eq!(report.ended, Ended::TokenLimit);
    assert!(report.usage.tokens() >= 2000, "{:?}", report.usage);
}

#[tokio::test]
async fn the_time_limit_ends_a_command_and_the_run() {
    let world = World::with(json!([{"reply": call("bash", json!({"command": "sleep 300"}))}])).await;
    let mut task = world.task("takes long");
    task.limits.wall = Duration::from_millis(500);
    let before = Instant::now();
    let report = world.run_task(task).await.unwrap();
    assert_eq!(report.ended, Ended::TimeLimit);
    assert!(
        before.elapsed() < Duration::from_millis(500) + AT_ONCE,
        "{:?}",
        before.elapsed()
    );
}

#[tokio::test]
async fn cancelling_ends_a_running_command_and_everything_it_started() {
    let script = "(while :; do date > beat; done) & echo up > ready; wait";
    let world = World::with(json!([{"reply": call("bash", json!({"command": script}))}])).await;
    let ready = world.fifo("ready");
    let task = world.task("takes long");
    let cancel = task.cancel.clone();
    let stop = async {
        // Comes when the command is in the middle of its work.
        assert_eq!(ready.await.expect("the command starts"), "up\n");
        cancel.cancel();
        Instant::now()
    };
    let (report, asked) = tokio::join!(world.run_task(task), stop);
    assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
    assert_eq!(report.unwrap().ended, Ended::Cancelled);
    // The heart would go on beating: 300 rounds of the loop happen in the time of this one command.
    std::fs::write(world.tree().join("beat"), "still").unwrap();
    world
        .shell("i=0; while [ $i -lt 300 ]; do i=$((i+1)); date > /dev/null; done")
        .await;
    assert_eq!(world.read("beat"), b"still");
}

#[tokio::test]
async fn cancelling_ends_a_run_that_waits_for_the_model() {
    let world = World::with(json!([{"reply": {"hold": true}}])).await;
    let task = world.task("task");
    let cancel = task.cancel.clone();
    let stop = async {
        world
            .model()
            .wait_for_requests(1, LIMIT)
            .await
            .expect("the model is asked");
        cancel.cancel();
        Instant::now()
    };
    let (report, asked) = tokio::join!(world.run_task(task), stop);
    assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
    assert_eq!(report.unwrap().ended, Ended::Cancelled);
}

#[tokio::test]
async fn a_command_has_its_own_time_limit_and_the_run_goes_on() {
    let world = World::with(json!([
        {"when": "task", "reply": call("bash", json!({"command": "echo begun; sleep 300"}))},
        {"when": "killed after 0.3 s", "reply": {"text": "too slow"}},
    ]))
    .await;
    let mut task = world.task("task");
    task.limits.command_wall = Duration::from_millis(300);
    assert_eq!(world.run_task(task).await.unwrap().summary, "too slow");
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
    assert_eq!(world.run("task").await.unwrap().summary, "it is dead");
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

#[tokio::test]
async fn a_receiver_that_is_gone_does_not_stop_the_work() {
    let world = World::with(json!([
        {"when": "task", "reply": call("bash", json!({"command": "true"}))},
        {"when": "exit code", "reply": {"text": "ok"}},
    ]))
    .await;
    world.hang_up();
    assert_eq!(world.run("task").await.unwrap().summary, "ok");
}

#[tokio::test]
async fn a_missing_work_tree_is_an_error_that_is_worth_another_attempt() {
    let world = World::with(json!([])).await;
    let mut task = world.task("task");
    task.work_tree = "/no/such/tree".into();
    let error = world.run_task(task).await.unwrap_err();
    assert!(matches!(error, Error::WorkTree { .. }), "{error:?}");
    let failure = pipeline::failure::Failure::from(error);
    assert!(
        matches!(failure, pipeline::failure::Failure::Retry { .. }),
        "{failure:?}"
    );
}

#[test]
fn every_failure_of_the_model_ends_the_run_with_a_code_of_its_own() {
    use pipeline::failure_code::FailureCode as Code;
    for (error, code) in [
        (
            Error::ModelUnreachable {
                reason: String::new(),
            },
            Code::ModelUnreachable,
        ),
        (Error::ModelUnauthorized, Code::ModelUnauthorized),
        (Error::ModelRateLimited { after: None }, Code::ModelRateLimited),
        (Error::ModelServer { status: 500 }, Code::ModelFailed),
        (
            Error::ModelRefused {
                status: 400,
                said: String::new(),
            },
            Code::ModelFailed,
        ),
        (
            Error::ModelAnswer {
                reason: String::new(),
            },
            Code::ModelGarbled,
        ),
    ] {
        let failure = pipeline::failure::Failure::from(error);
        assert_eq!(failure.code(), code);
        assert!(
            matches!(failure, pipeline::failure::Failure::Abandon { .. }),
            "{failure:?}"
        );
    }
}

#[test]
fn settings_that_cannot_be_used_are_refused_without_their_secrets() {
    let ca = agent::http_client(
        Some(b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"),
        None,
    );
    assert!(
        matches!(
            ca,
            Err(agent::HttpClientError::Ca(_) | agent::HttpClientError::Build(_))
        ),
        "{ca:?}"
    );
    let proxy = agent::http_client(None, Some("http://user:pass word@:::"));
    let error = proxy.map(drop).unwrap_err();
    assert!(!format!("{error:?}{error}").contains("pass"), "{error:?}");
}
