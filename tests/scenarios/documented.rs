//! What `docs/commands.md` shows as answers of the bot's own is what people get: numbers, times and ids aside.

use pipeline::run::Run;
use serde_json::json;
use tests::inside;
use tests::setup::Setup;
use tests::waiting::{WAIT_MAX, until};
use tests::world::{World, scenario_in, works};

use crate::verb_queries::answer;

const DOCUMENT: &str = include_str!("../../docs/commands.md");

/// The reply that the document shows for what is typed.
fn shown(typed: &str) -> String {
    let (_, behind) = DOCUMENT
        .split_once(&format!("\n`@openhands {typed}`\n\n````markdown\n"))
        .unwrap_or_else(|| panic!("no example of {typed}"));
    let (reply, _) = behind.split_once("\n````\n").expect("the example ends");
    reply.to_owned()
}

/// The same without what differs from one time to the next.
fn masked(text: &str) -> String {
    let is_run = |word: &str| word.len() == 14 && word.starts_with("r-");
    let is_commit = |word: &str| word.len() == 11 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let mut masked = String::new();
    for word in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && c != '-') {
        let bare = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        if is_run(bare) || is_commit(bare) {
            masked.push_str("<id>");
            masked.push_str(&word[bare.len()..]);
        } else {
            let mut digits = false;
            for c in word.chars() {
                if !c.is_ascii_digit() {
                    masked.push(c);
                } else if !digits {
                    masked.push('0');
                }
                digits = c.is_ascii_digit();
            }
        }
    }
    for (long, short) in [("0 min 0 s", "0 s"), ("0k tokens", "0 tokens"), ("0.0.0", "0")] {
        masked = masked.replace(long, short);
    }
    masked
}

async fn is_what_is_shown(world: &World, typed: &str) {
    let got = answer(world, &world.alice(), typed).await;
    assert_eq!(masked(&got), masked(&shown(typed)), "{typed}");
}

#[tokio::test]
async fn what_is_answered_at_once_is_what_the_documentation_shows() {
    let setup = Setup {
        model_settings: "price_in = 1\nprice_out = 1\n",
        ..Setup::default()
    };
    scenario_in(setup, async |world| {
        let (alice, pr) = (world.alice(), world.pull_request(1));
        is_what_is_shown(world, "fix ci").await;
        let done = alice.comments(1, "@openhands fix the sign").await.unwrap();
        pr.final_reply_to(done).await;
        is_what_is_shown(world, "why").await;
        is_what_is_shown(world, "ping").await;
        is_what_is_shown(world, "pause").await;
        is_what_is_shown(world, "resume").await;
        is_what_is_shown(world, "help").await;
        is_what_is_shown(world, "split").await;

        let arguments = json!({"path": "src/lib.rs", "old": "a - b", "new": "a + b"});
        world.script(json!([
            {"times": 1, "reply": {"tool_calls": [{"name": "edit", "arguments": arguments}]}},
            {"reply": {"hold": true, "then": works("true", "Done.")}},
        ]));
        let working = alice.comments(1, "@openhands fix it").await.unwrap();
        let nats = &inside::connect(world).await.unwrap();
        let edited = until(WAIT_MAX, || async move {
            let runs = inside::runs(nats).await.ok()?;
            let has = |run: &Run| run.steps.last().is_some_and(|step| step == "edited src/lib.rs");
            runs.iter().any(has).then_some(())
        });
        edited.await.expect("the step is noted");
        is_what_is_shown(world, "status").await;
        is_what_is_shown(world, "stop").await;
        world.model.release();
        pr.final_reply_to(working).await;
    })
    .await;
}
