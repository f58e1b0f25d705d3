//! Faults on the way: what is known afterwards is what happened.

use std::time::Duration;

use bitbucket::Error;
use http::Method;
use serde_json::json;

use crate::world::{PR, World, demo};

#[tokio::test]
async fn a_write_whose_answer_is_lost_was_done_and_is_ambiguous() {
    let world = World::start().await;
    let bot = world.bot();
    let comments = "*/comments";
    for fault in [
        json!({"method": "POST", "path": comments, "count": 1, "when": "after", "drop": true}),
        json!({"method": "POST", "path": comments, "count": 1, "when": "after", "status": 502}),
    ] {
        world.sim(Method::PUT, "faults", &json!([fault])).await;
        let before = bot.activities(&demo(), PR, 500).await.unwrap().threads.len();
        let error = bot.add_comment(&demo(), PR, "once", None).await.unwrap_err();
        assert!(matches!(error, Error::Ambiguous { .. }), "{error:?}");
        let after = bot.activities(&demo(), PR, 500).await.unwrap().threads.len();
        assert_eq!(after, before + 1, "written exactly once");
    }
}

#[tokio::test]
async fn a_write_that_was_limited_was_not_done() {
    let world = World::start().await;
    let bot = world.bot();
    let fault = json!({"method": "POST", "path": "*/comments", "count": 1, "status": 429, "retry_after": 1});
    world.sim(Method::PUT, "faults", &json!([fault])).await;
    let error = bot.add_comment(&demo(), PR, "limited", None).await.unwrap_err();
    assert_eq!(
        error,
        Error::RateLimited {
            after: Some(Duration::from_secs(1))
        }
    );
    assert_eq!(bot.activities(&demo(), PR, 500).await.unwrap().threads.len(), 0);
}

#[tokio::test]
async fn a_read_outlives_a_short_outage() {
    let world = World::start().await;
    for fault in [
        json!({"method": "GET", "path": "*/pull-requests/1", "count": 2, "status": 503}),
        json!({"method": "GET", "path": "*/pull-requests/1", "count": 1, "drop": true}),
        json!({"method": "GET", "path": "*/pull-requests/1", "count": 1, "status": 429}),
    ] {
        world.sim(Method::PUT, "faults", &json!([fault])).await;
        world.bot().pull_request(&demo(), PR).await.unwrap();
    }
}

#[tokio::test]
async fn a_maintenance_page_is_not_taken_for_an_answer() {
    let world = World::start().await;
    let page = json!({"method": "GET", "path": "*/pull-requests/1", "status": 200,
        "body": "<html>Back soon</html>", "content_type": "text/html"});
    world.sim(Method::PUT, "faults", &json!([page])).await;
    let error = world.bot().pull_request(&demo(), PR).await.unwrap_err();
    assert!(matches!(error, Error::NotJson { .. }), "{error:?}");
}

#[tokio::test]
async fn the_limiter_keeps_the_bot_under_bitbuckets_own_limit() {
    let world = World::start().await;
    world
        .sim(
            Method::PUT,
            "faults",
            &json!([{"user": "open.hands", "rate_limit": true}]),
        )
        .await;
    // More than fit into one burst; two clients of the same bot, as two roles in one process have.
    let (first, second) = (world.bot(), world.bot());
    for _ in 0..32 {
        first.pull_request(&demo(), PR).await.unwrap();
        second.pull_request(&demo(), PR).await.unwrap();
    }
    assert_eq!(
        world.requests_to("GET", "/pull-requests/1").await,
        64,
        "none was refused and repeated"
    );
}
