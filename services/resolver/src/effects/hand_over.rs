//! From what an agent handed over to effects in the run's record.

use agent::Report;
use bitbucket::Diff;
use pipeline::failure::Failure;
use pipeline::failure_code::FailureCode;
use pipeline::ids::CommitId;
use pipeline::job::Job;
use pipeline::run::{Outcome, Run, RunState};

use super::{Commentable, Plan, has_result, plan, suggest, within, without_secrets};
use crate::attempt::Attempt;
use crate::git_door::GitDoor;
use crate::result::{self, Handed};
use crate::secrets::Known;
use crate::{moved, still_may};

/// Bytes read of the pull request's diff; what lies behind is not commented on. More than a person reviews.
const DIFF_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Said where the agent said nothing beside what it handed over.
const SEE_COMMENTS: &str = "See the comments on the pull request.";

/// Why nothing may be written on the pull request, and how a run ends that was for nothing else.
type InTheWay = (RunState, FailureCode, String);

/// Takes the block out of the agent's last message, where the verb has one: what is left is what people read.
pub(crate) fn take(run: &Run, report: &mut Report) -> (Handed, Vec<String>) {
    if !has_result(run.command.verb) {
        return Default::default();
    }
    let parsed = result::parse(&report.summary);
    report.summary = parsed.words;
    (within(parsed.handed, &run.command.options.paths), parsed.notes)
}

/// Plans the effects of what was handed over, notes them in the record, and tells of them in the outcome. Where nothing may
/// be written on the pull request any more, nothing is planned: then how a run ends that is for that alone.
pub(crate) async fn note(
    door: &GitDoor,
    attempt: &Attempt,
    job: &Job,
    (handed, known): (Handed, &Known),
    base: &CommitId,
    outcome: &mut Outcome,
) -> Result<Option<InTheWay>, Failure> {
    let commentable = if handed.findings.is_empty() {
        Commentable::default()
    } else {
        commentable(door, attempt, base, outcome).await?
    };
    let handed = without_secrets(handed, known);
    let mut plan = plan(&attempt.run.command, handed, &job.threads, &commentable);
    let in_the_way = hinder(door, attempt, &mut plan).await?;
    tell(&plan, outcome);
    let keep = || attempt.plan(&plan.effects);
    attempt.patience.with("note what is to be done", keep).await?;
    Ok(in_the_way)
}

/// Takes the effects out of a plan where the pull request has ended, or who asked may not have it changed any more.
async fn hinder(door: &GitDoor, attempt: &Attempt, plan: &mut Plan) -> Result<Option<InTheWay>, Failure> {
    if plan.effects.is_empty() {
        return Ok(None);
    }
    let look = || still_may::in_the_way(door, &attempt.run);
    let in_the_way = attempt.patience.with("look who may", look).await?;
    if let Some((_, code, detail)) = &in_the_way {
        plan.effects.clear();
        plan.notes.push(format!(
            "Nothing was written on the pull request beside this reply (`{code}`): {detail}"
        ));
    }
    Ok(in_the_way)
}

/// Plans the suggestions that a patch comes to.
pub(crate) async fn note_suggestions(
    door: &GitDoor,
    attempt: &Attempt,
    (patch, base): (&[u8], &CommitId),
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    let commentable = commentable(door, attempt, base, outcome).await?;
    // What is no text has no lines to stand on: its hunks do not match, and it is told to be in the patch.
    let mut plan = suggest(&String::from_utf8_lossy(patch), &commentable);
    hinder(door, attempt, &mut plan).await?;
    tell(&plan, outcome);
    let keep = || attempt.plan_also(&plan.effects);
    attempt.patience.with("note what is to be done", keep).await
}

fn tell(plan: &Plan, outcome: &mut Outcome) {
    outcome.notes.extend_from_slice(&plan.notes);
    if !plan.more.is_empty() || (outcome.summary.is_none() && !plan.effects.is_empty()) {
        let said = outcome.summary.take().unwrap_or_else(|| SEE_COMMENTS.to_owned());
        outcome.summary = Some(format!("{said}\n\n{}", plan.more).trim_end().to_owned());
    }
}

/// Where Bitbucket takes comments now. Nowhere once the source branch has moved from `base`: the agent's line numbers are
/// those of other lines then.
async fn commentable(
    door: &GitDoor,
    attempt: &Attempt,
    base: &CommitId,
    outcome: &mut Outcome,
) -> Result<Commentable, Failure> {
    let run = &attempt.run;
    let read = || async {
        let client = door.client()?;
        match client
            .diff(&run.repository, run.pull_request, DIFF_BYTES_MAX)
            .await
        {
            // Asked for after the diff: a head that is still there has been there since the check-out.
            Ok(diff) => {
                let now = client.pull_request(&run.repository, run.pull_request).await?;
                Ok(Some((diff, now.from_ref.latest_commit)))
            }
            Err(error) => match Failure::from(error) {
                failure @ Failure::Retry { .. } => Err(failure),
                Failure::Refuse { report } | Failure::Abandon { report, .. } => {
                    tracing::warn!(run.id = %run.id, code = %report.code, "the diff cannot be read");
                    Ok(None)
                }
            },
        }
    };
    let diff: Option<(Diff, CommitId)> = attempt.patience.with("read the diff", read).await?;
    let Some((diff, head)) = diff else {
        outcome
            .notes
            .push("Bitbucket did not give the diff, so nothing could be written beside its lines".to_owned());
        return Ok(Commentable::default());
    };
    if head != *base {
        let told = moved::told(door, attempt, base, &head).await;
        outcome
            .notes
            .push(format!("{told}, so nothing was written beside its lines"));
        return Ok(Commentable::default());
    }
    if diff.truncated {
        outcome.notes.push(format!(
            "Only the first {DIFF_BYTES_MAX} bytes of the diff could be commented on"
        ));
    }
    Ok(Commentable::of(&diff.text))
}
