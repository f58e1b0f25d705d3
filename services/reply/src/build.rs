//! The build status of a run that may push: in progress on the commit it started from, then how it ended on the commit
//! it pushed (bitbucket-dc.md 3.9). A courtesy: where Bitbucket takes none, nothing is missed.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use bitbucket::{Error, Missing, NewBuild};
use pipeline::effect::{BUILD_KEY, Build, BuildState};
use pipeline::failure::Failure;
use pipeline::ids::ConnectionId;
use pipeline::run::{Run, RunState};

use crate::render::is_broken;
use crate::status::Status;

/// Whether builds are set, and where that was given up.
pub(crate) struct Builds {
    is_wanted: bool,
    /// Connections whose Bitbucket has no endpoint for it.
    absent: Mutex<HashSet<ConnectionId>>,
}

impl Builds {
    /// `is_wanted`: as the configuration says.
    pub(crate) fn new(is_wanted: bool) -> Self {
        Self {
            is_wanted,
            absent: Mutex::default(),
        }
    }

    /// Whether this run's build is set.
    pub(crate) fn are_set(&self, run: &Run) -> bool {
        let absent = self.absent.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_wanted && !run.build_status_off && !absent.contains(&run.credential.connection)
    }

    /// Notes that a Bitbucket has none; whether that is news.
    fn give_up(&self, connection: &ConnectionId) -> bool {
        let mut absent = self.absent.lock().unwrap_or_else(PoisonError::into_inner);
        absent.insert(connection.clone())
    }
}

/// The build status to set next; `None` where what is set says it.
pub(crate) fn next(run: &Run) -> Option<Build> {
    let wanted = wanted(run)?;
    match &run.reply.build {
        Some(set) if *set == wanted => None,
        // Another commit than the one that is to be told: it must not stay in progress for ever.
        Some(set) if set.state == BuildState::InProgress && set.commit != wanted.commit => Some(Build {
            commit: set.commit.clone(),
            state: match wanted.state {
                BuildState::InProgress => BuildState::Cancelled,
                ended => ended,
            },
        }),
        _ => Some(wanted),
    }
}

/// What the run says of which commit. A run that may not push, or that never began, says nothing.
fn wanted(run: &Run) -> Option<Build> {
    let options = &run.command.options;
    if !run.command.verb.may_push() || options.dry_run || options.suggest {
        return None;
    }
    let pushed = run.outcome.as_ref().and_then(|outcome| outcome.pushed.as_ref());
    let commit = pushed.map(|pushed| &pushed.commit).or(run.base.as_ref())?;
    let state = match run.state {
        RunState::Queued => return None,
        RunState::Running => BuildState::InProgress,
        RunState::Done if has_broken(run) => BuildState::Failed,
        RunState::Done | RunState::NoChange | RunState::Answered => BuildState::Successful,
        RunState::Refused | RunState::Failed | RunState::Expired => BuildState::Failed,
        // A question is no success of a change, and nothing is wrong with the commit that it is asked on: what counts
        // successful builds does not count it, and what wants none to have failed is not held up.
        RunState::NeedsInput | RunState::Cancelled | RunState::Superseded => BuildState::Cancelled,
    };
    Some(Build {
        commit: commit.clone(),
        state,
    })
}

/// Whether a check passed before the change and does not with it. One that failed before is not the run's doing.
fn has_broken(run: &Run) -> bool {
    let mut checks = run.outcome.iter().flat_map(|outcome| &outcome.checks);
    checks.any(is_broken)
}

fn asks_back(run: &Run) -> bool {
    let outcome = run.outcome.as_ref();
    outcome.is_some_and(|outcome| !outcome.questions.is_empty())
}

impl Status {
    /// Sets the build status and notes it. An error only where Bitbucket is away and may take it later.
    pub(crate) async fn set_build(&self, run: &Run) -> Result<(), Failure> {
        let Some(build) = next(run) else { return Ok(()) };
        let client = self.clients.of(&run.credential.connection)?;
        let comment = run.reply.comment.unwrap_or(run.comment);
        let new = NewBuild {
            key: format!("{BUILD_KEY}-{}-{}", run.repository.id, run.pull_request),
            name: format!("Resolver on pull request {}", run.pull_request),
            state: word(build.state),
            url: client.web_url_comment(&run.repository, run.pull_request, comment),
            description: format!("{} ({})", sentence(run), run.id),
        };
        match client.set_build(&run.repository, &build.commit, &new).await {
            Ok(()) => {}
            Err(Error::NotFound {
                what: Missing::Route, ..
            }) => {
                if self.builds.give_up(&run.credential.connection) {
                    tracing::warn!(connection = %run.credential.connection, "Bitbucket has no build status");
                }
                return Ok(());
            }
            Err(error) => match Failure::from(error) {
                failure @ Failure::Retry { .. } => return Err(failure),
                Failure::Refuse { report } | Failure::Abandon { report, .. } => {
                    tracing::info!(run.id = %run.id, code = %report.code, "Bitbucket does not take the build status");
                }
            },
        }
        self.change(run, |run| run.reply.build = Some(build.clone()))
            .await?;
        Ok(())
    }
}

fn word(state: BuildState) -> &'static str {
    match state {
        BuildState::InProgress => "INPROGRESS",
        BuildState::Successful => "SUCCESSFUL",
        BuildState::Failed => "FAILED",
        BuildState::Cancelled => "CANCELLED",
    }
}

fn sentence(run: &Run) -> &'static str {
    match run.state {
        RunState::Queued | RunState::Running => "At work on a request",
        RunState::Done if has_broken(run) => "Did what was asked, and a check fails with it",
        RunState::Done if asks_back(run) => "Pushed a change, and asks back",
        RunState::Done => "Did what was asked",
        RunState::NoChange => "Found nothing to change",
        RunState::Answered => "Answered",
        RunState::NeedsInput => "Asked back, and pushed nothing",
        RunState::Refused | RunState::Failed => "Failed",
        RunState::Expired => "Ran out of time or budget",
        RunState::Cancelled => "Was stopped",
        RunState::Superseded => "Gave way to a newer request",
    }
}

#[cfg(test)]
mod tests {
    use pipeline::ids::CommitId;
    use pipeline::run::{Check, Measured, Outcome, Pushed};

    use super::*;
    use crate::sample::{at, queued, running};

    fn commit(of: char) -> CommitId {
        CommitId::new(of.to_string().repeat(40)).unwrap()
    }

    fn begun() -> Run {
        let mut run = running();
        run.begin(1, commit('a')).unwrap();
        run
    }

    fn ended(state: RunState, pushed: Option<CommitId>) -> Run {
        let mut run = begun();
        let pushed = pushed.map(|commit| Pushed {
            commit,
            branch: "refs/heads/x".into(),
            files: 1,
            added: 1,
            removed: 0,
            threads: Vec::new(),
        });
        let outcome = Outcome {
            pushed,
            ..Outcome::default()
        };
        run.end(Some(1), state, outcome, at(9)).unwrap();
        run
    }

    /// What is set, one after the other, and what was set before.
    fn steps(mut run: Run, set: Option<(char, BuildState)>) -> Vec<(char, BuildState)> {
        run.reply.build = set.map(|(of, state)| Build {
            commit: commit(of),
            state,
        });
        let mut steps = Vec::new();
        while let Some(build) = next(&run) {
            steps.push((build.commit.as_str().chars().next().unwrap(), build.state));
            run.reply.build = Some(build);
            assert!(steps.len() < 4, "{steps:?}");
        }
        steps
    }

    #[test]
    fn a_run_that_works_is_in_progress_on_what_it_started_from() {
        assert_eq!(next(&queued()), None);
        assert_eq!(next(&running()), None, "it has not begun");
        assert_eq!(steps(begun(), None), [('a', BuildState::InProgress)]);
        let on_another = Some(('b', BuildState::InProgress));
        assert_eq!(
            steps(begun(), on_another),
            [('b', BuildState::Cancelled), ('a', BuildState::InProgress)]
        );
    }

    #[test]
    fn the_end_is_told_on_what_was_pushed_and_nothing_stays_in_progress() {
        let set = Some(('a', BuildState::InProgress));
        assert_eq!(
            steps(ended(RunState::Done, Some(commit('c'))), set),
            [('a', BuildState::Successful), ('c', BuildState::Successful)]
        );
        assert_eq!(
            steps(ended(RunState::Failed, None), set),
            [('a', BuildState::Failed)]
        );
        assert_eq!(
            steps(ended(RunState::Cancelled, None), None),
            [('a', BuildState::Cancelled)]
        );
        assert_eq!(
            steps(ended(RunState::Done, Some(commit('c'))), None),
            [('c', BuildState::Successful)]
        );
    }

    #[test]
    fn a_question_is_neither_a_success_of_the_commit_nor_its_failure() {
        let set = Some(('a', BuildState::InProgress));
        for (state, told) in [
            (RunState::NeedsInput, BuildState::Cancelled),
            (RunState::NoChange, BuildState::Successful),
        ] {
            assert_eq!(steps(ended(state, None), set), [('a', told)]);
        }
        let mut half = ended(RunState::Done, Some(commit('c')));
        assert_eq!(sentence(&half), "Did what was asked");
        half.outcome.as_mut().unwrap().questions = vec!["Which one?".into()];
        assert_eq!(sentence(&half), "Pushed a change, and asks back");
    }

    #[test]
    fn a_commit_that_breaks_a_check_is_no_success() {
        let exited = |code| Measured::Exited {
            code,
            milliseconds: 1,
        };
        for (before, after, told) in [
            (0, 1, BuildState::Failed),
            (0, 0, BuildState::Successful),
            (1, 1, BuildState::Successful),
        ] {
            let mut run = ended(RunState::Done, Some(commit('c')));
            run.outcome.as_mut().unwrap().checks = vec![Check {
                name: "test".into(),
                command: "true".into(),
                before: exited(before),
                after: exited(after),
            }];
            assert_eq!(steps(run, None), [('c', told)]);
        }
    }

    #[test]
    fn what_pushes_nothing_sets_nothing() {
        let mut run = begun();
        run.command.verb = pipeline::verbs::Verb::Ask;
        assert_eq!(next(&run), None);
        let mut run = begun();
        run.command.options.dry_run = true;
        assert_eq!(next(&run), None);
    }
}
