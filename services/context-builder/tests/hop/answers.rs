//! What starts no run: answered at once, whatever runs.

use pipeline::failure_code::FailureCode;
use pipeline::ids::RunId;
use pipeline::mention::{Command, GrammarRefusal, NearMiss, Verb};
use pipeline::run::{Run, RunState};
use pipeline::verbs::TABLE;

use crate::world::World;

/// A request of alice's that runs, and one of hers that waits: (run, comment) each.
async fn busy(world: &World) -> [(RunId, u64); 2] {
    let first = world.comment("alice", "@openhands one", None).await;
    let first_run = world.mention("alice", first, 0, Some("one")).await;
    world.until_running(&first_run).await;
    let second = world.comment("alice", "@openhands two", None).await;
    let second_run = world.mention("alice", second, 0, Some("two")).await;
    world
        .until(&second_run, "it should wait", |run| run.ahead == 1)
        .await;
    [(first_run, first), (second_run, second)]
}

async fn asks(world: &World, who: &str, command: Command) -> RunId {
    let comment = world.comment(who, "@openhands", None).await;
    world.mention_of(who, comment, 0, Some(command), None).await
}

async fn until_ended(world: &World, run: &RunId) -> Run {
    world
        .until(run, "it should end", |run| run.state.is_terminal())
        .await
}

fn answer(run: &Run) -> String {
    run.outcome
        .as_ref()
        .and_then(|outcome| outcome.answer.clone())
        .unwrap_or_default()
}

/// As many as one person is given within an hour.
const ANSWERS_OF_AN_HOUR: usize = 30;
/// More than a look back on earlier runs goes over.
const ASKED_BY_A_READER: usize = 110;

fn refusal(run: &Run) -> FailureCode {
    let outcome = run.outcome.as_ref();
    let report = outcome.and_then(|outcome| outcome.failure.as_ref());
    report.expect("it says why").code
}

fn argument(verb: Verb, argument: &str) -> Command {
    Command {
        argument: Some(argument.to_owned()),
        ..Command::of_verb(verb, "")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_built_and_what_is_refused_is_answered_while_another_run_works() {
    let world = World::start().await;
    let [(first, _), (second, _)] = busy(&world).await;
    for row in TABLE.iter().filter(|row| !row.verb.is_built()) {
        let run = asks(&world, "alice", Command::of_verb(row.verb, "")).await;
        let ended = until_ended(&world, &run).await;
        assert_eq!(ended.state, RunState::Answered, "{:?}", row.verb);
        assert!(
            answer(&ended).contains("not built yet"),
            "{:?}: {}",
            row.verb,
            answer(&ended)
        );
    }
    let near = GrammarRefusal::NearMiss(NearMiss {
        word: "sotp".to_owned(),
        meant: "stop".to_owned(),
    });
    let run = asks(&world, "bob", Command::refused(near)).await;
    let ended = until_ended(&world, &run).await;
    assert_eq!(ended.state, RunState::Refused);
    assert!(answer(&ended).contains("did you mean `stop`?"));
    let help = asks(&world, "bob", Command::of_verb(Verb::Help, "")).await;
    assert!(answer(&until_ended(&world, &help).await).contains("`@openhands stop [run-id|all]`"));
    let waiting = world.run(&second).await.unwrap();
    assert_eq!(
        (waiting.state, waiting.ahead),
        (RunState::Queued, 1),
        "nobody moved in the queue"
    );
    world.end_one_run();
    world.end_one_run();
    until_ended(&world, &second).await;
    assert_eq!(world.taken(), [first, second]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bot_and_who_is_excluded_get_no_answer_of_this_kind() {
    let world = World::start().await;
    let own = asks(&world, "openhands", Command::of_verb(Verb::Help, "")).await;
    world.until_decided("the bot's own comment").await;
    assert_eq!(world.run(&own).await, None);
    let denied = asks(&world, "mallory", Command::of_verb(Verb::Help, "")).await;
    let refused = until_ended(&world, &denied).await;
    assert_eq!(
        refused.outcome.unwrap().failure.unwrap().code,
        FailureCode::PersonExcluded
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_ends_what_runs_and_waits_and_the_next_request_runs() {
    let world = World::start().await;
    let [(first, _), (second, _)] = busy(&world).await;
    let comment = world.comment("alice", "@openhands stop", None).await;
    let command = Some(Command::of_verb(Verb::Stop, ""));
    let stop = world.mention_of("alice", comment, 0, command, None).await;
    let ended = until_ended(&world, &stop).await;
    assert_eq!(ended.state, RunState::Answered);
    for run in [&first, &second] {
        let run = until_ended(&world, run).await;
        assert_eq!(run.outcome.unwrap().failure.unwrap().code, FailureCode::Stopped);
        assert!(answer(&ended).contains(run.id.as_str()), "{}", answer(&ended));
    }
    let third = world.comment("alice", "@openhands three", None).await;
    let third = world.mention("alice", third, 0, Some("three")).await;
    world.until_running(&third).await;
    world.end_one_run();
    let done = until_ended(&world, &third).await;
    assert_eq!(done.state, RunState::Done);
    let nothing = asks(&world, "bob", Command::of_verb(Verb::Stop, "")).await;
    let nothing = until_ended(&world, &nothing).await;
    assert_eq!(answer(&nothing), "Nothing waits or runs on this pull request.");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_ends_the_run_it_names_and_only_for_who_may() {
    let world = World::start().await;
    let [(first, _), (second, _)] = busy(&world).await;
    let by_reader = asks(&world, "bob", Command::of_verb(Verb::Stop, "")).await;
    let refused = until_ended(&world, &by_reader).await;
    assert_eq!(
        refused.outcome.unwrap().failure.unwrap().code,
        FailureCode::StopDenied
    );
    let unknown = asks(&world, "alice", argument(Verb::Stop, "r-000000000000")).await;
    assert!(answer(&until_ended(&world, &unknown).await).contains("neither waits nor runs"));
    let named = asks(&world, "alice", argument(Verb::Stop, second.as_str())).await;
    until_ended(&world, &named).await;
    assert_eq!(until_ended(&world, &second).await.state, RunState::Cancelled);
    assert_eq!(world.run(&first).await.unwrap().state, RunState::Running);
    world.end_one_run();
    assert_eq!(until_ended(&world, &first).await.state, RunState::Done);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_to_stop_ends_the_run_and_another_without_a_run_gives_up_only_one_that_waits() {
    let world = World::start().await;
    let [(first, first_comment), (second, second_comment)] = busy(&world).await;
    let help = || Some(Command::of_verb(Verb::Help, ""));
    world.mention_of("alice", second_comment, 1, help(), None).await;
    let given_up = until_ended(&world, &second).await;
    assert_eq!(given_up.state, RunState::Cancelled);
    assert!(
        answer(&given_up).contains("in your own words"),
        "the new question is answered with it"
    );
    world.mention_of("alice", first_comment, 1, help(), None).await;
    let told = world
        .until(&first, "it should say so", |run| !run.steps.is_empty())
        .await;
    assert!(
        told.steps[0].contains("edited after work had begun"),
        "{:?}",
        told.steps
    );
    let stop = Some(Command::of_verb(Verb::Stop, ""));
    world.mention_of("alice", first_comment, 2, stop, None).await;
    let stopped = until_ended(&world, &first).await;
    assert_eq!(
        stopped.outcome.unwrap().failure.unwrap().code,
        FailureCode::Stopped
    );
    let again = world.mention("alice", first_comment, 3, Some("one again")).await;
    world.until_running(&again).await;
    world.end_one_run();
    until_ended(&world, &again).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_looks_or_acts_instead_is_answered() {
    let world = World::start().await;
    let [_, (second, comment)] = busy(&world).await;
    let edit = Some(Command::of_verb(Verb::Pause, ""));
    let pause = world.mention_of("alice", comment, 1, edit, None).await;
    let given_up = until_ended(&world, &second).await;
    assert_eq!(given_up.state, RunState::Cancelled);
    assert_eq!(until_ended(&world, &pause).await.state, RunState::Answered);
    let paused = world.comment("carol", "@openhands three", None).await;
    let paused = world.mention("carol", paused, 0, Some("three")).await;
    assert_eq!(refusal(&until_ended(&world, &paused).await), FailureCode::Paused);
    world.end_one_run();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_to_stop_ends_what_else_there_is_and_says_so() {
    let world = World::start().await;
    let [(first, _), (second, comment)] = busy(&world).await;
    let edit = Some(Command::of_verb(Verb::Stop, ""));
    let stop = world.mention_of("alice", comment, 1, edit, None).await;
    let said = answer(&until_ended(&world, &stop).await);
    for run in [&first, &second] {
        assert_eq!(refusal(&until_ended(&world, run).await), FailureCode::Stopped);
        assert_eq!(said.matches(run.as_str()).count(), 1, "{said}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reader_asks_hides_no_run_and_keeps_nobody_from_pausing() {
    let world = World::start().await;
    let asked = world.comment("alice", "@openhands one", None).await;
    let run = world.mention("alice", asked, 0, Some("one")).await;
    world.until_running(&run).await;
    world.end_one_run();
    until_ended(&world, &run).await;
    let mut silent = None;
    for _ in 0..ASKED_BY_A_READER {
        let comment = world.comment("bob", "@openhands help", None).await;
        let help = Some(Command::of_verb(Verb::Help, ""));
        silent = Some(world.mention_of("bob", comment, 0, help, None).await);
    }
    world.until_decided("Not said again within the hour").await;
    let status = asks(&world, "alice", Command::of_verb(Verb::Status, "")).await;
    assert_eq!(until_ended(&world, &status).await.state, RunState::Answered);
    assert_eq!(world.run(&silent.unwrap()).await, None, "there is an end to it");
    for verb in [Verb::Pause, Verb::Resume] {
        let control = asks(&world, "alice", Command::of_verb(verb, "")).await;
        assert_eq!(until_ended(&world, &control).await.state, RunState::Answered);
    }
    let retry = asks(&world, "alice", Command::of_verb(Verb::Retry, "")).await;
    let again = world.until_running(&retry).await;
    assert_eq!(again.about, Some(run));
    world.end_one_run();
    until_ended(&world, &retry).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_the_same_again_and_again_is_told_no_more_in_the_end() {
    let world = World::start().await;
    let undo = || Command::of_verb(Verb::Undo, "");
    for _ in 0..ANSWERS_OF_AN_HOUR {
        let told = asks(&world, "alice", undo()).await;
        assert_eq!(
            refusal(&until_ended(&world, &told).await),
            FailureCode::NothingToUndo
        );
    }
    let last = asks(&world, "alice", undo()).await;
    assert_eq!(
        refusal(&until_ended(&world, &last).await),
        FailureCode::TooManyRuns
    );
    let silent = asks(&world, "alice", undo()).await;
    world.until_decided("Not said again within the hour").await;
    assert_eq!(world.run(&silent).await, None);
    let other = asks(&world, "carol", undo()).await;
    assert_eq!(
        refusal(&until_ended(&world, &other).await),
        FailureCode::NothingToUndo
    );
    world.end().await;
}
