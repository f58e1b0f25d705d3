//! Replies that do not depend on the verb: what stands in the way, and what happened on the way.

use pipeline::failure_code::FailureCode;
use pipeline::mention::{Command, Verb};
use pipeline::run::{Outcome, Run, RunState, Waited};

use super::worked;
use crate::sample;

/// What is typed, where, and the run.
pub(super) fn all() -> Vec<(&'static str, Run)> {
    vec![
        (
            "`@openhands fix the sign`, on a pull request that was merged",
            merged(),
        ),
        (
            "`@openhands test`, while somebody pushed and the bot's token had to be renewed",
            interrupted(),
        ),
        (
            "`@openhands fix`, while the model endpoint limits requests",
            limited(),
        ),
    ]
}

fn merged() -> Run {
    let mut run = sample::queued();
    run.command = Command::of_verb(Verb::Fix, "the sign");
    let outcome = Outcome::of_failure(FailureCode::PullRequestClosed, Some("it was merged".to_owned()));
    run.end(None, RunState::Refused, outcome, sample::at(1)).unwrap();
    run
}

fn interrupted() -> Run {
    let mut run = worked(Verb::Test);
    let outcome = run.outcome.as_mut().unwrap();
    outcome.notes.push(
        "The branch moved from `abc1234abc1` to `5d4c3b2a190` meanwhile (pushed by `bob`); the change was merged onto it"
            .to_owned(),
    );
    Waited::begin(&mut run.waited, FailureCode::BitbucketUnauthorized, sample::at(0));
    Waited::end(&mut run.waited, sample::at(90));
    run
}

fn limited() -> Run {
    let mut run = worked(Verb::Fix);
    run.state = RunState::Failed;
    run.outcome = Some(Outcome::of_failure(
        FailureCode::ModelRateLimited,
        Some("It takes requests again in 4 min, at 14:05 UTC".to_owned()),
    ));
    run
}
