//! Whether the bot listens: from a `pause` to a `resume`, as far as people can know in which order they were heard.

use pipeline::run::RunState;

use super::promise::{Model, Promise};
use super::steps::Ask;
use super::told::{Version, is_heard_before};

impl Model<'_> {
    /// Whether what was asked then certainly met a bot that was paused.
    pub(super) fn is_paused(&self, at: &Version) -> bool {
        let heard = |one: &Version, other: &Version| is_heard_before(self.history, one, other.at);
        let counts = |version: &Version| {
            let answer = self.history.run(version.run.as_str());
            answer.is_some_and(|answer| answer.state == RunState::Answered)
        };
        let is_ended = |pause: &Version| {
            let mut resumes = self.asks_of_alice(Ask::Resume);
            self.promise != Promise::NothingResumes
                && resumes.any(|resume| !heard(resume, pause) && !heard(at, resume))
        };
        let mut pauses = self.asks_of_alice(Ask::Pause);
        self.promise != Promise::NothingPauses
            && pauses.any(|pause| counts(pause) && heard(pause, at) && !is_ended(pause))
    }

    /// Whether what was asked then may have met a bot that was paused.
    pub(super) fn may_be_paused(&self, at: &Version) -> bool {
        let heard = |one: &Version, other: &Version| is_heard_before(self.history, one, other.at);
        let is_ended = |pause: &Version| {
            let mut resumes = self.asks_of_alice(Ask::Resume);
            resumes.any(|resume| heard(pause, resume) && heard(resume, at))
        };
        let mut pauses = self.asks_of_alice(Ask::Pause);
        self.promise != Promise::NothingPauses && pauses.any(|pause| !heard(at, pause) && !is_ended(pause))
    }
}
