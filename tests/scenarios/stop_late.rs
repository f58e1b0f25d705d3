//! `stop` when there is nothing left to stop: it says so, and takes nothing back.

use tests::setup::Setup;

use crate::verb_queries::{answer, however_delivered};

#[tokio::test]
async fn a_stop_after_the_end_says_so_and_takes_nothing_back() {
    however_delivered(Setup::default(), async |world| {
        let (alice, bob, pr) = (world.alice(), world.bob(), world.pull_request(1));
        let comment = alice.comments(1, "@openhands fix the sign").await.unwrap();
        let done = pr.final_reply_to(comment).await;
        assert!(done.text.starts_with("**Done for @alice"), "{}", done.text);
        let head = pr.head().await;
        let message = pr.bots_commits().await[0]["message"].clone();
        let message = message.as_str().unwrap();
        let run = message.lines().find_map(|line| line.strip_prefix("Run-Id: "));
        let run = run.unwrap();

        // Who has no say finds out as little as everybody else.
        for (who, request) in [(&alice, "stop"), (&alice, "cancel all"), (&bob, "abort")] {
            let said = answer(world, who, request).await;
            assert!(
                said.starts_with("**Answered for @")
                    && said.contains("Nothing waits or runs on this pull request."),
                "{request}: {said}"
            );
        }
        let said = answer(world, &alice, &format!("stop {run}")).await;
        assert!(
            said.contains(&format!("`{run}` neither waits nor runs on this pull request.")),
            "{said}"
        );

        // The comment that asked becomes a stop: that is answered beside what its run has told.
        alice.edits(1, comment, "@openhands stop").await.unwrap();
        pr.wait_for("an answer to the edit", |comments| {
            comments
                .iter()
                .find(|c| c.parent == Some(comment) && c.text.contains("Nothing waits or runs"))
                .map(drop)
        })
        .await;
        assert_eq!(pr.head().await, head);
        let now = pr.comments().await;
        let told = now.iter().find(|c| c.id == done.id).unwrap();
        assert_eq!(told.text, done.text, "what was told stays");

        let again = answer(world, &alice, "fix the name").await;
        assert!(
            again.starts_with("**Done"),
            "a late stop holds nothing back that comes after it: {again}"
        );
    })
    .await;
}
