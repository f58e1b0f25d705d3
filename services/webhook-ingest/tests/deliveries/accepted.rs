//! Signed deliveries: stored, or acknowledged with a reason.

use pipeline::decision::Verdict;
use pipeline::event::EventBody;
use pipeline::ids::{CommentId, PullRequestId};
use pipeline::subject;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::world::{
    COMMENT_9X, COMMENT_10X, OLD_SECRET, PROJECT_MODIFIED, REFS_CHANGED, World, signature, with,
};

#[tokio::test]
async fn a_signed_comment_is_one_event_once_it_is_answered() {
    let world = World::start().await;
    assert_eq!(world.deliver("d-1", COMMENT_9X).await.status, 200);
    let events = world.events().await;
    let [event] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!(event.delivery.as_str(), "d-1");
    assert_eq!(event.connection.as_str(), "main");
    assert_eq!(
        event.pull_request.as_ref().map(|pull_request| pull_request.id),
        Some(PullRequestId(7))
    );
    assert!(matches!(&event.body, EventBody::CommentAdded { comment } if comment.id == CommentId(310)));
    assert_eq!(
        world.decisions().await,
        [],
        "an accepted delivery is decided on by the next role"
    );
}

#[tokio::test]
async fn both_payload_flavours_and_both_secrets_are_accepted() {
    let world = World::start().await;
    assert_eq!(world.deliver("d-9", COMMENT_9X).await.status, 200);
    assert_eq!(world.deliver("d-10", COMMENT_10X).await.status, 200);
    let old = signature(OLD_SECRET, REFS_CHANGED);
    assert_eq!(
        world
            .post("main", &[("x-hub-signature", &old)], REFS_CHANGED)
            .await
            .status,
        200
    );
    let kinds: Vec<&str> = world
        .events()
        .await
        .iter()
        .map(|event| event.body.kind())
        .collect();
    assert_eq!(kinds, ["comment-added", "comment-added", "refs-changed"]);
}

#[tokio::test]
async fn the_trace_starts_here_and_travels_with_the_event() {
    let world = World::start().await;
    world.deliver("d-1", COMMENT_9X).await;
    let stored = world.stored(subject::EVENTS, subject::EVENTS_ALL).await;
    let traceparent = stored[0].headers.get("traceparent").expect("a trace").as_str();
    assert!(
        traceparent.len() == 55 && traceparent.starts_with("00-"),
        "{traceparent}"
    );
}

#[tokio::test]
async fn an_odd_request_id_is_replaced_and_never_reaches_a_subject() {
    let world = World::start().await;
    world.deliver("resolver.v1.events.>", COMMENT_9X).await;
    world.deliver("a b", COMMENT_9X).await;
    let signed = signature(crate::world::SECRET, COMMENT_9X);
    world
        .post("main", &[("x-hub-signature", &signed)], COMMENT_9X)
        .await;
    for message in world.stored(subject::EVENTS, subject::EVENTS_ALL).await {
        assert_eq!(message.subject, "resolver.v1.events.main.84.pr-7.comment-added");
    }
    let ids: Vec<usize> = world
        .events()
        .await
        .iter()
        .map(|event| event.delivery.as_str().len())
        .collect();
    assert_eq!(ids, [36, 36, 36]);
}

#[tokio::test]
async fn what_is_not_for_us_is_acknowledged_and_the_reason_recorded() {
    let world = World::start().await;
    let other_project = with(COMMENT_9X, "\"PROJ\"", "\"OTHER\"");
    let no_comment = with(COMMENT_9X, "\"comment\":", "\"remark\":");
    for (delivery, body, reason) in [
        (
            "d-1",
            PROJECT_MODIFIED,
            "project:modified: not an event the resolver uses",
        ),
        (
            "d-2",
            &other_project,
            "OTHER/demo is not among the connection's repositories: PROJ/*",
        ),
        ("d-3", &no_comment, "pr:comment:added: "),
        (
            "d-4",
            b"{\"eventKey\": \"pr:celebrated\"}",
            "pr:celebrated: not an event the resolver uses",
        ),
        ("d-5", b"{}", "the body has no `eventKey`"),
        ("d-6", b"[1, 2]", "the body has no `eventKey`"),
        ("d-7", b"{\"test\":true}", "the body has no `eventKey`"),
    ] {
        let answered = world.deliver(delivery, body).await;
        assert_eq!(
            (answered.status, answered.text.as_str()),
            (200, "ignored\n"),
            "{delivery}"
        );
        let decisions = world.decisions().await;
        let decision = decisions.last().expect("a decision");
        assert_eq!(
            (decision.delivery.as_str(), decision.verdict),
            (delivery, Verdict::Ignored)
        );
        assert!(decision.reason.starts_with(reason), "{}", decision.reason);
    }
    let decisions = world.decisions().await;
    let about = decisions
        .iter()
        .find(|decision| decision.delivery.as_str() == "d-2")
        .unwrap();
    assert_eq!(
        (about.comment, about.pull_request),
        (Some(CommentId(310)), Some(PullRequestId(7)))
    );
    assert_eq!(world.events().await, []);
}

#[tokio::test]
async fn a_signed_body_that_is_not_json_is_malformed() {
    let world = World::start().await;
    for body in [
        b"".as_slice(),
        b"{",
        b"hello",
        b"{\"eventKey\": \"pr:opened\"} trailing",
        b"\xff\xfe",
    ] {
        assert_eq!(
            world.deliver("d-1", body).await.status,
            400,
            "{}",
            String::from_utf8_lossy(body)
        );
    }
    let deep = "[".repeat(50_000);
    assert_eq!(world.deliver("d-2", deep.as_bytes()).await.status, 400);
    let decisions = world.decisions().await;
    assert_eq!(decisions.len(), 6);
    assert!(
        decisions
            .iter()
            .all(|decision| decision.verdict == Verdict::Failed)
    );
    assert_eq!(world.events().await, []);
}

#[tokio::test]
async fn missing_optional_parts_and_deleted_users_do_no_harm() {
    let world = World::start().await;
    let nobody = with(COMMENT_9X, "\"actor\":", "\"former\":");
    let unnamed = with(COMMENT_9X, "\"author\":", "\"writer\":");
    assert_eq!(world.deliver("d-1", &nobody).await.status, 200);
    assert_eq!(world.deliver("d-2", &unnamed).await.status, 200);
    let events = world.events().await;
    assert_eq!((events.len(), events[0].actor.is_none()), (2, true));
}

/// A body of any kind: noise, almost a delivery, or some other JSON.
fn any_body() -> impl Strategy<Value = Vec<u8>> {
    let changed = (
        any::<bool>(),
        proptest::collection::vec((any::<usize>(), any::<u8>()), 1..8),
    );
    let almost = changed.prop_map(|(old, changes)| {
        let mut body = if old { COMMENT_9X } else { COMMENT_10X }.to_vec();
        for (at, byte) in changes {
            let at = at % body.len();
            body[at] = byte;
        }
        body
    });
    let cut = (0..COMMENT_9X.len()).prop_map(|length| COMMENT_9X[..length].to_vec());
    let other = "\\{\"eventKey\": ?\"(pr|repo):[a-z_:]{1,20}\", ?\"(comment|pullRequest|repository|actor)\": ?(null|[0-9]{1,30}|\\[\\]|\"[a-z]*\")\\}";
    let other = proptest::string::string_regex(other)
        .expect("a right expression")
        .prop_map(String::into_bytes);
    prop_oneof![proptest::collection::vec(any::<u8>(), 0..600), almost, cut, other]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_signed_body_whatever_it_holds_is_answered_with_a_failure_of_ours() {
    let world = World::start().await;
    let runtime = tokio::runtime::Handle::current();
    let cases = Config {
        cases: 200,
        failure_persistence: None,
        ..Config::default()
    };
    tokio::task::block_in_place(|| {
        let mut runner = TestRunner::new(cases);
        let judged = runner.run(&any_body(), |body| {
            let answered = runtime.block_on(world.deliver("d-any", &body));
            prop_assert!([200, 400].contains(&answered.status), "{answered:?}");
            Ok(())
        });
        judged.unwrap();
    });
    assert!(!world.role.is_finished());
}
