//! Agents of others in the place of the built-in one: what people see when they work, and when they do not.

use tests::child::program;
use tests::setup::{FILE, FILE_ON_BRANCH, Setup};
use tests::world::{World, scenario_in};

/// A world whose agent is the stand-in, behaving like this.
pub(crate) fn stand_in(kind: &str, behaviour: &str, settings: &str) -> Setup {
    let program = program("stand-in-agent").expect("it is built with the programs");
    let task = if kind == "command" { ", \"{prompt}\"" } else { "" };
    let command = format!(
        "[\"{}\", \"{kind}\", \"{behaviour}\", \"{{base_url}}\", \"{{key}}\", \"{{model}}\"{task}]",
        program.display()
    );
    agent(kind, &command, settings)
}

fn agent(kind: &str, command: &str, settings: &str) -> Setup {
    Setup {
        config: format!("[agent]\nkind = \"{kind}\"\ncommand = {command}\n{settings}"),
        ..Setup::default()
    }
}

/// Alice asks; the reply that she ends up with.
async fn answer(world: &World) -> String {
    let comment = world.alice().comments(1, "@openhands make it").await.unwrap();
    world.pull_request(1).final_reply_to(comment).await.text
}

#[tokio::test]
async fn what_an_agent_of_others_made_is_pushed() {
    for kind in ["acp", "command"] {
        scenario_in(stand_in(kind, "well-behaved", ""), async |world| {
            let reply = answer(world).await;
            assert!(
                reply.starts_with("**Done for @alice") && reply.contains("Made it."),
                "{reply}"
            );
            assert!(
                reply.contains("1 model call ·") && reply.contains("`stand-in-agent`"),
                "{reply}"
            );
            assert_eq!(world.pull_request(1).file("made.txt").await, "made\n");
        })
        .await;
    }
}

#[tokio::test]
async fn an_agent_that_cannot_work_is_said_so_and_the_next_request_is_served() {
    let small_output = "[sandbox]\noutput_bytes_max = 1000000\n";
    for (setup, code) in [
        (
            agent("command", "[\"no-such-agent\", \"{prompt}\"]", ""),
            "`AGENT_MISSING`",
        ),
        (stand_in("command", "crashing", ""), "`AGENT_CRASHED`"),
        (stand_in("command", "flooding", small_output), "`OUTPUT_LIMIT`"),
        (stand_in("acp", "dying", ""), "`AGENT_CRASHED`"),
        (stand_in("acp", "babbling", ""), "`AGENT_CRASHED`"),
        (
            stand_in("command", "insatiable", "[limits]\nrun_turns = 3\n"),
            "`TURN_LIMIT`",
        ),
    ] {
        scenario_in(setup, async |world| {
            // The second time shows that the worker goes on.
            for _ in 0..2 {
                let reply = answer(world).await;
                assert!(
                    reply.contains(code) && reply.contains("What to do"),
                    "{code}: {reply}"
                );
                let is_told = reply.contains(", before its model had answered")
                    || reply.contains(", after 1 model call");
                assert_eq!(is_told, code == "`AGENT_CRASHED`", "{reply}");
            }
            let pull_request = world.pull_request(1);
            assert!(pull_request.bots_commits().await.is_empty(), "{code}");
            assert_eq!(pull_request.file(FILE).await, FILE_ON_BRANCH);
        })
        .await;
    }
}

#[tokio::test]
async fn an_agent_that_asked_its_model_nothing_is_not_said_to_have_found_nothing_to_do() {
    scenario_in(stand_in("command", "idle", ""), async |world| {
        let reply = answer(world).await;
        assert!(
            reply.contains("`AGENT_IDLE`") && !reply.contains("No change needed"),
            "{reply}"
        );
        assert!(world.pull_request(1).bots_commits().await.is_empty());
    })
    .await;
}
