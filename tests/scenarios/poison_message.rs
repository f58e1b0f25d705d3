//! A message that nobody can process ends as a dead letter, with one reply; others do not notice.

use pipeline::subject;
use tests::setup::Setup;
use tests::world::{scenario, scenario_in};
use tests::{inside, waiting};
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
        waiting::until(waiting::WAIT_MAX, || async {
            (inside::dead_letters(&nats).await.ok()?.len() == 2).then_some(())
        })
        .await
        .expect("two dead letters");
    })
    .await;
}

#[tokio::test]
async fn a_job_that_cannot_be_done_ends_with_one_reply_and_others_go_on() {
    let setup = Setup {
        separate_roles: true,
        pull_requests: 2,
        ..Setup::default()
    };
    scenario_in(setup, async |world| {
        world.kill("resolver").await.unwrap();
        let poisoned = world.alice().comments(1, "@openhands first").await.unwrap();
        let nats = inside::connect(world).await.unwrap();
        let jobs = waiting::until(waiting::WAIT_MAX, || async {
            (inside::messages(&nats, subject::JOBS).await.ok()? == 1).then_some(())
        });
        jobs.await.expect("the job waits");
        inside::lose_artifacts(world).await.unwrap();
        world.start_role("resolver").await.unwrap();
        world.expected.dead_letters = 1;

        let reply = world.pull_request(1).final_reply_to(poisoned).await;
        assert!(
            reply.text.starts_with("**Failed") && reply.text.contains("INTERNAL"),
            "{}",
            reply.text
        );
        for pull_request in [1, 2_usize] {
            let comment = world
                .alice()
                .comments(pull_request as u64, "@openhands go on")
                .await
                .unwrap();
            let reply = world.pull_request(pull_request).final_reply_to(comment).await;
            assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        }
    })
    .await;
}
