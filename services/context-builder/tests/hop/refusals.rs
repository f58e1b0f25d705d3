//! Who may not.

use jiff::Timestamp;
use pipeline::failure_code::FailureCode;
use pipeline::ids::{CommentId, RunId};
use pipeline::mention::{Command, Mention, Verb};
use pipeline::message::VERSION;
use pipeline::run::{FailureReport, RunState};
use pipeline::subject;
use worker::Publication;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_is_refused_once_an_hour() {
    let world = World::start().await;
    let first = world.comment("bob", "@openhands one", None).await;
    let first = world.mention("bob", first, 0, Some("one")).await;
    let refused = world
        .until(&first, "it should be refused", |run| {
            run.state == RunState::Refused
        })
        .await;
    let report = refused.outcome.unwrap().failure.unwrap();
    assert_eq!(
        (report.code, report.detail.as_deref()),
        (
            FailureCode::PermissionDenied,
            Some("REPO_WRITE on PROJ/demo is needed")
        )
    );
    let second = world.comment("bob", "@openhands two", None).await;
    let second = world.mention("bob", second, 0, Some("two")).await;
    world.until_decided("Not said again within the hour").await;
    assert_eq!(world.run(&second).await, None);
    assert!(world.taken().is_empty());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_user_is_refused_and_the_bot_never_answers_itself() {
    let world = World::start().await;
    let denied = world.comment("mallory", "@openhands one", None).await;
    let denied = world.mention("mallory", denied, 0, Some("one")).await;
    world
        .until(&denied, "it should be refused", |run| {
            run.state == RunState::Refused
        })
        .await;
    let own = world.comment("openhands", "@openhands two", None).await;
    let own = world.mention("openhands", own, 0, Some("two")).await;
    world.until_decided("the bot's own comment").await;
    assert_eq!(world.run(&own).await, None);
    assert!(world.taken().is_empty());
    world.end().await;
}

/// What a run's report says.
async fn told(world: &World, run: &RunId) -> FailureReport {
    let ended = world
        .until(run, "it should end", |run| run.state.is_terminal())
        .await;
    let outcome = ended.outcome.expect("it has ended");
    outcome.failure.expect("it says why")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_after_a_silent_refusal_that_asks_for_the_same_ends_however_often_it_comes() {
    let world = World::start().await;
    let controls = async |verb| {
        let comment = world.comment("carol", "@openhands", None).await;
        let command = Some(Command::of_verb(verb, ""));
        let run = world.mention_of("carol", comment, 0, command, None).await;
        world
            .until(&run, "it should be answered", |run| {
                run.state == RunState::Answered
            })
            .await;
    };
    controls(Verb::Pause).await;
    let first = world.comment("alice", "@openhands one", None).await;
    let first = world.mention("alice", first, 0, Some("one")).await;
    assert_eq!(told(&world, &first).await.code, FailureCode::Paused);
    let comment = world.comment("alice", "@openhands two", None).await;
    let silent = world.mention("alice", comment, 0, Some("two")).await;
    world.until_decided("Not said again within the hour").await;
    let edit = world.mention("alice", comment, 1, Some("two")).await;
    world.until_decided("did not change what is asked for").await;
    controls(Verb::Resume).await;
    // A delivery comes again under its own subject, which the stream keeps once: this is the same under another one.
    let mention = Mention {
        v: VERSION,
        origin: world.origin(),
        comment: CommentId(comment),
        comment_version: 1,
        parent: None,
        author: Some(World::person("alice")),
        written_at: Some(Timestamp::now()),
        command: Some(Command::request("two")),
    };
    let elsewhere = subject::mention(&Mention {
        comment_version: 9,
        ..mention.clone()
    });
    let again = Publication::message(elsewhere, &mention);
    world.nats.publish(again).await.unwrap();
    world.until_decided("what the comment asks for was refused").await;
    assert_eq!((world.run(&silent).await, world.run(&edit).await), (None, None));
    world.end().await;
}
