//! Bitbucket says no to the bot, or something that is no answer: what can pass is waited for, everything else is told
//! in our own words, with the code and the run's id.

use serde_json::{Value, json};
use tests::setup::Setup;
use tests::thread::Comment;
use tests::waiting::{WAIT_MAX, until};
use tests::world::{World, scenario, scenario_in};

/// In every refusal's body; never to be read by a person.
const RAW_WORDS: &str = "SECRET-WORDS-OF-THE-SERVER";

/// A refusal as Bitbucket words it.
fn refuses(method: &str, path: &str, status: u16, exception: &str) -> Value {
    let body = json!({"errors": [{
        "context": null, "message": RAW_WORDS, "exceptionName": format!("com.atlassian.bitbucket.{exception}"),
    }]});
    json!({
        "method": method, "path": path, "user": "openhands", "status": status,
        "body": body.to_string(), "content_type": "application/json",
    })
}

/// A page in place of an answer, as a proxy in front of Bitbucket sends it.
fn page(method: &str, path: &str) -> Value {
    json!({
        "method": method, "path": path, "user": "openhands", "status": 200,
        "body": format!("<html><body>{RAW_WORDS}</body></html>"),
    })
}

fn times(mut fault: Value, count: u64) -> Value {
    fault["count"] = count.into();
    fault
}

fn lost(mut fault: Value) -> Value {
    fault["when"] = "after".into();
    fault
}

/// One refusal for good, and how the run ends.
struct Refusal {
    fault: Value,
    code: &'static str,
    patch_is_kept: bool,
    dead_letters: u64,
}

impl Refusal {
    /// Before there is any work: the message is given up, and an operator may look at it.
    fn of_request(fault: Value, code: &'static str) -> Self {
        Self {
            fault,
            code,
            patch_is_kept: false,
            dead_letters: 1,
        }
    }

    /// When the work is done.
    fn of_push(fault: Value, code: &'static str, dead_letters: u64) -> Self {
        Self {
            fault,
            code,
            patch_is_kept: true,
            dead_letters,
        }
    }
}

/// Each run ends with its code, said in our words and nobody else's.
async fn end_with_their_codes(refusals: Vec<Refusal>) {
    scenario(async |world| {
        world.expected.dead_letters = refusals.iter().map(|refusal| refusal.dead_letters).sum();
        let pr = world.pull_request(1);
        let before = pr.head().await;
        for refusal in refusals {
            let (fault, code) = (&refusal.fault, refusal.code);
            world.faults(json!([fault])).await.unwrap();
            let comment = world.alice().comments(1, "@openhands fix it").await.unwrap();
            let reply = pr.final_reply_to(comment).await;
            says_only_ours(&reply, fault);
            let text = &reply.text;
            assert!(
                text.starts_with("**Failed") && text.contains(&format!("`{code}`")),
                "{code} after {fault}: {text}"
            );
            assert!(text.contains("run `r-"), "{fault}: {text}");
            let shows_patch = text.contains("+// looked at by the bot");
            assert_eq!(shows_patch, refusal.patch_is_kept, "{fault}: {text}");
            assert_eq!(pr.head().await, before, "{fault}");
            pr.reaction_to(comment, "x").await;
            all_have_struck(world).await;
        }
    })
    .await;
}

/// Each run succeeds all the same, with one commit and one reply.
async fn pass(faults: Vec<Value>) {
    scenario(async |world| {
        for (passed, fault) in faults.into_iter().enumerate() {
            let faults = json!([fault]);
            world.faults(faults.clone()).await.unwrap();
            let comment = world.alice().comments(1, "@openhands fix it").await.unwrap();
            succeeds(world, comment, &faults).await;
            all_have_struck(world).await;
            let commits = world.pull_request(1).bots_commits().await;
            assert_eq!(commits.len(), passed + 1, "{fault}");
        }
    })
    .await;
}

async fn succeeds(world: &World, comment: u64, faults: &Value) {
    let pr = world.pull_request(1);
    let reply = pr.final_reply_to(comment).await;
    says_only_ours(&reply, faults);
    assert!(reply.text.starts_with("**Done"), "{faults}: {}", reply.text);
    pr.reaction_to(comment, "white_check_mark").await;
}

/// A fault that no request met would show nothing.
async fn all_have_struck(world: &World) {
    let faults = world.control("GET", "/sim/v1/faults", Value::Null).await.unwrap();
    for fault in faults.as_array().unwrap() {
        let wanted = fault["count"].as_u64().unwrap_or(1);
        assert!(fault["used"].as_u64().unwrap() >= wanted, "{fault}");
    }
}

fn says_only_ours(reply: &Comment, fault: &Value) {
    for raw in [
        RAW_WORDS,
        "<html",
        "Exception",
        "error sending",
        "status code",
        "os error",
    ] {
        assert!(!reply.text.contains(raw), "{raw} after {fault}: {}", reply.text);
    }
}

#[tokio::test]
async fn a_call_that_bitbucket_refuses_for_good_ends_the_run_with_its_code() {
    let refusals = [
        (
            refuses("GET", "*/pull-requests/1", 403, "AuthorisationException"),
            "BITBUCKET_FORBIDDEN",
        ),
        (
            refuses("GET", "*/pull-requests/1", 401, "AuthorisationException"),
            "BITBUCKET_FORBIDDEN",
        ),
        (
            refuses("GET", "*/pull-requests/1", 404, "pull.NoSuchPullRequestException"),
            "BITBUCKET_NOT_FOUND",
        ),
        (
            refuses("GET", "*/users", 403, "AuthorisationException"),
            "BITBUCKET_FORBIDDEN",
        ),
    ];
    let refusals = refusals.map(|(fault, code)| Refusal::of_request(fault, code));
    end_with_their_codes(refusals.into()).await;
}

#[tokio::test]
async fn a_repository_that_cannot_be_fetched_ends_the_run_with_its_code() {
    let refusals = [
        (
            refuses("GET", "*/info/refs", 403, "AuthorisationException"),
            "BITBUCKET_FORBIDDEN",
        ),
        (
            refuses("GET", "*/info/refs", 404, "NoSuchRepositoryException"),
            "BITBUCKET_NOT_FOUND",
        ),
        (page("GET", "*/info/refs"), "GIT_FAILED"),
    ];
    let refusals = refusals.map(|(fault, code)| Refusal::of_request(fault, code));
    end_with_their_codes(refusals.into()).await;
}

#[tokio::test]
async fn a_push_that_is_refused_for_good_ends_the_run_with_its_code_and_the_patch() {
    let refusals = [
        (
            refuses("POST", "*/git-receive-pack", 403, "AuthorisationException"),
            "PUSH_FORBIDDEN",
            0,
        ),
        (
            refuses("POST", "*/git-receive-pack", 404, "NoSuchRepositoryException"),
            "BITBUCKET_NOT_FOUND",
            1,
        ),
        (page("POST", "*/git-receive-pack"), "GIT_FAILED", 0),
    ];
    let refusals = refusals.map(|(fault, code, dead_letters)| Refusal::of_push(fault, code, dead_letters));
    end_with_their_codes(refusals.into()).await;
}

#[tokio::test]
async fn a_token_that_is_refused_everywhere_is_waited_for_until_it_works_again() {
    /// Refused calls after which nobody can say that they were not noticed.
    const REFUSED: usize = 3;
    scenario(async |world| {
        let faults = json!([{"user": "openhands", "status": 401}]);
        world.faults(faults.clone()).await.unwrap();
        let comment = world.alice().comments(1, "@openhands fix it").await.unwrap();
        let refused = until(WAIT_MAX, || async {
            let log = world
                .control("GET", "/sim/v1/requests?after=0", Value::Null)
                .await
                .ok()?;
            let requests = log.as_array().or_else(|| log["values"].as_array())?;
            let of_bot = requests
                .iter()
                .filter(|request| request["user"] == "openhands" && request["status"] == 401);
            (of_bot.count() >= REFUSED).then_some(())
        });
        refused.await.expect("the bot keeps trying");
        assert!(world.model.requests().is_empty());
        assert!(world.pull_request(1).bots_comments().await.is_empty());
        world.faults(json!([])).await.unwrap();
        succeeds(world, comment, &faults).await;
    })
    .await;
}

#[tokio::test]
async fn calls_that_are_refused_or_answered_by_a_page_for_a_while_only_delay_the_run() {
    pass(vec![
        json!({"method": "GET", "path": "*/pull-requests/1", "user": "openhands", "count": 2, "status": 401}),
        times(page("GET", "*/pull-requests/1"), 2),
        times(page("GET", "*/users"), 2),
        times(page("GET", "*/activities"), 1),
        times(page("GET", "*/info/refs"), 1),
        times(refuses("GET", "*/info/refs", 401, "AuthenticationException"), 2),
        times(
            refuses("POST", "*/git-receive-pack", 401, "AuthenticationException"),
            2,
        ),
        times(page("POST", "*/git-receive-pack"), 1),
        lost(times(page("POST", "*/git-receive-pack"), 1)),
        json!({"method": "GET", "path": "*/pull-requests/1", "user": "openhands", "count": 2, "drop": true}),
        json!({"method": "GET", "path": "*/info/refs", "user": "openhands", "count": 1, "drop": true}),
    ])
    .await;
}

#[tokio::test]
async fn replies_that_are_refused_or_answered_by_a_page_for_a_while_are_written_once() {
    pass(vec![
        json!({"method": "POST", "path": "/rest/api/*/comments", "user": "openhands", "count": 2, "status": 401}),
        json!({"method": "PUT", "path": "/rest/api/*/comments/*", "user": "openhands", "count": 2, "status": 401}),
        times(page("PUT", "/rest/api/*/comments/*"), 1),
        lost(times(page("POST", "/rest/api/*/comments"), 1)),
    ])
    .await;
}

#[tokio::test]
async fn a_bitbucket_that_does_not_answer_is_asked_again() {
    // Side by side, since each costs a time-out.
    let setup = Setup {
        pull_requests: 2,
        ..Setup::default()
    };
    scenario_in(setup, async |world| {
        let faults = json!([
            {"method": "GET", "path": "*/pull-requests/1", "user": "openhands", "count": 1, "hold": true},
            {"method": "POST", "path": "*/pull-requests/2/comments", "user": "openhands", "count": 1, "when": "after", "hold": true},
        ]);
        world.faults(faults.clone()).await.unwrap();
        let mut comments = Vec::new();
        for pull_request in [1, 2_usize] {
            let comment = world.alice().comments(pull_request as u64, "@openhands fix it").await;
            comments.push((pull_request, comment.unwrap()));
        }
        for (pull_request, comment) in comments {
            let pr = world.pull_request(pull_request);
            let reply = pr.final_reply_to(comment).await;
            says_only_ours(&reply, &faults);
            assert!(reply.text.starts_with("**Done"), "{pull_request}: {}", reply.text);
        }
    })
    .await;
}
