//! What is promised, as a pure function of what happened: the model that every sequence is held against.

use pipeline::failure_code::FailureCode;
use pipeline::run::{Run, RunState};

use super::branch;
use super::earlier::reads;
use super::history::{Act, History, run_shown, verdict};
use super::steps::Ask;
use super::told::{Told, Version, told};

/// What is promised. All but the default is wrong, and is there to be found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Promise {
    /// What the product promises.
    #[default]
    Kept,
    /// That every edit asks again, whatever it changes.
    EveryEditAsksAgain,
    /// That nothing but the end of work ends a run.
    NothingStops,
    /// That who may only read is obeyed,
    EveryoneMay,
    /// and may stop what others asked for.
    EveryoneStops,
    /// That a pause is no hindrance,
    NothingPauses,
    /// or one for good.
    NothingResumes,
    /// That a question is work like any other.
    QuestionsPush,
    /// That the options of an earlier run are its own.
    NothingIsInherited,
    /// That of several runs the first is gone back to.
    RetryTakesTheFirst,
    /// That an undo leaves what was done.
    UndoKeepsTheWork,
}

impl Promise {
    /// Those that are wrong.
    pub(super) const WRONG: [Self; 10] = [
        Self::EveryEditAsksAgain,
        Self::NothingStops,
        Self::EveryoneMay,
        Self::EveryoneStops,
        Self::NothingPauses,
        Self::NothingResumes,
        Self::QuestionsPush,
        Self::NothingIsInherited,
        Self::RetryTakesTheFirst,
        Self::UndoKeepsTheWork,
    ];
}

/// A promise, and what happened.
pub(super) struct Model<'h> {
    pub(super) history: &'h History,
    pub(super) told: Vec<Told>,
    pub(super) promise: Promise,
}

/// Everything that is not as promised, in words.
pub(super) fn broken(history: &History, promise: Promise) -> Vec<String> {
    let model = Model {
        history,
        told: told(history),
        promise,
    };
    let mut wrong = Vec::new();
    for run in &history.runs {
        let what = model.without_a_reason(run);
        wrong.extend(what.map(|what| {
            format!(
                "run {} of comment {}: {what}; {}",
                run.id,
                run.comment,
                brief(run)
            )
        }));
        wrong.extend(model.not_told(run));
    }
    for comment in &model.told {
        wrong.extend(model.not_answered(comment));
    }
    wrong.extend(told_of_no_run(history));
    wrong.extend(branch::wrong(&model));
    wrong.extend(two_at_once(&history.runs));
    wrong.extend(model.outlived_a_stop());
    wrong.extend(history.acts.iter().filter_map(|act| match act {
        Act::InVain { comment } => Some(format!("nobody answered comment {comment} in time")),
        _ => None,
    }));
    wrong
}

pub(super) fn code_of(run: &Run) -> Option<FailureCode> {
    Some(run.outcome.as_ref()?.failure.as_ref()?.code)
}

impl Model<'_> {
    pub(super) fn comment_of(&self, run: &Run) -> Option<&Told> {
        self.told.iter().find(|told| told.comment == run.comment.0)
    }

    /// What a run was asked for.
    pub(super) fn ask_of(&self, run: &Run) -> Option<Ask> {
        Some(self.comment_of(run)?.last_of(run)?.ask)
    }

    /// The versions of alice's comments that ask for this.
    pub(super) fn asks_of_alice(&self, ask: Ask) -> impl Iterator<Item = &Version> {
        let hers = self.told.iter().filter(|told| told.by_alice);
        let versions = hers.flat_map(|told| &told.versions);
        versions.filter(move |version| version.ask == ask)
    }

    fn runs_of(&self, told: &Told) -> impl Iterator<Item = &Run> {
        let comment = told.comment;
        self.history
            .runs
            .iter()
            .filter(move |run| run.comment.0 == comment)
    }

    /// A comment whose last version did not come to the end that it should have, or came to one more than once.
    fn not_answered(&self, told: &Told) -> Vec<String> {
        let mut wrong = Vec::new();
        let runs: Vec<&Run> = self.runs_of(told).collect();
        let mut blocks: Vec<Ask> = told.versions.iter().map(|version| version.ask).collect();
        if self.promise != Promise::EveryEditAsksAgain {
            blocks.dedup();
        }
        for ask in &blocks {
            let asked = blocks.iter().filter(|other| *other == ask).count();
            let ran = runs.iter().filter(|run| self.ask_of(run) == Some(*ask)).count();
            if ran > asked {
                let comment = told.comment;
                wrong.push(format!(
                    "comment {comment}: asked {asked} times for {ask:?}, and there are {ran} runs"
                ));
            }
        }
        let [.., Version { ask: last, .. }] = &told.versions[..] else {
            return wrong;
        };
        let is_disturbing = |ask| self.asks_of_alice(ask).next().is_some();
        let is_disturbed = told.is_deleted
            || self.history.acts.contains(&Act::Closed)
            || is_disturbing(Ask::Stop)
            || is_disturbing(Ask::Pause);
        let is_plain =
            told.by_alice && !is_disturbed && blocks.iter().all(|ask| ask == last) && *last != Ask::Nothing;
        if is_plain && runs.len() != blocks.len() {
            let comment = told.comment;
            wrong.push(format!(
                "comment {comment}: {} runs instead of {}",
                runs.len(),
                blocks.len()
            ));
        }
        let is_answered =
            told.is_deleted || *last == Ask::Nothing || self.came_to_something(told, *last, &runs);
        if !is_answered {
            wrong.push(format!(
                "comment {} asks for {last:?}, and nothing came of it",
                told.comment
            ));
        }
        wrong
    }

    /// Whether what a comment asks for in the end was done, or it was told why not.
    fn came_to_something(&self, told: &Told, last: Ask, runs: &[&Run]) -> bool {
        let has_run = runs.iter().any(|run| self.ask_of(run) == Some(last));
        let is_too_late = runs.iter().any(|run| run.edited_late);
        // What waited was ended by the edit, and says what the edit came to.
        let gave_up = |run: &&&Run| match code_of(run) {
            Some(FailureCode::NothingToResume | FailureCode::NothingToUndo) => run.state == RunState::Refused,
            _ => run.state == RunState::Cancelled && !last.starts_a_run(),
        };
        has_run || is_too_late || runs.iter().any(|run| gave_up(&run)) || self.is_silent(told)
    }

    /// Whether a refusal was not said again, which each person reads once an hour.
    fn is_silent(&self, told: &Told) -> bool {
        let is_said_to_them = |run: &&Run| {
            run.state == RunState::Refused
                && self
                    .comment_of(run)
                    .is_some_and(|other| other.by_alice == told.by_alice)
        };
        let said = self
            .history
            .runs
            .iter()
            .filter(is_said_to_them)
            .filter_map(code_of);
        let is_said_once =
            |code: &FailureCode| !matches!(code, FailureCode::NothingToResume | FailureCode::NothingToUndo);
        said.filter(is_said_once).any(|code| {
            told.in_the_end()
                .iter()
                .any(|version| self.may_refuse(told, version, code))
        })
    }

    /// A run of which people do not read in one reply how it ended.
    fn not_told(&self, run: &Run) -> Vec<String> {
        let mut wrong = Vec::new();
        let is_its = |reply: &&_| run_shown(reply).as_deref() == Some(run.id.as_str());
        let replies = self.history.bots.iter().filter(is_its).count();
        if replies != 1 {
            wrong.push(format!("run {} has {replies} status replies", run.id));
        }
        let Some(reply) = self.history.reply(&run.id) else {
            return wrong;
        };
        let expected = match run.state {
            RunState::Done => "Done",
            RunState::Answered => "Answered",
            RunState::NoChange => "No change needed",
            RunState::Refused => "Refused",
            RunState::Cancelled => "Stopped",
            _ => "an end that this is not",
        };
        let code = code_of(run).map_or("", |code| code.as_str());
        if !verdict(reply).starts_with(expected) || !reply.text.contains(code) {
            wrong.push(format!(
                "the reply to {} should say {expected} {code}: {}",
                brief(run),
                reply.text
            ));
        }
        let told = self.history.acts.iter().filter_map(|act| match act {
            Act::Saw { ended, .. } => ended.get(run.id.as_str()),
            _ => None,
        });
        let others = told.filter(|told| *told != verdict(reply));
        wrong.extend(others.map(|told| format!("run {} was {told}, and is {}", run.id, verdict(reply))));
        wrong
    }

    /// What somebody knew of before they wrote `stop` has ended when the stop is answered.
    fn outlived_a_stop(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for stop in self.asks_of_alice(Ask::Stop) {
            let answer = self.history.run(stop.run.as_str());
            let Some(answer) = answer.filter(|answer| answer.state == RunState::Answered) else {
                continue;
            };
            let known = self.history.acts[..stop.at].iter().filter_map(|act| match act {
                Act::Saw { shown, .. } => Some(shown),
                _ => None,
            });
            let known = known.flatten().filter_map(|run| self.history.run(run));
            let outlived =
                known.filter(|run| run.ended_at > answer.ended_at && !self.is_asked_after(run, stop));
            wrong.extend(
                outlived.map(|run| format!("{} went on after {} had stopped everything", run.id, answer.id)),
            );
        }
        wrong
    }

    /// Whether the comment of a run asks for it anew after a stop.
    fn is_asked_after(&self, run: &Run, stop: &Version) -> bool {
        let told = self.comment_of(run);
        told.and_then(|told| told.first_of(run))
            .is_none_or(|version| version.at > stop.at)
    }
}

fn told_of_no_run(history: &History) -> Vec<String> {
    let is_known = |run: &String| history.run(run).is_some();
    let shown = history
        .bots
        .iter()
        .map(|reply| run_shown(reply).unwrap_or_default());
    shown
        .filter(|run| !is_known(run))
        .map(|run| format!("a reply of the bot's is about no run of this pull request: {run:?}"))
        .collect()
}

fn two_at_once(runs: &[Run]) -> Vec<String> {
    let mut spans: Vec<_> = runs
        .iter()
        .filter_map(|run| Some((run.started_at?, run.ended_at?, &run.id)))
        .collect();
    spans.sort();
    let pairs = spans.iter().zip(spans.iter().skip(1));
    pairs
        .filter(|((_, ended, _), (started, _, _))| started < ended)
        .map(|((_, ended, one), (started, _, other))| {
            format!("{other} began at {started} while {one} ran until {ended}")
        })
        .collect()
}

/// A run in one line.
pub(super) fn brief(run: &Run) -> String {
    format!(
        "v{} {:?} about {:?} {} {:?} attempt {} committed {} queued {} started {:?} ended {:?} steps {:?}",
        run.comment_version,
        reads(run),
        run.about,
        run.state,
        code_of(run),
        run.attempt,
        run.committed,
        run.queued_at,
        run.started_at,
        run.ended_at,
        run.steps
    )
}
