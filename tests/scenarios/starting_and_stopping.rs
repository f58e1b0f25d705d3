//! What an operator meets: wrong configurations, a second `up`, an orderly end.

use std::process::Stdio;

use serde_json::json;
use tests::child::program;
use tests::setup::Setup;
use tests::world::{World, scenario, scenario_in, works};

/// Runs the executable to its end; exit code and both streams.
pub(crate) async fn executable(arguments: &[&str]) -> (i32, String, String) {
    #[expect(clippy::disallowed_methods, reason = "operators run the executable")]
    let run = tokio::process::Command::new(program("openhands-resolver").unwrap())
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    let output = tokio::time::timeout(tests::waiting::WAIT_MAX, run)
        .await
        .expect("it ends")
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code().unwrap_or(-1),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn config(world: &World) -> String {
    world.path("resolver.toml").to_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_problem_of_a_configuration_is_named_at_once_with_exit_code_2() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("wrong.toml");
    std::fs::write(
        &file,
        "data_dir = \"d\"\nsurprise = 1\n[[connection]]\nid = \"a b\"\nbase_url = \"https://https://x\"\nbot_token_file = \"/nowhere/token\"\nrepositories = []\n",
    )
    .unwrap();
    for command in [
        &["up"][..],
        &["config", "check"],
        &["resolver"],
        &["runs", "list"],
    ] {
        let arguments = [command, &["--config", file.to_str().unwrap()]].concat();
        let (code, stdout, stderr) = executable(&arguments).await;
        assert_eq!(code, 2, "{command:?}: {stderr}");
        assert_eq!(stdout, "");
        for part in ["surprise", "id", "base_url", "repositories"] {
            assert!(stderr.contains(part), "{command:?} names {part}: {stderr}");
        }
    }
}

#[tokio::test]
async fn missing_secrets_are_told_at_once_before_anything_starts() {
    scenario(async |world| {
        std::fs::write(
            world.path("copy.toml"),
            std::fs::read_to_string(config(world))
                .unwrap()
                .replace("bot-token", "no-such-token")
                .replace("hook-secret", "no-such-hook"),
        )
        .unwrap();
        let copy = world.path("copy.toml");
        let (code, _, stderr) = executable(&["up", "--config", copy.to_str().unwrap()]).await;
        assert_eq!(code, 2, "{stderr}");
        for missing in ["no-such-token", "no-such-hook"] {
            assert_eq!(stderr.matches(missing).count(), 1, "{stderr}");
        }
        // No server comes with a role of its own: that it needs one is told together with the rest.
        let (code, _, stderr) = executable(&["reply", "--config", copy.to_str().unwrap()]).await;
        assert_eq!(code, 2, "{stderr}");
        for missing in ["nats.url", "no-such-token"] {
            assert_eq!(stderr.matches(missing).count(), 1, "{stderr}");
        }
    })
    .await;
}

#[tokio::test]
async fn without_a_sandbox_everything_says_so() {
    let setup = Setup {
        config: "[sandbox]\nmode = \"off\"\n".to_owned(),
        ..Setup::default()
    };
    scenario_in(setup, async |world| {
        let (code, stdout, stderr) = executable(&["config", "check", "--config", &config(world)]).await;
        assert_eq!(code, 0, "{stderr}");
        assert!(stderr.contains("unsandboxed"), "{stderr}");
        let line = stdout.lines().find(|line| line.starts_with("Sandbox: "));
        let whose = if rustix::process::geteuid().is_root() {
            "Sandbox: unsandboxed, AND AS ROOT"
        } else {
            "Sandbox: unsandboxed, with all rights of this user"
        };
        assert!(line.is_some_and(|line| line.starts_with(whose)), "{stdout}");
        assert_eq!(world.child("up").unwrap().says["sandbox"], "unsandboxed");
        let ready = crate::looking_in::page(world, "/readyz").await;
        assert!(ready.contains("\"level\":\"unsandboxed\""), "{ready}");
        world.agent_runs("echo done > work.txt", "Did it.");
        let comment = world.alice().comments(1, "@openhands do it").await.unwrap();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(reply.text.contains("`builtin`, unsandboxed"), "{}", reply.text);
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_does_not_exist_is_a_wrong_configuration() {
    scenario(async |world| {
        let text = std::fs::read_to_string(config(world)).unwrap();
        let copy = world.path("copy.toml");
        for (agent, problem) in [
            ("kind = \"acp\"\npreset = \"opencoed\"", "opencode"),
            ("kind = \"command\"\ncommand = [\"mine\"]", "{prompt_file}"),
        ] {
            std::fs::write(&copy, format!("{text}\n[agent]\n{agent}\n")).unwrap();
            for command in [&["up"][..], &["resolver"], &["config", "check"]] {
                let arguments = [command, &["--config", copy.to_str().unwrap()]].concat();
                let (code, _, stderr) = executable(&arguments).await;
                assert_eq!(code, 2, "{command:?}: {stderr}");
                assert!(stderr.contains("agent") && stderr.contains(problem), "{stderr}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn resolvers_that_share_a_data_dir_work_beside_each_other() {
    let setup = Setup {
        separate_roles: true,
        pull_requests: 2,
        ..Setup::default()
    };
    scenario_in(setup, async |world| {
        world.script(json!([
            {"times": 2, "reply": {"hold": true, "then": works("echo shared >> log.txt", "Wrote a line.")}},
        ]));
        let first = world
            .alice()
            .comments(1, "@openhands write a line")
            .await
            .unwrap();
        world
            .model
            .wait_for_requests(1, tests::waiting::WAIT_MAX)
            .await
            .unwrap();
        // Its start sweeps what is left of dead ones, and not what the first is working on.
        world.start_role("resolver").await.unwrap();
        world.ready().await.unwrap();
        let second = world
            .alice()
            .comments(2, "@openhands write a line")
            .await
            .unwrap();
        world
            .model
            .wait_for_requests(2, tests::waiting::WAIT_MAX)
            .await
            .unwrap();
        world.model.release();
        for (number, comment) in [(1usize, first), (2, second)] {
            let reply = world.pull_request(number).final_reply_to(comment).await;
            assert!(reply.text.starts_with("**Done"), "{}", reply.text);
            assert_eq!(world.pull_request(number).file("log.txt").await, "shared\n");
        }
    })
    .await;
}

#[tokio::test]
async fn a_second_up_on_one_data_dir_refuses() {
    scenario(async |world| {
        let text = std::fs::read_to_string(config(world)).unwrap();
        let ingest = text
            .lines()
            .find(|line| line.starts_with("listen = ") && !line.contains(":0\""))
            .unwrap();
        let copy = world.path("copy.toml");
        std::fs::write(&copy, text.replace(ingest, "listen = \"127.0.0.1:0\"")).unwrap();
        let (code, _, stderr) = executable(&["up", "--config", copy.to_str().unwrap()]).await;
        assert_eq!(code, 1, "{stderr}");
        assert!(stderr.contains("data_dir"), "{stderr}");
        let comment = world
            .alice()
            .comments(1, "@openhands still there?")
            .await
            .unwrap();
        world.pull_request(1).final_reply_to(comment).await;
    })
    .await;
}

#[tokio::test]
async fn config_check_prints_the_webhook_to_paste() {
    scenario(async |world| {
        let (code, stdout, stderr) = executable(&["config", "check", "--config", &config(world)]).await;
        assert_eq!(code, 0, "{stderr}");
        assert!(
            stdout.contains("/integration/bitbucket-dc/connections/main/events"),
            "{stdout}"
        );
        assert!(stdout.contains("pr:comment:added"), "{stdout}");
        assert!(stdout.contains("Agent: builtin"), "{stdout}");
        assert!(stdout.contains("NATS: nats-server found at /"), "{stdout}");
        assert!(
            stdout.contains("Sandbox: level ")
                && stdout.contains("  Does not protect from: Agents share the kernel"),
            "{stdout}"
        );
        assert_eq!(stderr, "", "there is nothing to warn of");
        // What is not on this machine is said, and is no failure.
        let text = std::fs::read_to_string(config(world)).unwrap();
        let copy = world.path("elsewhere.toml");
        let text = text.replace("[nats]\n", "[nats]\nserver_path = \"/no/such/server\"\n");
        let more = "[sandbox]\nread_paths = [\"/no/such/path\"]\n";
        std::fs::write(&copy, format!("{text}\n{more}")).unwrap();
        let (code, stdout, stderr) =
            executable(&["config", "check", "--config", copy.to_str().unwrap()]).await;
        assert_eq!(code, 0, "{stderr}");
        assert!(
            stdout.contains("nats-server NOT found here") && stdout.contains("Sandbox: NOT available here"),
            "{stdout}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_resolver_whose_executable_was_removed_by_an_upgrade_goes_on_working_at_every_level() {
    for settings in [
        "",
        "[sandbox]\nnamespaces = \"never\"\n",
        "[sandbox]\nmode = \"off\"\n",
    ] {
        let setup = Setup {
            config: settings.to_owned(),
            ..Setup::default()
        };
        scenario_in(setup, async |world| {
            assert_eq!(world.end("up").await.unwrap(), 0);
            let executable = world.path("openhands-resolver");
            std::fs::copy(program("openhands-resolver").unwrap(), &executable).unwrap();
            world.executable = Some(executable.clone());
            world.start_resolver().await.unwrap();
            std::fs::remove_file(&executable).unwrap();
            world.agent_runs("echo done > work.txt", "Did it.");
            let comment = world.alice().comments(1, "@openhands do it").await.unwrap();
            let reply = world.pull_request(1).final_reply_to(comment).await;
            assert!(reply.text.starts_with("**Done"), "{settings}: {}", reply.text);
        })
        .await;
    }
}

#[tokio::test]
async fn an_orderly_end_in_the_middle_of_a_run_hands_it_on() {
    scenario(async |world| {
        use serde_json::json;
        use tests::world::works;
        world.script(json!([
            {"times": 1, "reply": {"delay_ms": 3000, "then": works("echo one >> work.txt", "One.")}},
            {"reply": works("echo one >> work.txt", "One.")},
        ]));
        let comment = world.alice().comments(1, "@openhands do it").await.unwrap();
        world
            .model
            .wait_for_requests(1, tests::waiting::WAIT_MAX)
            .await
            .unwrap();
        assert_eq!(world.end("up").await.unwrap(), 0);
        world.start_role("up").await.unwrap();
        world.pull_request(1).final_reply_to(comment).await;
        assert_eq!(world.pull_request(1).file("work.txt").await, "one\n");
    })
    .await;
}
