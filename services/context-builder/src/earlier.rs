//! Earlier: what a run needs to know of the run that it carries on or carries out.

use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::ids::CommitId;
use pipeline::mention::Verb;
use pipeline::run::{FailureReport, Run};
use pipeline::subject;

use crate::builder::Builder;
use crate::context::material::Earlier;

/// What the run is built on.
#[derive(Debug)]
pub(crate) enum Basis {
    /// The request alone.
    Request,
    /// A plan that a person has approved, for this commit alone.
    Plan {
        /// Its text, which is the request now.
        text: String,
        /// The commit it was made for.
        base: CommitId,
    },
    /// The work of an earlier run.
    Work(Box<Earlier>),
}

impl Builder {
    /// Looks up what `run` is built on; a report where it is gone, or not what people were shown.
    pub(crate) async fn basis(&self, run: &Run) -> Result<Result<Basis, FailureReport>, Failure> {
        let missing = match run.command.verb {
            Verb::Approve => FailureCode::NoPlan,
            Verb::Continue => FailureCode::NothingToResume,
            _ => return Ok(Ok(Basis::Request)),
        };
        let missing = FailureReport {
            code: missing,
            detail: None,
        };
        let Some(about) = &run.about else {
            return Ok(Err(missing));
        };
        let Some(earlier) = self.runs.get(&subject::run_key(about)).await? else {
            return Ok(Err(missing));
        };
        if run.command.verb == Verb::Continue {
            return Ok(Ok(Basis::Work(Box::new(self.work_of(&earlier).await?))));
        }
        Ok(self.plan_of(&earlier).await?.ok_or(missing))
    }

    /// The plan a run made, when it is still the text that people were shown.
    async fn plan_of(&self, earlier: &Run) -> Result<Option<Basis>, Failure> {
        let (Some(plan), Some(base)) = (&earlier.plan, &earlier.base) else {
            return Ok(None);
        };
        let Some(bytes) = self.nats.artifacts().get(&plan.text.key).await? else {
            return Ok(None);
        };
        if !plan.is(&bytes) {
            tracing::error!(run.id = %earlier.id, "the kept plan is not the one that was shown");
            return Ok(None);
        }
        let text = String::from_utf8(bytes).ok();
        Ok(text.map(|text| Basis::Plan {
            text,
            base: base.clone(),
        }))
    }

    async fn work_of(&self, earlier: &Run) -> Result<Earlier, Failure> {
        let patch = match &earlier.patch {
            Some(patch) => self.nats.artifacts().get(&patch.key).await?,
            None => None,
        };
        let outcome = earlier.outcome.clone().unwrap_or_default();
        Ok(Earlier {
            run: earlier.id.clone(),
            asked: earlier.command.asked(),
            said: outcome.summary.unwrap_or_default(),
            questions: outcome.questions,
            not_done: outcome.not_done,
            patch: patch.map(|patch| String::from_utf8_lossy(&patch).into_owned()),
        })
    }
}
