//! `review`: findings beside the lines they are about, each once, and never a push.

use serde_json::{Value, json};
use tests::setup::{FILE, FILE_ON_BRANCH, Setup};
use tests::world::{World, scenario, scenario_in};

/// An agent's last message: words, and what it hands over beside them.
pub(crate) fn handing_over(words: &str, result: &Value) -> String {
    format!("{words}\n\n```openhands-result\n{result}\n```")
}

fn findings() -> Value {
    json!({"findings": [
        {"path": FILE, "line": 2, "text": "This subtracts, @bob.", "suggestion": "    a + b"},
        {"path": "README.md", "line": 1, "text": "The title says nothing."},
    ]})
}

/// Threads that the bot began on lines of the diff.
pub(crate) async fn on_the_diff(world: &World) -> Vec<Value> {
    let activities = world.root().get_all("/pull-requests/1/activities").await.unwrap();
    let mut threads: Vec<Value> = activities
        .into_iter()
        .filter(|activity| activity["commentAction"] == "ADDED" && activity["user"]["name"] == "openhands")
        .filter(|activity| activity["commentAnchor"].is_object())
        .collect();
    threads.sort_by_key(|activity| activity["comment"]["id"].as_u64());
    threads.dedup_by_key(|activity| activity["comment"]["id"].as_u64());
    threads
}

#[tokio::test]
async fn findings_stand_on_their_lines_and_what_has_no_line_in_the_reply() {
    for unruly in [false, true] {
        let setup = Setup {
            unruly,
            ..Setup::default()
        };
        scenario_in(setup, async |world| {
            world.agent_runs("echo x >> src/lib.rs", &handing_over("One mistake.", &findings()));
            // Whoever may read may have it reviewed.
            let comment = world.bob().comments(1, "@openhands review").await.unwrap();
            let reply = world.pull_request(1).final_reply_to(comment).await;
            assert!(reply.text.starts_with("**Answered for @bob"), "{}", reply.text);
            assert!(
                reply.text.contains("One mistake.")
                    && reply
                        .text
                        .contains("1 finding on the diff: [`src/lib.rs` line 2](")
                    && reply.text.contains("`README.md` line 1: The title says nothing."),
                "{}",
                reply.text
            );
            assert!(!reply.text.contains("openhands-result"), "{}", reply.text);
            let threads = on_the_diff(world).await;
            assert_eq!(threads.len(), 1, "{threads:#?}");
            let (place, text) = (
                &threads[0]["commentAnchor"],
                threads[0]["comment"]["text"].as_str().unwrap(),
            );
            assert_eq!((&place["path"], &place["line"]), (&json!(FILE), &json!(2)));
            assert!(
                text.contains("```suggestion\n    a + b\n```") && !text.contains(" @bob"),
                "{text}"
            );
            assert_eq!(world.pull_request(1).file(FILE).await, FILE_ON_BRANCH);
            assert!(world.pull_request(1).bots_commits().await.is_empty());
        })
        .await;
    }
}

#[tokio::test]
async fn a_reply_killed_between_findings_writes_each_once() {
    for when in ["before", "after"] {
        let setup = Setup {
            separate_roles: true,
            ..Setup::default()
        };
        scenario_in(setup, async |world| {
            let two = json!({"findings": [
                {"path": FILE, "line": 1, "text": "one"}, {"path": FILE, "line": 2, "text": "two"},
            ]});
            let summary = handing_over("Two.", &two);
            let comment = world
                .asked_while_the_agent_waits("@openhands review", ("true", &summary))
                .await
                .unwrap();
            world.pull_request(1).reply_to(comment).await;
            let hold = world
                .holds_next("POST", "/rest/api/*/pull-requests/1/comments", when)
                .await
                .unwrap();
            world.model.release();
            world.held(hold).await.unwrap();
            world.dies_and_comes_back("reply", hold).await.unwrap();
            let reply = world.pull_request(1).final_reply_to(comment).await;
            assert!(
                reply.text.contains("2 findings on the diff"),
                "{when}: {}",
                reply.text
            );
            assert_eq!(on_the_diff(world).await.len(), 2, "{when}");
        })
        .await;
    }
}

#[tokio::test]
async fn a_review_since_the_last_one_is_shown_what_is_new() {
    scenario(async |world| {
        let none = json!({"findings": []});
        world.agent_runs("true", &handing_over("Nothing wrong.", &none));
        let (alice, pr) = (world.alice(), world.pull_request(1));
        let first = alice.comments(1, "@openhands review").await.unwrap();
        pr.final_reply_to(first).await;
        let again = alice.comments(1, "@openhands review since last").await.unwrap();
        let reply = pr.final_reply_to(again).await;
        assert!(
            reply.text.contains("Nothing was pushed since the last review"),
            "{}",
            reply.text
        );
        pr.someone_pushes("src/new.rs", "fn new() {}\n").await;
        let new = alice.comments(1, "@openhands review since last").await.unwrap();
        let reply = pr.final_reply_to(new).await;
        assert!(reply.text.contains("Nothing wrong."), "{}", reply.text);
        let requests = world.model.requests();
        assert_eq!(requests.len(), 2);
        let asked = requests[1].body.to_string();
        assert!(
            asked.contains("fn new()") && !asked.contains("-    a + b"),
            "{asked}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_finding_never_stands_on_a_commit_it_was_not_made_for() {
    scenario(async |world| {
        let summary = handing_over("One mistake.", &findings());
        let comment = world
            .asked_while_the_agent_waits("@openhands review", ("true", &summary))
            .await
            .unwrap();
        let pr = world.pull_request(1);
        pr.reply_to(comment).await;
        let before = pr.head().await;
        // The finding is on its way while somebody pushes.
        let hold = world
            .holds_next("POST", "/rest/api/*/pull-requests/1/comments", "before")
            .await
            .unwrap();
        world.model.release();
        world.held(hold).await.unwrap();
        let after = pr.someone_pushes("notes.txt", "by a person\n").await;
        world.lets_go(hold).await.unwrap();
        let reply = pr.final_reply_to(comment).await;
        let told = format!(
            "- `src/lib.rs` line 2 (This subtracts, @&#8203;bob.): the branch moved from {} to {} meanwhile",
            &before[..11],
            &after[..11]
        );
        assert!(reply.text.contains(&told), "{}", reply.text);
        let beside: Vec<_> = pr
            .bots_comments()
            .await
            .into_iter()
            .filter(|c| c.id != reply.id)
            .collect();
        assert_eq!(beside, [], "nothing is left on other lines");
    })
    .await;
}
