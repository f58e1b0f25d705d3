//! Which end of a run is explained by what people did.

use pipeline::failure_code::FailureCode;
use pipeline::run::{Run, RunState};

use super::earlier::Work;
use super::history::Act;
use super::promise::{Model, Promise, code_of};
use super::steps::Ask;
use super::told::{Told, Version, is_heard_before};

impl Model<'_> {
    /// Why nobody asked for a run, or why nothing that happened explains its end.
    pub(super) fn without_a_reason(&self, run: &Run) -> Option<String> {
        let wrong = |what: &str| Some(what.to_owned());
        let Some(told) = self.comment_of(run) else {
            return wrong("of a comment that was not written");
        };
        let Some(first) = told.first_of(run) else {
            return wrong("of no version that asks for anything");
        };
        let Some(version) = told.last_of(run).filter(|version| self.is_for(run, version.ask)) else {
            return wrong("asks for something else than its version of the comment");
        };
        let is_right = match (run.state, code_of(run)) {
            (RunState::Done, None) => self.work(run).is_some_and(Work::pushes),
            (RunState::Answered, None) => !self.work(run).is_some_and(Work::pushes),
            (RunState::NoChange, Some(FailureCode::NothingToUndo)) => {
                self.work(run) == Some(Work::Revert) && self.is_undone(run)
            }
            (RunState::Refused, None) => return (version.ask != Ask::Unknown).then(|| "refused".to_owned()),
            (RunState::Refused, Some(code)) => {
                let mut versions = told.versions.iter().filter(|other| other.at >= version.at);
                let is_refused = versions.any(|version| self.may_refuse(told, version, code));
                return (!is_refused).then(|| "refused for nothing that explains it".to_owned());
            }
            (RunState::Cancelled, Some(code)) => {
                let is_ended = self.may_end(told, version, code);
                return (!is_ended).then(|| "ended by nothing that explains it".to_owned());
            }
            _ => false,
        };
        if !is_right {
            return wrong("ended as nothing explains");
        }
        if !self.may(told, run, version.ask) {
            return wrong("is not for who may only read");
        }
        if version.ask.starts_a_run() && self.is_paused(first) {
            return wrong("began while the bot was paused");
        }
        self.goes_back_wrongly(run, version)
    }

    /// Whether the author of a comment may have a run of this kind. Who may only read may ask, and ask again.
    fn may(&self, told: &Told, run: &Run, ask: Ask) -> bool {
        let only_reads = match ask {
            Ask::Pause | Ask::Resume => false,
            _ => self.work(run).is_none_or(|work| work == Work::Words),
        };
        told.by_alice || only_reads || self.promise == Promise::EveryoneMay
    }

    /// Whether what this version asks for may be refused for this reason.
    pub(super) fn may_refuse(&self, told: &Told, version: &Version, code: FailureCode) -> bool {
        let ask = version.ask;
        let is_held_back = !told.by_alice && self.promise != Promise::EveryoneMay;
        match code {
            FailureCode::PermissionDenied => is_held_back && ask.starts_a_run() && ask != Ask::Question,
            FailureCode::PauseDenied => is_held_back && matches!(ask, Ask::Pause | Ask::Resume),
            FailureCode::StopDenied => {
                !told.by_alice && ask == Ask::Stop && self.promise != Promise::EveryoneStops
            }
            FailureCode::Paused => ask.starts_a_run() && self.may_be_paused(version),
            FailureCode::PullRequestClosed => ask.starts_a_run() && self.history.acts.contains(&Act::Closed),
            FailureCode::NothingToResume => {
                matches!(ask, Ask::Retry | Ask::Continue) && self.known_to_fit("", version).is_empty()
            }
            FailureCode::NothingToUndo => ask == Ask::Undo && self.known_to_fit("", version).is_empty(),
            _ => false,
        }
    }

    /// Whether what this version asks for may have been ended by somebody.
    fn may_end(&self, told: &Told, version: &Version, code: FailureCode) -> bool {
        let later = || told.versions.iter().filter(|later| later.at > version.at);
        version.ask.starts_a_run()
            && match code {
                FailureCode::PullRequestClosed => self.history.acts.contains(&Act::Closed),
                FailureCode::CommentDeleted => told.is_deleted,
                FailureCode::RequestWithdrawn => later().any(|later| !later.ask.starts_a_run()),
                FailureCode::Stopped => {
                    self.promise != Promise::NothingStops && self.may_be_stopped(told, version)
                }
                _ => false,
            }
    }

    /// Whether somebody who may have written `stop` after this, or so close before it that it was heard after it.
    fn may_be_stopped(&self, told: &Told, version: &Version) -> bool {
        let their_own = self.told.iter().filter(|other| other.by_alice || !told.by_alice);
        let mut stops = their_own.flat_map(|other| &other.versions);
        stops.any(|stop| stop.ask == Ask::Stop && !is_heard_before(self.history, stop, version.at))
    }
}
