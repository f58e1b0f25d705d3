//! From a mention to a job.

use pipeline::mention::{Command, Verb};
use pipeline::run::RunState;
use pipeline::subject;

use serde_json::json;

use crate::world::{PULL_REQUEST, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_mention_becomes_a_run_with_a_brief_and_a_job() {
    let world = World::start().await;
    let root = world.comment("bob", "This adds nothing.", None).await;
    let asks = world
        .comment("alice", "True. @openhands remove it", Some(root))
        .await;
    let run = world
        .mention_in("alice", asks, 0, Some("remove it"), Some(root))
        .await;
    let running = world.until_running(&run).await;
    assert_eq!((running.branch.as_deref(), running.ahead), (Some("feature/x"), 0));
    let brief = world.brief(&running).await;
    for part in [
        "```text\nremove it\n```",
        "| This adds nothing.",
        "| True. @openhands remove it",
        "+fn sub() {}",
        "title: Subtract",
    ] {
        assert!(brief.contains(part), "{part:?} is not in the brief:\n{brief}");
    }
    let subject = subject::job_of_lane(&running.instance, running.repository.id, &running.lane);
    let message = world
        .nats
        .last_on_subject(subject::JOBS, &subject)
        .await
        .unwrap()
        .expect("a job in the slot");
    let job: pipeline::job::Job = pipeline::message::decode(&message.payload).unwrap();
    assert_eq!(
        (job.run, job.from_ref.display_id.as_str(), job.title.as_str()),
        (run.clone(), "feature/x", "Subtract")
    );
    world.end_one_run();
    world
        .until(&run, "it should be done", |run| run.state == RunState::Done)
        .await;
    assert!(
        world.decisions().await[0].contains("queued"),
        "{:?}",
        world.decisions().await
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_run_takes_few_calls() {
    let world = World::start().await;
    let first = world.comment("alice", "@openhands one", None).await;
    let first = world.mention("alice", first, 0, Some("one")).await;
    world.until_running(&first).await;
    let before = world.calls().await.len();
    world.end_one_run();
    world
        .until(&first, "it should be done", |run| run.state == RunState::Done)
        .await;
    let second = world.comment("alice", "@openhands two", None).await;
    let second = world.mention("alice", second, 0, Some("two")).await;
    world.until_running(&second).await;
    let calls = world.calls().await;
    assert_eq!(
        calls.len() - before,
        5,
        "pull request, permission, activities, diff, builds: {:#?}",
        &calls[before..]
    );
    world.end_one_run();
    world
        .until(&second, "it should be done", |run| run.state == RunState::Done)
        .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mention_that_stands_alone_is_helped_or_takes_the_comment_it_replies_to() {
    let world = World::start().await;
    let alone = world.comment("alice", "@openhands", None).await;
    let alone = world.mention("alice", alone, 0, Some("")).await;
    let helped = world
        .until(&alone, "it should help", |run| run.state == RunState::Answered)
        .await;
    let answer = helped.outcome.unwrap().answer.unwrap();
    assert!(answer.starts_with("Write `@openhands`"), "{answer}");
    let fix = world.comment("alice", "@openhands fix", None).await;
    let fix = world
        .mention_of("alice", fix, 0, Some(Command::of_verb(Verb::Fix, "")), None)
        .await;
    let asked = world
        .until(&fix, "it should ask back", |run| {
            run.state == RunState::NeedsInput
        })
        .await;
    assert!(asked.outcome.unwrap().questions[0].starts_with("What should I do?"));
    let root = world.comment("bob", "Return the error instead.", None).await;
    let points = world.comment("alice", "@openhands", Some(root)).await;
    let run = world.mention_in("alice", points, 0, Some(""), Some(root)).await;
    let running = world.until_running(&run).await;
    assert!(
        world
            .brief(&running)
            .await
            .contains("```text\nReturn the error instead.\n```")
    );
    assert_eq!(
        running.steps,
        ["Taking the comment above the mention as the request."]
    );
    world.end_one_run();
    world
        .until(&run, "it should be done", |run| run.state == RunState::Done)
        .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_moment_loses_and_doubles_nothing() {
    let mut world = World::start().await;
    let mut runs = Vec::new();
    for number in 0..6 {
        let text = format!("number {number}");
        let comment = world.comment("alice", &format!("@openhands {text}"), None).await;
        runs.push(world.mention("alice", comment, 0, Some(&text)).await);
        if number % 2 == 1 {
            world.crash_and_restart_the_role().await;
        }
    }
    for _ in &runs {
        world.end_one_run();
    }
    for run in &runs {
        world
            .until(run, "it should be done", |run| run.state == RunState::Done)
            .await;
    }
    let mut taken = world.taken();
    assert_eq!(taken.len(), runs.len(), "each run was taken once: {taken:?}");
    taken.sort();
    runs.sort();
    assert_eq!(taken, runs);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bitbucket_that_is_away_delays_a_run_and_one_that_lacks_builds_does_not() {
    let world = World::start().await;
    let away = json!([
        {"method": "GET", "path": format!("{PULL_REQUEST}/activities"), "count": 8, "when": "before", "status": 503},
        {"method": "GET", "path": "/rest/build-status/latest/commits/*", "count": 100, "when": "before", "status": 500},
    ]);
    world.send("", "PUT", "/sim/v1/faults", away).await;
    let comment = world.comment("alice", "@openhands one", None).await;
    let run = world.mention("alice", comment, 0, Some("one")).await;
    let running = world.until_running(&run).await;
    let struck = world.send("", "GET", "/sim/v1/faults", json!(null)).await;
    assert_eq!(struck[0]["used"], 8, "it was asked until it was back: {struck:#}");
    assert_eq!(
        world.left_out(&running).await,
        ["the build results: not given by Bitbucket"]
    );
    assert!(world.brief(&running).await.contains("title: Subtract"));
    world.end_one_run();
    world
        .until(&run, "it should be done", |run| run.state == RunState::Done)
        .await;
    assert_eq!(world.taken(), [run]);
    world.end().await;
}
