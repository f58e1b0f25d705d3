//! Budgets: what is never sent, and what is cut off.

use agent::{Budget, Ended, Prices};
use serde_json::{Value, json};

use crate::world::{APIS, LIMIT, PLENTY, Setting, World, lines, message, says, streams};

/// A dollar per hundred tokens sent, and per ten written.
const PRICES: Prices = Prices {
    input: 10_000.0,
    cached_input: 1_000.0,
    output: 100_000.0,
};

/// An answer that says these tokens.
fn answer(input: u64, output: u64) -> Value {
    json!([{"reply": {"text": "x", "usage": {"input": input, "output": output}}}])
}

async fn world(script: Value, budget: Budget) -> World {
    let mut setting = Setting::new(script);
    setting.budget = budget;
    setting.prices = Some(PRICES);
    setting.start().await
}

async fn cut_off(world: &World) -> Ended {
    tokio::time::timeout(LIMIT, world.proxy.cut_off())
        .await
        .expect("the run is cut off")
}

#[tokio::test]
async fn of_a_budget_of_zero_nothing_is_ever_sent() {
    for (budget, why) in [
        (Budget { turns: 0, ..PLENTY }, Ended::TurnLimit),
        (Budget { tokens: 0, ..PLENTY }, Ended::TokenLimit),
        (
            Budget {
                usd: Some(0.0),
                ..PLENTY
            },
            Ended::MoneyLimit,
        ),
    ] {
        let world = world(answer(1, 1), budget).await;
        for (path, field) in APIS {
            for body in [says(field, "hi"), streams(field, "hi")] {
                let response = world.post(path, &body).await;
                assert_eq!(response.status(), 402);
                assert_eq!(response.headers()["x-should-retry"], "false");
                assert!(!response.headers().contains_key("retry-after"));
                let body = response.json().await.unwrap();
                assert!(message(path, &body).contains("budget"), "{body}");
            }
        }
        let (status, _) = world
            .ask("/v1/messages/count_tokens", &says("messages", "hi"))
            .await;
        assert_eq!(status, 402);
        assert_eq!(cut_off(&world).await, why);
        assert!(world.requests().is_empty());
        let end = world.end().await;
        assert_eq!((end.cut_off, end.usage.turns, end.errors), (Some(why), 0, 0));
    }
}

#[tokio::test]
async fn the_last_answer_of_a_budget_is_delivered_and_the_next_request_is_cut_off() {
    for (budget, why) in [
        (Budget { turns: 2, ..PLENTY }, Ended::TurnLimit),
        (
            Budget {
                tokens: 200,
                ..PLENTY
            },
            Ended::TokenLimit,
        ),
        // Two answers of 60 and 4 tokens cost one dollar each.
        (
            Budget {
                usd: Some(1.9),
                ..PLENTY
            },
            Ended::MoneyLimit,
        ),
    ] {
        for (path, field) in APIS {
            let world = world(answer(96, 4), budget).await;
            for _ in 0..2 {
                assert_eq!(world.ask(path, &says(field, "hi")).await.0, 200, "{why:?}");
            }
            let early = std::future::poll_fn(|context| {
                let mut pinned = std::pin::pin!(world.proxy.cut_off());
                std::task::Poll::Ready(pinned.as_mut().poll(context).is_ready())
            });
            assert!(!early.await, "nothing was asked beyond the budget");
            assert_eq!(world.ask(path, &says(field, "hi")).await.0, 402, "{why:?}");
            assert_eq!(cut_off(&world).await, why);
            assert_eq!(world.requests().len(), 2);
            let end = world.end().await;
            assert_eq!((end.usage.turns, end.usage.tokens()), (2, 200));
            assert_eq!(lines(&end)[2]["not_sent"], format!("{why:?}"));
        }
    }
}

#[tokio::test]
async fn a_request_that_is_larger_than_what_is_left_is_not_sent() {
    for (budget, why) in [
        (
            Budget {
                tokens: 1_000,
                ..PLENTY
            },
            Ended::TokenLimit,
        ),
        (
            Budget {
                usd: Some(10.0),
                ..PLENTY
            },
            Ended::MoneyLimit,
        ),
    ] {
        let world = world(answer(1, 1), budget).await;
        assert_eq!(world.chat(&"x".repeat(3_000)).await.0, 200);
        assert_eq!(world.chat(&"x".repeat(4_000)).await.0, 402);
        assert_eq!(cut_off(&world).await, why);
        assert_eq!(world.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_picture_is_not_taken_for_as_many_tokens_as_it_has_bytes() {
    let budget = Budget {
        tokens: 5_000,
        ..PLENTY
    };
    let world = world(answer(1, 1), budget).await;
    let url = format!("data:image/png;base64,{}", "A".repeat(1_000_000));
    let part = json!({"type": "image_url", "image_url": {"url": url}});
    let body = json!({"model": "the-model", "messages": [{"role": "user", "content": [part]}]});
    assert_eq!(world.ask("/v1/chat/completions", &body).await.0, 200);
}

#[tokio::test]
async fn requests_at_the_same_time_count_together() {
    let budget = Budget { turns: 1, ..PLENTY };
    let world = world(json!([{"reply": {"hold": true, "then": {"text": "x"}}}]), budget).await;
    let first = world.chat("one");
    let second = async {
        world.model.wait_for_requests(1, LIMIT).await.unwrap();
        let second = world.chat("two").await;
        world.model.release();
        second
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!((first.0.as_u16(), second.0.as_u16()), (200, 402));
    assert_eq!(world.requests().len(), 1);
}

#[tokio::test]
async fn a_stream_is_cut_off_in_the_middle_when_it_exceeds_the_budget() {
    // The second half comes in one piece of 20,000 bytes, taken for 5,000 tokens.
    let text = "x".repeat(40_000);
    for ((path, field), after) in APIS.into_iter().zip([2, 5, 3]) {
        for (budget, why) in [
            (
                Budget {
                    tokens: 8_000,
                    ..PLENTY
                },
                Ended::TokenLimit,
            ),
            (
                Budget {
                    usd: Some(800.0),
                    ..PLENTY
                },
                Ended::MoneyLimit,
            ),
        ] {
            let script = json!([{"reply": {"text": text, "hold_after": after}}]);
            let world = world(script, budget).await;
            let mut response = world.post(path, &streams(field, "hi")).await;
            let mut heard = String::new();
            while !heard.contains("xxxx") {
                let piece = response.chunk().await.unwrap().expect("it goes on");
                heard.push_str(std::str::from_utf8(&piece).unwrap());
            }
            world.model.release();
            heard.push_str(&response.text().await.unwrap());
            assert!(heard.contains("budget of this run is used up"), "{path}");
            for end in ["[DONE]", "response.completed", "message_stop"] {
                assert!(!heard.contains(end), "{path}");
            }
            assert_eq!(cut_off(&world).await, why);
            let end = world.end().await;
            assert_eq!((end.cut_off, end.usage.turns, end.errors), (Some(why), 1, 0));
            assert!(end.usage.output_tokens >= 9_000, "{:?}", end.usage);
            assert_eq!(lines(&end)[0]["cut_off"], format!("{why:?}"));
        }
    }
}

#[tokio::test]
async fn failed_requests_use_up_no_turn() {
    let script = json!([{"when": "fail", "reply": {"status": 400}}, {"reply": {"text": "x"}}]);
    let world = world(script, Budget { turns: 1, ..PLENTY }).await;
    for _ in 0..3 {
        assert_eq!(world.chat("fail").await.0, 400);
    }
    assert_eq!(world.chat("hi").await.0, 200);
    assert_eq!(world.chat("hi").await.0, 402);
}

#[tokio::test]
async fn tokens_are_not_counted_without_end() {
    let world = world(answer(1, 1), Budget { turns: 2, ..PLENTY }).await;
    let mut statuses = Vec::new();
    for _ in 0..10 {
        let (status, _) = world
            .ask("/v1/messages/count_tokens", &says("messages", "hi"))
            .await;
        statuses.push(status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 200, 200, 429, 429]);
    assert_eq!(world.requests().len(), 8);
    assert_eq!(world.end().await.usage.turns, 0);
}
