//! `--suggest`: the agent's change as suggestions on the diff, for people to apply; nothing is pushed.

use serde_json::json;
use tests::setup::{FILE, FILE_ON_BRANCH, FILE_ON_MAIN, Setup};
use tests::waiting::WAIT_MAX;
use tests::world::{scenario_in, works};

use crate::verb_queries::however_delivered;
use crate::verb_review::on_the_diff;

#[tokio::test]
async fn a_change_becomes_suggestions_and_what_cannot_be_one_a_patch() {
    for unruly in [false, true] {
        let setup = Setup {
            unruly,
            ..Setup::default()
        };
        scenario_in(setup, async |world| {
            world.agent_runs(
                "sed -i 's/a - b/a + b/' src/lib.rs; echo new > new.txt",
                "Add instead.",
            );
            let pr = world.pull_request(1);
            let asked = world
                .alice()
                .comments(1, "@openhands fix --suggest it")
                .await
                .unwrap();
            let reply = pr.final_reply_to(asked).await;
            assert!(
                reply
                    .text
                    .contains("1 suggestion on the diff: [`src/lib.rs` line 2](")
                    && reply.text.contains("the patch has it: `new.txt`")
                    && reply.text.contains("+new"),
                "{}",
                reply.text
            );
            assert!(pr.bots_commits().await.is_empty());
            assert_eq!(pr.file(FILE).await, FILE_ON_BRANCH);
            // What is offered is what the button does.
            let comments = pr.bots_comments().await;
            let offered = comments
                .iter()
                .find(|comment| comment.raw.contains("```suggestion"))
                .unwrap();
            let version = world.root().get("/pull-requests/1").await.unwrap()["version"].clone();
            let apply = json!({"commentVersion": offered.version, "pullRequestVersion": version,
                "suggestionIndex": 0, "message": "Apply"});
            let path = format!("/pull-requests/1/comments/{}/apply-suggestion", offered.id);
            world
                .alice()
                .send(reqwest::Method::POST, &path, apply)
                .await
                .unwrap();
            assert_eq!(pr.file(FILE).await, FILE_ON_MAIN);
        })
        .await;
    }
}

#[tokio::test]
async fn on_a_branch_that_moved_meanwhile_nothing_is_suggested_and_the_reply_has_the_patch() {
    however_delivered(Setup::default(), async |world| {
        let change = works("sed -i 's/a - b/a + b/' src/lib.rs", "Add instead.");
        world.script(json!([{"reply": {"hold": true, "then": change}}]));
        let pr = world.pull_request(1);
        let asked = world
            .alice()
            .comments(1, "@openhands fix --suggest it")
            .await
            .unwrap();
        world.model.wait_for_requests(1, WAIT_MAX).await.unwrap();
        let before = pr.head().await;
        // What was line 2 is line 3 from now on.
        let theirs = pr
            .someone_pushes(FILE, &format!("// A line more.\n{FILE_ON_BRANCH}"))
            .await;
        world.model.release();
        let reply = pr.final_reply_to(asked).await;
        let moved = format!(
            "The branch moved from `{}` to `{}` meanwhile",
            &before[..11],
            &theirs[..11]
        );
        assert!(
            reply.text.starts_with("**Answered for @alice")
                && reply.text.contains(&moved)
                && reply.text.contains("the patch has it: `src/lib.rs`")
                && reply.text.contains("+    a + b"),
            "{}",
            reply.text
        );
        assert!(!reply.text.contains("suggestion on the diff"), "{}", reply.text);
        assert!(on_the_diff(world).await.is_empty());
        assert_eq!(pr.head().await, theirs);
    })
    .await;
}
