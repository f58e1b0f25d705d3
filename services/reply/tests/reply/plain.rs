//! What happens when nothing goes wrong.

use std::time::Instant;

use pipeline::failure_code::FailureCode;
use pipeline::ids::CommentId;
use pipeline::run::{FailureReport, Outcome, RunState};

use crate::world::{World, marker, run_of};

#[tokio::test]
async fn a_plain_run_is_one_reply_and_six_calls() {
    let world = World::start().await;
    let run = world.queued_run().await;
    let first = world
        .until_record(&run, |record| record.reply.comment.is_some())
        .await;
    let id = first.reply.comment.unwrap();
    assert_eq!(world.one(run.comment.0).await.reactions, ["eyes"]);
    assert!(world.one(id.0).await.text.starts_with("**Queued**"));

    world.take(&run).await;
    world
        .until_record(&run, |record| record.reply.shows_n == Some(2))
        .await;
    assert!(world.one(id.0).await.text.starts_with("**Working**"));

    let summary = Some("It was right already.".to_owned());
    world
        .end(
            &run,
            RunState::NoChange,
            Outcome {
                summary,
                ..Outcome::default()
            },
        )
        .await;
    let closed = world.until_closed(&run).await;
    assert_eq!(closed.n, 3, "bookkeeping does not count as a change");
    assert_eq!(closed.reply.comment, Some(id));
    let seen = world.bots().await;
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].parent, seen[0].version), (Some(run.comment.0), 2));
    assert!(
        seen[0].text.starts_with("**No change needed for @alice**"),
        "{}",
        seen[0].text
    );
    assert!(seen[0].text.contains("unsandboxed"), "every reply says so");
    assert!(seen[0].text.ends_with(&marker(&run, 3)));
    assert_eq!(world.one(run.comment.0).await.reactions, ["white_check_mark"]);
    let (asked, reply) = (run.comment, id);
    let reaction = |emoticon: &str| format!("comments/{asked}/reactions/{emoticon}");
    assert_eq!(
        world.calls().await,
        [
            format!("PUT {}", reaction("eyes")),
            "POST comments".to_owned(),
            format!("PUT comments/{reply}"),
            format!("PUT comments/{reply}"),
            format!("DELETE {}", reaction("eyes")),
            format!("PUT {}", reaction("white_check_mark")),
        ]
    );
    world.stop().await;
}

#[tokio::test]
async fn a_refused_run_is_told_once() {
    let world = World::start().await;
    let comment = world.comments("alice-t", "@openhands fix it", None).await;
    let mut run = run_of(CommentId(comment));
    let failure = Some(FailureReport {
        code: FailureCode::PermissionDenied,
        detail: None,
    });
    run.end(
        None,
        RunState::Refused,
        Outcome {
            failure,
            ..Outcome::default()
        },
        jiff::Timestamp::now(),
    )
    .unwrap();
    world.create(&run).await;
    world.until_closed(&run).await;
    let seen = world.bots().await;
    assert_eq!(seen.len(), 1);
    assert!(
        seen[0].text.starts_with("**Refused for @alice**"),
        "{}",
        seen[0].text
    );
    assert_eq!(world.one(comment).await.reactions, ["x"]);
    assert_eq!(world.calls().await.len(), 2, "the reply and its reaction");
    world.stop().await;
}

#[tokio::test]
async fn a_reply_to_a_reply_stands_under_it() {
    let world = World::start().await;
    let root = world.comments("alice-t", "what is this?", None).await;
    let nested = world.comments("alice-t", "@openhands fix it", Some(root)).await;
    let run = run_of(CommentId(nested));
    world.create(&run).await;
    let seen = world.until_bots(&run, |seen| !seen.is_empty()).await;
    assert_eq!(seen[0].parent, Some(nested));
    world.stop().await;
}

#[tokio::test]
async fn many_steps_make_few_edits_and_the_last_is_shown_before_a_long_silence() {
    let world = World::start().await;
    let started = Instant::now();
    let run = world.queued_run().await;
    world.take(&run).await;
    for i in 0..30 {
        world
            .change(&run, |run| run.step(1, format!("step {i}")).unwrap())
            .await;
    }
    let seen = world
        .until_bots(&run, |seen| {
            seen.iter().any(|comment| comment.text.contains("step 29"))
        })
        .await;
    assert_eq!(seen.len(), 1);
    // One for the change of state, and one for each pause of ten seconds, however slow this machine is.
    let edits_max = 1 + started.elapsed().as_secs() / 10;
    assert!(
        seen[0].version <= edits_max,
        "{} edits, not {edits_max}",
        seen[0].version
    );
    world.stop().await;
}

#[tokio::test]
async fn a_small_patch_is_shown_and_a_large_one_is_named() {
    let world = World::start().await;
    let failure = Some(FailureReport {
        code: FailureCode::BranchConflict,
        detail: None,
    });
    for (patch, shown) in [
        ("+let a = 1;\n".to_owned(), true),
        ("+let a = 1;\n".repeat(1000), false),
    ] {
        let run = world.queued_run().await;
        let key = pipeline::subject::artifact(&run.id, "patch");
        let kept = world.nats.artifacts().put(&key, patch.as_bytes()).await.unwrap();
        world.change(&run, |run| run.patch = Some(kept.clone())).await;
        world
            .end(
                &run,
                RunState::Failed,
                Outcome {
                    failure: failure.clone(),
                    ..Outcome::default()
                },
            )
            .await;
        let record = world.until_closed(&run).await;
        let text = world.one(record.reply.comment.unwrap().0).await.text;
        assert_eq!(text.contains("```diff\n+let a = 1;\n```"), shown, "{text}");
        assert_eq!(
            text.contains(&format!("`openhands-resolver runs show {} --patch`", run.id)),
            !shown,
            "{text}"
        );
    }
    world.stop().await;
}
