//! What goes back to an earlier run.

use std::convert::Infallible;

use pipeline::failure_code::FailureCode;
use pipeline::ids::{CommentId, RepositoryId, RunId};
use pipeline::mention::{Command, Mention, Options, Verb};
use pipeline::message::VERSION;
use pipeline::run::{Run, RunState};
use pipeline::subject;
use worker::Publication;

use crate::world::World;

/// `who` asks for this in a reply to `parent`.
async fn asks(world: &World, who: &str, command: Command, parent: Option<u64>) -> (RunId, u64) {
    let comment = world.comment(who, "@openhands", parent).await;
    let run = world.mention_of(who, comment, 0, Some(command), parent).await;
    (run, comment)
}

async fn until_ended(world: &World, run: &RunId) -> Run {
    world
        .until(run, "it should end", |run| run.state.is_terminal())
        .await
}

async fn refused(world: &World, run: &RunId) -> FailureCode {
    let ended = until_ended(world, run).await;
    let report = ended.outcome.and_then(|outcome| outcome.failure);
    report.expect("it says why").code
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_that_was_taken_back_is_not_repeated_by_who_planned() {
    let world = World::start().await;
    let (plan, _) = asks(&world, "alice", Command::of_verb(Verb::Plan, "it"), None).await;
    world.until_running(&plan).await;
    world.end_one_run();
    until_ended(&world, &plan).await;
    let answered = |run: &mut Run| {
        run.state = RunState::Answered;
        Ok::<(), Infallible>(())
    };
    let key = subject::run_key(&plan);
    world.nats.runs().update(&key, answered).await.unwrap().unwrap();
    let (other, _) = asks(&world, "alice", Command::request("one"), None).await;
    world.until_running(&other).await;

    let approve = Command {
        argument: Some(plan.to_string()),
        ..Command::of_verb(Verb::Approve, "")
    };
    let (own, _) = asks(&world, "alice", approve.clone(), None).await;
    assert_eq!(refused(&world, &own).await, FailureCode::SecondPersonNeeded);
    let (approved, comment) = asks(&world, "carol", approve, None).await;
    world
        .until(&approved, "it should wait", |run| run.state == RunState::Queued)
        .await;
    world.deleted(comment).await;
    until_ended(&world, &approved).await;
    let retry = || Command::of_verb(Verb::Retry, "");
    let (again, _) = asks(&world, "alice", retry(), Some(comment)).await;
    assert_eq!(refused(&world, &again).await, FailureCode::SecondPersonNeeded);
    let (again, _) = asks(&world, "carol", retry(), Some(comment)).await;
    let again = world
        .until(&again, "who is the second person may", |run| {
            run.state == RunState::Queued
        })
        .await;
    assert_eq!((again.command.verb, again.about), (Verb::Approve, Some(plan)));
    world.end_one_run();
    until_ended(&world, &again.id).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_keeps_what_limited_the_run_and_hears_what_is_typed_with_it() {
    let world = World::start().await;
    let with = |verb, text: &str, options| Command {
        options: Box::new(options),
        ..Command::of_verb(verb, text)
    };
    let limited = Options {
        paths: vec!["src/**".to_owned()],
        ..Options::default()
    };
    let (fix, comment) = asks(&world, "alice", with(Verb::Fix, "it", limited.clone()), None).await;
    world.until_running(&fix).await;
    world.end_one_run();
    until_ended(&world, &fix).await;
    let dry = Options {
        dry_run: true,
        ..Options::default()
    };
    let (again, _) = asks(&world, "alice", with(Verb::Retry, "", dry), Some(comment)).await;
    let again = world.until_running(&again).await;
    assert!(again.command.options.dry_run, "what is typed counts");
    assert_eq!(again.command.options.paths, limited.paths);
    world.end_one_run();
    until_ended(&world, &again.id).await;
    let wider = Options {
        paths: vec!["**".to_owned()],
        ..Options::default()
    };
    let (wider, _) = asks(&world, "alice", with(Verb::Retry, "", wider), Some(comment)).await;
    assert_eq!(refused(&world, &wider).await, FailureCode::OptionContradicts);
    let remark = world.comment("carol", "I see", None).await;
    let (unclear, _) = asks(&world, "alice", Command::of_verb(Verb::Retry, ""), Some(remark)).await;
    assert_eq!(refused(&world, &unclear).await, FailureCode::RunUnclear);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_comment_asked_for_before_it_was_edited_is_gone_back_to() {
    let world = World::start().await;
    let (one, comment) = asks(&world, "alice", Command::request("one"), None).await;
    world.until_running(&one).await;
    world.end_one_run();
    until_ended(&world, &one).await;
    let help = Some(Command::of_verb(Verb::Help, ""));
    let help = world.mention_of("alice", comment, 1, help, None).await;
    until_ended(&world, &help).await;
    let (retry, _) = asks(&world, "alice", Command::of_verb(Verb::Retry, ""), None).await;
    let again = world.until_running(&retry).await;
    assert_eq!((again.command.text.as_str(), again.about), ("one", Some(one)));
    world.end_one_run();
    until_ended(&world, &retry).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_of_a_repository_is_not_done_in_another_one_that_took_its_name() {
    let world = World::start().await;
    let comment = world.comment("alice", "@openhands one", None).await;
    let mut origin = world.origin();
    origin.repository.id = RepositoryId(origin.repository.id.0 + 1);
    let mention = Mention {
        v: VERSION,
        origin,
        comment: CommentId(comment),
        comment_version: 0,
        parent: None,
        author: Some(World::person("alice")),
        written_at: None,
        command: Some(Command::request("one")),
    };
    let message = Publication::message(subject::mention(&mention), &mention);
    world.nats.publish(message).await.unwrap();
    world.until_decided("another repository has this name now").await;
    let run = RunId::derive(&mention.origin.instance, mention.comment, 0);
    assert_eq!(world.run(&run).await, None);
    world.end().await;
}
