//! Bitbucket is slow, limits, breaks or loses answers: what was asked is done once it is back, once.

use serde_json::json;
use tests::world::scenario;

#[tokio::test]
async fn errors_limits_and_lost_answers_on_the_way_delay_and_double_nothing() {
    for fault in [
        json!({"method": "GET", "path": "*/pull-requests/1", "count": 3, "when": "before", "status": 503}),
        json!({"method": "GET", "path": "*/users", "count": 2, "when": "before", "status": 500}),
        json!({"method": "GET", "path": "*/activities", "count": 2, "when": "before", "status": 429, "retry_after": 1}),
        json!({"method": "GET", "path": "*/activities", "count": 2, "when": "before", "status": 429}),
        json!({"method": "POST", "path": "/rest/api/*/comments", "count": 2, "when": "before", "status": 503}),
        json!({"method": "POST", "path": "/rest/api/*/comments", "count": 1, "when": "after", "drop": true}),
        json!({"method": "PUT", "path": "/rest/api/*/comments/*", "count": 1, "when": "after", "drop": true}),
        json!({"method": "POST", "path": "*/git-receive-pack", "count": 1, "when": "before", "status": 503}),
        json!({"method": "POST", "path": "*/git-receive-pack", "count": 1, "when": "after", "drop": true}),
        json!({"method": "GET", "path": "*/info/refs", "count": 2, "when": "before", "status": 503}),
    ] {
        scenario(async |world| {
            let mut only_the_bot = fault.clone();
            only_the_bot["user"] = "openhands".into();
            world.faults(json!([only_the_bot])).await.unwrap();
            let comment = world.alice().comments(1, "@openhands fix it").await.unwrap();
            let reply = world.pull_request(1).final_reply_to(comment).await;
            assert!(reply.text.starts_with("**Done"), "{fault}: {}", reply.text);
            assert_eq!(world.pull_request(1).bots_commits().await.len(), 1, "{fault}");
            assert_eq!(world.model.requests().len(), 1, "the agent ran once: {fault}");
        })
        .await;
    }
}

#[tokio::test]
async fn a_status_reply_edited_by_someone_else_meanwhile_is_written_all_the_same() {
    scenario(async |world| {
        world.faults(
            json!([{"method": "PUT", "path": "/rest/api/*/comments/*", "user": "openhands", "count": 2, "when": "before", "status": 409}]),
        )
        .await.unwrap();
        let comment = world.alice().comments(1, "@openhands fix it").await.unwrap();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
    })
    .await;
}
