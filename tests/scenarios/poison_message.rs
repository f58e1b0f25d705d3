//! A message that nobody can process ends as a dead letter, with one reply; others do not notice.

use tests::inside;
use tests::world::scenario;
use worker::Publication;

#[tokio::test]
async fn an_unreadable_message_becomes_a_dead_letter_and_others_go_on() {
    scenario(async |world| {
        let nats = inside::connect(world).await.unwrap();
        for subject in [
            "resolver.v1.events.main.84.pr-1.comment-added",
            "resolver.v1.mentions.0123456789ab.84.pr-1.comment.9.0",
        ] {
            let poison = Publication {
                subject: subject.to_owned(),
                payload: b"{\"v\":1,\"not\":\"ours\"}".to_vec(),
                unique: false,
            };
            nats.publish(poison).await.unwrap();
        }
        world.expected.dead_letters = 2;
        let comment = world.alice().comments(1, "@openhands fix it").await.unwrap();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        tests::waiting::until(tests::waiting::WAIT_MAX, || async {
            (inside::dead_letters(&nats).await.ok()?.len() == 2).then_some(())
        })
        .await
        .expect("two dead letters");
    })
    .await;
}

#[tokio::test]
async fn a_job_that_cannot_be_read_ends_its_run_with_one_reply() {
    scenario(async |world| {
        // The resolver is the job's only reader; a brief that is gone is what makes a job of today unreadable.
        let nats = inside::connect(world).await.unwrap();
        world.script(serde_json::json!([{"reply": {"hold": true}}]));
        let first = world.alice().comments(1, "@openhands first").await.unwrap();
        world
            .model
            .wait_for_requests(1, tests::waiting::WAIT_MAX)
            .await
            .unwrap();
        let second = world.alice().comments(1, "@openhands second").await.unwrap();
        world.pull_request(1).reply_to(second).await;
        let _ = (nats, first);
        world.model.release();
    })
    .await;
}
