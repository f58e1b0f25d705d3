//! Options end to end: each narrows a request, and what asks for more than is allowed starts nothing.

use insta::assert_snapshot;
use serde_json::json;
use tests::inside;
use tests::setup::{FILE, FILE_ON_BRANCH, Setup};
use tests::waiting::WAIT_MAX;
use tests::world::{World, scenario_in, works};

use crate::looking_in::redacted;
use crate::verb_queries::however_delivered;

const FIX: &str = "sed -i 's/a - b/a + b/' src/lib.rs";
/// A second model, which takes an effort, and prices of the first.
const SECOND: &str = "[[model]]\nalias = \"second\"\nmodel = \"vendor/second\"\ntakes_effort = true\n";
const PRICES: &str = "price_in = 1.0\nprice_out = 5.0\n";

/// Alice's request; the final reply to it.
async fn asked(world: &World, request: &str) -> String {
    let comment = world
        .alice()
        .comments(1, &format!("@openhands {request}"))
        .await
        .unwrap();
    world.pull_request(1).final_reply_to(comment).await.text
}

fn two_models() -> Setup {
    Setup {
        model_settings: PRICES,
        config: SECOND.to_owned(),
        ..Setup::default()
    }
}

#[tokio::test]
async fn a_dry_run_shows_the_patch_and_pushes_nothing() {
    for unruly in [false, true] {
        let setup = Setup {
            unruly,
            ..Setup::default()
        };
        scenario_in(setup, async |world| {
            world.agent_runs(FIX, "Add again.");
            let pr = world.pull_request(1);
            let before = pr.head().await;
            let reply = asked(world, "fix it --dry-run").await;
            insta::allow_duplicates! { assert_snapshot!(redacted(&reply), @"
            **Answered for @alice in <time>** — nothing was pushed.

            In the agent's words:

            Add again.

            The work, as a patch:

            ```diff
            diff --git a/src/lib.rs b/src/lib.rs
            index <commit>..<commit> 100644
            --- a/src/lib.rs
            +++ b/src/lib.rs
            @@ -1,3 +1,3 @@
             fn add(a: i32, b: i32) -> i32 {
            -    a - b
            +    a + b
             }
            ```

            Model `default` · 1 model call · 1k tokens · `builtin`, sandbox level 2 (leaves open: the shared kernel) · run `<run>`
            "); }
            assert_eq!(pr.head().await, before);
            assert_eq!(pr.file(FILE).await, FILE_ON_BRANCH);
            let nats = inside::connect(world).await.unwrap();
            let run = inside::runs(&nats).await.unwrap().remove(0);
            let kept = nats
                .artifacts()
                .get(&run.patch.unwrap().key)
                .await
                .unwrap()
                .unwrap();
            assert!(String::from_utf8(kept).unwrap().contains("+    a + b"));
        })
        .await;
    }
}

#[tokio::test]
async fn changes_outside_the_paths_of_a_request_are_kept_and_not_pushed() {
    for unruly in [false, true] {
        let setup = Setup {
            unruly,
            ..Setup::default()
        };
        scenario_in(setup, async |world| {
            world.agent_runs(&format!("{FIX}; echo x > outside.txt"), "Add again, and a file.");
            let pr = world.pull_request(1);
            let before = pr.head().await;
            let reply = asked(world, "fix it --path src/**").await;
            assert!(
                reply.starts_with("**Failed")
                    && reply.contains("OUTSIDE_PATHS")
                    && reply.contains("`outside.txt`")
                    && reply.contains("+    a + b"),
                "{reply}"
            );
            assert_eq!(pr.head().await, before);
            world.agent_runs(FIX, "Add again.");
            let reply = asked(world, "fix it --path src/** --path docs").await;
            assert!(reply.starts_with("**Done"), "{reply}");
            let told = world.model.requests().last().unwrap().body.to_string();
            assert!(told.contains("match one of these globs"), "{told}");
        })
        .await;
    }
}

#[tokio::test]
async fn a_model_is_chosen_by_its_alias_and_told_how_hard_to_think() {
    however_delivered(two_models(), async |world| {
        world.agent_runs(FIX, "Add again.");
        let reply = asked(world, "fix it --model second --effort high --dry-run").await;
        assert!(
            reply.contains("Model `second`") && !reply.contains('$'),
            "{reply}"
        );
        let request = world.model.requests()[0].body.clone();
        assert_eq!(request["model"], "vendor/second");
        assert_eq!(request["reasoning_effort"], "high");
        let reply = asked(world, "fix it --effort low --dry-run").await;
        assert!(
            reply.contains("Model `default`") && reply.contains("`--effort` changed nothing"),
            "{reply}"
        );
        let request = world.model.requests().last().unwrap().body.clone();
        assert_eq!(request["model"], "scripted");
        assert!(request["reasoning_effort"].is_null());
    })
    .await;
}

#[tokio::test]
async fn what_asks_for_more_than_is_allowed_starts_nothing_and_says_the_limit() {
    scenario_in(two_models(), async |world| {
        for (request, limit) in [
            (
                "fix it --model evil",
                "there is no model `evil` here; there is `default`, `second`",
            ),
            ("fix it --time 10h", "at most 1800 seconds"),
            ("fix it --budget $99", "at most $"),
            ("fix it --budget 900m-tokens", "at most 2000000 tokens"),
            ("fix it --model second --budget $1", "has no prices"),
            ("fix it --no-test", "may not be left out"),
        ] {
            let reply = asked(world, request).await;
            assert!(
                reply.starts_with("**Refused for @alice")
                    && reply.contains("OPTION_NOT_ALLOWED")
                    && reply.contains(limit),
                "{request}: {reply}"
            );
        }
        assert!(world.model.requests().is_empty());
        assert_eq!(world.pull_request(1).bots_commits().await.len(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_budget_and_a_time_end_the_run_and_the_reply_counts_against_them() {
    scenario_in(two_models(), async |world| {
        world.script(json!([{"reply": {
            "tool_calls": [{"name": "bash", "arguments": {"command": "true"}}],
            "usage": {"input": 40_000, "output": 100},
        }}]));
        let reply = asked(world, "fix it --budget 50k-tokens").await;
        assert!(
            reply.contains("TOKEN_LIMIT") && reply.contains(" of 50k tokens"),
            "{reply}"
        );
        let reply = asked(world, "fix it --budget $0.05").await;
        assert!(
            reply.contains("MONEY_LIMIT") && reply.contains(" of $0.05"),
            "{reply}"
        );
        world.script(json!([{"reply": works("sleep 60", "Slept.")}]));
        let reply = asked(world, "fix it --time 2s").await;
        assert!(reply.contains("TIME_LIMIT"), "{reply}");
    })
    .await;
}

#[tokio::test]
async fn a_request_for_another_commit_than_the_head_starts_nothing() {
    however_delivered(Setup::default(), async |world| {
        world.agent_runs(FIX, "Add again.");
        let pr = world.pull_request(1);
        let head = pr.head().await;
        let reply = asked(world, "fix it --ref 0123456789").await;
        assert!(
            reply.starts_with("**Refused") && reply.contains("BRANCH_MOVED") && reply.contains(&head[..11]),
            "{reply}"
        );
        assert!(world.model.requests().is_empty());
        let reply = asked(world, &format!("fix it --ref {}", &head[..8])).await;
        assert!(reply.starts_with("**Done"), "{reply}");
    })
    .await;
}

#[tokio::test]
async fn a_signed_off_commit_names_the_requester() {
    however_delivered(Setup::default(), async |world| {
        world.agent_runs(FIX, "Add again.");
        let reply = asked(world, "fix it --sign-off --lang de").await;
        assert!(reply.starts_with("**Done"), "{reply}");
        let commits = world.pull_request(1).bots_commits().await;
        let message = commits[0]["message"].as_str().unwrap();
        assert!(
            message.contains("\nSigned-off-by: alice <alice@example.test>\n"),
            "{message}"
        );
        let told = world.model.requests()[0].body.to_string();
        assert!(told.contains("in the language `de`"), "{told}");
    })
    .await;
}

#[tokio::test]
async fn a_quiet_request_gets_one_reply_when_it_is_over() {
    for unruly in [false, true] {
        let setup = Setup {
            unruly,
            ..Setup::default()
        };
        scenario_in(setup, async |world| {
            world.script(json!([{"reply": {"hold": true, "then": works(FIX, "Add again.")}}]));
            let (alice, pr) = (world.alice(), world.pull_request(1));
            let comment = alice.comments(1, "@openhands fix it --quiet").await.unwrap();
            pr.reaction_to(comment, "eyes").await;
            world.model.wait_for_requests(1, WAIT_MAX).await.unwrap();
            assert!(
                pr.bots_comments().await.is_empty(),
                "nothing is said while it works"
            );
            world.model.release();
            let reply = pr.final_reply_to(comment).await;
            assert!(reply.text.starts_with("**Done"), "{}", reply.text);
            assert_eq!(pr.bots_comments().await.len(), 1);
        })
        .await;
    }
}

#[tokio::test]
async fn checks_are_left_out_where_the_operator_lets_them_be() {
    let setup = Setup {
        config: "[policy]\nallow_no_test = true\n".to_owned(),
        ..crate::repository_says::configured(
            "[checks]\ntest = { command = \"grep -q 'a + b' src/lib.rs\" }\n",
        )
    };
    however_delivered(setup, async |world| {
        world.agent_runs(FIX, "Add again.");
        let reply = asked(world, "fix it --no-test --dry-run").await;
        assert!(
            reply.contains("were left out, as asked for") && !reply.contains("Checks run by the resolver"),
            "{reply}"
        );
        let reply = asked(world, "fix it").await;
        assert!(reply.contains("Checks run by the resolver"), "{reply}");
    })
    .await;
}
