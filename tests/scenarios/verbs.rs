//! Verbs end to end: what works, and what says that it does not yet.

use insta::assert_snapshot;
use pipeline::run::RunState;
use pipeline::verbs::TABLE;
use serde_json::json;
use tests::inside;
use tests::setup::Setup;
use tests::waiting::WAIT_MAX;
use tests::world::{World, scenario, works};

use crate::looking_in::redacted;
use crate::verb_queries::however_delivered;

/// Has alice ask for something that goes on until the model is released; the comment.
async fn a_run_of_alices_is_held(world: &World) -> u64 {
    world.script(json!([
        {"times": 1, "reply": {"hold": true, "then": works("echo first >> order.txt", "First.")}},
        {"reply": works("echo another >> order.txt", "Another.")},
    ]));
    let comment = world.alice().comments(1, "@openhands first").await.unwrap();
    world.model.wait_for_requests(1, WAIT_MAX).await.unwrap();
    comment
}

#[tokio::test]
async fn fix_and_test_are_requests_that_say_their_verb() {
    however_delivered(Setup::default(), async |world| {
        let (alice, pr) = (world.alice(), world.pull_request(1));
        for (number, request) in ["fix the null check", "TEST: the parser"].into_iter().enumerate() {
            let comment = alice.comments(1, &format!("@openhands {request}")).await.unwrap();
            let reply = pr.final_reply_to(comment).await;
            assert!(reply.text.starts_with("**Done"), "{}", reply.text);
            assert_eq!(pr.bots_commits().await.len(), number + 1);
        }
        let asked: Vec<String> = world
            .model
            .requests()
            .iter()
            .map(|request| request.body.to_string())
            .collect();
        assert!(asked[0].contains("fix the null check"), "{}", asked[0]);
        assert!(asked[1].contains("test the parser"), "{}", asked[1]);
    })
    .await;
}

#[tokio::test]
async fn a_verb_that_is_not_built_says_so_while_a_run_works_and_starts_nothing() {
    scenario(async |world| {
        let first = a_run_of_alices_is_held(world).await;
        let (alice, pr) = (world.alice(), world.pull_request(1));
        for row in TABLE.iter().filter(|row| !row.verb.is_built()) {
            let comment = alice
                .comments(1, &format!("@openhands {}", row.verb.name()))
                .await
                .unwrap();
            let reply = pr.final_reply_to(comment).await;
            assert!(
                reply.text.starts_with("**Answered for @alice**\n\n")
                    && reply.text.contains("is not built yet"),
                "{:?}: {}",
                row.verb,
                reply.text
            );
        }
        world.model.release();
        pr.final_reply_to(first).await;
        assert_eq!(pr.bots_commits().await.len(), 1, "the held run's alone");
        assert_eq!(world.model.requests().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn what_is_wrong_with_a_command_is_said_and_nothing_is_started_or_stopped() {
    scenario(async |world| {
        let first = a_run_of_alices_is_held(world).await;
        let (alice, pr) = (world.alice(), world.pull_request(1));
        let slip = alice.comments(1, "@openhands sotp").await.unwrap();
        assert_snapshot!(redacted(&pr.final_reply_to(slip).await.text), @"
        **Refused for @alice**

        `sotp` is not a command: did you mean `stop`? Nothing was started and nothing was stopped.

        run `<run>`
        ");
        let unknown = alice
            .comments(1, "@openhands --model evil --unknown x")
            .await
            .unwrap();
        let reply = pr.final_reply_to(unknown).await;
        assert!(
            reply
                .text
                .contains("There is no option `--unknown`, so nothing was started. The"),
            "{}",
            reply.text
        );
        world.model.release();
        let reply = pr.final_reply_to(first).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        assert_eq!(world.model.requests().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn help_is_for_everyone_and_names_what_works() {
    however_delivered(Setup::default(), async |world| {
        let comment = world.bob().comments(1, "@openhands help").await.unwrap();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Answered for @bob**"), "{}", reply.text);
        for row in TABLE {
            assert!(
                reply.text.contains(row.verb.name()),
                "{:?}: {}",
                row.verb,
                reply.text
            );
        }
        for option in ["`--new-pr`", "`--budget $2.50|50k-tokens`", "`--dry-run`"] {
            assert!(reply.text.contains(option), "{option}: {}", reply.text);
        }
        assert!(world.model.requests().is_empty());
    })
    .await;
}

#[tokio::test]
async fn stop_ends_what_runs_and_what_waits_and_the_next_request_runs() {
    however_delivered(Setup::default(), async |world| {
        let first = a_run_of_alices_is_held(world).await;
        let (alice, pr) = (world.alice(), world.pull_request(1));
        let second = alice.comments(1, "@openhands second").await.unwrap();
        pr.reply_to(second).await;
        let by_bob = world.bob().comments(1, "@openhands stop").await.unwrap();
        let refused = pr.final_reply_to(by_bob).await;
        assert!(
            refused.text.starts_with("**Refused for @bob**") && refused.text.contains("STOP_DENIED"),
            "{}",
            refused.text
        );
        let stop = alice.comments(1, "@openhands stop.").await.unwrap();
        let reply = pr.final_reply_to(stop).await;
        assert!(
            reply.text.starts_with("**Answered for @alice**\n\nStopped `r-"),
            "{}",
            reply.text
        );
        for comment in [first, second] {
            let reply = pr.final_reply_to(comment).await;
            // Whoever looks at a waiting one between the stop and its end ends it, and does not know who stopped it.
            let is_ended_by_another = world.setup.unruly && comment == second;
            let says_who = is_ended_by_another || reply.text.contains("Asked for by alice");
            assert!(
                reply.text.starts_with("**Stopped for @alice") && reply.text.contains("STOPPED") && says_who,
                "{}",
                reply.text
            );
        }
        world.model.release();
        let third = alice.comments(1, "@openhands third").await.unwrap();
        let reply = pr.final_reply_to(third).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        assert_eq!(
            pr.file("order.txt").await,
            "another\n",
            "of the stopped runs nothing was pushed"
        );
    })
    .await;
}

#[tokio::test]
async fn an_edit_to_stop_stops_the_run() {
    however_delivered(Setup::default(), async |world| {
        let comment = a_run_of_alices_is_held(world).await;
        world.alice().edits(1, comment, "@openhands stop").await.unwrap();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(
            reply.text.starts_with("**Stopped for @alice") && reply.text.contains("STOPPED"),
            "{}",
            reply.text
        );
        world.model.release();
    })
    .await;
}

#[tokio::test]
async fn a_control_verb_within_a_sentence_is_a_request_and_further_mentions_are_named() {
    however_delivered(Setup::default(), async |world| {
        let comment = world
            .alice()
            .comments(
                1,
                "@openhands stop using unwrap in parser.rs\n\n@openhands review full",
            )
            .await
            .unwrap();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(
            reply.text.starts_with("**Done") && reply.text.contains("Not done: `review`."),
            "{}",
            reply.text
        );
        let runs = inside::runs(&inside::connect(world).await.unwrap())
            .await
            .unwrap();
        let states: Vec<RunState> = runs.iter().map(|run| run.state).collect();
        assert_eq!(states, [RunState::Done]);
    })
    .await;
}
