//! `--suggest`: the agent's change as suggestions on the diff, for people to apply; nothing is pushed.

use serde_json::json;
use tests::setup::{FILE, FILE_ON_BRANCH, FILE_ON_MAIN, Setup};
use tests::world::scenario_in;

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
