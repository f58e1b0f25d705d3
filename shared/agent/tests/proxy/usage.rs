//! Tokens and money, from the endpoint's own answers.

use agent::{Prices, Usage};
use serde_json::{Value, json};

use crate::world::{APIS, LIMIT, Setting, World, lines, says, streams};

fn counted() -> Value {
    json!([{"reply": {"text": "hello", "usage": {"input": 70, "cached": 30, "output": 9}}}])
}

#[tokio::test]
async fn all_apis_are_counted_alike_whole_and_streamed() {
    for (path, field) in APIS {
        for body in [says(field, "hi"), streams(field, "hi")] {
            let mut setting = Setting::new(counted());
            setting.prices = Some(Prices {
                input: 1_000_000.0,
                cached_input: 100_000.0,
                output: 10_000_000.0,
            });
            let world = setting.start().await;
            for _ in 0..2 {
                world.post(path, &body).await.bytes().await.unwrap();
            }
            let end = world.end().await;
            let used = end.usage;
            assert_eq!(
                (
                    used.turns,
                    used.input_tokens,
                    used.cached_input_tokens,
                    used.output_tokens
                ),
                (2, 140, 60, 18)
            );
            // 40 plain, 30 cached at a tenth, 9 written at ten times: 133 dollars each.
            assert!((used.usd.unwrap() - 266.0).abs() < 1e-6, "{path}: {used:?}");
            assert_eq!(end.estimated, 0);
            let line = &lines(&end)[1];
            assert_eq!(line["turn"], 2);
            assert_eq!(line["usage"]["usd"], 133.0);
        }
    }
}

#[tokio::test]
async fn what_is_not_counted_is_estimated_and_marked() {
    let script = json!([{"reply": {"text": "x".repeat(400), "usage": false}}]);
    for (path, field) in APIS {
        for body in [
            says(field, &"y".repeat(4_000)),
            streams(field, &"y".repeat(4_000)),
        ] {
            let world = World::with(script.clone()).await;
            world.post(path, &body).await.bytes().await.unwrap();
            let end = world.end().await;
            assert_eq!((end.estimated, end.usage.output_tokens), (1, 100), "{path}");
            assert!(
                (1_000..1_100).contains(&end.usage.input_tokens),
                "{:?}",
                end.usage
            );
            assert_eq!(lines(&end)[0]["usage"]["estimated"], true);
        }
    }
}

#[tokio::test]
async fn without_prices_there_is_no_money() {
    let world = World::with(counted()).await;
    world.chat("hi").await;
    assert_eq!(world.end().await.usage.usd, None);
}

#[tokio::test]
async fn usage_is_told_as_it_grows() {
    let world = World::with(counted()).await;
    let mut usage = world.proxy.watch();
    assert_eq!(*usage.borrow(), Usage::default());
    for turns in 1..=3 {
        world.chat("hi").await;
        let told = tokio::time::timeout(LIMIT, usage.wait_for(|used| used.turns == turns)).await;
        assert_eq!(told.unwrap().unwrap().tokens(), u64::from(turns) * 79);
        assert_eq!(world.proxy.usage().turns, turns);
    }
}

#[tokio::test]
async fn a_stream_is_asked_to_say_what_it_has_used() {
    let world = World::with(counted()).await;
    let mut body = streams("messages", "hi");
    body["stream_options"] = json!({"include_usage": false});
    world
        .post("/v1/chat/completions", &body)
        .await
        .bytes()
        .await
        .unwrap();
    assert_eq!(
        world.requests()[0].body["stream_options"],
        json!({"include_usage": true})
    );
}
