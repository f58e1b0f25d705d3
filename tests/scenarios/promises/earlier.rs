//! What `retry`, `continue` and `undo` go back to, and what becomes of the work of a run by that.

use pipeline::mention::Verb;
use pipeline::run::{Run, RunState};

use super::promise::{Model, Promise};
use super::steps::Ask;
use super::told::{Version, ended_before};

/// What becomes of a run's work, if nothing keeps it from that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// One commit.
    Commit { is_signed_off: bool },
    /// A patch, shown and kept.
    Patch { is_signed_off: bool },
    /// Words.
    Words,
    /// One commit that takes another one back.
    Revert,
}

impl Work {
    pub(super) fn pushes(self) -> bool {
        matches!(self, Self::Commit { .. } | Self::Revert)
    }

    pub(super) fn is_signed_off(self) -> bool {
        matches!(
            self,
            Self::Commit { is_signed_off: true } | Self::Patch { is_signed_off: true }
        )
    }
}

/// What the command of a run says, as it would be typed; nothing where nobody types that here.
pub(super) fn reads(run: &Run) -> Option<Ask> {
    let command = &run.command;
    if command.refused.is_some() {
        return Some(Ask::Unknown);
    }
    let options = &command.options;
    Some(match command.verb {
        Verb::Stop => Ask::Stop,
        Verb::Help => Ask::Help,
        Verb::Pause => Ask::Pause,
        Verb::Resume => Ask::Resume,
        Verb::Retry => Ask::Retry,
        Verb::Continue => Ask::Continue,
        Verb::Undo => Ask::Undo,
        Verb::Ask => Ask::Question,
        Verb::Request => {
            let piece = command.text.strip_prefix("do piece ")?.parse().ok()?;
            match (options.dry_run, options.sign_off) {
                (true, _) => Ask::Patch(piece),
                (false, true) => Ask::Signed(piece),
                (false, false) => Ask::Change(piece),
            }
        }
        _ => return None,
    })
}

impl Model<'_> {
    /// Whether a run is for what was typed; of a `retry`, for what the repeated one was for.
    pub(super) fn is_for(&self, run: &Run, ask: Ask) -> bool {
        let repeated = || {
            self.goes_back_to(run)
                .is_some_and(|earlier| reads(earlier) == reads(run))
        };
        reads(run) == Some(ask) || (ask == Ask::Retry && repeated())
    }

    /// The run that one goes back to. What repeats a `continue` or an `undo` is about what that was about.
    pub(super) fn goes_back_to(&self, run: &Run) -> Option<&Run> {
        let about = run.about.as_ref()?;
        let repeats = |other: &&Run| {
            other.command.verb == run.command.verb
                && other.about.as_ref() == Some(about)
                && comes_before(other, run)
        };
        let is_repetition = self.ask_of(run)? == Ask::Retry && run.command.verb.is_about_a_run();
        let runs = self.history.runs.iter();
        if is_repetition {
            return runs.filter(repeats).max_by_key(|other| other.queued_at);
        }
        self.history
            .run(about.as_str())
            .filter(|other| comes_before(other, run))
    }

    /// What becomes of the work of a run; nothing where it is for none.
    pub(super) fn work(&self, run: &Run) -> Option<Work> {
        let is_kept = self.promise != Promise::NothingIsInherited;
        Some(match self.ask_of(run)? {
            Ask::Change(_) => Work::Commit { is_signed_off: false },
            Ask::Signed(_) => Work::Commit { is_signed_off: true },
            Ask::Patch(_) => Work::Patch { is_signed_off: true },
            Ask::Question if self.promise == Promise::QuestionsPush => Work::Commit { is_signed_off: false },
            Ask::Question => Work::Words,
            Ask::Undo => Work::Revert,
            Ask::Continue => Work::Commit {
                is_signed_off: is_kept && self.work(self.goes_back_to(run)?)?.is_signed_off(),
            },
            Ask::Retry => match self.work(self.goes_back_to(run)?)? {
                Work::Commit { .. } if !is_kept => Work::Commit { is_signed_off: false },
                work => work,
            },
            _ => return None,
        })
    }

    /// Why a run does not go back to the run that it should.
    pub(super) fn goes_back_wrongly(&self, run: &Run, version: &Version) -> Option<String> {
        if !matches!(version.ask, Ask::Retry | Ask::Continue | Ask::Undo) {
            return None;
        }
        let Some(earlier) = self.goes_back_to(run) else {
            return Some(format!("goes back to no run, about {:?}", run.about));
        };
        if !self.fits(version.ask, earlier) {
            return Some(format!("goes back to {}, which does not fit", earlier.id));
        }
        let known = self.known_to_fit(run.id.as_str(), version);
        let is_better = |other: &&&Run| match self.promise {
            Promise::RetryTakesTheFirst => other.queued_at < earlier.queued_at,
            _ => other.queued_at > earlier.queued_at,
        };
        let better = known.iter().find(is_better)?;
        Some(format!("goes back to {} and not to {}", earlier.id, better.id))
    }

    /// The runs that alice had read the end of before she asked, and that fit: one of these is meant, or a later one.
    pub(super) fn known_to_fit(&self, asking: &str, version: &Version) -> Vec<&Run> {
        let is_left = |run: &&Run| {
            let done = self.history.runs.iter();
            let mut done =
                done.filter(|other| other.id.as_str() != asking && self.ask_of(other) != Some(Ask::Retry));
            version.ask == Ask::Retry
                || !done.any(|other| {
                    self.ask_of(other) == Some(version.ask) && other.about.as_ref() == Some(&run.id)
                })
        };
        let ended = ended_before(self.history, version.at);
        ended
            .into_iter()
            .filter(|run| self.fits(version.ask, run))
            // What was stopped before it had its place is refused, in a way.
            .filter(|run| run.started_at.is_some())
            .filter(is_left)
            .collect()
    }

    /// Whether a run can be repeated, continued or undone.
    fn fits(&self, ask: Ask, run: &Run) -> bool {
        let outcome = run.outcome.as_ref();
        let is_pushed = outcome.is_some_and(|outcome| outcome.pushed.is_some());
        let has_run = run.state.is_terminal()
            && run.state != RunState::Refused
            && self.ask_of(run).is_some_and(Ask::starts_a_run);
        has_run
            && match ask {
                Ask::Continue => run.patch.is_some() && !is_pushed,
                Ask::Undo => is_pushed && run.command.verb != Verb::Undo,
                _ => true,
            }
    }

    /// Whether what an `undo` is about was taken back by another one before.
    pub(super) fn is_undone(&self, run: &Run) -> bool {
        let is_other = |other: &&Run| {
            other.id != run.id
                && other.command.verb == Verb::Undo
                && other.about == run.about
                && other.state == RunState::Done
                && other.ended_at <= run.ended_at
        };
        self.history.runs.iter().any(|other| is_other(&other))
    }
}

fn comes_before(one: &Run, other: &Run) -> bool {
    one.id != other.id && one.queued_at <= other.queued_at
}
