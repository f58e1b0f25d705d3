//! The control of the model: what happened, spoilt in one place, is not as promised any more.

use pipeline::failure_code::FailureCode;
use pipeline::mention::Verb;
use pipeline::run::{Outcome, Run, RunState};

use super::history::{Act, Commit, History};
use super::promise::{Promise, broken};

/// A way to spoil a history; `None` where there is nothing of the kind to spoil.
type Spoil = fn(&mut History) -> Option<()>;

const WAYS: [(&str, Spoil); 18] = [
    ("a second commit of a run", |history| {
        let again = history.log.iter().find(|commit| commit.run.is_some())?.clone();
        history.log.insert(0, again);
        Some(())
    }),
    ("a commit of no run", |history| {
        history.log.insert(
            0,
            Commit {
                id: "0".repeat(40),
                run: Some("r-000000000000".to_owned()),
                is_signed_off: false,
            },
        );
        Some(())
    }),
    ("a commit of a run that was stopped", |history| {
        let stopped = history
            .runs
            .iter()
            .find(|run| run.state == RunState::Cancelled && !run.committed)?;
        history.log.insert(
            0,
            Commit {
                id: "0".repeat(40),
                run: Some(stopped.id.to_string()),
                is_signed_off: false,
            },
        );
        Some(())
    }),
    ("a commit that is lost", |history| {
        let at = history.log.iter().position(|commit| {
            let done = history.runs.iter().filter(|run| run.state == RunState::Done);
            commit
                .run
                .as_ref()
                .is_some_and(|made| done.into_iter().any(|run| run.id.as_str() == made))
        })?;
        history.log.remove(at);
        Some(())
    }),
    ("a rewritten branch", |history| {
        let seen = history.acts.iter().any(|act| matches!(act, Act::Saw { .. }));
        history.log.last_mut().filter(|_| seen)?.id = "0".repeat(40);
        Some(())
    }),
    ("a second status reply", |history| {
        let again = history.bots.first()?.clone();
        history.bots.push(again);
        Some(())
    }),
    ("no status reply", |history| history.bots.pop().map(drop)),
    ("a run that has not ended", |history| {
        history.runs.first_mut()?.state = RunState::Running;
        Some(())
    }),
    ("a run that failed", |history| {
        let run = history.runs.first_mut()?;
        run.state = RunState::Failed;
        run.outcome = Some(Outcome::of_failure(FailureCode::Internal, None));
        Some(())
    }),
    ("two runs at once", |history| {
        let mut began: Vec<_> = history
            .runs
            .iter_mut()
            .filter(|run| run.started_at.is_some())
            .collect();
        began.sort_by_key(|run| run.started_at);
        let [first, second, ..] = began.as_mut_slice() else {
            return None;
        };
        second.started_at = first.started_at;
        Some(())
    }),
    ("a run that is not there", |history| {
        let undisturbed = matches!(history.acts[..], [Act::Wrote { .. }]);
        undisturbed.then(|| history.runs.clear())
    }),
    ("an option that is not inherited", |history| {
        let goes_back = |run: &&str| {
            let run = history.run(run);
            run.is_some_and(|run| run.about.is_some() && run.command.options.sign_off)
        };
        let run = history.made().into_iter().find(goes_back)?.to_owned();
        let mut commits = history.log.iter_mut();
        commits
            .find(|commit| commit.run.as_ref() == Some(&run))?
            .is_signed_off = false;
        Some(())
    }),
    ("a question that is taken for work", |history| {
        let question = history
            .runs
            .iter_mut()
            .find(|run| run.command.verb == Verb::Ask && run.state == RunState::Answered)?;
        question.state = RunState::Done;
        Some(())
    }),
    ("a pause that nobody asked for", |history| {
        let is_alices = |run: &Run| run.requester.as_ref().is_some_and(|who| who.name == "alice");
        let pauses = |run: &Run| run.command.verb == Verb::Pause;
        if history.runs.iter().any(|run| pauses(run) && is_alices(run)) {
            return None;
        }
        let run = history
            .runs
            .iter_mut()
            .find(|run| run.command.verb == Verb::Request && is_alices(run))?;
        run.state = RunState::Refused;
        run.outcome = Some(Outcome::of_failure(FailureCode::Paused, None));
        Some(())
    }),
    ("what was undone and is still there", |history| {
        let is_undone = |run: &&Run| run.command.verb == Verb::Undo && run.state == RunState::Done;
        history.runs.iter().find(is_undone)?;
        history.files += 1;
        Some(())
    }),
    ("an end that was told otherwise", |history| {
        let told = history.acts.iter_mut().find_map(|act| match act {
            Act::Saw { ended, .. } => ended.values_mut().next(),
            _ => None,
        });
        told?.push_str(", or so");
        Some(())
    }),
    ("a commit that the pull request does not show", |history| {
        let is_open = !history.acts.contains(&Act::Closed);
        let made = history.log.iter().filter(|commit| commit.run.is_some());
        let hidden = made.map(|commit| commit.id.clone()).next().filter(|_| is_open)?;
        history.shown.retain(|shown| *shown != hidden);
        Some(())
    }),
    ("a commit after the end was told", |history| {
        let told = history.acts.iter_mut().find_map(|act| match act {
            Act::Saw { ended, log, .. } if !ended.is_empty() => Some((ended, log)),
            _ => None,
        });
        let (ended, log) = told?;
        let at = log
            .iter()
            .position(|commit| commit.run.as_ref().is_some_and(|run| ended.contains_key(run)))?;
        log.remove(at);
        Some(())
    }),
];

/// Every way to spoil what happened is found out, wherever there is something to spoil.
pub(super) fn every_spoilt_history_is_found_out(histories: &[History]) {
    for (what, spoil) in WAYS {
        let mut spoilt = 0;
        for history in histories {
            let mut history = history.clone();
            if spoil(&mut history).is_some() {
                spoilt += 1;
                let wrong = broken(&history, Promise::Kept);
                assert!(!wrong.is_empty(), "{what} is not noticed: {history:#?}");
            }
        }
        assert!(spoilt > 0, "there is nothing to spoil: {what}");
    }
}
