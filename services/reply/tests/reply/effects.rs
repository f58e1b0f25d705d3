//! What a run does to the pull request beside its status reply: once, before the end is told, whatever died in between.

use jiff::{Timestamp, ToSpan};
use pipeline::effect::{BuildState, Described, Effect, Progress, What};
use pipeline::ids::{CommentId, CommitId};
use pipeline::run::{Outcome, Pushed, Run, RunState};
use pipeline::subject;
use serde_json::{Value, json};

use crate::world::{Seen, World};

fn answer(thread: u64, tick: bool) -> Effect {
    Effect::planned(What::Answer {
        thread: CommentId(thread),
        text: "Handled, @alice.".into(),
        settled: true,
        tick,
    })
}

fn finding(line: u32, suggestion: Option<&str>) -> Effect {
    Effect::planned(What::Finding {
        path: "a.rs".into(),
        first_line: line,
        last_line: line,
        first_is_added: true,
        last_is_added: true,
        text: "Wrong letter.".into(),
        suggestion: suggestion.map(ToOwned::to_owned),
    })
}

fn describe(title: &str, description: Option<&str>) -> Effect {
    Effect::planned(What::Describe {
        title: Some(title.into()),
        description: description.map(ToOwned::to_owned),
    })
}

fn begun_by_a_dead_process(effect: Effect) -> Effect {
    Effect {
        progress: Progress::Begun {
            poster: "dead".into(),
            at: Timestamp::now() - 1.minute(),
        },
        ..effect
    }
}

/// Ends a run that had these effects planned, as a worker does that pushed.
async fn ended(world: &World, run: &Run, state: RunState, effects: Vec<Effect>) -> Run {
    world.change(run, |run| run.effects.clone_from(&effects)).await;
    let pushed = (state == RunState::Done).then(|| Pushed {
        commit: CommitId::new("9".repeat(40)).unwrap(),
        branch: "refs/heads/feature/x".into(),
        files: 1,
        added: 1,
        removed: 1,
        threads: Vec::new(),
    });
    let outcome = Outcome {
        pushed,
        ..Outcome::default()
    };
    world.end(run, state, outcome).await
}

async fn keep_described(world: &World, run: &Run, title: &str, description: &str) {
    let described = Described {
        title: title.into(),
        description: description.into(),
    };
    let key = subject::artifact(&run.id, subject::DESCRIBED);
    let bytes = serde_json::to_vec(&described).unwrap();
    world.nats.artifacts().put(&key, &bytes).await.unwrap();
}

/// The bot's comments that an effect wrote.
async fn written(world: &World) -> Vec<Seen> {
    let bots = world.bots().await;
    bots.into_iter()
        .filter(|comment| comment.text.contains(" effect="))
        .collect()
}

fn status<'s>(bots: &'s [Seen], run: &Run) -> &'s Seen {
    let ours = |comment: &&Seen| comment.text.contains(&format!("run={} n=", run.id));
    bots.iter().find(ours).expect("a status reply")
}

#[tokio::test]
async fn threads_are_answered_and_settled_tasks_ticked_before_the_end_is_told() {
    let world = World::start().await;
    let thread = world.comments("alice-t", "why b?", None).await;
    let task = world
        .rest(
            "POST",
            "alice-t",
            "comments",
            &json!({"text": "use a", "severity": "BLOCKER"}),
        )
        .await["id"]
        .as_u64()
        .unwrap();
    let run = world.queued_run().await;
    world.take(&run).await;
    world
        .until_record(&run, |record| record.reply.comment.is_some())
        .await;
    ended(
        &world,
        &run,
        RunState::Done,
        vec![answer(thread, false), answer(task, true)],
    )
    .await;
    let record = world.until_closed(&run).await;
    assert!(
        record
            .effects
            .iter()
            .all(|effect| matches!(effect.progress, Progress::Done { comment: Some(_), .. }))
    );
    let answers = written(&world).await;
    assert_eq!(
        answers.iter().map(|a| a.parent).collect::<Vec<_>>(),
        [Some(thread), Some(task)]
    );
    assert!(
        answers[0].text.starts_with("**Done** in [`99999999999`]("),
        "{}",
        answers[0].text
    );
    assert!(!answers[0].text.contains(" @alice"), "{}", answers[0].text);
    assert!(
        answers[0].text.ends_with(" effect=0 settled)"),
        "{}",
        answers[0].text
    );
    let ticked = world
        .rest("GET", "alice-t", &format!("comments/{task}"), &Value::Null)
        .await;
    assert_eq!(ticked["state"], "RESOLVED");
    let bots = world.bots().await;
    let told = &status(&bots, &run).text;
    assert!(
        told.contains("Answered 2 threads: ") && told.contains("(task ticked)"),
        "{told}"
    );
    let calls = world.calls().await;
    let last_write = |what: &str| calls.iter().rposition(|call| call.starts_with(what)).unwrap();
    let told_at = last_write(&format!("PUT comments/{}", record.reply.comment.unwrap()));
    assert!(last_write("POST comments") < told_at, "{calls:#?}");
    world.stop().await;
}

#[tokio::test]
async fn remarks_stand_on_their_lines_and_one_without_a_line_is_told_in_the_status_reply() {
    let world = World::start().await;
    let run = world.queued_run().await;
    ended(
        &world,
        &run,
        RunState::Answered,
        vec![finding(1, Some("a")), finding(40, None)],
    )
    .await;
    let record = world.until_closed(&run).await;
    assert!(matches!(record.effects[0].progress, Progress::Done { .. }));
    assert!(matches!(record.effects[1].progress, Progress::Failed { .. }));
    let [remark] = written(&world).await.try_into().unwrap();
    assert!(remark.text.contains("Wrong letter") && remark.text.contains("```suggestion\na\n```"));
    let bots = world.bots().await;
    let told = &status(&bots, &run).text;
    assert!(told.contains("1 finding on the diff: [`a.rs` line 1]("), "{told}");
    assert!(
        told.contains("- `a.rs` line 40 (Wrong letter.): the line is not part"),
        "{told}"
    );
    world.stop().await;
}

#[tokio::test]
async fn what_a_dead_process_had_written_is_found_and_a_late_one_beside_it_is_gone_at_the_end() {
    let mut world = World::without_follower().await;
    let thread = world.comments("alice-t", "why b?", None).await;
    let comment = world.comments("alice-t", "@openhands address", None).await;
    let run = crate::world::run_of(CommentId(comment));
    world.create(&run).await;
    let effects = vec![
        begun_by_a_dead_process(answer(thread, false)),
        begun_by_a_dead_process(finding(1, None)),
    ];
    ended(&world, &run, RunState::Answered, effects).await;
    let marker = |index: usize| {
        format!(
            "text\n\n[//]: # (openhands-resolver run={} effect={index})",
            run.id
        )
    };
    // Somebody quotes the marker: it counts only on the bot's comments.
    let quoted = world.comments("alice-t", &marker(0), Some(thread)).await;
    let known = world.comments("bot-t", &marker(0), Some(thread)).await;
    let late = world.comments("bot-t", &marker(0), Some(thread)).await;
    world.add_follower().await;
    let record = world.until_closed(&run).await;
    assert_eq!(
        record.effects[0].progress,
        Progress::Done {
            comment: Some(CommentId(known)),
            pull_request: None
        }
    );
    let ids: Vec<u64> = world.all().await.iter().map(|comment| comment.id).collect();
    assert!(ids.contains(&quoted) && ids.contains(&known) && !ids.contains(&late));
    assert_eq!(
        written(&world).await.len(),
        2,
        "the remark was not there, so it was written"
    );
    assert!(!record.reply.effects_unsure);
    world.stop().await;
}

#[tokio::test]
async fn an_answer_that_is_lost_makes_no_second_comment() {
    let world = World::start().await;
    let thread = world.comments("alice-t", "why b?", None).await;
    let run = world.queued_run().await;
    world
        .until_record(&run, |record| record.reply.comment.is_some())
        .await;
    world
        .faults(json!([
            {"method": "POST", "path": "comments", "user": "openhands", "count": 1, "when": "after", "drop": true},
            {"method": "POST", "path": "comments", "user": "openhands", "count": 1, "when": "before", "status": 429, "retry_after": 1},
        ]))
        .await;
    ended(
        &world,
        &run,
        RunState::NoChange,
        vec![answer(thread, true), finding(1, None)],
    )
    .await;
    world.until_closed(&run).await;
    assert_eq!(written(&world).await.len(), 2);
    world.stop().await;
}

#[tokio::test]
async fn a_deleted_thread_and_a_run_that_failed_leave_nothing_behind() {
    let world = World::start().await;
    let thread = world.comments("alice-t", "why b?", None).await;
    world
        .rest(
            "DELETE",
            "alice-t",
            &format!("comments/{thread}?version=0"),
            &Value::Null,
        )
        .await;
    let run = world.queued_run().await;
    ended(&world, &run, RunState::NoChange, vec![answer(thread, false)]).await;
    let record = world.until_closed(&run).await;
    assert!(
        matches!(&record.effects[0].progress, Progress::Failed { why, .. } if why == "the comment was deleted")
    );
    let failed = world.queued_run().await;
    ended(&world, &failed, RunState::Failed, vec![finding(1, None)]).await;
    let record = world.until_closed(&failed).await;
    assert_eq!(
        record.effects[0].progress,
        Progress::Planned,
        "what a failed run planned is not done"
    );
    assert!(written(&world).await.is_empty());
    world.stop().await;
}

#[tokio::test]
async fn a_description_is_set_with_the_reviewers_kept_and_the_old_one_told() {
    let world = World::start().await;
    let reviewed = json!({"version": 0, "title": "x", "description": "old @root", "reviewers": [{"user": {"name": "root"}}]});
    world.rest("PUT", "alice-t", "", &reviewed).await;
    world
        .faults(json!([{"method": "PUT", "path": "*/pull-requests/1", "user": "openhands", "count": 1, "when": "before", "status": 409}]))
        .await;
    let run = world.queued_run().await;
    keep_described(&world, &run, "x", "old @root").await;
    ended(
        &world,
        &run,
        RunState::Answered,
        vec![describe("A new title", Some("Why @root."))],
    )
    .await;
    let record = world.until_closed(&run).await;
    assert!(
        matches!(record.effects[0].progress, Progress::Done { .. }),
        "{:?}",
        record.effects
    );
    let now = world.rest("GET", "alice-t", "", &Value::Null).await;
    assert_eq!(now["title"], "A new title");
    assert_eq!(now["reviewers"][0]["user"]["name"], "root");
    let description = now["description"].as_str().unwrap();
    assert!(
        description.starts_with("Why") && !description.contains(" @root"),
        "{description}"
    );
    let bots = world.bots().await;
    let told = &status(&bots, &run).text;
    assert!(
        told.contains("put back the title: x") && told.contains("old @root"),
        "{told}"
    );
    world.stop().await;
}

#[tokio::test]
async fn a_description_that_somebody_changed_meanwhile_stays() {
    let world = World::start().await;
    let run = world.queued_run().await;
    keep_described(&world, &run, "x", "").await;
    world
        .rest(
            "PUT",
            "alice-t",
            "",
            &json!({"version": 0, "title": "mine", "reviewers": []}),
        )
        .await;
    ended(
        &world,
        &run,
        RunState::Answered,
        vec![describe("A new title", None)],
    )
    .await;
    let record = world.until_closed(&run).await;
    assert!(
        matches!(&record.effects[0].progress, Progress::Failed { why, .. } if why.contains("changed the title"))
    );
    assert_eq!(
        world.rest("GET", "alice-t", "", &Value::Null).await["title"],
        "mine"
    );
    world.stop().await;
}

#[tokio::test]
async fn a_pull_request_is_opened_once_also_where_the_answer_is_lost() {
    let world = World::start().await;
    world.branches_off("openhands/1-x").await;
    world
        .faults(json!([{"method": "POST", "path": "*/pull-requests", "user": "openhands", "count": 1, "when": "after", "drop": true}]))
        .await;
    let run = world.queued_run().await;
    let opens = Effect::planned(What::PullRequest {
        from: "refs/heads/openhands/1-x".into(),
        in_target: true,
        title: "Use a".into(),
        description: "For alice.".into(),
    });
    ended(&world, &run, RunState::Done, vec![opens]).await;
    let record = world.until_closed(&run).await;
    let Progress::Done {
        pull_request: Some(opened),
        ..
    } = record.effects[0].progress
    else {
        panic!("{:?}", record.effects)
    };
    assert_eq!(opened.0, 2);
    let bots = world.bots().await;
    let told = &status(&bots, &run).text;
    assert!(told.contains("Opened pull request [#2]("), "{told}");
    world.stop().await;
}

#[tokio::test]
async fn a_run_shows_as_a_build_of_what_it_started_from_and_of_what_it_pushed() {
    let world = World::start().await;
    let run = world.queued_run().await;
    world.take(&run).await;
    let base = CommitId::new("1".repeat(40)).unwrap();
    world
        .change(&run, |run| run.begin(1, base.clone()).unwrap())
        .await;
    let record = world
        .until_record(&run, |record| record.reply.build.is_some())
        .await;
    assert_eq!(
        record.reply.build.map(|build| build.state),
        Some(BuildState::InProgress)
    );
    ended(&world, &run, RunState::Done, Vec::new()).await;
    let record = world.until_closed(&run).await;
    let shown = world.builds(&base).await;
    assert_eq!(
        (shown.len(), &shown[0]["state"]),
        (1, &json!("SUCCESSFUL")),
        "{shown:?}"
    );
    let shown = world.builds(&CommitId::new("9".repeat(40)).unwrap()).await;
    assert_eq!(shown[0]["state"], "SUCCESSFUL");
    assert!(
        shown[0]["url"]
            .as_str()
            .unwrap()
            .ends_with(&format!("commentId={}", record.reply.comment.unwrap())),
        "{shown:?}"
    );
    world.stop().await;
}

#[tokio::test]
async fn a_bitbucket_without_builds_is_asked_by_the_old_way_and_then_left_alone() {
    let world = World::start().await;
    world
        .faults(json!([
            {"method": "POST", "path": "*/builds", "user": "openhands", "when": "before", "status": 404, "body": "<html>"},
            {"method": "POST", "path": "*/build-status/*", "user": "openhands", "when": "before", "status": 404, "body": "<html>"},
        ]))
        .await;
    for _ in 0..2 {
        let run = world.queued_run().await;
        world.take(&run).await;
        world
            .change(&run, |run| {
                run.begin(1, CommitId::new("1".repeat(40)).unwrap()).unwrap();
            })
            .await;
        ended(&world, &run, RunState::Done, Vec::new()).await;
        world.until_closed(&run).await;
    }
    let asked = world
        .calls()
        .await
        .iter()
        .filter(|call| call.contains("build"))
        .count();
    assert_eq!(asked, 2, "once each way, then never again");
    world.stop().await;
}

#[tokio::test]
async fn a_task_stays_open_while_the_work_is_on_another_branch() {
    let world = World::start().await;
    let task = task(&world).await;
    let run = world.queued_run().await;
    world.take(&run).await;
    world
        .change(&run, |run| run.effects = vec![answer(task, true)])
        .await;
    let pushed = Pushed {
        commit: CommitId::new("9".repeat(40)).unwrap(),
        branch: "refs/heads/openhands/1-r-0123456789ab".into(),
        files: 1,
        added: 1,
        removed: 1,
        threads: Vec::new(),
    };
    let outcome = Outcome {
        pushed: Some(pushed),
        pushed_aside: true,
        ..Outcome::default()
    };
    world.end(&run, RunState::Done, outcome).await;
    world.until_closed(&run).await;
    assert_eq!(state_of(&world, task).await, "OPEN");
    let text = written(&world).await[0].text.clone();
    assert!(
        text.contains("**Done on another branch:** `99999999999` on `openhands/1-r-0123456789ab`"),
        "{text}"
    );
    let bots = world.bots().await;
    assert!(!status(&bots, &run).text.contains("ticked"));
}

#[tokio::test]
async fn what_a_patch_would_settle_is_not_told_to_need_no_change() {
    let world = World::start().await;
    let task = task(&world).await;
    let run = world.queued_run().await;
    world.take(&run).await;
    ended(&world, &run, RunState::Answered, vec![answer(task, true)]).await;
    world.until_closed(&run).await;
    let text = written(&world).await[0].text.clone();
    assert!(text.contains("would be settled by the patch"), "{text}");
    assert!(text.ends_with(" effect=0)"), "{text}");
    assert_eq!(state_of(&world, task).await, "OPEN");
}

#[tokio::test]
async fn an_answer_whose_task_could_not_be_ticked_stays() {
    let mut world = World::without_follower().await;
    let task = task(&world).await;
    let comment = world.comments("alice-t", "@openhands address", None).await;
    let run = crate::world::run_of(CommentId(comment));
    world.create(&run).await;
    world
        .faults(
            json!([{"method": "PUT", "path": format!("*/comments/{task}"), "user": "openhands", "count": 50,
            "when": "before", "status": 403}]),
        )
        .await;
    let planned = vec![begun_by_a_dead_process(answer(task, true))];
    ended(&world, &run, RunState::Done, planned).await;
    world.add_follower().await;
    let record = world.until_closed(&run).await;
    assert!(matches!(record.effects[0].progress, Progress::Failed { .. }));
    assert_eq!(written(&world).await.len(), 1, "the answer is gone");
}

#[tokio::test]
async fn an_answer_stays_whose_tick_was_given_up_after_errors_of_bitbucket() {
    let mut world = World::without_follower().await;
    let task = task(&world).await;
    let comment = world.comments("alice-t", "@openhands address", None).await;
    let run = crate::world::run_of(CommentId(comment));
    world.create(&run).await;
    world
        .faults(
            json!([{"method": "PUT", "path": format!("*/comments/{task}"), "user": "openhands", "count": 50,
            "when": "before", "status": 500}]),
        )
        .await;
    let planned = vec![begun_by_a_dead_process(answer(task, true))];
    ended(&world, &run, RunState::Done, planned).await;
    // Tried for longer than an effect is tried.
    world
        .change(&run, |run| run.ended_at = Some(Timestamp::now() - 11.minutes()))
        .await;
    world.add_follower().await;
    let record = world.until_closed(&run).await;
    let [answered] = written(&world).await.try_into().expect("the answer stays, once");
    assert!(
        matches!(&record.effects[0].progress, Progress::Failed { comment, .. } if *comment == Some(CommentId(answered.id))),
        "{:?}",
        record.effects
    );
    assert!(!record.reply.effects_unsure, "it was looked for surplus ones");
    world.stop().await;
}

/// The commit of the source branch.
async fn head(world: &World) -> CommitId {
    let now = world.rest("GET", "alice-t", "", &Value::Null).await;
    CommitId::new(now["fromRef"]["latestCommit"].as_str().unwrap()).unwrap()
}

/// A run that made a remark on a line of `base`, once nothing is left to do for it.
async fn remarked_on(world: &World, base: &CommitId) -> Run {
    let run = world.queued_run().await;
    world.take(&run).await;
    world
        .change(&run, |run| run.begin(1, base.clone()).unwrap())
        .await;
    ended(world, &run, RunState::Answered, vec![finding(1, None)]).await;
    world.until_closed(&run).await
}

#[tokio::test]
async fn a_remark_on_a_commit_that_is_not_the_head_any_more_is_told_and_not_written() {
    let world = World::start().await;
    let (head, other) = (head(&world).await, CommitId::new("1".repeat(40)).unwrap());
    remarked_on(&world, &other).await;
    assert!(written(&world).await.is_empty());
    let bots = world.bots().await;
    let told = &bots.last().unwrap().text;
    let moved = format!(
        "- `a.rs` line 1 (Wrong letter.): the branch moved from 11111111111 to {} meanwhile",
        head.short()
    );
    assert!(told.contains(&moved), "{told}");
    remarked_on(&world, &head).await;
    assert_eq!(written(&world).await.len(), 1, "on the head it is written");
    world.stop().await;
}

#[tokio::test]
async fn a_remark_does_not_stay_where_the_branch_moved_while_it_was_written() {
    let world = World::start().await;
    let mut stale = world.rest("GET", "alice-t", "", &Value::Null).await;
    let other = CommitId::new("1".repeat(40)).unwrap();
    stale["fromRef"]["latestCommit"] = json!(other);
    world
        .faults(
            json!([{"method": "GET", "path": "*/pull-requests/1", "user": "openhands", "when": "before", "status": 200,
            "body": stale.to_string(), "content_type": "application/json"}]),
        )
        .await;
    let record = remarked_on(&world, &other).await;
    assert!(
        matches!(&record.effects[0].progress, Progress::Failed { why, .. } if why.contains("the branch moved")),
        "{:?}",
        record.effects
    );
    assert!(written(&world).await.is_empty());
    let calls = world.calls().await;
    assert!(
        calls.iter().any(|call| call.starts_with("DELETE comments/")),
        "it was written, seen to stand elsewhere and deleted: {calls:#?}"
    );
    world.stop().await;
}

#[tokio::test]
async fn a_remark_that_could_not_be_deleted_at_once_is_deleted_when_the_run_has_ended() {
    let world = World::start().await;
    let mut stale = world.rest("GET", "alice-t", "", &Value::Null).await;
    let other = CommitId::new("1".repeat(40)).unwrap();
    stale["fromRef"]["latestCommit"] = json!(other);
    world
        .faults(json!([
            {"method": "GET", "path": "*/pull-requests/1", "user": "openhands", "when": "before", "status": 200,
            "body": stale.to_string(), "content_type": "application/json"},
            {"method": "DELETE", "path": "*/comments/*", "user": "openhands", "when": "before", "status": 403, "count": 1},
        ]))
        .await;
    let record = remarked_on(&world, &other).await;
    assert!(
        matches!(record.effects[0].progress, Progress::Failed { .. }),
        "{:?}",
        record.effects
    );
    assert!(written(&world).await.is_empty());
    let calls = world.calls().await;
    let of_remark = |call: &&String| call.starts_with("DELETE comments/") && !call.contains("reactions");
    assert_eq!(calls.iter().filter(of_remark).count(), 2, "{calls:#?}");
    world.stop().await;
}

#[tokio::test]
async fn a_remark_that_a_dead_process_wrote_stays_on_its_own_commit_alone() {
    for is_its_own in [true, false] {
        let mut world = World::without_follower().await;
        let run = world.queued_run().await;
        let (head, other) = (head(&world).await, CommitId::new("1".repeat(40)).unwrap());
        let base = if is_its_own { head } else { other };
        world.take(&run).await;
        world
            .change(&run, |run| run.begin(1, base.clone()).unwrap())
            .await;
        let remark = json!({
            "text": format!("Wrong letter.\n\n[//]: # (openhands-resolver run={} effect=0)", run.id),
            "anchor": {"path": "a.rs", "line": 1, "lineType": "ADDED", "fileType": "TO"},
        });
        let made = world.rest("POST", "bot-t", "comments", &remark).await["id"].clone();
        let planned = vec![begun_by_a_dead_process(finding(1, None))];
        ended(&world, &run, RunState::Answered, planned).await;
        world.add_follower().await;
        let record = world.until_closed(&run).await;
        let is_done = matches!(&record.effects[0].progress, Progress::Done { comment: Some(known), .. } if json!(known) == made);
        assert_eq!(is_done, is_its_own, "{:?}", record.effects);
        assert_eq!(written(&world).await.len(), usize::from(is_its_own));
        world.stop().await;
    }
}

#[tokio::test]
async fn a_description_that_a_dead_process_had_set_is_told_as_set_and_not_set_again() {
    let mut world = World::without_follower().await;
    let comment = world
        .comments("alice-t", "@openhands describe --apply", None)
        .await;
    let run = crate::world::run_of(CommentId(comment));
    world.create(&run).await;
    keep_described(&world, &run, "x", "").await;
    let set =
        json!({"version": 0, "title": "A new title", "description": "Why.\r\n\r\nHow. ", "reviewers": []});
    world.rest("PUT", "bot-t", "", &set).await;
    let planned = vec![begun_by_a_dead_process(describe(
        "A new title",
        Some("Why.\n\nHow."),
    ))];
    ended(&world, &run, RunState::Answered, planned).await;
    world.add_follower().await;
    let record = world.until_closed(&run).await;
    assert!(
        matches!(record.effects[0].progress, Progress::Done { .. }),
        "{:?}",
        record.effects
    );
    let sets = |call: &&String| call.starts_with("PUT") && !call.contains("comments/");
    let calls = world.calls().await;
    assert_eq!(calls.iter().filter(sets).count(), 1, "{calls:#?}");
    let bots = world.bots().await;
    let told = &status(&bots, &run).text;
    assert!(told.contains("put back the title: x"), "{told}");
    world.stop().await;
}

async fn task(world: &World) -> u64 {
    let body = json!({"text": "use a", "severity": "BLOCKER"});
    world.rest("POST", "alice-t", "comments", &body).await["id"]
        .as_u64()
        .unwrap()
}

async fn state_of(world: &World, comment: u64) -> String {
    let read = world
        .rest("GET", "alice-t", &format!("comments/{comment}"), &Value::Null)
        .await;
    read["state"].as_str().unwrap().to_owned()
}
