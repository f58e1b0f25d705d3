//! A repository that is archived while somebody waits for the bot: nobody can write in it then, nothing is pushed, and what
//! came of the requests is told once it is back.

use pipeline::failure_code::FailureCode;
use pipeline::run::Run;
use reqwest::Method;
use serde_json::json;
use tests::inside;
use tests::setup::{FILE, Setup};
use tests::waiting::{WAIT_MAX, until};
use tests::world::{World, works};

use crate::verb_queries::however_delivered;

/// Takes the repository into the archive, or out of it.
async fn archive(world: &World, archived: bool) {
    let wanted = json!({"archived": archived});
    world.root().send(Method::PUT, "", wanted).await.unwrap();
}

/// The runs, once all of so many have ended.
async fn ended(world: &World, runs: usize) -> Vec<Run> {
    let nats = &inside::connect(world).await.unwrap();
    let all = until(WAIT_MAX, || async move {
        let all = inside::runs(nats).await.ok()?;
        let is_over = all.len() == runs && all.iter().all(|run| run.state.is_terminal());
        is_over.then_some(all)
    });
    all.await.expect("the runs end")
}

fn code(run: &Run) -> Option<FailureCode> {
    let outcome = run.outcome.as_ref()?;
    outcome.failure.as_ref().map(|failure| failure.code)
}

#[tokio::test]
async fn a_repository_archived_meanwhile_gets_no_push_and_the_replies_once_it_is_back() {
    however_delivered(Setup::default(), async |world| {
        let change = works(&format!("sed -i 's/a - b/a + b/' {FILE}"), "Add instead.");
        world.script(json!([{"reply": {"hold": true, "then": change}}]));
        let (alice, pr) = (world.alice(), world.pull_request(1));
        let working = alice.comments(1, "@openhands fix the sign").await.unwrap();
        world.model.wait_for_requests(1, WAIT_MAX).await.unwrap();
        let waiting = alice.comments(1, "@openhands fix the name").await.unwrap();
        pr.reply_to(waiting).await;
        let before = pr.head().await;

        archive(world, true).await;
        let refused = alice.comments(1, "@openhands and this").await.unwrap_err();
        assert!(refused.to_string().contains("409"), "nobody can write: {refused}");
        world.model.release();
        let runs = ended(world, 2).await;
        for run in &runs {
            assert_eq!(code(run), Some(FailureCode::RepositoryArchived), "{run:#?}");
        }
        assert_eq!(pr.head().await, before);

        archive(world, false).await;
        let reply = pr.final_reply_to(working).await;
        assert!(
            reply.text.starts_with("**Failed for @alice")
                && reply.text.contains("`REPOSITORY_ARCHIVED`")
                && reply.text.contains("PROJ/demo was archived meanwhile")
                && reply.text.contains("+    a + b"),
            "the patch is kept: {}",
            reply.text
        );
        let reply = pr.final_reply_to(waiting).await;
        assert!(
            reply.text.starts_with("**Refused for @alice") && reply.text.contains("`REPOSITORY_ARCHIVED`"),
            "{}",
            reply.text
        );
        assert_eq!(pr.head().await, before);
        assert_eq!(
            world.model.requests().len(),
            1,
            "the second run has asked nothing"
        );

        world.agent_appends("// it is back");
        let again = alice.comments(1, "@openhands fix the sign").await.unwrap();
        let reply = pr.final_reply_to(again).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
    })
    .await;
}

#[tokio::test]
async fn what_was_asked_right_before_the_archive_is_answered_under_the_comment_once_it_is_back() {
    however_delivered(Setup::default(), async |world| {
        let hold = world
            .holds_next("POST", "/rest/api/*/pull-requests/1/comments", "before")
            .await
            .unwrap();
        let (alice, pr) = (world.alice(), world.pull_request(1));
        let comment = alice.comments(1, "@openhands explain this").await.unwrap();
        world.held(hold).await.unwrap();
        archive(world, true).await;
        world.lets_go(hold).await.unwrap();
        ended(world, 1).await;
        assert!(pr.bots_comments().await.is_empty(), "nobody can write");

        archive(world, false).await;
        let reply = pr.final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Answered for @alice"), "{}", reply.text);
        assert!(!reply.text.contains("was deleted"), "{}", reply.text);
    })
    .await;
}
