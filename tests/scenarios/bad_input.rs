//! Input that nobody should send: each has a defined end that somebody sees.
//!
//! | input | end | test |
//! |---|---|---|
//! | a comment of 32 KiB of backticks | nothing; with a mention below them, a run | [`comments_as_large_as_bitbucket_takes_them_are_read`]; mention-parser `detection::hostile` |
//! | 10,000 mentions | one run, one reply | [`comments_as_large_as_bitbucket_takes_them_are_read`]; mention-parser `grammar::hostile` |
//! | lone surrogates in JSON | read as U+FFFD, a run | [`half_a_character_and_control_characters_are_no_reason_not_to_work`]; `bitbucket::json` |
//! | control characters | a run, shown as escapes to the agent and not at all to people | the same; reply `sanitise`, context-builder `visible` |
//! | a mention split by zero-width characters | nothing | [`what_is_nearly_a_command_does_what_it_says_and_nothing_else`]; mention-parser `grammar::vectors` |
//! | a verb in another case | the verb | the same; mention-parser `grammar::verbs` |
//! | an option twice | refused where the values differ | the same; mention-parser `grammar::options` |
//! | negative budgets | refused | the same; mention-parser `grammar::options` |
//! | paths with `..` | refused | the same; mention-parser `grammar::options` |
//! | branch names that look like options | a push to that very branch; as an option's value refused | [`a_branch_that_is_called_like_an_option_is_a_branch`]; mention-parser `grammar::options` |
//! | no source branch | `SOURCE_BRANCH_GONE` | [`a_pull_request_without_its_source_branch_is_told_so`]; deleted meanwhile: `branch_moves` |
//! | the comment deleted while the reply is posted (404) | `COMMENT_DELETED` at the top level | [`a_comment_deleted_while_the_reply_is_on_its_way_is_answered_at_the_top_level`] |
//! | the same where Bitbucket calls it a conflict (409) | the reply at the top level | [`a_reply_that_bitbucket_refuses_for_a_conflict_stands_at_the_top_level`] |
//! | version conflicts five times in a row | the reply, once | [`conflicts_five_times_in_a_row_delay_the_reply_and_double_nothing`]; reply `once` |
//! | an author that no longer exists | `REQUESTER_UNKNOWN` | [`who_no_longer_exists_is_refused_before_anything_is_done`]; `bitbucket` tests `webhooks` |

use serde_json::{Value, json};
use tests::setup::Setup;
use tests::thread::Comment;
use tests::waiting::WAIT_MAX;
use tests::world::{World, scenario, scenario_in, works};

use crate::deliveries::{post_signed, text_of};

/// Characters that Bitbucket takes in a comment (bitbucket-dc.md 3.6).
const COMMENT_MAX: usize = 32_768;

/// Ends a run of alice's, so that whatever another comment could have started would have shown by now.
async fn a_run_of_alices_ends(world: &World) {
    let comment = world.alice().comments(1, "@openhands go").await.unwrap();
    world.pull_request(1).final_reply_to(comment).await;
}

fn is_answered(thread: &[Comment], comment: u64) -> bool {
    thread.iter().any(|c| c.is_bots() && c.parent == Some(comment))
}

#[tokio::test]
async fn comments_as_large_as_bitbucket_takes_them_are_read() {
    scenario(async |world| {
        let (alice, pr) = (world.alice(), world.pull_request(1));
        let backticks = alice.comments(1, &"`".repeat(COMMENT_MAX)).await.unwrap();
        let below = format!("x{}\n\n@openhands do it", "`".repeat(COMMENT_MAX - 100));
        let below = alice.comments(1, &below).await.unwrap();
        let reply = pr.final_reply_to(below).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        let mentions = "@openhands ".repeat(COMMENT_MAX / "@openhands ".len());
        let mentions = alice.comments(1, &mentions).await.unwrap();
        let reply = pr.final_reply_to(mentions).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        assert!(!is_answered(&pr.comments().await, backticks));
        assert_eq!(pr.bots_commits().await.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn half_a_character_and_control_characters_are_no_reason_not_to_work() {
    scenario(async |world| {
        let (alice, pr) = (world.alice(), world.pull_request(1));
        // The delivery is ours, with half an emoji where the comment has a mark; Bitbucket's own is dropped.
        let drop = json!({"drop": true});
        world.control("PUT", "/sim/v1/delivery-mode", drop).await.unwrap();
        let half = alice.comments(1, "@openhands draw HALF here").await.unwrap();
        world
            .control("PUT", "/sim/v1/delivery-mode", json!({}))
            .await
            .unwrap();
        let body = last_delivery(world).await;
        let body = body.replace("HALF", "\\ud83d");
        assert!(body.contains("draw \\ud83d here"), "{body}");
        assert_eq!(post_signed(world, body.as_bytes()).await.0, 200);
        let reply = pr.final_reply_to(half).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);

        let control = "@openhands ring \u{7} the \u{1b}[31mbell\u{0}\u{85}\u{202e} please";
        world.agent_runs("echo ding >> bell.txt", "Rang the \u{1b}[31mbell\u{7}\u{202e}.");
        let comment = alice.comments(1, control).await.unwrap();
        let reply = pr.final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        let strange = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!reply.raw.contains(strange), "{:?}", reply.raw);
        let asked = world.model.requests().last().unwrap().body.clone();
        assert!(
            !texts(&asked).iter().any(|text| text.contains(strange)),
            "{asked}"
        );
        let commits = pr.bots_commits().await;
        assert!(
            !commits[0]["message"].as_str().unwrap().contains(strange),
            "{}",
            commits[0]
        );
    })
    .await;
}

/// Every text in a JSON value.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::Object(fields) => fields.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

/// The body of what was to be delivered last.
async fn last_delivery(world: &World) -> String {
    let all = world
        .control("GET", "/sim/v1/deliveries", Value::Null)
        .await
        .unwrap();
    let all = all
        .as_array()
        .or_else(|| all["values"].as_array())
        .unwrap()
        .clone();
    text_of(&all.last().expect("there is one")["body"])
}

#[tokio::test]
async fn what_is_nearly_a_command_does_what_it_says_and_nothing_else() {
    scenario(async |world| {
        world.script(json!([
            {"times": 1, "reply": {"hold": true, "then": works("echo first >> order.txt", "First.")}},
            {"reply": works("echo another >> order.txt", "Another.")},
        ]));
        let (alice, pr) = (world.alice(), world.pull_request(1));
        let held = alice.comments(1, "@openhands first").await.unwrap();
        world.model.wait_for_requests(1, WAIT_MAX).await.unwrap();
        let mut silent = Vec::new();
        for text in [
            "@open\u{200b}hands stop",
            "@\u{2060}openhands stop",
            "@openhands\u{200b} stop",
            "\u{200b}@openhands stop",
        ] {
            silent.push(alice.comments(1, text).await.unwrap());
        }
        for (text, said) in [
            ("@openhands HELP", "**Answered"),
            (
                "@openhands fix it --time 5m --time 6m",
                "`--time` was given twice with different values",
            ),
            ("@openhands fix it --budget -5", "`--budget` "),
            ("@openhands fix it --budget=$-2", "`--budget` "),
            ("@openhands fix it --path ../secrets", "`--path` "),
            ("@openhands fix it --path \"a/../../b\"", "`--path` "),
            ("@openhands fix it --branch=--force", "`--branch` "),
            ("@openhands fix it --branch \"-f\"", "`--branch` "),
        ] {
            let comment = alice.comments(1, text).await.unwrap();
            let reply = pr.final_reply_to(comment).await;
            let is_refused = said.starts_with("**") || reply.text.starts_with("**Refused for @alice**");
            assert!(is_refused && reply.text.contains(said), "{text}: {}", reply.text);
        }
        let stop = alice.comments(1, "@openhands STOP").await.unwrap();
        let reply = pr.final_reply_to(stop).await;
        assert!(reply.text.contains("Stopped `r-"), "{}", reply.text);
        let reply = pr.final_reply_to(held).await;
        assert!(reply.text.starts_with("**Stopped for @alice"), "{}", reply.text);
        world.model.release();
        a_run_of_alices_ends(world).await;
        let thread = pr.comments().await;
        assert!(
            !silent.iter().any(|comment| is_answered(&thread, *comment)),
            "{thread:#?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_branch_that_is_called_like_an_option_is_a_branch() {
    let names = ["--upload-pack=touch${IFS}owned", "-o", "--force", "--delete"];
    let mut setup = Setup {
        pull_requests: names.len(),
        ..Setup::default()
    };
    let mut document = setup.document();
    for (index, name) in names.iter().enumerate() {
        let branches = document["repositories"][0]["branches"].as_object_mut().unwrap();
        let source = branches.remove(&tests::setup::branch(index + 1)).unwrap();
        branches.insert((*name).to_owned(), source);
        document["pull_requests"][index]["from"] = json!(name);
    }
    setup.document = Some(document);
    scenario_in(setup, async |world| {
        for (index, name) in names.iter().enumerate() {
            let pr = world.pull_request(index + 1);
            let comment = world.alice().comments(pr.id(), "@openhands do it").await.unwrap();
            let reply = pr.final_reply_to(comment).await;
            assert!(
                reply.text.starts_with("**Done") && reply.text.contains(name),
                "{name}: {}",
                reply.text
            );
            assert_eq!(pr.bots_commits().await.len(), 1, "{name}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_pull_request_without_its_source_branch_is_told_so() {
    scenario(async |world| {
        let pr = world.pull_request(1);
        pr.someone_deletes_the_branch().await;
        let comment = world.alice().comments(1, "@openhands do it").await.unwrap();
        let reply = pr.final_reply_to(comment).await;
        assert!(
            reply.text.starts_with("**Failed") && reply.text.contains("`SOURCE_BRANCH_GONE`"),
            "{}",
            reply.text
        );
        assert!(world.model.requests().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_comment_deleted_while_the_reply_is_on_its_way_is_answered_at_the_top_level() {
    scenario(async |world| {
        world.script(json!([{"reply": {"hold": true, "then": works("echo done >> work.txt", "Done.")}}]));
        let (alice, pr) = (world.alice(), world.pull_request(1));
        let hold = world
            .holds_next("POST", "/rest/api/*/pull-requests/1/comments", "before")
            .await
            .unwrap();
        let comment = alice.comments(1, "@openhands do it").await.unwrap();
        world.held(hold).await.unwrap();
        alice.deletes(1, comment).await.unwrap();
        world.lets_go(hold).await.unwrap();
        let reply = pr
            .wait_for("an answer at the top level", |comments| {
                comments
                    .iter()
                    .find(|c| c.is_bots() && c.parent.is_none() && c.text.contains("COMMENT_DELETED"))
                    .cloned()
            })
            .await;
        assert!(
            reply
                .text
                .starts_with("*(The comment this answers was deleted.)*"),
            "{}",
            reply.text
        );
        world.model.release();
        assert!(pr.bots_commits().await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_reply_that_bitbucket_refuses_for_a_conflict_stands_at_the_top_level() {
    scenario(async |world| {
        world
            .faults(json!([{
                "method": "POST", "path": "/rest/api/*/pull-requests/1/comments", "user": "openhands",
                "count": 1, "when": "before", "status": 409,
            }]))
            .await
            .unwrap();
        world.alice().comments(1, "@openhands fix it").await.unwrap();
        let reply = world
            .pull_request(1)
            .wait_for("an answer at the top level", |comments| {
                let alone = comments
                    .iter()
                    .find(|c| c.is_bots() && c.parent.is_none() && c.text.contains("**Done"));
                alone.cloned()
            })
            .await;
        assert!(
            reply
                .text
                .starts_with("*(The comment this answers was deleted.)*"),
            "{}",
            reply.text
        );
    })
    .await;
}

#[tokio::test]
async fn conflicts_five_times_in_a_row_delay_the_reply_and_double_nothing() {
    scenario(async |world| {
        world
            .faults(json!([{
                "method": "PUT", "path": "/rest/api/*/pull-requests/1/comments/*", "user": "openhands",
                "count": 5, "when": "before", "status": 409,
            }]))
            .await
            .unwrap();
        let comment = world.alice().comments(1, "@openhands fix it").await.unwrap();
        let reply = world.pull_request(1).final_reply_to(comment).await;
        assert!(reply.text.starts_with("**Done"), "{}", reply.text);
        let faults = world.control("GET", "/sim/v1/faults", Value::Null).await.unwrap();
        assert_eq!(faults[0]["used"], 5, "{faults}");
    })
    .await;
}

#[tokio::test]
async fn who_no_longer_exists_is_refused_before_anything_is_done() {
    let mut setup = Setup::default();
    let mut document = setup.document();
    let users = document["users"].as_array_mut().unwrap();
    users.push(json!({"name": "carol", "tokens": [{"token": "carol-t", "permission": "REPO_WRITE"}]}));
    let root = users.iter_mut().find(|user| user["name"] == "root").unwrap();
    root["password"] = json!("pw");
    document["repositories"][0]["permissions"]["carol"] = json!("REPO_WRITE");
    setup.document = Some(document);
    scenario_in(setup, async |world| {
        let pr = world.pull_request(1);
        let drop = json!({"drop": true});
        world.control("PUT", "/sim/v1/delivery-mode", drop).await.unwrap();
        let comment = world
            .person("carol-t")
            .comments(1, "@openhands do it")
            .await
            .unwrap();
        world
            .control("PUT", "/sim/v1/delivery-mode", json!({}))
            .await
            .unwrap();
        let url = format!(
            "{}/rest/api/latest/admin/users?name=carol",
            world.bitbucket.base_url()
        );
        let gone = world
            .http
            .delete(url)
            .basic_auth("root", Some("pw"))
            .send()
            .await
            .unwrap();
        assert!(gone.status().is_success(), "{gone:?}");
        // As Bitbucket delivers what a deleted user wrote: without an author.
        let mut body: Value = serde_json::from_str(&last_delivery(world).await).unwrap();
        body["actor"] = Value::Null;
        body["comment"]["author"] = Value::Null;
        assert_eq!(post_signed(world, body.to_string().as_bytes()).await.0, 200);
        let reply = pr.final_reply_to(comment).await;
        assert!(
            reply.text.starts_with("**Refused") && reply.text.contains("`REQUESTER_UNKNOWN`"),
            "{}",
            reply.text
        );
        assert!(world.model.requests().is_empty());
    })
    .await;
}
