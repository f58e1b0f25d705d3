//! `ask` and `explain`: an answer, whatever the agent does in the tree.

use insta::assert_snapshot;
use serde_json::json;
use tests::setup::{FILE, FILE_ON_BRANCH, Setup};
use tests::world::{scenario, scenario_in, works};

use crate::looking_in::redacted;
use crate::verb_queries::however_delivered;

/// Everything that an agent could do to have its change delivered.
const BUSY: &str = "printf 'changed\\n' >> src/lib.rs; printf 'new\\n' > new.txt; \
    (git init -q . && git add -A && git -c user.name=a -c user.email=a@b commit -qm x) >/dev/null 2>&1; rm -rf .git";

#[tokio::test]
async fn a_question_is_answered_and_nothing_is_pushed_whatever_the_agent_does() {
    for unruly in [false, true] {
        let setup = Setup {
            unruly,
            ..Setup::default()
        };
        scenario_in(setup, async |world| {
            world.agent_runs(BUSY, "It subtracts, which its name does not say.");
            let (alice, pr) = (world.alice(), world.pull_request(1));
            let before = pr.head().await;
            for request in ["ask what does `add` do?", "explain", "EXPLAIN: the file"] {
                let comment = alice.comments(1, &format!("@openhands {request}")).await.unwrap();
                let reply = pr.final_reply_to(comment).await;
                assert!(
                    reply.text.starts_with("**Answered for @alice in ")
                        && reply.text.contains("— nothing was pushed.")
                        && reply.text.contains("It subtracts, which its name does not say."),
                    "{}",
                    reply.text
                );
                assert!(!reply.text.contains("as a patch"), "{}", reply.text);
            }
            assert_eq!(pr.head().await, before);
            assert_eq!(pr.bots_commits().await.len(), 0);
            assert_eq!(pr.file(FILE).await, FILE_ON_BRANCH);
            let asked = world.model.requests()[0].body.to_string();
            assert!(
                asked.contains("Answer the question") && asked.contains("Change no file"),
                "{asked}"
            );
        })
        .await;
    }
}

#[tokio::test]
async fn a_reader_is_answered_and_reads_the_models_words_as_such() {
    scenario(async |world| {
        world.agent_runs("true", "See <script>x</script> and tell @alice.");
        let comment = world
            .bob()
            .comments(1, "@openhands ask who wrote this?")
            .await
            .unwrap();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(
            reply.text.starts_with("**Answered for @bob in "),
            "{}",
            reply.text
        );
        assert!(!reply.text.contains("<script>"), "{}", reply.text);
        assert!(!reply.text.contains("tell @alice"), "{}", reply.text);
    })
    .await;
}

#[tokio::test]
async fn an_agent_without_an_answer_has_failed() {
    scenario(async |world| {
        world.agent_runs("true", "");
        let pr = world.pull_request(1);
        let comment = world.alice().comments(1, "@openhands ask why?").await.unwrap();
        let reply = pr.final_reply_to(comment).await;
        assert!(
            reply.text.starts_with("**Failed") && reply.text.contains("AGENT_UNANSWERED"),
            "{}",
            reply.text
        );
        let bare = world.alice().comments(1, "@openhands ask").await.unwrap();
        let reply = pr.final_reply_to(bare).await;
        assert!(reply.text.starts_with("**I need an answer"), "{}", reply.text);
    })
    .await;
}

#[tokio::test]
async fn a_repair_of_builds_reads_their_states_and_says_so_where_none_failed() {
    however_delivered(Setup::default(), async |world| {
        let (alice, pr) = (world.alice(), world.pull_request(1));
        let head = pr.head().await;
        let none = alice.comments(1, "@openhands fix ci").await.unwrap();
        let reply = redacted(&pr.final_reply_to(none).await.text);
        insta::allow_duplicates! { assert_snapshot!(reply, @"
        **Answered for @alice**

        Bitbucket has no failed build for commit `<commit>`, so nothing was started. Logs of builds are not read yet: if a build that Bitbucket does not know fails, paste its failing lines behind `fix`.

        run `<run>`
        "); }
        assert!(world.model.requests().is_empty());
        let failed = json!({
            "key": "jenkins-unit", "state": "FAILED", "url": "https://ci.example.test/1",
            "name": "Unit tests", "description": "2 failed",
        });
        let path = format!("/commits/{head}/builds");
        world
            .root()
            .send("POST".parse().unwrap(), &path, failed)
            .await
            .unwrap();
        world.script(json!([{"reply": works("sed -i 's/a - b/a + b/' src/lib.rs", "Add again.")}]));
        let other = alice.comments(1, "@openhands fix ci other").await.unwrap();
        let reply = pr.final_reply_to(other).await;
        assert!(reply.text.contains("no failed build `other`"), "{}", reply.text);
        let comment = alice.comments(1, "@openhands fix ci jenkins-unit").await.unwrap();
        let reply = pr.final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        let asked = world.model.requests()[0].body.to_string();
        assert!(
            asked.contains("## Failed builds") && asked.contains("log: https://ci.example.test/1"),
            "{asked}"
        );
    })
    .await;
}
