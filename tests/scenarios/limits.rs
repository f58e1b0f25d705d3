//! What a run may use and push: over a limit it ends with words, and unfinished work is kept and never pushed.

use serde_json::{Value, json};
use tests::setup::Setup;
use tests::world::{scenario, scenario_in, works};

/// A turn that changes a file and does not finish.
fn goes_on() -> Value {
    json!({"tool_calls": [{"name": "bash", "arguments": {"command": "echo more >> more.txt"}}]})
}

/// Runs the script under `[limits]` until `code` cuts it off; how often the model was asked.
async fn cut_off(limits: &str, script: Value, code: &str) -> usize {
    let setup = Setup {
        // A thousandth of a dollar for a token.
        model_settings: if limits.contains("run_usd") {
            "price_in = 1000\nprice_out = 1000\n"
        } else {
            ""
        },
        config: format!("[limits]\n{limits}\n"),
        ..Setup::default()
    };
    let mut asked = 0;
    scenario_in(setup, async |world| {
        world.script(script);
        let pr = world.pull_request(1);
        let before = pr.head().await;
        let comment = world.alice().comments(1, "@openhands fix it").await.unwrap();
        let reply = pr.final_reply_to(comment).await;
        assert!(
            reply.text.starts_with("**Out of time or budget") && reply.text.contains(code),
            "{}",
            reply.text
        );
        assert!(
            reply.text.contains("+more"),
            "the work is kept as a patch: {}",
            reply.text
        );
        assert_eq!(pr.head().await, before, "and not pushed");
        asked = world.model.requests().len();
    })
    .await;
    asked
}

#[tokio::test]
async fn a_model_that_never_finishes_is_cut_off_and_its_work_kept_as_a_patch() {
    let asked = cut_off("run_turns = 4", json!([{"reply": goes_on()}]), "TURN_LIMIT").await;
    assert_eq!(asked, 4);
}

/// Enough for the request of one call, whose size is counted before it is sent, and not for ten answers of the script's
/// model, which says that each costs a thousand.
const SOME_TOKENS: u32 = 8_000;

#[tokio::test]
async fn a_run_that_has_used_up_its_tokens_is_cut_off_and_its_work_kept_as_a_patch() {
    let limits = format!("run_tokens = {SOME_TOKENS}");
    let asked = cut_off(&limits, json!([{"reply": goes_on()}]), "TOKEN_LIMIT").await;
    assert!((1..10).contains(&asked), "asked {asked} times");
}

#[tokio::test]
async fn a_run_that_has_used_up_its_money_is_cut_off_and_says_what_it_cost() {
    let limits = format!("run_usd = {}.00", SOME_TOKENS / 1_000);
    let asked = cut_off(&limits, json!([{"reply": goes_on()}]), "of $8.00").await;
    assert!((1..10).contains(&asked), "asked {asked} times");
}

#[tokio::test]
async fn a_run_without_a_budget_asks_the_model_nothing() {
    let setup = Setup {
        model_settings: "price_in = 1\nprice_out = 1\n",
        config: "[limits]\nrun_usd = 0\n".to_owned(),
        ..Setup::default()
    };
    scenario_in(setup, async |world| {
        let comment = world.alice().comments(1, "@openhands fix it").await.unwrap();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(
            reply.text.starts_with("**Out of time or budget") && reply.text.contains("MONEY_LIMIT"),
            "{}",
            reply.text
        );
        assert_eq!(world.model.requests().len(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_run_that_has_used_up_its_time_is_cut_off_and_its_work_kept_as_a_patch() {
    let script = json!([{"times": 1, "reply": goes_on()}, {"reply": {"hold": true}}]);
    let asked = cut_off("run_seconds = 5", script, "TIME_LIMIT").await;
    assert_eq!(asked, 2, "cut off while it waited for the model");
}

#[tokio::test]
async fn a_change_of_too_many_files_is_not_pushed() {
    scenario(async |world| {
        world.agent_runs(
            "mkdir out && for i in $(seq 501); do echo $i > out/$i.txt; done",
            "Built it.",
        );
        let pr = world.pull_request(1);
        let before = pr.head().await;
        let comment = world.alice().comments(1, "@openhands build it").await.unwrap();
        let reply = pr.final_reply_to(comment).await;
        assert!(
            reply.text.starts_with("**Failed") && reply.text.contains("CHANGE_TOO_LARGE"),
            "{}",
            reply.text
        );
        assert!(
            reply.text.contains("501") && reply.text.contains("500"),
            "how many there are and how many may be: {}",
            reply.text
        );
        assert_eq!(pr.head().await, before);
    })
    .await;
}

#[tokio::test]
async fn an_agents_own_files_are_left_out_of_the_commit_and_named() {
    scenario(async |world| {
        world.agent_runs(
            "echo chat > .aider.chat.history.md && echo done > work.txt",
            "Did it.",
        );
        let pr = world.pull_request(1);
        let comment = world.alice().comments(1, "@openhands do it").await.unwrap();
        let reply = pr.final_reply_to(comment).await;
        assert!(
            reply.text.starts_with("**Done") && reply.text.contains(".aider.chat.history.md"),
            "{}",
            reply.text
        );
        let diff = pr.last_diff().await;
        assert!(diff.contains("work.txt") && !diff.contains(".aider"), "{diff}");
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_wrote_only_files_of_its_own_changed_nothing_and_they_are_named() {
    scenario(async |world| {
        world.agent_runs("echo chat > .aider.chat.history.md", "Looked at it.");
        let pr = world.pull_request(1);
        let before = pr.head().await;
        let comment = world.alice().comments(1, "@openhands look").await.unwrap();
        let reply = pr.final_reply_to(comment).await;
        assert!(
            reply.text.starts_with("**No change") && reply.text.contains(".aider.chat.history.md"),
            "{}",
            reply.text
        );
        assert_eq!(pr.head().await, before);
    })
    .await;
}

#[tokio::test]
async fn a_run_whose_worker_dies_at_every_attempt_is_given_up_and_told() {
    /// Takes of one job before it is given up.
    const ATTEMPTS: u64 = 3;
    let setup = Setup {
        separate_roles: true,
        ..Setup::default()
    };
    scenario_in(setup, async |world| {
        world.script(json!([{"reply": {"hold": true, "then": works("echo never >> never.txt", "Never.")}}]));
        world.expected.dead_letters = 1;
        let before = world.pull_request(1).head().await;
        let comment = world.alice().comments(1, "@openhands crash").await.unwrap();
        for attempt in 1..=ATTEMPTS {
            let asked = world.model.wait_for_requests(attempt, tests::waiting::WAIT_MAX);
            asked.await.unwrap();
            world.kill("resolver").await.unwrap();
            world.start_role("resolver").await.unwrap();
        }
        let pr = world.pull_request(1);
        let reply = pr.final_reply_to(comment).await;
        assert!(
            reply.text.starts_with("**Failed") && reply.text.contains("WORKER_LOST"),
            "{}",
            reply.text
        );
        assert_eq!(world.model.requests().len(), 3, "no attempt beyond the last");
        assert_eq!(pr.head().await, before);
    })
    .await;
}
